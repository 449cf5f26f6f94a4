# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""An order of layers in which the two compute units wait for each other less than in the order of the model."""

from __future__ import annotations

from dataclasses import replace

from bitwright.compile.backends.engine.layers import Layer, Network
from bitwright.compile.backends.engine.pack import ArrayLayer, ChannelLayer

#: How far a layer may move ahead; the more, the more tensors live at once.
WINDOW = 8

Packed = dict[int, ArrayLayer | ChannelLayer]


def _cycles(layer: Layer, p: ArrayLayer | ChannelLayer, network: Network) -> int:
    height, width, _ = network.stored[layer.output].shape
    if isinstance(p, ArrayLayer):
        return height * width * p.subs * p.steps
    return height * width * len(p.words) * max(p.steps, p.entries)


def overlapped(network: Network, packed: Packed) -> tuple[Network, Packed] | None:
    """List scheduling: of the layers that could be next, the one whose unit and operands are ready first.

    None when that is the order of the model, as in a network without branches.
    """
    layers = network.layers
    maker = {layer.output: k for k, layer in enumerate(layers)}
    needs = [{maker[n] for v in layer.reads() for n in v.names if n in maker} for layer in layers]
    end: dict[int, int] = {}
    free = {True: 0, False: 0}
    order: list[int] = []
    waiting = list(range(len(layers)))
    while waiting:

        def start(k: int) -> int:
            return max([free[layers[k].on_array], *(end[n] for n in needs[k])])

        ready = [k for k in waiting[:WINDOW] if needs[k] <= end.keys()]
        k = min(ready, key=lambda k: (start(k), k))
        end[k] = start(k) + _cycles(layers[k], packed[k], network)
        free[layers[k].on_array] = end[k]
        order.append(k)
        waiting.remove(k)
    if order == sorted(order):
        return None
    return replace(network, layers=[layers[k] for k in order]), {i: packed[k] for i, k in enumerate(order)}
