# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Intersection over union of label images, counted over all pixels of a data set.

Rules: M. Everingham et al., "The Pascal Visual Object Classes Challenge: A Retrospective", IJCV 2015: one confusion
matrix over all images, hits / (hits + false alarms + misses) of each class, and the mean over the classes.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

#: Label of pixels that belong to no class: they neither train nor count.
IGNORE = 255

#: One label image (H, W), or any number of pixels in any shape.
Labels = NDArray[np.integer]


def confusion(
    predicted: Iterable[Labels], truth: Iterable[Labels], classes: int, ignore: int = IGNORE
) -> NDArray[np.int64]:
    """Pixels of each true class (row) that were labelled as each class (column), over all images: int64.

    Args:
        predicted: one label array for each image, or one array (N, ...).
        truth: of the same shapes; pixels labelled ``ignore`` are left out.
        classes: labels are 0 to ``classes`` - 1.

    Raises:
        ValueError: numbers or shapes of the images differ, or a label is out of range.
    """
    matrix = np.zeros(classes * classes, np.int64)
    for k, (p, t) in enumerate(zip(predicted, truth, strict=True)):
        if p.shape != t.shape:
            raise ValueError(f"image {k}: the predicted labels have the shape {p.shape}, the true ones {t.shape}")
        counted = t != ignore
        rows, columns = t[counted].astype(np.int64), p[counted].astype(np.int64)
        for what, labels in (("true", rows), ("predicted", columns)):
            if labels.size and not 0 <= labels.min() <= labels.max() < classes:
                raise ValueError(
                    f"image {k}: {what} labels must be 0 to {classes - 1}, found {labels.min()} to {labels.max()}"
                )
        matrix += np.bincount(rows * classes + columns, minlength=classes * classes)
    return matrix.reshape(classes, classes)


def class_iou(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """Intersection over union of each class, (classes,); NaN for a class that is nowhere true nor predicted."""
    hits = np.diag(matrix).astype(np.float64)
    union = matrix.sum(0) + matrix.sum(1) - hits
    return np.divide(hits, union, out=np.full(len(hits), np.nan), where=union > 0)


def mean_iou(predicted: Iterable[Labels], truth: Iterable[Labels], classes: int, ignore: int = IGNORE) -> float:
    """Mean of `class_iou` over the classes that occur; NaN when no pixel counts. Arguments as of `confusion`."""
    return mean(class_iou(confusion(predicted, truth, classes, ignore)))


def mean(values: NDArray[np.float64]) -> float:
    """Mean of the values that are not NaN; NaN when there is none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def pixel_accuracy(matrix: NDArray[np.int64]) -> float:
    """Share of the pixels that are labelled right; NaN when no pixel counts."""
    total = int(matrix.sum())
    return int(np.trace(matrix)) / total if total else float("nan")
