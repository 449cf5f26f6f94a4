# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The fixed split and the committed networks: no torch needed."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from bitwright.errors import ModelError
from bitwright.quant.data.digits import SPLIT_SEED, TEST_FRACTION, UNSEEN_CLASS, load_anomaly_split, load_split
from bitwright.quant.metrics.scores import accuracy, area_under_roc, reconstruction_errors
from bitwright.quant.qonnx_run import run_qonnx, trace_quantizers
from bitwright.quant.recipe import load_recipe
from bitwright.zoo import entry

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("classifier", "autoencoder")
ZOO = {name: entry(f"digits-{name}") for name in NAMES}
METRICS: dict[str, dict[str, Any]] = {name: ZOO[name].metrics for name in NAMES}
FILES = [(name, ZOO[name].model, METRICS[name]["sha256"]) for name in NAMES] + [
    (name, ROOT / "tests" / "data" / METRICS[name]["other_exporter"]["file"], METRICS[name]["other_exporter"]["sha256"])
    for name in NAMES
]
IDS = [*(f"digits_{name}" for name in NAMES), *(path.stem for _, path, _ in FILES[len(NAMES) :])]


def test_split_is_the_documented_one() -> None:
    split = load_split()
    assert split.x_train.shape == (1257, 1, 8, 8) and split.x_test.shape == (540, 1, 8, 8)
    assert split.x_train.dtype == np.float32 and split.y_test.dtype == np.int64
    levels = split.x_test * 16
    assert np.array_equal(levels, np.rint(levels)) and levels.min() == 0 and levels.max() == 16
    # stratified: 30 % of the 174 to 183 images of each class
    assert set(np.bincount(split.y_test)) <= {52, 53, 54, 55}
    # the very images, whatever version of scikit-learn draws them
    digest = hashlib.sha256(np.rint(levels).astype(np.uint8).tobytes() + split.y_test.astype(np.uint8).tobytes())
    assert digest.hexdigest() == "deccc7ba88764c72105f88993c6d09884422597cb72a87d15869f16994a12f03"


def test_train_and_test_do_not_overlap() -> None:
    split = load_split()
    train = {x.tobytes() for x in split.x_train}
    assert not [x for x in split.x_test if x.tobytes() in train]


def test_anomaly_split_hides_one_class() -> None:
    split, digits = load_anomaly_split(3), load_split()
    assert len(split.x_train) == np.count_nonzero(digits.y_train != 3)
    hidden = {x.tobytes() for x in digits.x_train[digits.y_train == 3]}
    assert not [x for x in split.x_train if x.tobytes() in hidden]
    assert np.array_equal(split.anomalous, digits.y_test == 3) and len(split.x_test) == 540
    with pytest.raises(ValueError, match=r"unseen_class must be 0\.\.9, got 10"):
        load_anomaly_split(10)


def test_area_under_roc_against_the_definition() -> None:
    rng = np.random.default_rng(0)
    scores, positive = rng.integers(0, 6, 60), rng.random(60) < 0.3
    pairs = [(p > n) + 0.5 * (p == n) for p in scores[positive] for n in scores[~positive]]
    assert area_under_roc(scores, positive) == pytest.approx(np.mean(pairs), abs=1e-12)
    with pytest.raises(ValueError, match="needs both classes, got 0 positives"):
        area_under_roc(scores, np.zeros(60, bool))


def test_reconstruction_errors_flatten_images() -> None:
    x = np.zeros((2, 1, 2, 2), np.float32)
    assert reconstruction_errors(x, np.array([[0, 0, 0, 0], [1, 1, 0, 0]])).tolist() == [0, 0.5]


@pytest.mark.parametrize("name", NAMES)
def test_metrics_belong_to_recipe_and_split(name: str) -> None:
    recipe, facts = load_recipe(ZOO[name].recipe), METRICS[name]
    assert facts["recipe"] == recipe.name and facts["training_seed"] == recipe.seed
    assert facts["exporter"] == recipe.exporter != facts["other_exporter"]["exporter"]
    assert (facts["data"]["split_seed"], facts["data"]["test_fraction"]) == (SPLIT_SEED, TEST_FRACTION)
    assert recipe.validation == 0
    if recipe.task.name == "digits_anomaly":
        assert recipe.task.unseen_class == UNSEEN_CLASS
        assert facts["float_by_unseen_class"][str(UNSEEN_CLASS)] == facts["float"][facts["metric"]]


def test_metrics_reach_what_the_documentation_promises() -> None:
    float_accuracy, accuracy_ = (METRICS["classifier"][phase]["accuracy"] for phase in ("float", "qat"))
    assert float_accuracy >= 0.98 and float_accuracy - accuracy_ <= 0.01
    assert min(METRICS["autoencoder"][phase]["area_under_roc"] for phase in ("float", "qat")) >= 0.9


@pytest.mark.parametrize(("name", "path", "digest"), FILES, ids=IDS)
def test_committed_file(name: str, path: Path, digest: str) -> None:
    content = path.read_bytes()
    assert hashlib.sha256(content).hexdigest() == digest
    assert len(content) < 100_000
    model = onnx.load(str(path), load_external_data=False)
    assert model.ir_version <= 10
    assert all(t.data_location == onnx.TensorProto.DEFAULT for t in model.graph.initializer)
    for word in (b"site-packages", b"/home/", b".py"):
        assert word not in content, f"{path.name} holds traces of the machine that made it: {word!r}"


@pytest.mark.parametrize(("name", "path", "digest"), FILES, ids=IDS)
def test_committed_file_is_quantized_as_the_recipe_says(name: str, path: Path, digest: str) -> None:
    settings = load_recipe(ZOO[name].recipe).quantization
    model = onnx.load(str(path))
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = onnx.numpy_helper.to_array(node.attribute[0].t)
    weights, scales = 0, []
    for node in (n for n in model.graph.node if n.op_type == "Quant"):
        scale, bits = constants[node.input[1]], float(constants[node.input[3]])
        if node.input[0] in constants:
            weights += 1
            assert bits == settings.weight_bits and scale.size == constants[node.input[0]].shape[0]
        else:
            assert bits == settings.act_bits and scale.size == 1
        scales.append(scale.ravel())
    layers = [n for n in model.graph.node if n.op_type in ("Conv", "MatMul", "Gemm")]
    assert weights == len(layers)
    mantissas, _ = np.frexp(np.concatenate(scales))
    assert np.count_nonzero(mantissas == 0.5) <= 2, "scales are meant to be arbitrary, not powers of two"


@pytest.mark.parametrize(("name", "path", "digest"), FILES, ids=IDS)
def test_committed_file_reaches_its_figure(name: str, path: Path, digest: str) -> None:
    model = onnx.load(str(path))
    if name == "classifier":
        split = load_split()
        (logits,) = run_qonnx(model, split.x_test)
        assert accuracy(logits, split.y_test) == METRICS[name]["qat"]["accuracy"]
        return
    anomaly = load_anomaly_split()
    images = anomaly.x_test.reshape(-1, 64)
    (rebuilt,) = run_qonnx(model, images)
    errors = reconstruction_errors(images, rebuilt)
    assert area_under_roc(errors, anomaly.anomalous) == METRICS[name]["qat"]["area_under_roc"]


def test_residual_branches_have_different_scales() -> None:
    model = onnx.load(str(ZOO["classifier"].model))
    scales = [scale for scale, _, _ in trace_quantizers(model, load_split().x_test[:1])]
    assert len(set(scales)) == len(scales)
    assert sum(node.op_type == "Add" for node in model.graph.node) >= 1


def test_wrong_input_shape_is_named() -> None:
    with pytest.raises(ModelError, match=r"samples must have shape \(64,\), got \(1, 8, 8\)"):
        run_qonnx(onnx.load(str(ZOO["autoencoder"].model)), load_split().x_test[:1])
