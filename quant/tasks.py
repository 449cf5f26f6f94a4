# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""What a network is trained for: its data, loss and metric."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from bitwright.quant.digits_split import SPLIT_SEED, load_anomaly_split, load_split
from bitwright.quant.recipe import Augmentation, DigitsClassification, Recipe
from bitwright.quant.scores import accuracy, area_under_roc, reconstruction_errors

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Task:
    """One task on one data set; images are float32 (N, 1, H, W).

    Attributes:
        metric: name of the figure of merit; more is better.
        x_train: all training images.
        targets: int64 (N,) labels of them, or None when the image is its own target.
        x_validation: training images that are kept out of the training; empty when the recipe keeps none.
        validation_targets: as ``targets``.
        x_test: test images.
        score: outputs on the test images, (N, ...), to the figure of merit.
    """

    metric: str
    x_train: Array
    targets: NDArray[np.int64] | None
    x_validation: Array
    validation_targets: NDArray[np.int64] | None
    x_test: Array
    score: Callable[[Array], float]
    split_seed: int = SPLIT_SEED

    def loss(self, output: torch.Tensor, clean: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        """Cross entropy with labels, mean squared error to the clean image without."""
        if labels is not None:
            return functional.cross_entropy(output, labels)
        return functional.mse_loss(output, clean.reshape(output.shape))


def build_task(recipe: Recipe) -> Task:
    """Load the data of a recipe. Raises ToolMissingError without scikit-learn."""
    if isinstance(recipe.task, DigitsClassification):
        digits = load_split()
        train, kept = _keep_out(len(digits.x_train), recipe)
        return Task(
            metric="accuracy",
            x_train=digits.x_train[train],
            targets=digits.y_train[train],
            x_validation=digits.x_train[kept],
            validation_targets=digits.y_train[kept],
            x_test=digits.x_test,
            score=lambda logits: accuracy(logits, digits.y_test),
        )
    split = load_anomaly_split(recipe.task.unseen_class)
    train, kept = _keep_out(len(split.x_train), recipe)
    return Task(
        metric="area_under_roc",
        x_train=split.x_train[train],
        targets=None,
        x_validation=split.x_train[kept],
        validation_targets=None,
        x_test=split.x_test,
        score=lambda output: area_under_roc(reconstruction_errors(split.x_test, output), split.anomalous),
    )


def _keep_out(count: int, recipe: Recipe) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices to train on and to validate with."""
    order = np.random.default_rng(recipe.seed).permutation(count)
    kept = round(count * recipe.validation)
    return np.sort(order[kept:]), np.sort(order[:kept])


def augment(
    images: torch.Tensor, settings: Augmentation, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Random rotation, shift, scale and noise of (N, 1, H, W) images: (input with noise, clean target)."""
    clean = images
    count, _, height, width = images.shape
    if settings.rotate_degrees or settings.shift_pixels or settings.scale:
        uniform = torch.rand(4, count, generator=generator) * 2 - 1
        angle = uniform[0] * settings.rotate_degrees * np.pi / 180
        factor = 1 + uniform[1] * settings.scale
        dx, dy = uniform[2] * settings.shift_pixels * 2 / width, uniform[3] * settings.shift_pixels * 2 / height
        cos, sin = torch.cos(angle) * factor, torch.sin(angle) * factor
        theta = torch.stack((torch.stack((cos, -sin, dx), 1), torch.stack((sin, cos, dy), 1)), 1)
        grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
        clean = functional.grid_sample(images, grid, padding_mode="zeros", align_corners=False)
    noisy = clean
    if settings.noise:
        noisy = (clean + settings.noise * torch.randn(clean.shape, generator=generator)).clamp(0, 1)
    return noisy, clean
