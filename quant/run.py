# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""A whole run into one folder: train, export, verify, write the figures."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bitwright.errors import BitwrightError
from bitwright.quant.count import count
from bitwright.quant.curves import draw_curves
from bitwright.quant.export import export
from bitwright.quant.files import write_atomically
from bitwright.quant.layers import FloatLayers
from bitwright.quant.models import build, input_shape
from bitwright.quant.recipe import Exporter, Recipe
from bitwright.quant.tasks.adaptive import DigitVideoTask
from bitwright.quant.train import Report, Trained, train

MODEL, METRICS, CHECKPOINT, CURVES = "model.onnx", "metrics.json", "checkpoint.pt", "curves.svg"
#: Folder of an adaptive network's models, one for each setting.
SETTINGS = "settings"
#: Key of the recipe in the metadata of an exported file.
RECIPE_KEY = "bitwright.recipe"
#: Values of the test samples on which an export is executed by qonnx: about 40 images of 256 x 256 x 3.
_VERIFIED_VALUES = 8_000_000
_VERIFIED_SAMPLES = 2000
_TOOLS = ("torch", "brevitas", "qonnx", "onnx", "onnxruntime", "onnxscript", "numpy", "scikit-learn", "pillow")


def run(
    recipe: Recipe, folder: Path, *, resume: bool = False, force: bool = False, float_from: Path | None = None,
    weights: Path | None = None, report: Report | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Train a recipe and leave model.onnx, metrics.json, curves.svg and checkpoint.pt in ``folder``.

    Returns the content of metrics.json.

    Raises:
        BitwrightError: the folder holds results and neither ``resume`` nor ``force`` is given, or cannot be written.
        VerificationError: the exported file does not compute what Brevitas computes.
    """
    if resume and force:
        raise BitwrightError("--resume continues a run and --force starts it over: give one of them")
    for name in (MODEL, SETTINGS, METRICS, CURVES, CHECKPOINT):
        if (folder / name).exists() and not force and not (resume and name == CHECKPOINT):
            hint = "; --resume continues the interrupted run" if name == CHECKPOINT else ""
            raise BitwrightError(f"{folder / name}: exists and is not overwritten; --force replaces it{hint}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BitwrightError(f"{folder}: cannot make the folder: {error.strerror}; choose another one") from error
    trained = train(recipe, folder / CHECKPOINT, resume=resume, float_from=float_from, weights=weights, report=report)
    adaptive = isinstance(trained.task, DigitVideoTask)
    result = export_trained(trained, recipe.exporter, folder / (SETTINGS if adaptive else MODEL))
    write_atomically(folder / METRICS, (json.dumps(result, indent=2) + "\n").encode())
    write_atomically(folder / CURVES, draw_curves(recipe.name, trained.history))
    return result


def export_trained(trained: Trained, exporter: Exporter, path: Path, *, packed: bool | None = None) -> dict[str, Any]:
    """Write the verified QONNX file of a finished run; what metrics.json says about it.

    For an adaptive network ``path`` is a folder, with one file for each of its settings.
    """
    recipe, task = trained.recipe, trained.task
    packed = recipe.packed if packed is None else packed
    facts: dict[str, Any] = {
        "recipe": recipe.name,
        "task": recipe.task.name,
        "model": recipe.model.name,
        "metric": task.metric,
        "float": trained.metrics["float"],
        "qat": trained.metrics["qat"],
        "weight_bits": recipe.quantization.weight_bits,
        "act_bits": recipe.quantization.act_bits,
        "data": task.facts,
        "test_samples": task.test_size,
        "training_seed": recipe.seed,
        "exporter": exporter,
    }
    with torch.device("meta"):
        float_model = build(recipe, FloatLayers())
    if isinstance(task, DigitVideoTask):
        facts["settings"] = []
        path.mkdir(parents=True, exist_ok=True)
        for setting in task.settings:
            samples = task.test_at(setting.resolution, 0, _VERIFIED_SAMPLES)
            facts["settings"].append(
                {
                    "resolution": setting.resolution,
                    "exit": setting.exit,
                    "accuracy_float": trained.metrics["float"][f"accuracy_{setting.name}"],
                    "accuracy_qat": trained.metrics["qat"][f"accuracy_{setting.name}"],
                    **_export_one(
                        task.network_at(trained.model, setting), task.network_at(float_model, setting), samples,
                        path / f"{setting.name}.onnx", recipe, exporter, packed,
                    ),
                }
            )  # fmt: skip
    else:
        size = max(2, min(_VERIFIED_SAMPLES, _VERIFIED_VALUES // math.prod(input_shape(recipe))))
        samples = task.test(0, min(task.test_size, size))
        facts |= _export_one(trained.model, float_model, samples, path, recipe, exporter, packed)
    versions = {name: v for name in _TOOLS if (v := _version(name))}
    return facts | {"history": trained.history, "versions": versions}


def _export_one(
    model: nn.Module, float_model: nn.Module, samples: NDArray[np.float32], path: Path, recipe: Recipe,
    exporter: Exporter, packed: bool,
) -> dict[str, Any]:  # fmt: skip
    content, comparison = export(
        model, samples, exporter, recipe.name, path, packed=packed,
        metadata={RECIPE_KEY: portable(recipe).model_dump_json(exclude_defaults=True)},
    )  # fmt: skip
    layers = count(float_model, samples.shape[1:])
    return {
        "file": path.name,
        "file_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "macs": sum(layer.macs for layer in layers),
        "weights": sum(layer.weights for layer in layers),
        "verified": asdict(comparison),
    }


def portable(recipe: Recipe) -> Recipe:
    """The recipe without the folder of the data, which is a place on this machine."""
    if "data" not in type(recipe.task).model_fields:
        return recipe
    return recipe.model_copy(update={"task": recipe.task.model_copy(update={"data": ""})})


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
