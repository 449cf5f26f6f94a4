# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""A good choice for many linked layers, without a proof: one layer at a time is set to its best option."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bitwright.compile.explore.problem import Link, Problem

#: Rounds over all layers at most.
ROUNDS = 20


def descend(problem: Problem, options: Sequence[Sequence[int]], start: Sequence[int]) -> tuple[int, ...] | None:
    """A choice that fits, or None; found from ``start`` by lowering the excess over the budget first, then the cost."""
    chosen = list(start)
    around: list[list[Link]] = [[] for _ in problem.slots]
    for link in problem.links:
        around[link.first].append(link)
        around[link.second].append(link)
    weight = np.asarray([1 / b if b else 1.0 for b in problem.budget])
    budget = np.asarray(problem.budget, np.int64)

    def links_of(slot: int) -> tuple[NDArray[np.int64], int]:
        """Resources of the links of a slot as chosen, and how many of them are forbidden."""
        more, forbidden = np.zeros(len(budget), np.int64), 0
        for link in around[slot]:
            found = link.usage.get(link.of(chosen), ())
            if found is None:
                forbidden += 1
            elif found:
                more += found
        return more, forbidden

    total = np.asarray(problem.base, np.int64)
    for slot, k in zip(problem.slots, chosen, strict=True):
        total = total + slot.options[k].usage
    for link in problem.links:
        total = total + (link.usage.get(link.of(chosen)) or (0,) * len(budget))
    for _ in range(ROUNDS):
        changed = False
        for s, slot in enumerate(problem.slots):
            before = chosen[s]
            rest = total - slot.options[before].usage - links_of(s)[0]
            best, best_rank, best_total = before, None, total
            for k in (before, *options[s]):
                chosen[s] = k
                more, forbidden = links_of(s)
                tried = rest + slot.options[k].usage + more
                excess = float((np.maximum(tried - budget, 0) * weight).sum())
                rank = (forbidden, excess, float((tried * weight).sum()))
                if best_rank is None or rank < best_rank:
                    best, best_rank, best_total = k, rank, tried
            chosen[s], total = best, best_total
            changed |= best != before
        if not changed:
            break
    return tuple(chosen) if problem.fits(chosen) else None
