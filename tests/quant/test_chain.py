# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The whole chain by the command line: train -> export -> check -> compile -> verify, on a network trained just now."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.qat

pytest.importorskip("torch")
pytest.importorskip("brevitas")

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "zoo" / "digits-classifier" / "recipe.toml"


def bitwright(*arguments: object) -> dict[str, Any]:
    """One command with --json; its object."""
    command = [sys.executable, "-c", "from bitwright.cli import main; main()", *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_train_export_check_compile_verify(tmp_path: Path) -> None:
    run, model, bundle = tmp_path / "run", tmp_path / "dynamo.onnx", tmp_path / "bundle"
    trained = bitwright("train", RECIPE, "-o", run, "--set", "float_training.epochs=8", "--set", "qat.epochs=3")
    assert trained["float"]["accuracy"] > 0.9 and trained["qat"]["accuracy"] > 0.9
    assert {p.name for p in run.iterdir()} == {"model.onnx", "metrics.json", "curves.svg", "checkpoint.pt"}
    assert len(trained["history"]) == 11

    exported = bitwright("export", run / "checkpoint.pt", "-o", model, "--exporter", "dynamo", "--packed")
    assert exported["file_bytes"] == model.stat().st_size < trained["file_bytes"]

    figures = bitwright("evaluate", run / "checkpoint.pt")["figures"]
    assert list(figures) == ["float", "QAT", "integers"]
    assert figures["float"] == trained["float"] and figures["QAT"] == trained["qat"]
    # Integers and float32 can part at a rounding tie only: not more than one image of 540 in either direction.
    assert abs(figures["integers"]["accuracy"] - figures["QAT"]["accuracy"]) * 540 < 1.5
    assert bitwright("evaluate", model)["figures"]["integers"] == figures["integers"]

    for source in (run / "model.onnx", model):
        checked = bitwright("check", source)
        assert checked["supported"] and checked["backends"]["hls4ml"] == []
        assert checked["macs_per_frame"] == trained["macs"] and checked["weights"] == trained["weights"]
    bitwright("compile", run / "model.onnx", "-o", bundle)
    assert bitwright("verify", bundle)["equal"] is True
