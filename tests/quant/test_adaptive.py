# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Adaptive networks: one training, every setting a model of its own from the same weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

pytestmark = pytest.mark.qat

torch = pytest.importorskip("torch")
pytest.importorskip("brevitas")

from bitwright.cli.evaluation import integer_runner  # noqa: E402
from bitwright.compile.frontend import import_model  # noqa: E402
from bitwright.quant.forward import run_batch  # noqa: E402
from bitwright.quant.recipe import Recipe, RecipeError, parse_recipe  # noqa: E402
from bitwright.quant.run import export_trained  # noqa: E402
from bitwright.quant.tasks.adaptive import DigitVideoTask  # noqa: E402
from bitwright.quant.train import Trained, train  # noqa: E402
from bitwright.sim import reference  # noqa: E402
from bitwright.sim.fast import FastSimulator  # noqa: E402


def recipe(**model: object) -> Recipe:
    phase = {"epochs": 1, "batch_size": 16}
    table = {"name": "adaptive_classifier", "stem": 4, "channels": [6, 8], "strides": [2, 2], "resolutions": [16, 24]}
    task = {"name": "digit_videos", "frames": 2, "train_clips": 24, "test_clips": 10}
    data = {"name": "tiny", "seed": 1, "threads": 1, "task": task, "model": table | model}
    return parse_recipe(data | {"float_training": phase, "qat": phase}, "tiny")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train(recipe(), tmp_path_factory.mktemp("run") / "c.pt")


def test_every_setting_is_scored(trained: Trained) -> None:
    settings = {"accuracy_r16_exit0", "accuracy_r16_exit1", "accuracy_r24_exit0", "accuracy_r24_exit1"}
    figures = trained.metrics["qat"]
    assert set(figures) == settings | {"accuracy_mean"}
    assert figures["accuracy_mean"] == pytest.approx(np.mean([figures[s] for s in settings]))


def test_a_setting_computes_what_the_whole_network_does(trained: Trained) -> None:
    task = trained.task
    assert isinstance(task, DigitVideoTask)
    for setting in task.settings:
        samples = task.test_at(setting.resolution, 0, 4)
        assert samples.shape == (4, 3, setting.resolution, setting.resolution)
        alone = run_batch(task.network_at(trained.model, setting), samples)[0]
        assert np.array_equal(alone, run_batch(trained.model, samples)[setting.exit])


def test_settings_share_their_weights_and_compile(trained: Trained, tmp_path: Path) -> None:
    facts = export_trained(trained, "torchscript", tmp_path / "settings")
    assert [s["file"] for s in facts["settings"]] == [f"r{r}_exit{e}.onnx" for r in (16, 24) for e in (0, 1)]
    macs = [s["macs"] for s in facts["settings"]]
    assert macs[0] < macs[1] < macs[3] and macs[0] < macs[2]
    stems = []
    for setting in trained.task.settings:  # type: ignore[attr-defined]
        path = tmp_path / "settings" / f"{setting.name}.onnx"
        weights = [onnx.numpy_helper.to_array(i) for i in onnx.load(str(path)).graph.initializer]
        stems.append(next(w for w in weights if w.shape == (4, 3, 3, 3)))
        graph = import_model(path)
        tensor = graph.tensors[graph.inputs[0].tensor]
        codes = {tensor.name: np.random.default_rng(0).integers(0, 256, (3, *tensor.shape))}
        expected, got = reference.run(graph, codes), FastSimulator(graph, 1).run(codes)
        assert all(np.array_equal(expected[k], got[k]) for k in expected)
        logits = integer_runner(graph)(trained.task.test_at(setting.resolution, 0, 4))[0]  # type: ignore[attr-defined]
        assert logits.shape == (4, 10)
    assert all(np.array_equal(stems[0], s) for s in stems)


def test_frames_of_a_clip_vote(trained: Trained) -> None:
    task = trained.task
    assert isinstance(task, DigitVideoTask)
    logits = np.zeros((20, 10))
    logits[np.arange(20), np.repeat(task._labels, 2)] = 1
    assert task.accuracy(logits) == 1
    logits[0::2] *= 0.5
    logits[0::2, 0] += 0.9  # half of the frames are wrong, but less sure
    assert task.accuracy(logits) == 1


def test_wrong_knobs_are_named() -> None:
    with pytest.raises(RecipeError, match=r"resolutions must differ, got \[16, 16\]"):
        recipe(resolutions=[16, 16])
    with pytest.raises(RecipeError, match="channels and strides must be of one length, got 2 and 1"):
        recipe(strides=[2])
