# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The handwritten digits of scikit-learn: ten classes, or a class that training does not see."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from bitwright.quant.augment import warp
from bitwright.quant.data.digits import SPLIT_SEED, TEST_FRACTION, load_anomaly_split, load_split
from bitwright.quant.metrics.scores import accuracy, area_under_roc, reconstruction_errors
from bitwright.quant.recipe import DigitsClassification, Recipe
from bitwright.quant.tasks.base import Array, Outputs, Run, Task


class DigitsTask(Task):
    """Images (N, 1, 8, 8), flat (N, 64) for a network that takes vectors; labels, or the image itself as the target."""

    def __init__(self, recipe: Recipe, shape: tuple[int, ...]) -> None:
        self._augmentation = recipe.augmentation
        self._shape = shape
        self._labels: NDArray[np.int64] | None = None
        if isinstance(recipe.task, DigitsClassification):
            digits = load_split()
            train, kept = _keep_out(len(digits.x_train), recipe)
            x, self._x_test = digits.x_train, digits.x_test
            self._labels = digits.y_train
            self._y_test: NDArray[Any] = digits.y_test
            self.metric = "accuracy"
        else:
            split = load_anomaly_split(recipe.task.unseen_class)  # type: ignore[union-attr]
            train, kept = _keep_out(len(split.x_train), recipe)
            x, self._x_test = split.x_train, split.x_test
            self._y_test = split.anomalous
            self.metric = "area_under_roc"
        self._x_train, self._x_kept = x[train], x[kept]
        labels = self._labels
        self._y_train = None if labels is None else torch.from_numpy(labels[train])
        self._y_kept = None if labels is None else torch.from_numpy(labels[kept])
        self.train_size, self.test_size = len(self._x_train), len(self._x_test)
        self.facts = {"split_seed": SPLIT_SEED, "test_fraction": TEST_FRACTION}

    def batch(self, indices: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, Any]:
        noisy, clean = warp(torch.from_numpy(self._x_train)[indices], self._augmentation, generator)
        targets = clean.reshape(len(clean), *self._shape) if self._y_train is None else self._y_train[indices]
        return noisy.reshape(len(noisy), *self._shape), targets

    def clean(self, start: int, stop: int) -> Array:
        return self._x_train[start:stop].reshape(-1, *self._shape)

    def test(self, start: int, stop: int) -> Array:
        return self._x_test[start:stop].reshape(-1, *self._shape)

    def loss(self, outputs: tuple[torch.Tensor, ...], targets: Any) -> torch.Tensor:
        if self._y_train is not None:
            return functional.cross_entropy(outputs[0], targets)
        return functional.mse_loss(outputs[0], targets)

    def score(self, outputs: Outputs) -> dict[str, float]:
        if self._y_train is not None:
            return {self.metric: accuracy(outputs[0], self._y_test)}
        errors = reconstruction_errors(self._x_test, outputs[0])
        return {self.metric: area_under_roc(errors, self._y_test)}

    def validation_loss(self, run: Run) -> float | None:
        if not len(self._x_kept):
            return None
        x = self._x_kept.reshape(-1, *self._shape)
        outputs = tuple(torch.from_numpy(o) for o in run(x))
        return self.loss(outputs, torch.from_numpy(x) if self._y_kept is None else self._y_kept).item()


def _keep_out(count: int, recipe: Recipe) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices to train on and to validate with."""
    order = np.random.default_rng(recipe.seed).permutation(count)
    kept = round(count * recipe.validation)
    return np.sort(order[kept:]), np.sort(order[:kept])
