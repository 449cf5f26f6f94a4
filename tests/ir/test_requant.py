# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Requantization synthesis: the integer form equals the exact function at every integer of the range."""

from __future__ import annotations

import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bitwright.compile.ir import IntType, Tensor
from bitwright.compile.ir.exact import Ratios
from bitwright.compile.ir.ops import Add, Requantize, Threshold
from bitwright.compile.ir.reals import Reals
from bitwright.compile.ir.requant import NotExactError, round_ratio, synthesize, synthesize_sum
from bitwright.compile.ir.staircase import Staircases
from bitwright.compile.ir.types import fractions

MODES = ("ROUND", "FLOOR", "CEIL", "UP", "DOWN", "HALF_UP", "HALF_DOWN")
floats = st.floats(-4, 4, width=32).map(Fraction)
ratios = st.builds(Fraction, st.integers(-40, 40), st.integers(1, 24))


def tensor(lo: list[int], hi: list[int]) -> Tensor:
    bounds = np.asarray(lo, np.int64), np.asarray(hi, np.int64)
    return Tensor("x", (len(lo),), IntType(48, True), *bounds)


def round_by_definition(v: Fraction, mode: str) -> int:
    """After qonnx 1.0.0, custom_op/general/intquant.py, with numpy's float functions replaced by exact ones."""
    sign, size = (-1 if v < 0 else 1), abs(v)
    return {
        "ROUND": lambda: round(v),
        "FLOOR": lambda: v.__floor__(),
        "CEIL": lambda: v.__ceil__(),
        "UP": lambda: sign * size.__ceil__(),
        "DOWN": lambda: sign * size.__floor__(),
        "HALF_UP": lambda: sign * (size + Fraction(1, 2)).__floor__(),
        "HALF_DOWN": lambda: sign * (size - Fraction(1, 2)).__ceil__(),
    }[mode]()


@settings(max_examples=400, deadline=None)
@given(v=st.one_of(floats, ratios), mode=st.sampled_from(MODES))
def test_rounding_modes(v: Fraction, mode: str) -> None:
    assert round_ratio(v.numerator, v.denominator, mode) == round_by_definition(v, mode)


@settings(max_examples=500, deadline=None)
@given(data=st.data(), mode=st.sampled_from(MODES), offset=st.integers(-5, 5), bits=st.integers(1, 8))
def test_every_integer_of_the_range(data: st.DataObject, mode: str, offset: int, bits: int) -> None:
    channels = data.draw(st.integers(1, 3))
    draw = lambda s: [data.draw(s) for _ in range(channels)]  # noqa: E731
    a, b = draw(st.one_of(floats, ratios)), draw(st.one_of(floats, ratios))
    lows, spans = draw(st.integers(-2000, 0)), draw(st.integers(0, 2000))
    x = tensor(lows, [lo + s for lo, s in zip(lows, spans, strict=True)])
    lo, hi = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    found = synthesize(
        fractions(a), fractions(b), mode, np.asarray([lo]), np.asarray([hi]), x, IntType(8, True), offset
    )
    node = found.cls(name="y", inputs=("x",), output="y", **found.fields)
    assert isinstance(node, (Requantize, Threshold))
    for c in range(channels):
        q = np.arange(x.lo[c], x.hi[c] + 1)
        got = node.compute(np.repeat(q[:, None], channels, axis=1))[:, c]
        want = [min(max(round_by_definition(a[c] * int(v) + b[c], mode) + offset, lo), hi) for v in q]
        assert got.tolist() == want, (a[c], b[c], found)


@settings(max_examples=40, deadline=None)
@given(
    scales=st.lists(st.floats(2**-6, 2, width=32) | st.floats(-2, -(2**-6), width=32), min_size=2, max_size=2),
    b=floats,
    bits=st.integers(2, 5),
)
@example(scales=[-(2.0**-6), -1.0], b=Fraction(0), bits=3)
def test_sums_of_two_branches(scales: list[float], b: Fraction, bits: int) -> None:
    top = (1 << bits) - 1
    xs = [tensor([0], [top]), tensor([-(top // 2)], [top // 2])]
    a = [fractions([Fraction(s)]) for s in scales]
    lo, hi = np.asarray([-8]), np.asarray([7])
    try:
        multipliers, found = synthesize_sum(a, fractions([b]), "ROUND", lo, hi, xs, IntType(4, True))
    except NotExactError:
        return
    p, q = np.meshgrid(np.arange(top + 1), np.arange(-(top // 2), top // 2 + 1))
    total = Add(name="s", inputs=("p", "q"), output="s", multipliers=multipliers).compute(
        p.reshape(-1, 1), q.reshape(-1, 1)
    )
    got = found.cls(name="y", inputs=("s",), output="y", **found.fields).compute(total)[:, 0]
    exact = [
        Fraction(scales[0]) * int(i) + Fraction(scales[1]) * int(j) + b for i, j in zip(p.flat, q.flat, strict=True)
    ]
    assert got.tolist() == [min(max(round(v), -8), 7) for v in exact]


@settings(max_examples=60, deadline=None)
@given(data=st.data(), mode=st.sampled_from(MODES), offset=st.integers(-5, 5))
def test_steps_are_where_the_staircase_steps(data: st.DataObject, mode: str, offset: int) -> None:
    """The fixed point against the definition, at ties (ratios) and next to them (floats)."""
    count = data.draw(st.integers(1, 4))
    nonzero = st.one_of(floats, ratios).filter(bool)
    a = data.draw(st.lists(nonzero, min_size=count, max_size=count))
    b = data.draw(st.lists(st.one_of(floats, ratios), min_size=count, max_size=count))
    first = np.asarray(data.draw(st.lists(st.integers(-300, 0), min_size=count, max_size=count)))
    rows = Staircases.of(Reals.of(a), Reals.of(b), mode, offset, -100, 100, first, first + 300, False)
    numbers, stepping = rows.stepping
    for i in range(count):
        q = range(int(first[i]), int(first[i]) + 301)
        y = [min(max(round_by_definition(a[i] * k + b[i], mode) + offset, -100), 100) for k in q]
        assert (rows.bottom[i], rows.top[i]) == (min(y), max(y))
        if i not in numbers:
            continue
        row = numbers.tolist().index(i)
        origin, table = stepping.steps
        side = 1 if a[i] > 0 else -1
        found = [int(origin[row]) + int(t) for t in table[row, : max(y) - min(y)]]
        want = [
            min(side * k for k, level in zip(q, y, strict=True) if level >= n) for n in range(min(y) + 1, max(y) + 1)
        ]
        assert found == want


@given(x=ratios, y=ratios)
def test_ratios_are_fractions(x: Fraction, y: Fraction) -> None:
    p, q = Ratios.of([x, y]), Ratios.of(y)
    for found, want in ((p + q, (x + y, y + y)), (p - q, (x - y, y - y)), (p * q, (x * y, y * y))):
        assert (found.den > 0).all() and tuple(found.fractions()) == want
    if y:
        assert tuple((p / q).fractions()) == (x / y, 1) and ((p / q).den > 0).all()


def test_a_thousand_channels_take_less_than_half_a_second() -> None:
    rng = np.random.default_rng(0)
    a = fractions(rng.uniform(1e-4, 1e-3, 1024).astype(np.float32))
    b = fractions(rng.normal(scale=20, size=1024).astype(np.float32))
    x = tensor([-200_000] * 1024, [200_000] * 1024)
    start = time.process_time()
    found = synthesize(a, b, "ROUND", np.asarray([0]), np.asarray([255]), x, IntType(8, False))
    assert found.cls is Requantize and time.process_time() - start < 0.5


def test_unprovable_is_an_error() -> None:
    with pytest.raises(NotExactError, match="too many"):
        synthesize(
            fractions([Fraction(1, 3)]), fractions([Fraction(1, 7)]), "ROUND", np.asarray([-(1 << 40)]),
            np.asarray([1 << 40]), tensor([-(1 << 30)], [1 << 30]), IntType(48, True),
        )  # fmt: skip


def root_of(x: Fraction) -> tuple[Fraction, bool]:
    root = Ratios.of([x]).sqrt()
    return root.fractions()[0], not root.truncated


@given(n=st.integers(1, 10**12), d=st.integers(1, 10**12))
def test_square_roots(n: int, d: int) -> None:
    x = Fraction(n, d)
    root, exact = root_of(x)
    assert exact == (root * root == x)
    assert root * root <= x < (root * (1 + Fraction(1, 2**255))) ** 2
    assert root_of(x * x) == (x, True)


def test_steps_within_the_precision_of_a_square_root_are_refused() -> None:
    root, exact = root_of(Fraction(2))
    assert not exact
    lo, hi, x = np.asarray([-8]), np.asarray([7]), tensor([-9], [9])
    synthesize(fractions([1 / root]), fractions([Fraction(1, 3)]), "ROUND", lo, hi, x, IntType(4, True), inexact=True)
    # the root's factor vanishes at q = 0: an exact tie is decided by the rule, not by the root
    half = fractions([Fraction(1, 2)])
    synthesize(fractions([1 / root]), half, "ROUND", lo, hi, x, IntType(4, True), inexact=True)
    # at q = 2 the step would be at sqrt(2) - root: nobody can tell on which side
    near = fractions([Fraction(1, 2) - 2 / root + Fraction(1, 2**400)])
    with pytest.raises(NotExactError, match="square root"):
        synthesize(fractions([1 / root]), near, "ROUND", lo, hi, x, IntType(4, True), inexact=True)
