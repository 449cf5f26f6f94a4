# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""What a reader of pictures with one class each gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bitwright.quant.data.detection import Image


@dataclass(frozen=True)
class LabelledSample:
    """One picture and its class.

    Attributes:
        name: of the picture, as the data set calls it.
        load: reads it: uint8 (H, W, 3), RGB. Raises DataError when the file is damaged.
        label: index into the class names.
    """

    name: str
    load: Callable[[], Image]
    label: int


@dataclass(frozen=True)
class LabelledSet:
    """A split of a classification data set; ``skipped`` says what was left out and why."""

    class_names: tuple[str, ...]
    samples: tuple[LabelledSample, ...]
    skipped: tuple[str, ...] = ()
