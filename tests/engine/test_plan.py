# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""What makes planning quick changes nothing: the pruned search, the rehearsal, the spans that are looked up at once."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitwright.compile.backends.engine.compiler import SLACKS, lower
from bitwright.compile.backends.engine.emit import Emitter
from bitwright.compile.backends.engine.layers import Network
from bitwright.compile.backends.engine.memory import MODES, Allocator, OutOfMemory, Ring, Tracker
from bitwright.compile.backends.engine.order import Packed, overlapped
from bitwright.compile.backends.engine.plan import LONGEST, Plan, Planner
from bitwright.compile.backends.engine.rehearse import Rehearsal
from bitwright.compile.ir.ops import Add, Conv2d
from bitwright.compile.ir.types import Tensor
from bitwright.errors import BackendError
from bitwright.hw.config import CONFIGS
from bitwright.hw.isa import UNITS
from tests.engine.nets import RandomNet, random_graph

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
            if here and found and (there is None or here[0] + found.cost < there[0]):
                best[stop] = (here[0] + found.cost, [*here[1], (first, stop)])
            if found and stop == first + 1 and found.count == 1 and planner._whole(first, resident):
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
        segments = [found.segment() for found in alone if found]
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
    spans = st.lists(
        st.tuples(st.integers(0, size), st.integers(0, size)).map(sorted).map(tuple), min_size=1, max_size=5
    )
    for number in range(1, 12):
        unit, places = data.draw(st.integers(0, len(UNITS) - 1)), data.draw(spans)
        reads = data.draw(st.booleans())
        want = np.zeros((len(places), len(UNITS)), np.int64)
        for row, (lo, hi) in zip(want, places, strict=True):
            row[:] = written[:, lo:hi].max(axis=1, initial=0)
            if not reads:
                row[:] = np.maximum(row, read[:, lo:hi].max(axis=1, initial=0))
                row[unit] = 0
        before = tracker.before_read(places) if reads else tracker.before_write(unit, places)
        assert before.tolist() == want.tolist()
        (tracker.on_read if reads else tracker.on_write)(unit, [number] * len(places), places)
        for lo, hi in places:
            (read if reads else written)[unit, lo:hi] = number


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9), st.booleans()), max_size=60), st.sampled_from((1, 4)))
def test_a_ring_knows_what_it_holds_and_who_read_it(uses: list[tuple[int, int, bool]], align: int) -> None:
    """Against the key and the reader of every single entry."""
    ring = Ring(20, align=align)
    keys: list[object] = [None] * 20
    readers, at = [0] * 20, 0
    for number, (key, size, reads) in enumerate(uses, 1):
        held = ring.held.get((key, size))
        assert (held is not None) == ((key, size) in keys)
        if held is None:
            at = -(-at // align) * align
            at = 0 if at + size > 20 else at
            held, last = ring.take((key, size), size, number)
            assert (held.start, held.load, last) == (at, number, max(readers[at : at + size]))
            for gone in set(keys[at : at + size]) - {None}:
                keys = [None if k == gone else k for k in keys]
            keys[at : at + size] = [(key, size)] * size
            at += size
        assert keys[held.start : held.stop] == [(key, size)] * size == [k for k in keys if k == (key, size)]
        if reads:
            ring.read[held.start : held.stop] = readers[held.start : held.stop] = [number] * size


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 700), min_size=1, max_size=80), st.randoms(), st.sampled_from(MODES))
def test_places_do_not_overlap_and_come_back(sizes: list[int], random: Random, mode: str) -> None:
    memory, taken = Allocator(TINY, mode), {}
    for words in sizes:
        prefer = frozenset(random.sample(range(4), 2))
        try:
            address = memory.take(words, prefer)
        except OutOfMemory:
            assert all(hi - lo < words for spans in memory.free for lo, hi in spans)
        else:
            assert all(address + words <= a or a + w <= address for a, w in taken.items())
            assert address >> 11 == (address + words - 1) >> 11, "within a block"
            taken[address] = words
        if taken and random.random() < 0.4:
            address = random.choice(sorted(taken))
            memory.give(address, taken.pop(address))
        assert memory.room == [sum(hi - lo for lo, hi in spans) for spans in memory.free]
        assert sum(memory.room) + sum(taken.values()) == 4 * TINY.block_words
    for address, words in taken.items():
        memory.give(address, words)
    assert memory.free == [[(0, TINY.block_words)]] * 4


def two_layers_of_the_depthwise_unit(branch: bool) -> tuple[Network, Packed, list[tuple[str, str, str]]]:
    """One after the other; with a branch, their result is added to that of a layer of the array."""
    net = RandomNet(np.random.default_rng(1))

    def conv(x: Tensor, *shape: int) -> Tensor:
        pads, groups = (shape[0] // 2,) * 4, x.channels if shape[2] == 1 else 1
        return net.requant(net.b.add(Conv2d, "c", x.name, weight=net.weights(*shape), groups=groups, pads=pads))

    start = conv(net.x, 1, 1, net.x.channels, 16)
    last = conv(conv(start, 3, 3, 1, 16), 3, 3, 1, 16)
    if branch:
        names = last.name, conv(start, 1, 1, 16, 16).name
        last = net.requant(net.b.add(Add, "a", *names, multipliers=np.ones((2, 1), np.int64)), half_even=False, bits=1)
    net.maps.append(last)
    return lower(net.finish(), TINY)


def test_an_order_that_is_the_models_is_not_tried_twice() -> None:
    network, packed, _ = two_layers_of_the_depthwise_unit(False)
    assert len(network.layers) >= 3 and overlapped(network, packed) is None
    network, packed, _ = two_layers_of_the_depthwise_unit(True)
    assert [x.kind for x in network.layers][:4] == ["pw", "conv", "conv", "pw"]
    found = overlapped(network, packed)
    assert found is not None
    assert [x.kind for x in found[0].layers][:4] == ["pw", "conv", "pw", "conv"]  # the array does not wait


def test_a_plan_that_does_not_fit_names_the_layer() -> None:
    network, packed, _ = lower(random_graph(4, 14, 120), TINY)
    with pytest.raises(BackendError, match="its rows do not fit the activation memory of tiny"):
        Planner(network, TINY, packed, 1e-6).best()
