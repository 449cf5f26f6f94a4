# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The projects whose FINN reports are stored in tests/finn/reports: network, board, rate."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import onnx

from bitwright.boards import load_board
from bitwright.compile.backends import Project
from bitwright.compile.backends.finn import FinnBackend
from bitwright.compile.frontend import import_model
from bitwright.compile.ir import Graph
from bitwright.zoo.structures import NETS as STRUCTURES
from tests.finn.nets import NETS

REPORTS = Path(__file__).resolve().parent / "reports"
ZOO = Path(__file__).resolve().parents[2] / "zoo"


@dataclass(frozen=True)
class Case:
    """One project."""

    graph: Callable[[], Graph]
    fps: float | None
    board: str = "zcu104"


def _zoo(name: str) -> Callable[[], Graph]:
    return lambda: import_model(ZOO / name / "model.onnx")


def structure(name: str) -> Graph:
    """A published network with random weights."""
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(STRUCTURES[name](), Path(folder) / "model.onnx")
        return import_model(Path(folder) / "model.onnx")


CASES = {
    "mlp": Case(NETS["mlp"], 60000, "pynq-z1"),
    "separable": Case(NETS["separable"], 5000),
    "separable_fast": Case(NETS["separable"], 60000, "ultra96-v2"),
    "separable_smallest": Case(NETS["separable"], None, "pynq-z2"),
    "inverted_residuals": Case(NETS["inverted_residuals"], 20000),
    "residual_of_accumulator": Case(NETS["residual_of_accumulator"], 5000),
    "poolings": Case(NETS["poolings"], 30000, "kv260"),
    "branches": Case(NETS["branches"], 5000),
    "deformable": Case(NETS["deformable"], 2000),
    "temporal": Case(NETS["temporal"], 60000),
    "detector": Case(NETS["detector"], 20000),
    "two_inputs": Case(NETS["two_inputs"], 20000, "pynq-z2"),
    "digits_autoencoder": Case(_zoo("digits-autoencoder"), 50000, "pynq-z2"),
    "digits_classifier": Case(_zoo("digits-classifier"), 20000, "pynq-z2"),
    "autoencoder_640": Case(lambda: structure("autoencoder_640"), 10000, "pynq-z2"),
}


@cache
def graph_of(name: str) -> Graph:
    """The network of a case."""
    return CASES[name].graph()


def emit(name: str, folder: Path) -> Project:
    """Write the project of a case."""
    case, backend = CASES[name], FinnBackend()
    return backend.emit(graph_of(name), load_board(case.board), backend.options({"fps": case.fps}), folder)


def predicted(e: Mapping[str, Any]) -> dict[str, Any]:
    """Our figures in the form of FINN's reports."""
    return {
        "cycles": {name: layer["cycles"] for name, layer in e["layers"].items()},
        "max_cycles": e["cycles"],
        "critical_path_cycles": e["latency_cycles"],
    }
