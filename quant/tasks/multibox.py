# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Detection with anchors (W. Liu et al., "SSD: Single Shot MultiBox Detector", arXiv:1512.02325): targets, loss, AP."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from bitwright.host.decode.boxes import Detections, overlaps
from bitwright.host.decode.ssd import anchors, detect, encode
from bitwright.quant.data.boxes import PreparedBoxes
from bitwright.quant.layers import FloatLayers
from bitwright.quant.metrics.detection import Truth
from bitwright.quant.models import build
from bitwright.quant.recipe import Recipe, SsdLiteModel
from bitwright.quant.tasks.base import Array, Outputs, Task
from bitwright.quant.tasks.detection import detection_scores

#: Overlap from which an anchor is trained to be an object.
MATCH = 0.5
#: Anchors without an object that train for each one with, and in an image at least.
NEGATIVES, MIN_NEGATIVES = 3, 3
#: Label of anchors that do not train: they lie on objects that do not count.
LEFT_OUT = -1


class MultiBoxTask(Task):
    """Images (N, 3, R, R) in 0 to 1; the image is stretched to the square of the input."""

    metric = "ap50"

    def __init__(self, recipe: Recipe, shape: tuple[int, ...], data: PreparedBoxes) -> None:
        assert isinstance(recipe.model, SsdLiteModel)
        self._data = data
        self._size = shape[1]
        self._classes = recipe.model.classes
        with torch.device("meta"):
            outputs = build(recipe, FloatLayers()).eval()(torch.empty(1, *shape))
        self._anchors = anchors([(o.shape[2], o.shape[3]) for o in outputs[0::2]], self._size)
        self.train_size, self.test_size = data.train_size, data.test_size
        self.facts = data.facts | {"anchors": len(self._anchors)}

    def batch(self, indices: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, Any]:
        images, truths = self._data.batch(indices, generator)
        matched = [match(t, self._anchors) for t in truths]
        return images, tuple(torch.from_numpy(np.stack(parts)) for parts in zip(*matched, strict=True))

    def clean(self, start: int, stop: int) -> Array:
        return self._data.clean(start, stop)

    def test(self, start: int, stop: int) -> Array:
        return self._data.test(start, stop)

    def loss(self, outputs: tuple[torch.Tensor, ...], targets: Any) -> torch.Tensor:
        labels, codes = targets
        logits = torch.cat([_rows(o, self._classes + 1) for o in outputs[0::2]], 1)
        found = torch.cat([_rows(o, 4) for o in outputs[1::2]], 1)
        return multibox_loss(logits, found, labels, codes)

    def detections(self, outputs: Outputs) -> list[Detections]:
        """Boxes in the pixels of each test image."""
        found = detect(outputs, self._size)
        return [
            d.scaled(w / self._size, h / self._size) for d, (w, h) in zip(found, self._data.test_sizes, strict=True)
        ]

    def score(self, outputs: Outputs) -> dict[str, float]:
        return detection_scores(self.detections(outputs), self._data.test_truth, self._data.class_names)


def match(truth: Truth, anchors: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """What each anchor (A, 4) is to find among the objects of an image, boxes in input pixels.

    An anchor takes the object that it overlaps most if that is by `MATCH` or more; then each object gets the anchor
    that overlaps it most, whatever that is, the pair with the largest overlap first.

    Returns:
        labels: int64 (A,): 0 is the background, then class + 1; `LEFT_OUT` on difficult objects.
        codes: float32 (A, 4); 0 where there is no object.
    """
    labels, codes = np.zeros(len(anchors), np.int64), np.zeros((len(anchors), 4), np.float32)
    area = (truth.boxes[:, 2:] > truth.boxes[:, :2]).all(1)
    hard = truth.boxes[area & truth.difficult]
    boxes, classes = truth.boxes[area & ~truth.difficult], truth.labels[area & ~truth.difficult]
    if len(hard):
        labels[overlaps(anchors, hard).max(1) >= MATCH] = LEFT_OUT
    if not len(boxes):
        return labels, codes
    table = overlaps(anchors, boxes)
    taken = np.where(table.max(1) >= MATCH, table.argmax(1), -1)
    free = table.copy()
    for _ in range(min(len(boxes), len(anchors))):
        anchor, box = np.unravel_index(free.argmax(), free.shape)
        if free[anchor, box] <= 0:
            break
        taken[anchor] = box
        free[anchor], free[:, box] = 0, 0
    hit = taken >= 0
    labels[hit] = classes[taken[hit]] + 1
    codes[hit] = encode(boxes[taken[hit]], anchors[hit])
    return labels, codes


def multibox_loss(logits: torch.Tensor, found: torch.Tensor, labels: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """Cross entropy and smooth L1 over the number of anchors with an object.

    Of the anchors without an object, those with the largest loss train: `NEGATIVES` for each one with, in each image.

    Args:
        logits: (N, A, classes + 1). found: box codes (N, A, 4).
        labels, codes: of `match`, (N, A) and (N, A, 4).
    """
    positive = labels > 0
    entropy = functional.cross_entropy(logits.transpose(1, 2), labels.clamp(min=0), reduction="none")
    mined = entropy.detach().masked_fill(labels != 0, -1.0)
    # The place of each anchor in the order of the losses; the stable sort makes it the same on every machine.
    rank = mined.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    wanted = (NEGATIVES * positive.sum(1, keepdim=True)).clamp(min=MIN_NEGATIVES)
    negative = (rank < wanted) & (labels == 0)
    boxes = (functional.smooth_l1_loss(found, codes, reduction="none").sum(2) * positive).sum()
    return ((entropy * (positive | negative)).sum() + boxes) / positive.sum().clamp(min=1)


def _rows(output: torch.Tensor, values: int) -> torch.Tensor:
    """(N, anchors * values, h, w) to (N, h * w * anchors, values), the order of the anchors."""
    count, _, height, width = output.shape
    parts = output.reshape(count, -1, values, height, width).permute(0, 3, 4, 1, 2)
    return parts.reshape(count, -1, values)
