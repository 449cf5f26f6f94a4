# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Training recipes: TOML files with a strict schema (docs/train.md). Needs no torch."""

from __future__ import annotations

import difflib
import math
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bitwright.errors import ModelError


class RecipeError(ModelError):
    """The recipe cannot be read or breaks a rule of its schema."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


_Width = Annotated[int, Field(ge=1, le=1024)]
_Bits = Annotated[int, Field(ge=2, le=8)]


class SeparableClassifierModel(_Table):
    """quant/models/separable_classifier.py."""

    name: Literal["separable_classifier"]
    classes: Annotated[int, Field(ge=2, le=1000)] = 10
    stem: _Width = 16
    #: Output channels and stride of each depthwise-separable block; a block that keeps both gets a residual addition.
    channels: Annotated[list[_Width], Field(min_length=1, max_length=16)]
    strides: Annotated[list[Literal[1, 2]], Field(min_length=1, max_length=16)]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.channels) != len(self.strides):
            raise ValueError(
                f"channels and strides must be of one length, got {len(self.channels)} and {len(self.strides)}"
            )
        if math.prod(self.strides) > 8:
            raise ValueError(f"the product of the strides must be at most 8, the image size, got {self.strides}")
        return self


class DenseAutoencoderModel(_Table):
    """quant/models/dense_autoencoder.py."""

    name: Literal["dense_autoencoder"]
    #: Widths of the encoder from the first hidden layer to the bottleneck; the decoder mirrors them.
    hidden: Annotated[list[_Width], Field(min_length=1, max_length=8)]


Model = Annotated[SeparableClassifierModel | DenseAutoencoderModel, Field(discriminator="name")]


class DigitsClassification(_Table):
    """Ten digits; the metric is accuracy."""

    name: Literal["digits_classification"]


class DigitsAnomaly(_Table):
    """Find the digit that was not seen in training; the metric is the area under the ROC curve."""

    name: Literal["digits_anomaly"]
    unseen_class: Annotated[int, Field(ge=0, le=9)]


Task = Annotated[DigitsClassification | DigitsAnomaly, Field(discriminator="name")]


class Quantization(_Table):
    """Widths of the quantized network. Weights are signed; activations are unsigned after ReLU, else signed."""

    weight_bits: _Bits = 4
    first_weight_bits: _Bits = 4
    last_weight_bits: _Bits = 4
    act_bits: _Bits = 8
    input_bits: _Bits = 8
    #: Real value of the largest input code: the input scale is input_max / (2**input_bits - 1).
    input_max: Annotated[float, Field(gt=0)] = 1.0


class Augmentation(_Table):
    """Random changes to training images; 0 switches one off. They are a function of seed, phase and epoch."""

    rotate_degrees: Annotated[float, Field(ge=0, le=180)] = 0.0
    shift_pixels: Annotated[float, Field(ge=0, le=4)] = 0.0
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.0
    #: Standard deviation of noise added to the input only; the target stays clean.
    noise: Annotated[float, Field(ge=0, le=1)] = 0.0


class Phase(_Table):
    """One run of the optimiser; the learning rate falls from ``learning_rate`` to 0 along a cosine."""

    epochs: Annotated[int, Field(ge=0, le=100_000)]
    batch_size: Annotated[int, Field(ge=2)] = 64
    optimiser: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0


Exporter = Literal["torchscript", "dynamo"]
EXPORTERS: tuple[Exporter, ...] = get_args(Exporter)


class Recipe(_Table):
    """A whole training run: what, how, from which seed."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")]
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    #: Threads of torch; results of different thread numbers can differ in the last bit.
    threads: Annotated[int, Field(ge=1, le=64)] = 1
    #: Share of the training images kept for validation, to choose settings without looking at the test images.
    validation: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    exporter: Exporter = "torchscript"
    task: Task
    model: Model
    quantization: Quantization = Quantization()
    augmentation: Augmentation = Augmentation()
    float_training: Phase
    qat: Phase


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        RecipeError: one line for every wrong field: file, field, rule, offending value.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot read the recipe: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"{path}: not a TOML file: {error}") from error
    return parse_recipe(data, str(path))


def parse_recipe(data: dict[str, Any], origin: str) -> Recipe:
    """Check a recipe that is already a dictionary; ``origin`` names it in messages. Raises RecipeError."""
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        lines = [_explain(problem) for problem in error.errors()]
        head = f"{origin}: " if len(lines) == 1 else f"{origin}: {len(lines)} wrong fields:\n  "
        raise RecipeError(head + "\n  ".join(lines)) from error


#: Value of ``name`` in a [task] or [model] table -> the table that it stands for.
_CHOICES: dict[str, type[_Table]] = {
    get_args(table.model_fields["name"].annotation)[0]: table
    for table in (SeparableClassifierModel, DenseAutoencoderModel, DigitsClassification, DigitsAnomaly)
}
#: Last table in the location of an error -> that table.
_TABLES: dict[str, type[_Table]] = _CHOICES | {
    "quantization": Quantization,
    "augmentation": Augmentation,
    "float_training": Phase,
    "qat": Phase,
}


def _explain(problem: Any) -> str:
    """One line for a pydantic error: field, rule, value."""
    # pydantic adds the chosen name of a task or model to the location; it is not a key of the file.
    where = [str(part) for part in problem["loc"] if part not in _CHOICES]
    field = ".".join(where)
    kind = problem["type"]
    if kind == "extra_forbidden":
        table = _TABLES.get(str(problem["loc"][-2]), Recipe) if len(problem["loc"]) > 1 else Recipe
        near = difflib.get_close_matches(where[-1], table.model_fields, n=1, cutoff=0.5)
        return f"{field}: unknown key" + (f"; did you mean '{near[0]}'?" if near else "; remove it")
    if kind == "missing":
        return f"{field}: missing; add it"
    if kind == "union_tag_not_found":
        return f"{field}.name: missing; add it"
    if kind == "union_tag_invalid":
        context = problem["ctx"]
        return f"{field}.name: must be one of {context['expected_tags']}, got '{context['tag']}'"
    if kind == "value_error":  # a rule of the whole table, whose message holds the values
        return f"{field}: {problem['ctx']['error']}"
    rule = problem["msg"][0].lower() + problem["msg"][1:]
    return f"{field}: {rule}, got {problem['input']!r}"
