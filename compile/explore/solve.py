# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Fastest and cheapest foldings, with a certificate.

The fastest interval is found by bisection over the cycle counts that options have: with more cycles allowed there are
more options, so what fits stays fit. Every step is decided exactly (exact.py), or by HiGHS where layers are coupled or
the front of partial sums grows too large (milp.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bitwright.compile.explore import exact, milp
from bitwright.compile.explore.descent import descend
from bitwright.compile.explore.exact import Shortfall, allowed
from bitwright.compile.explore.greedy import slowest_first
from bitwright.compile.explore.problem import Problem, Solution, pareto

#: Cost differences below this are rounding.
EPSILON = 1e-9
#: Pairs of properties of linked layers that the integer program takes; above, the links are met by descent.
LINKED = 4000


@dataclass(frozen=True)
class Verdict:
    """A limit of cycles, decided. proven: both a choice being cheapest and there being none."""

    chosen: tuple[int, ...] | None
    proven: bool
    why: str
    method: str
    bound: float


def decide(problem: Problem, options: Sequence[Sequence[int]], limit: int, seconds: float) -> Verdict:
    """The cheapest choice within ``limit`` cycles."""
    here = allowed(problem, options, limit)
    if here is None:
        slow = max(problem.slots, key=lambda s: min(o.cycles for o in s.options))
        why = f"{slow.name} takes at least {min(o.cycles for o in slow.options):,} cycles"
        return Verdict(None, True, why, "limits of layers", float("inf"))
    if problem.links and _pairs(problem, here) > LINKED:
        return _loosely(problem, here, limit, seconds)
    method = "milp"
    try:
        if problem.links:
            found = milp.cheapest(problem, here, seconds)
        else:
            try:
                found, method = exact.cheapest(problem, here), "exact"
            except exact.TooManyError:
                found = milp.cheapest(problem, here, seconds)
    except milp.UndecidedError as undecided:
        return Verdict(undecided.chosen, False, f"undecided after {seconds:g} s", "milp", undecided.bound)
    if isinstance(found, Shortfall):
        return Verdict(None, True, str(found), method, float("inf"))
    return Verdict(found, True, "least cost", method, problem.cost(found))


def _pairs(problem: Problem, options: Sequence[Sequence[int]]) -> int:
    """Pairs of properties over all links."""
    sides = (({link.out[k] for k in options[link.first]}, {link.into[k] for k in options[link.second]})
             for link in problem.links)  # fmt: skip
    return sum(len(a) * len(b) for a, b in sides)


def _loosely(problem: Problem, options: Sequence[Sequence[int]], limit: int, seconds: float) -> Verdict:
    """Without the links exactly, which bounds the cost; then with them by descent from there."""
    alone = decide(replace(problem, links=()), options, limit, seconds)
    if alone.chosen is None:
        return alone
    starts = [alone.chosen, slowest_first(problem, limit)]
    tries = [descend(problem, options, s) for s in starts if s is not None and problem.cycles(s) <= limit]
    found = min((t for t in tries if t is not None), key=problem.cost, default=None)
    if found is None:
        return Verdict(None, False, "no choice that fits was found with the width converters", "descent", alone.bound)
    proven = problem.cost(found) <= alone.bound + EPSILON
    return Verdict(found, proven, "least cost" if proven else "found by descent", "descent", alone.bound)


def _options(problem: Problem) -> list[Sequence[int]]:
    """Options worth a look: those that no other one with the same properties beats."""
    found: list[Sequence[int]] = []
    for number, slot in enumerate(problem.slots):
        sides = [link.out for link in problem.links if link.first == number]
        sides += [link.into for link in problem.links if link.second == number]
        found.append(pareto(slot, list(zip(*sides, strict=True))))
    return found


def fastest(problem: Problem, seconds: float = 30.0) -> Solution:
    """The least interval within the budget, and among those the cheapest choice."""
    options = _options(problem)
    quickest = max([problem.floor, *(min(o.cycles for o in s.options) for s in problem.slots)])
    limits = sorted({quickest, *(o.cycles for s in problem.slots for o in s.options if o.cycles >= quickest)})
    low, high = -1, len(limits) - 1  # limits[low] was not met, limits[high] was
    reason, proven, undecided, first = f"no layer can go below {quickest:,} cycles", quickest, False, high
    if problem.links:
        # Links only take resources: what does not fit without them never fits. Often the same speed does with them.
        alone = fastest(replace(problem, links=()), seconds)
        if alone.chosen is None:
            return alone
        if alone.optimal and alone.cycles > quickest:
            low = limits.index(alone.cycles) - 1
            reason, proven, first = f"without width converters, {alone.proof}", alone.cycles, low + 1
    best = decide(problem, options, limits[first], seconds)
    if best.chosen is None and first < high:
        low, undecided = first, not best.proven
        if best.proven:
            reason, proven = f"within {limits[first]:,} cycles: {best.why}", limits[first + 1]
        first = high
        best = decide(problem, options, limits[first], seconds)
    if best.chosen is None:
        return Solution(None, 0, 0.0, float(limits[-1]), best.proven, best.why, best.method)
    high, method = first, best.method
    while high - low > 1:
        middle = (low + high) // 2
        tried = decide(problem, options, limits[middle], seconds)
        method = tried.method if tried.method == "milp" else method
        if tried.chosen is not None:
            best, high = tried, middle
        elif tried.proven:
            low, proven = middle, max(proven, limits[middle + 1])
            reason = f"within {limits[middle]:,} cycles: {tried.why}"
        else:
            undecided, low = True, middle
    assert best.chosen is not None
    baseline = slowest_first(problem) if undecided else None
    if baseline is not None and problem.cycles(baseline) < problem.cycles(best.chosen):
        best = replace(best, chosen=baseline)
    assert best.chosen is not None
    cycles = problem.cycles(best.chosen)
    if undecided:
        why = f"undecided: only below {proven:,} cycles everything is ruled out"
        return Solution(best.chosen, cycles, problem.cost(best.chosen), float(proven), False, why, method)
    return Solution(best.chosen, cycles, problem.cost(best.chosen), float(cycles), True, reason, method)


def cheapest(problem: Problem, limit: int, seconds: float = 30.0) -> Solution:
    """The cheapest choice with at most ``limit`` cycles between frames."""
    if limit < problem.floor:
        why = f"the streams of inputs and outputs take {problem.floor:,} cycles"
        return Solution(None, 0, 0.0, float("inf"), True, why, "limits of layers")
    found = decide(problem, _options(problem), limit, seconds)
    if found.chosen is None:
        return Solution(None, 0, 0.0, found.bound, found.proven, found.why, found.method)
    cost = problem.cost(found.chosen)
    proven = found.proven or cost <= found.bound + EPSILON
    proof = "no choice of less cost fits" if proven else f"{found.why}: a cost below {found.bound:.4f} is ruled out"
    return Solution(found.chosen, problem.cycles(found.chosen), cost, found.bound, proven, proof, found.method)
