# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""`bitwright build`: steps with progress, then what was made and by which tool."""

from __future__ import annotations

import json as json_module
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from bitwright.cli.files import UsageError
from bitwright.compile.build import Result, Step, build, reuse
from bitwright.compile.build.runner import Event


def run(
    bundle: Path, route: str | None, other: Path | None, resume: bool, until: str | None, clock_mhz: float | None,
    json: bool,
) -> None:  # fmt: skip
    """Build a bundle, or take the bitstream of another, and report. Raises UsageError, BuildError, ToolMissingError."""
    if (route is None) == (other is None):
        raise UsageError("give either --route or --reuse")
    if other is not None:
        record = reuse(bundle, other)
        if json:
            print(json_module.dumps({"bundle": str(bundle), "route": record["route"], "build": record}))
        else:
            _files(bundle, record)
        return
    assert route is not None
    if json:
        result = build(bundle, route, resume=resume, until=until, clock_mhz=clock_mhz)
        steps = [{"name": n, "state": state, "seconds": round(s, 2)} for n, state, s in result.steps]
        record = {"build": dict(result.record)} if result.complete else {}
        print(
            json_module.dumps(
                {"bundle": str(bundle), "route": result.route, "folder": str(result.folder), "steps": steps,
                 "complete": result.complete} | record
            )
        )  # fmt: skip
        return
    console = Console(stderr=True, highlight=False)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(route, total=None)

        def listen(step: Step, number: int, of: int, event: Event, seconds: float) -> None:
            if event == "start":
                bars.reset(task, description=f"{number}/{of} {step.name}: {step.title}")
                return
            done = f"{seconds:.1f} s" if event == "done" else "done before"
            bars.console.print(f"{number}/{of} {step.name}: {step.title} ({done})", markup=False)

        result = build(bundle, route, resume=resume, until=until, clock_mhz=clock_mhz, listen=listen)
    _print(bundle, result)


def _print(bundle: Path, result: Result) -> None:
    console = Console(highlight=False)
    if not result.complete:
        console.print(
            f"{result.folder}: stopped after {result.steps[-1][0]}; `--resume` goes on from there", markup=False,
            soft_wrap=True,
        )  # fmt: skip
        return
    _files(bundle, result.record)


def _files(bundle: Path, record: Mapping[str, Any]) -> None:
    console = Console(highlight=False)
    table = Table(title=f"{bundle}: route {record['route']}", title_justify="left")
    for column in ("file", "", "by"):
        table.add_column(column)
    for name, file in record["files"].items():
        table.add_row(name, file["made"], file["by"])
    console.print(table)
    for key, value in record.items():
        if key not in ("route", "tools", "steps", "files"):
            console.print(f"{key}: {json_module.dumps(value)}", markup=False, soft_wrap=True)
