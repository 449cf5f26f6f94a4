# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Training in two phases: in float, then quantization-aware from the float weights.

Every random choice of an epoch is a function of (seed, phase, epoch), and the learning rate a function of the epoch.
So a run that is interrupted and resumed gives the same weights, bit for bit, as one that is not.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from brevitas.graph.calibrate import calibration_mode
from torch import nn

from bitwright.errors import ModelError
from bitwright.quant.checkpoint import PHASES, Checkpoint
from bitwright.quant.deform import OffsetHead
from bitwright.quant.distillation import Teacher
from bitwright.quant.forward import as_tuple, run_batch
from bitwright.quant.layers import FloatLayers, copy_float_weights
from bitwright.quant.models import build, layer_names
from bitwright.quant.pretrained import load_pretrained
from bitwright.quant.quant_layers import QuantLayers
from bitwright.quant.recipe import Phase, Recipe
from bitwright.quant.tasks import Task, build_task
from bitwright.quant.tasks.base import batches

#: Learning rate of offset layers, as a share of the others'.
_OFFSET_RATE = 0.1
#: First parts of the names of a backbone's tensors in a checkpoint.
_BACKBONE = ("model.stem.", "model.stages.", "model.top.", "model.backbone.")
#: Training samples that set the activation ranges.
_CALIBRATION_SAMPLES = 2048


@dataclass(frozen=True)
class EpochReport:
    """What is told after every epoch.

    Attributes:
        phase: 'float' or 'qat'. epoch: done, from 1. epochs: in the phase.
        loss: mean over the epoch. validation_loss: None when the recipe keeps nothing for validation.
        samples_per_second: of the training, without evaluation.
    """

    phase: str
    epoch: int
    epochs: int
    loss: float
    validation_loss: float | None
    samples_per_second: float


Report = Callable[[EpochReport], None]


@dataclass(frozen=True)
class Trained:
    """A finished run: the quantized network in eval mode and the figures of merit of both forms on the test samples."""

    recipe: Recipe
    task: Task
    model: nn.Module
    metrics: dict[str, dict[str, float]]
    history: list[dict[str, Any]]


class _Network(nn.Module):
    """The network, and behind it the layers of the task that are not exported."""

    def __init__(self, model: nn.Module, head: nn.Module | None) -> None:
        super().__init__()
        self.model = model
        self.head = head if head is not None else nn.Identity()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return as_tuple(self.head(self.model(x)))


def train(
    recipe: Recipe,
    checkpoint_path: Path,
    *,
    resume: bool = False,
    float_from: Path | None = None,
    weights: Path | None = None,
    report: Report | None = None,
) -> Trained:
    """Run a recipe; a checkpoint is written after every epoch.

    Args:
        resume: continue the run that ``checkpoint_path`` holds.
        float_from: a checkpoint of another run of the same model, past its float training, whose float weights are
            taken instead of training in float.
        weights: backbone weights of another source to start the float training from (quant/pretrained.py).

    Raises:
        ModelError: a checkpoint is missing, damaged or of another recipe; the loss is not finite.
        DataError: the data cannot be used.
        ToolMissingError: scikit-learn is not installed.
    """
    device = _device(recipe)
    if resume:
        if not checkpoint_path.exists():
            raise ModelError(f"{checkpoint_path}: no checkpoint to resume from; train without --resume")
        state = Checkpoint.load(checkpoint_path)
        state.check_same(recipe, checkpoint_path)
        state.recipe = recipe
    else:
        state = Checkpoint(recipe)
    task = build_task(recipe)
    torch.manual_seed(recipe.seed)
    model = build(recipe, FloatLayers()).to(device)
    head = task.head.to(device) if task.head is not None else None
    if state.phase == 0:
        network = _Network(model, head)
        if weights is not None and state.network is None:
            load_pretrained(weights, model)
        if float_from is not None:
            _take_float(model, recipe, float_from)
            state.network = network.state_dict()
            state.epoch = recipe.float_training.epochs
        _run_phase(network, recipe, task, state, checkpoint_path, device, report)
        state.metrics["float"] = evaluate(model, task)
        quantized = start_qat(model, recipe, task, device)
        state.float_model = {k: v.clone() for k, v in model.state_dict().items()}
        state.phase, state.epoch, state.optimiser = 1, 0, None
        state.network = _Network(quantized, head).state_dict()
        state.save(checkpoint_path)
    quantized = _quantized(recipe).to(device)
    teacher = _teacher(recipe, task, state, device)
    _run_phase(_Network(quantized, head), recipe, task, state, checkpoint_path, device, report, teacher)
    if "qat" not in state.metrics:
        state.metrics["qat"] = evaluate(quantized, task)
        state.save(checkpoint_path)
    return Trained(recipe, task, quantized.eval().cpu(), dict(state.metrics), state.history)


def train_float(
    recipe: Recipe, checkpoint_path: Path, *, backbone: Path | None = None, report: Report | None = None
) -> dict[str, float]:
    """The first phase alone; figures of the float network on the test samples. For comparisons of networks.

    Args:
        backbone: a checkpoint that this function wrote for a network with the same backbone, whose weights it starts
            from, as networks are usually started from a classifier's.

    Raises:
        ModelError: ``backbone`` is missing, damaged, or its backbone is another.
    """
    device = _device(recipe)
    task = build_task(recipe)
    torch.manual_seed(recipe.seed)
    model = build(recipe, FloatLayers()).to(device)
    if backbone is not None:
        _take_backbone(model, backbone)
    head = task.head.to(device) if task.head is not None else None
    _run_phase(_Network(model, head), recipe, task, Checkpoint(recipe), checkpoint_path, device, report)
    return evaluate(model, task)


def restore(checkpoint_path: Path, data: str = "") -> Trained:
    """A finished run from its checkpoint, without training. ``data``: where the data lie now, if not where they were.

    Raises ModelError when the checkpoint is missing, damaged, or of a run that is not finished.
    """
    state = Checkpoint.load(checkpoint_path)
    if not state.finished:
        raise ModelError(
            f"{checkpoint_path}: phase '{PHASES[state.phase]}' stands at epoch {state.epoch}; finish it with --resume"
        )
    recipe = at_data(state.recipe, data)
    model = _quantized(recipe)
    _load(model, state)
    return Trained(recipe, build_task(recipe), model.eval(), dict(state.metrics), state.history)


def restore_float(checkpoint_path: Path) -> nn.Module:
    """The trained float network of a checkpoint, in eval mode. Raises ModelError before its float training is done."""
    state = Checkpoint.load(checkpoint_path)
    if state.float_model is None:
        raise ModelError(f"{checkpoint_path}: the float training is not done; finish it with --resume")
    model = build(state.recipe, FloatLayers())
    model.load_state_dict(state.float_model)
    return model.eval()


def at_data(recipe: Recipe, data: str) -> Recipe:
    """The recipe with its data at another place; '' leaves it. Raises ModelError for a task without a folder."""
    if not data:
        return recipe
    if "data" not in type(recipe.task).model_fields:
        raise ModelError(f"--data: the task '{recipe.task.name}' takes no folder")
    return recipe.model_copy(update={"task": recipe.task.model_copy(update={"data": data})})


def _teacher(recipe: Recipe, task: Task, state: Checkpoint, device: torch.device) -> Teacher | None:
    settings = recipe.distillation
    if not settings.weight:
        return None
    if settings.teacher:
        model = restore_float(Path(settings.teacher))
    else:
        model = build(recipe, FloatLayers())
        assert state.float_model is not None
        model.load_state_dict(state.float_model)
    return Teacher(model.to(device), settings, logits=task.metric == "accuracy")


def _load(model: nn.Module, state: Checkpoint) -> None:
    assert state.network is not None
    prefix = "model."
    model.load_state_dict({k.removeprefix(prefix): v for k, v in state.network.items() if k.startswith(prefix)})


def _take_float(model: nn.Module, recipe: Recipe, path: Path) -> None:
    other = Checkpoint.load(path)
    if other.float_model is None:
        raise ModelError(f"{path}: the float training is not done; finish it with --resume")
    if other.recipe.model != recipe.model:
        raise ModelError(f"{path}: holds another model ({other.recipe.model}); the recipe asks for {recipe.model}")
    model.load_state_dict(other.float_model)


def _take_backbone(model: nn.Module, path: Path) -> None:
    network = Checkpoint.load(path).network or {}
    given = {k.removeprefix("model."): v for k, v in network.items() if k.startswith(_BACKBONE)}
    own = {k: v.shape for k, v in model.state_dict().items() if f"model.{k}".startswith(_BACKBONE)}
    if not own or {k: v.shape for k, v in given.items()} != own:
        raise ModelError(f"{path}: its backbone is not the one of this model; train both with the same 'backbone'")
    model.load_state_dict(given, strict=False)


def _quantized(recipe: Recipe) -> nn.Module:
    layers = QuantLayers(recipe.quantization, layer_names(recipe))
    model = build(recipe, layers)
    layers.finish()
    return model


def _device(recipe: Recipe) -> torch.device:
    """The GPU when there is one, else the CPU with the threads of the recipe. Both are made deterministic."""
    torch.set_num_threads(recipe.threads or len(os.sched_getaffinity(0)))
    if torch.cuda.is_available():
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False
        return torch.device("cuda")
    return torch.device("cpu")


def start_qat(model: nn.Module, recipe: Recipe, task: Task, device: torch.device | None = None) -> nn.Module:
    """The quantized form of a trained float network, activation scales set from training samples.

    The scales become parameters here: Brevitas would otherwise collect statistics during the first training steps, with
    counters that a checkpoint does not keep.
    """
    quantized = _quantized(recipe)
    copy_float_weights(model, quantized)
    quantized.to(device or torch.device("cpu")).eval()
    samples = min(task.train_size, _CALIBRATION_SAMPLES)
    with torch.no_grad(), calibration_mode(quantized):
        for start, stop in batches(samples, task.clean(0, 1)[0].size):
            quantized(torch.from_numpy(task.clean(start, stop)).to(device))
    return quantized


def evaluate(model: nn.Module, task: Task) -> dict[str, float]:
    """Figures of merit of a network in eval mode."""
    return task.figures(lambda x: run_batch(model, x))


def _run_phase(
    network: _Network, recipe: Recipe, task: Task, state: Checkpoint, path: Path, device: torch.device,
    report: Report | None, teacher: Teacher | None = None,
) -> None:  # fmt: skip
    """Train from where ``state`` stands to the end of its phase."""
    name = PHASES[state.phase]
    settings = recipe.float_training if name == "float" else recipe.qat
    if state.network is not None:
        network.load_state_dict(state.network)
    optimiser = _optimiser(network, settings)
    if state.optimiser is not None:
        optimiser.load_state_dict(state.optimiser)
    for epoch in range(state.epoch, settings.epochs):
        rate = learning_rate(settings, epoch)
        for group in optimiser.param_groups:
            group["lr"] = rate * group["factor"]
        started = time.perf_counter()
        loss = _epoch(network, optimiser, recipe, task, settings, state.phase, epoch, device, teacher)
        speed = task.train_size / (time.perf_counter() - started)
        validation = task.validation_loss(lambda x: run_batch(network, x))
        state.epoch, state.network, state.optimiser = epoch + 1, network.state_dict(), optimiser.state_dict()
        entry = {"phase": name, "epoch": epoch + 1, "loss": loss, "validation_loss": validation, "learning_rate": rate}
        state.history.append(entry)
        state.save(path)
        if report is not None:
            report(EpochReport(name, epoch + 1, settings.epochs, loss, validation, speed))


def learning_rate(settings: Phase, epoch: int) -> float:
    """Of an epoch (from 0): a linear rise over the warm-up, then a cosine to 0."""
    if epoch < settings.warmup_epochs:
        return settings.learning_rate * (epoch + 1) / (settings.warmup_epochs + 1)
    done = (epoch - settings.warmup_epochs) / max(1, settings.epochs - settings.warmup_epochs)
    return settings.learning_rate * (1 + math.cos(math.pi * done)) / 2


def _epoch(
    network: _Network, optimiser: torch.optim.Optimizer, recipe: Recipe, task: Task, settings: Phase, phase: int,
    epoch: int, device: torch.device, teacher: Teacher | None,
) -> float:  # fmt: skip
    """One pass over the training samples; the mean loss. A last batch of one sample is left out (BatchNorm)."""
    generator = torch.Generator().manual_seed(
        int(np.random.SeedSequence((recipe.seed, phase, epoch)).generate_state(1)[0])
    )
    network.train()
    if epoch >= settings.freeze_statistics_after * settings.epochs:
        for module in network.modules():
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                module.eval()
    order = torch.randperm(task.train_size, generator=generator)
    losses = []
    for batch in order.split(settings.batch_size):
        if len(batch) < 2:
            continue
        samples, targets = task.batch(batch, generator)
        optimiser.zero_grad()
        samples = samples.to(device)
        outputs = network(samples)
        loss = task.loss(outputs, _to(targets, device))
        if teacher is not None:
            loss = teacher.mixed(loss, samples, outputs)
        if not torch.isfinite(loss):
            raise ModelError(
                f"{recipe.name}: the loss is {loss.item()} in epoch {epoch + 1} of phase '{PHASES[phase]}'; "
                "lower learning_rate, or set clip_norm"
            )
        loss.backward()  # type: ignore[no-untyped-call]
        if settings.clip_norm:
            nn.utils.clip_grad_norm_(network.parameters(), settings.clip_norm)
        optimiser.step()
        losses.append(loss.item())
    return float(np.mean(losses))


def _to(targets: Any, device: torch.device) -> Any:
    if isinstance(targets, (tuple, list)):
        return tuple(_to(t, device) for t in targets)
    return targets.to(device) if isinstance(targets, torch.Tensor) else targets


def _optimiser(model: nn.Module, settings: Phase) -> torch.optim.Optimizer:
    """Weight decay for weights only: it would pull scales and batch normalizations to zero.

    What makes offsets learns at a tenth of the rate, as is usual for deformable convolutions: a small step of a weight
    that many channels enter moves every window by whole pixels.
    """
    slow = {id(p) for m in model.modules() if isinstance(m, OffsetHead) for p in m.parameters()}
    decay = settings.weight_decay
    groups = []
    for chosen, factor in ((False, 1.0), (True, _OFFSET_RATE)):
        mine = [p for p in model.parameters() if (id(p) in slow) == chosen]
        groups.append({"params": [p for p in mine if p.ndim > 1], "weight_decay": decay, "factor": factor})
        groups.append({"params": [p for p in mine if p.ndim <= 1], "weight_decay": 0.0, "factor": factor})
    groups = [g for g in groups if g["params"]]
    if settings.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=0.9)
    kind = torch.optim.Adam if settings.optimiser == "adam" else torch.optim.AdamW
    return kind(groups, lr=settings.learning_rate)
