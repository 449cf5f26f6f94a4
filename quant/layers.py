# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The layers that a model is built from, once in float and once quantized.

A model takes a `Layers` and asks it for its parts, so that one class describes the network in both forms. The names of
weights, biases and batch normalizations are the same in both, and `copy_float_weights` starts QAT from the float form.
"""

from __future__ import annotations

from typing import Protocol

import brevitas.nn as qnn
from brevitas.inject.enum import ScalingImplType
from brevitas.quant import Int8ActPerTensorFloat, Int8WeightPerChannelFloat, Uint8ActPerTensorFloat
from brevitas.quant.scaled_int import Uint8ActPerTensorFloatMaxInit
from torch import nn

from bitwright.quant.recipe import Quantization


class Layers(Protocol):
    """What a model may ask for. ``role`` is 'first', 'last' or 'inner' and decides the width of the weights."""

    def input(self) -> nn.Module:
        """Quantizer of the network input."""
        ...

    def conv(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, role: str = "inner"
    ) -> nn.Module:
        """Convolution without bias, padded to keep the size at stride 1."""
        ...

    def linear(self, inputs: int, outputs: int, *, bias: bool, role: str = "inner") -> nn.Module:
        """Fully connected layer."""
        ...

    def relu(self) -> nn.Module:
        """ReLU to unsigned integers."""
        ...

    def signed(self) -> nn.Module:
        """Requantization to signed integers, no nonlinearity."""
        ...

    def unsigned(self) -> nn.Module:
        """Requantization of values that are never negative to unsigned integers, no nonlinearity."""
        ...


class FloatLayers:
    """The float form."""

    def input(self) -> nn.Module:
        return nn.Identity()

    def conv(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, role: str = "inner"
    ) -> nn.Module:
        return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)

    def linear(self, inputs: int, outputs: int, *, bias: bool, role: str = "inner") -> nn.Module:
        return nn.Linear(inputs, outputs, bias=bias)

    def relu(self) -> nn.Module:
        return nn.ReLU()

    def signed(self) -> nn.Module:
        return nn.Identity()

    def unsigned(self) -> nn.Module:
        return nn.Identity()


class _InputQuantizer(Uint8ActPerTensorFloatMaxInit):  # type: ignore[misc]
    """Unsigned, with a scale that the recipe fixes instead of one that is learned."""

    scaling_impl_type = ScalingImplType.CONST


class QuantLayers:
    """The quantized form.

    Weights: signed, narrow range, one float scale per output channel, from the largest magnitude. Activations: one
    learned float scale per tensor. No scale is restricted to powers of two. Biases and batch normalizations stay
    real: they are constants in front of a requantization, and the compiler folds them into it.
    """

    def __init__(self, settings: Quantization) -> None:
        self._bits = {
            "first": settings.first_weight_bits,
            "inner": settings.weight_bits,
            "last": settings.last_weight_bits,
        }
        self._act_bits = settings.act_bits
        self._settings = settings

    def input(self) -> nn.Module:
        return _module(
            qnn.QuantIdentity(
                act_quant=_InputQuantizer, bit_width=self._settings.input_bits, max_val=self._settings.input_max
            )
        )

    def conv(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, role: str = "inner"
    ) -> nn.Module:
        return _module(
            qnn.QuantConv2d(
                inputs,
                outputs,
                kernel,
                stride,
                kernel // 2,
                groups=groups,
                bias=False,
                weight_quant=Int8WeightPerChannelFloat,
                weight_bit_width=self._bits[role],
            )
        )

    def linear(self, inputs: int, outputs: int, *, bias: bool, role: str = "inner") -> nn.Module:
        return _module(
            qnn.QuantLinear(
                inputs,
                outputs,
                bias=bias,
                weight_quant=Int8WeightPerChannelFloat,
                weight_bit_width=self._bits[role],
            )
        )

    def relu(self) -> nn.Module:
        return _module(qnn.QuantReLU(act_quant=Uint8ActPerTensorFloat, bit_width=self._act_bits))

    def signed(self) -> nn.Module:
        return _module(qnn.QuantIdentity(act_quant=Int8ActPerTensorFloat, bit_width=self._act_bits))

    def unsigned(self) -> nn.Module:
        return _module(qnn.QuantIdentity(act_quant=Uint8ActPerTensorFloat, bit_width=self._act_bits))


def _module(layer: object) -> nn.Module:
    """Brevitas is not typed: say what its layers are."""
    assert isinstance(layer, nn.Module)
    return layer


def copy_float_weights(source: nn.Module, target: nn.Module) -> None:
    """Give the quantized ``target`` the weights, biases and batch normalizations of the float ``source``.

    Raises RuntimeError when the two are not the same network.
    """
    known = source.state_dict()
    own = dict(target.named_parameters()) | dict(target.named_buffers())
    result = target.load_state_dict(known, strict=False)
    missing = [name for name in result.missing_keys if name in own and ".act_quant." not in name]
    if result.unexpected_keys or missing:
        raise RuntimeError(f"not the same network: unexpected {result.unexpected_keys}, missing {missing}")
