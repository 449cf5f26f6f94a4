# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Selection with couplings between layers, as an integer program for HiGHS (scipy.optimize.milp).

minimize the sum of shares; one option a slot; resources within the budget. A link has a variable for every pair of
properties, a flow: as much leaves a property of the first layer as options with it are taken, as much enters one of the
second. Forbidden pairs carry none.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from bitwright.compile.explore.exact import Shortfall, shortfall
from bitwright.compile.explore.problem import Problem
from bitwright.errors import ToolMissingError


class UndecidedError(Exception):
    """The solver ran out of time. chosen: the best choice so far, None without one. bound: on the cost."""

    def __init__(self, chosen: tuple[int, ...] | None, bound: float) -> None:
        super().__init__("out of time")
        self.chosen, self.bound = chosen, bound


def cheapest(problem: Problem, options: Sequence[Sequence[int]], seconds: float = 30.0) -> tuple[int, ...] | Shortfall:
    """The choice of least cost among ``options`` within the budget, proven; or why there is none.

    Raises UndecidedError after ``seconds``, ToolMissingError without scipy.
    """
    try:
        from scipy.optimize import Bounds, LinearConstraint, milp
        from scipy.sparse import coo_array
    except ImportError:
        raise ToolMissingError("coupled layers need scipy: pip install 'bitwright[explore]'") from None
    lack = shortfall(problem, options)
    if lack is not None:
        return lack
    place: dict[tuple[int, int], int] = {}
    for s, numbers in enumerate(options):
        for k in numbers:
            place[s, k] = len(place)
    usages = [problem.slots[s].options[k].usage for s, k in place]
    rows: list[tuple[int, int, float]] = []
    low: list[float] = []
    high: list[float] = []

    def constrain(entries: Sequence[tuple[int, float]], least: float, most: float) -> None:
        rows.extend((len(low), column, value) for column, value in entries)
        low.append(least)
        high.append(most)

    for s, numbers in enumerate(options):
        constrain([(place[s, k], 1.0) for k in numbers], 1, 1)
    count = len(place)
    for link in problem.links:
        ends: list[dict[int, list[tuple[int, float]]]] = [{}, {}]
        for end, slot, values in ((ends[0], link.first, link.out), (ends[1], link.second, link.into)):
            for k in options[slot]:
                end.setdefault(values[k], []).append((place[slot, k], 1.0))
        for a, b in itertools.product(*ends):
            more = link.usage.get((a, b), (0,) * len(problem.names))
            if more is None:
                continue
            ends[0][a].append((count, -1.0))
            ends[1][b].append((count, -1.0))
            usages.append(more)
            count += 1
        for end in ends:
            for entries in end.values():
                constrain(entries, 0, 0)
    for r, (has, base) in enumerate(zip(problem.budget, problem.base, strict=True)):
        entries = [(column, float(u[r])) for column, u in enumerate(usages) if u[r]]
        constrain(entries, -np.inf, has - base)
    data = coo_array(([v for *_, v in rows], ([r for r, *_ in rows], [c for _, c, _ in rows])), shape=(len(low), count))
    integral = np.zeros(count)
    integral[: len(place)] = 1
    answer = milp(
        np.asarray([problem.share(u) for u in usages]), integrality=integral, bounds=Bounds(0, 1),
        constraints=LinearConstraint(data.tocsr(), np.asarray(low), np.asarray(high)),
        options={"time_limit": seconds, "mip_rel_gap": 0.0},
    )  # fmt: skip
    chosen = None
    if answer.x is not None:
        taken = [max(numbers, key=lambda k, s=s: answer.x[place[s, k]]) for s, numbers in enumerate(options)]  # type: ignore[misc]
        chosen = tuple(taken) if problem.fits(taken) else None
    if answer.status == 0 and chosen is not None:
        return chosen
    if answer.status == 2:
        return Shortfall(None, 0, 0)
    bound = answer.mip_dual_bound
    raise UndecidedError(chosen, float(bound) + problem.share(problem.base) if bound is not None else 0.0)
