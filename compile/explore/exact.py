# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Exact selection without couplings: the Pareto front of resources, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitwright.compile.explore.problem import Problem, Vector

#: Partial sums that are kept at most; beyond that the integer program decides.
FRONT = 100


class TooManyError(Exception):
    """The front is larger than FRONT."""


@dataclass(frozen=True)
class Shortfall:
    """The budget cannot be met: of this resource at least ``need`` is needed. None: only all together are short."""

    resource: str | None
    need: int
    has: int

    def __str__(self) -> str:
        if self.resource is None:
            return "every resource alone suffices, but not all together (all undominated choices were tried)"
        return f"{self.resource}: at least {self.need:,} needed, {self.has:,} there"


def allowed(problem: Problem, options: Sequence[Sequence[int]], limit: int) -> list[list[int]] | None:
    """Options of every slot within ``limit`` cycles; None when a slot has none."""
    found = [
        [k for k in numbers if slot.options[k].cycles <= limit]
        for slot, numbers in zip(problem.slots, options, strict=True)
    ]
    return None if any(not f for f in found) else found


def least(problem: Problem, options: Sequence[Sequence[int]]) -> Vector:
    """The smallest need of each resource alone, links left out."""
    total = np.asarray(problem.base, np.int64)
    for slot, numbers in zip(problem.slots, options, strict=True):
        total = total + np.min([slot.options[k].usage for k in numbers], axis=0)
    return tuple(int(v) for v in total)


def shortfall(problem: Problem, options: Sequence[Sequence[int]]) -> Shortfall | None:
    """A resource that alone rules the problem out: the one that lacks most, as a share of what is there."""
    lacks = [
        (need / max(has, 1), name, need, has)
        for name, need, has in zip(problem.names, least(problem, options), problem.budget, strict=True)
        if need > has
    ]
    if not lacks:
        return None
    _, name, need, has = max(lacks)
    return Shortfall(name, need, has)


def cheapest(problem: Problem, options: Sequence[Sequence[int]]) -> tuple[int, ...] | Shortfall:
    """The choice of least cost among ``options`` within the budget, proven; or why there is none.

    Partial sums that another one beats in every resource can never be part of a better whole, since cost grows with
    every resource: they are dropped. Raises TooManyError.
    """
    lack = shortfall(problem, options)
    if lack is not None:
        return lack
    separate = [
        min(numbers, key=lambda k, slot=slot: (problem.share(slot.options[k].usage), k))  # type: ignore[misc]
        for slot, numbers in zip(problem.slots, options, strict=True)
    ]
    if problem.fits(separate):
        return tuple(separate)  # the least of every term is the least of the sum
    return _front(problem, options)


def _front(problem: Problem, options: Sequence[Sequence[int]]) -> tuple[int, ...] | Shortfall:
    budget = np.asarray(problem.budget, np.int64)
    tables = [
        np.asarray([slot.options[k].usage for k in numbers], np.int64)
        for slot, numbers in zip(problem.slots, options, strict=True)
    ]
    rest = np.zeros((len(tables) + 1, len(budget)), np.int64)
    for k in range(len(tables) - 1, -1, -1):
        rest[k] = rest[k + 1] + tables[k].min(axis=0)
    sums = np.asarray([problem.base], np.int64)
    history: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    for k, table in enumerate(tables):
        grown = (sums[:, None, :] + table[None, :, :]).reshape(-1, len(budget))
        fine = np.flatnonzero((grown + rest[k + 1] <= budget).all(axis=1))
        if not len(fine):
            return Shortfall(None, 0, 0)
        kept = fine[_undominated(grown[fine])]
        if len(kept) > FRONT:
            raise TooManyError
        history.append((kept // len(table), kept % len(table)))
        sums = grown[kept]
    at = int(np.argmin([problem.share(tuple(int(v) for v in s)) for s in sums]))
    chosen = []
    for k in range(len(tables) - 1, -1, -1):
        before, option = history[k]
        chosen.append(options[k][int(option[at])])
        at = int(before[at])
    return tuple(reversed(chosen))


def _undominated(points: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers of the rows that no other row equals or beats in every column; of equal rows the first."""
    order = np.lexsort(points.T[::-1])
    kept = np.empty((0, points.shape[1]), np.int64)
    numbers: list[int] = []
    for k in order:
        if len(kept) and (kept <= points[k]).all(axis=1).any():
            continue
        kept = np.vstack([kept, points[k]])
        numbers.append(int(k))
        if len(numbers) > FRONT:
            break
    return np.asarray(numbers, np.int64)
