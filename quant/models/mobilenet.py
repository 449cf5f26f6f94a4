# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""MobileNetV1 (A. Howard et al., arXiv:1704.04861) and MobileNetV2 (M. Sandler et al., arXiv:1801.04381).

The backbone serves classification, SSDLite and DeepLabv3. Its activations are ReLU6; the linear bottlenecks of V2 are
signed, and so is every residual sum.
"""

from __future__ import annotations

import torch
from torch import nn

from bitwright.quant.layers import Layers
from bitwright.quant.models.parts import ConvNorm, depthwise, pointwise
from bitwright.quant.recipe import MobileNetModel

#: V1: output channels and stride of each depthwise-separable block.
V1_BLOCKS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1),
    (1024, 2), (1024, 1),
)  # fmt: skip
#: V2: expansion, output channels, repeats and first stride of each group of blocks.
V2_BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
V2_LAST = 1280


def scaled(channels: int, width: float) -> int:
    """Channels times width, rounded to a multiple of 8 and never below 90 % of the product (as in the papers' code)."""
    wanted = channels * width
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


class Separable(nn.Module):
    """The block of V1: depthwise 3x3, pointwise 1x1."""

    def __init__(self, inputs: int, outputs: int, stride: int, dilation: int, layers: Layers) -> None:
        super().__init__()
        self.outputs = outputs
        self.depthwise = depthwise(layers, inputs, layers.relu6(), stride=stride, dilation=dilation)
        self.pointwise = pointwise(layers, inputs, outputs, layers.relu6())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.pointwise(self.depthwise(x))
        return out


class InvertedResidual(nn.Module):
    """The block of V2: pointwise expansion, depthwise 3x3, linear pointwise projection; a sum where shapes agree."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int, dilation: int, layers: Layers) -> None:
        super().__init__()
        self.outputs = outputs
        self.inner = inputs * expansion
        self.expand = pointwise(layers, inputs, self.inner, layers.relu6()) if expansion != 1 else None
        self.depthwise = depthwise(layers, self.inner, layers.relu6(), stride=stride, dilation=dilation)
        self.project = pointwise(layers, self.inner, outputs, layers.signed())
        self.sum = layers.signed() if stride == 1 and inputs == outputs else None

    def expanded(self, x: torch.Tensor) -> torch.Tensor:
        """The map before the depthwise convolution: SSDLite reads it."""
        return x if self.expand is None else self.expand(x)

    def rest(self, x: torch.Tensor, expanded: torch.Tensor) -> torch.Tensor:
        """From the expanded map (and the input, for the sum) to the output."""
        y: torch.Tensor = self.project(self.depthwise(expanded))
        return y if self.sum is None else self.sum(x + y)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rest(x, self.expanded(x))


class Backbone(nn.Module):
    """(N, 3, R, R) to the last feature map.

    Args:
        version: 1 or 2. width: multiplier of the channels.
        output_stride: 32, or 16 to replace the last stride by dilation (atrous convolution).
        last: V2's 1x1 convolution to 1280 channels; segmentation leaves it out.
    """

    def __init__(
        self, version: int, width: float, layers: Layers, *, output_stride: int = 32, last: bool = True
    ) -> None:
        super().__init__()
        self.quant_input = layers.input()
        inputs = scaled(32, width)
        self.stem = ConvNorm(layers.conv(3, inputs, 3, stride=2, role="first"), inputs, layers.relu6())
        blocks: list[Separable | InvertedResidual] = []
        reached, dilation = 2, 1
        for expansion, channels, stride in _plan(version):
            outputs = scaled(channels, width)
            step, spread = stride, dilation
            if stride == 2 and reached == output_stride:
                step, dilation = 1, dilation * 2
            reached *= step
            if version == 1:
                # The block that loses its stride still sees the old grid; those after it are spread.
                blocks.append(Separable(inputs, outputs, step, spread, layers))
            else:
                blocks.append(InvertedResidual(inputs, outputs, step, expansion, spread, layers))
            inputs = outputs
        self.blocks = nn.ModuleList(blocks)
        self.last: nn.Module | None = None
        if version == 2 and last:
            outputs = max(V2_LAST, scaled(V2_LAST, width))
            self.last = pointwise(layers, inputs, outputs, layers.relu6())
            inputs = outputs
        self.outputs = inputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.stem(self.quant_input(x))
        for block in self.blocks:
            y = block(y)
        out: torch.Tensor = y if self.last is None else self.last(y)
        return out


def _plan(version: int) -> list[tuple[int, int, int]]:
    """Expansion, channels and stride of each block."""
    if version == 1:
        return [(0, channels, stride) for channels, stride in V1_BLOCKS]
    plan = []
    for expansion, channels, repeats, first in V2_BLOCKS:
        plan += [(expansion, channels, first if k == 0 else 1) for k in range(repeats)]
    return plan


class MobileNet(nn.Module):
    """Classifier: (N, 3, R, R) to logits (N, classes), or to ``features`` pooled features without classes. R must
    be a multiple of 32, or of what the strides leave.
    """

    def __init__(self, config: MobileNetModel, layers: Layers) -> None:
        super().__init__()
        self.backbone = Backbone(config.version, config.width, layers)
        if config.small_input:
            _keep_resolution(self.backbone)
        side = config.resolution // (16 if config.small_input else 32)
        self.pool = nn.AvgPool2d(side)
        self.pool_quant = layers.unsigned()
        self.features = self.backbone.outputs
        self.classify: nn.Module | None = None
        if config.classes:
            self.classify = layers.linear(self.backbone.outputs, config.classes, bias=True, role="last")
            self.logits = layers.signed()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.flatten(self.pool_quant(self.pool(self.backbone(x))), 1)
        out: torch.Tensor = y if self.classify is None else self.logits(self.classify(y))
        return out


def _keep_resolution(backbone: Backbone) -> None:
    """For small pictures: the stem runs at stride 1."""
    conv = backbone.stem.conv
    assert isinstance(conv, nn.Conv2d)
    conv.stride = (1, 1)
