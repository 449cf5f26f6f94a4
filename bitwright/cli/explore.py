# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""`bitwright explore`: the best hardware for a model on a board, and the bits that it can spare."""

from __future__ import annotations

import json as json_module
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from bitwright.cli.commands import progress_bar
from bitwright.cli.estimate import print_estimate
from bitwright.cli.files import UsageError, backend_options, load_arrays, load_npy, parse_shapes

#: Files of a result.
REPORT, FIGURES = "report.html", "explore.json"


@dataclass(frozen=True)
class Request:
    """What the user asked for, as typed."""

    board: str
    backend: str
    fps: float | None
    max: str | None
    min: str | None
    risk: str
    accuracy: str | None
    data: Sequence[str]
    labels: Path | None
    evaluate: str
    trials: int
    storage: str | None
    jobs: int
    dask: str
    options: Sequence[str]
    shapes: Sequence[str]


def explore(model: Path, out: Path | None, ask: Request, force: bool, json: bool) -> int:
    """Search and report; 1 when nothing fits."""
    from bitwright.boards import load_board
    from bitwright.compile.explore.auto import nearest, why
    from bitwright.compile.explore.requantize import requantize_weights
    from bitwright.compile.frontend import import_model
    from bitwright.search import Task, best, pareto

    goal = _goal(ask)
    board = load_board(ask.board)
    if ask.backend != "auto":
        from bitwright.compile.backends import load_backend

        load_backend(ask.backend)
    if out is not None and out.exists() and not (force and (out / FIGURES).exists()):
        rule = "give --force to replace it" if (out / FIGURES).exists() else "choose another name"
        raise UsageError(f"{out}: exists already; {rule}")
    options = _options(ask)
    graph = import_model(model, parse_shapes(ask.shapes))
    scoring, requirement = _scoring(graph, ask)
    task = Task(graph, board, ask.backend, options, goal, scoring)
    trials, chosen = _trials(task, requirement, ask, json)
    network = requantize_weights(graph, chosen.bits) if chosen is not None else graph
    found = best(task, network)
    text = why(found, goal)
    winner = found[0]
    advice = {}
    if winner.estimate is None:
        advice = {
            f.backend: nearest(graph, board, f.backend, options.get(f.backend, {}), goal) for f in found if f.shortfall
        }
    figures: dict[str, Any] = {
        "model": str(model), "board": board.name, "why": text, "winner": winner.backend if winner.estimate else None,
        "backends": [f.as_dict() for f in found], "nearest": advice,
        "metric": scoring.metric if trials else None,
        "pareto": [vars(t) for t in pareto(trials)], "trials": len(trials),
        "chosen": vars(chosen) if chosen is not None else None,
    }  # fmt: skip
    if out is not None:
        _write(out, model, figures, found, text, trials, chosen, scoring.metric)
    if json:
        print(json_module.dumps(figures))
    else:
        _print(figures, found, board, trials, chosen, scoring.metric, out)
    return int(winner.estimate is None)


def _goal(ask: Request) -> Any:
    from bitwright.compile.explore.found import Goal

    given = [n for n, v in (("--fps", ask.fps), ("--max", ask.max), ("--min", ask.min)) if v is not None]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)}: give one goal")
    if ask.max not in (None, "fps"):
        raise UsageError(f"--max {ask.max}: only fps is there")
    if ask.min not in (None, "energy"):
        raise UsageError(f"--min {ask.min}: only energy is there")
    if ask.risk not in ("low", "even"):
        raise UsageError(f"--risk {ask.risk}: low or even is expected")
    kind = "fps" if ask.fps is not None else "energy" if ask.min else "max-fps"
    return Goal(kind, ask.fps or 0.0, ask.risk)  # type: ignore[arg-type]


def _options(ask: Request) -> dict[str, dict[str, Any]]:
    values = backend_options(None, ask.options)
    if ask.backend != "auto":
        return {ask.backend: values}
    wrong = [k for k, v in values.items() if not isinstance(v, dict)]
    if wrong:
        raise UsageError(f"--option {wrong[0]}: with --backend auto write BACKEND.{wrong[0]}=VALUE")
    return values


def _scoring(graph: Any, ask: Request) -> tuple[Any, Any]:
    from bitwright.accuracy import Requirement, Scoring, scoring

    requirement = Requirement.parse(ask.accuracy) if ask.accuracy else None
    if not ask.trials:
        if requirement is not None or ask.evaluate:
            raise UsageError("--accuracy and --evaluate belong to a search of bits: give --trials N")
        return Scoring("none"), None
    metric = requirement.metric if requirement else ("top1" if ask.labels else "agreement")
    arrays = load_arrays(ask.data, [i.name for i in graph.inputs], "--data")
    labels = load_npy(ask.labels) if ask.labels else None
    return scoring(graph, metric, arrays, labels, ask.evaluate), requirement


def _trials(task: Any, requirement: Any, ask: Request, json: bool) -> tuple[list[Any], Any]:
    from bitwright.search import pick, search, workers

    if not ask.trials:
        return [], None
    with progress_bar("trials", json) as progress, workers(ask.jobs, ask.dask) as pool:
        trials = search(task, ask.trials, ask.storage, pool, ask.jobs, progress)
    return trials, pick(trials, requirement)


def _write(
    out: Path, model: Path, figures: dict[str, Any], found: Any, why: str, trials: Any, chosen: Any, metric: str
) -> None:
    from bitwright.search_report import html, toml

    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    (out / FIGURES).write_text(json_module.dumps(figures, indent=1) + "\n", encoding="utf-8")
    title = f"{model.name} on {figures['board']}"
    (out / REPORT).write_text(html(title, found, why, trials, chosen, metric), encoding="utf-8")
    for f in found:
        if f.estimate is None:
            continue
        config = dict(f.config)
        if chosen is not None:
            config["weight_bits"] = chosen.bits
        name = f"{f.backend}.toml"
        comment = [
            f"Made by bitwright explore for {model.name} on {f.board}; use it with",
            f"bitwright compile {model.name} --board {f.board} --backend {f.backend} --config {name} -o OUT",
            f"{f.estimate.fps:,.1f} frames/s estimated; {f.certificate['proof']}".replace("\n", " "),
        ]
        (out / name).write_text(toml(config, comment), encoding="utf-8")


def _print(figures: dict[str, Any], found: Any, board: Any, trials: Any, chosen: Any, metric: str, out: Any) -> None:
    from bitwright.search import pareto

    console = Console(highlight=False)
    console.print(figures["why"], markup=False, style="bold")
    winner = found[0]
    if winner.estimate is not None:
        print_estimate(winner.estimate.as_dict(), board, brief=True)
        c = winner.certificate
        state = "proven best" if c["optimal"] else f"within {c['gap']:.1%} of the bound"
        console.print(f"{state}: {c['proof']} ({c['method']}, {c['measure']})", markup=False)
        if winner.baseline is not None:
            b = winner.baseline
            text = f"{b['interval_cycles']:,} cycles, cost {b['cost']:.3f}" if b["fits"] else "finds nothing that fits"
            console.print(f"slowest-first baseline: {text}", markup=False)
    for backend, lines in figures["nearest"].items():
        for line in lines:
            console.print(f"nearest for {backend}: {line}", markup=False)
    if trials:
        console.print(f"{len(trials)} trials; Pareto front ({metric}, weights, frames/s, bits by layer):", markup=False)
        for t in pareto(trials):
            mark = " <- chosen" if chosen is not None and t.number == chosen.number else ""
            bits = " ".join(str(b) for b in t.bits.values())
            console.print(
                f"  {t.accuracy:.4f}  {t.weight_bits / 8192:8.1f} KiB  {t.fps or 0:10,.1f}  {bits}{mark}", markup=False
            )
    if out is not None:
        console.print(f"{out}: {REPORT}, {FIGURES} and a config for each backend that fits", markup=False)
