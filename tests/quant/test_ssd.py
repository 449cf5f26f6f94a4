# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Anchors, box codes and decoding of SSD against naive formulas. No torch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bitwright.host.decode.boxes import Detections, overlaps
from bitwright.host.decode.ssd import FACTORS, anchors, decode, detect, encode
from bitwright.host.errors import InputError

Floats = NDArray[np.floating[Any]]


def naive_anchors(maps: list[tuple[int, int]], side: int) -> list[list[float]]:
    """create_ssd_anchors of the TensorFlow object detection models, spelled out: min_scale 0.2, max_scale 0.95."""
    scales = [0.2 + (0.95 - 0.2) * k / (len(maps) - 1) for k in range(len(maps))] + [1.0]
    found = []
    for k, (rows, columns) in enumerate(maps):
        if k == 0:
            sizes = [(0.1, 1.0), (0.2, 2.0), (0.2, 0.5)]
        else:
            sizes = [(scales[k], r) for r in (1.0, 2.0, 0.5, 3.0, 1 / 3)] + [
                (math.sqrt(scales[k] * scales[k + 1]), 1.0)
            ]
        for y in range(rows):
            for x in range(columns):
                for scale, ratio in sizes:
                    cx, cy = (x + 0.5) / columns * side, (y + 0.5) / rows * side
                    w, h = scale * math.sqrt(ratio) * side, scale / math.sqrt(ratio) * side
                    found.append([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])
    return found


@pytest.mark.parametrize(("first", "count"), [(20, 2034), (19, 1917)])
def test_anchors_of_the_published_networks(first: int, count: int) -> None:
    """1917 is the number of the published 300-pixel networks."""
    maps = [(side, side) for side in (first, 10, 5, 3, 2, 1)]
    found = anchors(maps, 320)
    assert found.shape == (count, 4) and found.dtype == np.float32
    np.testing.assert_allclose(found, naive_anchors(maps, 320), rtol=0, atol=1e-4)


def test_first_and_last_anchor() -> None:
    found = anchors([(20, 20), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)], 320)
    # Middle of the first position at 8 pixels, side 32; between 0.95 and 1 the last one.
    assert found[0].tolist() == [-8, -8, 24, 24]
    assert found[-1] == pytest.approx(160 + math.sqrt(0.95) * 160 * np.asarray([-1, -1, 1, 1]), rel=1e-6)


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=2, max_size=7), st.integers(32, 600))
@settings(deadline=None, max_examples=40)
def test_anchors_of_any_maps(maps: list[tuple[int, int]], side: int) -> None:
    np.testing.assert_allclose(anchors(maps, side), naive_anchors(maps, side), rtol=0, atol=1e-3)


def test_codes_of_known_boxes() -> None:
    anchor = np.asarray([[10, 20, 30, 60]])
    moved = np.asarray([[15, 20, 35, 60]])  # a quarter of the width to the right
    wide = np.asarray([[0, 20, 40, 60]])  # twice as wide
    assert encode(moved, anchor).tolist() == [[2.5, 0, 0, 0]]
    assert encode(wide, anchor)[0].tolist() == pytest.approx([0, 0, 5 * math.log(2), 0])
    assert FACTORS == (10, 10, 5, 5)


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=50)
def test_decode_inverts_encode(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(-50, 300, (2, 20, 2))
    boxes, priors = np.concatenate((corner, corner + rng.uniform(1, 300, (2, 20, 2))), 2)
    np.testing.assert_allclose(decode(encode(boxes, priors), priors), boxes, rtol=0, atol=1e-2)


def test_large_codes_stay_finite() -> None:
    assert np.isfinite(decode(np.full((1, 4), 127.0 * 100), np.asarray([[0, 0, 300, 300]]))).all()


def random_outputs(rng: np.random.Generator, maps: list[tuple[int, int]], classes: int, images: int) -> list[Floats]:
    outputs: list[Floats] = []
    for k, (h, w) in enumerate(maps):
        per_position = 3 if k == 0 else 6
        # Few levels, as integers have: ties occur.
        outputs.append(rng.integers(-16, 17, (images, per_position * (classes + 1), h, w)) / 8)
        outputs.append(rng.integers(-16, 17, (images, per_position * 4, h, w)) / 8)
    return outputs


def naive_detect(
    outputs: list[Floats], image: int, side: int, classes: int, limits: tuple[float, float, int]
) -> list[tuple[float, int, list[float]]]:
    """Position by position, then greedy suppression: (score, label, box), best first."""
    score_threshold, iou_threshold, top = limits
    maps = [(o.shape[2], o.shape[3]) for o in outputs[::2]]
    priors = iter(naive_anchors(maps, side))
    found = []
    for k, (rows, columns) in enumerate(maps):
        logits, codes = outputs[2 * k][image], outputs[2 * k + 1][image]
        for y in range(rows):
            for x in range(columns):
                for a in range(3 if k == 0 else 6):
                    left, up, right, down = next(priors)
                    z = [math.exp(v) for v in logits[a * (classes + 1) : (a + 1) * (classes + 1), y, x]]
                    tx, ty, tw, th = (float(v) for v in codes[a * 4 : a * 4 + 4, y, x])
                    cx, cy = (left + right) / 2 + tx / 10 * (right - left), (up + down) / 2 + ty / 10 * (down - up)
                    w, h = (right - left) * math.exp(tw / 5), (down - up) * math.exp(th / 5)
                    box = [min(max(v, 0.0), side) for v in (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)]
                    for label in range(classes):
                        score = z[label + 1] / sum(z)
                        if score >= score_threshold and box[0] < box[2] and box[1] < box[3]:
                            found.append((score, label, box))
    found.sort(key=lambda f: -f[0])
    kept: list[tuple[float, int, list[float]]] = []
    for candidate in found:
        rivals = [k for k in kept if k[1] == candidate[1]]
        if all(overlaps(np.asarray([k[2]]), np.asarray([candidate[2]]))[0, 0] <= iou_threshold for k in rivals):
            kept.append(candidate)
    return kept[:top]


@pytest.mark.parametrize("limits", [(0.2, 0.5, 20), (0.35, 0.3, 100), (0.05, 0.9, 7)])
def test_detect_is_what_a_naive_decoder_finds(limits: tuple[float, float, int]) -> None:
    rng = np.random.default_rng(7)
    maps, classes, side = [(4, 3), (2, 2), (1, 1)], 3, 64
    outputs = random_outputs(rng, maps, classes, 2)
    found = detect(outputs, side, *limits)
    assert len(found) == 2
    for image, got in enumerate(found):
        expected = naive_detect(outputs, image, side, classes, limits)
        assert expected and len(got.scores) == len(expected)
        assert got.scores.tolist() == pytest.approx([e[0] for e in expected], rel=1e-6)
        # Equal scores may come in another order, and where `top` cuts them, others of the same score.
        least = expected[-1][0] if len(expected) == limits[2] else 0.0
        rows = [(round(float(v), 5), n, *b) for v, n, b in zip(got.scores, got.labels, got.boxes, strict=True)]
        wanted = [(round(v, 5), n, *b) for v, n, b in expected]
        clear = [sorted(row for row in part if row[0] > least + 1e-4) for part in (rows, wanted)]
        np.testing.assert_allclose(np.asarray(clear[0]), np.asarray(clear[1]), atol=0.02)


def test_drawn_objects_are_found() -> None:
    """Outputs made from two objects by `encode`, at their best anchors, give back the two."""
    maps, classes, side = [(8, 8), (4, 4), (2, 2), (1, 1), (1, 1), (1, 1)], 4, 128
    boxes = np.asarray([[10, 12, 50, 40], [60, 30, 120, 125]], np.float32)
    labels = [3, 1]
    priors = anchors(maps, side)
    rows = np.zeros((len(priors), classes + 1))
    rows[:, 0] = 12
    codes = np.zeros((len(priors), 4))
    for box, label in zip(boxes, labels, strict=True):
        best = int(overlaps(priors, box[None])[:, 0].argmax())
        rows[best, 0], rows[best, label + 1] = 0, 12
        codes[best] = encode(box[None], priors[best][None])[0]
    outputs, start = [], 0
    for k, (h, w) in enumerate(maps):
        count = h * w * (3 if k == 0 else 6)
        for values in (rows, codes):
            part = values[start : start + count].reshape(h, w, -1).transpose(2, 0, 1)
            outputs.append(part[None])
        start += count
    (found,) = detect(outputs, side, score_threshold=0.5)
    order = np.argsort(found.labels)
    assert found.labels[order].tolist() == [1, 3]
    np.testing.assert_allclose(found.boxes[order], boxes[[1, 0]], atol=1e-3)
    assert (found.scores > 0.99).all()


def test_nothing_found() -> None:
    outputs = random_outputs(np.random.default_rng(0), [(2, 2), (1, 1)], 2, 3)
    found = detect(outputs, 64, score_threshold=1.0)
    assert [d.boxes.shape for d in found] == [(0, 4)] * 3
    assert all(isinstance(d, Detections) and d.labels.dtype == np.int64 and d.scores.dtype == np.float32 for d in found)


def test_wrong_shapes_are_named() -> None:
    good = random_outputs(np.random.default_rng(0), [(2, 2), (1, 1)], 2, 1)
    with pytest.raises(InputError, match="class logits and box codes"):
        detect(good[:3], 64)
    with pytest.raises(InputError, match="class logits and box codes"):
        detect([], 64)
    with pytest.raises(InputError, match=r"map 0 has 3 anchors.*\(1, 12, 2, 2\), got .*\(1, 12, 2, 1\)"):
        detect([good[0], good[1][..., :1], *good[2:]], 64)
    with pytest.raises(InputError, match=r"map 1 has 6 anchors"):
        detect([*good[:2], good[2][:, :12], good[3]], 64)
