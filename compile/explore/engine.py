# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Which of the engine's configurations runs a network best on a board."""

from __future__ import annotations

from typing import Any

from bitwright.boards import Board
from bitwright.compile.backends.engine.backend import EngineOptions, clock
from bitwright.compile.backends.engine.compiler import compile_graph, lower
from bitwright.compile.backends.engine.pack import ArrayLayer
from bitwright.compile.estimate import RESOURCES, Estimate
from bitwright.compile.estimate.engine import estimate as estimate_of
from bitwright.compile.estimate.engine import usage_of
from bitwright.compile.explore.found import Found, Goal, budget, lacking, words
from bitwright.compile.explore.problem import Problem, Vector
from bitwright.compile.ir import Graph
from bitwright.errors import BackendError
from bitwright.hw.config import CONFIGS, EngineConfig

#: Families of Yosys' synthesis, by that of the board.
FAMILIES = {"zynq-7000": "xc7", "zynq-ultrascale": "xcup"}


def search(graph: Graph, board: Board, options: EngineOptions, goal: Goal) -> Found:
    """The best of the configurations that fit the board (one of them where the options name it).

    Every configuration is compiled for and timed, the most promising first; one whose least work already takes longer
    than the best so far is left out. The bound is the least work of the widest configuration that fits.
    """
    family = FAMILIES.get(board.family)
    if family is None:
        return Found(
            "engine", board.name, None, reason=f"the engine has no resource model for the family {board.family}"
        )
    asked = {options.config: CONFIGS[options.config]} if options.config else CONFIGS
    needs = {n: usage_of(c, family).vector(goal.risk) for n, c in asked.items() if _made_for(c, board)}
    fitting = [n for n, need in needs.items() if not lacking(need, board)]
    if not fitting:
        if not needs:
            return Found("engine", board.name, None, reason="no configuration is made for this device")
        least = min(needs, key=lambda n: _share(needs[n], board))
        short = lacking(needs[least], board)
        return Found(
            "engine", board.name, None, reason=f"the smallest configuration, {least}: {words(short)}", shortfall=short
        )
    mhz = clock(board, options)
    bounds, refused = {}, ""
    for name in fitting:
        try:
            bounds[name] = least_cycles(graph, CONFIGS[name])
        except BackendError as error:
            refused = str(error)
    best: tuple[tuple[float, ...], str, Estimate] | None = None
    too_slow: list[Estimate] = []
    for name in sorted(bounds, key=lambda n: (bounds[n], _share(needs[n], board))):
        if best is not None and goal.kind == "max-fps" and bounds[name] >= best[2].interval:
            continue
        try:
            compiled = compile_graph(graph, CONFIGS[name])
        except BackendError as error:
            refused = str(error)
            continue
        found = estimate_of(graph, compiled.program, CONFIGS[name], board, mhz)
        if goal.kind == "fps" and found.fps < goal.fps:
            too_slow.append(found)
            continue
        share = _share(needs[name], board)
        rank = {"max-fps": (found.interval, share), "fps": (share, found.interval), "energy": (found.energy_nj, share)}
        if best is None or rank[goal.kind] < best[0]:
            best = (rank[goal.kind], name, found)
    if best is None:
        reason = refused
        if too_slow:
            quick = max(e.fps for e in too_slow)
            reason = f"{goal.fps:g} frames/s are not reached by any configuration that fits; {quick:,.1f} are"
        return Found("engine", board.name, None, reason=reason)
    _, name, found = best
    bound = min(bounds.values())
    gap = found.interval / bound - 1 if goal.kind == "max-fps" else 0.0
    certificate: dict[str, Any] = {
        "optimal": True, "measure": "configuration", "value": found.interval, "bound": bound, "gap": gap,
        "proof": f"the best of the configurations that fit ({', '.join(fitting)}); no schedule on them takes less than "
                 f"{bound:,} cycles",
        "method": "all tried", "risk": goal.risk,
    }  # fmt: skip
    config = {k: v for k, v in options.model_dump(exclude_defaults=True).items() if k != "config"} | {"config": name}
    return Found("engine", board.name, found, config, certificate)


def least_cycles(graph: Graph, config: EngineConfig) -> int:
    """Cycles that the busier of the two compute units needs at least: its steps without any wait.

    Raises BackendError naming what the configuration refuses.
    """
    network, packed, refused = lower(graph, config)
    if refused:
        lines = "; ".join(f"{node} ({op}): {reason}" for node, op, reason in refused)
        raise BackendError(f"the engine refuses {len(refused)} nodes of {graph.name}: {lines}")
    array = channels = 0
    for number, layer in enumerate(network.layers):
        p = packed[number]
        stored = network.stored[layer.output]
        positions = stored.shape[0] * stored.shape[1]
        if isinstance(p, ArrayLayer):
            array += p.subs * p.weights.shape[1] * positions
        else:
            # Upsampling by taps has positions with fewer taps than it has weights for.
            channels += len(p.words) * positions * (1 if layer.kind == "up" else max(p.weights.shape[1], 1))
    return max(array, channels, 1)


def _made_for(config: EngineConfig, board: Board) -> bool:
    """Programs do not depend on the device, but X_BITS and UltraRAM only make sense on some."""
    return not (config.am_ultra and not board.resources.uram) and not config.mul18


def _share(need: Vector, board: Board) -> float:
    return Problem((), RESOURCES, budget(board), (0,) * len(RESOURCES)).share(need)
