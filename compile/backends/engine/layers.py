# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""What the engine computes, one entry per pass over a tensor: an operator of the IR together with its requantization.

Movement (slice, concat, shuffle, permutation, nearest upsampling by powers of two) makes no layer: it is in the views
through which layers read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from bitwright.compile.backends.engine.refit import refit
from bitwright.compile.ir.types import IntArray
from bitwright.hw.isa import ACC_BITS, ADDEND_BITS, MULTIPLIER_BITS, SHIFTS, SUM_BITS


class Refused(Exception):
    """The engine cannot do it; the message says why, in words for the user."""


@dataclass(frozen=True)
class Fold:
    """How the host packs windows of an image row into the channels of the tensor that the engine gets.

    Lane j * channels + c of position (y, x) is image[y, x * stride + j - left, c], or ``fill`` outside the image.
    """

    width: int
    channels: int
    kernel: int
    stride: int
    left: int
    fill: int


@dataclass
class Stored:
    """A tensor as the engine keeps it: 8-bit channels in planes.

    Attributes:
        shape: (H, W, C).
        signed: how its bytes are read.
        plane, lane: int64 (C,) where each channel lies; empty until it is placed. planes: how many it has.
        fold: for a network input that the host packs.
    """

    name: str
    shape: tuple[int, int, int]
    signed: bool
    plane: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    lane: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    planes: int = 0
    fold: Fold | None = None


Ref = tuple[str, int]


@dataclass(frozen=True, eq=False)
class View:
    """Channels picked from stored tensors, upsampled by 2**up (nearest).

    Attributes:
        shape: (H, W, C) after upsampling.
        names: the stored tensors, in order of first use.
        source, channel: int64 (C,), every channel is a channel of names[source].
        up: (vertical, horizontal) exponent.
    """

    shape: tuple[int, int, int]
    names: tuple[str, ...]
    source: IntArray
    channel: IntArray
    up: tuple[int, int] = (0, 0)

    @staticmethod
    def whole(name: str, shape: tuple[int, int, int]) -> View:
        """All of one stored tensor."""
        return View(shape, (name,), np.zeros(shape[2], np.int64), np.arange(shape[2]))

    @staticmethod
    def of(shape: tuple[int, int, int], refs: Sequence[Ref], up: tuple[int, int]) -> View:
        """From (name of a stored tensor, channel) of every channel."""
        index: dict[str, int] = {}
        source = np.array([index.setdefault(name, len(index)) for name, _ in refs], np.int64)
        return View(shape, tuple(index), source, np.array([c for _, c in refs], np.int64), up)

    @staticmethod
    def joined(views: Sequence[View]) -> View:
        """The channels of views of one size, one after the other."""
        names = {n: i for i, n in enumerate(dict.fromkeys(n for v in views for n in v.names))}
        source = np.concatenate([np.array([names[n] for n in v.names], np.int64)[v.source] for v in views])
        channel = np.concatenate([v.channel for v in views])
        return View((*views[0].shape[:2], len(channel)), tuple(names), source, channel, views[0].up)

    @cached_property
    def refs(self) -> tuple[Ref, ...]:
        """(name of a stored tensor, channel) of every channel."""
        return tuple((self.names[k], c) for k, c in zip(self.source.tolist(), self.channel.tolist(), strict=True))

    def take(self, channels: Sequence[int] | IntArray) -> View:
        """Some of the channels."""
        taken = np.asarray(channels, np.int64)
        source, names = self.source[taken], self.names
        if len(names) > 1:
            used, first, source = np.unique(source, return_index=True, return_inverse=True)
            order = np.argsort(first)
            names, source = tuple(names[k] for k in used[order].tolist()), np.argsort(order)[source]
        return View((*self.shape[:2], len(taken)), names, source, self.channel[taken], self.up)

    def resized(self, shape: tuple[int, int, int], up: tuple[int, int]) -> View:
        """The same channels of another size."""
        return replace(self, shape=shape, up=up)

    @cached_property
    def injective(self) -> bool:
        """No channel occurs twice."""
        places = self.source * (int(self.channel.max(initial=0)) + 1) + self.channel
        return bool(np.bincount(places).max(initial=0) < 2)


@dataclass(frozen=True)
class Requant:
    """Constants of the requantizer for every output channel (docs/engine.md, 2.2).

    Attributes:
        multiplier: int64 (operands, C): one row, two for a sum of two tensors. addend: int64 (C,).
        shift: 0..3, index into hw.isa.SHIFTS.
    """

    multiplier: IntArray
    addend: IntArray
    shift: int
    half_even: bool
    wrap: bool
    lo: int
    hi: int


@dataclass
class Layer:
    """One pass over a tensor.

    Attributes:
        kind: 'pw', 'sum' (of two) on the array; 'conv', 'max', 'add', 'square', 'free', 'up' (linear) on the depthwise
            unit.
        inputs: what it reads; two for 'add' and 'sum'. offsets: the offset channel(s) of 'square' and 'free'.
        output: the stored tensor that it writes.
        weight: int64 (kh, kw, C, O) of 'pw', (kh, kw, C) of the others; None for 'max', 'add', 'sum' and 'up'.
        kernel, strides, dilations, pads: as in the IR (pads top and left).
        signed: how input bytes are read; operand_signed: those of the second operand or of the offsets.
        reach: largest magnitude of an offset. nodes: names of the IR nodes that it stands for.
        taps: rows and columns of 'up', as in the IR. argmax: it writes the label of the greatest channel.
        weight_range: the smallest and the largest weight, where they are known.
    """

    name: str
    kind: str
    inputs: list[View]
    output: str
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int]
    requant: Requant
    weight: IntArray | None = None
    zero_point: int = 0
    signed: bool = False
    operand_signed: bool = False
    offsets: View | None = None
    reach: int = 0
    nodes: tuple[str, ...] = ()
    taps: tuple[IntArray, IntArray] | None = None
    argmax: bool = False
    weight_range: tuple[int, int] | None = None

    def reads(self) -> list[View]:
        """Every view that it reads."""
        return [*self.inputs, *([self.offsets] if self.offsets else [])]

    def rows(self, view: View, first: int, stop: int) -> tuple[int, int]:
        """Stored rows of one of its views that rows first .. stop - 1 of the output need."""
        return self.window(view)(first, stop)

    def window(self, view: View) -> Callable[[int, int], tuple[int, int]]:
        """`rows` of one of its views, for many calls."""
        height, up = view.shape[0], view.up[0]
        stride, before, after, taps = 1, 0, 0, None
        if view is self.inputs[0]:  # summands and offsets lie at the position of the output
            stride, taps = self.strides[0], None if self.taps is None else self.taps[0]
            before = self.pads[0] + self.reach
            after = (self.kernel[0] - 1) * self.dilations[0] + 1 + self.reach - self.pads[0] - stride

        def rows(first: int, stop: int) -> tuple[int, int]:
            if taps is not None:
                used = np.flatnonzero(taps[first:stop].any(axis=0))
                lo, hi = int(used[0]), int(used[-1]) + 1
            else:
                lo, hi = first * stride - before, stop * stride + after
            lo, hi = max(lo, 0), min(hi, height)
            if hi <= lo:  # the window lies in the padding: any row will do
                lo = min(lo, height - 1)
                hi = lo + 1
            return lo >> up, ((hi - 1) >> up) + 1

        return rows

    @property
    def on_array(self) -> bool:
        """It runs on the pointwise unit."""
        return self.kind in ("pw", "sum")


def bound(values: IntArray) -> int:
    """Largest magnitude."""
    return int(np.abs(values).max(initial=0))


def make_requant(
    multiplier: IntArray,
    addend: IntArray,
    shift: int,
    half_even: bool,
    offset: int,
    lo: int,
    hi: int,
    operands: list[int],
    wrap: bool = False,
    acc_bits: int = ACC_BITS,
    ranges: tuple[IntArray, IntArray] | None = None,
) -> Requant:
    """Constants scaled to a shift of the hardware. Raises Refused when they do not fit.

    Args:
        multiplier: int64 (operands, C). addend: int64 (C,). shift, half_even, offset: as of `ir.ops.Requantize`.
        operands: largest magnitude of each operand.
        acc_bits: of an accumulator that the build's requantizer takes (`EngineConfig.x_bits`).
        ranges: int64 (C,) bounds of a single operand, by which other constants are found when these do not fit.
    """
    if max(operands) >= 1 << (acc_bits - 1):
        raise Refused(f"accumulators reach {max(operands)}; the requantizer takes {acc_bits} bits")
    if half_even and offset % 2:
        raise Refused("it rounds ties to even and has an odd zero point; train with an even one, or with other scales")
    reason = f"the shift {shift} is more than {SHIFTS[-1]}"
    for code, hardware in enumerate(SHIFTS):
        if hardware < shift:
            continue
        more = hardware - shift
        total = sum(bound(m) * x for m, x in zip(multiplier, operands, strict=True)) + bound(addend)
        biggest = (bound(addend) << more) + (abs(offset) << hardware) + (1 << hardware)
        if bound(multiplier) << more >= 1 << (MULTIPLIER_BITS - 1):
            reason = f"the multiplier {bound(multiplier)} << {more} needs more than {MULTIPLIER_BITS} bits"
        elif biggest >= 1 << (ADDEND_BITS - 1) or (total << more) + biggest >= 1 << (SUM_BITS - 1):
            reason = f"the addend or the sum needs more than {ADDEND_BITS} or {SUM_BITS} bits"
        else:
            scaled = (addend.astype(np.int64) << more) + (offset << hardware)
            if half_even:
                scaled = scaled + (1 << (hardware - 1))
            return Requant(multiplier.astype(np.int64) << more, scaled, code, half_even, wrap, lo, hi)
    if ranges is not None and not half_even and not wrap:
        found = refit(multiplier[0], addend, shift, offset, (lo, hi), *ranges)
        if found is not None and bound(found[1]) < 1 << (ADDEND_BITS - 1):
            return Requant(found[0][None], found[1], found[2], False, False, lo, hi)
    raise Refused(reason)


def identity_requant(channels: int, lo: int, hi: int) -> Requant:
    """Values that fit 8 bits already."""
    one = np.ones((1, channels), np.int64)
    return make_requant(one, np.zeros(channels, np.int64), 0, False, 0, lo, hi, [max(abs(lo), abs(hi), 256)])


@dataclass
class Network:
    """Layers in execution order and what they read and write.

    Attributes:
        stored: every tensor that the engine keeps, by name.
        inputs: names of the stored tensors that the host fills, by IR tensor.
        outputs: for every output tensor of the graph, the stored bytes of each channel, low byte first.
        values: where the values of an IR tensor are, as a view (per-layer comparison).
    """

    layers: list[Layer]
    stored: dict[str, Stored]
    inputs: dict[str, str]
    outputs: dict[str, list[View]]
    values: dict[str, View]
