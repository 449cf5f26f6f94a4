# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Average precision of detectors: Pascal VOC (11 points and area) and COCO.

Rules: M. Everingham et al., "The Pascal Visual Object Classes Challenge", IJCV 2010, and its development kits of 2007
and 2010; COCO's evaluation (cocodataset.org, pycocotools 2.0), which tests compare with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitwright.host.decode.boxes import Detections, overlaps

COCO_THRESHOLDS = np.linspace(0.5, 0.95, 10)
_COCO_RECALLS = np.linspace(0.0, 1.0, 101)
_COCO_PER_IMAGE = 100


@dataclass(frozen=True)
class Truth:
    """The objects of one image, as in `BoxSample`."""

    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    difficult: NDArray[np.bool_]


def voc_ap(
    found: Sequence[Detections], truth: Sequence[Truth], classes: int, *, threshold: float = 0.5, eleven: bool = False
) -> NDArray[np.float64]:
    """Average precision of each class, (classes,); NaN for a class without objects.

    Args:
        threshold: overlap from which a detection matches.
        eleven: mean precision at 11 recalls (VOC 2007) instead of the area under the curve (VOC 2010 and later).
    """
    result = np.full(classes, np.nan)
    for label in range(classes):
        scores, hits, objects = _voc_matches(found, truth, label, threshold)
        if not objects:
            continue
        order = np.argsort(-scores, kind="stable")
        kept = hits[order]
        kept = kept[kept >= 0]  # matches of difficult objects count neither way
        tp = np.cumsum(kept == 1)
        recall, precision = tp / objects, tp / np.arange(1, len(kept) + 1)
        result[label] = _eleven_points(recall, precision) if eleven else _area(recall, precision)
    return result


def _voc_matches(
    found: Sequence[Detections], truth: Sequence[Truth], label: int, threshold: float
) -> tuple[NDArray[np.float64], NDArray[np.int64], int]:
    """Score and verdict (1 hit, 0 miss, -1 ignored) of every detection of a class; number of objects that count.

    Each detection looks at the object that it overlaps most, as VOC rules, whether or not that one is taken.
    """
    scores: list[float] = []
    hits: list[int] = []
    objects = 0
    for detections, image in zip(found, truth, strict=True):
        mine = detections.labels == label
        boxes, difficult = image.boxes[image.labels == label], image.difficult[image.labels == label]
        objects += int((~difficult).sum())
        order = np.argsort(-detections.scores[mine], kind="stable")
        table = overlaps(detections.boxes[mine][order], boxes)
        taken = np.zeros(len(boxes), bool)
        for k, score in enumerate(detections.scores[mine][order]):
            scores.append(float(score))
            best = int(np.argmax(table[k])) if len(boxes) else -1
            if best < 0 or table[k, best] < threshold:
                hits.append(0)
            elif difficult[best]:
                hits.append(-1)
            else:
                hits.append(0 if taken[best] else 1)
                taken[best] = True
    return np.asarray(scores, np.float64), np.asarray(hits, np.int64), objects


def _eleven_points(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> float:
    points = [precision[recall >= r - 1e-12] for r in np.linspace(0, 1, 11)]
    return float(np.mean([p.max() if len(p) else 0.0 for p in points]))


def _area(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> float:
    r = np.concatenate(([0.0], recall, [1.0]))
    p = np.concatenate(([0.0], precision, [0.0]))
    p = np.maximum.accumulate(p[::-1])[::-1]
    return float(((r[1:] - r[:-1]) * p[1:]).sum())


def coco_ap(found: Sequence[Detections], truth: Sequence[Truth], classes: int) -> dict[str, float]:
    """COCO's AP (mean over overlaps 0.50 to 0.95), AP50 and AP75, over all classes with objects.

    ``difficult`` objects are ignored regions that may match without counting, but not COCO's crowds: those also match
    several detections, with an overlap of their own. At most 100 detections of an image and class count.
    """
    precisions = np.full((len(COCO_THRESHOLDS), classes), np.nan)
    for label in range(classes):
        scores, hits, objects = _coco_matches(found, truth, label)
        if not objects:
            continue
        order = np.argsort(-scores, kind="mergesort")
        for t in range(len(COCO_THRESHOLDS)):
            kept = hits[t][order]
            kept = kept[kept >= 0]
            tp, fp = np.cumsum(kept == 1), np.cumsum(kept == 0)
            recall, precision = tp / objects, tp / (tp + fp + np.spacing(1))
            envelope = np.maximum.accumulate(precision[::-1])[::-1]
            index = np.searchsorted(recall, _COCO_RECALLS, side="left")
            sampled = np.zeros(len(_COCO_RECALLS))
            inside = index < len(envelope)
            sampled[inside] = envelope[index[inside]]
            precisions[t, label] = sampled.mean()
    if np.isnan(precisions).all():
        return {"ap": float("nan"), "ap50": float("nan"), "ap75": float("nan")}
    return {
        "ap": float(np.nanmean(precisions)),
        "ap50": float(np.nanmean(precisions[0])),
        "ap75": float(np.nanmean(precisions[5])),
    }


def _coco_matches(
    found: Sequence[Detections], truth: Sequence[Truth], label: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], int]:
    """As `_voc_matches`, for every threshold; each detection takes the free object that it overlaps most."""
    scores: list[NDArray[np.float32]] = []
    verdicts: list[NDArray[np.int64]] = []
    objects = 0
    for detections, image in zip(found, truth, strict=True):
        mine = detections.labels == label
        order = np.argsort(-detections.scores[mine], kind="mergesort")[:_COCO_PER_IMAGE]
        boxes, ignored = image.boxes[image.labels == label], image.difficult[image.labels == label]
        by_use = np.argsort(ignored, kind="mergesort")  # objects that count are tried first
        boxes, ignored = boxes[by_use], ignored[by_use]
        objects += int((~ignored).sum())
        table = overlaps(detections.boxes[mine][order], boxes)
        verdict = np.zeros((len(COCO_THRESHOLDS), len(order)), np.int64)
        for t, threshold in enumerate(COCO_THRESHOLDS):
            taken = np.zeros(len(boxes), bool)
            for k in range(len(order)):
                best, overlap = -1, min(threshold, 1 - 1e-10)
                for g in range(len(boxes)):
                    if taken[g]:
                        continue
                    if best >= 0 and not ignored[best] and ignored[g]:
                        break
                    if table[k, g] >= overlap:
                        best, overlap = g, table[k, g]
                if best >= 0:
                    taken[best] = True
                    verdict[t, k] = -1 if ignored[best] else 1
        scores.append(detections.scores[mine][order])
        verdicts.append(verdict)
    if not scores:
        return np.zeros(0), np.zeros((len(COCO_THRESHOLDS), 0), np.int64), objects
    return np.concatenate(scores).astype(np.float64), np.concatenate(verdicts, axis=1), objects
