# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Tasks on pictures and series: a float and a quantized epoch on tiny data, figures, pictures, clear errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.qat

pytest.importorskip("torch")
pytest.importorskip("brevitas")

from PIL import Image  # noqa: E402

from bitwright.errors import ModelError  # noqa: E402
from bitwright.quant.data.detection import DataError  # noqa: E402
from bitwright.quant.forward import run_batch  # noqa: E402
from bitwright.quant.recipe import Recipe, RecipeError, parse_recipe  # noqa: E402
from bitwright.quant.tasks import build_task  # noqa: E402
from bitwright.quant.train import Trained, train  # noqa: E402

MOBILENET = {"name": "mobilenet", "version": 1, "width": 0.25, "resolution": 32, "small_input": True}


def recipe(task: dict[str, Any], model: dict[str, Any], **changes: Any) -> Recipe:
    phase = {"epochs": 1, "batch_size": 8}
    data = {"name": "tiny", "seed": 1, "threads": 1, "task": task, "model": model}
    return parse_recipe(data | {"float_training": phase, "qat": phase} | changes, "tiny")


def run(task: dict[str, Any], model: dict[str, Any], folder: Path) -> Trained:
    return train(recipe(task, model), folder / "c.pt")


def pictures(root: Path, split: str, classes: dict[str, int], count: int) -> None:
    """Classes are levels of grey, with a lighter corner of random size and noise."""
    rng = np.random.default_rng(len(split))
    for name, level in classes.items():
        folder = root / split / name
        folder.mkdir(parents=True)
        for k in range(count):
            noise = rng.integers(-20, 20, (24, 30, 3))
            noise[: rng.integers(4, 20), : rng.integers(4, 24)] += 40
            Image.fromarray(np.clip(level + noise, 0, 255).astype(np.uint8)).save(folder / f"{k}.png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for split in ("train", "test"):
        pictures(tmp_path / "data", split, {"dark": 40, "light": 200}, 12)
    return tmp_path / "data"


def test_classification_of_a_folder(folder: Path, tmp_path: Path) -> None:
    trained = run({"name": "classification", "data": str(folder)}, MOBILENET | {"classes": 2}, tmp_path)
    assert set(trained.metrics) == {"float", "qat"} and trained.task.facts["class_names"] == ["dark", "light"]
    assert trained.task.test(0, 3).shape == (3, 3, 32, 32)
    with pytest.raises(DataError, match=r"model\.classes is 3, the data has 2: dark, light"):
        build_task(recipe({"name": "classification", "data": str(folder)}, MOBILENET | {"classes": 3}))
    with pytest.raises(ModelError, match="this task has no pictures"):
        trained.task.draw(lambda x: run_batch(trained.model, x), tmp_path)


def test_classification_of_arrays(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        y = np.arange(12) % 2
        x = (rng.integers(0, 60, (12, 20, 20)) + 150 * y[:, None, None]).astype(np.uint8)
        np.savez(tmp_path / f"{split}.npz", x=x, y=y)
    task = {"name": "classification", "format": "npz", "data": str(tmp_path)}
    assert 0 <= run(task, MOBILENET | {"classes": 2}, tmp_path).metrics["qat"]["accuracy"] <= 1
    np.savez(tmp_path / "test.npz", x=x)
    with pytest.raises(DataError, match="holds no 'y'"):
        build_task(recipe(task, MOBILENET | {"classes": 2}))


@pytest.mark.parametrize("pretext", ["rotation", "contrastive", "cutpaste", "cutpaste_3way"])
def test_one_class_pretexts(pretext: str, folder: Path, tmp_path: Path) -> None:
    task = {"name": "one_class", "format": "image_folder", "data": str(folder), "normal": ["dark"], "pretext": pretext}
    trained = run(task, MOBILENET | {"classes": 0}, tmp_path)
    figures = trained.metrics["qat"]
    assert {"auc_gaussian", "auc_kde", "auc_ocsvm", "detected", "false_alarms"} <= set(figures)
    assert figures["collapsed"] in (0, 1) and (figures["auc_kde"] == 0.5 or not figures["collapsed"])
    # The head of the pretext task is not part of what is exported.
    features = run_batch(trained.model, trained.task.test(0, 2))[0]
    assert features.shape == (2, 256) and not any(n.startswith("head") for n, _ in trained.model.named_parameters())


def test_one_class_localises(tmp_path: Path) -> None:
    data = tmp_path / "data" / "nut"
    rng = np.random.default_rng(1)

    def save(path: Path, image: np.ndarray) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.astype(np.uint8)).save(path)

    def stripes() -> np.ndarray:
        wave = 100 + 60 * np.sin((np.arange(96) + rng.integers(0, 30)) / 3)
        return np.broadcast_to(wave[:, None, None], (96, 96, 3)) + rng.integers(-10, 10, (96, 96, 3))

    for k in range(8):
        save(data / "train" / "good" / f"{k}.png", stripes())
        save(data / "test" / "good" / f"{k}.png", stripes())
        broken, mask = stripes(), np.zeros((96, 96))
        broken[20:60, 30:70] = rng.integers(0, 255, (40, 40, 3))
        mask[20:60, 30:70] = 255
        save(data / "test" / "broken" / f"{k}.png", broken)
        save(data / "ground_truth" / "broken" / f"{k}_mask.png", mask)
    task = {
        "name": "one_class", "format": "mvtec", "data": str(tmp_path / "data"), "normal": ["nut"],
        "pretext": "cutpaste", "patch": 32, "scenes": 4,
    }  # fmt: skip
    phase = {"epochs": 5, "batch_size": 8, "learning_rate": 3e-3}
    model = MOBILENET | {"classes": 0}
    trained = train(recipe(task, model, float_training=phase, qat=phase | {"epochs": 1}), tmp_path / "c.pt")
    assert trained.task.train_size == 8 * 9  # patches side by side
    assert trained.metrics["float"]["pixel_auc"] > 0.8
    drawn = trained.task.draw(lambda x: run_batch(trained.model, x), tmp_path / "pictures")
    assert len(drawn) == 4 and all(p.is_file() for p in drawn)
    with pytest.raises(ModelError, match="exists and is not overwritten"):
        trained.task.draw(lambda x: run_batch(trained.model, x), tmp_path / "pictures")


def test_one_class_needs_features(folder: Path) -> None:
    task = {
        "name": "one_class",
        "format": "image_folder",
        "data": str(folder),
        "normal": ["dark"],
        "pretext": "rotation",
    }
    with pytest.raises(RecipeError, match="with classes = 0, got 'mobilenet' with classes = 2"):
        build_task(recipe(task, MOBILENET | {"classes": 2}))
    with pytest.raises(DataError, match="no class grey; there are dark, light"):
        build_task(recipe(task | {"normal": ["grey"]}, MOBILENET | {"classes": 0}))


def test_reconstruction_of_a_series(tmp_path: Path) -> None:
    steps = np.arange(600)
    values = np.sin(steps / 5) + np.where((steps > 450) & (steps < 470), 3.0, 0.0)
    lines = [f"2026-01-01 {k // 60 % 24:02d}:{k % 60:02d}:00,{v}" for k, v in zip(steps, values, strict=True)]
    (tmp_path / "s.csv").write_text("timestamp,value\n" + "\n".join(lines) + "\n")
    (tmp_path / "w.json").write_text('{"s.csv": [["2026-01-01 07:31:00", "2026-01-01 07:49:00"]]}')
    task = {"name": "reconstruction", "format": "series", "data": str(tmp_path), "series": "s.csv", "windows": "w.json"}
    model = {"name": "dense_autoencoder", "inputs": 16, "hidden": [12, 4]}
    figures = run(task, model, tmp_path).metrics["qat"]
    assert figures["error_of_anomalous"] > figures["error_of_normal"] and figures["area_under_roc"] > 0.9
    with pytest.raises(DataError, match="needs both kinds of samples"):
        build_task(recipe(task | {"windows": ""}, model))


def test_reconstruction_of_pictures(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    np.savez(tmp_path / "train.npz", x=rng.random((16, 1, 16, 16), np.float32) * 0.2)
    np.savez(tmp_path / "test.npz", x=rng.random((8, 1, 16, 16), np.float32), y=np.arange(8) % 2)
    task = {"name": "reconstruction", "format": "npz", "data": str(tmp_path)}
    model = {"name": "conv_autoencoder", "channels": 1, "resolution": 16, "hidden": [8, 8]}
    trained = run(task, model, tmp_path)
    assert run_batch(trained.model, trained.task.test(0, 2))[0].shape == (2, 1, 16, 16)
    with pytest.raises(DataError, match=r"samples have shape \(1, 16, 16\), the network takes \(1, 8, 8\)"):
        build_task(recipe(task, model | {"resolution": 8}))


def test_task_and_model_must_fit() -> None:
    with pytest.raises(RecipeError, match=r"'mobilenet' cannot be trained for task.name = 'digits_classification'"):
        build_task(recipe({"name": "digits_classification"}, MOBILENET))
