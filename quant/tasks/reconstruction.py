# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Anomaly detection by reconstruction error."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from bitwright.quant.augment import warp
from bitwright.quant.data.reconstruction import ReconstructionData
from bitwright.quant.metrics.scores import area_under_roc, reconstruction_errors
from bitwright.quant.recipe import Recipe
from bitwright.quant.tasks.base import Array, Outputs, Task


class ReconstructionTask(Task):
    """Samples (N, ...) in 0 to 1, their own targets; the metric is the area under the ROC curve of the squared
    error.
    """

    metric = "area_under_roc"

    def __init__(self, recipe: Recipe, data: ReconstructionData) -> None:
        self._augmentation = recipe.augmentation
        self._data = data
        self.train_size, self.test_size = len(data.train), len(data.test)
        self.facts = data.facts

    def batch(self, indices: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, Any]:
        samples = torch.from_numpy(self._data.train)[indices]
        if samples.ndim == 4:
            return warp(samples, self._augmentation, generator)
        noise = self._augmentation.noise
        if not noise:
            return samples, samples
        return (samples + noise * torch.randn(samples.shape, generator=generator)).clamp(0, 1), samples

    def clean(self, start: int, stop: int) -> Array:
        return self._data.train[start:stop]

    def test(self, start: int, stop: int) -> Array:
        return self._data.test[start:stop]

    def loss(self, outputs: tuple[torch.Tensor, ...], targets: Any) -> torch.Tensor:
        return functional.mse_loss(outputs[0], targets)

    def score(self, outputs: Outputs) -> dict[str, float]:
        errors = reconstruction_errors(self._data.test, outputs[0])
        return {
            self.metric: area_under_roc(errors, self._data.anomalous),
            "error_of_normal": float(errors[~self._data.anomalous].mean()),
            "error_of_anomalous": float(errors[self._data.anomalous].mean()),
        }
