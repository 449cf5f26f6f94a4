# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Detection samples ready for a network: cached, resized, augmented together with their boxes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from bitwright.quant.augment import recolour
from bitwright.quant.data.detection import BoxSample, BoxSet, Image, resize
from bitwright.quant.metrics.detection import Truth
from bitwright.quant.recipe import Augmentation, RecipeError

#: Training images are kept this much larger than the input, so that crops that enlarge stay sharp.
_MARGIN = 1.25
#: Images are kept in memory up to so many bytes; beyond, they are read again for every use.
_CACHE_BYTES = 4 << 30
#: A box of which less than this share is left in the crop is no object any more.
_MIN_VISIBLE = 0.3


class PreparedBoxes:
    """Training and test split of one data set for a square input of ``side`` pixels."""

    def __init__(self, train: BoxSet, test: BoxSet, side: int, augmentation: Augmentation) -> None:
        for field in ("rotate_degrees", "noise"):
            if getattr(augmentation, field):
                raise RecipeError(
                    f"augmentation.{field}: must be 0 for detection, got {getattr(augmentation, field)}; boxes are "
                    "moved by scale, shift_pixels, flip and flip_vertical only"
                )
        self.class_names = train.class_names
        self._side = side
        self._base = round(side * _MARGIN)
        self._augmentation = augmentation
        self._train, self._test = train.samples, test.samples
        self.train_size, self.test_size = len(train.samples), len(test.samples)
        self.test_truth = [Truth(s.boxes, s.labels, s.difficult) for s in test.samples]
        self._cache: dict[tuple[str, int], Image] = {}
        self._shapes: dict[int, tuple[int, int]] = {}
        self._room = _CACHE_BYTES
        self._sizes: list[tuple[int, int]] | None = None
        self.facts: dict[str, Any] = {
            "class_names": list(train.class_names),
            "train_images": self.train_size,
            "test_images": self.test_size,
            "skipped": [*train.skipped, *test.skipped],
        }

    @property
    def test_sizes(self) -> list[tuple[int, int]]:
        """(width, height) of each test image as it lies in the data set."""
        if self._sizes is None:
            shapes = [s.load().shape for s in self._test]
            self._sizes = [(shape[1], shape[0]) for shape in shapes]
        return self._sizes

    def test_image(self, index: int) -> Image:
        """A test image as it lies in the data set."""
        return self._test[index].load()

    def test_name(self, index: int) -> str:
        """What the data set calls it."""
        return self._test[index].name

    def _image(self, kind: str, samples: tuple[BoxSample, ...], index: int, side: int) -> Image:
        found = self._cache.get((kind, index))
        if found is None:
            original = samples[index].load()
            if kind == "train":
                self._shapes[index] = (original.shape[1], original.shape[0])
            found = resize(original, side)
            if found.nbytes <= self._room:
                self._room -= found.nbytes
                self._cache[kind, index] = found
        return found

    def batch(self, indices: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, list[Truth]]:
        """Augmented images (B, 3, side, side) in 0 to 1, and their objects in pixels of the input."""
        a = self._augmentation
        images = torch.from_numpy(
            np.stack([self._image("train", self._train, int(i), self._base) for i in indices]).transpose(0, 3, 1, 2)
        )
        count = len(indices)
        uniform = torch.rand(6, count, generator=generator)
        # Output (u, v) in -1..1 reads the image at (ax u + tx, ay v + ty).
        zoom = 1 + (uniform[0] * 2 - 1) * a.scale
        tx = (uniform[1] * 2 - 1) * (a.shift_pixels * 2 / self._side)
        ty = (uniform[2] * 2 - 1) * (a.shift_pixels * 2 / self._side)
        ax = zoom * torch.where(uniform[3] < 0.5, -1.0, 1.0) if a.flip else zoom
        ay = zoom * torch.where(uniform[4] < 0.5, -1.0, 1.0) if a.flip_vertical else zoom
        zero = torch.zeros(count)
        theta = torch.stack((torch.stack((ax, zero, tx), 1), torch.stack((zero, ay, ty), 1)), 1)
        grid = functional.affine_grid(theta, [count, 3, self._side, self._side], align_corners=False)
        out = functional.grid_sample(images.float() / 255, grid, padding_mode="zeros", align_corners=False)
        out = recolour(out, a.colour, generator)
        moves = torch.stack((ax, tx, ay, ty), 1).double().numpy()
        return out, [self._moved(int(i), m) for i, m in zip(indices, moves, strict=True)]

    def _moved(self, index: int, move: NDArray[np.float64]) -> Truth:
        sample = self._train[index]
        width, height = self._shapes[index]
        ax, tx, ay, ty = move
        normal = sample.boxes / np.asarray([width, height, width, height]) * 2 - 1
        x = np.sort((normal[:, 0::2] - tx) / ax, axis=1)
        y = np.sort((normal[:, 1::2] - ty) / ay, axis=1)
        boxes = (np.stack((x[:, 0], y[:, 0], x[:, 1], y[:, 1]), 1) + 1) * self._side / 2
        cut = np.clip(boxes, 0, self._side)
        area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
        seen = (cut[:, 2:] - cut[:, :2]).prod(1)
        keep = seen >= _MIN_VISIBLE * area
        return Truth(cut[keep].astype(np.float32), sample.labels[keep], sample.difficult[keep])

    def clean(self, start: int, stop: int) -> NDArray[np.float32]:
        """Training images (B, 3, side, side) as a test would see them."""
        found = [resize(s.load(), self._side) for s in self._train[start:stop]]
        return _as_input(found)

    def test(self, start: int, stop: int) -> NDArray[np.float32]:
        """Test images (B, 3, side, side)."""
        stop = min(stop, self.test_size)
        return _as_input([self._image("test", self._test, k, self._side) for k in range(start, stop)])


def _as_input(images: list[Image]) -> NDArray[np.float32]:
    return (np.stack(images).transpose(0, 3, 1, 2).astype(np.float32)) / np.float32(255)
