# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""`bitwright estimate` for every backend: nothing is missing, nothing is 0 because it is not known."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from bitwright.boards import load_board
from bitwright.cli.app import app
from bitwright.compile.backends import backend_names, load_backend
from bitwright.compile.estimate import Span, Usage
from bitwright.compile.estimate.hls4ml import estimate
from bitwright.compile.estimate.pipeline import Step, latency
from bitwright.compile.frontend import import_model
from bitwright.zoo.structures import mobilenet_v2

ZOO = Path(__file__).resolve().parents[2] / "zoo"
MODEL = ZOO / "digits-classifier" / "model.onnx"


def call(*words: str) -> Any:
    answer = CliRunner().invoke(app, ["estimate", *words])
    assert answer.exit_code == 0, answer.output
    return answer.output


@pytest.mark.parametrize("backend", sorted(set(backend_names()) & {"engine", "finn", "hls4ml"}))
def test_every_figure_is_there_with_its_error(backend: str) -> None:
    figures = json.loads(call(str(MODEL), "--board", "pynq-z2", "--backend", backend, "--json"))
    for name in ("interval_cycles", "latency_cycles", "fps", "dram_bytes", "energy_nj"):
        assert figures[name] > 0 and figures["errors"][name], name
    assert figures["macs_per_frame"] > 0
    assert figures["latency_cycles"] >= figures["interval_cycles"]
    assert set(figures["usage"]) == {"dsp", "bram18", "uram", "lut", "ff"}
    assert all(span is None or span[0] <= span[1] for span in figures["usage"].values())
    assert figures["usage"]["lut"][0] > 0 and figures["unknown"]
    assert (figures["usage"]["ff"] is None) == ("ff" in figures["unknown"])
    assert len(figures["layers"]) >= 11 and all(e["cycles"] > 0 for e in figures["layers"])
    assert figures["fps"] == pytest.approx(figures["clock_mhz"] * 1e6 / figures["interval_cycles"])


def test_the_table_shows_layers_resources_and_errors() -> None:
    text = call(
        str(MODEL), "--board", "zcu104", "--backend", "hls4ml", "-O", "strategy=resource", "-O", "reuse_factor=72"
    )
    assert "DSP slices" in text and "error of lut" in text and "stem_Conv" in text


def test_an_unknown_layer_is_named() -> None:
    words = ["estimate", str(MODEL), "--backend", "hls4ml", "-O", "layers.stem_conv.reuse_factor=2"]
    answer = CliRunner().invoke(app, words)
    assert "layers.stem_conv: no such layer; did you mean stem_Conv?" in str(answer.exception)


def test_reuse_trades_cycles_for_multipliers() -> None:
    graph, tool, board = import_model(MODEL), load_backend("hls4ml"), load_board("zcu104")
    found = [
        estimate(graph, tool.options({"strategy": "resource", "reuse_factor": r}), board.clock_mhz)
        for r in (4, 24, 216)
    ]
    cycles = [e.interval for e in found]
    dsp = [e.usage.dsp.high for e in found if e.usage.dsp]
    assert cycles == sorted(cycles) and dsp == sorted(dsp, reverse=True) and len(set(cycles)) == len(set(dsp)) == 3


def test_mobilenet_is_read_and_estimated_in_about_a_second(tmp_path: Path) -> None:
    """CPU seconds; the limits are three times what docs/estimates.md says of a quiet machine."""
    path = tmp_path / "mobilenet_v2.onnx"
    path.write_bytes(mobilenet_v2().SerializeToString())
    import_model(MODEL)  # modules are imported, numpy has warmed up
    taken = {}
    begin = time.process_time()
    graph = import_model(path)
    taken["reading"] = time.process_time() - begin
    board = load_board("ultra96-v2")
    for backend in sorted(set(backend_names()) & {"engine", "finn", "hls4ml"}):
        tool = load_backend(backend)
        options = tool.options({})
        begin = time.process_time()
        assert tool.supports(graph, options).accepted
        assert tool.estimate(graph, options, board)["interval_cycles"] > 0
        taken[backend] = time.process_time() - begin
    limits = {"reading": 1.3, "engine": 0.8, "finn": 0.4, "hls4ml": 0.3}
    assert all(seconds < limits[name] for name, seconds in taken.items()), taken


def test_usage_keeps_what_is_not_known() -> None:
    known, open_ = Usage(lut=Span(1, 3)), Usage(lut=Span(2, 2), ff=None)
    total = known + open_
    assert total.lut == Span(3, 5) and total.ff is None and total.as_dict()["ff"] is None
    assert total.vector("low")[3] == 5 and total.vector("even")[3] == 4


def slow_latency(steps: list[Step]) -> float:
    """The definition, row after row."""
    done: dict[str, list[float]] = {}
    end = 0.0
    for s in steps:
        finish: list[float] = []
        for r in range(s.rows):
            ready = finish[-1] if finish else 0.0
            for name in s.inputs:
                times = done.get(name, [0.0])
                need = len(times) - 1 if s.reach is None else min(max(r * s.reach[0] + s.reach[1], 0), len(times) - 1)
                ready = max(ready, times[need])
            finish.append(ready + s.cycles / s.rows)
        done[s.output] = finish
        end = max(end, finish[-1])
    return end


def test_latency_is_that_of_its_definition() -> None:
    dice = np.random.default_rng(2026)
    for _ in range(50):
        steps, rows = [], 8
        for k in range(6):
            stride = int(dice.integers(1, 3)) if rows > 1 else 1
            rows = max(1, rows // stride)
            reach = None if dice.random() < 0.2 else (stride, int(dice.integers(0, 3)))
            reads = tuple({f"t{k}", f"t{dice.integers(0, k + 1)}"})
            steps.append(Step(reads, f"t{k + 1}", rows, int(dice.integers(1, 1000)), reach))
        assert latency(steps) == round(slow_latency(steps))


@pytest.mark.parametrize(
    ("backend", "why"),
    [("hls4ml", "fed by a processing system, this is a ecp5 part"), ("finn", "FINN builds for Zynq boards, this is a")],
)
def test_boards_that_a_backend_cannot_use(backend: str, why: str, tmp_path: Path) -> None:
    for words in (["estimate", str(MODEL)], ["compile", str(MODEL), "-o", str(tmp_path / "out")]):
        answer = CliRunner().invoke(app, [*words, "--board", "ulx3s-85f", "--backend", backend])
        assert why in str(answer.exception), answer.output
    assert not (tmp_path / "out").exists()
