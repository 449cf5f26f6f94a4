# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Commands and tables of the engine: figures of a program, layer by layer."""

from __future__ import annotations

import json as json_module
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bitwright.cli.files import UsageError
from bitwright.errors import BitwrightError
from bitwright.host import Bundle


def print_figures(figures: dict[str, Any]) -> None:
    """One line of totals and one of limits, then a row for each layer."""
    console = Console(highlight=False)
    console.print(
        f"{figures['cycles']:,} cycles, {figures['fps']:.1f} frames/s at {figures['clock_mhz']:g} MHz, configuration "
        f"{figures['config']} ({figures['kind']})",
        markup=False,
    )
    limits = ", ".join(f"{name} {cycles:,}" for name, cycles in figures["limits_cycles"].items())
    dram = figures["dram"]
    console.print(
        f"{figures['macs_per_frame']:,} MACs ({figures['macs_per_cycle']:.0f} a cycle), {figures['dram_bytes']:,} "
        f"bytes of DRAM traffic; least cycles by unit: {limits}; the most is {figures['utilisation']:.0%} of the time",
        markup=False,
    )
    console.print(
        f"DRAM model: latency {dram['latency_cycles']} cycles, {dram['beats_per_256_cycles']} beats of 16 bytes in 256 "
        "cycles",
        markup=False,
    )
    if "counters" in figures:
        c = figures["counters"]
        console.print(
            f"PW busy {c['PW_BUSY']:,}, stalled {c['PW_STALL']:,}; DW busy {c['DW_BUSY']:,}, stalled "
            f"{c['DW_STALL']:,}; simulated {figures['cycles_per_second']:,.0f} cycles/s",
            markup=False,
        )
    table = Table()
    table.add_column("layer", overflow="ellipsis", no_wrap=True, max_width=18)
    for column in ("unit", "output", "MACs", "cycles", "busy", "DRAM KB", "use"):
        table.add_column(column, justify="left" if column in ("unit", "output") else "right", no_wrap=True)
    for layer in figures["layers"]:
        shape = "x".join(map(str, layer["shape"]))
        table.add_row(
            layer["name"], layer["kind"], shape, f"{layer['macs']:,}", f"{layer['cycles']:,}", f"{layer['busy']:,}",
            f"{layer['dram_bytes'] / 1024:.1f}", f"{layer['utilisation']:.0%}",
        )  # fmt: skip
    console.print(table)


def verify_layers(bundle: Bundle, inputs: Any, json: bool) -> int:
    """Every layer of the first frame on the RTL, or on the program machine without Verilator; 1 if any differs."""
    from bitwright.compile.backends.engine.backend import named_config
    from bitwright.compile.backends.engine.program import load_program
    from bitwright.compile.ir.serialize import load_graph
    from bitwright.engine_runs import board_bus, compare_layers
    from bitwright.engines import ENGINES

    if bundle.manifest["backend"] != "engine":
        raise UsageError(f"--layers compares layers of the engine; this bundle is for {bundle.manifest['backend']}")
    assert bundle.project is not None
    rtl = ENGINES["rtl"].missing(bundle) is None
    config = named_config(load_program(bundle.project).config)
    bus = board_bus(str(bundle.manifest["board"]), float(bundle.manifest["clock_mhz"]))
    found, count = compare_layers(load_graph(bundle.program), config, inputs, rtl=rtl, bus=bus)
    engine = "rtl" if rtl else "program"
    if json:
        rows = [vars(d) | {"position": list(d.position), "nodes": list(d.nodes)} for d in found]
        print(json_module.dumps({"engine": engine, "layers": count, "equal": not found, "differences": rows}))
    elif not found:
        print(f"{engine}: all {count} layers are equal to the reference")
    else:
        d = found[0]
        print(
            f"{engine}: the first layer that differs is {d.layer} (nodes {', '.join(d.nodes)}): {d.different:,} of "
            f"{d.values:,} values; at {list(d.position)} it is {d.got}, expected {d.expected}"
        )
    return int(bool(found))


def bench(models: Sequence[str], boards: Sequence[str], json: bool) -> int:
    """Every model on every board: one random frame on the RTL, compared with the reference; 1 if any value differs."""
    from bitwright.engine_bench import DEFAULT_MODELS, bench_model, model_file

    rows = []
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in models or DEFAULT_MODELS:
            for board in boards:
                with console.status(f"{name} on {board}"):
                    try:
                        row = bench_model(model_file(name, Path(folder)), board)
                    except BitwrightError as error:
                        row = {"error": str(error)}
                rows.append({"model": name, "board": board} | row)
                if not json:
                    console.print(_row_text(rows[-1]), markup=False, highlight=False)
    if json:
        print(json_module.dumps({"rows": rows}))
    else:
        _print_rows(rows)
    return int(any("error" in r or r["different"] for r in rows))


def _row_text(row: dict[str, Any]) -> str:
    if "error" in row:
        return f"{row['model']} on {row['board']}: {row['error']}"
    verdict = "equal" if not row["different"] else f"{row['different']} values differ"
    return f"{row['model']} on {row['board']}: {row['cycles']:,} cycles, {row['fps']:.1f} frames/s, {verdict}"


def _print_rows(rows: Sequence[dict[str, Any]]) -> None:
    table = Table(title="RTL simulation of one frame each (Verilator, DRAM model of the board)", title_justify="left")
    columns = (
        "model",
        "board",
        "MHz",
        "cycles",
        "frames/s",
        "model/RTL",
        "least cycles",
        "use",
        "DRAM MB",
        "equal",
        "s/frame",
    )
    for column in columns:
        table.add_column(column, justify="left" if column in ("model", "board") else "right")
    for r in rows:
        if "error" in r:
            table.add_row(r["model"], r["board"], *[""] * 7, f"[red]{r['error'].splitlines()[0]}[/]", "")
            continue
        table.add_row(
            r["model"], r["board"], f"{r['clock_mhz']:g}", f"{r['cycles']:,}", f"{r['fps']:.1f}",
            f"{r['estimated_cycles'] / r['cycles']:.3f}", f"{max(r['limits_cycles'].values()):,} ({r['binds']})",
            f"{r['utilisation']:.0%}", f"{r['dram_bytes'] / 1e6:.2f}", "yes" if not r["different"] else "[red]NO[/]",
            f"{r['seconds']:.1f}",
        )  # fmt: skip
    Console().print(table)
