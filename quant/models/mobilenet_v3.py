# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""MobileNetV3 small and large (A. Howard et al., arXiv:1905.02244), with the layers of torchvision's networks.

Two products of activations are new in it: squeeze-and-excitation (a map times a gate for each channel) and hard-swish
(a value times its own hard sigmoid). Both factors and the product go through quantizers, so that all of it is integer.
"""

from __future__ import annotations

import torch
from torch import nn

from bitwright.quant.layers import Layers
from bitwright.quant.models.mobilenet import scaled
from bitwright.quant.models.parts import ConvNorm, depthwise, pointwise
from bitwright.quant.recipe import MobileNetV3Model

#: Kernel, expanded channels, output channels, squeeze-and-excitation, hard-swish (else ReLU), stride of each block.
BLOCKS = {
    "small": (
        (3, 16, 16, True, False, 2), (3, 72, 24, False, False, 2), (3, 88, 24, False, False, 1),
        (5, 96, 40, True, True, 2), (5, 240, 40, True, True, 1), (5, 240, 40, True, True, 1),
        (5, 120, 48, True, True, 1), (5, 144, 48, True, True, 1), (5, 288, 96, True, True, 2),
        (5, 576, 96, True, True, 1), (5, 576, 96, True, True, 1),
    ),
    "large": (
        (3, 16, 16, False, False, 1), (3, 64, 24, False, False, 2), (3, 72, 24, False, False, 1),
        (5, 72, 40, True, False, 2), (5, 120, 40, True, False, 1), (5, 120, 40, True, False, 1),
        (3, 240, 80, False, True, 2), (3, 200, 80, False, True, 1), (3, 184, 80, False, True, 1),
        (3, 184, 80, False, True, 1), (3, 480, 112, True, True, 1), (3, 672, 112, True, True, 1),
        (5, 672, 160, True, True, 2), (5, 960, 160, True, True, 1), (5, 960, 160, True, True, 1),
    ),
}  # fmt: skip
STEM = 16
#: Channels of the last convolution, as a multiple of the last block's, and of the hidden layer of the classifier.
LAST = 6
HIDDEN = {"small": 1024, "large": 1280}
#: Of the batch normalizations: torchvision's weights need it.
EPSILON = 1e-3


class SqueezeExcite(nn.Module):
    """Each channel times a gate from 0 to 1, which two 1x1 layers make of the channels' means."""

    def __init__(self, channels: int, layers: Layers, *, signed: bool) -> None:
        super().__init__()
        inner = scaled(channels // 4, 1.0)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.pool_quant = layers.signed() if signed else layers.unsigned()
        self.fc1 = layers.conv(channels, inner, 1, bias=True)
        self.act = layers.relu()
        self.fc2 = layers.conv(inner, channels, 1, bias=True)
        self.gate = layers.hard_sigmoid()
        self.product = layers.signed() if signed else layers.unsigned()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate = self.gate(self.fc2(self.act(self.fc1(self.pool_quant(self.pool(x))))))
        out: torch.Tensor = self.product(x * gate)
        return out


class Block(nn.Module):
    """Pointwise expansion, depthwise convolution, squeeze-and-excitation, linear pointwise projection; a sum where
    shapes agree."""

    def __init__(
        self, inputs: int, inner: int, outputs: int, layers: Layers, *, kernel: int, stride: int, excite: bool,
        swish: bool,
    ) -> None:  # fmt: skip
        super().__init__()

        def act() -> nn.Module:
            return layers.hard_swish() if swish else layers.relu()

        self.expand = pointwise(layers, inputs, inner, act(), epsilon=EPSILON) if inner != inputs else None
        self.depthwise = depthwise(layers, inner, act(), kernel=kernel, stride=stride, epsilon=EPSILON)
        self.excite = SqueezeExcite(inner, layers, signed=swish) if excite else None
        self.project = pointwise(layers, inner, outputs, layers.signed(), epsilon=EPSILON)
        self.sum = layers.signed() if stride == 1 and inputs == outputs else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.depthwise(x if self.expand is None else self.expand(x))
        y = self.project(y if self.excite is None else self.excite(y))
        out: torch.Tensor = y if self.sum is None else self.sum(x + y)
        return out


class Backbone(nn.Module):
    """(N, 3, R, R) to the last feature map, 1/32 of the side (1/16 if the stem keeps the resolution)."""

    def __init__(self, config: MobileNetV3Model, layers: Layers) -> None:
        super().__init__()
        self.quant_input = layers.input()
        inputs = scaled(STEM, config.width)
        stem = layers.conv(3, inputs, 3, stride=1 if config.small_input else 2, role="first")
        self.stem = ConvNorm(stem, inputs, layers.hard_swish(), EPSILON)
        self.blocks = nn.Sequential()
        for kernel, expanded, channels, excite, swish, stride in BLOCKS[config.size]:
            inner, outputs = scaled(expanded, config.width), scaled(channels, config.width)
            self.blocks.append(
                Block(inputs, inner, outputs, layers, kernel=kernel, stride=stride, excite=excite, swish=swish)
            )
            inputs = outputs
        self.outputs = LAST * inputs
        self.last = pointwise(layers, inputs, self.outputs, layers.hard_swish(), epsilon=EPSILON)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.last(self.blocks(self.stem(self.quant_input(x))))
        return out


class MobileNetV3(nn.Module):
    """Classifier: (N, 3, R, R) to logits (N, classes), or to ``features`` pooled features without classes."""

    def __init__(self, config: MobileNetV3Model, layers: Layers) -> None:
        super().__init__()
        self.backbone = Backbone(config, layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.pool_quant = layers.signed()
        self.features = self.backbone.outputs
        self.hidden: nn.Module | None = None
        if config.classes:
            hidden = scaled(HIDDEN[config.size], config.width)
            self.hidden = layers.linear(self.features, hidden, bias=True)
            self.hidden_act = layers.hard_swish()
            self.classify = layers.linear(hidden, config.classes, bias=True, role="last")
            self.logits = layers.signed()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.flatten(self.pool_quant(self.pool(self.backbone(x))), 1)
        if self.hidden is None:
            return y
        out: torch.Tensor = self.logits(self.classify(self.hidden_act(self.hidden(y))))
        return out
