# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The engine's parameters searched on an ECP5: what is found fits, is timed as compiled, and bounds hold."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bitwright.boards import Board, load_board
from bitwright.cli.app import app
from bitwright.compile.backends.engine.backend import EngineOptions
from bitwright.compile.backends.engine.compiler import compile_graph
from bitwright.compile.estimate.budget import budget
from bitwright.compile.estimate.engine import estimate, shell_usage
from bitwright.compile.explore import engine
from bitwright.compile.explore.engine import least_work, search
from bitwright.compile.explore.found import Found, Goal
from bitwright.compile.frontend import import_model
from bitwright.compile.ir import Graph
from bitwright.errors import BackendError
from bitwright.host import Accelerator
from bitwright.hw.config import CONFIGS, EngineConfig
from bitwright.hw.variants import configuration, variant

ZOO = Path(__file__).resolve().parents[2] / "zoo"


@pytest.fixture(scope="module")
def graph() -> Graph:
    return import_model(ZOO / "digits-autoencoder" / "model.onnx")


@pytest.fixture(scope="module")
def board() -> Board:
    return load_board("ulx3s-85f")


def found(graph: Graph, board: Board, goal: Goal, config: str = "") -> tuple[Found, EngineConfig]:
    answer = search(graph, board, EngineOptions(config=config), goal)
    assert answer.estimate is not None, answer.reason
    return answer, configuration(answer.config["config"])


def cycles(graph: Graph, config: EngineConfig, board: Board) -> int:
    return estimate(graph, compile_graph(graph, config).program, config, board, 25.0).interval


def test_the_fastest_variant(graph: Graph, board: Board) -> None:
    answer, config = found(graph, board, Goal())
    assert answer.estimate is not None and answer.estimate.interval == cycles(graph, config, board)
    assert config.mul18 == 1 and config.am_blocks == 1 and config.device == CONFIGS["ecp5"].device
    whole = (answer.estimate.usage + shell_usage()).vector("low")
    assert all(need <= there for need, there in zip(whole, budget(board), strict=True))
    named, _ = found(graph, board, Goal(), "ecp5")
    assert named.estimate is not None and answer.estimate.interval <= named.estimate.interval
    certificate = answer.certificate
    assert certificate["bound"] <= certificate["value"] == answer.estimate.interval
    assert certificate["gap"] == certificate["value"] / certificate["bound"] - 1


def test_the_cheapest_variant_reaches_the_rate(graph: Graph, board: Board) -> None:
    fast, _ = found(graph, board, Goal())
    assert fast.estimate is not None
    slow, config = found(graph, board, Goal("fps", fps=100))
    assert slow.estimate is not None and slow.estimate.fps >= 100 and (config.pairs, config.dw) == (2, 0)
    near = 0.95 * fast.estimate.fps
    quick, _ = found(graph, board, Goal("fps", fps=near))
    assert quick.estimate is not None and quick.estimate.fps >= near
    assert slow.certificate["value"] <= quick.certificate["value"] and slow.certificate["bound"] > 0
    too_fast = search(graph, board, EngineOptions(), Goal("fps", fps=1e7))
    assert too_fast.estimate is None and "are not reached by any configuration that fits" in too_fast.reason
    least, _ = found(graph, board, Goal("energy"))
    assert least.estimate is not None and least.estimate.energy_nj <= fast.estimate.energy_nj
    assert least.certificate["bound"] <= least.estimate.energy_nj


def test_compile_takes_what_was_found(tmp_path: Path) -> None:
    model, out = ZOO / "digits-autoencoder" / "model.onnx", tmp_path / "found"
    words = ["explore", str(model), "--board", "ulx3s-85f", "--backend", "engine", "-o", str(out), "--json"]
    answer = CliRunner().invoke(app, words)
    assert answer.exit_code == 0, answer.output
    figures = json.loads(answer.output)["backends"][0]["estimate"]
    words = ["compile", str(model), "--board", "ulx3s-85f", "--backend", "engine", "--config", str(out / "engine.toml")]
    answer = CliRunner().invoke(app, [*words, "-o", str(tmp_path / "bundle"), "--json"])
    assert answer.exit_code == 0, str(answer.exception)
    assert json.loads(answer.output)["estimate"]["cycles"] == figures["interval_cycles"]
    with Accelerator.load(tmp_path / "bundle", device="sim") as net:
        net.self_test()


def test_no_schedule_beats_its_bound(graph: Graph, board: Board) -> None:
    """Some of all variants, whether they fit or not."""
    for pairs, dw, depth in itertools.product((2, 8), (0, 1), (128, 1024)):
        config = variant("ecp5", {"pairs": pairs, "dw": dw, "weight_depth": depth, "const_depth": 64})
        try:
            bound, _ = least_work(graph, config)
        except BackendError:
            continue  # the memory of weights is too small
        assert bound <= cycles(graph, config, board), config.name


@pytest.mark.parametrize(("there", "what"), [(4096, "its weights alone"), (16384, "program and tensors")])
def test_a_network_that_the_shell_cannot_hold(
    there: int, what: str, graph: Graph, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "SHELL_BYTES", there)
    answer = search(graph, board, EngineOptions(), Goal())
    assert answer.estimate is None and answer.reason.startswith(what)
    assert f"behind the engine of a board without a processor there are {there:,}" in answer.reason


def test_boards_that_the_engine_cannot_use(graph: Graph, board: Board) -> None:
    other = search(graph, load_board("tang-nano-20k"), EngineOptions(), Goal())
    assert other.estimate is None and "no chip of the family gowin with the engine" in other.reason
    small = board.model_copy(update={"resources": board.resources.model_copy(update={"dsp": 20})})
    answer = search(graph, small, EngineOptions(), Goal())
    assert (
        answer.estimate is None
        and answer.shortfall["dsp"] == (39, 20)
        and "the smallest configuration" in answer.reason
    )
    zynq = search(graph, load_board("pynq-z2"), EngineOptions(config="ecp5"), Goal())
    assert zynq.estimate is None and zynq.reason == "no configuration is made for this device"
    ecpix, _ = found(graph, load_board("ecpix5-85f"), Goal())
    assert ecpix.estimate is not None and ecpix.estimate.clock_mhz == 50
