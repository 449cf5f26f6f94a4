# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Which channel lies in which lane of which plane.

The array may write its output channels in any order, so that channels that are read together lie together: the output
of a shuffle unit is cut by who reads each channel, full words first, the remainders packed into shared words. Whatever
works channel by channel keeps the places of its input.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bitwright.compile.backends.engine.layers import Layer, Network, Refused, Stored, View, identity_requant
from bitwright.compile.ir.types import IntArray
from bitwright.hw.config import LANES

Word = tuple[str, int]


def words_of(network: Network, view: View) -> list[Word]:
    """The planes (tensor, plane) that hold a view's channels, in order of first use."""
    return places_of(network, view)[0]


def places_of(network: Network, view: View) -> tuple[list[Word], IntArray, IntArray]:
    """Words of a view, and for every channel the index of its word and its lane."""
    stored = [network.stored[name] for name in view.names]
    if len(stored) == 1:
        plane, lane = stored[0].plane[view.channel], stored[0].lane[view.channel]
    else:
        base = np.cumsum([0, *(s.shape[2] for s in stored[:-1])])[view.source] + view.channel
        plane, lane = (np.concatenate([getattr(s, what) for s in stored])[base] for what in ("plane", "lane"))
    most = int(plane.max(initial=0)) + 1
    used, first, index = np.unique(view.source * most + plane, return_index=True, return_inverse=True)
    order = np.argsort(first)
    words = [(view.names[k // most], k % most) for k in used[order].tolist()]
    return words, np.argsort(order)[index], lane


def place(network: Network) -> None:
    """Give every stored tensor its planes and lanes; adds copies where two summands do not lie alike."""
    readers = _readers(network)
    layers: list[Layer] = []
    for name in network.inputs.values():
        _dense(network.stored[name])
    for layer in network.layers:
        out = network.stored[layer.output]
        if layer.on_array:
            _grouped(out, readers[layer.output])
        else:
            if layer.kind == "add":
                layers += _align(network, layer)
            words, at, lane = places_of(network, layer.inputs[0])
            if layer.argmax:  # channels lie in their order, so that a place is a label
                assert np.array_equal(at * LANES + lane, np.arange(len(at)))
                _dense(out)
            else:
                out.plane, out.lane, out.planes = at, lane, len(words)
        layers.append(layer)
    network.layers = layers


def _readers(network: Network) -> dict[str, NDArray[np.uint64]]:
    """For every stored tensor and channel: a bit for each layer, and one for the outputs, that read it."""
    words = len(network.layers) // 64 + 1
    table = {name: np.zeros((stored.shape[2], words), np.uint64) for name, stored in network.stored.items()}

    def read(view: View, bits: NDArray[np.uint64]) -> None:
        for k, name in enumerate(view.names):
            mine = view.source == k
            np.bitwise_or.at(table[name], view.channel[mine], bits[mine])

    for number, views in enumerate([*(layer.reads() for layer in network.layers), *network.outputs.values()]):
        bit = min(number, len(network.layers))
        for view in views:
            bits = np.zeros((len(view.channel), words), np.uint64)
            bits[:, bit // 64] = 1 << bit % 64
            read(view, bits)
    for layer in reversed(network.layers):
        if not layer.on_array and not layer.argmax:  # what reads its output reads the input's places, too
            for view in layer.inputs:
                read(view, table[layer.output])
    return table


def _dense(out: Stored) -> None:
    channels = out.shape[2]
    out.plane, out.lane = np.arange(channels) // LANES, np.arange(channels) % LANES
    out.planes = -(-channels // LANES)


def _grouped(out: Stored, readers: NDArray[np.uint64]) -> None:
    """Channels with the same readers in words of their own; remainders share words, first fit, largest first."""
    if (readers == readers[0]).all():
        _dense(out)
        return
    channels = out.shape[2]
    groups: dict[tuple[int, ...], list[int]] = {}
    for c, key in enumerate(readers.tolist()):
        groups.setdefault(tuple(key), []).append(c)
    words: list[list[int]] = []
    rest: list[list[int]] = []
    for members in groups.values():
        full = len(members) // LANES * LANES
        words += [members[i : i + LANES] for i in range(0, full, LANES)]
        if members[full:]:
            rest.append(members[full:])
    shared: list[list[int]] = []
    for part in sorted(rest, key=len, reverse=True):
        room = next((w for w in shared if len(w) + len(part) <= LANES), None)
        if room is None:
            shared.append(list(part))
        else:
            room += part
    words += shared
    out.plane, out.lane = np.zeros(channels, np.int64), np.zeros(channels, np.int64)
    for number, members in enumerate(words):
        for lane, c in enumerate(members):
            out.plane[c], out.lane[c] = number, lane
    out.planes = len(words)


def _align(network: Network, layer: Layer) -> list[Layer]:
    """Make the second summand lie as the first does; a copy on the array when it does not yet."""
    first, second = layer.inputs
    if _alike(network, first, second):
        return []
    words, at, lane = places_of(network, first)
    if len(set(zip(at.tolist(), lane.tolist(), strict=True))) != len(at):
        raise Refused(f"{layer.name}: channels of the first summand share places")
    name = f"{layer.name}.aligned"
    channels = first.shape[2]
    signed = layer.operand_signed
    lo, hi = (-128, 127) if signed else (0, 255)
    network.stored[name] = Stored(name, second.shape, signed, at, lane, len(words))
    copy = Layer(
        name, "pw", [second], name, (1, 1), (1, 1), (1, 1), (0, 0), identity_requant(channels, lo, hi),
        np.eye(channels, dtype=np.int64)[None, None], signed=signed,
    )  # fmt: skip
    layer.inputs[1] = View.whole(name, second.shape)
    return [copy]


def _alike(network: Network, first: View, second: View) -> bool:
    (_, at, lane), (_, at2, lane2) = places_of(network, first), places_of(network, second)
    if not np.array_equal(lane, lane2):
        return False
    pairs = set(zip(at.tolist(), at2.tolist(), strict=True))
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
