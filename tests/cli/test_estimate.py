# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""`bitwright estimate` as a program: what it loads, and how its tables look."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bitwright.boards import load_board
from bitwright.cli.estimate import _layers, print_estimate
from bitwright.compile.backends import backend_names
from tests.cli.test_cli import small_model

#: Runs the command line and tells the state of the process afterwards, as the last line.
PROBE = """
import gc, json, os, sys
from bitwright.cli import main
try:
    main()
except SystemExit as stop:
    code = stop.code
tasks = "/proc/self/task"
print()
print(json.dumps({
    "code": code, "modules": sorted(sys.modules), "collects": gc.isenabled(), "frozen": gc.get_freeze_count(),
    "threads": len(os.listdir(tasks)) if os.path.isdir(tasks) else None,
    "variable": os.environ.get("OPENBLAS_NUM_THREADS"),
}))
"""
NEEDLESS = (
    "bitwright.compile.explore", "bitwright.compile.bundle", "bitwright.sim", "bitwright.host", "bitwright.quant",
    "bitwright.zoo", "brevitas", "hls4ml", "matplotlib", "onnxruntime", "optuna", "qonnx", "scipy", "sklearn", "torch",
)  # fmt: skip


def probe(model: Path, backend: str, **variables: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, "estimate", model, "--backend", backend],
        capture_output=True, text=True, check=True, env=os.environ | variables,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert found["code"] == 0, done.stderr
    return found


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("estimate"), batch=1)


@pytest.mark.parametrize("backend", sorted(set(backend_names()) & {"engine", "finn", "hls4ml"}))
def test_only_what_is_needed_is_loaded(backend: str, model: Path) -> None:
    found = probe(model, backend, OPENBLAS_NUM_THREADS="")
    loaded = [m for m in found["modules"] if any(m == n or m.startswith(n + ".") for n in NEEDLESS)]
    assert not loaded
    assert "numpy" in found["modules"] and found["collects"] and found["frozen"] > 10_000


def test_one_thread_unless_the_user_wants_more(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    found = probe(model, "engine")
    assert found["variable"] is None and found["threads"] in (1, None)
    assert probe(model, "engine", OPENBLAS_NUM_THREADS="2")["variable"] == "2"


def layer(name: str, macs: int, usage: dict[str, Any] | None) -> dict[str, Any]:
    return {"name": name, "folding": "pe 4", "shape": [7, 7, macs % 97], "macs": macs, "cycles": macs // 3,
            "dram_bytes": macs, "usage": usage}  # fmt: skip


NAMES = ("conv", "a name of far more than twenty-four letters", "", "x[red]y[/]", ":smile:", "層", "a\tb", " c ")
USAGE = {"dsp": [3, 3], "bram18": [0, 1234], "lut": None}
LAYERS = [layer(name, 10 ** (k + 1), USAGE if k % 3 else None) for k, name in enumerate(NAMES)]


def rendered(table: Table, width: int, terminal: bool) -> str:
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=terminal, color_system="truecolor" if terminal else None).print(table)
    return out.getvalue()


@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("terminal", [True, False])
def test_layers_look_like_a_row_each(counted: bool, terminal: bool) -> None:
    """However wide the terminal is: a cell with many lines is as good as many cells."""
    layers = LAYERS if counted else [e | {"usage": None} for e in LAYERS]
    table = _layers({"layers": layers})
    rows = Table()
    for column in table.columns:
        rows.add_column(
            column.header, overflow=column.overflow, no_wrap=True, max_width=column.max_width, justify=column.justify
        )
    for cells in zip(*(str(next(iter(c.cells))).split("\n") for c in table.columns), strict=True):
        rows.add_row(*map(Text, cells))
    assert rows.row_count == len(LAYERS)
    for width in (40, 60, 79, 80, 81, 100, 150):
        assert rendered(table, width, terminal) == rendered(rows, width, terminal)


def test_names_are_printed_as_they_are(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """No markup, no emoji; a line break does not shift the other columns."""
    monkeypatch.setenv("COLUMNS", "120")
    usage = {"dsp": [10, 20], "bram18": [0, 0], "uram": [1, 1], "lut": [5, 60_000], "ff": None}
    figures = {
        "backend": "hls4ml", "fps": 1234.5, "clock_mhz": 100, "interval_cycles": 81_000, "latency_us": 900.0,
        "kind": "model", "macs_per_frame": 10**6, "dram_bytes": 7, "energy_nj": 3.0, "binds": "conv", "usage": usage,
        "layers": [layer("a\nb", 10, None), *LAYERS], "errors": {"x[red]": "of :smile: [1]"}, "unknown": {},
    }  # fmt: skip
    print_estimate(figures, load_board("pynq-z2"))
    lines = capsys.readouterr().out.splitlines()
    assert "error of x[red]: of :smile: [1]" in lines
    cells = [[c.strip() for c in line.split("│")[1:-1]] for line in lines if line.startswith("│")]
    assert ["UltraRAMs", "1", "1", "0", "none there"] in cells
    assert ["LUTs", "5", "60,000", "45,220", "133%"] in cells
    assert ["flip-flops", "?", "not known", "106,400", "?"] in cells
    named = {c[0]: c[1:] for c in cells if len(c) == 8}
    assert named["a b"] == ["pe 4", "7x7x10", "10", "3", "-", "-", "-"]
    assert named["x[red]y[/]"] == ["pe 4", "7x7x9", "10,000", "3,333", "-", "-", "-"]
    assert named[":smile:"] == ["pe 4", "7x7x90", "100,000", "33,333", "3", "0-1,234", "?"]
    assert named["a name of far more than…"][2:4] == ["100", "33"]


def test_a_network_without_layers(capsys: pytest.CaptureFixture[str]) -> None:
    assert rendered(_layers({"layers": []}), 80, False).count("\n") == 4
