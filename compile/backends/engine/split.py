# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Cuts layers by channels where cutting by rows cannot help: a deformable window may reach over the whole map."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bitwright.compile.backends.engine.layers import Layer, Network, Requant, Stored, View
from bitwright.hw.config import BLOCKS, LANES, EngineConfig

#: Share of the activation memory that one row of a layer, with all rows that it reads, may take.
SHARE = 0.4

Refs = dict[tuple[str, int], tuple[str, int]]


def split_wide(network: Network, config: EngineConfig) -> None:
    """Cut every channelwise layer that needs more than its share, and the layer that makes its input, into parts."""
    limit = int(BLOCKS * config.block_words * SHARE)
    for layer in list(network.layers):
        if layer.on_array or layer.kind == "add" or layer.argmax:
            continue
        parts = -(-_need(network, layer) // limit)
        if parts < 2:
            continue
        words = -(-layer.inputs[0].shape[2] // LANES)
        step = -(-words // parts) * LANES
        cuts = [
            list(range(c, min(c + step, layer.inputs[0].shape[2]))) for c in range(0, layer.inputs[0].shape[2], step)
        ]
        source = next((x for x in network.layers if x.output == layer.inputs[0].names[0]), None)
        whole = [(source.output, c) for c in range(layer.inputs[0].shape[2])] if source else []
        if source is not None and source.on_array and list(layer.inputs[0].refs) == whole:
            cut_channels(network, source, cuts)
        cut_channels(network, next(x for x in network.layers if x.name == layer.name), cuts)


def _need(network: Network, layer: Layer) -> int:
    """Words of one output row and of what it reads, at the row that reads most."""
    height, width, channels = network.stored[layer.output].shape
    view = layer.inputs[0]
    spans = [layer.rows(view, y, y + 1) for y in range(height)]
    rows = max(hi - lo for lo, hi in spans)
    words = -(-channels // LANES)
    return words * (rows * (view.shape[1] >> view.up[1]) + width)


def cut_channels(network: Network, layer: Layer, cuts: list[list[int]]) -> list[Layer]:
    """Replace a layer by one for each list of output channels; returns these."""
    old = network.stored.pop(layer.output)
    at = network.layers.index(layer)
    refs: Refs = {}
    made = []
    for number, channels in enumerate(cuts):
        name = f"{layer.output}.part{number}"
        network.stored[name] = Stored(name, (*old.shape[:2], len(channels)), old.signed)
        refs |= {(layer.output, c): (name, i) for i, c in enumerate(channels)}
        r = layer.requant
        requant = Requant(
            r.multiplier[:, channels], r.addend[channels], r.shift, r.half_even, r.wrap, r.lo, r.hi
        )  # fmt: skip
        weight = None if layer.weight is None else np.ascontiguousarray(layer.weight[..., channels])
        inputs = layer.inputs if layer.on_array else [v.take(channels) for v in layer.inputs]
        made.append(
            replace(layer, name=name, output=name, inputs=inputs, weight=weight, requant=requant, weight_range=None)
        )
    network.layers[at : at + 1] = made

    def renamed(view: View) -> View:
        if layer.output not in view.names:
            return view
        return View.of(view.shape, [refs.get(ref, ref) for ref in view.refs], view.up)

    for other in network.layers:
        other.inputs = [renamed(v) for v in other.inputs]
        if other.offsets is not None:
            other.offsets = renamed(other.offsets)
    network.outputs = {k: [renamed(v) for v in views] for k, views in network.outputs.items()}
    network.values = {k: renamed(v) for k, v in network.values.items()}
    return made
