# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""From an imported graph to FINN's layers and figures: what `estimate`, `emit` and a search over foldings share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bitwright.boards import Board
from bitwright.compile.backends.finn.folding import choose, figures, override
from bitwright.compile.backends.finn.layers import Folding
from bitwright.compile.backends.finn.limits import refusals
from bitwright.compile.backends.finn.lower import outline
from bitwright.compile.backends.finn.network import Network, network
from bitwright.compile.backends.finn.options import FinnOptions
from bitwright.compile.ir import Graph
from bitwright.errors import BackendError

#: What the figures are worth (docs/finn.md).
KIND = "FINN's own estimates, recomputed without FINN; LUTs and DSP slices are lower bounds"
DEFAULT_CLOCK_MHZ = 100.0


@dataclass(frozen=True)
class Plan:
    """A network on FINN.

    Attributes:
        graph: `lower.outline` of it.
        net: FINN's layers.
        foldings: by layer name.
        figures: see `folding.figures`.
    """

    graph: Graph
    net: Network
    foldings: dict[str, Folding]
    figures: dict[str, Any]


def prepare(graph: Graph, max_activation_bits: int = 8, board: Board | None = None) -> tuple[Graph, Network]:
    """The lowered graph (`lower.outline`) and FINN's layers. Raises BackendError naming all that FINN cannot take."""
    if board is not None and not board.family.startswith("zynq"):
        raise BackendError(f"board {board.name}: FINN builds for Zynq boards, this is a {board.family} part")
    lowered = outline(graph, max_activation_bits)
    refused = refusals(lowered, max_activation_bits)
    if refused:
        raise BackendError("FINN cannot take the model: " + "; ".join(f"{n} ({op}): {why}" for n, op, why in refused))
    return lowered, network(lowered, board)


def plan(graph: Graph, options: FinnOptions, board: Board | None = None) -> Plan:
    """Lower the graph and choose the folding for the options. Raises BackendError."""
    lowered, net = prepare(graph, options.max_activation_bits, board)
    clock = options.clock_mhz or (board.clock_mhz if board else DEFAULT_CLOCK_MHZ)
    target = None if options.fps is None else int(clock * 1e6 / options.fps)
    foldings = override(net, choose(net, target, board), options.layers)
    found = figures(net, foldings, clock)
    costs = [n.cost(graph.inputs_of(n), graph.tensors[n.output]) for n in graph.nodes]
    found |= {"macs_per_frame": sum(c.macs for c in costs), "weights": sum(c.weights for c in costs), "kind": KIND}
    if board is not None:
        found["short"] = shortfall(found, board)
    return Plan(lowered, net, foldings, found)


def shortfall(found: dict[str, Any], board: Board) -> dict[str, list[int]]:
    """Resources of which the estimate alone needs more than the board has: {name: [needed, there]}."""
    have = board.resources
    pairs = {
        "lut": (found["lut_at_least"], have.lut), "bram18": (found["bram18"], 2 * have.bram36),
        "dsp": (found["dsp_at_least"], have.dsp),
    }  # fmt: skip
    return {name: [need, there] for name, (need, there) in pairs.items() if need > there}
