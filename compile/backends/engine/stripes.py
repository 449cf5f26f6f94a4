# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Segments of layers in stripes of rows: what every layer makes in each, what of the memory they take, their cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import mul

from bitwright.compile.backends.engine.layers import Network
from bitwright.compile.backends.engine.pack import ArrayLayer, ChannelLayer
from bitwright.hw.config import EngineConfig

Span = tuple[int, int]
#: Cycles that an instruction costs beside its steps.
START = 40
#: Weight of the depthwise unit's cycles and of moved beats in the cost of a plan: most of both hides behind the array.
CHANNEL_SHARE, MOVE_SHARE = 0.6, 0.6
#: Of more stripes the first two are looked at before the others.
EARLY = 4
#: Words of what does not fit in any memory.
ENDLESS = 1 << 30
#: No rows.
NONE = (0, 0)
#: What becomes of a tensor within a segment: it exists within a stripe, it stays in the memory, or it goes to DRAM.
LOCAL, KEPT, LEAVING = range(3)


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
class Facts:
    """What planning asks of a layer.

    Attributes:
        output: the tensor that it makes, of so many rows. work, row_words: cycles of its unit, and words, for a row.
        reads: names of the tensors behind each view that it reads. names: all of them.
        windows: rows of each view that some rows of the output need.
        beats: of its weights and constants.
        least: the rows of the output that the network's outputs depend on.
        spans: what `need` found, by rows.
    """

    output: str
    height: int
    work: int
    row_words: int
    reads: list[tuple[str, ...]]
    names: tuple[str, ...]
    windows: list[Callable[[int, int], Span]]
    beats: int
    on_array: bool
    least: Span = (0, 0)
    spans: dict[Span, tuple[Span, ...]] = field(default_factory=dict)

    def need(self, rows: Span) -> tuple[Span, ...]:
        """The rows of each of ``names`` that ``rows`` of the output need."""
        found = self.spans.get(rows)
        if found is None:
            if rows[0] >= rows[1]:
                found = (NONE,) * len(self.names)
            elif len(self.windows) == 1:
                found = (self.windows[0](*rows),) * len(self.names)
            else:
                spans = dict.fromkeys(self.names, NONE)
                for names, window in zip(self.reads, self.windows, strict=True):
                    span = window(*rows)
                    spans |= {n: join(spans[n], span) for n in names}
                found = tuple(spans.values())
            self.spans[rows] = found
        return found


def join(a: Span, b: Span) -> Span:
    """The span that reaches over both; one that is empty reaches nowhere."""
    if a[0] >= a[1] or b[0] >= b[1]:
        return b if a[0] >= a[1] else a
    return min(a[0], b[0]), max(a[1], b[1])


def _shared(need: Span, share: Span) -> Span:
    """What a stripe makes: what is needed in it, and its share of the rows."""
    if need == NONE:
        return share if share[0] < share[1] else NONE
    return min(need[0], share[0]), max(need[1], share[1])


class Tail:
    """A layer of a segment, given what follows it: segments that end alike share the rows of their last layers.

    Attributes:
        rows: rows of its output in the first stripes, as far as they were asked for. lengths: how many.
        needs: by stripe, rows of what it and the layers after it read and do not make.
        earlier: the layer before it in longer segments, by what becomes of that one's output.
        words: that the output takes in the second stripe (or the only one), unless it is kept. floor: words that this
            stripe takes at least.
    """

    __slots__ = (
        "after", "count", "done", "earlier", "fact", "fate", "floor", "lengths", "needs", "rows", "wanted", "words",
    )  # fmt: skip

    def __init__(self, fact: Facts, fate: int, count: int, after: Tail | None) -> None:
        self.fact, self.fate, self.count, self.after = fact, fate, count, after
        self.rows: list[Span] = []
        self.lengths: list[int] = []
        self.done = 0  # rows of what is kept that the stripes before made
        self.needs: dict[str, list[Span]] = dict(after.needs) if after else {}
        self.wanted = self.needs.pop(fact.output, None)
        for n in fact.names:
            self.needs[n] = []
        self.earlier: dict[int, Tail] = {}
        self.floor = self.words = 0

    def grow(self, stripes: int) -> None:
        """Find the rows of so many stripes; the layer after it has found them."""
        fact, first = self.fact, len(self.rows)
        rows = self.wanted[first:stripes] if self.wanted is not None else [NONE] * (stripes - first)
        if self.fate != LOCAL:
            height, count = fact.height, self.count
            shares = [(s * height // count, (s + 1) * height // count) for s in range(first, stripes)]
            rows = [_shared(need, share) for need, share in zip(rows, shares, strict=True)]
        if self.fate == KEPT:
            for s, (low, high) in enumerate(rows):
                if low < high:  # what was made before is still there
                    rows[s] = (self.done, max(high, self.done))
                    self.done = rows[s][1]
        self.rows += rows
        self.lengths += [hi - lo for lo, hi in rows]
        spans = fact.spans
        needed = [spans.get(r) or fact.need(r) for r in rows]
        later = self.after.needs if self.after else {}
        for n, new in zip(fact.names, zip(*needed, strict=True), strict=True):
            self.needs[n] += map(join, later[n][first:stripes], new) if n in later else new


@dataclass
class Group:
    """Layers first .. stop - 1 with the tensors that are kept.

    Attributes:
        loads: what they read from DRAM. tensors: the outputs from the last layer to the first, then ``loads``.
        row_words, widths: words that a row of each of them takes, in all planes and in one; 0 when it is kept.
        held: for each layer the tensors, by their place in ``tensors``, that are there while it runs.
        beats: of weights and constants. leaving: words that go to DRAM.
        too_wide: a plane of a kept tensor is larger than a block.
    """

    loads: list[str]
    tensors: list[str]
    row_words: list[int]
    widths: list[int]
    held: list[list[int]]
    beats: int
    leaving: int
    too_wide: bool


@dataclass(slots=True)
class Cut:
    """A group in stripes.

    Attributes:
        tails: the layers, the last one first; none where it does not fit.
        peak: the most words that a stripe takes, or more than that unless ``exact``; where ``cost`` is endless, at most
            what one takes that does not fit.
    """

    first: int
    stop: int
    count: int
    tails: list[Tail]
    local: frozenset[str]
    loads: list[str]
    peak: int
    exact: bool
    cost: float

    def segment(self) -> Segment:
        """With the rows of every stripe."""
        numbers = range(self.stop - 1, self.first - 1, -1)
        stripes = []
        for s in range(self.count):
            rows = dict(zip(numbers, (tail.rows[s] for tail in self.tails), strict=True))
            loads = {n: self.tails[-1].needs[n][s] for n in self.loads}
            stripes.append(Stripe(rows, {n: (lo, hi) for n, (lo, hi) in loads.items() if lo < hi}))
        return Segment(self.first, self.stop, tuple(stripes), self.local)


class Cutter:
    """Cuts groups of layers into stripes.

    Attributes:
        facts: of every layer. made: the one that makes a tensor. readers: those that read it. last: the last of them.
        outputs: tensors that leave the network. words, row_words: of a tensor and of a row of it.
    """

    def __init__(self, network: Network, config: EngineConfig, packed: dict[int, ArrayLayer | ChannelLayer]) -> None:
        self.config = config
        self.facts: list[Facts] = []
        self.last: dict[str, int] = {}
        self.made: dict[str, int] = {}
        self.readers: dict[str, list[int]] = {}
        for number, layer in enumerate(network.layers):
            p = packed[number]
            steps = p.subs * p.steps if isinstance(p, ArrayLayer) else len(p.words) * max(p.steps, p.entries)
            height, width, _ = network.stored[layer.output].shape
            reads = [v.names for v in layer.reads()]
            names = tuple(dict.fromkeys(n for ns in reads for n in ns))
            windows = [layer.window(v) for v in layer.reads()]
            words = network.stored[layer.output].planes * width
            fact = Facts(layer.output, height, width * steps, words, reads, names, windows, p.beats, layer.on_array)
            self.facts.append(fact)
            self.made[layer.output] = number
            self.last |= dict.fromkeys(names, number)
            for n in names:
                self.readers.setdefault(n, []).append(number)
        self.widths = {n: s.shape[1] for n, s in network.stored.items()}
        self.row_words = {n: s.planes * s.shape[1] for n, s in network.stored.items()}
        self.words = {n: s.planes * s.shape[0] * s.shape[1] for n, s in network.stored.items()}
        self.outputs = {n for views in network.outputs.values() for v in views for n in v.names}
        needed = dict.fromkeys(network.stored, NONE)
        for fact in reversed(self.facts):
            fact.least = needed[fact.output] if fact.output not in self.outputs else (0, fact.height)
            for n, span in zip(fact.names, fact.need(fact.least), strict=True):
                needed[n] = join(needed[n], span)
        self.tails: dict[tuple[int, int], dict[int, Tail]] = {}
        self.groups: dict[tuple[int, int, frozenset[str]], Group] = {}

    def reloads(self, weights: int) -> bool:
        """So many beats of weights are loaded anew for every stripe."""
        return weights > self.config.weight_depth * self.config.weight_beats // 2

    def cut(self, first: int, stop: int, count: int, keep: frozenset[str], local: frozenset[str], room: int) -> Cut:
        """Layers first .. stop - 1 in so many stripes that need no more than ``room`` words each.

        Args:
            keep: tensors that stay in the memory, of those that the layers read or make. local: what they make and
                nothing else reads.
        """
        tails, floor = self._tails(first, stop, count, keep, local, room)
        if floor > room:
            return Cut(first, stop, count, [], local, [], floor, True, float("inf"))
        group = self._group(first, stop, keep)
        for some in (2, count) if count > EARLY else (count,):  # what does not fit is seen early
            for tail in tails:
                if len(tail.rows) < some:
                    tail.grow(some)
            loads = [[hi - lo for lo, hi in tails[-1].needs[n][:some]] for n in group.loads]
            # Most stripes are alike but for where they lie.
            shapes = list(dict.fromkeys(zip(*[tail.lengths[:some] for tail in tails], *loads, strict=True)))
            peak, exact = self._peak(first, group, shapes, room)
            if peak > room:
                return Cut(first, stop, count, [], local, [], peak, exact, float("inf"))
        moved = group.leaving + group.beats * (count if self.reloads(group.beats) else 1)
        moved += sum([self.row_words[n] * sum(rows) for n, rows in zip(group.loads, loads, strict=True)])
        array = sum([t.fact.work * sum(t.lengths) for t in tails if t.fact.on_array])
        channels = sum([t.fact.work * sum(t.lengths) for t in tails if not t.fact.on_array])
        starts = len(tails) * count - sum([t.lengths.count(0) for t in tails])
        cost = array + CHANNEL_SHARE * channels + MOVE_SHARE * moved + START * starts
        return Cut(first, stop, count, tails, local, group.loads, peak, exact, cost)

    def _tails(
        self, first: int, stop: int, count: int, keep: frozenset[str], local: frozenset[str], room: int
    ) -> tuple[list[Tail], int]:
        """The layers from the last one on, as far as they may fit, and what a stripe takes at least."""
        siblings = self.tails.setdefault((stop, count), {})
        tail: Tail | None = None
        found: list[Tail] = []
        for k in range(stop - 1, first - 1, -1):
            name = self.facts[k].output
            fate = LOCAL if name in local else KEPT if name in keep else LEAVING
            after, tail = tail, siblings.get(fate)
            if tail is None:
                tail = siblings[fate] = Tail(self.facts[k], fate, count, after)
                tail.grow(min(2, count))
                if fate != KEPT:
                    tail.words = tail.lengths[-1] * self.facts[k].row_words
                    beside = [found[stop - 1 - j].words for j in self.readers.get(name, ()) if j < stop]
                    tail.floor = tail.words + max(beside, default=0)
                tail.floor = max(tail.floor, after.floor if after else 0)
            found.append(tail)
            if tail.floor > room:
                return found, tail.floor
            siblings = tail.earlier
        assert tail is not None
        spans = [(n, tail.needs[n][min(1, count - 1)]) for n in self.facts[first].names if n not in keep]
        loaded = tail.words + sum([(hi - lo) * self.row_words[n] for n, (lo, hi) in spans])
        return found, max(tail.floor, loaded)

    def _group(self, first: int, stop: int, keep: frozenset[str]) -> Group:
        if (first, stop, keep) not in self.groups:
            self.groups[first, stop, keep] = self._new_group(first, stop, keep)
        return self.groups[first, stop, keep]

    def _new_group(self, first: int, stop: int, keep: frozenset[str]) -> Group:
        facts = self.facts[first:stop]
        made = {f.output for f in facts}
        loads = list(dict.fromkeys(n for f in facts for n in f.names if n not in made and n not in keep))
        tensors = [*(f.output for f in reversed(facts)), *loads]
        leaving = sum(
            self.words[f.output] for f in facts
            if f.output in self.outputs or (f.output not in keep and self.last.get(f.output, -1) >= stop)
        )  # fmt: skip
        return Group(
            loads,
            tensors,
            [0 if n in keep else self.row_words[n] for n in tensors],
            [0 if n in keep else self.widths[n] for n in tensors],
            self._held(range(first, stop), tensors),
            sum(f.beats for f in facts),
            leaving,
            any(f.height * self.widths[f.output] > self.config.block_words for f in facts if f.output in keep),
        )

    def _held(self, running: Sequence[int], tensors: list[str]) -> list[list[int]]:
        """What is in the memory while each of the layers runs, by place in ``tensors``."""
        places = {n: i for i, n in enumerate(tensors)}
        last: dict[str, int] = {}
        for k in running:
            last |= dict.fromkeys(self.facts[k].names, k)
        held: dict[str, int] = {}
        found = []
        for k in running:
            touched = [n for n in (*self.facts[k].names, self.facts[k].output) if n in places]
            held |= {n: places[n] for n in touched}
            found.append(list(held.values()))
            for n in touched:
                if last.get(n, -1) <= k:
                    held.pop(n, None)
        return found

    def _peak(self, first: int, group: Group, shapes: list[tuple[int, ...]], room: int) -> tuple[int, bool]:
        """Most words that tensors of one stripe take at once, and True; or of one that has more, and False.

        Args:
            shapes: of each stripe, rows of ``group.tensors``. room: one that takes more is enough to know.
        """
        layers = len(group.held)
        if len(shapes) > 1 and not any([0 in shape[:layers] for shape in shapes]):
            most = self._words(group, group.held, tuple(map(max, *shapes)))
            if most <= room:
                return most, False
        peak = 0
        for shape in shapes:
            held = group.held
            if 0 in shape[:layers]:  # layers that do not run hold nothing
                running = [first + layers - 1 - i for i in reversed(range(layers)) if shape[i]]
                held = self._held(running, group.tensors)
            peak = max(peak, self._words(group, held, shape))
            if peak > room:
                break
        return peak, True

    def _words(self, group: Group, held: list[list[int]], rows: tuple[int, ...]) -> int:
        """Most words that tensors of so many rows take at once; ENDLESS when a plane does not fit a block."""
        if group.too_wide or max(map(mul, rows, group.widths)) > self.config.block_words:
            return ENDLESS
        sizes = list(map(mul, rows, group.row_words))
        return max([sum([sizes[i] for i in found]) for found in held], default=0)
