# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""A convolutional autoencoder; the reconstruction error, of an image or of each pixel, is the anomaly score."""

from __future__ import annotations

import torch
from torch import nn

from bitwright.quant.layers import Layers
from bitwright.quant.models.parts import ConvNorm
from bitwright.quant.recipe import ConvAutoencoderModel


class ConvAutoencoder(nn.Module):
    """(N, C, R, R) to its reconstruction of the same shape, which is quantized.

    3x3 convolutions of stride 2 down to the narrowest map, nearest upsampling and 3x3 convolutions up again.
    """

    def __init__(self, config: ConvAutoencoderModel, layers: Layers) -> None:
        super().__init__()
        self.quant_input = layers.input()
        widths = [config.channels, *config.hidden]
        self.down = nn.Sequential(
            *(
                ConvNorm(layers.conv(a, b, 3, stride=2, role="first" if k == 0 else "inner"), b, layers.relu())
                for k, (a, b) in enumerate(zip(widths, widths[1:], strict=False))
            )
        )
        back = widths[:0:-1]
        up: list[nn.Module] = []
        for a, b in zip(back, [*back[1:], back[-1]], strict=True):
            up += [nn.Upsample(scale_factor=2, mode="nearest"), ConvNorm(layers.conv(a, b, 3), b, layers.relu())]
        self.up = nn.Sequential(*up)
        self.last = layers.conv(back[-1], config.channels, 1, bias=True, role="last")
        self.output = layers.signed()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.output(self.last(self.up(self.down(self.quant_input(x)))))
        return out
