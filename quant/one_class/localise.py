# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Where an image is anomalous: scores of overlapping patches, spread over the pixels (CutPaste, arXiv:2104.04015,
2.2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.host.decode.heatmap import heatmap
from bitwright.quant.one_class.detectors import Detector

#: Patches that go through the network at once.
_BATCH = 512


@dataclass(frozen=True)
class Scene:
    """A whole test image at the scale of the network.

    Attributes:
        name: as the data set calls it.
        image: float32 (C, H, W) in 0 to 1.
        mask: bool (H, W): the anomalous pixels.
    """

    name: str
    image: NDArray[np.float32]
    mask: NDArray[np.bool_]


def patch_scores(
    run: Callable[[NDArray[np.float32]], Sequence[NDArray[Any]]], detector: Detector, image: NDArray[np.float32],
    side: int, stride: int,
) -> NDArray[np.float64]:  # fmt: skip
    """Scores (h, w) of the patches of ``side`` pixels, ``stride`` apart, of an image (C, H, W) with H, W >= side."""
    views = np.lib.stride_tricks.sliding_window_view(image, (side, side), axis=(1, 2))[:, ::stride, ::stride]
    h, w = views.shape[1:3]
    patches = views.transpose(1, 2, 0, 3, 4).reshape(h * w, image.shape[0], side, side)
    features = [run(np.ascontiguousarray(patches[k : k + _BATCH]))[0] for k in range(0, len(patches), _BATCH)]
    scores: NDArray[np.float64] = detector.score(np.concatenate(features)).reshape(h, w)
    return scores


def heat(
    run: Callable[[NDArray[np.float32]], Sequence[NDArray[Any]]],
    detector: Detector,
    scene: Scene,
    side: int,
    stride: int,
) -> NDArray[np.float64]:
    """Heat map (H, W) of a scene."""
    scores = patch_scores(run, detector, scene.image, side, stride)
    return heatmap(scores[None], receptive_field=side, stride=stride, shape=scene.mask.shape)[0]
