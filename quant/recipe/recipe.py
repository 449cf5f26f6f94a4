# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""A whole recipe (docs/train.md)."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field

from bitwright.quant.recipe.base import Bits, Table
from bitwright.quant.recipe.models import Model
from bitwright.quant.recipe.tasks import Task


class LayerBits(Table):
    """Widths of the layers that a pattern names; what is left out stays as it is."""

    weight_bits: Bits | None = None
    act_bits: Bits | None = None


class Quantization(Table):
    """Widths of the quantized network. Weights are signed; activations are unsigned after ReLU, else signed."""

    weight_bits: Bits = 4
    first_weight_bits: Bits = 4
    last_weight_bits: Bits = 4
    act_bits: Bits = 8
    input_bits: Bits = 8
    #: Real value of the largest input code: the scale is input_max / (2**input_bits - 1), signed / 2**(input_bits - 1).
    input_max: Annotated[float, Field(gt=0)] = 1.0
    input_signed: bool = False
    #: Free scales are real numbers.
    scales: Literal["free", "power_of_two"] = "free"
    #: Pattern of layer names (*, ?, []) -> widths; later patterns win. One that meets no layer is an error with all
    #: names.
    layers: dict[str, LayerBits] = {}


class Augmentation(Table):
    """Random changes to training images; 0 switches one off. They are a function of seed, phase and epoch."""

    rotate_degrees: Annotated[float, Field(ge=0, le=180)] = 0.0
    shift_pixels: Annotated[float, Field(ge=0, le=512)] = 0.0
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.0
    flip: bool = False
    #: Also top to bottom: for pictures without an upright, such as those of a microscope.
    flip_vertical: bool = False
    #: Largest relative change of brightness, contrast and saturation.
    colour: Annotated[float, Field(ge=0, lt=1)] = 0.0
    #: Standard deviation of noise added to the input only; the target stays clean.
    noise: Annotated[float, Field(ge=0, le=1)] = 0.0


class Phase(Table):
    """One run of the optimiser; the learning rate falls from ``learning_rate`` to 0 along a cosine."""

    epochs: Annotated[int, Field(ge=0, le=100_000)]
    batch_size: Annotated[int, Field(ge=2)] = 64
    optimiser: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    #: Epochs in which the learning rate rises to its value.
    warmup_epochs: Annotated[int, Field(ge=0, le=1000)] = 0
    #: Norm to which gradients are cut; 0 leaves them.
    clip_norm: Annotated[float, Field(ge=0)] = 0.0
    #: Share of the epochs after which batch normalizations keep their statistics.
    freeze_statistics_after: Annotated[float, Field(ge=0, le=1)] = 1.0


class About(Table):
    """For people: what the network is, and what may be done with it. `bitwright models` shows it."""

    description: str = ""
    data: str = ""
    licence: str = ""


class Distillation(Table):
    """The quantized network also learns the outputs of a float teacher: of this run's own, or of another one's."""

    #: Share of the loss that compares with the teacher; 0 switches it off.
    weight: Annotated[float, Field(ge=0, le=1)] = 0.0
    #: Classification: softness of both distributions (G. Hinton et al., arXiv:1503.02531).
    temperature: Annotated[float, Field(gt=0, le=100)] = 2.0
    #: Checkpoint of the teacher's run, of any model with the same outputs; "" is the float network of this run.
    teacher: str = ""


Exporter = Literal["torchscript", "dynamo"]
EXPORTERS: tuple[Exporter, ...] = get_args(Exporter)


class Recipe(Table):
    """A whole training run: what, how, from which seed."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")]
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    #: Threads of torch on the CPU; 0 takes all cores. Other numbers of threads can differ in the last bit.
    threads: Annotated[int, Field(ge=0, le=64)] = 0
    #: Share of the training images kept for validation, to choose settings without looking at the test images.
    validation: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    exporter: Exporter = "torchscript"
    #: Store weights in their own width: a file about an eighth as large, for readers of ONNX opset 21.
    packed: bool = False
    about: About = About()
    task: Task
    model: Model
    quantization: Quantization = Quantization()
    augmentation: Augmentation = Augmentation()
    distillation: Distillation = Distillation()
    float_training: Phase
    qat: Phase
