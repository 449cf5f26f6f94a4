# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Memories as the program's writer sees them: who used a place last, what is free, what is cached."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitwright.hw.config import BLOCKS, EngineConfig
from bitwright.hw.isa import UNITS

Span = tuple[int, int]


class Tracker:
    """For every place of a memory, the number of the last instruction of each unit that wrote and that read it.

    A reader must wait for the last writers; a writer for the last readers and writers. A unit issues its accesses in
    the order of its instructions, so only a read after a write waits for the unit itself.
    """

    def __init__(self, size: int) -> None:
        # (written and read by unit, place); one place more than there is: see `_latest`.
        self.both = np.zeros((2 * len(UNITS), size + 1), np.int32)
        self.written, self.read = self.both[: len(UNITS)], self.both[len(UNITS) :]

    def on_read(self, unit: int, number: int, spans: Sequence[Span]) -> list[int]:
        """Counts that every unit must have reached before instruction ``number`` of ``unit`` reads the spans."""
        waits = _latest(spans, self.written)
        for lo, hi in spans:
            self.read[unit, lo:hi] = number
        return waits

    def on_write(self, unit: int, number: int, spans: Sequence[Span]) -> list[int]:
        """The same for a write."""
        latest = _latest(spans, self.both)
        waits = [max(pair) for pair in zip(latest[: len(UNITS)], latest[len(UNITS) :], strict=True)]
        for lo, hi in spans:
            self.written[unit, lo:hi] = number
        waits[unit] = 0
        return waits


def _latest(spans: Sequence[Span], table: NDArray[np.int32]) -> list[int]:
    """The greatest number in every row of (rows, places) within the spans, 0 where they are empty."""
    if len(spans) == 1:
        ((lo, hi),) = spans
        latest: list[int] = table[:, lo:hi].max(axis=1, initial=0).tolist()
        return latest
    # From the last place down, reduceat takes single places between the spans.
    edges = [edge for lo, hi in sorted(spans, reverse=True) if lo < hi for edge in (lo, hi)]
    if not edges:
        return [0] * len(table)
    latest = np.maximum.reduceat(table, edges, axis=1)[:, ::2].max(axis=1).tolist()
    return latest


@dataclass(frozen=True)
class Buffer:
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
        self.cursor = [0] * BLOCKS

    def room(self, block: int) -> int:
        """Free words of a block."""
        return sum(hi - lo for lo, hi in self.free[block])

    def take(self, words: int, prefer: frozenset[int] = frozenset()) -> int:
        """Address of ``words`` consecutive words, if possible in the blocks to prefer. Raises OutOfMemory."""
        tight = self.mode in ("dense", "compact")
        if self.mode == "compact":
            prefer = frozenset()
        for block in sorted(range(BLOCKS), key=lambda b: (b not in prefer, self.room(b) * (1 if tight else -1))):
            spans = self.free[block]
            start = self.cursor[block] if self.mode == "rotate" else 0
            order = sorted(range(len(spans)), key=lambda i: (spans[i][1] - words < start, i))
            for i in order:
                lo, hi = spans[i]
                if hi - lo < words:
                    continue
                at = max(lo, start) if lo < start and hi - max(lo, start) >= words else lo
                rest = [s for s in ((lo, at), (at + words, hi)) if s[1] > s[0]]
                spans[i : i + 1] = rest
                self.cursor[block] = at + words
                return self.config.block_base(block) + at
        raise OutOfMemory(words)

    def give(self, address: int, words: int) -> None:
        """Free what `take` gave."""
        shift = self.config.index_bits + 2
        block, lo = address >> shift, address & ((1 << shift) - 1)
        spans = sorted([*self.free[block], (lo, lo + words)])
        merged = [spans[0]]
        for span in spans[1:]:
            if span[0] == merged[-1][1]:
                merged[-1] = (merged[-1][0], span[1])
            else:
                merged.append(span)
        self.free[block] = merged


class Ring:
    """A small memory of a unit, filled in turn; what is still there is not loaded again."""

    def __init__(self, size: int, align: int = 1) -> None:
        self.size, self.align = size, align
        self.next = 0
        self.held: dict[Hashable, Span] = {}
        self.tracker = Tracker(size)

    def find(self, key: Hashable) -> int | None:
        """Where it is, if it is there."""
        span = self.held.get(key)
        return None if span is None else span[0]

    def take(self, key: Hashable, count: int) -> int:
        """Room for ``count`` entries; what was there is forgotten."""
        assert count <= self.size, (key, count, self.size)
        start = -(-self.next // self.align) * self.align
        if start + count > self.size:
            start = 0
        stop = start + count
        self.held = {k: s for k, s in self.held.items() if s[1] <= start or s[0] >= stop}
        self.held[key] = (start, stop)
        self.next = stop
        return start
