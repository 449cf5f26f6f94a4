# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Boxes and what detectors share: overlap and non-maximum suppression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Detections:
    """What was found in one image, best score first.

    Attributes:
        boxes: float32 (n, 4): left, top, right, bottom in pixels; right and bottom are exclusive.
        scores: float32 (n,).
        labels: int64 (n,).
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]

    def scaled(self, x: float, y: float) -> Detections:
        """Boxes multiplied by x (left, right) and y (top, bottom): back from the network's input to the image."""
        factor = np.asarray([x, y, x, y], np.float32)
        return Detections(self.boxes * factor, self.scores, self.labels)


def overlaps(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    """Intersection over union of boxes a (n, 4) and b (m, 4): float64 (n, m); 0 for boxes without area."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    inter = np.clip(high - low, 0, None).prod(2)
    area_a = np.clip(a[:, 2:] - a[:, :2], 0, None).prod(1)
    area_b = np.clip(b[:, 2:] - b[:, :2], 0, None).prod(1)
    union = area_a[:, None] + area_b[None, :] - inter
    shares: NDArray[np.float64] = np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)
    return shares


def suppress(detections: Detections, threshold: float) -> Detections:
    """Class-wise non-maximum suppression: a box goes when one of its class with a better score overlaps it more than
    ``threshold``. Of equal scores the earlier one wins."""
    order = np.argsort(-detections.scores, kind="stable")
    boxes, labels = detections.boxes[order], detections.labels[order]
    table = overlaps(boxes, boxes)
    alive = np.ones(len(order), bool)
    for k in range(len(order)):
        if alive[k]:
            beaten = (table[k] > threshold) & (labels == labels[k])
            beaten[: k + 1] = False
            alive &= ~beaten
    return Detections(boxes[alive], detections.scores[order][alive], labels[alive])
