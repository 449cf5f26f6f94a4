# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Classification of labelled pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from bitwright.quant.augment import warp
from bitwright.quant.data.pictures import Pictures
from bitwright.quant.metrics.scores import accuracy
from bitwright.quant.recipe import Recipe
from bitwright.quant.tasks.base import Array, Outputs, Run, Task


class ClassificationTask(Task):
    """Images (N, 3, R, R) in 0 to 1; cross entropy; accuracy."""

    metric = "accuracy"

    def __init__(self, recipe: Recipe, train: Pictures, test: Pictures) -> None:
        self._augmentation = recipe.augmentation
        order = np.random.default_rng(recipe.seed).permutation(len(train.x))
        kept = round(len(order) * recipe.validation)
        self._kept = _part(train, np.sort(order[:kept]))
        self._train, self._test = _part(train, np.sort(order[kept:])), test
        self.train_size, self.test_size = len(self._train.x), len(test.x)
        self.facts = {
            "class_names": list(train.class_names),
            "train_images": self.train_size,
            "test_images": self.test_size,
            "skipped": [*train.skipped, *test.skipped],
        }

    def batch(self, indices: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, Any]:
        images = torch.from_numpy(self._train.x)[indices].float() / 255
        noisy, _ = warp(images, self._augmentation, generator)
        return noisy, torch.from_numpy(self._train.y)[indices]

    def clean(self, start: int, stop: int) -> Array:
        return self._train.real(start, stop)

    def test(self, start: int, stop: int) -> Array:
        return self._test.real(start, stop)

    def loss(self, outputs: tuple[torch.Tensor, ...], targets: Any) -> torch.Tensor:
        return functional.cross_entropy(outputs[0], targets)

    def score(self, outputs: Outputs) -> dict[str, float]:
        return {self.metric: accuracy(outputs[0], self._test.y)}

    def validation_loss(self, run: Run) -> float | None:
        if not len(self._kept.x):
            return None
        outputs = tuple(torch.from_numpy(o) for o in run(self._kept.real()))
        return self.loss(outputs, torch.from_numpy(self._kept.y)).item()


def _part(pictures: Pictures, index: Any) -> Pictures:
    return Pictures(pictures.x[index], pictures.y[index], pictures.class_names, pictures.skipped)
