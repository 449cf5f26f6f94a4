# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The engine backend from the command line: compile, estimate, simulate, verify, bench."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from bitwright.boards import load_board
from bitwright.cli.app import app
from bitwright.compile.backends.engine.backend import EngineOptions, board_config
from bitwright.compile.backends.engine.pack import pack_array
from bitwright.compile.backends.engine.report import bus_of
from bitwright.compile.backends.engine.select import select
from bitwright.compile.frontend import import_model
from bitwright.engine_bench import bench_model, model_file
from bitwright.engine_runs import compare_layers
from bitwright.hw.config import CONFIGS
from bitwright.zoo import entries
from bitwright.zoo.structures import mobilenet_v2_deeplabv3, mobilenet_v2_ssdlite
from tests.engine.nets import random_input

ZOO = {e.name: str(e.model) for e in entries()}


def call(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("engine") / "digits"
    call("compile", ZOO["digits-classifier"], "--board", "ultra96-v2", "--backend", "engine", "-o", str(out), "--json")
    return out


def test_the_manifest_says_engine(bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest["transport"]["kind"] == "engine" and manifest["clock_mhz"] == 250
    assert manifest["estimate"]["config"] == "zu3eg" and manifest["estimate"]["cycles"] > 0
    assert (bundle / "project" / "rtl" / "bw_engine.sv").is_file()


@pytest.mark.rtl
def test_verify_runs_the_program_and_the_rtl(bundle: Path) -> None:
    found = {e["engine"]: e for e in json.loads(call("verify", str(bundle), "--json"))["engines"]}
    for engine in ("reference", "fast", "program", "rtl", "board-sim"):
        assert found[engine]["skipped"] is None and found[engine]["different"] == 0 and found[engine]["frames"] == 16
    layers = json.loads(call("verify", str(bundle), "--layers", "--json"))
    assert layers["equal"] and layers["engine"] == "rtl" and layers["layers"] >= 10


@pytest.mark.rtl
def test_simulate_gives_figures(bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "y.npy"
    calm = json.loads(call("simulate", str(bundle), "--engine", "rtl", "--output", str(out), "--raw", "--json"))
    frame = calm["frames"][0]
    assert sum(layer["cycles"] for layer in frame["layers"]) <= frame["cycles"]
    assert frame["counters"]["PW_BUSY"] > 0 and frame["counters"]["LD_BEATS"] * 16 == frame["dram_bytes"] - 16
    stalled = json.loads(
        call(
            "simulate",
            str(bundle),
            "--engine",
            "rtl",
            "--stalls",
            "7",
            "--output",
            str(out),
            "--raw",
            "--force",
            "--json",
        )
    )
    assert stalled["frames"][0]["cycles"] > frame["cycles"]
    fast = tmp_path / "fast.npy"
    call("simulate", str(bundle), "--engine", "fast", "--output", str(fast), "--raw", "--json")
    np.testing.assert_array_equal(np.load(out), np.load(fast))


def test_a_damaged_program_is_named(bundle: Path, tmp_path: Path) -> None:
    import shutil

    broken = tmp_path / "broken"
    shutil.copytree(bundle, broken)
    (broken / "project" / "program.json").write_text('{"version": 1}')
    answer = CliRunner().invoke(app, ["simulate", str(broken), "--engine", "program"])
    assert answer.exit_code == 1 and "damaged" in str(answer.exception) and "compile" in str(answer.exception)


@pytest.mark.rtl
def test_the_cycle_model_is_within_five_percent() -> None:
    for name in ("digits-classifier", "digits-autoencoder"):
        row = bench_model(Path(ZOO[name]), "ultra96-v2")
        assert row["different"] == 0
        assert abs(row["estimated_cycles"] / row["cycles"] - 1) < 0.05, row


@pytest.mark.rtl
@pytest.mark.slow
@pytest.mark.parametrize("board", ["ultra96-v2", "pynq-z2"])
def test_codenet_runs_on_the_rtl(board: str) -> None:
    row = bench_model(Path(ZOO["codenet-bccd"]), board)
    assert row["different"] == 0
    assert abs(row["estimated_cycles"] / row["cycles"] - 1) < 0.05, row
    assert row["seconds"] < 30, "a frame of CoDeNet a is to take less than 30 s"
    assert row["fps"] > {"ultra96-v2": 150, "pynq-z2": 64}[board]


@pytest.mark.rtl
@pytest.mark.slow
def test_mobilenet_runs_on_the_rtl(tmp_path: Path) -> None:
    row = bench_model(model_file("mobilenet_v2_224", tmp_path), "ultra96-v2")
    assert row["different"] == 0
    assert abs(row["estimated_cycles"] / row["cycles"] - 1) < 0.05, row
    assert row["fps"] > 136


@pytest.mark.rtl
@pytest.mark.slow
@pytest.mark.parametrize(("board", "seed"), [("ultra96-v2", 1), ("ultra96-v2", 2), ("pynq-z2", 3)])
def test_every_layer_of_codenet_under_stalls(board: str, seed: int) -> None:
    graph = import_model(Path(ZOO["codenet-bccd"]))
    target = load_board(board)
    config = board_config(target, EngineOptions())
    x = random_input(graph, seed)
    found, count = compare_layers(graph, config, x, rtl=True, bus=bus_of(target, 200.0), stall_seed=seed)
    assert not found and count > 60


@pytest.mark.rtl
@pytest.mark.slow
@pytest.mark.parametrize(("name", "size"), [("deeplabv3", 129), ("ssdlite", 320)])
def test_dense_tasks_run_on_the_rtl(name: str, size: int, tmp_path: Path) -> None:
    """Labels of every pixel, from linear upsampling by 16; the six maps of SSDLite."""
    path = tmp_path / "model.onnx"
    make = {"deeplabv3": mobilenet_v2_deeplabv3, "ssdlite": mobilenet_v2_ssdlite}[name]
    path.write_bytes(make(size).SerializeToString())
    row = bench_model(path, "ultra96-v2")
    assert row["different"] == 0 and row["values"] > 16_000
    assert abs(row["estimated_cycles"] / row["cycles"] - 1) < 0.05, row


@pytest.mark.rtl
@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_every_layer_of_deeplab_under_stalls(seed: int, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(mobilenet_v2_deeplabv3(65).SerializeToString())
    graph = import_model(path)
    x = random_input(graph, seed)
    found, count = compare_layers(graph, CONFIGS["zu3eg"], x, rtl=True, bus=(60, 190), stall_seed=seed)
    assert not found and count > 60


def test_a_layer_that_differs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def off_by_one(*what: object) -> object:
        packed = pack_array(*what)  # type: ignore[arg-type]
        packed.weights[0, 0, 0, 0] ^= 1  # one weight of the first layer
        return packed

    graph = import_model(Path(ZOO["digits-classifier"]))
    monkeypatch.setattr("bitwright.compile.backends.engine.compiler.pack_array", off_by_one)
    found, _ = compare_layers(graph, CONFIGS["tiny"], random_input(graph), rtl=False, bus=(60, 190))
    assert found and found[0].layer == select(graph, 27)[0].layers[0].name and found[0].nodes
    assert 0 < found[0].different < found[0].values and found[0].got != found[0].expected


def test_the_host_runtime_gives_the_golden_outputs(bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "y.npy"
    call("run", str(bundle), "--device", "sim", "--output", str(out), "--raw", "--json")
    manifest = json.loads((bundle / "manifest.json").read_text())
    (golden,) = manifest["golden"]["outputs"].values()
    np.testing.assert_array_equal(np.load(out), np.load(bundle / golden))


def test_estimate_names_an_unknown_option() -> None:
    answer = CliRunner().invoke(app, ["estimate", ZOO["digits-classifier"], "-O", "confg=tiny"])
    assert "did you mean config" in str(answer.exception)
    figures = json.loads(call("estimate", ZOO["digits-classifier"], "--board", "kv260", "--json"))
    assert figures["config"] == "k26" and figures["fps"] > 0
