# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Video classification at several input sizes and exits: one training, accuracy for every setting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from bitwright.quant.augment import warp
from bitwright.quant.data.digit_videos import Videos, digit_videos
from bitwright.quant.recipe import AdaptiveModel, DigitVideos, Recipe
from bitwright.quant.tasks.base import Array, Outputs, Run, Task, run_all

#: Of the clips: the same data whatever the seed of the training is.
VIDEO_SEED = 0


@dataclass(frozen=True)
class Setting:
    """One position of both knobs: side of the input in pixels, number of the exit from 0."""

    resolution: int
    exit: int

    @property
    def name(self) -> str:
        """For files and tables."""
        return f"r{self.resolution}_exit{self.exit}"


class DigitVideoTask(Task):
    """Frames (N, 3, R, R) in 0 to 1. A clip's class is that of the sum of its frames' logits; the metric is the mean
    accuracy over all settings."""

    metric = "accuracy_mean"

    def __init__(self, recipe: Recipe) -> None:
        assert isinstance(recipe.model, AdaptiveModel) and isinstance(recipe.task, DigitVideos)
        config, task = recipe.model, recipe.task
        self._augmentation = recipe.augmentation
        self._resolutions = sorted(config.resolutions)
        self._frames = task.frames
        self.settings = tuple(Setting(r, k) for r in self._resolutions for k in range(len(config.channels)))
        side = self._resolutions[-1]
        train = digit_videos(task.train_clips, task.frames, side, VIDEO_SEED, "train")
        test = digit_videos(task.test_clips, task.frames, side, VIDEO_SEED, "test")
        self._x, self._y = _flat(train)
        self._x_test, self._labels = _flat(test)[0], test.labels
        self.train_size, self.test_size = len(self._x), len(self._x_test)
        self.facts = {
            "train_clips": task.train_clips,
            "test_clips": task.test_clips,
            "frames": task.frames,
            "video_seed": VIDEO_SEED,
            "skipped": [],
        }

    def batch(self, indices: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, Any]:
        images, _ = warp(torch.from_numpy(_real(self._x[indices.numpy()])), self._augmentation, generator)
        side = self._resolutions[int(torch.randint(len(self._resolutions), (1,), generator=generator))]
        return shrink(images, side), torch.from_numpy(self._y[indices.numpy()])

    def clean(self, start: int, stop: int) -> Array:
        return _real(self._x[start:stop])

    def test(self, start: int, stop: int) -> Array:
        return _real(self._x_test[start:stop])

    def loss(self, outputs: tuple[torch.Tensor, ...], targets: Any) -> torch.Tensor:
        return torch.stack([functional.cross_entropy(o, targets) for o in outputs]).mean()

    def score(self, outputs: Outputs) -> dict[str, float]:
        raise NotImplementedError("an adaptive network is scored at every setting: use figures")

    def figures(self, run: Run) -> dict[str, float]:
        """Accuracy of every setting; ``run`` gives the logits of all exits for inputs of any of the sizes."""
        found = {}
        for resolution in self._resolutions:
            outputs = run_all(run, lambda a, b, r=resolution: self.test_at(r, a, b), self.test_size)  # type: ignore[misc]
            for setting in self.settings:
                if setting.resolution == resolution:
                    found[f"accuracy_{setting.name}"] = self.accuracy(outputs[setting.exit])
        return {self.metric: float(np.mean(list(found.values()))), **found}

    def test_at(self, resolution: int, start: int = 0, stop: int | None = None) -> Array:
        """Test frames at one of the sizes."""
        images = torch.from_numpy(_real(self._x_test[start:stop]))
        return np.ascontiguousarray(shrink(images, resolution).numpy())

    def accuracy(self, logits: NDArray[Any]) -> float:
        """Share of the clips that are right, from the logits of all test frames (clips * frames, classes)."""
        summed = logits.reshape(-1, self._frames, logits.shape[1]).sum(1)
        return float(np.mean(summed.argmax(1) == self._labels))

    def network_at(self, model: nn.Module, setting: Setting) -> nn.Module:
        """The network of a setting, sharing the weights of ``model``."""
        return model.at_exit(setting.exit)  # type: ignore[no-any-return,operator]


def shrink(images: torch.Tensor, side: int) -> torch.Tensor:
    """Images (N, C, S, S) in 0 to 1 at another size: area averages, rounded to whole bytes as a camera would give."""
    if images.shape[2] == side:
        return images
    smaller = functional.interpolate(images, size=(side, side), mode="area")
    return (smaller * 255).round() / 255


def _flat(videos: Videos) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """All frames (N, 3, S, S) and the label of each."""
    clips, frames, height, width, channels = videos.frames.shape
    x = videos.frames.reshape(clips * frames, height, width, channels).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(x), np.repeat(videos.labels, frames)


def _real(images: NDArray[np.uint8]) -> Array:
    return images.astype(np.float32) / np.float32(255)
