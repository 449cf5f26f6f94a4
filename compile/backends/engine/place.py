# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Which channel lies in which lane of which plane.

The array may write its output channels in any order, so that channels that are read together lie together: the output
of a shuffle unit is cut by who reads each channel, full words first, the remainders packed into shared words. Whatever
works channel by channel keeps the places of its input.
"""

from __future__ import annotations

import numpy as np

from bitwright.compile.backends.engine.layers import Layer, Network, Refused, Stored, View, identity_requant
from bitwright.compile.ir.types import IntArray
from bitwright.hw.config import LANES

Word = tuple[str, int]


def words_of(network: Network, view: View) -> list[Word]:
    """The planes (tensor, plane) that hold a view's channels, in order of first use."""
    found: dict[Word, None] = {}
    for name, channel in view.refs:
        found[name, int(network.stored[name].plane[channel])] = None
    return list(found)


def places_of(network: Network, view: View) -> tuple[list[Word], IntArray, IntArray]:
    """Words of a view, and for every channel the index of its word and its lane."""
    words = words_of(network, view)
    index = {w: i for i, w in enumerate(words)}
    at = np.array([index[name, int(network.stored[name].plane[c])] for name, c in view.refs], np.int64)
    lane = np.array([network.stored[name].lane[c] for name, c in view.refs], np.int64)
    return words, at, lane


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


def _readers(network: Network) -> dict[str, list[int]]:
    """For every stored tensor and channel: the layers (bit k + 1) and outputs (bit 0) that read it."""
    table = {name: [0] * stored.shape[2] for name, stored in network.stored.items()}
    for number, layer in enumerate(network.layers):
        for view in layer.reads():
            for name, channel in view.refs:
                table[name][channel] |= 2 << number
    for views in network.outputs.values():
        for view in views:
            for name, channel in view.refs:
                table[name][channel] |= 1
    _through(network, table)
    return table


def _through(network: Network, table: dict[str, list[int]]) -> None:
    """Readers of what a channelwise layer writes read the input's places too."""
    for layer in reversed(network.layers):
        if layer.on_array or layer.argmax:
            continue
        mine = table[layer.output]
        for view in layer.inputs:
            for (name, source), readers in zip(view.refs, mine, strict=True):
                table[name][source] |= readers


def _dense(out: Stored) -> None:
    channels = out.shape[2]
    out.plane, out.lane = np.arange(channels) // LANES, np.arange(channels) % LANES
    out.planes = -(-channels // LANES)


def _grouped(out: Stored, readers: list[int]) -> None:
    """Channels with the same readers in words of their own; remainders share words, first fit, largest first."""
    channels = out.shape[2]
    if len(set(readers)) == 1:
        _dense(out)
        return
    groups: dict[int, list[int]] = {}
    for c in range(channels):
        groups.setdefault(readers[c], []).append(c)
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
    layer.inputs[1] = View(second.shape, tuple((name, c) for c in range(channels)))
    return [copy]


def _alike(network: Network, first: View, second: View) -> bool:
    (_, at, lane), (_, at2, lane2) = places_of(network, first), places_of(network, second)
    if not np.array_equal(lane, lane2):
        return False
    pairs = set(zip(at.tolist(), at2.tolist(), strict=True))
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
