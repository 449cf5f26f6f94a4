# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""A whole run into one folder: train, export, verify, write the figures."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bitwright.errors import BitwrightError
from bitwright.quant.digits_split import SPLIT_SEED, TEST_FRACTION
from bitwright.quant.export import OPSET, export
from bitwright.quant.files import write_atomically
from bitwright.quant.models import input_shape
from bitwright.quant.recipe import Exporter, Recipe
from bitwright.quant.train import Report, Trained, train

MODEL, METRICS, CHECKPOINT = "model.onnx", "metrics.json", "checkpoint.pt"
_TOOLS = ("torch", "brevitas", "qonnx", "onnx", "onnxruntime", "onnxscript", "numpy", "scikit-learn")


def run(
    recipe: Recipe, folder: Path, *, resume: bool = False, force: bool = False, report: Report | None = None
) -> dict[str, Any]:
    """Train a recipe and leave model.onnx, metrics.json and checkpoint.pt in ``folder``.

    Returns the content of metrics.json.

    Raises:
        BitwrightError: the folder holds results and neither ``resume`` nor ``force`` is given, or cannot be written.
        VerificationError: the exported file does not compute what Brevitas computes.
    """
    if resume and force:
        raise BitwrightError("--resume continues a run and --force starts it over: give one of them")
    for name in (MODEL, METRICS, CHECKPOINT):
        if (folder / name).exists() and not force and not (resume and name == CHECKPOINT):
            hint = "; --resume continues the interrupted run" if name == CHECKPOINT else ""
            raise BitwrightError(f"{folder / name}: exists and is not overwritten; --force replaces it{hint}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BitwrightError(f"{folder}: cannot make the folder: {error.strerror}; choose another one") from error
    trained = train(recipe, folder / CHECKPOINT, resume=resume, report=report)
    result = export_trained(trained, recipe.exporter, folder / MODEL)
    write_atomically(folder / METRICS, (json.dumps(result, indent=2) + "\n").encode())
    return result


def export_trained(trained: Trained, exporter: Exporter, path: Path) -> dict[str, Any]:
    """Write the verified QONNX file of a finished run; what metrics.json says about it."""
    recipe, task = trained.recipe, trained.task
    images = task.x_test.reshape(len(task.x_test), *input_shape(recipe))
    content, comparison = export(trained.model, images, exporter, recipe.name, path)
    return {
        "recipe": recipe.name,
        "metric": task.metric,
        "float": trained.metrics["float"],
        "qat": trained.metrics["qat"],
        "test_images": comparison.images,
        "split_seed": SPLIT_SEED,
        "test_fraction": TEST_FRACTION,
        "training_seed": recipe.seed,
        "exporter": exporter,
        "opset": OPSET,
        "images_that_differ_by_a_rounding_tie": comparison.explained,
        "sha256": hashlib.sha256(content).hexdigest(),
        "versions": {name: v for name in _TOOLS if (v := _version(name))},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
