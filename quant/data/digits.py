# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Handwritten digits (scikit-learn's ``load_digits``) with one fixed train / test split. Needs no torch.

Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998;
scikit-learn ships its 1797 images of 8 x 8 pixels with grey levels 0..16. Nothing is downloaded.

The split is stratified by class: 1257 training and 540 test images, always the same ones. It draws images at random,
so one writer can occur on both sides: figures on it say that a network survives quantization, not how well it reads
the handwriting of strangers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitwright.errors import ToolMissingError

#: ``random_state`` of the split and the share of the images that it puts aside for the test.
SPLIT_SEED = 20261121
TEST_FRACTION = 0.3

#: Grey levels are 0..16; the network sees level / 16.
GREY_MAX = 16

#: The class that the anomaly detector does not see in training; docs/train.md compares all ten.
UNSEEN_CLASS = 8

FloatArray = NDArray[np.float32]
LabelArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Split:
    """Images are float32 (N, 1, 8, 8) in 0..1 in steps of 1/16; labels are int64 (N,) in 0..9."""

    x_train: FloatArray
    y_train: LabelArray
    x_test: FloatArray
    y_test: LabelArray


@dataclass(frozen=True)
class AnomalySplit:
    """The same split for anomaly detection.

    Attributes:
        x_train: float32 (N, 1, 8, 8), training images of the nine classes that are seen.
        x_test: float32 (540, 1, 8, 8), the whole test part of the split, all ten classes.
        anomalous: bool (540,), true where the test image shows the unseen class.
        unseen_class: 0..9.
    """

    x_train: FloatArray
    x_test: FloatArray
    anomalous: BoolArray
    unseen_class: int


def load_split() -> Split:
    """The digits and the fixed split. Raises ToolMissingError without scikit-learn."""
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ImportError as error:
        raise ToolMissingError(
            "the digits data set needs scikit-learn, which is not installed: pip install 'bitwright[demo]'"
        ) from error
    pixels, labels = load_digits(return_X_y=True)
    images = (np.asarray(pixels) / GREY_MAX).astype(np.float32).reshape(-1, 1, 8, 8)
    classes = np.asarray(labels).astype(np.int64)
    train, test = train_test_split(
        np.arange(len(classes)), test_size=TEST_FRACTION, random_state=SPLIT_SEED, stratify=classes
    )
    return Split(images[train], classes[train], images[test], classes[test])


def load_anomaly_split(unseen_class: int = UNSEEN_CLASS) -> AnomalySplit:
    """The fixed split with one class taken out of the training part.

    Raises:
        ValueError: ``unseen_class`` is not 0..9.
    """
    if unseen_class not in range(10):
        raise ValueError(f"unseen_class must be 0..9, got {unseen_class!r}")
    split = load_split()
    return AnomalySplit(
        x_train=split.x_train[split.y_train != unseen_class],
        x_test=split.x_test,
        anomalous=split.y_test == unseen_class,
        unseen_class=unseen_class,
    )
