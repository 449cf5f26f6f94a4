# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Two-stage one-class detection: features from a pretext task on normal images, then a density on the features.

K. Sohn et al., arXiv:2011.02578, and C.-L. Li et al., "CutPaste", arXiv:2104.04015. The second stage is fitted on the
features of the very network that is evaluated: on quantized features when that is the quantized one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from bitwright.quant.augment import warp
from bitwright.quant.data.one_class import OneClassData
from bitwright.quant.drawing import draw_heat
from bitwright.quant.metrics.localisation import pixel_auc
from bitwright.quant.metrics.scores import area_under_roc
from bitwright.quant.one_class.detectors import (
    Detector,
    GaussianDensity,
    KernelDensity,
    OneClassSvm,
    degeneration,
    threshold_from_normals,
)
from bitwright.quant.one_class.localise import heat
from bitwright.quant.one_class.pretext import (
    contrastive_loss,
    cutpaste,
    cutpaste_3way,
    distribution_augmentation,
    labelled,
    rotations,
    two_views,
)
from bitwright.quant.recipe import OneClass, Recipe
from bitwright.quant.tasks.base import Array, Outputs, Run, Task, run_all

DETECTORS: dict[str, type[Detector]] = {"gaussian": GaussianDensity, "kde": KernelDensity, "ocsvm": OneClassSvm}
#: Classes of the pretext classifier; contrastive learning has a projection instead.
PRETEXT_CLASSES = {"rotation": 4, "cutpaste": 2, "cutpaste_3way": 3}
#: Share of the normal training images that sets the threshold, and the share of them that may exceed it.
_HELD_OUT, FALSE_POSITIVE_RATE = 0.2, 0.05
#: Patches for localisation are this part of their side apart.
_STRIDE_PART = 4


class OneClassTask(Task):
    """Features (N, D); ``figures`` fits every detector on them and scores the test images."""

    def __init__(self, recipe: Recipe, features: int, data: OneClassData) -> None:
        assert isinstance(recipe.task, OneClass)
        self._config = recipe.task
        self._augmentation = recipe.augmentation
        self._data = data
        self.metric = f"auc_{recipe.task.detector}"
        self.train_size, self.test_size = len(data.train), len(data.test)
        self.facts = data.facts
        torch.manual_seed(recipe.seed)
        if recipe.task.pretext == "contrastive":
            width = recipe.task.projection
            self.head = nn.Sequential(
                nn.Linear(features, width, bias=False), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width)
            )
        else:
            self.head = nn.Linear(features, PRETEXT_CLASSES[recipe.task.pretext])

    def batch(self, indices: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, Any]:
        images = torch.from_numpy(self._data.train)[indices]
        pretext = self._config.pretext
        if pretext == "contrastive":
            first, second = two_views(distribution_augmentation(images), generator, flip=self._augmentation.flip)
            return torch.cat((first, second)), None
        images, _ = warp(images, self._augmentation, generator)
        if pretext == "rotation":
            return rotations(images)
        if pretext == "cutpaste":
            return labelled(images, cutpaste(images, generator))
        return cutpaste_3way(images, generator)

    def clean(self, start: int, stop: int) -> Array:
        return self._data.train[start:stop]

    def test(self, start: int, stop: int) -> Array:
        return self._data.test[start:stop]

    def loss(self, outputs: tuple[torch.Tensor, ...], targets: Any) -> torch.Tensor:
        if targets is None:
            first, second = outputs[0].chunk(2)
            return contrastive_loss(first, second, self._config.temperature)
        return functional.cross_entropy(outputs[0], targets)

    def score(self, outputs: Outputs) -> dict[str, float]:
        raise NotImplementedError("one-class detection needs the features of the training images: use figures")

    def figures(self, run: Run) -> dict[str, float]:
        """Area under the ROC curve for each detector, and what the features are like.

        Also the rate of detection at a threshold that normal images alone set: it is chosen on a fifth of the normal
        training images, which the detector for it does not see, so that 5 % of them exceed it. ``collapsed`` is 1 when
        the features no longer depend on the input (`degeneration`); the areas are 0.5 then.
        """
        normal = np.asarray(run_all(run, self.clean, self.train_size)[0], np.float64)
        test = np.asarray(self.test_outputs(run)[0], np.float64)
        facts = degeneration(normal)
        found = {"effective_rank": facts["effective_rank"], "dead_share": facts["dead_share"], "collapsed": 0.0}
        unit = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        if "collapsed" in (facts["verdict"], degeneration(unit)["verdict"]):
            # The same features whatever the input: every score is equal, which is an area of one half.
            same = {f"auc_{name}": 0.5 for name in DETECTORS}
            return found | same | {"collapsed": 1.0, "detected": 0.0, "false_alarms": 0.0}
        for name, kind in DETECTORS.items():
            scores = kind().fit(normal).score(test)
            found[f"auc_{name}"] = area_under_roc(scores, self._data.anomalous)
        cut = max(2, round(len(normal) * (1 - _HELD_OUT)))
        order = np.random.default_rng(0).permutation(len(normal))
        detector = DETECTORS[self._config.detector]().fit(normal[order[:cut]])
        threshold = threshold_from_normals(detector.score(normal[order[cut:]]), FALSE_POSITIVE_RATE)
        above = detector.score(test) > threshold
        found["detected"] = float(above[self._data.anomalous].mean())
        found["false_alarms"] = float(above[~self._data.anomalous].mean())
        if any(scene.mask.any() for scene in self._data.scenes):
            heats = [heat(run, detector, scene, *self._grid) for scene in self._data.scenes]
            found["pixel_auc"] = pixel_auc(heats, [scene.mask for scene in self._data.scenes])
        return found

    @property
    def _grid(self) -> tuple[int, int]:
        """Side and stride of the patches."""
        side = self._data.train.shape[2]
        return side, max(1, side // _STRIDE_PART)

    def draw(self, run: Run, folder: Path) -> list[Path]:
        """Heat maps over the scenes, all on one colour scale: its lower end is the median score of normal patches."""
        if not self._data.scenes:
            return super().draw(run, folder)
        normal = np.asarray(run_all(run, self.clean, self.train_size)[0], np.float64)
        detector = DETECTORS[self._config.detector]().fit(normal)
        heats = [heat(run, detector, scene, *self._grid) for scene in self._data.scenes]
        low = float(np.median(detector.score(normal)))
        high = max(float(max(h.max() for h in heats)), low + 1e-9)
        paths = []
        for scene, values in zip(self._data.scenes, heats, strict=True):
            path = folder / f"{scene.name.replace('/', '_')}.png"
            draw_heat(scene.image, (values - low) / (high - low), scene.mask, path)
            paths.append(path)
        return paths
