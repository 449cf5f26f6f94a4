# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""From the integer graph to a program for one configuration of the engine."""

from __future__ import annotations

from dataclasses import dataclass

from bitwright.compile.backends.engine.emit import Emitter
from bitwright.compile.backends.engine.expand import expand
from bitwright.compile.backends.engine.layers import Network, Refused
from bitwright.compile.backends.engine.memory import MODES, OutOfMemory
from bitwright.compile.backends.engine.order import Packed, overlapped
from bitwright.compile.backends.engine.pack import ArrayLayer, ChannelLayer, pack_array, pack_channels
from bitwright.compile.backends.engine.place import place
from bitwright.compile.backends.engine.plan import Plan, Planner
from bitwright.compile.backends.engine.program import Program
from bitwright.compile.backends.engine.select import select
from bitwright.compile.backends.engine.split import split_wide
from bitwright.compile.backends.engine.timing import time_program
from bitwright.compile.backends.kept import kept_with_graph
from bitwright.compile.ir import Graph
from bitwright.errors import BackendError
from bitwright.hw.config import EngineConfig

#: Shares of the activation memory that plans may fill: planes of different sizes leave gaps.
SLACKS = (0.97, 0.9, 0.8, 0.7, 0.6, 0.5)


@dataclass(frozen=True)
class Compiled:
    """A program and how it came about."""

    network: Network
    packed: Packed
    plan: Plan
    program: Program


@kept_with_graph
def lower(
    graph: Graph, config: EngineConfig
) -> tuple[Network, dict[int, ArrayLayer | ChannelLayer], list[tuple[str, str, str]]]:
    """Layers, placed and packed, and what the engine refuses as (node, operator, reason)."""
    network, refused = select(graph, config.x_bits)
    packed: Packed = {}
    if refused:
        return network, packed, refused
    if not config.dw:
        refused = expand(network)
        if refused:
            return network, packed, refused
    split_wide(network, config)
    place(network)
    for number, layer in enumerate(network.layers):
        try:
            p = pack_array(network, layer, config) if layer.on_array else pack_channels(network, layer)
            _check_memories(p, config)
            packed[number] = p
        except Refused as error:
            refused.append((layer.name, layer.kind, str(error)))
    return network, packed, refused


def _check_memories(p: ArrayLayer | ChannelLayer, config: EngineConfig) -> None:
    if isinstance(p, ArrayLayer) and p.whole * p.steps > config.weight_depth:
        raise Refused(
            f"its least part needs {p.whole * p.steps} words of weights, configuration {config.name} holds "
            f"{config.weight_depth}; take a larger one"
        )
    if isinstance(p, ChannelLayer) and p.steps > config.dw_weight_depth:
        raise Refused(f"a window needs {p.steps} words of weights, there are {config.dw_weight_depth}")
    if len(p.words) > 255:
        raise Refused(f"it reads {len(p.words)} planes of 16 channels, an instruction takes 255")


def compile_graph(graph: Graph, config: EngineConfig, *, dump: bool = False) -> Compiled:
    """Compile.

    Args:
        dump: also store every intermediate tensor to DRAM (`Program.dumps`), to compare layer by layer.

    Raises BackendError naming every node that the engine refuses, or the layer that does not fit.
    """
    network, packed, refused = lower(graph, config)
    if refused:
        lines = "".join(f"\n  {node} ({op}): {reason}" for node, op, reason in refused)
        raise BackendError(f"the engine refuses {len(refused)} nodes of {graph.name}:{lines}")
    orders = [(network, packed), overlapped(network, packed)]
    candidates = [_fit(graph, *order, config, dump) for order in orders if order is not None]
    found = [candidate for candidate in candidates if candidate is not None]
    if not found:
        raise BackendError(
            f"{graph.name}: its tensors do not fit the activation memory of configuration {config.name}; take a larger "
            "one"
        )
    if len(found) == 1:
        return found[0]
    return min(found, key=lambda compiled: time_program(compiled.program, config).cycles)


def _fit(graph: Graph, network: Network, packed: Packed, config: EngineConfig, dump: bool) -> Compiled | None:
    """A program for the layers in this order, or None when the activation memory is too fragmented for any plan."""
    planner = Planner(network, config, packed, SLACKS[0])
    for planner.slack in SLACKS:
        plan = planner.best()
        for mode in MODES:
            emitter = Emitter(network, config, plan, packed, dump=dump, mode=mode)
            try:
                program = emitter.run()
            except OutOfMemory:
                continue
            program.shapes |= {o.tensor: graph.tensors[o.tensor].shape for o in graph.outputs}
            return Compiled(network, packed, plan, program)
    return None
