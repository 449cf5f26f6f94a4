# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Boxes from the maps of an SSD (W. Liu et al., "SSD: Single Shot MultiBox Detector", arXiv:1512.02325).

Anchors and box codes are those of the TensorFlow object detection models with which MobileNetV2 + SSDLite was published
(M. Sandler et al., arXiv:1801.04381): ``create_ssd_anchors`` with its defaults, and the Faster R-CNN box coder. One
thing differs: a code is (x, y, width, height), as boxes are here, and not (y, x, height, width).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bitwright.host.decode.boxes import Detections, suppress
from bitwright.host.errors import InputError

#: Size of the anchors on the first and on the last map, over the side of the image.
MIN_SCALE, MAX_SCALE = 0.2, 0.95
#: Width over height of the anchors of one size. One more square is between this size and the next.
RATIOS = (1.0, 2.0, 1 / 2, 3.0, 1 / 3)
#: Size and ratio of the anchors on the first map, which has three only.
FIRST_MAP = ((0.1, 1.0), (MIN_SCALE, 2.0), (MIN_SCALE, 1 / 2))
#: What the codes of x, y, width and height are multiplied by (the "variances" of SSD are their inverses).
FACTORS = (10.0, 10.0, 5.0, 5.0)
#: Logarithm of the largest enlargement of an anchor; it only keeps exp from overflowing.
_MAX_LOG = 80.0
#: At most so many pairs of box and class of an image, the best ones, go into the suppression.
_CANDIDATES = 1000


def shapes(maps: int) -> list[tuple[tuple[float, float], ...]]:
    """For every map the anchors of a position: size over the side of the image, and width over height."""
    scales = [MIN_SCALE + (MAX_SCALE - MIN_SCALE) * k / max(1, maps - 1) for k in range(maps)] + [1.0]
    found: list[tuple[tuple[float, float], ...]] = [FIRST_MAP]
    for scale, following in zip(scales[1:-1], scales[2:], strict=True):
        found.append((*((scale, ratio) for ratio in RATIOS), (math.sqrt(scale * following), 1.0)))
    return found[:maps]


def anchors(maps: Sequence[tuple[int, int]], side: int) -> NDArray[np.float32]:
    """Anchors of all maps, in the order of the outputs: by map, row, column, shape.

    Args:
        maps: height and width of each map, the finest first.
        side: of the square input in pixels.

    Returns:
        float32 (A, 4): left, top, right, bottom in input pixels. They are not cut at the border.
    """
    parts = []
    for (rows, columns), sizes in zip(maps, shapes(len(maps)), strict=True):
        y, x = np.meshgrid((np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns, indexing="ij")
        centres = np.stack((x, y), 2).reshape(-1, 1, 2)
        half = np.asarray([(s * math.sqrt(r), s / math.sqrt(r)) for s, r in sizes]) / 2
        parts.append(np.concatenate((centres - half, centres + half), 2).reshape(-1, 4))
    boxes: NDArray[np.float32] = (np.concatenate(parts) * side).astype(np.float32)
    return boxes


def encode(boxes: NDArray[np.floating], anchors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Codes of boxes (n, 4) relative to anchors (n, 4), which both have an area: float32 (n, 4)."""
    centre, size = _centre_and_size(boxes)
    anchor_centre, anchor_size = _centre_and_size(anchors)
    codes = np.concatenate(((centre - anchor_centre) / anchor_size, np.log(size / anchor_size)), 1)
    return (codes * FACTORS).astype(np.float32)


def decode(codes: NDArray[np.floating], anchors: NDArray[np.floating]) -> NDArray[np.float32]:
    """The boxes (n, 4) of codes (n, 4) relative to anchors (n, 4); not cut at the border."""
    anchor_centre, anchor_size = _centre_and_size(anchors)
    relative = codes.astype(np.float64) / FACTORS
    centre = anchor_centre + relative[:, :2] * anchor_size
    half = anchor_size * np.exp(np.minimum(relative[:, 2:], _MAX_LOG)) / 2
    return np.concatenate((centre - half, centre + half), 1).astype(np.float32)


def _centre_and_size(boxes: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    corners = boxes.astype(np.float64)
    return (corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]


def detect(
    outputs: Sequence[NDArray[np.floating]],
    side: int,
    score_threshold: float = 0.01,
    iou_threshold: float = 0.6,
    top: int = 100,
) -> list[Detections]:
    """Decode the outputs of quant/models/ssdlite.py, suppress class by class, keep the best.

    Args:
        outputs: real values, for each map in turn: class logits (N, anchors * (classes + 1), h, w), class 0 being the
            background, then box codes (N, anchors * 4, h, w). Channels are anchor-major.
        side: of the square input in pixels.
        score_threshold: lowest score (softmax over the classes and the background) to keep.
        iou_threshold: a box goes when a better one of its class overlaps it more than this.
        top: at most so many boxes for each image, over all classes.

    Returns:
        one `Detections` per image, in input pixels, cut at the border. Labels count from 0, without the background.

    Raises:
        InputError: the shapes of the outputs are not those of an SSD.
    """
    maps, classes = _checked(outputs)
    boxes = anchors(maps, side)
    found = []
    for k in range(len(outputs[0])):
        logits = np.concatenate([_rows(o[k], classes + 1) for o in outputs[0::2]])
        codes = np.concatenate([_rows(o[k], 4) for o in outputs[1::2]])
        found.append(_one(logits, codes, boxes, side, score_threshold, iou_threshold, top))
    return found


def _checked(outputs: Sequence[NDArray[np.floating]]) -> tuple[list[tuple[int, int]], int]:
    """Heights and widths of the maps, and the number of classes without the background."""
    if not outputs or len(outputs) % 2 or any(o.ndim != 4 for o in outputs):
        raise InputError(
            "an SSD gives class logits and box codes (N, C, h, w) for each map in turn, got the shapes "
            + ", ".join(str(o.shape) for o in outputs)
        )
    per_position = [len(s) for s in shapes(len(outputs) // 2)]
    classes = outputs[0].shape[1] // per_position[0] - 1
    for k, count in enumerate(per_position):
        logits, codes = outputs[2 * k].shape, outputs[2 * k + 1].shape
        n, (h, w) = outputs[0].shape[0], logits[2:]
        wanted = (n, count * (classes + 1), h, w), (n, count * 4, h, w)
        if classes < 1 or (logits, codes) != wanted:
            raise InputError(
                f"map {k} has {count} anchors at each position: logits and codes must have the shapes "
                f"{wanted[0]} and {wanted[1]}, got {logits} and {codes}"
            )
    return [(o.shape[2], o.shape[3]) for o in outputs[0::2]], classes


def _rows(output: NDArray[np.floating], values: int) -> NDArray[np.floating]:
    """(anchors * values, h, w) to (h * w * anchors, values)."""
    _, height, width = output.shape
    return output.reshape(-1, values, height, width).transpose(2, 3, 0, 1).reshape(-1, values)


def _one(
    logits: NDArray[np.floating], codes: NDArray[np.floating], boxes: NDArray[np.float32], side: int,
    score_threshold: float, iou_threshold: float, top: int,
) -> Detections:  # fmt: skip
    powers = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    scores = (powers[:, 1:] / powers.sum(1, keepdims=True)).reshape(-1)
    chosen = np.flatnonzero(scores >= score_threshold)
    chosen = chosen[np.argsort(-scores[chosen], kind="stable")][:_CANDIDATES]
    place, labels = np.divmod(chosen, logits.shape[1] - 1)
    decoded = np.clip(decode(codes[place], boxes[place]), 0, side)
    kept = (decoded[:, 2:] > decoded[:, :2]).all(1)
    every = Detections(decoded[kept], scores[chosen][kept].astype(np.float32), labels[kept].astype(np.int64))
    alive = []
    # Class by class: the table of overlaps grows with the square of the number of boxes.
    for label in np.unique(every.labels):
        mine = every.labels == label
        alive.append(suppress(Detections(every.boxes[mine], every.scores[mine], every.labels[mine]), iou_threshold))
    if not alive:
        return every
    joined = [np.concatenate([getattr(d, f) for d in alive]) for f in ("boxes", "scores", "labels")]
    order = np.argsort(-joined[1], kind="stable")[:top]
    return Detections(joined[0][order], joined[1][order], joined[2][order])
