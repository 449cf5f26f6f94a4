# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Memories as the program's writer sees them: who used a place last, what is free, what is cached."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Iterable, Sequence
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitwright.hw.config import BLOCKS, EngineConfig
from bitwright.hw.isa import UNITS

Span = tuple[int, int]


class Tracker:
    """For every place of a memory, the number of the last instruction of each unit that wrote and that used it.

    A reader must wait for the last writers; a writer for all that used it. A unit issues its accesses in the order of
    its instructions, so only a read after a write waits for the unit itself.
    """

    def __init__(self, size: int) -> None:
        # (unit, place); one place more than there is: see `_latest`.
        self.written, self.used = (np.zeros((len(UNITS), size + 1), np.int32) for _ in range(2))

    def before_read(self, spans: Sequence[Span]) -> NDArray[np.int32]:
        """Counts that every unit must have reached before each of the spans is read: int32 (spans, units)."""
        return _latest(spans, self.written)

    def before_write(self, unit: int, spans: Sequence[Span]) -> NDArray[np.int32]:
        """The same before ``unit`` writes them."""
        latest = _latest(spans, self.used)
        latest[:, unit] = 0
        return latest

    def on_read(self, unit: int, numbers: Iterable[int], spans: Iterable[Span]) -> None:
        """Instructions of ``unit`` by number, one a span, read the spans."""
        used = self.used[unit]
        for number, (lo, hi) in zip(numbers, spans, strict=True):
            used[lo:hi] = number

    def on_write(self, unit: int, numbers: Iterable[int], spans: Iterable[Span]) -> None:
        """They write them."""
        written, used = self.written[unit], self.used[unit]
        for number, (lo, hi) in zip(numbers, spans, strict=True):
            written[lo:hi] = used[lo:hi] = number


def _latest(spans: Sequence[Span], table: NDArray[np.int32]) -> NDArray[np.int32]:
    """The greatest number in every row of (rows, places) for every span, (spans, rows); 0 where it is empty."""
    latest = np.zeros((len(spans), len(table)), np.int32)
    if len(spans) == 1:
        ((lo, hi),) = spans
        latest[0] = table[:, lo:hi].max(axis=1, initial=0)
        return latest
    # From the last place down, reduceat takes single places between the spans.
    order = sorted((k for k, (lo, hi) in enumerate(spans) if lo < hi), key=spans.__getitem__, reverse=True)
    if order:
        edges = [edge for k in order for edge in spans[k]]
        latest[order] = np.maximum.reduceat(table, edges, axis=1)[:, ::2].T
    return latest


class Buffer(NamedTuple):
    """Rows first .. first + rows - 1 of one plane in the activation memory.

    Attributes:
        address: of its first word. pitch: words of a row.
    """

    address: int
    first: int
    rows: int
    pitch: int

    @property
    def base(self) -> int:
        """Address that row 0 would have, modulo 2^16: tables hold this one, so that all rows keep their numbers."""
        return (self.address - self.first * self.pitch) & 0xFFFF

    def span(self, first: int, stop: int) -> Span:
        """Addresses of some rows."""
        assert self.first <= first and stop <= self.first + self.rows, (self, first, stop)
        start = self.address + (first - self.first) * self.pitch
        return start, start + (stop - first) * self.pitch


#: Ways to give places, tried in turn.
MODES = ("rotate", "spread", "dense", "compact")


class OutOfMemory(Exception):
    """The activation memory is full; another plan is tried."""


class Allocator:
    """First fit within the blocks of the activation memory; a plane lies within one block.

    Modes, from fast programs to tight ones: 'rotate' gives places in turn, so that writers seldom wait for old readers;
    'spread' fills blocks from below, the emptiest first; 'dense' the fullest first, which leaves large planes room.
    All three take the preferred blocks where they can, 'compact' is 'dense' without preferences.
    """

    def __init__(self, config: EngineConfig, mode: str = "rotate") -> None:
        self.config = config
        self.mode = mode
        self.free: list[list[Span]] = [[(0, config.block_words)] for _ in range(BLOCKS)]
        self.room = [config.block_words] * BLOCKS  # free words
        self.cursor = [0] * BLOCKS

    def take(self, words: int, prefer: frozenset[int] = frozenset()) -> int:
        """Address of ``words`` consecutive words, if possible in the blocks to prefer. Raises OutOfMemory."""
        every = range(BLOCKS)
        groups = [every] if self.mode == "compact" else [sorted(prefer), [b for b in every if b not in prefer]]
        for group in groups:
            for block in sorted(group, key=self.room.__getitem__, reverse=self.mode in ("rotate", "spread")):
                spans = self.free[block]
                start = self.cursor[block] if self.mode == "rotate" else 0
                fit = [i for i, (lo, hi) in enumerate(spans) if hi - lo >= words]
                if fit:
                    i = next((i for i in fit if spans[i][1] - words >= start), fit[0])
                    lo, hi = spans[i]
                    at = start if lo < start <= hi - words else lo
                    spans[i : i + 1] = [s for s in ((lo, at), (at + words, hi)) if s[1] > s[0]]
                    self.room[block] -= words
                    self.cursor[block] = at + words
                    return self.config.block_base(block) + at
        raise OutOfMemory(words)

    def give(self, address: int, words: int) -> None:
        """Free what `take` gave."""
        shift = self.config.index_bits + 2
        block, lo = address >> shift, address & ((1 << shift) - 1)
        spans, hi = self.free[block], lo + words
        self.room[block] += words
        first = stop = bisect_left(spans, (lo, hi))
        if first and spans[first - 1][1] == lo:
            first -= 1
            lo = spans[first][0]
        if stop < len(spans) and spans[stop][0] == hi:
            hi = spans[stop][1]
            stop += 1
        spans[first:stop] = [(lo, hi)]


_STOP = itemgetter(1)


class Held(NamedTuple):
    """Entries start .. stop - 1 of a ring, written by LD number ``load``."""

    start: int
    stop: int
    load: int


class Ring:
    """A small memory of a unit, filled in turn; what is still there is not loaded again.

    Only LD writes it and only its unit reads it, so one number a key and one an entry say what must be waited for.
    """

    def __init__(self, size: int, beats: int = 0, align: int = 1) -> None:
        self.size, self.beats, self.align = size, beats, align
        self.next = 0
        self.held: dict[Hashable, Held] = {}
        self.order: list[tuple[int, int, Hashable]] = []  # (first entry, behind the last, key) by entry
        self.read = [0] * size  # the last instruction that reads each entry

    def take(self, key: Hashable, count: int, number: int) -> tuple[Held, int]:
        """Room for ``count`` entries, written by LD ``number``; what was there is forgotten. Returns what it waits for.

        The second is the number of the unit's instruction that read one of the entries last.
        """
        assert count <= self.size, (key, count, self.size)
        start = -(-self.next // self.align) * self.align
        if start + count > self.size:
            start = 0
        self.next = stop = start + count
        low = high = bisect_right(self.order, start, key=_STOP)
        while high < len(self.order) and self.order[high][0] < stop:
            del self.held[self.order[high][2]]
            high += 1
        self.order[low:high] = [(start, stop, key)]
        held = self.held[key] = Held(start, stop, number)
        return held, max(self.read[start:stop], default=0)
