# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""What a search asks for and what it gives back, the same for every backend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bitwright.boards import Board
from bitwright.compile.estimate import RESOURCES, Estimate
from bitwright.compile.estimate.budget import WORDS, budget
from bitwright.compile.explore.problem import Vector


@dataclass(frozen=True)
class Goal:
    """What is best.

    Attributes:
        kind: 'fps': the cheapest design of at least ``fps`` frames per second. 'max-fps': the fastest that fits.
            'energy': the least energy proxy, and of equal ones the cheapest design.
        risk: 'low': the upper ends of all ranges must fit; 'even': the middles.
        seconds: for each integer program.
    """

    kind: Literal["fps", "max-fps", "energy"] = "max-fps"
    fps: float = 0.0
    risk: Literal["low", "even"] = "low"
    seconds: float = 30.0


@dataclass(frozen=True)
class Found:
    """Best design of one backend on one board.

    Attributes:
        estimate: of it; None when nothing fits.
        config: options for `bitwright compile --config`.
        certificate: optimal, bound, gap, proof, method.
        baseline: cycles of slowest-first folding, None where it finds nothing; missing where there is no folding.
        reason: why nothing fits. shortfall: resource -> (least need, there), of those that lack.
    """

    backend: str
    board: str
    estimate: Estimate | None
    config: Mapping[str, Any] = field(default_factory=dict)
    certificate: Mapping[str, Any] = field(default_factory=dict)
    baseline: Mapping[str, Any] | None = None
    reason: str = ""
    shortfall: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "backend": self.backend, "board": self.board, "fits": self.estimate is not None,
            "estimate": self.estimate.as_dict() if self.estimate else None, "config": dict(self.config),
            "certificate": dict(self.certificate), "baseline": self.baseline, "reason": self.reason,
            "shortfall": {k: {"need": n, "has": h} for k, (n, h) in self.shortfall.items()},
        }  # fmt: skip


def lacking(need: Vector, board: Board) -> dict[str, tuple[int, int]]:
    """Resources of which more is needed than there is."""
    return {n: (a, b) for n, a, b in zip(RESOURCES, need, budget(board), strict=True) if a > b}


def words(shortfall: Mapping[str, tuple[int, int]]) -> str:
    """One line, the worst resource first."""
    parts = sorted(shortfall.items(), key=lambda item: -item[1][0] / max(item[1][1], 1))
    return "; ".join(f"{WORDS[n]}: {need:,} needed, {has:,} there, {need - has:,} short" for n, (need, has) in parts)
