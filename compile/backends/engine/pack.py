# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Weights and constants in the byte order of the unit memories (docs/engine.md, 2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitwright.compile.backends.engine.layers import Layer, Network, Refused
from bitwright.compile.backends.engine.place import Word, places_of
from bitwright.compile.backends.engine.upsample import is_wide, runs, tap_words
from bitwright.compile.ir.types import IntArray
from bitwright.hw.config import LANES, EngineConfig
from bitwright.hw.isa import ACC_BITS, SHIFTS

Bytes = NDArray[np.uint8]
#: Bytes of a beat.
BEAT = 16


@dataclass(frozen=True)
class ArrayLayer:
    """A layer of the pointwise unit, packed.

    Attributes:
        words: input planes; of a sum those of the first and of the second operand in turn.
        w8: weights take 8 bits. sums: a sum of two. subs: sub-passes for all output channels.
        weights: uint8 (subs, kh * kw * words, 16 lanes, pairs). constants: uint8 (positions, 16).
        planes: output planes; those from ``planes`` on exist in the last sub-pass only as padding.
    """

    words: list[Word]
    w8: bool
    sums: bool
    subs: int
    weights: Bytes
    constants: Bytes
    planes: int

    @property
    def outputs(self) -> int:
        """Output channels of a sub-pass."""
        return int(self.weights.shape[3]) * (1 if self.w8 or self.sums else 2)

    @property
    def entries(self) -> int:
        """Constants of a sub-pass."""
        return int(self.weights.shape[3]) * (1 if self.w8 else 2)

    @property
    def whole(self) -> int:
        """Sub-passes that make whole words."""
        return max(1, LANES // self.outputs)


@dataclass(frozen=True)
class ChannelLayer:
    """A layer of the depthwise unit, packed.

    Attributes:
        words: input planes, one output plane for each; operands: those of the second summand.
        triples: groups of three taps in a row of the window.
        weights: uint8 (words, kh * triples, 3 taps, 16 lanes); of 'up' those of a position with the most taps, the
            instructions make their own. constants: uint8 (words, entries, 8 lanes, 16).
    """

    words: list[Word]
    operands: list[Word]
    triples: int
    weights: Bytes
    constants: Bytes


def constant_bytes(multiplier: IntArray, addend: IntArray) -> Bytes:
    """uint8 (n, 16): multiplier in bytes 0-3, addend in bytes 4-10."""
    out = np.zeros((len(multiplier), BEAT), np.uint8)
    out[:, :4] = multiplier.astype("<i4").view(np.uint8).reshape(-1, 4)
    out[:, 4:11] = addend.astype("<i8").view(np.uint8).reshape(-1, 8)[:, :7]
    return out


def pack_array(network: Network, layer: Layer, config: EngineConfig) -> ArrayLayer:
    """Weights by sub-pass, tap, input plane, lane, column. Raises Refused."""
    if layer.kind == "sum":
        return _pack_sum(network, layer, config)
    assert layer.weight is not None
    words, at, lane = places_of(network, layer.inputs[0])
    kh, kw, _, outputs = layer.weight.shape
    out = network.stored[layer.output]
    pairs = config.pairs
    position = out.plane * LANES + out.lane
    flat, rows = layer.weight.reshape(kh * kw, -1, outputs), at * LANES + lane
    if len(set(rows.tolist())) == len(rows):
        lanes = np.zeros((kh * kw, len(words) * LANES, outputs), np.int16)
        lanes[:, rows] = flat
    else:
        lanes = np.zeros((kh * kw, len(words) * LANES, outputs), np.int64)
        for c, row in enumerate(rows.tolist()):
            lanes[:, row] += flat[:, c]
    least, most = lanes.min(initial=0), lanes.max(initial=0)
    if least < -128 or most > 127:
        raise Refused("a channel that is read twice has a sum of weights beyond 8 bits")
    w8 = bool(least < -8 or most > 7)
    width = pairs if w8 else 2 * pairs
    subs = -(-out.planes * LANES // width)
    full = np.zeros((kh * kw, len(words) * LANES, subs * width), np.int8)
    full[:, :, position] = lanes
    if w8:
        columns = full.reshape(kh * kw, len(words), LANES, subs, pairs).view(np.uint8)
    else:
        halves = full.reshape(kh * kw, len(words), LANES, subs, 2, pairs)
        columns = ((halves[:, :, :, :, 0] & 15) | halves[:, :, :, :, 1] << 4).view(np.uint8)
    weights = np.ascontiguousarray(columns.transpose(3, 0, 1, 2, 4)).reshape(subs, kh * kw * len(words), LANES, pairs)
    multiplier, addend = np.zeros(subs * width, np.int64), np.zeros(subs * width, np.int64)
    multiplier[position], addend[position] = layer.requant.multiplier[0], layer.requant.addend
    return ArrayLayer(words, w8, False, subs, weights, constant_bytes(multiplier, addend), out.planes)


def _pack_sum(network: Network, layer: Layer, config: EngineConfig) -> ArrayLayer:
    """The first operand in the lower halves of the columns, the second in the upper ones, with weights of one."""
    out, pairs = network.stored[layer.output], config.pairs
    position = out.plane * LANES + out.lane
    places = [places_of(network, view) for view in layer.inputs]
    most = max(len(words) for words, _, _ in places)
    words = [(found + found[:1] * (most - len(found)))[k] for k in range(most) for found, _, _ in places]
    subs = -(-out.planes * LANES // pairs)
    columns = np.zeros((len(words), LANES, subs * pairs), np.uint8)
    multiplier, addend = np.zeros((subs, 2, pairs), np.int64), np.zeros((subs, 2, pairs), np.int64)
    for operand, (_, at, lane) in enumerate(places):
        columns[2 * at + operand, lane, position] += 1 << 4 * operand
        multiplier[position // pairs, operand, position % pairs] = layer.requant.multiplier[operand]
    addend[position // pairs, 0, position % pairs] = layer.requant.addend
    weights = np.ascontiguousarray(columns.reshape(len(words), LANES, subs, pairs).transpose(2, 0, 1, 3))
    constants = constant_bytes(multiplier.reshape(-1), addend.reshape(-1))
    return ArrayLayer(words, False, True, subs, weights, constants, out.planes)


def pack_channels(network: Network, layer: Layer) -> ChannelLayer:
    """Weights by plane, row of the window, three taps, lane."""
    words, at, lane = places_of(network, layer.inputs[0])
    kh, kw = layer.kernel
    triples = -(-kw // 3)
    if layer.taps is not None:
        wide = is_wide(layer.taps)
        triples = 1 + wide
        most = [max((run.taps for run in runs(taps)), key=len) for taps in layer.taps]
        weights = np.repeat(tap_words(most[0], most[1], wide)[None], len(words), 0)
    else:
        taps = np.zeros((len(words), kh, triples * 3, LANES), np.int64)
        if layer.weight is not None:
            for c, (word, at_lane) in enumerate(zip(at.tolist(), lane.tolist(), strict=True)):
                taps[word, :, :kw, at_lane] = layer.weight[:, :, c]
        weights = taps.astype(np.int8).view(np.uint8).reshape(len(words), kh * triples, 3, LANES)
    rows = layer.requant.multiplier
    m = np.zeros((len(rows), len(words), LANES), np.int64)
    # A lane without a channel must not be the greatest.
    a = np.full((len(words), LANES), -(1 << (ACC_BITS - 1 + SHIFTS[0])) if layer.argmax else 0, np.int64)
    m[:, at, lane], a[at, lane] = rows, layer.requant.addend
    entries = [
        constant_bytes(part[w, half : half + 8], a[w, half : half + 8] * (i == 0))
        for w in range(len(words))
        for half in (0, 8)
        for i, part in enumerate(m)
    ]
    constants = np.stack(entries).reshape(len(words), 2 * len(rows), 8, BEAT)
    operands: list[Word] = []
    if len(layer.inputs) > 1:
        operands, other, _ = places_of(network, layer.inputs[1])
        order = dict(zip(at.tolist(), other.tolist(), strict=True))
        operands = [operands[order[w]] for w in range(len(words))]
    return ChannelLayer(words, operands, triples, weights, constants)
