# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""SSDLite and DeepLabv3: targets, losses, augmentation, choice of the task, a short training. `make test-qat`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.qat

torch = pytest.importorskip("torch")
pytest.importorskip("brevitas")
pytest.importorskip("sklearn")

from PIL import Image as Pillow  # noqa: E402

from bitwright.compile.frontend import import_model  # noqa: E402
from bitwright.host.decode.boxes import overlaps  # noqa: E402
from bitwright.host.decode.ssd import anchors, decode  # noqa: E402
from bitwright.quant.data.detection import DataError  # noqa: E402
from bitwright.quant.export import export  # noqa: E402
from bitwright.quant.metrics.detection import Truth  # noqa: E402
from bitwright.quant.recipe import (  # noqa: E402
    EXPORTERS,
    Augmentation,
    Exporter,
    Recipe,
    RecipeError,
    parse_recipe,
)
from bitwright.quant.tasks import build_task  # noqa: E402
from bitwright.quant.tasks.detection import CentreTask  # noqa: E402
from bitwright.quant.tasks.multibox import LEFT_OUT, MATCH, MultiBoxTask, match, multibox_loss  # noqa: E402
from bitwright.quant.tasks.segmentation import SegmentationTask, augment  # noqa: E402
from bitwright.quant.train import train  # noqa: E402
from bitwright.sim import reference  # noqa: E402
from bitwright.sim.fast.simulator import FastSimulator  # noqa: E402

SSDLITE = {"name": "ssdlite", "version": 1, "width": 0.25, "resolution": 64, "classes": 10}
DEEPLAB = {"name": "deeplab", "version": 2, "width": 0.25, "resolution": 65, "classes": 11}
SCENES = {"format": "digit_scenes", "train_images": 16, "test_images": 6}
AUGMENTATION = {"flip": True, "flip_vertical": True, "scale": 0.2, "shift_pixels": 6, "colour": 0.3}
MAPS = [(8, 8), (4, 4), (2, 2), (1, 1), (1, 1), (1, 1)]


def recipe(task: dict[str, Any], model: dict[str, Any], **changes: Any) -> Recipe:
    phase = {"epochs": 1, "batch_size": 8}
    base = {
        "name": "dense", "seed": 3, "threads": 1, "task": task, "model": model, "augmentation": AUGMENTATION,
        "quantization": {"first_weight_bits": 8}, "float_training": phase, "qat": phase,
    }  # fmt: skip
    return parse_recipe(base | changes, "dense")


def generator(seed: int = 0) -> Any:
    return torch.Generator().manual_seed(seed)


def truth(*boxes: tuple[float, ...], difficult: tuple[int, ...] = ()) -> Truth:
    hard = np.zeros(len(boxes), bool)
    hard[list(difficult)] = True
    return Truth(np.asarray(boxes, np.float32).reshape(-1, 4), np.arange(len(boxes)) % 3, hard)


# ---- SSDLite


def test_matching_rules() -> None:
    priors = anchors(MAPS, 128)
    rng = np.random.default_rng(0)
    for _ in range(20):
        corner = rng.uniform(0, 100, (4, 2))
        objects = truth(*np.concatenate((corner, corner + rng.uniform(4, 60, (4, 2))), 1).tolist())
        labels, codes = match(objects, priors)
        table = overlaps(priors, objects.boxes)
        hit = np.flatnonzero(labels)
        # Codes lead back to an object, of the label that the anchor has.
        found = decode(codes[hit], priors[hit])
        near = overlaps(found, objects.boxes)
        assert (near.max(1) > 0.99).all()
        assert (objects.labels[near.argmax(1)] + 1 == labels[hit]).all()
        assert set(near.argmax(1)) == {0, 1, 2, 3}
        # Every anchor above the threshold trains, and at most one more for each object.
        assert set(np.flatnonzero(table.max(1) >= MATCH)) <= set(hit)
        assert (table[hit].max(1) < MATCH).sum() <= 4
        assert not codes[labels == 0].any()


def test_two_objects_do_not_share_their_best_anchor() -> None:
    priors = anchors(MAPS, 128)
    box = tuple(priors[200].tolist())
    labels, _ = match(truth(box, box), priors)
    assert set(labels[labels > 0]) == {1, 2}


def test_objects_that_do_not_count() -> None:
    priors = anchors(MAPS, 128)
    box = tuple(priors[200].tolist())
    labels, codes = match(truth(box, difficult=(0,)), priors)
    assert labels[200] == LEFT_OUT and set(labels) == {0, LEFT_OUT} and not codes.any()
    for objects in (truth(), truth((5, 5, 5, 9))):  # none, and one without an area
        labels, codes = match(objects, priors)
        assert not labels.any() and not codes.any()


def test_loss_is_what_counting_gives() -> None:
    torch.manual_seed(0)
    logits, found = torch.randn(3, 40, 4, requires_grad=True), torch.randn(3, 40, 4, requires_grad=True)
    labels, codes = torch.zeros(3, 40, dtype=torch.int64), torch.randn(3, 40, 4)
    labels[0, :2], labels[1, :20], labels[1, 30:33] = torch.tensor([1, 3]), 2, LEFT_OUT
    total = 0.0
    for image in range(3):
        entropies = torch.nn.functional.cross_entropy(
            logits[image], labels[image].clamp(min=0), reduction="none"
        ).detach()
        positives = [k for k in range(40) if labels[image, k] > 0]
        negatives = sorted((float(entropies[k]) for k in range(40) if labels[image, k] == 0), reverse=True)
        total += sum(float(entropies[k]) for k in positives) + sum(negatives[: max(3, 3 * len(positives))])
        for k in positives:
            d = (found[image, k] - codes[image, k]).detach().abs()
            total += float(torch.where(d < 1, d * d / 2, d - 0.5).sum())
    loss = multibox_loss(logits, found, labels, codes)
    assert loss.item() == pytest.approx(total / 22, rel=1e-5)
    loss.backward()
    assert logits.grad is not None and not logits.grad[1, 30:33].any() and not found.grad[labels <= 0].any()
    empty = multibox_loss(logits, found, torch.zeros(3, 40, dtype=torch.int64), codes)
    assert torch.isfinite(empty) and empty.item() > 0


def test_perfect_outputs_score_one() -> None:
    """From the boxes of the test images through `match`, the layout of the outputs, `detect` and the metric."""
    task = build_task(recipe({"name": "detection", **SCENES}, SSDLITE | {"resolution": 256}))
    assert isinstance(task, MultiBoxTask) and task.facts["scene_seed"] == 0
    with_maps = [(16, 16), (8, 8), (4, 4), (2, 2), (1, 1), (1, 1)]
    assert task.facts["anchors"] == sum(h * w * (3 if k == 0 else 6) for k, (h, w) in enumerate(with_maps))
    priors = anchors(with_maps, 256)
    matched = [match(t, priors) for t in task._data.test_truth]
    labels, codes = (np.stack(p) for p in zip(*matched, strict=True))
    logits = 20 * np.eye(11, dtype=np.float32)[labels]
    outputs, start = [], 0
    for k, (h, w) in enumerate(with_maps):
        count = h * w * (3 if k == 0 else 6)
        for values in (logits, codes):
            part = values[:, start : start + count]
            outputs.append(part.reshape(len(part), h, w, -1).transpose(0, 3, 1, 2))
        start += count
    scores = task.score(outputs)
    assert scores["ap50"] == 1 and scores["coco_ap"] > 0.99
    wanted = torch.from_numpy(labels), torch.from_numpy(codes)
    assert float(task.loss(tuple(torch.from_numpy(o) for o in outputs), wanted)) < 1e-6


# ---- DeepLabv3


def test_true_labels_score_one() -> None:
    task = build_task(recipe({"name": "segmentation", **SCENES}, DEEPLAB))
    assert isinstance(task, SegmentationTask) and task.metric == "mean_iou"
    labels = np.stack([s.mask() for s in task._test]).astype(np.int64)
    scores = task.score((labels,))
    assert scores["mean_iou"] == scores["pixel_accuracy"] == 1
    assert task.score((np.where(labels == 0, 1, labels),))["iou_background"] == 0
    blank = task.score((np.zeros_like(labels),))
    assert blank["pixel_accuracy"] == blank["iou_background"] == pytest.approx((labels == 0).mean())


def test_labels_follow_the_picture() -> None:
    """A picture whose colour is its label: after every change the middle of a patch still has the label's colour."""
    labels = torch.zeros(24, 80, 80, dtype=torch.uint8)
    labels[:, 10:40, 20:60], labels[:, 50:70, 5:30], labels[:, 50:75, 45:75] = 1, 2, 3
    labels[:, 76:] = 255
    palette = torch.rand(256, 3, generator=generator())
    images = palette[labels.long()].permute(0, 3, 1, 2)
    settings = Augmentation(rotate_degrees=30, scale=0.3, shift_pixels=10, flip=True, flip_vertical=True)
    moved, found = augment(images, labels, 64, settings, generator(1))
    assert moved.shape == (24, 3, 64, 64) and found.shape == (24, 64, 64) and found.dtype == torch.int64
    assert set(found.unique().tolist()) == {0, 1, 2, 3, 255}
    black = (moved == 0).all(1)
    assert black.any() and (found[black] == 255).all()
    # Away from borders of labels, where interpolation mixes colours.
    padded = torch.nn.functional.pad(found.float(), (2, 2, 2, 2), value=-1)
    windows = padded.unfold(1, 5, 1).unfold(2, 5, 1).flatten(3)
    inner = (windows == found[..., None]).all(3) & (found != 255)
    assert inner.float().mean() > 0.3
    colours = moved.permute(0, 2, 3, 1)[inner]
    assert torch.allclose(colours, palette[found[inner]], atol=1e-5)
    same = augment(images, labels, 64, settings, generator(1))
    assert torch.equal(same[0], moved) and torch.equal(same[1], found)
    plain, kept = augment(images, labels, 80, Augmentation(), generator())
    assert torch.allclose(plain, images, atol=1e-5) and torch.equal(kept, labels.long())


def test_pixels_without_a_class_do_not_train() -> None:
    task = build_task(recipe({"name": "segmentation", **SCENES}, DEEPLAB))
    logits = torch.randn(2, 11, 5, 5, generator=generator()).requires_grad_()
    targets = torch.full((2, 5, 5), 255)
    assert task.loss((logits,), targets).item() == 0
    targets[0, 1, 2] = 4
    loss = task.loss((logits,), targets)
    assert loss.item() == pytest.approx(-torch.log_softmax(logits[0, :, 1, 2], 0)[4].item(), rel=1e-5)
    loss.backward()
    assert logits.grad is not None and logits.grad.abs().sum((1,)).count_nonzero() == 1


def test_folder_of_another_size(tmp_path: Path) -> None:
    """Labels are stretched back to the picture before they are counted."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 3), ("val", 2)):
        for kind in ("images", "masks"):
            (tmp_path / kind / split).mkdir(parents=True)
        for k in range(count):
            labels = np.kron(rng.integers(0, 3, (4, 6)), np.ones((32, 32), int)).astype(np.uint8)
            Pillow.fromarray(np.stack([labels * 100] * 3, 2)).save(tmp_path / "images" / split / f"{k}.jpg")
            Pillow.fromarray(labels).save(tmp_path / "masks" / split / f"{k}.png")
    data = {"name": "segmentation", "format": "folder", "data": str(tmp_path)}
    task = build_task(recipe(data, DEEPLAB | {"resolution": 64, "classes": 3}))
    assert isinstance(task, SegmentationTask) and task.facts["class_names"] == ["0", "1", "2"]
    images, targets = task.batch(torch.arange(3), generator())
    assert images.shape == (3, 3, 64, 64) and targets.shape == (3, 64, 64) and task.test(0, 9).shape == (2, 3, 64, 64)
    small = np.stack([np.asarray(s.mask())[1::2, 1::3] for s in task._test]).astype(np.int64)
    assert small.shape == (2, 64, 64) and task.score((small,))["mean_iou"] > 0.97
    with pytest.raises(DataError, match=r"model\.classes is 3, the data has 2: road, car"):
        build_task(recipe(data | {"class_names": ["road", "car"]}, DEEPLAB | {"resolution": 64, "classes": 3}))


# ---- choice of the task


@pytest.mark.parametrize(
    ("task", "model", "known"),
    [
        ({"name": "detection", **SCENES}, DEEPLAB, "codenet, ssdlite"),
        ({"name": "segmentation", **SCENES}, SSDLITE, "deeplab"),
        ({"name": "digits_classification"}, SSDLITE, "separable_classifier"),
        ({"name": "classification"}, DEEPLAB, "mobilenet"),
    ],
)
def test_a_network_that_the_task_cannot_train(task: dict[str, Any], model: dict[str, Any], known: str) -> None:
    message = rf"model\.name: '{model['name']}' cannot be trained for task\.name = '{task['name']}'; .* takes {known}"
    with pytest.raises(RecipeError, match=message):
        build_task(recipe(task, model))


def test_classes_must_be_those_of_the_data() -> None:
    with pytest.raises(DataError, match=r"model\.classes is 9, the data has 10: 0, 1, "):
        build_task(recipe({"name": "detection", **SCENES}, SSDLITE | {"classes": 9}))
    with pytest.raises(DataError, match=r"model\.classes is 10, the data has 11: background, 0, "):
        build_task(recipe({"name": "segmentation", **SCENES}, DEEPLAB | {"classes": 10}))


def test_detection_from_coco_files(tmp_path: Path) -> None:
    Pillow.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / "a.jpg")
    content = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": [{"image_id": 1, "category_id": 4, "bbox": [5, 6, 20, 10]}],
        "categories": [{"id": 4, "name": "cell"}, {"id": 2, "name": "plate"}],
    }
    for split in ("train", "test"):
        (tmp_path / f"{split}.json").write_text(json.dumps(content))
    data = {"name": "detection", "format": "coco", "data": str(tmp_path)}
    data |= {"train_split": "train.json", "test_split": "test.json"}
    codenet = {"name": "codenet", "resolution": 64, "classes": 2}
    for model, kind in ((SSDLITE | {"classes": 2}, MultiBoxTask), (codenet, CentreTask)):
        task = build_task(recipe(data, model))
        assert type(task) is kind and task.facts["class_names"] == ["plate", "cell"]
    with pytest.raises(DataError, match=r"gone\.json: cannot be read"):
        build_task(recipe(data | {"test_split": "gone.json"}, SSDLITE | {"classes": 2}))


# ---- training


@pytest.mark.parametrize(("name", "model"), [("detection", SSDLITE), ("segmentation", DEEPLAB)])
def test_an_epoch_of_each_phase(name: str, model: dict[str, Any], tmp_path: Path) -> None:
    done = train(recipe({"name": name, **SCENES}, model), tmp_path / "c.pt")
    assert [h["phase"] for h in done.history] == ["float", "qat"]
    assert all(np.isfinite(h["loss"]) and h["loss"] > 0 for h in done.history)
    for form in ("float", "qat"):
        assert 0 <= done.metrics[form][done.task.metric] <= 1
    images, targets = done.task.batch(torch.arange(4), generator())
    outputs = done.model.train()(images)
    loss = done.task.loss(outputs if isinstance(outputs, tuple) else (outputs,), targets)
    loss.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in done.model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize(("name", "model"), [("detection", SSDLITE), ("segmentation", DEEPLAB)])
def test_export_compiles_to_the_same_integers(
    name: str, model: dict[str, Any], exporter: Exporter, tmp_path: Path
) -> None:
    done = train(recipe({"name": name, **SCENES}, model), tmp_path / "c.pt")
    export(done.model.eval(), done.task.test(0, 3), exporter, "dense", tmp_path / "m.onnx")
    graph = import_model(tmp_path / "m.onnx")
    tensor = graph.tensors[graph.inputs[0].tensor]
    codes = np.random.default_rng(0).integers(0, 256, (2, *tensor.shape))
    expected = reference.run(graph, {tensor.name: codes})
    got = FastSimulator(graph, 1).run({tensor.name: codes})
    assert expected.keys() == got.keys() and len(got) == (12 if name == "detection" else 1)
    for key, values in expected.items():
        np.testing.assert_array_equal(values, got[key])
