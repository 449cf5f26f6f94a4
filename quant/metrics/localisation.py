# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""How well heat maps show where an anomaly is. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.quant.metrics.scores import area_under_roc


def pixel_auc(heatmaps: Sequence[NDArray[Any]] | NDArray[Any], masks: Sequence[NDArray[Any]] | NDArray[Any]) -> float:
    """Area under the ROC curve over all pixels of all images together, as for MVTec AD.

    Args:
        heatmaps: scores (N, H, W), or N arrays (H, W) that may differ in size; higher is more anomalous.
        masks: the same shapes, bool or integer; any value but 0 marks an anomalous pixel. Normal images count with
            a mask of zeros.

    Raises:
        ValueError: counts or shapes that differ, masks of real numbers, scores that are not finite, or masks without
            anomalous or without normal pixels.
    """
    if len(heatmaps) != len(masks):
        raise ValueError(f"pixel AUC needs one mask for each heat map, got {len(heatmaps)} maps and {len(masks)} masks")
    scores, positive = [], []
    for k, (heat, mask) in enumerate(zip(heatmaps, masks, strict=True)):
        heat, mask = np.asarray(heat), np.asarray(mask)
        if heat.shape != mask.shape:
            raise ValueError(f"image {k}: the heat map has the shape {heat.shape}, its mask {mask.shape}; resize one")
        if mask.dtype.kind not in "bui":
            raise ValueError(f"image {k}: a mask must be bool or integer, got {mask.dtype}; threshold it first")
        if not np.isfinite(heat).all():
            raise ValueError(f"image {k}: the heat map must be finite, it has NaN or infinite values")
        scores.append(heat.ravel())
        positive.append(mask.ravel() != 0)
    if not scores:
        raise ValueError("pixel AUC needs at least one image")
    return area_under_roc(np.concatenate(scores), np.concatenate(positive))
