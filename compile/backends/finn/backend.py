# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The FINN backend: integer graph -> FINN project (docs/finn.md)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bitwright.boards import Board
from bitwright.compile.backends.base import Project, Report, Transport, parse_options
from bitwright.compile.backends.finn.estimate import plan
from bitwright.compile.backends.finn.limits import refusals
from bitwright.compile.backends.finn.lower import lower, outline, with_thresholds
from bitwright.compile.backends.finn.options import FinnOptions, LayerOptions
from bitwright.compile.ir import Graph


class FinnBackend:
    """See docs/finn.md."""

    name = "finn"

    def options(self, values: Mapping[str, Any]) -> FinnOptions:
        """Check options; BackendError names field, rule and value."""
        return parse_options(self.name, FinnOptions, values, {"layers": LayerOptions})

    def supports(self, graph: Graph, options: FinnOptions, board: Board | None = None) -> Report:
        """What FINN's layers cannot compute, after everything that can be rewritten has been."""
        refused = refusals(outline(graph, options.max_activation_bits), options.max_activation_bits)
        return Report(self.name, tuple(refused))

    def lower(self, graph: Graph, options: FinnOptions) -> Graph:
        """Requantizations as thresholds; no zero points, no scales on sums."""
        return lower(graph, options.max_activation_bits)

    def emit(self, graph: Graph, board: Board, options: FinnOptions, folder: Path) -> Project:
        """Write the FINN project into ``folder``."""
        from bitwright.compile.backends.finn.project import streams, write_project

        made = plan(graph, options, board)
        lowered, clock = with_thresholds(made.graph), made.figures["clock_mhz"]
        write_project(folder, lowered, made.net, made.foldings, board, clock)
        words = streams(lowered, made.net, made.foldings)
        return Project(
            folder, lowered,
            {name: Transport(s["bits"], s["signed"]) for name, s in words["inputs"].items()},
            {name: Transport(s["bits"], s["signed"]) for name, s in words["outputs"].items()},
            made.figures, transport="finn",
        )  # fmt: skip

    def estimate(self, graph: Graph, options: FinnOptions, board: Board | None = None) -> Mapping[str, Any]:
        """FINN's estimates without FINN, for an UltraScale+ part when no board is given (docs/estimates.md)."""
        from bitwright.compile.estimate.finn import estimate

        made = plan(graph, options, board)
        return made.figures | estimate(graph, made.graph, made.net, made.foldings, made.figures["clock_mhz"]).as_dict()
