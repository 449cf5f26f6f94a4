# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""CoDeNet: ShuffleNetV2 backbone, three deformable up-stages, CenterNet heads.

Z. Dong et al., "CoDeNet: Efficient Deployment of Input-Adaptive Object Detection on Embedded FPGAs", arXiv:2006.08357;
N. Ma et al., "ShuffleNet V2", arXiv:1807.11164; X. Zhou et al., "Objects as Points", arXiv:1904.07850. Layer shapes are
those of the published code (configurations a to e), MACs and parameters are equal to the digit.
"""

from __future__ import annotations

import torch
from torch import nn

from bitwright.quant.deform import DeformSettings
from bitwright.quant.layers import Layers
from bitwright.quant.models.parts import ConvNorm, depthwise, pointwise
from bitwright.quant.recipe import CoDeNetModel, Deformable

#: Channels of stem, the three stages and the last 1x1 convolution.
CHANNELS = {
    "0.5x": (24, 48, 96, 192, 1024),
    "1x": (24, 116, 232, 464, 1024),
    "2x": (24, 244, 488, 976, 2153),
}
#: Units of each stage that keep the size, after the one that halves it.
REPEATS = (3, 7, 3)
#: Pixels of the input for one of the output.
STRIDE = 4
#: Initial logit of the heat map: a prior of 0.1 for "an object is here" (arXiv:1708.02002).
HEATMAP_BIAS = -2.19


def default_resolution(configuration: str) -> int:
    """Side of the input in the published table."""
    return 256 if configuration in "ab" else 512


def shuffle(x: torch.Tensor) -> torch.Tensor:
    """Interleave the two halves of the channels."""
    # Plain numbers keep the exporters from computing the shape at run time.
    n, channels, height, width = (int(size) for size in x.shape)
    return x.reshape(n, 2, channels // 2, height, width).transpose(1, 2).reshape(n, channels, height, width)


class Unit(nn.Module):
    """A unit of ShuffleNetV2. ``joined`` is the activation of the whole stage: both halves have one scale, so that
    concatenation, shuffle and split only move integers."""

    def __init__(self, inputs: int, outputs: int, stride: int, layers: Layers, joined: nn.Module) -> None:
        super().__init__()
        half = outputs // 2
        self.left: nn.Module | None = None
        if stride == 2:
            self.left = nn.Sequential(
                depthwise(layers, inputs, layers.signed(), stride=2), pointwise(layers, inputs, half, joined)
            )
            right = inputs
        else:
            right = half
        self.right = nn.Sequential(
            pointwise(layers, right, half, layers.relu()),
            depthwise(layers, half, layers.signed(), stride=stride),
            pointwise(layers, half, half, joined),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.left is not None:
            return shuffle(torch.cat((self.left(x), self.right(x)), 1))
        half = int(x.shape[1]) // 2
        kept, changed = x[:, :half], x[:, half:]
        return shuffle(torch.cat((kept, self.right(changed)), 1))


class UpStage(nn.Module):
    """Deformable 3x3 (or what the recipe puts in its place), 1x1 to ``outputs``, ReLU, nearest upsampling by 2."""

    def __init__(self, inputs: int, outputs: int, config: Deformable, layers: Layers) -> None:
        super().__init__()
        self.offsets: nn.Module | None = None
        mid = inputs if config.depthwise else outputs
        if config.enabled:
            lo_hi = (config.bounds[0], config.bounds[1]) if config.bounds else None
            settings = DeformSettings(config.depthwise, config.square, lo_hi, config.rounded)
            self.offsets = layers.offsets(inputs, config.kernel, settings)
            self.window = layers.deform(inputs, mid, config.kernel, settings)
        else:
            self.window = layers.conv(inputs, mid, config.kernel, groups=inputs if config.depthwise else 1)
        self.window_bn = nn.BatchNorm2d(mid)
        # A full convolution already makes the outputs; the published ablation has no 1x1 behind it.
        self.mixed: nn.Module | None = None
        if config.depthwise:
            self.window_act = layers.signed()
            self.mixed = pointwise(layers, inputs, outputs, layers.relu())
        else:
            self.window_act = layers.relu()
        self.up = nn.Upsample(scale_factor=2, mode="nearest")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.window(x) if self.offsets is None else self.window(x, self.offsets(x))
        y = self.window_act(self.window_bn(y))
        if self.mixed is not None:
            y = self.mixed(y)
        out: torch.Tensor = self.up(y)
        return out


class Head(nn.Module):
    """1x1, depthwise 3x3, 1x1 with bias; the output is signed."""

    def __init__(self, inputs: int, channels: int, outputs: int, layers: Layers) -> None:
        super().__init__()
        self.body = nn.Sequential(
            pointwise(layers, inputs, channels, layers.relu()), depthwise(layers, channels, layers.relu())
        )
        self.last = layers.conv(channels, outputs, 1, bias=True, role="last")
        self.out = layers.signed()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.out(self.last(self.body(x)))
        return out


class CoDeNet(nn.Module):
    """(N, 3, R, R) to heat-map logits (N, classes, R/4, R/4), box sizes and centre offsets (N, 2, R/4, R/4) each.

    Sizes and offsets are (x, y) in units of output pixels.
    """

    output_names = ("heatmap", "sizes", "centres")

    def __init__(self, config: CoDeNetModel, layers: Layers) -> None:
        super().__init__()
        channels = CHANNELS[config.backbone or ("2x" if config.configuration in "de" else "1x")]
        pooled = config.configuration in "be"
        self.quant_input = layers.input()
        stem = layers.conv(3, channels[0], 3, stride=2 if pooled else 4, role="first")
        self.stem = ConvNorm(stem, channels[0], layers.relu())
        self.pool = nn.MaxPool2d(3, 2, 1) if pooled else None
        stages = []
        inputs = channels[0]
        for outputs, repeats in zip(channels[1:4], REPEATS, strict=True):
            joined = layers.relu()
            units = [Unit(inputs, outputs, 2, layers, joined)]
            units += [Unit(outputs, outputs, 1, layers, joined) for _ in range(repeats)]
            stages.append(nn.Sequential(*units))
            inputs = outputs
        self.stages = nn.Sequential(*stages)
        self.top = pointwise(layers, inputs, channels[4], layers.relu())
        ups = []
        inputs = channels[4]
        for outputs in config.up_channels:
            ups.append(UpStage(inputs, outputs, config.deformable, layers))
            inputs = outputs
        self.ups = nn.Sequential(*ups)
        self.heatmap = Head(inputs, config.head_channels, config.classes, layers)
        self.sizes = Head(inputs, config.head_channels, 2, layers)
        self.centres = Head(inputs, config.head_channels, 2, layers)
        nn.init.constant_(self.heatmap.last.bias, HEATMAP_BIAS)  # type: ignore[arg-type]

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        y = self.stem(self.quant_input(x))
        if self.pool is not None:
            y = self.pool(y)
        y = self.ups(self.top(self.stages(y)))
        return self.heatmap(y), self.sizes(y), self.centres(y)
