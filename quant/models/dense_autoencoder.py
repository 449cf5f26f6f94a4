# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""A fully connected autoencoder; the reconstruction error is the anomaly score.

The shape is that of the MLPerf Tiny anomaly detector (C. Banbury et al., arXiv:2106.07597), with other widths.
"""

from __future__ import annotations

import torch
from torch import nn

from bitwright.quant.layers import Layers
from bitwright.quant.recipe import DenseAutoencoderModel


class DenseAutoencoder(nn.Module):
    """(batch, values) real input to its reconstruction of the same shape, which is quantized."""

    def __init__(self, config: DenseAutoencoderModel, layers: Layers, values: int) -> None:
        super().__init__()
        self.quant_input = layers.input()
        widths = [values, *config.hidden, *reversed(config.hidden[:-1])]
        hidden: list[nn.Module] = []
        for i, (inputs, outputs) in enumerate(zip(widths, widths[1:], strict=False)):
            role = "first" if i == 0 else "inner"
            hidden += [layers.linear(inputs, outputs, bias=False, role=role), nn.BatchNorm1d(outputs), layers.relu()]
        self.hidden = nn.Sequential(*hidden)
        self.reconstruct = layers.linear(widths[-1], values, bias=True, role="last")
        self.output = layers.signed()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.output(self.reconstruct(self.hidden(self.quant_input(x))))
        return result
