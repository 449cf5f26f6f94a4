# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The figures of merit of one network in all its forms: float, QAT, integers."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.errors import BitwrightError


def evaluate_source(source: Path, data: str, pictures: Path | None) -> dict[str, Any]:
    """Evaluate a checkpoint (float, QAT and integers) or an exported model (integers, beside the recorded figures).

    Args:
        source: checkpoint.pt, or an ONNX file that bitwright exported.
        data: folder of the data, for tasks that have one.
        pictures: folder for pictures of results, or None.

    Raises:
        BitwrightError: the file is neither, or the data cannot be used.
    """
    from bitwright.quant.missing import require_qat

    require_qat()
    if source.suffix == ".onnx":
        return _integers(_of_model(source, data), source, {}, pictures)
    return _of_checkpoint(source, data, pictures)


def _of_model(source: Path, data: str) -> Any:
    import onnx

    from bitwright.compile.frontend.reader import read_model
    from bitwright.quant.recipe import parse_recipe
    from bitwright.quant.run import RECIPE_KEY
    from bitwright.quant.tasks import build_task
    from bitwright.quant.train import at_data

    read_model(source, {})  # its errors are clear ones
    entries = {p.key: p.value for p in onnx.load(str(source), load_external_data=False).metadata_props}
    if RECIPE_KEY not in entries:
        raise BitwrightError(
            f"{source}: holds no recipe, so its task is not known; evaluate the checkpoint, or export the model with "
            "`bitwright export`"
        )
    import json

    return build_task(at_data(parse_recipe(json.loads(entries[RECIPE_KEY]), str(source)), data))


def _of_checkpoint(source: Path, data: str, pictures: Path | None) -> dict[str, Any]:
    from bitwright.quant.run import export_trained
    from bitwright.quant.train import evaluate, restore, restore_float

    trained = restore(source, data)
    figures = {
        "float": evaluate(restore_float(source), trained.task),
        "QAT": evaluate(trained.model, trained.task),
    }
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.onnx"
        exported = export_trained(trained, trained.recipe.exporter, model)
        if "settings" in exported:
            figures["integers"] = _integers_of_settings(trained.task, model)
            return {"metric": trained.task.metric, "test_samples": trained.task.test_size, "figures": figures}
        return _integers(trained.task, model, figures, pictures)


def _integers_of_settings(task: Any, folder: Path) -> dict[str, float]:
    """An adaptive network: every setting is a file of its own."""
    from bitwright.compile.frontend import import_model

    found = {}
    for setting in task.settings:
        run = integer_runner(import_model(folder / f"{setting.name}.onnx"))
        found[f"accuracy_{setting.name}"] = task.accuracy(run(task.test_at(setting.resolution))[0])
    return {task.metric: float(np.mean(list(found.values()))), **found}


def _integers(task: Any, model: Path, figures: dict[str, dict[str, float]], pictures: Path | None) -> dict[str, Any]:
    from bitwright.compile.frontend import import_model

    run = integer_runner(import_model(model))
    figures["integers"] = task.figures(run)
    result: dict[str, Any] = {"metric": task.metric, "test_samples": task.test_size, "figures": figures}
    if pictures is not None:
        result["pictures"] = [str(p) for p in task.draw(run, pictures)]
    return result


def integer_runner(graph: Any) -> Any:
    """A function from real model inputs (N, ...) to real model outputs, computed in integers by the fast simulator."""
    from bitwright import flow
    from bitwright.sim.fast import FastSimulator

    simulator = FastSimulator(graph)
    (given,) = graph.inputs

    def run(x: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        integers = simulator.run({given.tensor: flow.integers_of(graph, given, x)})
        return tuple(np.asarray(flow.real_output(graph, o, integers[o.tensor])) for o in graph.outputs)

    return run
