# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""One classifier with two knobs, input size and exit depth, after R. Xu et al., "ApproxNet", arXiv:1909.02068.

Every stage ends in an exit of its own, and all convolutions take any input size. A setting, one size and one exit, is
exported as a network of its own from the same weights; it computes the stages up to its exit and nothing else. Batch
normalizations share their statistics over all sizes.
"""

from __future__ import annotations

import torch
from torch import nn

from bitwright.quant.layers import Layers
from bitwright.quant.models.mobilenet import Separable
from bitwright.quant.models.parts import ConvNorm
from bitwright.quant.recipe import AdaptiveModel


class Exit(nn.Module):
    """Global average pooling over a map of any size, linear layer, signed logits."""

    def __init__(self, inputs: int, classes: int, layers: Layers) -> None:
        super().__init__()
        self.pool_quant = layers.unsigned()
        self.classify = layers.linear(inputs, classes, bias=True, role="last")
        self.logits = layers.signed()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # Plain numbers: the window of an exported setting is fixed.
        pooled = nn.functional.avg_pool2d(x, (int(x.shape[2]), int(x.shape[3])))
        out: torch.Tensor = self.logits(self.classify(torch.flatten(self.pool_quant(pooled), 1)))
        return out


class AdaptiveClassifier(nn.Module):
    """(N, 3, R, R) to the logits (N, classes) of every exit, the shallowest first, for any R of the recipe."""

    def __init__(self, config: AdaptiveModel, layers: Layers) -> None:
        super().__init__()
        self.quant_input = layers.input()
        self.stem = ConvNorm(layers.conv(3, config.stem, 3, stride=2, role="first"), config.stem, layers.relu6())
        stages, exits = [], []
        inputs = config.stem
        for outputs, stride in zip(config.channels, config.strides, strict=True):
            stages.append(Separable(inputs, outputs, stride, 1, layers))
            exits.append(Exit(outputs, config.classes, layers))
            inputs = outputs
        self.stages = nn.ModuleList(stages)
        self.exits = nn.ModuleList(exits)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y = self.stem(self.quant_input(x))
        found = []
        for stage, leave in zip(self.stages, self.exits, strict=True):
            y = stage(y)
            found.append(leave(y))
        return tuple(found)

    def at_exit(self, number: int) -> nn.Module:
        """The network up to one exit, sharing the weights: (N, 3, R, R) to logits (N, classes)."""
        return nn.Sequential(
            self.quant_input, self.stem, *list(self.stages)[: number + 1], self.exits[number]
        )  # fmt: skip
