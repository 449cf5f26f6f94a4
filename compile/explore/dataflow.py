# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Folding of designs that give every layer hardware of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bitwright.boards import Board
from bitwright.compile.estimate import Estimate
from bitwright.compile.explore import exact
from bitwright.compile.explore.exact import allowed
from bitwright.compile.explore.found import Found, Goal, lacking, words
from bitwright.compile.explore.greedy import slowest_first
from bitwright.compile.explore.problem import Problem, Solution, Vector
from bitwright.compile.explore.solve import cheapest, fastest


@dataclass(frozen=True)
class Design:
    """A backend's folding problem on one board.

    Attributes:
        problem: with the board's budget. clock_mhz: of the design.
        estimate, config: of a choice of options.
    """

    backend: str
    board: Board
    problem: Problem
    clock_mhz: float
    estimate: Callable[[Sequence[int]], Estimate]
    config: Callable[[Sequence[int]], Mapping[str, Any]]


def search(design: Design, goal: Goal) -> Found:
    """The best choice, proven or with its gap, beside the greedy baseline."""
    problem = design.problem
    limit = 0
    if goal.kind == "fps":
        limit = int(design.clock_mhz * 1e6 / goal.fps)
        solution = cheapest(problem, limit, goal.seconds)
    elif goal.kind == "energy":
        # Work and traffic of a network are the same in every folding: the cheapest design is the one of least energy.
        limit = max(o.cycles for s in problem.slots for o in s.options) if problem.slots else problem.floor
        solution = cheapest(problem, max(limit, problem.floor), goal.seconds)
    else:
        solution = fastest(problem, goal.seconds)
    if solution.chosen is None:
        return _nothing(design, goal, solution, limit)
    baseline = slowest_first(problem, limit)
    compared: dict[str, Any] = {"fits": False, "interval_cycles": None, "cost": None}
    if baseline is not None and (not limit or problem.cycles(baseline) <= limit):
        compared = {"fits": True, "interval_cycles": problem.cycles(baseline), "cost": problem.cost(baseline)}
    by_cost = goal.kind != "max-fps"
    value = solution.cost if by_cost else solution.cycles
    certificate = {
        "optimal": solution.optimal, "measure": "cost (sum of shares)" if by_cost else "cycles between frames",
        "value": value, "bound": solution.bound, "gap": 0.0 if solution.optimal else value / solution.bound - 1,
        "proof": solution.proof, "method": solution.method, "risk": goal.risk,
    }  # fmt: skip
    return Found(
        design.backend, design.board.name, design.estimate(solution.chosen), design.config(solution.chosen),
        certificate, compared,
    )  # fmt: skip


def _nothing(design: Design, goal: Goal, solution: Solution, limit: int) -> Found:
    """Why, with the least need of every resource: at the asked speed, else at any."""
    problem = design.problem
    every = [range(len(s.options)) for s in problem.slots]
    options = allowed(problem, every, limit) if limit else None
    need: Vector = exact.least(problem, options or every)
    short = lacking(need, design.board)
    reason = words(short) if short else solution.proof
    if goal.kind == "fps" and not lacking(exact.least(problem, every), design.board):
        possible = fastest(problem, goal.seconds)
        if possible.chosen is not None:
            fps = design.clock_mhz * 1e6 / possible.cycles
            reason = f"{goal.fps:g} frames/s do not fit ({reason}); {fps:,.1f} do"
    return Found(design.backend, design.board.name, None, reason=reason, shortfall=short)
