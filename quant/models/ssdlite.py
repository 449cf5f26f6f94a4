# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""SSDLite on MobileNetV1 or V2 (M. Sandler et al., arXiv:1801.04381, section 6.2; W. Liu et al., "SSD",
arXiv:1512.02325).

Feature maps and extra layers follow the TensorFlow object detection models that the paper describes: six maps, the
first at stride 16, prediction by a depthwise 3x3 and a 1x1 convolution.
"""

from __future__ import annotations

import torch
from torch import nn

from bitwright.quant.layers import Layers
from bitwright.quant.models.mobilenet import Backbone, InvertedResidual, Separable, scaled
from bitwright.quant.models.parts import depthwise, pointwise
from bitwright.quant.recipe import SsdLiteModel

#: Channels of the extra maps, each made by 1x1 to half, depthwise 3x3 of stride 2, 1x1.
EXTRAS = (512, 256, 256, 128)
#: Anchors of each position on the six maps.
ANCHORS = (3, 6, 6, 6, 6, 6)
#: Block whose map at stride 16 is the first: V1 its output, V2 the expansion inside.
TAP = {1: 10, 2: 13}


class Predictor(nn.Module):
    """Depthwise 3x3, then 1x1 with bias; the output is signed."""

    def __init__(self, inputs: int, outputs: int, layers: Layers) -> None:
        super().__init__()
        self.window = depthwise(layers, inputs, layers.relu6())
        self.last = layers.conv(inputs, outputs, 1, bias=True, role="last")
        self.out = layers.signed()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.out(self.last(self.window(x)))
        return out


class SsdLite(nn.Module):
    """(N, 3, R, R) to class logits and box codes of six maps.

    Twelve outputs: for each map, logits (N, anchors * (classes + 1), h, w), class 0 is the background, then box codes
    (N, anchors * 4, h, w); channels are anchor-major.
    """

    output_names = tuple(f"{kind}_{k}" for k in range(len(ANCHORS)) for kind in ("classes", "boxes"))

    def __init__(self, config: SsdLiteModel, layers: Layers) -> None:
        super().__init__()
        self.backbone = Backbone(config.version, config.width, layers)
        self.tap = TAP[config.version]
        block = self.backbone.blocks[self.tap]
        assert isinstance(block, (InvertedResidual, Separable))
        channels = [block.inner if isinstance(block, InvertedResidual) else block.outputs, self.backbone.outputs]
        extras = []
        for wanted in EXTRAS:
            outputs = scaled(wanted, config.width)
            inner = outputs // 2
            extras.append(
                nn.Sequential(
                    pointwise(layers, channels[-1], inner, layers.relu6()),
                    depthwise(layers, inner, layers.relu6(), stride=2),
                    pointwise(layers, inner, outputs, layers.relu6()),
                )
            )
            channels.append(outputs)
        self.extras = nn.ModuleList(extras)
        pairs = list(zip(channels, ANCHORS, strict=True))
        self.classes = nn.ModuleList(Predictor(c, a * (config.classes + 1), layers) for c, a in pairs)
        self.boxes = nn.ModuleList(Predictor(c, a * 4, layers) for c, a in pairs)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        maps = self.maps(x)
        outputs: list[torch.Tensor] = []
        for k, m in enumerate(maps):
            outputs += [self.classes[k](m), self.boxes[k](m)]
        return tuple(outputs)

    def maps(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The six feature maps."""
        b = self.backbone
        y = b.stem(b.quant_input(x))
        maps = []
        for k, block in enumerate(b.blocks):
            if k == self.tap and isinstance(block, InvertedResidual):
                expanded = block.expanded(y)
                maps.append(expanded)
                y = block.rest(y, expanded)
                continue
            y = block(y)
            if k == self.tap:
                maps.append(y)
        maps.append(y if b.last is None else b.last(y))
        for extra in self.extras:
            maps.append(extra(maps[-1]))
        return maps
