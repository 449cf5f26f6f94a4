# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Parts that several models are made of."""

from __future__ import annotations

import torch
from torch import nn

from bitwright.quant.layers import Layers


class ConvNorm(nn.Module):
    """Convolution, batch normalization, and an activation or requantization, which may be shared."""

    def __init__(self, conv: nn.Module, channels: int, act: nn.Module, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.conv = conv
        self.bn = nn.BatchNorm2d(channels, epsilon)
        self.act = act

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.act(self.bn(self.conv(x)))
        return out


def depthwise(
    layers: Layers, channels: int, act: nn.Module, *, kernel: int = 3, stride: int = 1, dilation: int = 1,
    epsilon: float = 1e-5,
) -> ConvNorm:  # fmt: skip
    """Convolution of each channel on its own."""
    conv = layers.conv(channels, channels, kernel, stride=stride, groups=channels, dilation=dilation)
    return ConvNorm(conv, channels, act, epsilon)


def pointwise(layers: Layers, inputs: int, outputs: int, act: nn.Module, *, epsilon: float = 1e-5) -> ConvNorm:
    """1x1 convolution."""
    return ConvNorm(layers.conv(inputs, outputs, 1), outputs, act, epsilon)
