# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Exact selection against all choices tried, and against the greedy baseline."""

from __future__ import annotations

import itertools
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitwright.compile.explore import exact, milp, solve
from bitwright.compile.explore.exact import Shortfall
from bitwright.compile.explore.greedy import slowest_first
from bitwright.compile.explore.problem import Link, Option, Problem, Slot, pareto
from bitwright.compile.explore.solve import cheapest, fastest

NAMES = ("dsp", "bram18", "lut")


@st.composite
def problems(draw: st.DrawFn, linked: bool = False) -> Problem:
    count = draw(st.integers(1, 4))
    number = st.integers(0, 12)
    slots = []
    for k in range(count):
        options = draw(
            st.lists(st.builds(Option, st.integers(1, 40), st.tuples(number, number, number)), min_size=1, max_size=4)
        )
        slots.append(Slot(f"layer{k}", tuple(options)))
    found = []
    if linked and count > 1:
        for k in range(count - 1):
            out, into = (tuple(draw(st.integers(1, 3)) for _ in slots[j].options) for j in (k, k + 1))
            table = {}
            for pair in itertools.product(range(1, 4), repeat=2):
                more = draw(st.sampled_from([(0, 0, 0), (0, 0, 3), (1, 2, 0), None]))
                if more != (0, 0, 0):
                    table[pair] = more
            found.append(Link(k, k + 1, out, into, table))
    budget = tuple(draw(st.tuples(*[st.integers(0, 30)] * 3)))
    base = tuple(min(b, draw(st.integers(0, 3))) for b in budget)
    return Problem(tuple(slots), NAMES, budget, base, draw(st.integers(1, 20)), tuple(found))


def everything(problem: Problem) -> list[tuple[int, ...]]:
    return [c for c in itertools.product(*(range(len(s.options)) for s in problem.slots)) if problem.fits(c)]


@settings(deadline=None, max_examples=300)
@given(problems())
def test_fastest_is_the_best_of_all_choices(problem: Problem) -> None:
    fits = everything(problem)
    found = fastest(problem)
    assert found.optimal
    if not fits:
        assert found.chosen is None and found.proof
        return
    assert found.chosen is not None and problem.fits(found.chosen)
    best = min(map(problem.cycles, fits))
    assert found.cycles == problem.cycles(found.chosen) == best == found.bound
    least = min(problem.cost(c) for c in fits if problem.cycles(c) == best)
    assert found.cost == pytest.approx(least)


@settings(deadline=None, max_examples=150)
@given(problems(), st.integers(1, 40))
def test_cheapest_is_the_best_of_all_choices(problem: Problem, limit: int) -> None:
    fits = [c for c in everything(problem) if problem.cycles(c) <= limit]
    found = cheapest(problem, limit)
    assert found.optimal and (found.chosen is None) == (not fits)
    if found.chosen is not None:
        assert problem.fits(found.chosen) and problem.cycles(found.chosen) <= limit
        assert found.cost == pytest.approx(min(map(problem.cost, fits)))


@settings(deadline=None, max_examples=60)
@given(problems(linked=True))
def test_coupled_layers_are_solved_as_all_choices_say(problem: Problem) -> None:
    pytest.importorskip("scipy")
    fits = everything(problem)
    found = fastest(problem)
    assert found.optimal and (found.chosen is None) == (not fits)
    if found.chosen is not None:
        assert problem.fits(found.chosen)
        assert problem.cycles(found.chosen) == min(map(problem.cycles, fits))


@settings(deadline=None, max_examples=60)
@given(problems(linked=True))
def test_many_linked_layers_are_bounded(problem: Problem) -> None:
    """By descent instead of the integer program: what is found fits, and the bounds hold for all choices."""
    fits = everything(problem)
    before, solve.LINKED = solve.LINKED, 0
    try:
        found, cheap = fastest(problem), cheapest(problem, 40)
    finally:
        solve.LINKED = before
    if not fits:
        assert found.chosen is None and cheap.chosen is None
        return
    best = min(map(problem.cycles, fits))
    assert found.bound <= best
    if found.chosen is not None:
        assert problem.fits(found.chosen) and found.cycles >= best
        assert not found.optimal or found.cycles == best
    baseline = slowest_first(problem)
    if baseline is not None:
        assert found.chosen is not None and found.cycles <= problem.cycles(baseline)
    least = min(problem.cost(c) for c in fits)
    if problem.floor <= 40:
        assert cheap.bound <= least + 1e-9
        if cheap.chosen is not None:
            assert problem.fits(cheap.chosen) and cheap.cost >= least - 1e-9


@settings(deadline=None, max_examples=60)
@given(problems())
def test_the_integer_program_agrees_with_the_front(problem: Problem) -> None:
    pytest.importorskip("scipy")
    options = [pareto(s) for s in problem.slots]
    a, b = exact.cheapest(problem, options), milp.cheapest(problem, options)
    assert isinstance(a, Shortfall) == isinstance(b, Shortfall)
    if not isinstance(a, Shortfall) and not isinstance(b, Shortfall):
        assert problem.cost(a) == pytest.approx(problem.cost(b))


@settings(deadline=None, max_examples=200)
@given(problems())
def test_greedy_is_never_better(problem: Problem) -> None:
    found, baseline = fastest(problem), slowest_first(problem)
    if baseline is not None:
        assert problem.fits(baseline)
        assert found.chosen is not None and found.cycles <= problem.cycles(baseline)


def test_the_shortfall_is_named() -> None:
    slot = Slot("conv", (Option(10, (5, 1, 1)), Option(20, (3, 1, 1))))
    found = fastest(Problem((slot, slot), NAMES, (4, 9, 9), (0, 0, 0)))
    assert found.chosen is None and found.proof == "dsp: at least 6 needed, 4 there"


def test_greedy_fails_where_the_front_finds_a_way() -> None:
    """The slowest option needs the most memory, so that the folded start does not fit."""
    slot = Slot("conv", (Option(100, (1, 9, 0)), Option(10, (4, 2, 0))))
    problem = Problem((slot,), NAMES, (5, 5, 5), (0, 0, 0))
    assert slowest_first(problem) is None
    assert fastest(problem).chosen == (1,)


def table(layers: int, seed: int) -> Problem:
    """About as large as MobileNetV2: divisors of 2^a 3^b as reuse factors, DSP against cycles and BRAM."""
    dice = random.Random(seed)
    slots = []
    for k in range(layers):
        work, positions = dice.choice([96, 384, 3456, 9216, 36864]), dice.choice([49, 196, 784, 3136, 12544])
        options = []
        for reuse in [r for r in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96) if work % r == 0]:
            parallel = work // reuse
            options.append(Option(positions * reuse, (parallel, -(-parallel * 4 // 36), 30 * parallel)))
        slots.append(Slot(f"layer{k}", tuple(options)))
    return Problem(tuple(slots), NAMES, (9000, 3000, 400_000), (0, 20, 3000))


def test_a_network_like_mobilenet_v2_takes_seconds() -> None:
    begin = time.perf_counter()
    problem = table(53, 2026)
    found = fastest(problem)
    assert found.optimal and found.chosen is not None
    assert time.perf_counter() - begin < 30
    baseline = slowest_first(problem)
    assert baseline is not None and found.cycles <= problem.cycles(baseline)
