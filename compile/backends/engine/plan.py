# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""What stays on chip: cuts the network into segments, and segments into stripes of rows.

A tensor is *resident* (whole in the activation memory from its making to its last use), *spilled* (it lives in DRAM)
or *local* (rows of it exist within one stripe of one segment). A segment of several layers runs all its layers on one
stripe before the next, so a shuffle unit, an inverted residual or a detection head of a large image stays on chip; rows
that the windows of two stripes share are computed twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field

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
    """The whole: every layer belongs to one segment. cost: estimated cycles."""

    segments: list[Segment]
    resident: frozenset[str]
    spilled: frozenset[str]
    cost: float = 0.0


@dataclass
class _Facts:
    """What planning asks of a layer."""

    layer: Layer
    reads: list[tuple[int, tuple[str, ...]]]
    steps: int
    beats: int
    on_array: bool


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
    cuts: dict[tuple[int, int, int, frozenset[str]], tuple[list[Stripe], int, float]] = field(default_factory=dict)
    touched: dict[tuple[int, int], frozenset[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        network = self.network
        for number, layer in enumerate(network.layers):
            p = self.packed[number]
            reads = [(i, tuple(dict.fromkeys(n for n, _ in v.refs))) for i, v in enumerate(layer.reads())]
            if isinstance(p, ArrayLayer):
                steps, beats = p.subs * p.weights.shape[1], (p.weights.size + p.constants.size) // 16
            else:
                least = max(p.weights.shape[1], p.constants.shape[1])
                steps, beats = len(p.words) * least, (p.weights.size + p.constants.size) // 16
            self.facts.append(_Facts(layer, reads, steps, beats, layer.on_array))
            self.made[layer.output] = number
            for _, names in reads:
                for name in names:
                    self.last[name] = number
        self.words = {n: s.planes * s.shape[0] * s.shape[1] for n, s in network.stored.items()}
        self.outputs = {n for views in network.outputs.values() for v in views for n, _ in v.refs}

    @property
    def capacity(self) -> int:
        """Words that a plan may fill."""
        return int(BLOCKS * self.config.block_words * self.slack)

    def best(self) -> Plan:
        """The cheapest plan. Raises BackendError naming the layer that does not fit in any number of stripes."""
        plans = []
        seen: set[frozenset[str]] = set()
        for threshold in THRESHOLDS:
            limit = threshold * BLOCKS * self.config.block_words
            inside = {n for n in self.made if self.words[n] <= limit} - self.outputs
            resident = frozenset(inside)
            if resident in seen:
                continue
            seen.add(resident)
            plan = self._cut(resident)
            if plan is not None:
                plans.append(plan)
                if len(plan.segments) == len(self.facts) and not plan.spilled:
                    break
        if not plans:
            alone = (k for k in range(len(self.facts)) if self._segment(k, k + 1, frozenset()) is None)
            number = next(alone, 0)
            raise BackendError(
                f"{self.facts[number].layer.name}: its rows do not fit the activation memory of {self.config.name} "
                f"({BLOCKS * self.config.block_words * 16 // 1024} KB) in any number of stripes; take a larger "
                "configuration"
            )
        return min(plans, key=lambda p: p.cost)

    def _cut(self, resident: frozenset[str]) -> Plan | None:
        """Dynamic programming over where segments end."""
        count = len(self.facts)
        best: list[tuple[float, list[Segment]] | None] = [None] * (count + 1)
        best[0] = (0.0, [])
        for first in range(count):
            here = best[first]
            if here is None:
                continue
            for stop in range(first + 1, min(first + LONGEST, count) + 1):
                found = self._segment(first, stop, resident)
                if found is not None:
                    cost = here[0] + found[0]
                    there = best[stop]
                    if there is None or cost < there[0]:
                        best[stop] = (cost, [*here[1], found[1]])
                if (
                    stop == first + 1
                    and found is not None
                    and len(found[1].stripes) == 1
                    and self._whole(first, resident)
                ):
                    break  # nothing is won by joining it with others
        end = best[count]
        if end is None:
            return None
        local = {n for s in end[1] for n in s.local}
        spilled = frozenset(set(self.made) - local - resident)
        return Plan(end[1], resident - local, spilled, end[0])

    def _whole(self, number: int, resident: frozenset[str]) -> bool:
        """All that the layer reads and writes is resident."""
        fact = self.facts[number]
        names = {n for _, ns in fact.reads for n in ns} | {fact.layer.output}
        return all(n in resident or n in self.outputs or n in self.network.inputs.values() for n in names)

    def _segment(self, first: int, stop: int, resident: frozenset[str]) -> tuple[float, Segment] | None:
        """The least number of stripes that fits, and its cost."""
        made = {self.facts[k].layer.output for k in range(first, stop)}
        local = frozenset(n for n in made if self.last.get(n, -1) < stop and n not in self.outputs)
        if stop - first == 1:
            local = frozenset()
        keep = resident - local
        fixed = sum(
            self.words[n] for n in keep
            if (n in made) or (self.made.get(n, 0) < first <= self.last.get(n, -1))
        )  # fmt: skip
        if fixed > self.capacity:
            return None
        tallest = max(self.network.stored[n].shape[0] for n in made)
        if (first, stop) not in self.touched:
            reads = {n for k in range(first, stop) for _, names in self.facts[k].reads for n in names}
            self.touched[first, stop] = frozenset(reads | made)
        near = keep & self.touched[first, stop]
        for count in STRIPES:
            if count > tallest or (count == 1 and stop - first > 1):
                continue
            stripes, peak, cost = self._cut_in(first, stop, count, near, local)
            if fixed + peak <= self.capacity:
                return cost, Segment(first, stop, tuple(stripes), local)
        return None

    def _cut_in(
        self, first: int, stop: int, count: int, keep: frozenset[str], local: frozenset[str]
    ) -> tuple[list[Stripe], int, float]:
        """Stripes of a segment, the most words that one of them takes, and their cost; computed once."""
        key = (first, stop, count, keep)
        if key not in self.cuts:
            stripes = self._stripes(first, stop, count, keep, local)
            peak = max(self._peak(first, stop, s, keep) for s in stripes)
            self.cuts[key] = (stripes, peak, self._cost(first, stop, stripes, keep))
        return self.cuts[key]

    def _stripes(self, first: int, stop: int, count: int, keep: frozenset[str], local: frozenset[str]) -> list[Stripe]:
        done: dict[str, int] = {}
        stripes = []
        for s in range(count):
            need: dict[str, Span] = {}
            rows: dict[int, Span] = {}
            for k in range(stop - 1, first - 1, -1):
                layer = self.facts[k].layer
                name = layer.output
                height = self.network.stored[name].shape[0]
                want = need.get(name)
                if name not in local:
                    share = (s * height // count, (s + 1) * height // count)
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
                for (_, names), view in zip(self.facts[k].reads, layer.reads(), strict=True):
                    lo, hi = layer.rows(view, *want)
                    for n in names:
                        old = need.get(n)
                        need[n] = (lo, hi) if old is None else (min(old[0], lo), max(old[1], hi))
            made = {self.facts[k].layer.output for k in range(first, stop)}
            loads = {n: span for n, span in need.items() if n not in made and n not in keep}
            stripes.append(Stripe(rows, loads))
        return stripes

    def _row_words(self, name: str) -> int:
        s = self.network.stored[name]
        return s.planes * s.shape[1]

    def _peak(self, first: int, stop: int, stripe: Stripe, keep: frozenset[str]) -> int:
        """Most words that tensors of one stripe take at once."""
        last: dict[str, int] = {}
        for k in range(first, stop):
            if stripe.rows[k][0] < stripe.rows[k][1]:
                for _, names in self.facts[k].reads:
                    last |= dict.fromkeys(names, k)
        held: dict[str, int] = {}
        peak = 0
        parts = [((hi - lo), n) for n, (lo, hi) in stripe.loads.items()]
        parts += [
            (hi - lo if (name := self.facts[k].layer.output) not in keep else self.network.stored[name].shape[0], name)
            for k, (lo, hi) in stripe.rows.items()
        ]
        if any(rows * self.network.stored[n].shape[1] > self.config.block_words for rows, n in parts):
            return 1 << 30  # a plane lies within one block
        for k in range(first, stop):
            lo, hi = stripe.rows[k]
            if lo >= hi:
                continue
            for _, names in self.facts[k].reads:
                for n in names:
                    if n in stripe.loads and n not in held:
                        held[n] = (stripe.loads[n][1] - stripe.loads[n][0]) * self._row_words(n)
            name = self.facts[k].layer.output
            if name not in keep:
                held[name] = (hi - lo) * self._row_words(name)
            peak = max(peak, sum(held.values()))
            held = {n: w for n, w in held.items() if last.get(n, -1) > k}
        return peak

    def _cost(self, first: int, stop: int, stripes: list[Stripe], keep: frozenset[str]) -> float:
        array = channels = moved = 0.0
        starts = 0
        for k in range(first, stop):
            fact = self.facts[k]
            width = self.network.stored[fact.layer.output].shape[1]
            total = sum(hi - lo for lo, hi in (s.rows[k] for s in stripes)) * width * fact.steps
            array += total * fact.on_array
            channels += total * (not fact.on_array)
            starts += sum(s.rows[k][0] < s.rows[k][1] for s in stripes)
            name = fact.layer.output
            if name in self.outputs or (name not in keep and self.last.get(name, -1) >= stop):
                moved += self.words[name]
        weights = sum(self.facts[k].beats for k in range(first, stop))
        again = len(stripes) if weights > self.config.weight_depth * self.config.weight_beats // 2 else 1
        moved += weights * again
        moved += sum((hi - lo) * self._row_words(n) for s in stripes for n, (lo, hi) in s.loads.items())
        return array + CHANNEL_SHARE * channels + MOVE_SHARE * moved + START * starts
