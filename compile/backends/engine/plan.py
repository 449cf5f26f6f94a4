# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""What stays on chip: cuts the network into segments, and segments into stripes of rows.

A tensor is *resident* (whole in the activation memory from its making to its last use), *spilled* (it lives in DRAM)
or *local* (rows of it exist within one stripe of one segment). A segment of several layers runs all its layers on one
stripe before the next, so a shuffle unit, an inverted residual or a detection head of a large image stays on chip; rows
that the windows of two stripes share are computed twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import accumulate

from bitwright.compile.backends.engine.layers import Network
from bitwright.compile.backends.engine.pack import ArrayLayer, ChannelLayer
from bitwright.compile.backends.engine.stripes import CHANNEL_SHARE, MOVE_SHARE, START, Cut, Cutter, Segment, Span
from bitwright.errors import BackendError
from bitwright.hw.config import BLOCKS, EngineConfig

#: Stripes that are tried.
STRIPES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64)
#: Most layers of a segment.
LONGEST = 14
#: Largest resident tensor as a share of the activation memory.
THRESHOLDS = (1.0, 0.5, 0.3, 0.15, 0.07, 0.03)


@dataclass
class Plan:
    """The whole: every layer belongs to one segment.

    Attributes:
        cost: estimated cycles.
        reads: names of the tensors behind each view that a layer reads, by layer.
    """

    segments: list[Segment]
    resident: frozenset[str]
    spilled: frozenset[str]
    cost: float
    reads: list[list[tuple[str, ...]]]


@dataclass(frozen=True)
class _Range:
    """Layers first .. stop - 1. local: what nothing else reads. touched: what they read and write."""

    local: frozenset[str]
    touched: frozenset[str]
    tallest: int


class Planner:
    """Finds the cheapest plan whose tensors fit.

    Attributes:
        slack: share of the activation memory that a plan may fill; may be changed between two calls of `best`, which
            then share their work.
        cuts: what `_cut_in` found, by segment, stripes and the resident tensors that the segment touches.
    """

    def __init__(
        self, network: Network, config: EngineConfig, packed: dict[int, ArrayLayer | ChannelLayer], slack: float
    ) -> None:
        self.network, self.config, self.packed, self.slack = network, config, packed, slack
        self.cutter = Cutter(network, config, packed)
        self.facts, self.words = self.cutter.facts, self.cutter.words
        self.last, self.made, self.outputs = self.cutter.last, self.cutter.made, self.cutter.outputs
        self.all_words = BLOCKS * config.block_words
        self.given = self.outputs.union(network.inputs.values())
        self.cuts: dict[tuple[int, int, int, frozenset[str]], Cut] = {}
        self.ranges: dict[Span, _Range] = {}
        self.segments: dict[tuple[int, int, frozenset[str], float], Cut | None] = {}
        self.leasts: dict[tuple[int, frozenset[str]], list[tuple[int, float]]] = {}
        self.passing: dict[frozenset[str], list[int]] = {}

    @property
    def capacity(self) -> int:
        """Words that a plan may fill."""
        return int(self.all_words * self.slack)

    def best(self) -> Plan:
        """The cheapest plan. Raises BackendError naming the layer that does not fit in any number of stripes."""
        best: Plan | None = None
        seen: set[frozenset[str]] = set()
        for threshold in THRESHOLDS:
            limit = threshold * BLOCKS * self.config.block_words
            resident = frozenset({n for n in self.made if self.words[n] <= limit} - self.outputs)
            if resident not in seen:
                best = self._cut(resident, best.cost if best else float("inf")) or best
            seen.add(resident)
        if best is None:
            alone = (k for k in range(len(self.facts)) if self._segment(k, k + 1, frozenset()) is None)
            number = next(alone, 0)
            raise BackendError(
                f"{self.network.layers[number].name}: its rows do not fit the activation memory of {self.config.name} "
                f"({BLOCKS * self.config.block_words * 16 // 1024} KB) in any number of stripes; take a larger "
                "configuration"
            )
        return best

    def _cut(self, resident: frozenset[str], limit: float) -> Plan | None:
        """Dynamic programming over where segments end; None when no plan costs less than ``limit``, or none fits."""
        count = len(self.facts)
        edges, rest = self._bounds(resident)
        cheapest = self._cheapest(resident, edges, rest, limit)
        if cheapest >= limit:
            return None
        # The same search forward, for the first of several plans that cost the same.
        most = cheapest * (1 + 1e-9)
        best: list[tuple[float, list[Cut]] | None] = [None] * (count + 1)
        best[0] = (0.0, [])
        for first in range(count):
            here = best[first]
            if here is None:
                continue
            for stop, least in edges[first]:
                if here[0] + least + rest[stop] > most:
                    continue
                found = self._segment(first, stop, resident)
                if found is not None:
                    cost = here[0] + found.cost
                    there = best[stop]
                    if there is None or cost < there[0]:
                        best[stop] = (cost, [*here[1], found])
        end = best[count]
        assert end is not None
        local = {n for s in end[1] for n in s.local}
        spilled = frozenset(set(self.made) - local - resident)
        segments = [cut.segment() for cut in end[1]]
        return Plan(segments, resident - local, spilled, end[0], [f.reads for f in self.facts])

    def _cheapest(
        self, resident: frozenset[str], edges: list[list[tuple[int, float]]], rest: list[float], limit: float
    ) -> float:
        """Cost of the cheapest plan, or ``limit`` if it is not below: A* search, which cuts few segments.

        Hart, Nilsson, Raphael, A formal basis for the heuristic determination of minimum cost paths, 1968.
        """
        cheapest = [float("inf")] * len(rest)
        # (lower bound of the whole, cost of what is before, first, stop): stop is 0 where the plan ends at ``first``.
        queue = [(rest[0], 0.0, 0, 0)]
        while queue:
            bound, before, first, stop = heappop(queue)
            if bound >= limit:
                break
            if stop:
                found = self._segment(first, stop, resident)
                if found is not None and before + found.cost < cheapest[stop]:
                    cheapest[stop] = before + found.cost
                    heappush(queue, (cheapest[stop] + rest[stop], cheapest[stop], stop, 0))
            elif first == len(self.facts):
                return before
            elif before <= cheapest[first]:
                for end, least in edges[first]:
                    heappush(queue, (before + least + rest[end], before, first, end))
        return limit

    def _bounds(self, resident: frozenset[str]) -> tuple[list[list[tuple[int, float]]], list[float]]:
        """Where a segment from each layer may end, with less than it costs; and less than all from each layer on costs.

        A layer that is whole in the memory with all that it reads is alone: nothing is won by joining it with others.
        """
        count = len(self.facts)
        edges: list[list[tuple[int, float]]] = []
        rest = [0.0] * (count + 1)
        for first in reversed(range(count)):
            alone = self._segment(first, first + 1, resident)
            ends = [(first + 1, alone.cost)] if alone is not None else []
            if alone is None or alone.count > 1 or not self._whole(first, resident):
                if (first, resident) not in self.leasts:
                    self.leasts[first, resident] = self._leasts(first, resident)
                ends += self.leasts[first, resident]
            edges.append(ends)
            rest[first] = min((cost + rest[stop] for stop, cost in ends), default=float("inf"))
        return edges[::-1], rest

    def _leasts(self, first: int, resident: frozenset[str]) -> list[tuple[int, float]]:
        """For every segment of several layers: its end, and what rows cost that are made once, in two stripes."""
        array = channels = moved = weights = 0
        loads: dict[str, int] = {}
        leaving: dict[int, int] = {}  # by the last layer that reads them
        found = []
        for k, fact in enumerate(self.facts[first : first + LONGEST], first):
            total = (fact.least[1] - fact.least[0]) * fact.work
            array += total * fact.on_array
            channels += total * (not fact.on_array)
            weights += fact.beats
            moved -= leaving.pop(k, 0)
            last = self.last.get(fact.output, -1)
            if fact.output in self.outputs:
                moved += self.words[fact.output]
            elif fact.output not in resident and last > k:
                moved += self.words[fact.output]
                leaving[last] = leaving.get(last, 0) + self.words[fact.output]
            for n, (lo, hi) in zip(fact.names, fact.need(fact.least), strict=True):
                if n not in resident and self.made.get(n, -1) < first:
                    loads[n] = max(loads.get(n, 0), hi - lo)
            if k > first:
                beats = moved + weights * (1 + self.cutter.reloads(weights))
                beats += sum(rows * self.cutter.row_words[n] for n, rows in loads.items())
                least = array + CHANNEL_SHARE * channels + MOVE_SHARE * beats + START * (k + 1 - first)
                found.append((k + 1, least * (1 - 1e-9)))  # beyond doubt in floats, too
        return found

    def _whole(self, number: int, resident: frozenset[str]) -> bool:
        """All that the layer reads and writes is resident."""
        fact = self.facts[number]
        return all([n in resident or n in self.given for n in (*fact.names, fact.output)])

    def _range(self, first: int, stop: int) -> _Range:
        if (first, stop) not in self.ranges:
            facts = self.facts[first:stop]
            made = frozenset(f.output for f in facts)
            local = frozenset(n for n in made if self.last.get(n, -1) < stop and n not in self.outputs)
            touched = made.union(*(f.names for f in facts))
            tallest = max(f.height for f in facts)
            self.ranges[first, stop] = _Range(local if stop - first > 1 else frozenset(), touched, tallest)
        return self.ranges[first, stop]

    def _segment(self, first: int, stop: int, resident: frozenset[str]) -> Cut | None:
        """The least number of stripes that fits; found once for each share of the memory."""
        key = (first, stop, resident, self.slack)
        if key not in self.segments:
            self.segments[key] = self._new_segment(first, stop, resident)
        return self.segments[key]

    def _new_segment(self, first: int, stop: int, resident: frozenset[str]) -> Cut | None:
        layers = self._range(first, stop)
        near = (layers.touched & resident) - layers.local
        made = (f.output for f in self.facts[first:stop])
        room = self.capacity - self._passing(resident)[first] - sum([self.words[n] for n in made if n in near])
        if room < 0:
            return None
        for count in STRIPES:
            if count > layers.tallest or (count == 1 and stop - first > 1):
                continue
            found = self._cut_in(first, stop, count, near, room)
            if found.peak <= room:
                return found
        return None

    def _passing(self, resident: frozenset[str]) -> list[int]:
        """Words of the resident tensors that each layer finds made, and that it or a later one reads."""
        if resident not in self.passing:
            steps = [0] * (len(self.facts) + 1)
            for n in resident:
                if self.last.get(n, -1) > self.made[n]:
                    steps[self.made[n] + 1] += self.words[n]
                    steps[self.last[n] + 1] -= self.words[n]
            self.passing[resident] = list(accumulate(steps))
        return self.passing[resident]

    def _cut_in(self, first: int, stop: int, count: int, keep: frozenset[str], room: int) -> Cut:
        """The layers in so many stripes; worked out once, and again where there is more room than there was then."""
        key = (first, stop, count, keep)
        found = self.cuts.get(key)
        if found is None or (
            found.peak <= room if found.cost == float("inf") else found.peak > room and not found.exact
        ):
            found = self.cuts[key] = self.cutter.cut(first, stop, count, keep, self._range(first, stop).local, room)
        return found
