# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Weights and constants in the byte order of the unit memories (docs/engine.md, 2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from bitwright.compile.backends.engine.layers import Layer, Network, Refused, Stored
from bitwright.compile.backends.engine.place import Word, places_of
from bitwright.compile.backends.engine.upsample import Run, is_wide, runs
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
        steps: words of weights of a sub-pass, kh * kw * words. pairs: columns of the array.
        planes: output planes; those from ``planes`` on exist in the last sub-pass only as padding.
        pack: makes `weights` and `constants`.
    """

    words: list[Word]
    w8: bool
    sums: bool
    subs: int
    steps: int
    pairs: int
    planes: int
    pack: Callable[[ArrayLayer], tuple[Bytes, Bytes]]

    @cached_property
    def outputs(self) -> int:
        """Output channels of a sub-pass."""
        return self.pairs * (1 if self.w8 or self.sums else 2)

    @cached_property
    def entries(self) -> int:
        """Constants of a sub-pass."""
        return self.pairs * (1 if self.w8 else 2)

    @cached_property
    def whole(self) -> int:
        """Sub-passes that make whole words."""
        return max(1, LANES // self.outputs)

    @property
    def beats(self) -> int:
        """Beats of weights and constants."""
        return self.subs * (self.steps * self.pairs + self.entries)

    @cached_property
    def packed(self) -> tuple[Bytes, Bytes]:
        """Weights, uint8 (subs, steps, 16 lanes, pairs), and constants, uint8 (subs * entries, 16)."""
        return self.pack(self)

    @property
    def weights(self) -> Bytes:
        """See `packed`: made when they are asked for, cycles can be told without."""
        return self.packed[0]

    def weight_piece(self, first: int, stop: int) -> bytes:
        """Weights of some sub-passes."""
        return self.packed[0][first:stop].tobytes()

    def constant_piece(self, first: int, stop: int) -> bytes:
        """Constants of some sub-passes."""
        return self.packed[1][first * self.entries : stop * self.entries].tobytes()


@dataclass(frozen=True)
class ChannelLayer:
    """A layer of the depthwise unit, packed.

    Attributes:
        words: input planes, one output plane for each; operands: those of the second summand.
        triples: groups of three taps in a row of the window.
        steps: words of weights of a plane, rows of the window * triples; of 'up' those of a position with the most
            taps. entries: constants of a plane and half of its lanes.
        runs: rows and columns of 'up'.
        pack: makes `packed`.
    """

    words: list[Word]
    operands: list[Word]
    triples: int
    steps: int
    entries: int
    runs: tuple[list[Run], ...]
    pack: Callable[[ChannelLayer], tuple[Bytes, Bytes]]

    @property
    def beats(self) -> int:
        """Beats of weights and constants."""
        return len(self.words) * (3 * self.steps + 8 * self.entries)

    @cached_property
    def packed(self) -> tuple[Bytes, Bytes]:
        """Weights, uint8 (words, steps, 3 taps, 16 lanes), and constants, uint8 (words, entries, 8 lanes, 16).

        The weights of 'up' are not here: its instructions make their own.
        """
        return self.pack(self)

    def weight_piece(self, first: int, stop: int) -> bytes:
        """Weights of some planes."""
        return self.packed[0][first:stop].tobytes()

    def constant_piece(self, first: int, stop: int) -> bytes:
        """Constants of some planes."""
        return self.packed[1][first:stop].tobytes()


def constant_bytes(multiplier: IntArray, addend: IntArray) -> Bytes:
    """uint8 (n, 16): multiplier in bytes 0-3, addend in bytes 4-10."""
    out = np.zeros((len(multiplier), BEAT), np.uint8)
    out[:, :4] = multiplier.astype("<i4").view(np.uint8).reshape(-1, 4)
    out[:, 4:11] = addend.astype("<i8").view(np.uint8).reshape(-1, 8)[:, :7]
    return out


def pack_array(network: Network, layer: Layer, config: EngineConfig) -> ArrayLayer:
    """How a layer lies in the array's memories. Raises Refused."""
    out, pairs = network.stored[layer.output], config.pairs
    if layer.kind == "sum":
        summands = [places_of(network, view) for view in layer.inputs]
        most = max(len(words) for words, _, _ in summands)
        words = [(found + found[:1] * (most - len(found)))[k] for k in range(most) for found, _, _ in summands]
        pack = partial(_pack_sum, layer, out, [places[1:] for places in summands])
        return ArrayLayer(words, False, True, -(-out.planes * LANES // pairs), len(words), pairs, out.planes, pack)
    assert layer.weight is not None
    words, at, lane = places_of(network, layer.inputs[0])
    rows = at * LANES + lane
    least, most = layer.weight_range or (int(layer.weight.min(initial=0)), int(layer.weight.max(initial=0)))
    merged = len(set(rows.tolist())) < len(rows)
    if merged:
        by_lane = _by_lane(layer.weight, rows, len(words))
        least, most = int(by_lane.min(initial=0)), int(by_lane.max(initial=0))
    if least < -128 or most > 127:
        raise Refused("a channel that is read twice has a sum of weights beyond 8 bits")
    w8 = least < -8 or most > 7
    subs = -(-out.planes * LANES // (pairs if w8 else 2 * pairs))
    steps = layer.weight.shape[0] * layer.weight.shape[1] * len(words)
    return ArrayLayer(words, w8, False, subs, steps, pairs, out.planes, partial(_pack_weights, layer, out, rows))


def _by_lane(weight: IntArray, rows: IntArray, words: int) -> IntArray:
    """int64 (taps, words * 16, outputs): weights of channels that lie in one place are added."""
    kh, kw, _, outputs = weight.shape
    flat = weight.reshape(kh * kw, -1, outputs)
    lanes = np.zeros((kh * kw, words * LANES, outputs), np.int64)
    for c, row in enumerate(rows.tolist()):
        lanes[:, row] += flat[:, c]
    return lanes


def _pack_weights(layer: Layer, out: Stored, rows: IntArray, p: ArrayLayer) -> tuple[Bytes, Bytes]:
    """Weights by sub-pass, tap, input plane, lane, column."""
    assert layer.weight is not None
    kh, kw, _, outputs = layer.weight.shape
    words, width = len(p.words), p.outputs
    position = out.plane * LANES + out.lane
    if len(set(rows.tolist())) == len(rows):
        lanes = np.zeros((kh * kw, words * LANES, outputs), np.int8)
        lanes[:, rows] = layer.weight.reshape(kh * kw, -1, outputs)
    else:
        lanes = _by_lane(layer.weight, rows, words).astype(np.int8)
    full = np.zeros((kh * kw, words * LANES, p.subs * width), np.int8)
    full[:, :, position] = lanes
    if p.w8:
        columns = full.reshape(kh * kw, words, LANES, p.subs, p.pairs).view(np.uint8)
    else:
        halves = full.reshape(kh * kw, words, LANES, p.subs, 2, p.pairs)
        columns = ((halves[:, :, :, :, 0] & 15) | halves[:, :, :, :, 1] << 4).view(np.uint8)
    weights = np.ascontiguousarray(columns.transpose(3, 0, 1, 2, 4)).reshape(p.subs, p.steps, LANES, p.pairs)
    multiplier, addend = np.zeros(p.subs * width, np.int64), np.zeros(p.subs * width, np.int64)
    multiplier[position], addend[position] = layer.requant.multiplier[0], layer.requant.addend
    return weights, constant_bytes(multiplier, addend)


def _pack_sum(
    layer: Layer, out: Stored, summands: list[tuple[IntArray, IntArray]], p: ArrayLayer
) -> tuple[Bytes, Bytes]:
    """The first operand in the lower halves of the columns, the second in the upper ones, with weights of one."""
    pairs, position = p.pairs, out.plane * LANES + out.lane
    columns = np.zeros((len(p.words), LANES, p.subs * pairs), np.uint8)
    multiplier, addend = np.zeros((p.subs, 2, pairs), np.int64), np.zeros((p.subs, 2, pairs), np.int64)
    for operand, (at, lane) in enumerate(summands):
        columns[2 * at + operand, lane, position] += 1 << 4 * operand
        multiplier[position // pairs, operand, position % pairs] = layer.requant.multiplier[operand]
    addend[position // pairs, 0, position % pairs] = layer.requant.addend
    weights = np.ascontiguousarray(columns.reshape(len(p.words), LANES, p.subs, pairs).transpose(2, 0, 1, 3))
    return weights, constant_bytes(multiplier.reshape(-1), addend.reshape(-1))


def pack_channels(network: Network, layer: Layer) -> ChannelLayer:
    """How a layer lies in the memories of the depthwise unit."""
    words, at, lane = places_of(network, layer.inputs[0])
    rows, triples = layer.kernel[0], -(-layer.kernel[1] // 3)
    even = tuple(runs(taps) for taps in layer.taps or ())
    if layer.taps is not None:
        triples = 1 + is_wide(layer.taps)
        rows = max(len(run.taps) for run in even[0])
    operands: list[Word] = []
    if len(layer.inputs) > 1:
        operands, other, _ = places_of(network, layer.inputs[1])
        order = dict(zip(at.tolist(), other.tolist(), strict=True))
        operands = [operands[order[w]] for w in range(len(words))]
    entries = 2 * len(layer.requant.multiplier)
    pack = partial(_pack_channels, layer, at, lane)
    return ChannelLayer(words, operands, triples, rows * triples, entries, even, pack)


def _pack_channels(layer: Layer, at: IntArray, lane: IntArray, p: ChannelLayer) -> tuple[Bytes, Bytes]:
    """Weights by plane, row of the window, three taps, lane."""
    words = len(p.words)
    taps = np.zeros((words, p.steps // p.triples, 3 * p.triples, LANES), np.int8)
    if layer.weight is not None:
        taps[at, :, : layer.kernel[1], lane] = np.moveaxis(layer.weight, 2, 0)
    weights = taps.view(np.uint8).reshape(words, p.steps, 3, LANES)
    rows = layer.requant.multiplier
    m = np.zeros((len(rows), words, LANES), np.int64)
    # A lane without a channel must not be the greatest.
    a = np.full((words, LANES), -(1 << (ACC_BITS - 1 + SHIFTS[0])) if layer.argmax else 0, np.int64)
    m[:, at, lane], a[at, lane] = rows, layer.requant.addend
    addends = np.stack([a, np.zeros_like(a)][: len(rows)])  # only the first operand has one
    halves = [x.reshape(len(rows), words, 2, LANES // 2).transpose(1, 2, 0, 3).reshape(-1) for x in (m, addends)]
    return weights, constant_bytes(*halves).reshape(words, p.entries, LANES // 2, BEAT)
