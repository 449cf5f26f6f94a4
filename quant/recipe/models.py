# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The [model] table: which network. One class for each module of quant/models."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from bitwright.quant.recipe.base import Channels, Classes, Resolution, Table, Width


class SeparableClassifierModel(Table):
    """quant/models/separable_classifier.py."""

    name: Literal["separable_classifier"]
    #: 0: no classifier, the output is the pooled features (one-class detection).
    classes: Annotated[int, Field(ge=0, le=1000)] = 10
    stem: Channels = 16
    #: Output channels and stride of each depthwise-separable block; a block that keeps both gets a residual addition.
    channels: Annotated[list[Channels], Field(min_length=1, max_length=16)]
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


class DenseAutoencoderModel(Table):
    """quant/models/dense_autoencoder.py."""

    name: Literal["dense_autoencoder"]
    #: Values of a sample; 64 are a digit of 8 x 8 pixels, 640 the sound frames of MLPerf Tiny.
    inputs: Channels = 64
    #: Widths of the encoder from the first hidden layer to the bottleneck; the decoder mirrors them.
    hidden: Annotated[list[Channels], Field(min_length=1, max_length=8)]


class ConvAutoencoderModel(Table):
    """quant/models/conv_autoencoder.py."""

    name: Literal["conv_autoencoder"]
    channels: Annotated[int, Field(ge=1, le=16)] = 3
    resolution: Resolution
    #: Widths of the maps from the first half-size one to the narrowest.
    hidden: Annotated[list[Channels], Field(min_length=1, max_length=6)]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        step = 2 ** len(self.hidden)
        if self.resolution % step:
            raise ValueError(
                f"resolution must be a multiple of {step} for {len(self.hidden)} halvings, got {self.resolution}"
            )
        return self


class Deformable(Table):
    """The up-stages' 3x3 operator: quant/deform.py, every switch on its own."""

    #: False: an ordinary convolution of ``kernel``, no offsets.
    enabled: bool = True
    kernel: Literal[3, 5, 7, 9] = 3
    depthwise: bool = True
    square: bool = True
    rounded: bool = True
    #: Smallest and largest displacement; [] leaves them unbounded.
    bounds: Annotated[list[Annotated[int, Field(ge=-128, le=127)]], Field(max_length=2)] = [0, 7]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.bounds) == 1 or (self.bounds and self.bounds[0] > self.bounds[1]):
            raise ValueError(f"bounds must be [lowest, highest] or [], got {self.bounds}")
        if self.enabled and self.kernel != 3:
            raise ValueError(f"kernel must be 3 with offsets, got {self.kernel}; enabled = false takes larger ones")
        return self


class CoDeNetModel(Table):
    """quant/models/codenet.py."""

    name: Literal["codenet"]
    #: The published form: a, c, d have a stem of stride 4, b and e stride 2 and a pooling; d and e are 2x wide.
    configuration: Literal["a", "b", "c", "d", "e"] = "a"
    #: Width of the backbone; "" takes the configuration's. 0.5 is ShuffleNetV2's own smaller form.
    backbone: Literal["", "0.5x", "1x", "2x"] = ""
    #: Side of the square input; 0 takes the configuration's (256 for a and b, else 512).
    resolution: Annotated[int, Field(ge=0, le=4096, multiple_of=32)] = 0
    classes: Classes
    up_channels: Annotated[list[Channels], Field(min_length=3, max_length=3)] = [256, 128, 64]
    head_channels: Channels = 64
    deformable: Deformable = Deformable()


class AdaptiveModel(Table):
    """quant/models/adaptive.py: one network, several input sizes and exits."""

    name: Literal["adaptive_classifier"]
    classes: Classes = 10
    stem: Channels = 16
    #: Output channels and stride of each stage; every stage has an exit.
    channels: Annotated[list[Channels], Field(min_length=1, max_length=16)]
    strides: Annotated[list[Literal[1, 2]], Field(min_length=1, max_length=16)]
    #: Sides of the square input that one network serves.
    resolutions: Annotated[list[Resolution], Field(min_length=1, max_length=16)]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.channels) != len(self.strides):
            raise ValueError(
                f"channels and strides must be of one length, got {len(self.channels)} and {len(self.strides)}"
            )
        if len(set(self.resolutions)) != len(self.resolutions):
            raise ValueError(f"resolutions must differ, got {self.resolutions}")
        return self


class MobileNetModel(Table):
    """quant/models/mobilenet.py: classification."""

    name: Literal["mobilenet"]
    version: Literal[1, 2] = 2
    width: Width = 1.0
    resolution: Resolution = 224
    #: 0: no classifier, the output is the pooled features (one-class detection).
    classes: Annotated[int, Field(ge=0, le=10_000)] = 1000
    #: The stem keeps the resolution: for pictures of 32 pixels.
    small_input: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Self:
        step = 16 if self.small_input else 32
        if self.resolution % step:
            raise ValueError(f"resolution must be a multiple of {step}, got {self.resolution}")
        return self


class MobileNetV3Model(Table):
    """quant/models/mobilenet_v3.py: classification."""

    name: Literal["mobilenet_v3"]
    size: Literal["small", "large"] = "small"
    width: Width = 1.0
    resolution: Resolution = 224
    #: 0: no classifier, the output is the pooled features (one-class detection).
    classes: Annotated[int, Field(ge=0, le=10_000)] = 1000
    #: The stem keeps the resolution: for pictures of 32 pixels.
    small_input: bool = False


class SsdLiteModel(Table):
    """quant/models/ssdlite.py: detection."""

    name: Literal["ssdlite"]
    version: Literal[1, 2] = 2
    width: Width = 1.0
    resolution: Annotated[int, Field(ge=64, le=2048, multiple_of=32)] = 320
    #: Without the background.
    classes: Classes


class DeepLabModel(Table):
    """quant/models/deeplab.py: segmentation."""

    name: Literal["deeplab"]
    version: Literal[1, 2] = 2
    width: Width = 1.0
    resolution: Resolution = 513
    #: With the background.
    classes: Classes
    #: Atrous spatial pyramid pooling; the reduced form has none.
    pyramid: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.resolution % 16 not in (0, 1):
            raise ValueError(f"resolution must be 16 n or 16 n + 1, got {self.resolution}")
        return self


Model = Annotated[
    SeparableClassifierModel
    | DenseAutoencoderModel
    | ConvAutoencoderModel
    | CoDeNetModel
    | MobileNetModel
    | MobileNetV3Model
    | AdaptiveModel
    | SsdLiteModel
    | DeepLabModel,
    Field(discriminator="name"),
]
MODELS: tuple[type[Table], ...] = (
    SeparableClassifierModel,
    DenseAutoencoderModel,
    ConvAutoencoderModel,
    CoDeNetModel,
    MobileNetModel,
    MobileNetV3Model,
    AdaptiveModel,
    SsdLiteModel,
    DeepLabModel,
)
