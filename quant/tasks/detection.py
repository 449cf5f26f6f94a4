# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Detection with centre points (X. Zhou et al., "Objects as Points", arXiv:1904.07850): targets, loss, AP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from bitwright.host.decode.boxes import Detections
from bitwright.host.decode.centernet import decode
from bitwright.quant.data.boxes import PreparedBoxes
from bitwright.quant.drawing import draw_boxes
from bitwright.quant.metrics.detection import Truth, coco_ap, voc_ap
from bitwright.quant.recipe import CoDeNetModel, Recipe
from bitwright.quant.tasks.base import Array, Outputs, Run, Task

#: Output stride of the network, and weights of the losses (the paper's).
STRIDE, SIZE_WEIGHT, CENTRE_WEIGHT = 4, 0.1, 1.0
#: A box that overlaps the object by this much still counts as near it when the heat map is drawn.
MIN_OVERLAP = 0.7
#: Images that `draw` makes, and the score from which it shows a box.
_DRAWN, _DRAWN_SCORE = 12, 0.3


class CentreTask(Task):
    """Images (N, 3, R, R) in 0 to 1; the image is stretched to the square of the input."""

    metric = "ap50"

    def __init__(self, recipe: Recipe, shape: tuple[int, ...], data: PreparedBoxes) -> None:
        assert isinstance(recipe.model, CoDeNetModel)
        self._data = data
        self._size = shape[1]
        self._classes = recipe.model.classes
        self.train_size, self.test_size = data.train_size, data.test_size
        self.facts = data.facts

    def batch(self, indices: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, Any]:
        images, truths = self._data.batch(indices, generator)
        side = self._size // STRIDE
        maps = [draw_targets(t, self._classes, side) for t in truths]
        return images, tuple(torch.from_numpy(np.stack(parts)) for parts in zip(*maps, strict=True))

    def clean(self, start: int, stop: int) -> Array:
        return self._data.clean(start, stop)

    def test(self, start: int, stop: int) -> Array:
        return self._data.test(start, stop)

    def loss(self, outputs: tuple[torch.Tensor, ...], targets: Any) -> torch.Tensor:
        heatmap, sizes, centres = outputs
        wanted, wanted_sizes, wanted_centres, present = targets
        objects = present.sum().clamp(min=1)
        mask = present[:, None]
        size_loss = (functional.l1_loss(sizes, wanted_sizes, reduction="none") * mask).sum() / objects
        centre_loss = (functional.l1_loss(centres, wanted_centres, reduction="none") * mask).sum() / objects
        return focal(heatmap, wanted) + SIZE_WEIGHT * size_loss + CENTRE_WEIGHT * centre_loss

    def detections(self, outputs: Outputs) -> list[Detections]:
        """Boxes in the pixels of each test image."""
        found = decode(outputs[0], outputs[1], outputs[2], stride=STRIDE)
        return [
            d.scaled(w / self._size, h / self._size) for d, (w, h) in zip(found, self._data.test_sizes, strict=True)
        ]

    def draw(self, run: Run, folder: Path) -> list[Path]:
        """Test images with what was found (thick) and the truth (thin)."""
        count = min(_DRAWN, self.test_size)
        outputs = run(self.test(0, count))
        found = decode(outputs[0], outputs[1], outputs[2], stride=STRIDE, threshold=_DRAWN_SCORE)
        paths = []
        for k in range(count):
            image = self._data.test_image(k)
            scaled = found[k].scaled(image.shape[1] / self._size, image.shape[0] / self._size)
            path = folder / f"{self._data.test_name(k)}.png"
            draw_boxes(image, scaled, self._data.test_truth[k], self._data.class_names, path)
            paths.append(path)
        return paths

    def score(self, outputs: Outputs) -> dict[str, float]:
        return detection_scores(self.detections(outputs), self._data.test_truth, self._data.class_names)


def detection_scores(found: list[Detections], truth: list[Truth], class_names: tuple[str, ...]) -> dict[str, float]:
    """AP50 (area under the curve) and others, in 0 to 1; test-time augmentation is never used."""
    classes = len(class_names)
    area = voc_ap(found, truth, classes)
    scores = {
        "ap50": float(np.nanmean(area)),
        "ap50_voc07": float(np.nanmean(voc_ap(found, truth, classes, eleven=True))),
    }
    scores |= {f"coco_{k}": v for k, v in coco_ap(found, truth, classes).items()}
    return scores | {f"ap50_{name}": float(area[k]) for k, name in enumerate(class_names) if not np.isnan(area[k])}


def focal(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Penalty-reduced focal loss of a heat map (alpha 2, beta 4), over the number of objects."""
    positive = wanted.eq(1).float()
    p = torch.sigmoid(logits)
    log_p, log_not = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    loss = log_p * (1 - p).square() * positive + log_not * p.square() * (1 - wanted).pow(4) * (1 - positive)
    return -loss.sum() / positive.sum().clamp(min=1)


def draw_targets(truth: Truth, classes: int, side: int) -> tuple[NDArray[np.float32], ...]:
    """Heat map (classes, side, side), sizes and centres (2, side, side), presence (side, side); boxes in input
    pixels.
    """
    heatmap = np.zeros((classes, side, side), np.float32)
    sizes, centres = np.zeros((2, side, side), np.float32), np.zeros((2, side, side), np.float32)
    present = np.zeros((side, side), np.float32)
    grid = np.arange(side, dtype=np.float32)
    for box, label in zip(truth.boxes / STRIDE, truth.labels, strict=True):
        width, height = box[2:] - box[:2]
        centre = (box[:2] + box[2:]) / 2
        x, y = np.clip(centre.astype(np.int64), 0, side - 1)
        spread = max(0, int(gaussian_radius(float(width), float(height))))
        sigma = (2 * spread + 1) / 6
        bell_x = np.exp(-((grid - x) ** 2) / (2 * sigma * sigma)) * (np.abs(grid - x) <= spread)
        bell_y = np.exp(-((grid - y) ** 2) / (2 * sigma * sigma)) * (np.abs(grid - y) <= spread)
        np.maximum(heatmap[label], bell_y[:, None] * bell_x[None], out=heatmap[label])
        sizes[:, y, x] = width, height
        centres[:, y, x] = centre - (x, y)
        present[y, x] = 1
    return heatmap, sizes, centres, present


def gaussian_radius(width: float, height: float) -> float:
    """How far a corner pair may move and still overlap the box by MIN_OVERLAP (H. Law, J. Deng, arXiv:1808.01244).

    The smallest of the three cases: one corner in and one out, both in, both out.
    """
    o, total = MIN_OVERLAP, width + height
    cases = (
        (1.0, total, width * height * (1 - o) / (1 + o)),
        (4.0, 2 * total, (1 - o) * width * height),
        (4 * o, -2 * o * total, (o - 1) * width * height),
    )
    radii = []
    for k, (a, b, c) in enumerate(cases):
        root = max(b * b - 4 * a * c, 0.0) ** 0.5
        radii.append((b - root) / (2 * a) if k < 2 else (b + root) / (2 * a))
    return min(radii)
