# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The best design of one backend or of all, and what to do when nothing fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bitwright.boards import Board, board_names, load_board
from bitwright.compile.backends import backend_names, load_backend
from bitwright.compile.estimate.budget import budget
from bitwright.compile.explore import engine, finn, hls4ml
from bitwright.compile.explore.dataflow import Design, search
from bitwright.compile.explore.exact import least
from bitwright.compile.explore.found import Found, Goal, lacking
from bitwright.compile.explore.requantize import candidates, requantize_weights
from bitwright.compile.explore.solve import fastest
from bitwright.compile.ir import Graph
from bitwright.errors import BackendError

#: Backends in the order in which they are tried.
BACKENDS = ("engine", "hls4ml", "finn")
#: How each lays out a folding problem.
DESIGNS: Mapping[str, Callable[[Graph, Board, Any, str], Design]] = {"hls4ml": hls4ml.design, "finn": finn.design}
#: Weight bits that are tried when nothing fits.
NARROWER = (6, 4, 3, 2)


def explore(graph: Graph, board: Board, backend: str, options: Mapping[str, Any], goal: Goal) -> Found:
    """The best design of one backend; a refusal of the network is a reason, not an error."""
    tool = load_backend(backend)
    chosen = tool.options(_completed(graph, board, backend, options))
    report = tool.supports(graph, chosen)
    if not report.accepted:
        node, op, why = report.refused[0]
        more = f", and {len(report.refused) - 1} more nodes" if len(report.refused) > 1 else ""
        return Found(backend, board.name, None, reason=f"it refuses {node} ({op}): {why}{more}")
    try:
        if backend == "engine":
            return engine.search(graph, board, chosen, goal)
        return search(DESIGNS[backend](graph, board, chosen, goal.risk), goal)
    except BackendError as error:
        return Found(backend, board.name, None, reason=str(error))


def _completed(graph: Graph, board: Board, backend: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options, with the tool of hls4ml that can take this network and board unless the user names one."""
    if backend != "hls4ml" or "tool" in options:
        return options
    fits = board.ps != "none" and len(graph.inputs) == len(graph.outputs) == 1
    return options if fits else {**options, "tool": "vitis"}


def explore_all(graph: Graph, board: Board, options: Mapping[str, Mapping[str, Any]], goal: Goal) -> list[Found]:
    """Every installed backend's best design, the winner first (when anything fits)."""
    there = backend_names()
    found = [explore(graph, board, name, options.get(name, {}), goal) for name in BACKENDS if name in there]
    return sorted(found, key=lambda f: rank(f, board, goal))


def rank(found: Found, board: Board, goal: Goal) -> tuple[float, ...]:
    """Smaller is better; what does not fit comes last."""
    e = found.estimate
    if e is None:
        return (1.0, 0.0, 0.0)
    share = max(n / b for n, b in zip(e.usage.vector(goal.risk), budget(board), strict=True) if b)
    first = {"max-fps": -e.fps, "fps": share, "energy": e.energy_nj}[goal.kind]
    return (0.0, first, share)


def why(found: Sequence[Found], goal: Goal) -> str:
    """One sentence: the winner, by how much, and why the others lose."""
    best, *others = found
    if best.estimate is None:
        return "nothing fits: " + "; ".join(f"{f.backend}: {f.reason}" for f in found)
    parts = []
    for f in others:
        if f.estimate is None:
            parts.append(f"{f.backend} does not fit ({f.reason})")
        elif goal.kind == "max-fps":
            parts.append(f"{f.backend} reaches {f.estimate.fps:,.1f}")
        elif goal.kind == "energy":
            parts.append(f"{f.backend} takes {f.estimate.energy_nj:,.0f} nJ")
        else:
            parts.append(f"{f.backend} reaches the rate with a larger share of the board")
    words = {
        "max-fps": f"{best.backend} is fastest with {best.estimate.fps:,.1f} frames/s",
        "energy": f"{best.backend} takes least by the energy proxy, {best.estimate.energy_nj:,.0f} nJ a frame",
        "fps": f"{best.backend} takes the least share of the board at {goal.fps:g} frames/s or more",
    }
    return words[goal.kind] + ("; " + "; ".join(parts) if parts else "")


def nearest(graph: Graph, board: Board, backend: str, options: Mapping[str, Any], goal: Goal) -> list[str]:
    """What would fit where nothing does: other boards with this network, fewer bits on this board."""
    if backend not in DESIGNS:
        return []
    tool = load_backend(backend)
    chosen = tool.options(_completed(graph, board, backend, options))
    lines = []
    try:
        design = DESIGNS[backend](graph, board, chosen, goal.risk)
    except BackendError:
        return []
    boards = [load_board(n) for n in board_names() if n != board.name]
    for other in sorted((b for b in boards if b.ps != "none"), key=lambda b: b.resources.lut):
        problem = replace(design.problem, budget=budget(other))
        if lacking(least(problem, [range(len(s.options)) for s in problem.slots]), other):
            continue
        solution = fastest(problem, goal.seconds)
        fps = design.clock_mhz * 1e6 / solution.cycles if solution.chosen is not None else 0.0
        if solution.chosen is not None and (goal.kind != "fps" or fps >= goal.fps):
            lines.append(f"board {other.name}: {fps:,.1f} frames/s at {design.clock_mhz:g} MHz")
            break
    now = candidates(graph)
    for bits in NARROWER:
        if not now or bits >= max(now.values()):
            continue
        try:
            changed = requantize_weights(graph, dict.fromkeys(now, bits))
            found = search(DESIGNS[backend](changed, board, chosen, goal.risk), goal)
        except BackendError:
            continue
        if found.estimate is not None:
            lines.append(f"{bits}-bit weights: {found.estimate.fps:,.1f} frames/s (accuracy not checked)")
            break
    return lines or ["no board of ours and no width of the weights makes it fit; take a smaller network"]
