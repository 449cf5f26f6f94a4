# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Figures of merit, computed from network outputs as numpy arrays. Needs no torch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def accuracy(logits: NDArray[Any], labels: NDArray[Any]) -> float:
    """Share of the rows of ``logits`` (N, classes), real or integer, whose largest value is at ``labels`` (N,).

    The first of equal values wins, as with ArgMax in ONNX.
    """
    return float(np.mean(np.argmax(logits, axis=1) == labels))


def reconstruction_errors(x: NDArray[Any], reconstruction: NDArray[Any]) -> NDArray[np.float64]:
    """Mean squared error of each image: (N, ...) and (N, ...) of as many values to float64 (N,)."""
    flat = np.asarray(x, np.float64).reshape(len(x), -1)
    return np.asarray(np.mean((flat - np.asarray(reconstruction, np.float64).reshape(flat.shape)) ** 2, axis=1))


def area_under_roc(scores: NDArray[Any], positive: NDArray[np.bool_]) -> float:
    """Probability that a positive has a higher score than a negative, equal scores counted half (Mann-Whitney U).

    scores (N,), positive (N,) bool. Raises ValueError when one of the two classes is empty.
    """
    positive = np.asarray(positive, bool)
    p, n = int(positive.sum()), int((~positive).sum())
    if p == 0 or n == 0:
        raise ValueError(f"area under the ROC curve needs both classes, got {p} positives and {n} negatives")
    _, inverse, counts = np.unique(np.asarray(scores, np.float64), return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2
    return float((mean_rank[inverse][positive].sum() - p * (p + 1) / 2) / (p * n))
