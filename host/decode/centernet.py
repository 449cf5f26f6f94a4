# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Boxes from the three maps of a centre-point detector (X. Zhou et al., "Objects as Points", arXiv:1904.07850)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bitwright.host.decode.boxes import Detections


def decode(
    heatmap: NDArray[np.floating],
    sizes: NDArray[np.floating],
    centres: NDArray[np.floating],
    *,
    stride: int = 4,
    top: int = 100,
    threshold: float = 0.0,
) -> list[Detections]:
    """Peaks of the heat map become boxes; no other suppression is needed.

    Args:
        heatmap: logits (N, classes, H, W). A peak is a position that no neighbour of the 3 x 3 around it exceeds.
        sizes: (N, 2, H, W): width and height in units of output pixels.
        centres: (N, 2, H, W): x and y of the centre relative to the position.
        stride: input pixels for one output pixel.
        top: at most so many boxes for each image, over all classes.
        threshold: lowest score (sigmoid of the logit) to keep.

    Returns:
        one `Detections` per image, in input pixels.
    """
    n, classes, height, width = heatmap.shape
    padded = np.pad(heatmap, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    rows = np.maximum(np.maximum(padded[:, :, :-2], padded[:, :, 1:-1]), padded[:, :, 2:])
    peak = np.maximum(np.maximum(rows[..., :-2], rows[..., 1:-1]), rows[..., 2:])
    logits = np.where(heatmap == peak, heatmap.astype(np.float64), -np.inf).reshape(n, -1)
    found = []
    for k in range(n):
        order = np.argsort(-logits[k], kind="stable")[:top]
        values = logits[k][order]
        with np.errstate(over="ignore"):
            scores = 1 / (1 + np.exp(-values))
        keep = np.isfinite(values) & (scores >= threshold)
        order, scores = order[keep], scores[keep]
        labels, position = np.divmod(order, height * width)
        y, x = np.divmod(position, width)
        cx = x + centres[k, 0, y, x]
        cy = y + centres[k, 1, y, x]
        w, h = np.maximum(sizes[k, 0, y, x], 0), np.maximum(sizes[k, 1, y, x], 0)
        boxes = np.stack((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2), 1) * stride
        found.append(Detections(boxes.astype(np.float32), scores.astype(np.float32), labels.astype(np.int64)))
    return found
