# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""What stays on chip: cuts the network into segments, and segments into stripes of rows.

A tensor is *resident* (whole in the activation memory from its making to its last use), *spilled* (it lives in DRAM)
or *local* (rows of it exist within one stripe of one segment). A segment of several layers runs all its layers on one
stripe before the next, so a shuffle unit, an inverted residual or a detection head of a large image stays on chip; rows
that the windows of two stripes share are computed twice.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from heapq import heappop, heappush

from bitwright.compile.backends.engine.layers import Layer, Network
from bitwright.compile.backends.engine.pack import ArrayLayer, ChannelLayer
from bitwright.errors import BackendError
from bitwright.hw.config import BLOCKS, EngineConfig

Span = tuple[int, int]
#: Stripes that are tried.
STRIPES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64)
#: Most layers of a segment.
LONGEST = 14
#: Largest resident tensor as a share of the activation memory.
THRESHOLDS = (1.0, 0.5, 0.3, 0.15, 0.07, 0.03)
#: Cycles that an instruction costs beside its steps.
START = 40
#: Weight of the depthwise unit's cycles and of moved beats in the cost of a plan: most of both hides behind the array.
CHANNEL_SHARE, MOVE_SHARE = 0.6, 0.6


@dataclass(frozen=True)
class Stripe:
    """Rows of one stripe.

    Attributes:
        rows: rows of its output that every layer makes, by number of the layer; may be empty.
        loads: rows of every spilled tensor that the stripe reads.
    """

    rows: dict[int, Span]
    loads: dict[str, Span]


@dataclass(frozen=True)
class Segment:
    """Layers first .. stop - 1, run stripe by stripe. local: tensors that exist within a stripe only."""

    first: int
    stop: int
    stripes: tuple[Stripe, ...]
    local: frozenset[str]


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


@dataclass
class _Facts:
    """What planning asks of a layer.

    Attributes:
        output: the tensor that it makes, (height, width).
        reads: names of the tensors behind each view that it reads. names: all of them.
        least: the rows of the output that the network's outputs depend on.
        spans: rows of every view that some rows of the output need, by these; filled as they are asked for.
    """

    layer: Layer
    output: str
    height: int
    width: int
    reads: list[tuple[str, ...]]
    names: tuple[str, ...]
    steps: int
    beats: int
    on_array: bool
    least: Span = (0, 0)
    spans: dict[Span, list[tuple[tuple[str, ...], Span]]] = field(default_factory=dict)

    def need(self, rows: Span) -> list[tuple[tuple[str, ...], Span]]:
        """The tensors behind every view and the rows of it that ``rows`` of the output need."""
        found = self.spans.get(rows)
        if found is None:
            views = zip(self.reads, self.layer.reads(), strict=True)
            found = self.spans[rows] = [(names, self.layer.rows(view, *rows)) for names, view in views]
        return found


def _join(spans: dict[str, Span], more: list[tuple[tuple[str, ...], Span]]) -> None:
    for names, span in more:
        for n in names:
            old = spans.get(n)
            spans[n] = span if old is None else (min(old[0], span[0]), max(old[1], span[1]))


@dataclass(frozen=True)
class _Range:
    """Layers first .. stop - 1. made: what they write. local: what nothing else reads. touched: what they read, too."""

    made: frozenset[str]
    local: frozenset[str]
    touched: frozenset[str]
    tallest: int


@dataclass(frozen=True)
class _Cut:
    """Layers in stripes. peak: the most words that one takes; without stripes: what the first took that did not fit."""

    stripes: tuple[Stripe, ...]
    peak: int
    cost: float


@dataclass
class Planner:
    """Finds the cheapest plan whose tensors fit.

    Attributes:
        packed: every layer, packed. slack: share of the activation memory that a plan may fill; may be changed between
            two calls of `best`, which then share their work.
        cuts: what `_cut_in` found, by segment, stripes and the resident tensors that the segment touches.
    """

    network: Network
    config: EngineConfig
    packed: dict[int, ArrayLayer | ChannelLayer]
    slack: float
    facts: list[_Facts] = field(default_factory=list)
    last: dict[str, int] = field(default_factory=dict)
    made: dict[str, int] = field(default_factory=dict)
    words: dict[str, int] = field(default_factory=dict)
    row_words: dict[str, int] = field(default_factory=dict)
    cuts: dict[tuple[int, int, int, frozenset[str]], _Cut] = field(default_factory=dict)
    ranges: dict[Span, _Range] = field(default_factory=dict)
    segments: dict[tuple[int, int, frozenset[str], float], tuple[float, Segment] | None] = field(default_factory=dict)
    leasts: dict[tuple[int, frozenset[str]], list[tuple[int, float]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        network = self.network
        for number, layer in enumerate(network.layers):
            p = self.packed[number]
            reads = [tuple(dict.fromkeys(n for n, _ in v.refs)) for v in layer.reads()]
            if isinstance(p, ArrayLayer):
                steps, beats = p.subs * p.weights.shape[1], (p.weights.size + p.constants.size) // 16
            else:
                least = max(p.weights.shape[1], p.constants.shape[1])
                steps, beats = len(p.words) * least, (p.weights.size + p.constants.size) // 16
            height, width, _ = network.stored[layer.output].shape
            names = tuple(dict.fromkeys(n for ns in reads for n in ns))
            fact = _Facts(layer, layer.output, height, width, reads, names, steps, beats, layer.on_array)
            self.facts.append(fact)
            self.made[layer.output] = number
            self.last |= dict.fromkeys(names, number)
        self.words = {n: s.planes * s.shape[0] * s.shape[1] for n, s in network.stored.items()}
        self.row_words = {n: s.planes * s.shape[1] for n, s in network.stored.items()}
        self.outputs = {n for views in network.outputs.values() for v in views for n, _ in v.refs}
        needed: dict[str, Span] = {}
        for fact in reversed(self.facts):
            fact.least = needed.get(fact.output, (0, 0)) if fact.output not in self.outputs else (0, fact.height)
            if fact.least[0] < fact.least[1]:
                _join(needed, fact.need(fact.least))

    @property
    def capacity(self) -> int:
        """Words that a plan may fill."""
        return int(BLOCKS * self.config.block_words * self.slack)

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
                f"{self.facts[number].layer.name}: its rows do not fit the activation memory of {self.config.name} "
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
        best: list[tuple[float, list[Segment]] | None] = [None] * (count + 1)
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
                    cost = here[0] + found[0]
                    there = best[stop]
                    if there is None or cost < there[0]:
                        best[stop] = (cost, [*here[1], found[1]])
        end = best[count]
        assert end is not None
        local = {n for s in end[1] for n in s.local}
        spilled = frozenset(set(self.made) - local - resident)
        return Plan(end[1], resident - local, spilled, end[0], [f.reads for f in self.facts])

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
                if found is not None and before + found[0] < cheapest[stop]:
                    cheapest[stop] = before + found[0]
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
            ends = [(first + 1, alone[0])] if alone is not None else []
            if alone is None or len(alone[1].stripes) > 1 or not self._whole(first, resident):
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
            total = (fact.least[1] - fact.least[0]) * fact.width * fact.steps
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
            for names, (lo, hi) in fact.need(fact.least):
                for n in names:
                    if n not in resident and self.made.get(n, -1) < first:
                        loads[n] = max(loads.get(n, 0), hi - lo)
            if k > first:
                beats = moved + weights * (1 + self._reloads(weights))
                beats += sum(rows * self.row_words[n] for n, rows in loads.items())
                least = array + CHANNEL_SHARE * channels + MOVE_SHARE * beats + START * (k + 1 - first)
                found.append((k + 1, least * (1 - 1e-9)))  # beyond doubt in floats, too
        return found

    def _reloads(self, weights: int) -> bool:
        """So many beats of weights are loaded anew for every stripe."""
        return weights > self.config.weight_depth * self.config.weight_beats // 2

    def _whole(self, number: int, resident: frozenset[str]) -> bool:
        """All that the layer reads and writes is resident."""
        fact = self.facts[number]
        names = (*fact.names, fact.output)
        return all(n in resident or n in self.outputs or n in self.network.inputs.values() for n in names)

    def _range(self, first: int, stop: int) -> _Range:
        if (first, stop) not in self.ranges:
            facts = self.facts[first:stop]
            made = frozenset(f.output for f in facts)
            local = frozenset(n for n in made if self.last.get(n, -1) < stop and n not in self.outputs)
            touched = made.union(*(f.names for f in facts))
            tallest = max(f.height for f in facts)
            self.ranges[first, stop] = _Range(made, local if stop - first > 1 else frozenset(), touched, tallest)
        return self.ranges[first, stop]

    def _segment(self, first: int, stop: int, resident: frozenset[str]) -> tuple[float, Segment] | None:
        """The least number of stripes that fits, and its cost; found once for each share of the memory."""
        key = (first, stop, resident, self.slack)
        if key not in self.segments:
            self.segments[key] = self._new_segment(first, stop, resident)
        return self.segments[key]

    def _new_segment(self, first: int, stop: int, resident: frozenset[str]) -> tuple[float, Segment] | None:
        layers = self._range(first, stop)
        keep = resident - layers.local
        fixed = sum(
            self.words[n] for n in keep
            if n in layers.made or self.made.get(n, 0) < first <= self.last.get(n, -1)
        )  # fmt: skip
        room = self.capacity - fixed
        if room < 0:
            return None
        near = keep & layers.touched
        for count in STRIPES:
            if count > layers.tallest or (count == 1 and stop - first > 1):
                continue
            found = self._cut_in(first, stop, count, near, room)
            if found.peak <= room:
                return found.cost, Segment(first, stop, found.stripes, layers.local)
        return None

    def _cut_in(self, first: int, stop: int, count: int, keep: frozenset[str], room: int) -> _Cut:
        """The layers in so many stripes; worked out once, and again where there is more room than there was then."""
        key = (first, stop, count, keep)
        found = self.cuts.get(key)
        if found is None or (not found.stripes and found.peak <= room):
            found = self.cuts[key] = self._new_cut(first, stop, count, keep, room)
        return found

    def _new_cut(self, first: int, stop: int, count: int, keep: frozenset[str], room: int) -> _Cut:
        local, made = self._range(first, stop).local, self._range(first, stop).made
        done: dict[str, int] = {}
        peaks: dict[Hashable, int] = {}  # most stripes are alike but for where they lie
        stripes: list[Stripe] = []
        for number in range(count):
            stripe = self._stripe(first, stop, (number, count), keep, local, made, done)
            spans = (*stripe.rows.items(), *stripe.loads.items())
            shape = tuple((k, hi - lo) for k, (lo, hi) in spans)
            if shape not in peaks:
                peaks[shape] = self._peak(first, stop, stripe, keep)
                if peaks[shape] > room:
                    return _Cut((), peaks[shape], float("inf"))
            stripes.append(stripe)
        return _Cut(tuple(stripes), max(peaks.values()), self._cost(first, stop, stripes, keep))

    def _stripe(
        self, first: int, stop: int, part: Span, keep: frozenset[str], local: frozenset[str], made: frozenset[str],
        done: dict[str, int],
    ) -> Stripe:  # fmt: skip
        """One of the stripes, by number and how many there are. done: rows of what is kept that those before made."""
        s, count = part
        need: dict[str, Span] = {}
        rows: dict[int, Span] = {}
        for k in range(stop - 1, first - 1, -1):
            fact = self.facts[k]
            name = fact.output
            want = need.get(name)
            if name not in local:
                share = (s * fact.height // count, (s + 1) * fact.height // count)
                want = share if want is None else (min(want[0], share[0]), max(want[1], share[1]))
            if want is None or want[0] >= want[1]:
                rows[k] = (0, 0)
                continue
            if name in keep:  # what was made before is still there
                want = (done.get(name, 0), max(want[1], done.get(name, 0)))
                done[name] = want[1]
            rows[k] = want
            if want[0] >= want[1]:
                continue
            _join(need, fact.need(want))
        return Stripe(rows, {n: span for n, span in need.items() if n not in made and n not in keep})

    def _peak(self, first: int, stop: int, stripe: Stripe, keep: frozenset[str]) -> int:
        """Most words that tensors of one stripe take at once."""
        running = [(k, self.facts[k], hi - lo) for k, (lo, hi) in reversed(stripe.rows.items()) if lo < hi]
        last: dict[str, int] = {}
        for k, fact, _ in running:
            last |= dict.fromkeys(fact.names, k)
        parts = [(hi - lo, n) for n, (lo, hi) in stripe.loads.items()]
        parts += [
            (hi - lo if (name := self.facts[k].output) not in keep else self.facts[k].height, name)
            for k, (lo, hi) in stripe.rows.items()
        ]
        if any(rows * self.network.stored[n].shape[1] > self.config.block_words for rows, n in parts):
            return 1 << 30  # a plane lies within one block
        held: dict[str, int] = {}
        peak = total = 0
        for k, fact, rows in running:
            for n in fact.names:
                if n in stripe.loads and n not in held:
                    held[n] = (stripe.loads[n][1] - stripe.loads[n][0]) * self.row_words[n]
                    total += held[n]
            if fact.output not in keep:
                total -= held.get(fact.output, 0)
                held[fact.output] = rows * self.row_words[fact.output]
                total += held[fact.output]
            peak = max(peak, total)
            for n in (*fact.names, fact.output):
                if last.get(n, -1) <= k:
                    total -= held.pop(n, 0)
        return peak

    def _cost(self, first: int, stop: int, stripes: list[Stripe], keep: frozenset[str]) -> float:
        array = channels = moved = 0.0
        starts = 0
        for k in range(first, stop):
            fact = self.facts[k]
            lengths = [hi - lo for lo, hi in (s.rows[k] for s in stripes)]
            total = sum(lengths) * fact.width * fact.steps
            array += total * fact.on_array
            channels += total * (not fact.on_array)
            starts += sum(n > 0 for n in lengths)
            name = fact.output
            if name in self.outputs or (name not in keep and self.last.get(name, -1) >= stop):
                moved += self.words[name]
        weights = sum(self.facts[k].beats for k in range(first, stop))
        moved += weights * (len(stripes) if self._reloads(weights) else 1)
        moved += sum((hi - lo) * self.row_words[n] for s in stripes for n, (lo, hi) in s.loads.items())
        return array + CHANNEL_SHARE * channels + MOVE_SHARE * moved + START * starts
