# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""From photographs to boxes and classes: the host does to an image what training did to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitwright import flow
from bitwright.host import Accelerator, BundleError, Classified, Detections, InputError
from bitwright.host.decode import centernet
from bitwright.host.resize import resize
from tests.support import ModelBuilder


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    before=st.tuples(st.integers(1, 70), st.integers(1, 70)), after=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    seed=st.integers(0, 10**6), extreme=st.booleans(),
)  # fmt: skip
def test_images_are_resized_as_pillow_does_it_along_rows_and_columns(
    before: tuple[int, int], after: tuple[int, int], seed: int, extreme: bool
) -> None:
    image_module = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*before, 3)).astype(np.uint8)
    if extreme:
        image = np.where(image > 127, 255, 0).astype(np.uint8)
    rows = image_module.fromarray(image).resize((after[1], before[0]), image_module.Resampling.BILINEAR)
    both = rows.resize((after[1], after[0]), image_module.Resampling.BILINEAR)
    np.testing.assert_array_equal(resize(image, *after), np.asarray(both))


def model(folder: Path, task: str, network: str) -> Path:
    """A network (3, 16, 24) -> the three maps of a detector, or class logits, as `bitwright train` writes it."""
    rng = np.random.default_rng(3)
    b = ModelBuilder()
    x = b.quant(b.input(["N", 3, 16, 24]), 1 / 255, 0.0, 8, signed=False)
    channels = {"detection": (2, 2, 2), "classification": (3,)}[task]
    outputs = []
    for count in channels:
        kernel = (4, 4) if task == "detection" else (8, 12)
        w = b.quant_const(rng.normal(size=(count, 3, *kernel)), 0.15)
        outputs.append(b.quant(b.node("Conv", x, w, strides=list(kernel)), 0.1))
    made = b.model(*outputs)
    recipe = {"task": {"name": task}, "model": {"name": network}}
    made.metadata_props.append(onnx.StringStringEntryProto(key=flow.RECIPE_KEY, value=json.dumps(recipe)))
    onnx.save(made, folder / "m.onnx")
    return folder / "m.onnx"


@pytest.fixture(scope="module", params=["program", pytest.param("rtl", marks=pytest.mark.rtl)])
def detector(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Accelerator]:
    folder = tmp_path_factory.mktemp("task")
    out = folder / "out"
    flow.compile_model(model(folder, "detection", "codenet"), out, board="ultra96-v2", backend="engine")
    with Accelerator.load(out, device="sim", engine=request.param) as net:
        yield net


def image(height: int = 40, width: int = 72, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_boxes_are_those_of_the_steps_taken_one_by_one(detector: Accelerator) -> None:
    picture = image()
    boxes = detector.run(picture)
    assert isinstance(boxes, Detections) and len(boxes.scores)
    x = resize(picture, 16, 24).transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255)
    (want,) = centernet.decode(*detector.run(x).values(), stride=4, threshold=flow.SHOWN_SCORE)
    want = want.scaled(72 / 24, 40 / 16)
    np.testing.assert_array_equal(boxes.boxes, want.boxes)
    np.testing.assert_array_equal(boxes.scores, want.scores)
    assert set(detector.run(picture, raw=True)) == {p.name for p in detector.bundle.outputs}


def test_images_of_any_size_in_a_stream(detector: Accelerator) -> None:
    pictures = [image(16, 24), image(50, 31, 1), image(200, 10, 2)]
    for picture, found in zip(pictures, detector.stream(pictures), strict=True):
        np.testing.assert_array_equal(found.boxes, detector.run(picture).boxes)
    with pytest.raises(InputError, match="no pixels"):
        detector.run(np.zeros((0, 4, 3), np.uint8))


def test_classes(tmp_path: Path) -> None:
    flow.compile_model(
        model(tmp_path, "classification", "mobilenet"), tmp_path / "b", board="ultra96-v2", backend="engine"
    )
    with Accelerator.load(tmp_path / "b", device="sim") as net:
        picture = image()
        found = net.run(picture)
        assert isinstance(found, Classified) and sorted(found.labels) == list(range(12))
        assert (np.diff(found.scores) <= 0).all() and found.scores.sum() == pytest.approx(1)
        x = resize(picture, 16, 24).transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255)
        assert found.labels[0] == net.run(x).argmax()


def test_models_without_a_recipe_have_no_task(tmp_path: Path) -> None:
    b = ModelBuilder()
    x = b.quant(b.input(["N", 4]), 0.1)
    y = b.quant(b.node("Gemm", x, b.quant_const(np.eye(4), 0.5), transB=1), 0.1)
    manifest = flow.compile_model(b.save(tmp_path / "m.onnx", y), tmp_path / "b", board="ultra96-v2", backend="engine")
    assert manifest["task"] is None
    path = tmp_path / "b" / "manifest.json"
    path.write_text(json.dumps({**manifest, "task": {"decoder": "centernet"}}))
    with pytest.raises(BundleError, match=r"a task needs one input image \(3, H, W\)"):
        Accelerator.load(tmp_path / "b", device="sim")
    path.write_text(json.dumps({**manifest, "task": {"decoder": "yolo"}}))
    with pytest.raises(BundleError, match=r"task\.decoder is 'yolo', this runtime has centernet, ssd, classify"):
        Accelerator.load(tmp_path / "b", device="sim")
