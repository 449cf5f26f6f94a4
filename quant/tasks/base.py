# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""What a task is: data, loss and metric behind one interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bitwright.errors import ModelError

Array = NDArray[np.float32]
#: Outputs of a network on N samples, one array (N, ...) for each output.
Outputs = Sequence[NDArray[Any]]
#: Runs a network, in whatever form, on samples (N, ...).
Run = Callable[[Array], Outputs]

#: Values of one evaluation batch: about 100 images of 256 x 256 x 3.
_BATCH_VALUES = 20_000_000
_BATCH_SAMPLES = 256


class Task(ABC):
    """One task on one data set.

    Attributes:
        metric: name of the main figure of merit in what `score` gives; more is better.
        train_size: number of training samples.
        test_size: number of test samples.
        head: layers that are trained behind the network and not exported, such as a pretext classifier; or None.
        facts: what metrics.json says about the data: sizes, skipped samples, seeds of splits.
    """

    metric: str
    train_size: int
    test_size: int
    head: nn.Module | None = None
    facts: dict[str, Any]

    @abstractmethod
    def batch(self, indices: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, Any]:
        """Augmented training samples and their targets: float32 (B, ...) and what `loss` takes.

        Every random choice comes from ``generator``.
        """

    @abstractmethod
    def clean(self, start: int, stop: int) -> Array:
        """Training samples without augmentation, to calibrate activation ranges."""

    @abstractmethod
    def test(self, start: int, stop: int) -> Array:
        """Test samples as the network takes them: float32 (B, ...)."""

    @abstractmethod
    def loss(self, outputs: tuple[torch.Tensor, ...], targets: Any) -> torch.Tensor:
        """The loss of a batch."""

    @abstractmethod
    def score(self, outputs: Outputs) -> dict[str, float]:
        """Figures of merit from the outputs on all test samples; `metric` is one of them."""

    def figures(self, run: Run) -> dict[str, float]:
        """Figures of merit of a network; a task that needs more than the test samples overrides this."""
        return self.score(self.test_outputs(run))

    def test_outputs(self, run: Run) -> Outputs:
        """Outputs on all test samples."""
        return run_all(run, self.test, self.test_size)

    def draw(self, run: Run, folder: Path) -> list[Path]:
        """Pictures of results on test samples, written to ``folder``. Raises ModelError for a task that has none."""
        raise ModelError("--pictures: this task has no pictures; detection, segmentation and heat maps have")

    def validation_loss(self, run: Run) -> float | None:
        """Loss on samples kept out of the training; None when the recipe keeps none."""
        return None


def run_all(run: Run, samples: Callable[[int, int], Array], count: int) -> Outputs:
    """Outputs on ``count`` samples, in batches."""
    parts = [run(samples(start, stop)) for start, stop in batches(count, samples(0, 1)[0].size)]
    return tuple(np.concatenate(output) for output in zip(*parts, strict=True))


def batches(count: int, values: int) -> Iterator[tuple[int, int]]:
    """Ranges that cover ``count`` samples of ``values`` values, small enough for memory."""
    step = max(1, min(_BATCH_SAMPLES, _BATCH_VALUES // values))
    for start in range(0, count, step):
        yield start, min(start + step, count)
