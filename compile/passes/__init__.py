# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Rewrites of the integer graph that keep every output integer."""

from bitwright.compile.ir.graph import Graph
from bitwright.compile.passes.base import Pass, run_passes
from bitwright.compile.passes.cleanup import CommonSubexpressions, DeadCode, FuseClamps, FusePads
from bitwright.compile.passes.layout import MoveTransposesToHost, PermuteDenseWeights, ReadGatesFlat, SimplifyMovement

#: What every imported graph goes through.
DEFAULT_PASSES: tuple[Pass, ...] = (
    DeadCode(),
    CommonSubexpressions(),
    SimplifyMovement(),
    PermuteDenseWeights(),
    ReadGatesFlat(),
    MoveTransposesToHost(),
    FuseClamps(),
    FusePads(),
)


def finalize(graph: Graph) -> Graph:
    """Run the default passes to a fixed point."""
    return run_passes(graph, DEFAULT_PASSES)


__all__ = ["DEFAULT_PASSES", "Pass", "finalize", "run_passes"]
