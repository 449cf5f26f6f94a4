# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Semantic segmentation: pictures and label images changed together, cross entropy, mean IoU."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from bitwright.quant.augment import recolour
from bitwright.quant.data.detection import Image, resize
from bitwright.quant.data.masks import Mask, MaskSample, MaskSet
from bitwright.quant.metrics.segmentation import IGNORE, class_iou, confusion, mean, pixel_accuracy
from bitwright.quant.recipe import Augmentation, DeepLabModel, Recipe
from bitwright.quant.tasks.base import Array, Outputs, Task

#: Training images are kept this much larger than the input, so that crops that enlarge stay sharp.
_MARGIN = 1.25
#: Images and labels are kept in memory up to so many bytes; beyond, they are read again for every use.
_CACHE_BYTES = 4 << 30


class SegmentationTask(Task):
    """Images (N, 3, R, R) in 0 to 1, stretched to the square of the input.

    The network gives logits (N, classes, R, R) in training and labels (N, R, R) in eval mode. Scores are counted in
    pixels of the pictures as they lie in the data set, to which the labels are stretched back.
    """

    metric = "mean_iou"

    def __init__(self, recipe: Recipe, shape: tuple[int, ...], train: MaskSet, test: MaskSet) -> None:
        assert isinstance(recipe.model, DeepLabModel)
        self._side = shape[1]
        self._augmentation = recipe.augmentation
        self._train, self._test = train.samples, test.samples
        self._class_names = train.class_names
        self._cache: dict[tuple[str, int], tuple[Image, Mask]] = {}
        self._room = _CACHE_BYTES
        self.train_size, self.test_size = len(train.samples), len(test.samples)
        self.facts = {
            "class_names": list(train.class_names),
            "train_images": self.train_size,
            "test_images": self.test_size,
            "skipped": [*train.skipped, *test.skipped],
        }

    def batch(self, indices: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, Any]:
        base = round(self._side * _MARGIN)
        pairs = [self._pair("train", self._train, int(i), base) for i in indices]
        images = torch.from_numpy(np.stack([p[0] for p in pairs]).transpose(0, 3, 1, 2)).float() / 255
        labels = torch.from_numpy(np.stack([p[1] for p in pairs]))
        return augment(images, labels, self._side, self._augmentation, generator)

    def clean(self, start: int, stop: int) -> Array:
        return _as_input([resize(s.load(), self._side) for s in self._train[start:stop]])

    def test(self, start: int, stop: int) -> Array:
        stop = min(stop, self.test_size)
        return _as_input([self._pair("test", self._test, k, self._side)[0] for k in range(start, stop)])

    def loss(self, outputs: tuple[torch.Tensor, ...], targets: Any) -> torch.Tensor:
        total = functional.cross_entropy(outputs[0], targets, ignore_index=IGNORE, reduction="sum")
        # A batch may have no pixel that counts.
        return total / (targets != IGNORE).sum().clamp(min=1)

    def score(self, outputs: Outputs) -> dict[str, float]:
        classes = len(self._class_names)
        matrix = np.zeros((classes, classes), np.int64)
        for predicted, sample in zip(outputs[0], self._test, strict=True):
            truth = sample.mask()
            matrix += confusion([resize_labels(predicted.astype(np.uint8), truth.shape)], [truth], classes, IGNORE)
        iou = class_iou(matrix)
        scores = {self.metric: mean(iou), "pixel_accuracy": pixel_accuracy(matrix)}
        return scores | {f"iou_{n}": float(v) for n, v in zip(self._class_names, iou, strict=True) if not np.isnan(v)}

    def _pair(self, kind: str, samples: tuple[MaskSample, ...], index: int, side: int) -> tuple[Image, Mask]:
        found = self._cache.get((kind, index))
        if found is None:
            found = resize(samples[index].load(), side), resize_labels(samples[index].mask(), (side, side))
            size = found[0].nbytes + found[1].nbytes
            if size <= self._room:
                self._room -= size
                self._cache[kind, index] = found
        return found


def augment(
    images: torch.Tensor, labels: torch.Tensor, side: int, settings: Augmentation, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Random rotation, shift, scale, flips, colour and noise.

    Args:
        images: float32 (N, 3, b, b) in 0 to 1; sampled bilinearly, black outside.
        labels: uint8 (N, b, b); sampled at the nearest pixel, `IGNORE` outside.
        side: of what is made; ``shift_pixels`` counts its pixels.

    Returns:
        float32 (N, 3, side, side) and int64 (N, side, side).
    """
    count = len(images)
    uniform = torch.rand(6, count, generator=generator)
    signed = uniform * 2 - 1
    # Output (u, v) in -1..1 reads the image at theta (u, v, 1).
    zoom = 1 + signed[0] * settings.scale
    shift = signed[1:3] * (settings.shift_pixels * 2 / side)
    angle = signed[5] * settings.rotate_degrees * math.pi / 180
    flip_x = torch.where(uniform[3] < 0.5, -1.0, 1.0) if settings.flip else torch.ones(count)
    flip_y = torch.where(uniform[4] < 0.5, -1.0, 1.0) if settings.flip_vertical else torch.ones(count)
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    theta = torch.stack(
        (
            torch.stack((cos * flip_x, -sin * flip_y, shift[0]), 1),
            torch.stack((sin * flip_x, cos * flip_y, shift[1]), 1),
        ),
        1,
    )
    grid = functional.affine_grid(theta, [count, 3, side, side], align_corners=False)
    out = functional.grid_sample(images, grid, padding_mode="zeros", align_corners=False)
    # Outside grid_sample gives 0, which stands for IGNORE here.
    below = (labels.float() - IGNORE)[:, None]
    moved = functional.grid_sample(below, grid, mode="nearest", padding_mode="zeros", align_corners=False) + IGNORE
    out = recolour(out, settings.colour, generator)
    if settings.noise:
        out = (out + settings.noise * torch.randn(out.shape, generator=generator)).clamp(0, 1)
    return out, moved[:, 0].round().long()


def resize_labels(labels: Mask, shape: tuple[int, ...]) -> Mask:
    """Label image stretched to (height, width); every pixel takes the label at its middle."""
    from PIL import Image as Pillow

    if labels.shape == shape:
        return labels
    return np.asarray(Pillow.fromarray(labels).resize((shape[1], shape[0]), Pillow.Resampling.NEAREST))


def _as_input(images: list[Image]) -> Array:
    return np.stack(images).transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
