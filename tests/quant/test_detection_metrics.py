# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Average precision against pycocotools and a transcription of VOC's rules; centre-point decoding and targets."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bitwright.host.decode.boxes import Detections
from bitwright.host.decode.centernet import decode
from bitwright.quant.metrics.detection import COCO_THRESHOLDS, Truth, coco_ap, voc_ap

CLASSES = 3
quick = settings(deadline=None, max_examples=60, derandomize=True)

Boxes = list[tuple[int, int, int, int]]
Scene = tuple[list[Detections], list[Truth]]


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """Some images with objects, and detections near them; at whole coordinates overlaps meet thresholds exactly."""
    found, truth = [], []
    for _ in range(draw(st.integers(1, 4))):
        objects = draw(st.lists(box(), max_size=5))
        near = [
            moved(o, draw(st.tuples(*[st.integers(-4, 4)] * 4)))
            for o in objects
            for _ in range(draw(st.integers(0, 2)))
        ]
        boxes = near + draw(st.lists(box(), max_size=3))
        # Few different scores: ties are likely.
        scores = draw(st.lists(st.integers(1, 12), min_size=len(boxes), max_size=len(boxes)))
        labels = draw(st.lists(st.integers(0, CLASSES - 1), min_size=len(boxes), max_size=len(boxes)))
        kinds = draw(st.lists(st.integers(0, CLASSES - 1), min_size=len(objects), max_size=len(objects)))
        difficult = draw(st.lists(st.booleans(), min_size=len(objects), max_size=len(objects)))
        found.append(as_detections(boxes, [s / 16 for s in scores], labels))
        truth.append(as_truth(objects, kinds, difficult))
    return found, truth


def box() -> st.SearchStrategy[tuple[int, int, int, int]]:
    sizes = st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(1, 20), st.integers(1, 20))
    return sizes.map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))


def moved(b: tuple[int, int, int, int], by: tuple[int, ...]) -> tuple[int, int, int, int]:
    left, top, right, bottom = (v + d for v, d in zip(b, by, strict=True))
    return left, top, max(right, left + 1), max(bottom, top + 1)


def as_detections(boxes: Boxes, scores: list[float], labels: list[int]) -> Detections:
    return Detections(
        np.asarray(boxes, np.float32).reshape(-1, 4), np.asarray(scores, np.float32), np.asarray(labels, np.int64)
    )


def as_truth(boxes: Boxes, labels: list[int], difficult: list[bool]) -> Truth:
    return Truth(
        np.asarray(boxes, np.float32).reshape(-1, 4), np.asarray(labels, np.int64), np.asarray(difficult, bool)
    )


# COCO -----------------------------------------------------------------------------------------------------------------


def coco_tools(found: list[Detections], truth: list[Truth]) -> tuple[np.ndarray, dict[str, float]]:
    """Precision (thresholds, recalls, classes) of pycocotools, -1 where a class has no objects, and its three figures.

    It overwrites "ignore" by "iscrowd", whose overlaps are others; an area out of range is ignored as it should be.
    """
    pytest.importorskip("pycocotools")
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def dataset(entries: list[dict[str, object]]) -> COCO:
        coco = COCO()
        coco.dataset = {
            "images": [{"id": k + 1} for k in range(len(truth))],
            "categories": [{"id": k + 1} for k in range(CLASSES)],
            "annotations": [{"id": k + 1, **e} for k, e in enumerate(entries)],
        }
        coco.createIndex()
        return coco

    def entry(image: int, b: np.ndarray, label: int) -> dict[str, object]:
        left, top, right, bottom = map(float, b)
        size = [right - left, bottom - top]
        return {
            "image_id": image + 1, "category_id": int(label) + 1, "bbox": [left, top, *size], "area": math.prod(size),
            "iscrowd": 0,
        }  # fmt: skip

    objects, results = [], []
    for k, (d, t) in enumerate(zip(found, truth, strict=True)):
        for b, label, difficult in zip(t.boxes, t.labels, t.difficult, strict=True):
            objects.append(entry(k, b, label) | ({"area": 1e12} if difficult else {}))
        results += [
            entry(k, b, label) | {"score": float(s)} for b, label, s in zip(d.boxes, d.labels, d.scores, strict=True)
        ]
    evaluation = COCOeval(dataset(objects), dataset(results), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    precision = np.asarray(evaluation.eval["precision"])[:, :, :, 0, 2]

    def mean(part: np.ndarray) -> float:
        return float(part[part > -1].mean()) if (part > -1).any() else float("nan")

    return precision, {"ap": mean(precision), "ap50": mean(precision[0]), "ap75": mean(precision[5])}


@quick
@given(scenes())
def test_coco_against_pycocotools(scene: Scene) -> None:
    _, want = coco_tools(*scene)
    assert coco_ap(*scene, CLASSES) == pytest.approx(want, abs=1e-12, nan_ok=True)


def test_coco_takes_a_hundred_detections_of_an_image() -> None:
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 50, (150, 2))
    boxes = np.hstack((corners, corners + 5)).tolist()
    # The best hundred miss; the object is met by the 150th alone.
    found = [as_detections([*boxes[:-1], (90, 90, 95, 95)], np.linspace(1, 0.1, 150).tolist(), [0] * 150)]
    truth = [as_truth([(90, 90, 95, 95)], [0], [False])]
    assert coco_ap(found, truth, CLASSES) == pytest.approx(coco_tools(found, truth)[1], abs=1e-12)
    assert coco_ap(found, truth, CLASSES)["ap"] == 0


def test_coco_on_a_case_by_hand() -> None:
    """One object found with an overlap of 0.8 behind a miss: precision 1/2 at seven of the ten thresholds."""
    truth = [as_truth([(0, 0, 10, 10)], [0], [False])]
    found = [as_detections([(0, 0, 10, 8), (50, 50, 60, 60)], [0.5, 0.9], [0, 0])]
    assert sum(t <= 0.8 for t in COCO_THRESHOLDS) == 7
    assert coco_ap(found, truth, 1) == pytest.approx({"ap": 0.35, "ap50": 0.5, "ap75": 0.5}, abs=1e-12)


# VOC ------------------------------------------------------------------------------------------------------------------


def overlap(a: np.ndarray, b: np.ndarray) -> Fraction:
    """Intersection over union of boxes at whole coordinates, exactly."""
    left, top, right, bottom = (int(v) for v in a)
    left2, top2, right2, bottom2 = (int(v) for v in b)
    width, height = min(right, right2) - max(left, left2), min(bottom, bottom2) - max(top, top2)
    inter = max(width, 0) * max(height, 0)
    areas = (right - left) * (bottom - top) + (right2 - left2) * (bottom2 - top2)
    return Fraction(inter, areas - inter)


def naive_voc(found: list[Detections], truth: list[Truth], label: int, threshold: Fraction, eleven: bool) -> float:
    """VOCevaldet.m of the development kit, detection by detection, in exact arithmetic."""
    objects = [
        [(b, bool(d)) for b, c, d in zip(t.boxes, t.labels, t.difficult, strict=True) if c == label] for t in truth
    ]
    total = sum(not difficult for image in objects for _, difficult in image)
    if not total:
        return float("nan")
    queue = [
        (float(s), k, b)
        for k, d in enumerate(found)
        for s, b, c in zip(d.scores, d.boxes, d.labels, strict=True)
        if c == label
    ]
    queue.sort(key=lambda q: -q[0])
    taken: set[tuple[int, int]] = set()
    curve: list[tuple[Fraction, Fraction]] = []  # recall, precision
    tp = fp = 0
    for _, k, b in queue:
        best, index = Fraction(-1), -1
        for g, (theirs, _) in enumerate(objects[k]):
            if overlap(b, theirs) > best:
                best, index = overlap(b, theirs), g
        if best >= threshold and objects[k][index][1]:
            continue
        if best >= threshold and (k, index) not in taken:
            taken.add((k, index))
            tp += 1
        else:
            fp += 1
        curve.append((Fraction(tp, total), Fraction(tp, tp + fp)))
    if eleven:
        points = [max((p for r, p in curve if r >= Fraction(k, 10)), default=Fraction(0)) for k in range(11)]
        return float(sum(points, Fraction(0)) / 11)
    area, last = Fraction(0), Fraction(0)
    for k, (recall, _) in enumerate(curve):
        area += (recall - last) * max(p for _, p in curve[k:])
        last = recall
    return float(area)


@pytest.mark.parametrize("eleven", [False, True])
@quick
@given(scene=scenes(), threshold=st.sampled_from([Fraction(1, 2), Fraction(1, 4), Fraction(3, 4)]))
def test_voc_against_the_development_kit(eleven: bool, scene: Scene, threshold: Fraction) -> None:
    want = [naive_voc(*scene, label, threshold, eleven) for label in range(CLASSES)]
    got = voc_ap(*scene, CLASSES, threshold=float(threshold), eleven=eleven)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)


def test_voc_counts_a_second_detection_as_a_miss_and_difficult_ones_not_at_all() -> None:
    truth = [as_truth([(0, 0, 10, 10), (20, 20, 30, 30)], [0, 0], [False, True])]
    found = [as_detections([(0, 0, 10, 9), (0, 0, 10, 10), (20, 20, 30, 30)], [0.9, 0.8, 1.0], [0, 0, 0])]
    assert voc_ap(found, truth, 2)[0] == 1 and np.isnan(voc_ap(found, truth, 2)[1])
    worse = [as_detections([(5, 5, 30, 30), (0, 0, 10, 10)], [0.9, 0.8], [0, 0])]
    assert voc_ap(worse, truth, 1)[0] == voc_ap(worse, truth, 1, eleven=True)[0] == 0.5


def test_nothing_found_is_zero() -> None:
    truth, none = [as_truth([(0, 0, 10, 10)], [0], [False])], [as_detections([], [], [])]
    assert voc_ap(none, truth, 1).tolist() == [0] and coco_ap(none, truth, 1) == {"ap": 0, "ap50": 0, "ap75": 0}


# Centre points --------------------------------------------------------------------------------------------------------


@quick
@given(
    st.integers(1, 2), st.integers(1, 3), st.integers(1, 6), st.integers(1, 6), st.integers(1, 12),
    st.sampled_from([0.0, 0.3, 0.6]), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_decode_against_a_loop(
    n: int, classes: int, height: int, width: int, top: int, threshold: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    heat = rng.integers(-4, 5, (n, classes, height, width)).astype(np.float32) / 2  # ties and plateaus
    sizes = rng.normal(2, 3, (n, 2, height, width)).astype(np.float32)
    centres = rng.normal(0, 1, (n, 2, height, width)).astype(np.float32)
    got = decode(heat, sizes, centres, stride=4, top=top, threshold=threshold)
    assert len(got) == n
    for k in range(n):
        peaks = []
        for c, y, x in np.ndindex(classes, height, width):
            around = heat[k, c, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
            if heat[k, c, y, x] == around.max():
                peaks.append((-float(heat[k, c, y, x]), c, y, x))
        boxes, scores, labels = [], [], []
        for value, c, y, x in sorted(peaks)[:top]:
            score = 1 / (1 + math.exp(value))
            if score < threshold:
                continue
            cx, cy = x + float(centres[k, 0, y, x]), y + float(centres[k, 1, y, x])
            w, h = (max(float(sizes[k, a, y, x]), 0.0) for a in (0, 1))
            boxes.append([(cx - w / 2) * 4, (cy - h / 2) * 4, (cx + w / 2) * 4, (cy + h / 2) * 4])
            scores.append(score)
            labels.append(c)
        np.testing.assert_array_equal(got[k].boxes, np.asarray(boxes, np.float32).reshape(-1, 4))
        np.testing.assert_allclose(got[k].scores, np.asarray(scores), rtol=1e-6)
        assert got[k].labels.tolist() == labels
        assert got[k].boxes.dtype == got[k].scores.dtype == np.float32 and got[k].labels.dtype == np.int64


def test_scaled_boxes() -> None:
    found = as_detections([(1, 2, 3, 4)], [0.5], [1]).scaled(2.0, 0.5)
    assert found.boxes.tolist() == [[2, 1, 6, 2]] and found.labels.tolist() == [1]


# Targets (the module of the task needs torch) -----------------------------------------------------------------------


@st.composite
def objects(draw: st.DrawFn, side: int = 12) -> Truth:
    """Objects in a square of ``side`` output pixels, in quarters of an input pixel."""
    boxes, labels = [], []
    for _ in range(draw(st.integers(0, 6))):
        low = draw(st.tuples(st.integers(0, 16 * side - 8), st.integers(0, 16 * side - 8)))
        size = [draw(st.integers(8, 16 * side - v)) for v in low]
        boxes.append([low[0] / 4, low[1] / 4, (low[0] + size[0]) / 4, (low[1] + size[1]) / 4])
        labels.append(draw(st.integers(0, CLASSES - 1)))
    return Truth(
        np.asarray(boxes, np.float32).reshape(-1, 4), np.asarray(labels, np.int64), np.zeros(len(labels), bool)
    )


@pytest.mark.qat
@settings(deadline=None, max_examples=60, derandomize=True)
@given(truth=objects())
def test_drawn_targets(truth: Truth) -> None:
    pytest.importorskip("torch")
    from bitwright.quant.tasks.detection import STRIDE, draw_targets

    side = 12
    heatmap, sizes, centres, present = draw_targets(truth, CLASSES, side)
    assert [a.shape for a in (heatmap, sizes, centres)] == [(CLASSES, side, side), (2, side, side), (2, side, side)]
    assert heatmap.min() >= 0 and heatmap.max(initial=0) <= 1 and all(a.dtype == np.float32 for a in (heatmap, sizes))
    cells: dict[tuple[int, int], np.ndarray] = {}
    for b, label in zip(truth.boxes / STRIDE, truth.labels, strict=True):
        x, y = (min(int((b[k] + b[k + 2]) / 2), side - 1) for k in (0, 1))
        cells[y, x] = b
        assert heatmap[label, y, x] == 1
    assert sorted(zip(*np.nonzero(present), strict=True)) == sorted(cells)
    for (y, x), b in cells.items():  # of objects in one cell the last one is learned
        np.testing.assert_allclose(sizes[:, y, x], b[2:] - b[:2], atol=1e-6)
        np.testing.assert_allclose(centres[:, y, x] + (x, y), (b[:2] + b[2:]) / 2, atol=1e-6)
    absent = present == 0
    assert not sizes[:, absent].any() and not centres[:, absent].any()
    assert not heatmap[[c for c in range(CLASSES) if c not in truth.labels]].any()


@pytest.mark.qat
@settings(deadline=None, max_examples=60, derandomize=True)
@given(truth=objects())
def test_decoding_drawn_targets_gives_the_objects_back(truth: Truth) -> None:
    pytest.importorskip("torch")
    from bitwright.quant.tasks.detection import STRIDE, draw_targets

    cells = [tuple(((b[:2] + b[2:]) / 2 / STRIDE).astype(int)) for b in truth.boxes]
    assume(len(set(cells)) == len(cells))
    heatmap, sizes, centres, _ = draw_targets(truth, CLASSES, 12)
    clipped = np.clip(heatmap.astype(np.float64), 1e-6, 1 - 1e-6)
    (found,) = decode(np.log(clipped / (1 - clipped))[None], sizes[None], centres[None], stride=STRIDE, threshold=0.99)
    got = sorted((int(c), *np.round(b * 4)) for b, c in zip(found.boxes, found.labels, strict=True))
    assert got == sorted((int(c), *np.round(b * 4)) for b, c in zip(truth.boxes, truth.labels, strict=True))


@pytest.mark.qat
@settings(deadline=None, max_examples=100, derandomize=True)
@given(width=st.floats(1, 200), height=st.floats(1, 200))
def test_radius_is_the_largest_that_keeps_the_overlap(width: float, height: float) -> None:
    pytest.importorskip("torch")
    from bitwright.quant.tasks.detection import MIN_OVERLAP, gaussian_radius

    def worst(r: float) -> float:
        area, both = width * height, max(width - r, 0) * max(height - r, 0)
        inside = max(width - 2 * r, 0) * max(height - 2 * r, 0) / area
        return min(both / (2 * area - both), inside, area / ((width + 2 * r) * (height + 2 * r)))

    r = gaussian_radius(width, height)
    assert r > 0 and worst(r) == pytest.approx(MIN_OVERLAP, abs=1e-9) and worst(1.01 * r) < MIN_OVERLAP


@pytest.mark.qat
def test_focal_loss_against_a_loop() -> None:
    torch = pytest.importorskip("torch")
    from bitwright.quant.tasks.detection import focal

    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (2, 3, 4, 5))
    wanted = rng.uniform(0, 0.9, logits.shape)
    wanted[rng.random(logits.shape) < 0.1] = 1
    total = 0.0
    for p, y in zip((1 / (1 + np.exp(-logits))).ravel(), wanted.ravel(), strict=True):
        total -= (1 - p) ** 2 * math.log(p) if y == 1 else (1 - y) ** 4 * p**2 * math.log(1 - p)
    got = focal(torch.from_numpy(logits), torch.from_numpy(wanted)).item()
    assert got == pytest.approx(total / (wanted == 1).sum(), rel=1e-5)
    # Nothing in the image: divided by one, not by zero; far from overflow.
    empty = focal(torch.full((1, 1, 2, 2), -1000.0), torch.zeros(1, 1, 2, 2))
    assert empty.item() == 0
