# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""`bitwright explore`: what it finds, what it writes, and that `compile` takes it."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from bitwright.boards import board_names, load_board
from bitwright.cli.app import app
from bitwright.compile.backends import backend_names, load_backend
from bitwright.compile.estimate.budget import budget
from bitwright.compile.explore.auto import explore
from bitwright.compile.explore.found import Goal
from bitwright.compile.frontend import import_model
from bitwright.compile.ir import Graph

ZOO = Path(__file__).resolve().parents[2] / "zoo"
MODEL = ZOO / "digits-classifier" / "model.onnx"
AUTOENCODER = ZOO / "digits-autoencoder" / "model.onnx"


def run(*words: str, code: int = 0) -> str:
    answer = CliRunner().invoke(app, ["explore", *map(str, words)])
    assert answer.exit_code == code, answer.output + str(answer.exception)
    return answer.output


@pytest.fixture(scope="module")
def autoencoder() -> Graph:
    return import_model(AUTOENCODER)


def test_compile_uses_the_config(tmp_path: Path) -> None:
    """hls4ml keeps every reuse factor of the config as it is, and the project is as large as was searched for."""
    out = tmp_path / "found"
    text = run(AUTOENCODER, "--board", "pynq-z2", "--backend", "hls4ml", "--fps", "20000", "-o", out)
    assert "slowest-first baseline" in text and "no choice of less cost fits" in text
    config = tomllib.loads((out / "hls4ml.toml").read_text())
    figures = json.loads((out / "explore.json").read_text())["backends"][0]["estimate"]
    assert figures["fps"] >= 20000 and len(config["layers"]) >= 6
    answer = CliRunner().invoke(
        app, ["compile", str(AUTOENCODER), "--board", "pynq-z2", "--backend", "hls4ml", "--config",
              str(out / "hls4ml.toml"), "-o", str(tmp_path / "bundle"), "--json"],
    )  # fmt: skip
    assert answer.exit_code == 0, answer.output
    estimate = json.loads(answer.output)["estimate"]
    assert (estimate["interval_cycles"], estimate["usage"]) == (figures["interval_cycles"], figures["usage"])
    source = next((tmp_path / "bundle").rglob("parameters.h")).read_text()
    for layer in config["layers"].values():
        assert f"reuse_factor = {layer['reuse_factor']};" in source or f"reuse = {layer['reuse_factor']};" in source
    assert any("multiplier_limit" in line for line in source.splitlines())


def test_auto_names_the_winner_and_why() -> None:
    figures = json.loads(run(MODEL, "--board", "pynq-z2", "--backend", "auto", "--json"))
    assert {f["backend"] for f in figures["backends"]} == set(backend_names()) & {"engine", "hls4ml", "finn"}
    best = figures["backends"][0]
    assert best["fits"] and figures["winner"] == best["backend"] and best["backend"] in figures["why"]
    rates = [f["estimate"]["fps"] for f in figures["backends"] if f["fits"]]
    assert rates == sorted(rates, reverse=True)
    assert all(f["reason"] for f in figures["backends"] if not f["fits"])


@pytest.mark.parametrize("backend", sorted(set(backend_names()) & {"engine", "hls4ml", "finn"}))
def test_what_is_found_fits_and_reaches_the_rate(backend: str, autoencoder: Graph) -> None:
    board = load_board("zcu104")
    fast = explore(autoencoder, board, backend, {}, Goal())
    assert fast.estimate is not None
    assert all(u <= b for u, b in zip(fast.estimate.usage.vector("low"), budget(board), strict=True))
    if fast.baseline and fast.baseline["fits"]:
        assert fast.estimate.interval <= fast.baseline["interval_cycles"]
    asked = explore(autoencoder, board, backend, {}, Goal("fps", fps=fast.estimate.fps / 20))
    assert asked.estimate is not None and asked.estimate.fps >= fast.estimate.fps / 20
    if asked.baseline and asked.baseline["fits"]:
        assert asked.certificate["value"] <= asked.baseline["cost"] + 1e-9
    too_fast = explore(autoencoder, board, backend, {}, Goal("fps", fps=1e9))
    assert too_fast.estimate is None and too_fast.reason


def test_a_board_that_is_too_small_gets_the_shortfall_and_what_fits() -> None:
    boards = [load_board(n) for n in board_names()]
    small = min((b for b in boards if b.family == "zynq-7000"), key=lambda b: (b.resources.dsp, b.name))
    words = (MODEL, "--board", small.name, "--backend", "hls4ml", "--json")
    figures = json.loads(run(*words, code=1))
    found = figures["backends"][0]
    lack = found["shortfall"]["lut"]
    assert lack["need"] > lack["has"] == int(0.85 * small.resources.lut) and "LUTs" in found["reason"]
    assert any(line.startswith("board ") for line in figures["nearest"]["hls4ml"])


def test_mistakes_get_one_line(tmp_path: Path) -> None:
    for words, message in (
        (["--fps", "30", "--max", "fps"], "give one goal"), (["--max", "energy"], "only fps is there"),
        (["--accuracy", "top1>0.9", "--trials", "2"], "METRIC>=VALUE"),
        (["--accuracy", "top1>=0.9"], "give --trials N"),
        (["--accuracy", "top2>=0.9", "--trials", "2"], "the metric 'top2' is unknown"),
        (["--accuracy", "top1>=0.9", "--trials", "2"], "give --data"), (["--risk", "none"], "low or even"),
        (["-O", "clock_mhz=50"], "BACKEND.clock_mhz=VALUE"), (["--backend", "engin"], "did you mean engine"),
        (["-o", str(tmp_path)], "exists already"),
    ):  # fmt: skip
        answer = CliRunner().invoke(app, ["explore", str(AUTOENCODER), *words])
        assert message in str(answer.exception), words


@pytest.fixture
def digits(tmp_path: Path) -> list[str]:
    """Frames and labels; the labels are what the network says, so that fewer bits can only lose."""
    rng = np.random.default_rng(2026)
    np.save(tmp_path / "x.npy", rng.random((64, 1, 8, 8), np.float32))
    return ["--data", str(tmp_path / "x.npy")]


def test_bits_are_searched_continued_and_compiled(tmp_path: Path, digits: list[str]) -> None:
    pytest.importorskip("optuna")
    out, storage = tmp_path / "found", str(tmp_path / "trials.db")
    words = [MODEL, "--board", "zcu104", "--backend", "engine", "--accuracy", "agreement>=0.2", *digits, "--storage",
             storage]  # fmt: skip
    first = json.loads(run(*words, "--trials", "4", "--json"))
    figures = json.loads(run(*words, "--trials", "6", "--jobs", "2", "-o", out, "--json"))
    assert (first["trials"], figures["trials"]) == (4, 6)  # the first four are not run again
    front: list[dict[str, Any]] = figures["pareto"]
    assert front[0]["accuracy"] == 1.0 and set(front[0]["bits"].values()) == {4}  # as trained: nothing changes
    assert [t["accuracy"] for t in front] == sorted((t["accuracy"] for t in front), reverse=True)
    assert figures["chosen"]["accuracy"] >= 0.2
    page = (out / "report.html").read_text()
    assert "<svg" in page and "http" not in page and "Pareto" in page
    config = tomllib.loads((out / "engine.toml").read_text())
    assert config["weight_bits"] == figures["chosen"]["bits"]
    other = CliRunner().invoke(
        app, ["explore", *map(str, words[:2]), "ultra96-v2", *map(str, words[3:]), "--trials", "9"]
    )
    assert "it holds a search of another model, board, goal or data" in str(other.exception)


def test_a_command_measures_instead(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    script = tmp_path / "measure.py"
    script.write_text(
        "import sys, tomllib\nbits = tomllib.load(open(sys.argv[1], 'rb'))['weight_bits']\n"
        "print('measuring')\nprint(sum(bits.values()))\n"
    )
    import sys

    words = (MODEL, "--board", "zcu104", "--backend", "hls4ml", "--accuracy", "sum>=20", "--trials", "4", "--json")
    figures = json.loads(run(*words, "--evaluate", f"{sys.executable} {script} {{config}}"))
    assert figures["metric"] == "sum" and figures["pareto"][0]["accuracy"] == 32
    script.write_text("raise SystemExit('no data')\n")
    answer = CliRunner().invoke(
        app, ["explore", *map(str, words), "--evaluate", f"{sys.executable} {script} {{config}}"]
    )
    assert "ended with code 1: no data" in str(answer.exception)


def test_trials_run_on_a_dask_cluster(digits: list[str]) -> None:
    pytest.importorskip("optuna")
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, protocol="tcp"
    ) as cluster:
        words = (MODEL, "--board", "zcu104", "--backend", "hls4ml", "--trials", "2", *digits, "--json")
        figures = json.loads(run(*words, "--dask", cluster.scheduler_address))
    assert figures["trials"] == 2 and figures["metric"] == "agreement"


def test_a_baseline_of_finn_is_not_better_than_the_search(autoencoder: Graph) -> None:
    if "finn" not in backend_names():
        pytest.skip("the finn backend is not installed")
    tool = load_backend("finn")
    found = explore(autoencoder, load_board("zcu104"), "finn", {}, Goal())
    assert found.estimate is not None and tool.options(found.config).layers
