# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Training in two phases: in float, then quantization-aware from the float weights.

Every random choice of an epoch is a function of (seed, phase, epoch), and the learning rate a function of the epoch.
So a run that is interrupted and resumed gives the same weights, bit for bit, as one that is not.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from brevitas.graph.calibrate import calibration_mode
from numpy.typing import NDArray
from torch import nn

from bitwright.errors import ModelError
from bitwright.quant.layers import FloatLayers, QuantLayers, copy_float_weights
from bitwright.quant.models import build, input_shape
from bitwright.quant.recipe import Phase, Recipe
from bitwright.quant.tasks import Task, augment, build_task

#: Order of the phases; also their number in the seeds.
PHASES = ("float", "qat")
CHECKPOINT_VERSION = 1
_EVALUATION_BATCH = 256

#: Called after every epoch with (phase, epochs done, epochs in the phase, mean loss, validation loss or None).
Report = Callable[[str, int, int, float, float | None], None]


@dataclass
class Checkpoint:
    """Where a run stands. ``states`` holds the finished float network and the one in training."""

    phase: int = 0
    epoch: int = 0
    model: dict[str, Any] | None = None
    optimiser: dict[str, Any] | None = None
    metrics: dict[str, float] = field(default_factory=dict)

    def save(self, path: Path, recipe: Recipe) -> None:
        """Write atomically: an interrupt leaves the old file or the new one."""
        temporary = path.with_name(path.name + ".part")
        torch.save(
            {
                "version": CHECKPOINT_VERSION,
                "recipe": recipe.model_dump_json(),
                "phase": self.phase,
                "epoch": self.epoch,
                "model": self.model,
                "optimiser": self.optimiser,
                "metrics": self.metrics,
            },
            temporary,
        )
        os.replace(temporary, path)

    @staticmethod
    def load(path: Path, recipe: Recipe) -> Checkpoint:
        """Read back. Raises ModelError for a file that is no checkpoint or belongs to another recipe."""
        try:
            data = torch.load(path, weights_only=True)
            version, stored = data["version"], json.loads(data["recipe"])
        except Exception as error:  # torch raises many kinds for a damaged file
            raise ModelError(f"{path}: not a checkpoint of bitwright, or damaged; start over with --force") from error
        if version != CHECKPOINT_VERSION:
            raise ModelError(
                f"{path}: checkpoint version must be {CHECKPOINT_VERSION}, got {version}; start over with --force"
            )
        wanted = json.loads(recipe.model_dump_json())
        changed = sorted(k for k in wanted.keys() | stored.keys() if wanted.get(k) != stored.get(k))
        if changed:
            raise ModelError(
                f"{path}: was made by a recipe that differs in {', '.join(changed)}; "
                "resume with the old recipe or start over with --force"
            )
        return Checkpoint(data["phase"], data["epoch"], data["model"], data["optimiser"], data["metrics"])


@dataclass(frozen=True)
class Trained:
    """A finished run: the quantized network in eval mode and the figure of merit of both forms on the test images."""

    recipe: Recipe
    task: Task
    model: nn.Module
    metrics: dict[str, float]


def train(recipe: Recipe, checkpoint_path: Path, *, resume: bool = False, report: Report | None = None) -> Trained:
    """Run a recipe; a checkpoint is written after every epoch.

    Raises:
        ModelError: with ``resume``, the checkpoint is missing, damaged or of another recipe.
        ToolMissingError: scikit-learn is not installed.
    """
    torch.set_num_threads(recipe.threads)
    task = build_task(recipe)
    if resume and not checkpoint_path.exists():
        raise ModelError(f"{checkpoint_path}: no checkpoint to resume from; train without --resume")
    state = Checkpoint.load(checkpoint_path, recipe) if resume else Checkpoint()
    torch.manual_seed(recipe.seed)
    model = build(recipe, FloatLayers())
    if state.phase == 0:
        _run_phase(model, recipe, task, state, checkpoint_path, report)
        state.metrics["float"] = task.score(evaluate(model, recipe, task.x_test))
        quantized = start_qat(model, recipe, task)
        state.phase, state.epoch, state.model, state.optimiser = 1, 0, quantized.state_dict(), None
        state.save(checkpoint_path, recipe)
    quantized = build(recipe, QuantLayers(recipe.quantization))
    _run_phase(quantized, recipe, task, state, checkpoint_path, report)
    state.metrics["qat"] = task.score(evaluate(quantized, recipe, task.x_test))
    return Trained(recipe, task, quantized.eval(), dict(state.metrics))


def restore(recipe: Recipe, checkpoint_path: Path) -> Trained:
    """A finished run from its checkpoint, without training.

    Raises ModelError when the checkpoint is missing, damaged, of another recipe, or of a run that is not finished.
    """
    if not checkpoint_path.exists():
        raise ModelError(f"{checkpoint_path}: no such checkpoint; train the recipe first")
    state = Checkpoint.load(checkpoint_path, recipe)
    if (state.phase, state.epoch) != (1, recipe.qat.epochs):
        raise ModelError(
            f"{checkpoint_path}: phase '{PHASES[state.phase]}' stands at epoch {state.epoch}; finish it with --resume"
        )
    return train(recipe, checkpoint_path, resume=True)


def start_qat(model: nn.Module, recipe: Recipe, task: Task) -> nn.Module:
    """The quantized form of a trained float network, activation scales set from the training images.

    The scales become parameters here: Brevitas would otherwise collect statistics during the first training steps, with
    counters that a checkpoint does not keep.
    """
    quantized = build(recipe, QuantLayers(recipe.quantization))
    copy_float_weights(model, quantized)
    quantized.eval()
    with torch.no_grad(), calibration_mode(quantized):
        for start in range(0, len(task.x_train), _EVALUATION_BATCH):
            quantized(_as_input(torch.from_numpy(task.x_train[start : start + _EVALUATION_BATCH]), recipe))
    return quantized


def evaluate(model: nn.Module, recipe: Recipe, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Outputs (N, ...) of the network in eval mode."""
    model.eval()
    with torch.no_grad():
        parts = [
            model(_as_input(torch.from_numpy(images[start : start + _EVALUATION_BATCH]), recipe)).numpy()
            for start in range(0, len(images), _EVALUATION_BATCH)
        ]
    return np.concatenate(parts)


def _as_input(images: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    return images.reshape(len(images), *input_shape(recipe))


def _run_phase(
    model: nn.Module, recipe: Recipe, task: Task, state: Checkpoint, path: Path, report: Report | None
) -> None:
    """Train from where ``state`` stands to the end of its phase."""
    name = PHASES[state.phase]
    settings = recipe.float_training if name == "float" else recipe.qat
    if state.model is not None:
        model.load_state_dict(state.model)
    optimiser = _optimiser(model, settings)
    if state.optimiser is not None:
        optimiser.load_state_dict(state.optimiser)
    for epoch in range(state.epoch, settings.epochs):
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * (1 + math.cos(math.pi * epoch / settings.epochs)) / 2
        loss = _epoch(model, optimiser, recipe, task, settings, state.phase, epoch)
        state.epoch, state.model, state.optimiser = epoch + 1, model.state_dict(), optimiser.state_dict()
        state.save(path, recipe)
        if report is not None:
            report(name, epoch + 1, settings.epochs, loss, _validation_loss(model, recipe, task))


def _epoch(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    recipe: Recipe,
    task: Task,
    settings: Phase,
    phase: int,
    epoch: int,
) -> float:
    """One pass over the training images; the mean loss. A last batch of one image is left out (BatchNorm)."""
    generator = torch.Generator().manual_seed(
        int(np.random.SeedSequence((recipe.seed, phase, epoch)).generate_state(1)[0])
    )
    model.train()
    order = torch.randperm(len(task.x_train), generator=generator)
    images = torch.from_numpy(task.x_train)
    labels = None if task.targets is None else torch.from_numpy(task.targets)
    losses = []
    for batch in order.split(settings.batch_size):
        if len(batch) < 2:
            continue
        noisy, clean = augment(images[batch], recipe.augmentation, generator)
        optimiser.zero_grad()
        output = model(_as_input(noisy, recipe))
        loss = task.loss(output, clean, None if labels is None else labels[batch])
        if not torch.isfinite(loss):
            raise ModelError(
                f"{recipe.name}: the loss is {loss.item()} in epoch {epoch + 1} of phase '{PHASES[phase]}'; "
                "lower learning_rate"
            )
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(loss.item())
    return float(np.mean(losses))


def _validation_loss(model: nn.Module, recipe: Recipe, task: Task) -> float | None:
    if not len(task.x_validation):
        return None
    clean = torch.from_numpy(task.x_validation)
    labels = None if task.validation_targets is None else torch.from_numpy(task.validation_targets)
    return task.loss(torch.from_numpy(evaluate(model, recipe, task.x_validation)), clean, labels).item()


def _optimiser(model: nn.Module, settings: Phase) -> torch.optim.Optimizer:
    """Weight decay for weights only: it would pull scales and batch normalizations to zero."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    if settings.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=0.9)
    kind = torch.optim.Adam if settings.optimiser == "adam" else torch.optim.AdamW
    return kind(groups, lr=settings.learning_rate)
