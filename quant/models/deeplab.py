# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""DeepLabv3 on MobileNets (L.-C. Chen et al., arXiv:1706.05587), full and reduced (M. Sandler et al.,
arXiv:1801.04381, 6.3).

The reduced form has no atrous spatial pyramid: a 1x1 branch and the image-level branch only.
"""

from __future__ import annotations

import torch
from torch import nn

from bitwright.quant.layers import Layers
from bitwright.quant.models.mobilenet import Backbone
from bitwright.quant.models.parts import ConvNorm, pointwise
from bitwright.quant.recipe import DeepLabModel

#: Channels of every branch, and dilations of the pyramid at output stride 16.
CHANNELS, RATES = 256, (6, 12, 18)
OUTPUT_STRIDE = 16


class DeepLab(nn.Module):
    """(N, 3, R, R) to class logits (N, classes, R, R) in training; in eval mode to the labels int64 (N, R, R).

    R is 16 n + 1 (513 in the paper; bilinear upsampling then aligns the corners) or 16 n (pixel centres aligned): in
    both cases the weights of the upsampling are whole multiples of 1/16 or 1/32, so the compiler has them exactly.
    """

    def __init__(self, config: DeepLabModel, layers: Layers) -> None:
        super().__init__()
        self.backbone = Backbone(config.version, config.width, layers, output_stride=OUTPUT_STRIDE, last=False)
        inputs = self.backbone.outputs
        self.aligned = config.resolution % OUTPUT_STRIDE == 1
        self.resolution = config.resolution
        side = config.resolution // OUTPUT_STRIDE + int(self.aligned)
        # All branches share one activation: concatenation moves integers.
        joined = layers.relu()
        self.pool = nn.AvgPool2d(side)
        self.pool_quant = layers.signed() if config.version == 2 else layers.unsigned()
        self.image = pointwise(layers, inputs, CHANNELS, joined)
        self.spread = nn.Upsample(scale_factor=side, mode="nearest")
        self.point = pointwise(layers, inputs, CHANNELS, joined)
        self.pyramid = nn.ModuleList(
            ConvNorm(layers.conv(inputs, CHANNELS, 3, dilation=rate), CHANNELS, joined)
            for rate in (RATES if config.pyramid else ())
        )
        self.merge = pointwise(layers, CHANNELS * (2 + len(self.pyramid)), CHANNELS, layers.relu())
        self.classify = layers.conv(CHANNELS, config.classes, 1, bias=True, role="last")
        self.logits = layers.signed()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.backbone(x)
        branches = [self.spread(self.image(self.pool_quant(self.pool(y)))), self.point(y)]
        branches += [branch(y) for branch in self.pyramid]
        logits = self.logits(self.classify(self.merge(torch.cat(branches, 1))))
        size = (self.resolution, self.resolution)
        up = nn.functional.interpolate(logits, size=size, mode="bilinear", align_corners=self.aligned)
        return up if self.training else up.argmax(1)
