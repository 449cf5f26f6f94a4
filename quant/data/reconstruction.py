# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Normal samples to learn and labelled ones to test, for networks that rebuild their input."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.quant.data.arrays import read_npz
from bitwright.quant.data.detection import DataError
from bitwright.quant.data.series import read_series, windows
from bitwright.quant.recipe import Reconstruction


@dataclass(frozen=True)
class ReconstructionData:
    """Float32 samples in 0 to 1, (N, ...); which test samples are anomalous."""

    train: NDArray[np.float32]
    test: NDArray[np.float32]
    anomalous: NDArray[np.bool_]
    facts: dict[str, Any]


def load_reconstruction(task: Reconstruction, folder: Path, shape: tuple[int, ...]) -> ReconstructionData:
    """Read the data of a recipe for a network whose samples have ``shape``.

    npz: train.npz with x, test.npz with x and y (0 normal, others anomalous); float samples must lie in 0 to 1, uint8
    are divided by 255. series: windows of one series; those before ``train_share`` of the series, without an
    anomaly, are the training samples, the rest tests. Values are scaled so that the training values lie in 0.25 to
    0.75.

    Raises DataError.
    """
    facts: dict[str, Any] = {}
    if task.format == "npz":
        train = _samples(folder / "train.npz", shape)[0]
        test, labels = _samples(folder / "test.npz", shape)
        if labels is None:
            raise DataError(
                f"{folder / 'test.npz'}: holds no 'y'; the test needs 0 for normal and 1 for anomalous samples"
            )
        anomalous = labels != 0
    else:
        marks = folder / task.windows if task.windows else None
        series = read_series(folder / task.series, marks)
        length = int(np.prod(shape))
        if len(series.values) < length:
            raise DataError(
                f"{folder / task.series}: has {len(series.values)} values, fewer than the {length} of one window; "
                "take a longer series or a network with a smaller input"
            )
        x, anomalous = windows(series, length, task.step)
        # Below 0 would count windows from the end of the series.
        cut = max(0, int((len(series.values) * task.train_share - length) // task.step) + 1)
        first = x[:cut][~anomalous[:cut]]
        if not len(first):
            raise DataError(
                f"{folder / task.series}: no normal window in the first {task.train_share:.0%} of the series"
            )
        low, high = float(first.min()), float(first.max())
        span = (high - low) or 1.0
        if span == np.inf:
            raise DataError(
                f"{folder / task.series}: the values run from {low:g} to {high:g}, too far apart to scale them"
            )
        scaled = np.clip((x - low) / span / 2 + 0.25, 0, 1).astype(np.float32).reshape(-1, *shape)
        train, test = scaled[:cut][~anomalous[:cut]], scaled[cut:]
        anomalous = anomalous[cut:]
        facts = {"series_low": low, "series_high": high}
    if not anomalous.any() or anomalous.all():
        raise DataError(
            f"{folder}: the test needs both kinds of samples, got {int((~anomalous).sum())} normal and "
            f"{int(anomalous.sum())} anomalous"
        )
    facts |= {
        "train_samples": len(train),
        "test_samples": len(test),
        "anomalous_test_samples": int(anomalous.sum()),
        "skipped": [],
    }
    return ReconstructionData(train, test, anomalous, facts)


def _samples(path: Path, shape: tuple[int, ...]) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
    arrays = read_npz(path)
    x = arrays["x"]
    if x.dtype == np.uint8:
        x = x.astype(np.float32) / np.float32(255)
    # Reordering axes by a mere reshape would scramble pictures: only what has no second axis is laid out anew.
    given, wanted = (tuple(d for d in s if d != 1) for s in (x.shape[1:], shape))
    if x[0].size != int(np.prod(shape)) or (given != wanted and len(given) > 1 and len(wanted) > 1):
        raise DataError(f"{path}: samples have shape {x.shape[1:]}, the network takes {shape}")
    if x.min() < 0 or x.max() > 1:
        raise DataError(f"{path}: samples must lie in 0 to 1, got {x.min():g} to {x.max():g}; scale them")
    return x.reshape(-1, *shape), arrays.get("y")
