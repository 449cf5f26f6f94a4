# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""`bitwright estimate`: figures of a model on a board, and how sure they are."""

from __future__ import annotations

import json as json_module
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bitwright.boards import Board, load_board
from bitwright.cli.files import backend_options, parse_shapes
from bitwright.compile.backends import load_backend
from bitwright.compile.estimate.budget import WORDS, budget
from bitwright.compile.frontend import import_model


def estimate(model: Path, board: str, backend: str, options: Sequence[str], shapes: Sequence[str], json: bool) -> None:
    """What a model costs on a board; nothing is simulated."""
    target, tool = load_board(board), load_backend(backend)
    chosen = tool.options(backend_options(None, options))
    graph = import_model(model, parse_shapes(shapes))
    tool.supports(graph, chosen, target).require(model)
    figures = dict(tool.estimate(graph, chosen, target))
    if json:
        print(json_module.dumps({"model": str(model), "board": board, **figures}))
        return
    print_estimate(figures, target)


def print_estimate(figures: dict[str, Any], board: Board, brief: bool = False) -> None:
    """Totals and resources against the board; unless brief, a row for each layer and the error of every figure."""
    console = Console(highlight=False, emoji=False)
    console.print(
        f"{figures['backend']} on {board.name}: {figures['fps']:,.1f} frames/s at {figures['clock_mhz']:g} MHz "
        f"({figures['interval_cycles']:,} cycles a frame, latency {figures['latency_us']:,.1f} us); {figures['kind']}",
        markup=False,
    )
    console.print(
        f"{figures['macs_per_frame']:,} MACs, {figures['dram_bytes']:,} bytes of DRAM traffic, energy proxy "
        f"{figures['energy_nj']:,.0f} nJ a frame; {figures['binds']} binds",
        markup=False,
    )
    table = Table()
    for column in ("resource", "least", "most", "may use", "share"):
        table.add_column(column, justify="left" if column == "resource" else "right")
    for (name, span), has in zip(figures["usage"].items(), budget(board), strict=True):
        if span is None:
            table.add_row(WORDS[name], "?", "not known", f"{has:,}", "?")
            continue
        least, most = span
        if has or most:
            share = f"{most / has:.0%}" if has else "[red]none there[/]"
            colour = "[red]" if has and most > has else ""
            table.add_row(WORDS[name], f"{least:,}", f"{most:,}", f"{has:,}", f"{colour}{share}")
    console.print(table)
    if brief:
        return
    console.print(_layers(figures))
    for title, before in (("errors", "error of"), ("unknown", "not known:")):
        for name, text in figures[title].items():
            console.print(f"{before} {name}: {text}", markup=False, style="dim")


def _layers(figures: dict[str, Any]) -> Table:
    table = Table()
    table.add_column("layer", overflow="ellipsis", no_wrap=True, max_width=24)
    counted = any(e["usage"] for e in figures["layers"])
    columns = ("folding", "output", "MACs", "cycles") + (("DSP", "BRAM18", "LUT") if counted else ("DRAM KB",))
    for column in columns:
        table.add_column(column, justify="left" if column in ("folding", "output") else "right", no_wrap=True)
    rows = []
    for e in figures["layers"]:
        row = [e["name"], e["folding"], "x".join(map(str, e["shape"])), f"{e['macs']:,}", f"{e['cycles']:,}"]
        if counted:
            row += [_span(e["usage"], r) for r in ("dsp", "bram18", "lut")]
        else:
            row.append(f"{e['dram_bytes'] / 1024:.1f}")
        rows.append([" ".join(cell.splitlines()) for cell in row])
    if rows:
        # One cell a column with a line for each layer: rich measures and renders every cell several times.
        table.add_row(*(Text("\n".join(cells)) for cells in zip(*rows, strict=True)))
    return table


def _span(usage: dict[str, Any] | None, name: str) -> str:
    if usage is None:
        return "-"
    if usage[name] is None:
        return "?"
    least, most = usage[name]
    return f"{most:,}" if least == most else f"{least:,}-{most:,}"
