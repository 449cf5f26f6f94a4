# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Small multipliers for sums of two branches with different scales (residual connections).

The front end brings branches to a common unit with multipliers of up to 24 bits, so that the sum before its
requantization can pass 2**24, the largest integer that FINN's float32 tensors hold exactly. With thresholds behind the
sum there is much more freedom: the pair (m1, m2) may be any that puts all pairs of values (a, x) on the same side of
every level. For a level whose first a is t(x), thresholds T exist for (m1, m2) exactly when

    max over x of m1 * (t(x) - 1) + m2 * x  <  T  <=  min over x of m1 * t(x) + m2 * x.

Candidates are fractions that approach m2 / m1 (continued fraction, with those in between), smallest first; every
level and every x is checked, so the result is proved, not sampled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np

from bitwright.compile.backends.finn.finn_types import MAX_EXACT
from bitwright.compile.backends.finn.thresholds import staircase
from bitwright.compile.ir import Graph, Tensor
from bitwright.compile.ir.ops import Add, Requantize, Threshold
from bitwright.compile.ir.ops.base import per_channel
from bitwright.compile.ir.types import IntArray

#: Most values of the narrower branch that are enumerated.
MAX_VALUES = 1 << 12
#: Most fractions that are tried between two convergents.
STEPS = 64


def fractions_near(ratio: Fraction) -> Iterator[Fraction]:
    """Approximations of a positive number, better and better, at last the number itself.

    Convergents of the continued fraction, and of the fractions between two of them at most STEPS.
    """
    (n0, d0), (n1, d1) = (0, 1), (1, 0)
    while True:
        term = ratio.numerator // ratio.denominator
        for j in sorted({max(1, term * k // STEPS) for k in range(1, STEPS + 1)} if term else {0}):
            n, d = n0 + j * n1, d0 + j * d1
            if n and d:
                yield Fraction(n, d)
        (n0, d0), (n1, d1) = (n1, d1), (n0 + term * n1, d0 + term * d1)
        rest = ratio - term
        if rest == 0:
            return
        ratio = 1 / rest


def small_sums(graph: Graph, max_bits: int) -> Graph:
    """Rewrite sums of two that leave the exact range of float32 where smaller multipliers are proved equal."""
    consumers, outputs = graph.consumers(), graph.output_tensors()
    for node in graph.nodes:
        if not isinstance(node, Add) or len(node.inputs) != 2 or node.output in outputs:
            continue
        behind = consumers[node.output]
        if max(abs(v) for v in graph.tensors[node.output].bounds) <= MAX_EXACT or len(behind) != 1:
            continue
        reader = behind[0]
        if isinstance(reader, (Requantize, Threshold)) and reader.itype.bits <= max_bits:
            found = _smaller(graph, node, reader)
            if found is not None:
                swap = {node.name: found[0], reader.name: found[1]}
                graph = graph.rebuild(swap.get(n.name, n) for n in graph.nodes)
    return graph


def _smaller(graph: Graph, node: Add, reader: Requantize | Threshold) -> tuple[Add, Threshold] | None:
    total = graph.tensors[node.output]
    channels = total.channels
    stairs = staircase(reader, replace_bounds(total, channels), reader.itype)
    terms = [graph.tensors[n] for n in node.inputs]
    spans = [int((t.hi - t.lo).max()) for t in terms]
    wide, narrow = (0, 1) if spans[0] >= spans[1] else (1, 0)
    if spans[narrow] >= MAX_VALUES:
        return None
    factors = np.broadcast_to(node.multipliers, (2, channels))
    multipliers = np.empty((2, channels), np.int64)
    thresholds = np.empty((channels, stairs.thresholds.shape[1]), np.int64)
    bounds = [[per_channel(v, channels) for v in (t.lo, t.hi)] for t in terms]
    known: dict[tuple[object, ...], tuple[int, int, IntArray]] = {}
    for c in range(channels):
        row = stairs.thresholds[c % len(stairs.thresholds)]
        falling = bool(stairs.falling[c % len(stairs.falling)])
        sign = -1 if falling else 1
        m1, m2 = (sign * int(factors[k, c]) for k in (wide, narrow))
        a = int(bounds[wide][0][c]), int(bounds[wide][1][c])
        x = int(bounds[narrow][0][c]), int(bounds[narrow][1][c])
        key = (m1, m2, a, x, row.tobytes())
        if key not in known:
            answer = _pair(m1, m2, a, x, row)
            if answer is None:
                return None
            known[key] = answer
        multipliers[wide, c], multipliers[narrow, c], thresholds[c] = known[key]
    small = replace(node, multipliers=multipliers)
    rising = Threshold(
        name=reader.name, inputs=reader.inputs, output=reader.output, source=reader.source, thresholds=thresholds,
        sign=np.ones(1, np.int64), base=np.asarray([reader.itype.lo]), step=1, itype=reader.itype,
    )  # fmt: skip
    return small, rising


def replace_bounds(total: Tensor, channels: int) -> Tensor:
    """The tensor with one bound for each channel, so that every channel gets thresholds of its own."""
    return replace(total, lo=per_channel(total.lo, channels), hi=per_channel(total.hi, channels))


def _pair(
    m1: int, m2: int, a: tuple[int, int], x: tuple[int, int], levels: IntArray
) -> tuple[int, int, IntArray] | None:  # fmt: skip
    """Small (m1', m2', thresholds) for one channel in which m1 * a + m2 * x reaches the levels, or None."""
    if m1 == 0 or m2 == 0:
        return None
    s1, s2 = (1 if m > 0 else -1 for m in (m1, m2))
    a = a if s1 > 0 else (-a[1], -a[0])
    x = x if s2 > 0 else (-x[1], -x[0])
    m1, m2 = abs(m1), abs(m2)
    xs = np.arange(x[0], x[1] + 1, dtype=np.int64)[:, None]
    first = -((m2 * xs - levels[None]) // m1)  # ceil((T - m2 * x) / m1)
    first = np.clip(first, a[0], a[1] + 1)
    reach, leave = first <= a[1], first > a[0]
    big = np.iinfo(np.int64).max
    for f in fractions_near(Fraction(m2, m1)):
        n1, n2 = f.denominator, f.numerator
        top = n1 * max(abs(v) for v in a) + n2 * max(abs(v) for v in x)
        if top >= MAX_EXACT:
            return None
        upper = np.where(reach, n1 * first + n2 * xs, big).min(axis=0)
        lower = np.where(leave, n1 * (first - 1) + n2 * xs, -big).max(axis=0)
        if (lower < upper).all():
            # Any number above lower and up to upper will do; levels never reached lie behind everything.
            highest = n1 * a[1] + n2 * x[1]
            return s1 * n1, s2 * n2, np.minimum(upper, highest + 1)
    return None
