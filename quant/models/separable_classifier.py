# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""A small image classifier of depthwise-separable convolutions with residual additions.

Blocks follow A. Howard et al., "MobileNets", arXiv:1704.04861; the residual addition joins a linear branch to the block
input before the activation, as in K. He et al., arXiv:1512.03385.
"""

from __future__ import annotations

import torch
from torch import nn

from bitwright.quant.layers import Layers
from bitwright.quant.recipe import SeparableClassifierModel


class SeparableBlock(nn.Module):
    """Depthwise 3x3 and pointwise 1x1, each with batch normalization.

    With a residual, the pointwise result is quantized to signed integers and added to the block input, which is
    unsigned and has a scale of its own.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, layers: Layers) -> None:
        super().__init__()
        self.depthwise = layers.conv(inputs, inputs, 3, stride=stride, groups=inputs)
        self.depthwise_bn = nn.BatchNorm2d(inputs)
        self.depthwise_act = layers.relu()
        self.pointwise = layers.conv(inputs, outputs, 1)
        self.pointwise_bn = nn.BatchNorm2d(outputs)
        self.residual = layers.signed() if inputs == outputs and stride == 1 else None
        self.act = layers.relu()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.depthwise_act(self.depthwise_bn(self.depthwise(x)))
        y = self.pointwise_bn(self.pointwise(y))
        if self.residual is not None:
            y = self.residual(y) + x
        result: torch.Tensor = self.act(y)
        return result


class SeparableClassifier(nn.Module):
    """(batch, C, H, W) real images to (batch, classes) logits, which are quantized; without classes to pooled features.

    Stem 3x3 convolution, separable blocks, global average pooling, linear layer. H and W must be divisible by the
    product of the strides, so that the pooling window is known when the network is built.
    """

    def __init__(self, config: SeparableClassifierModel, layers: Layers, image: tuple[int, int, int]) -> None:
        super().__init__()
        channels, height, width = image
        self.quant_input = layers.input()
        self.stem = layers.conv(channels, config.stem, 3, role="first")
        self.stem_bn = nn.BatchNorm2d(config.stem)
        self.stem_act = layers.relu()
        blocks = []
        inputs = config.stem
        for outputs, stride in zip(config.channels, config.strides, strict=True):
            blocks.append(SeparableBlock(inputs, outputs, stride, layers))
            inputs, height, width = outputs, height // stride, width // stride
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.AvgPool2d((height, width))
        self.pool_quant = layers.unsigned()
        self.features = inputs
        self.classify: nn.Module | None = None
        if config.classes:
            self.classify = layers.linear(inputs, config.classes, bias=True, role="last")
            self.logits = layers.signed()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.stem_act(self.stem_bn(self.stem(self.quant_input(x))))
        y = torch.flatten(self.pool_quant(self.pool(self.blocks(y))), 1)
        result: torch.Tensor = y if self.classify is None else self.logits(self.classify(y))
        return result
