# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Multiply-accumulates and weights of a network, layer by layer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from bitwright.quant.deform import DeformConv2d


@dataclass(frozen=True)
class LayerCount:
    """One layer with weights.

    Attributes:
        name: of the module.
        macs: multiply-accumulates for one sample (padding counts).
        macs_in_blocks: as TensorFlow computes and counts dilated convolutions: by moving space to batch, on a map that
            is padded to a multiple of the dilation. Equal to ``macs`` without dilation.
        weights: kernel weights, without bias and batch normalization.
        others: biases, and batch-normalization scales and shifts.
    """

    name: str
    macs: int
    macs_in_blocks: int
    weights: int
    others: int


def count(model: nn.Module, input_shape: tuple[int, ...]) -> list[LayerCount]:
    """Count a float network on one sample of ``input_shape``, in the order of execution.

    The model may be on the meta device: nothing is computed then.
    """
    names = {id(m): n for n, m in model.named_modules()}
    found: list[LayerCount] = []

    def record(module: Any, inputs: Any, output: torch.Tensor) -> None:
        others = sum(p.numel() for n, p in module.named_parameters(recurse=False) if n != "weight")
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm1d)):
            found.append(LayerCount(names[id(module)], 0, 0, 0, 2 * module.num_features))
            return
        weights = module.weight.numel()
        # Every weight of a transposed convolution meets every input position; elsewhere, every output position.
        shape = inputs[0].shape if isinstance(module, nn.ConvTranspose2d) else output.shape
        positions = in_blocks = math.prod(shape[2:])
        if isinstance(module, nn.Conv2d) and max(module.dilation) > 1:
            in_blocks = math.prod(
                _padded(size, k, d)
                for size, k, d in zip(output.shape[2:], module.kernel_size, module.dilation, strict=True)
            )
        found.append(LayerCount(names[id(module)], positions * weights, in_blocks * weights, weights, others))

    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, DeformConv2d, nn.BatchNorm2d, nn.BatchNorm1d)
    hooks = [m.register_forward_hook(record) for m in model.modules() if isinstance(m, kinds)]
    device = next(model.parameters()).device
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, *input_shape, device=device))
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _padded(size: int, kernel: int, dilation: int) -> int:
    """Output positions along an axis when the padded input is cut into ``dilation`` interleaved parts of one length."""
    part = -(-(size + dilation * (kernel - 1)) // dilation)
    return dilation * (part - kernel + 1)
