# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""For builds without the depthwise unit: what the array can do of its work.

A depthwise convolution, a sum pool and a requantization become convolutions with zero weights beside the diagonal,
sixteen channels at a time; a residual sum becomes an instruction with SUM, whose two products the requantizer adds. The
integers are the same, the array does up to sixteen times the multiplications.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bitwright.compile.backends.engine.layers import Layer, Network, Refused
from bitwright.compile.backends.engine.select import MAX_ARRAY_KERNEL
from bitwright.compile.backends.engine.split import cut_channels
from bitwright.hw.config import LANES

#: What a layer of the depthwise unit is called when it is refused.
_NAMES = {"max": "max pooling", "square": "deformable convolution", "free": "deformable convolution",
          "up": "linear upsampling"}  # fmt: skip


def expand(network: Network) -> list[tuple[str, str, str]]:
    """Give every channelwise layer of the network to the array; returns what cannot be, as (layer, kind, reason)."""
    refused = []
    outputs = {name for views in network.outputs.values() for v in views for name in v.names}
    for layer in list(network.layers):
        if layer.on_array:
            continue
        try:
            _check(layer)
        except Refused as error:
            refused.append((layer.name, layer.kind, str(error)))
            continue
        channels = network.stored[layer.output].shape[2]
        step = channels if layer.output in outputs else LANES  # an output stays one tensor
        cuts = [list(range(c, min(c + step, channels))) for c in range(0, channels, step)]
        at = next(k for k, other in enumerate(network.layers) if other.name == layer.name)
        made = cut_channels(network, network.layers[at], cuts)
        network.layers[at : at + len(made)] = [_on_array(part) for part in made]
    return refused


def _check(layer: Layer) -> None:
    """Raises Refused."""
    without = "the configuration has no depthwise unit"
    if layer.kind in _NAMES or layer.argmax:
        raise Refused(f"{without}, which {'argmax' if layer.argmax else _NAMES[layer.kind]} needs; take another one")
    if layer.kind == "add" and any(v.up != (0, 0) for v in layer.inputs):
        raise Refused(f"{without}, which the sum of an upsampled tensor needs; take another one")
    if max(layer.kernel) > MAX_ARRAY_KERNEL:
        raise Refused(f"{without}, and the array takes windows up to {MAX_ARRAY_KERNEL}, this one is {layer.kernel}")


def _on_array(layer: Layer) -> Layer:
    if layer.kind == "add":
        return replace(layer, kind="sum")
    assert layer.weight is not None
    weight = layer.weight[..., None] * np.eye(layer.weight.shape[2], dtype=np.int64)
    return replace(layer, kind="pw", weight=weight)
