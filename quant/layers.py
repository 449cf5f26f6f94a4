# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The layers that a model is built from, once in float and once quantized.

A model takes a `Layers` and asks it for its parts, so that one class describes the network in both forms. The names of
weights, biases and batch normalizations are the same in both, and `copy_float_weights` starts QAT from the float form.
"""

from __future__ import annotations

from typing import Protocol

from torch import nn

from bitwright.quant.deform import DeformConv2d, DeformSettings, OffsetHead


class Layers(Protocol):
    """What a model may ask for. ``role`` is 'first', 'last' or 'inner' and decides the width of the weights."""

    def input(self) -> nn.Module:
        """Quantizer of the network input."""
        ...

    def conv(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        groups: int = 1,
        dilation: int = 1,
        bias: bool = False,
        role: str = "inner",
    ) -> nn.Module:
        """Convolution of an odd kernel, padded to keep the size at stride 1."""
        ...

    def deform(self, inputs: int, outputs: int, kernel: int, settings: DeformSettings) -> nn.Module:
        """Deformable convolution, (x, offsets) to the map; depthwise if the settings say so."""
        ...

    def offsets(self, inputs: int, kernel: int, settings: DeformSettings) -> nn.Module:
        """The layer that makes the offsets of a deformable convolution from its input."""
        ...

    def linear(self, inputs: int, outputs: int, *, bias: bool, role: str = "inner") -> nn.Module:
        """Fully connected layer."""
        ...

    def relu(self) -> nn.Module:
        """ReLU to unsigned integers."""
        ...

    def relu6(self) -> nn.Module:
        """min(max(x, 0), 6) to unsigned integers."""
        ...

    def hard_sigmoid(self) -> nn.Module:
        """min(max(x / 6 + 1 / 2, 0), 1) to unsigned integers of 8 bits: a gate, the factor of a product."""
        ...

    def hard_swish(self) -> nn.Module:
        """x times its hard sigmoid to signed integers: x, gate and product are requantized one after the other."""
        ...

    def signed(self) -> nn.Module:
        """Requantization to signed integers, no nonlinearity."""
        ...

    def unsigned(self) -> nn.Module:
        """Requantization of values that are never negative to unsigned integers, no nonlinearity."""
        ...


class FloatLayers:
    """The float form. ``created`` lists what was made, in order: the quantized form finds its names there."""

    def __init__(self) -> None:
        self.created: list[nn.Module] = []

    def _made(self, layer: nn.Module) -> nn.Module:
        self.created.append(layer)
        return layer

    def input(self) -> nn.Module:
        return self._made(nn.Identity())

    def conv(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        groups: int = 1,
        dilation: int = 1,
        bias: bool = False,
        role: str = "inner",
    ) -> nn.Module:
        padding = dilation * (kernel // 2)
        return self._made(
            nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, dilation=dilation, bias=bias)
        )

    def deform(self, inputs: int, outputs: int, kernel: int, settings: DeformSettings) -> nn.Module:
        return self._made(DeformConv2d(inputs, outputs, kernel, settings))

    def offsets(self, inputs: int, kernel: int, settings: DeformSettings) -> nn.Module:
        head = OffsetHead(nn.Conv2d(inputs, settings.offset_channels(kernel), 1), kernel, settings)
        return self._made(head)

    def linear(self, inputs: int, outputs: int, *, bias: bool, role: str = "inner") -> nn.Module:
        return self._made(nn.Linear(inputs, outputs, bias=bias))

    def relu(self) -> nn.Module:
        return self._made(nn.ReLU())

    def relu6(self) -> nn.Module:
        return self._made(nn.ReLU6())

    def hard_sigmoid(self) -> nn.Module:
        return self._made(nn.Hardsigmoid())

    def hard_swish(self) -> nn.Module:
        return self._made(nn.Hardswish())

    def signed(self) -> nn.Module:
        return self._made(nn.Identity())

    def unsigned(self) -> nn.Module:
        return self._made(nn.Identity())


def copy_float_weights(source: nn.Module, target: nn.Module) -> None:
    """Give the quantized ``target`` the weights, biases and batch normalizations of the float ``source``.

    Raises RuntimeError when the two are not the same network.
    """
    known = source.state_dict()
    own = dict(target.named_parameters()) | dict(target.named_buffers())
    result = target.load_state_dict(known, strict=False)
    missing = [name for name in result.missing_keys if name in own and "act_quant." not in name]
    if result.unexpected_keys or missing:
        raise RuntimeError(f"not the same network: unexpected {result.unexpected_keys}, missing {missing}")
