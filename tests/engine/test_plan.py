# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""What makes planning quick changes nothing: the pruned search, the rehearsal, the spans that are looked up at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitwright.compile.backends.engine.compiler import SLACKS, lower
from bitwright.compile.backends.engine.emit import Emitter, Rehearsal
from bitwright.compile.backends.engine.memory import MODES, OutOfMemory, Tracker
from bitwright.compile.backends.engine.plan import LONGEST, Plan, Planner
from bitwright.errors import BackendError
from bitwright.hw.config import CONFIGS
from bitwright.hw.isa import UNITS
from tests.engine.nets import random_graph

TINY = CONFIGS["tiny"]


@pytest.fixture(scope="module")
def planners() -> list[Planner]:
    """Planners of random networks that are large for the memory."""
    found = []
    for seed in (0, 4, 7, 11, 14, 15, 16, 19, 23, 25):
        network, packed, refused = lower(random_graph(seed, 14, 120), TINY)
        assert not refused and len(network.layers) > 2
        found.append(Planner(network, TINY, packed, SLACKS[seed % 3]))
    return found


def exhaustive(planner: Planner, resident: frozenset[str]) -> tuple[float, list[tuple[int, int]]] | None:
    """The cheapest plan by looking at every segment: cost and segments."""
    count = len(planner.facts)
    best: list[tuple[float, list[tuple[int, int]]] | None] = [(0.0, [])] + [None] * count
    for first in range(count):
        here = best[first]
        for stop in range(first + 1, min(first + LONGEST, count) + 1) if here else ():
            found = planner._segment(first, stop, resident)
            there = best[stop]
            if here and found and (there is None or here[0] + found[0] < there[0]):
                best[stop] = (here[0] + found[0], [*here[1], (first, stop)])
            if found and stop == first + 1 and len(found[1].stripes) == 1 and planner._whole(first, resident):
                break
    return best[count]


def test_the_pruned_search_finds_what_the_exhaustive_one_finds(planners: list[Planner]) -> None:
    plans = fused = 0
    for planner in planners:
        made = sorted(set(planner.made) - planner.outputs)
        for resident in (frozenset(made), frozenset(made[::2]), frozenset[str]()):
            plan, want = planner._cut(resident, float("inf")), exhaustive(planner, resident)
            assert (plan is None) == (want is None)
            if plan is None or want is None:
                continue
            assert (plan.cost, [(s.first, s.stop) for s in plan.segments]) == want
            assert planner._cut(resident, plan.cost * 0.99) is None
            plans += 1
            fused += any(s.stop - s.first > 1 for s in plan.segments)
    assert plans > 10 and fused > 5


def test_the_rehearsal_runs_out_of_memory_where_the_program_does(planners: list[Planner]) -> None:
    outcomes = set()
    for planner in planners:
        try:
            plan = planner.best()
        except BackendError:
            continue
        for mode in MODES:
            found = []
            for kind in (Rehearsal, Emitter):
                try:
                    kind(planner.network, TINY, plan, planner.packed, mode=mode).walk()
                    found.append(True)
                except OutOfMemory:
                    found.append(False)
            assert found[0] == found[1], mode
            outcomes.add(found[0])
    assert outcomes == {True, False}


def test_spilled_tensors_lie_in_the_order_of_the_layers(planners: list[Planner]) -> None:
    """The order of a set would make another program in every process."""
    most = 0
    for planner in planners:
        alone = [planner._segment(k, k + 1, frozenset()) for k in range(len(planner.facts))]
        if None in alone:
            continue
        segments = [found[1] for found in alone if found]
        plan = Plan(segments, frozenset(), frozenset(planner.made), 0.0, [f.reads for f in planner.facts])
        emitter = Rehearsal(planner.network, TINY, plan, planner.packed, mode="compact")
        try:
            emitter.walk()
        except OutOfMemory:
            continue
        homes = [emitter.homes[x.output].place for x in planner.network.layers if x.output in emitter.homes]
        offsets = [p.offset for p in homes if p.region == "WORK"]
        assert offsets == sorted(offsets)
        most = max(most, len(offsets))
    assert most > 1


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_waits_are_those_of_every_place(data: st.DataObject) -> None:
    size = 40
    tracker = Tracker(size)
    read, written = np.zeros((2, len(UNITS), size), np.int64)
    spans = st.lists(st.tuples(st.integers(0, size), st.integers(0, size)).map(sorted).map(tuple), max_size=5)
    for number in range(1, 12):
        unit, places = data.draw(st.integers(0, len(UNITS) - 1)), data.draw(spans)
        taken = np.zeros(size, bool)
        for lo, hi in places:
            taken[lo:hi] = True
        want = written[:, taken].max(axis=1, initial=0)
        if data.draw(st.booleans()):
            assert tracker.on_read(unit, number, places) == want.tolist()
            read[unit, taken] = number
        else:
            want = np.maximum(want, read[:, taken].max(axis=1, initial=0))
            want[unit] = 0
            assert tracker.on_write(unit, number, places) == want.tolist()
            written[unit, taken] = number


def test_a_plan_that_does_not_fit_names_the_layer() -> None:
    network, packed, _ = lower(random_graph(4, 14, 120), TINY)
    with pytest.raises(BackendError, match="its rows do not fit the activation memory of tiny"):
        Planner(network, TINY, packed, 1e-6).best()
