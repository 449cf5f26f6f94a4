# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Numbers that floats decide wherever they can: every answer is the exact one, and every error bound holds."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bitwright.compile.ir.exact import Ratios
from bitwright.compile.ir.reals import FLOOR_LIMIT, Reals

moderate = st.floats(-(2.0**20), 2.0**20, width=32)
extreme = st.floats(allow_nan=False, allow_infinity=False)
ratio = st.builds(Fraction, st.integers(-(10**30), 10**30), st.integers(1, 10**20))
number = st.one_of(moderate, extreme, ratio, st.integers(-(2**80), 2**80), st.sampled_from([0, 1, 0.5, -1]))
STEPS = ("+", "-", "*", "/", "sqrt", "turned")


def sure(x: Reals, want: list[Fraction]) -> None:
    """The exact number is `want`, and the interval holds it."""
    assert x.fractions().tolist() == want
    for high, low, error, exact in zip(x.high, x.low, x.error, want, strict=True):
        if error < np.inf:
            assert abs(exact - Fraction(high) - Fraction(low)) <= Fraction(error)


@settings(max_examples=400, deadline=None)
@given(start=st.lists(number, min_size=1, max_size=3), data=st.data())
@example(start=[2.0**-1070], data=None)
@example(start=[-(2.0**-149)], data=None)
@example(start=[2.0**1000, 2.0**-1000], data=None)
def test_every_step_keeps_its_promise(start: list[float], data: st.DataObject | None) -> None:
    x, want = Reals.of(np.asarray(start, object)), [Fraction(v) for v in start]
    sure(x, want)
    steps = data.draw(st.lists(st.sampled_from(STEPS), min_size=1, max_size=6)) if data else ["*", "/", "+", "*", "-"]
    for step in steps:
        other = data.draw(number) if data else 2.0**-1000
        y, b = Reals.of(other), Fraction(other)
        match step:
            case "+":
                x, want = x + y, [a + b for a in want]
            case "-":
                x, want = x - y, [a - b for a in want]
            case "*":
                x, want = x * y, [a * b for a in want]
            case "/" if b:
                x, want = x / y, [a / b for a in want]
            case "sqrt" if all(a > 0 for a in want):
                x, want = x.sqrt(), Ratios.of(want).sqrt().fractions().tolist()
            case "turned":
                x, want = x.turned(-1), [-a for a in want]
        sure(x, want)
    assert x.signs().tolist() == [(a > 0) - (a < 0) for a in want]
    assert x.largest() == max(want)
    for bits in (0, 40, 60, -3):
        cut = [min(max(floor(a * Fraction(2) ** bits), -FLOOR_LIMIT), FLOOR_LIMIT) for a in want]
        assert x.floor(bits).tolist() == cut


@settings(max_examples=200, deadline=None)
@given(whole=st.integers(-(2**50), 2**50), nudge=st.integers(-2, 2), small=st.integers(60, 400))
def test_floors_next_to_integers(whole: int, nudge: int, small: int) -> None:
    """Where floats see an integer, the exact number decides."""
    step = Fraction(nudge, 2**small)
    third = Reals.of(3)
    x = (Reals.of(whole) / third) * third + Reals.of(step)
    assert x.floor().tolist() == [floor(whole + step)]
    assert (x - Reals.of(whole)).signs().tolist() == [(nudge > 0) - (nudge < 0)]


def test_floors_of_what_is_nearly_nothing() -> None:
    """Nearly 0 and negative: the distance from -1 is no float."""
    assert Reals.of([-(2.0**-149), -(2.0**-1074), 2.0**-149, 0.0]).floor(40).tolist() == [-1, -1, 0, 0]


def test_rows_of_different_lengths() -> None:
    x, y = Reals.of([1.5, -2.0, 0.25]), Reals.of(2)
    both = x * y + Reals.of([1, 2, 3])
    sure(both, [Fraction(4), Fraction(-2), Fraction(7, 2)])
    sure(y - x, [Fraction(1, 2), Fraction(4), Fraction(7, 4)])
    sure(both.pick(np.asarray([2, 0])), [Fraction(7, 2), Fraction(4)])
    sure(both.pick(slice(1, 2)), [Fraction(-2)])
    sure(y.spread(2).turned(np.asarray([1, -1])), [Fraction(2), Fraction(-2)])
    assert len(both.spread(3)) == 3


def test_truncated_roots_are_known_as_such() -> None:
    assert not Reals.of(4).sqrt().exact().truncated
    assert (Reals.of([4, 2]).sqrt() * Reals.of(3)).exact().truncated
    exact, cut = Reals.of([4, 2]).sqrt().pick(slice(0, 1)), Reals.of([4, 2]).sqrt().pick(slice(1, 2))
    assert not exact.exact().truncated and cut.exact().truncated


def test_most_rows_are_decided_by_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    gamma, var, x = (rng.uniform(0.5, 2, 1000).astype(np.float32) for _ in range(3))
    made = Reals.of(gamma) / Reals.of(var).sqrt() * Reals.of(x)

    def refuse(i: object) -> Ratios:
        raise AssertionError("an exact number was asked for")

    unknown = Reals(made.high, made.low, made.error, refuse)
    assert (unknown.floor(40) > 0).all() and (unknown.signs() == 1).all()
    assert made.floor(40).tolist() == [floor(v * 2**40) for v in made.fractions()]
