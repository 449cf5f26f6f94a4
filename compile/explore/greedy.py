# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The baseline: start folded, then unfold the slowest layer as long as it fits (as FINN's SetFolding does)."""

from __future__ import annotations

from bitwright.compile.explore.problem import Problem, pareto


def slowest_first(problem: Problem, target: int = 0) -> tuple[int, ...] | None:
    """A choice, or None where the folded start does not fit.

    Args:
        target: cycles that suffice; the search ends there.
    """
    ladders = []
    for slot in problem.slots:
        ladder = sorted(pareto(slot), key=lambda k: (-slot.options[k].cycles, problem.share(slot.options[k].usage)))
        ladders.append(ladder)
    place = [0] * len(ladders)

    def chosen() -> tuple[int, ...]:
        return tuple(ladder[p] for ladder, p in zip(ladders, place, strict=True))

    if not problem.fits(chosen()):
        return None
    while problem.cycles(chosen()) > max(target, problem.floor):
        slow = max(range(len(place)), key=lambda k: problem.slots[k].options[ladders[k][place[k]]].cycles)
        here = place[slow]
        now = problem.slots[slow].options[ladders[slow][here]].cycles
        for faster in range(here + 1, len(ladders[slow])):
            if problem.slots[slow].options[ladders[slow][faster]].cycles >= now:
                continue
            place[slow] = faster
            if problem.fits(chosen()):
                break
            place[slow] = here
        if place[slow] == here:
            break
    return chosen()
