# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The quantized form of the layers, made of Brevitas parts."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import brevitas.nn as qnn
import torch
from brevitas.inject.enum import RestrictValueType, ScalingImplType
from brevitas.quant import Int8ActPerTensorFloat, Int8WeightPerChannelFloat, Uint8ActPerTensorFloat
from brevitas.quant.scaled_int import Int8ActPerTensorFloatMinMaxInit, Uint8ActPerTensorFloatMaxInit
from torch import nn

from bitwright.errors import ModelError
from bitwright.quant.deform import DeformConv2d, DeformSettings, OffsetHead
from bitwright.quant.recipe import LayerBits, Quantization

#: Width of a gate: it multiplies a whole map.
GATE_BITS = 8


class _FixedUnsigned(Uint8ActPerTensorFloatMaxInit):  # type: ignore[misc]
    """Unsigned, with a scale that is given instead of learned."""

    scaling_impl_type = ScalingImplType.CONST


class _FixedSigned(Int8ActPerTensorFloatMinMaxInit):  # type: ignore[misc]
    """Signed, with a scale that is given instead of learned."""

    scaling_impl_type = ScalingImplType.CONST


class QuantLayers:
    """The quantized form.

    Weights: signed, narrow range, one scale per output channel, from the largest magnitude. Activations: one learned
    scale per tensor. Scales are free real numbers, or powers of two if the recipe says so. Biases and batch
    normalizations stay real: they are constants in front of a requantization, and the compiler folds them into it.

    Args:
        settings: the widths.
        names: names of the layers in the order in which the model asks for them (`layer_names`), for
            ``settings.layers``, whose patterns are matched against them.
    """

    def __init__(self, settings: Quantization, names: list[str] | None = None) -> None:
        self._bits = {
            "first": settings.first_weight_bits,
            "inner": settings.weight_bits,
            "last": settings.last_weight_bits,
        }
        self._settings = settings
        self._names = names
        self._asked = 0
        self._unused = set(settings.layers)
        free = RestrictValueType.LOG_FP
        self._restrict = RestrictValueType.POWER_OF_TWO if settings.scales == "power_of_two" else free

    def finish(self) -> None:
        """Every pattern of the recipe must have met a layer. Raises ModelError naming those that did not."""
        if self._unused:
            raise ModelError(
                f"quantization.layers: no layer is called {', '.join(sorted(self._unused))}; the layers are "
                + ", ".join(dict.fromkeys(self._names or ()))
            )

    def _next(self) -> LayerBits:
        """The recipe's own widths for the layer that is asked for now."""
        number, self._asked = self._asked, self._asked + 1
        found = LayerBits()
        if self._names is not None:
            for pattern, bits in self._settings.layers.items():
                if fnmatchcase(self._names[number], pattern):
                    self._unused.discard(pattern)
                    found = found.model_copy(update=bits.model_dump(exclude_none=True))
        return found

    def _weights(self, role: str, bits: LayerBits) -> dict[str, Any]:
        options: dict[str, Any] = {
            "weight_quant": Int8WeightPerChannelFloat,
            "weight_bit_width": bits.weight_bits or self._bits[role],
        }
        if self._settings.scales == "power_of_two":
            options["weight_restrict_scaling_type"] = self._restrict
        return options

    def _act(self, signed: bool, bits: LayerBits) -> dict[str, Any]:
        options: dict[str, Any] = {
            "act_quant": Int8ActPerTensorFloat if signed else Uint8ActPerTensorFloat,
            "bit_width": bits.act_bits or self._settings.act_bits,
        }
        if self._settings.scales == "power_of_two":
            options["restrict_scaling_type"] = self._restrict
        return options

    def input(self) -> nn.Module:
        self._next()
        s = self._settings
        if s.input_signed:
            return _module(
                qnn.QuantIdentity(
                    act_quant=_FixedSigned, bit_width=s.input_bits, min_val=-s.input_max, max_val=s.input_max
                )
            )
        return _module(qnn.QuantIdentity(act_quant=_FixedUnsigned, bit_width=s.input_bits, max_val=s.input_max))

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
        return _module(
            qnn.QuantConv2d(
                inputs,
                outputs,
                kernel,
                stride,
                dilation * (kernel // 2),
                groups=groups,
                dilation=dilation,
                bias=bias,
                **self._weights(role, self._next()),
            )
        )

    def deform(self, inputs: int, outputs: int, kernel: int, settings: DeformSettings) -> nn.Module:
        return QuantDeformConv2d(inputs, outputs, kernel, settings, self._weights("inner", self._next()))

    def offsets(self, inputs: int, kernel: int, settings: DeformSettings) -> nn.Module:
        if settings.bounds is None and settings.rounded:
            raise ModelError(
                "model.bounds: rounded offsets of a quantized network need bounds, which give them a width; set bounds"
            )
        weights = self._weights("inner", self._next())
        # Eight bits: one weight in a thousand makes these numbers, and every tap of the window depends on them.
        weights["weight_bit_width"] = max(weights["weight_bit_width"], 8)
        conv = _module(qnn.QuantConv2d(inputs, settings.offset_channels(kernel), 1, bias=True, **weights))
        return OffsetHead(conv, kernel, settings, self._offset_quantizer(settings))

    def _offset_quantizer(self, settings: DeformSettings) -> nn.Module | None:
        """Scale 1 and a range that is the bound: whole numbers. None leaves bilinear offsets as they are."""
        if not settings.rounded or settings.bounds is None:
            return None
        lo, hi = settings.bounds
        bits = max(int(hi), -int(lo) - 1, 1).bit_length() + (lo < 0)
        full = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if lo < 0 else (0, 2**bits - 1)
        if full != (lo, hi):
            raise ModelError(
                f"model.bounds: a quantized network needs the range of a width, such as [0, 7] or [-8, 7], got "
                f"[{lo}, {hi}]"
            )
        kind = _FixedSigned if lo < 0 else _FixedUnsigned
        # Brevitas divides the largest magnitude by 2**(bits-1) (signed) or 2**bits - 1 (unsigned): the scale is 1.
        limits = {"min_val": float(lo), "max_val": float(-lo)} if lo < 0 else {"max_val": float(hi)}
        return _module(qnn.QuantIdentity(act_quant=kind, bit_width=bits, **limits))

    def linear(self, inputs: int, outputs: int, *, bias: bool, role: str = "inner") -> nn.Module:
        return _module(qnn.QuantLinear(inputs, outputs, bias=bias, **self._weights(role, self._next())))

    def relu(self) -> nn.Module:
        return _module(qnn.QuantReLU(**self._act(False, self._next())))

    def relu6(self) -> nn.Module:
        return nn.Sequential(nn.ReLU6(), _module(qnn.QuantIdentity(**self._act(False, self._next()))))

    def hard_sigmoid(self) -> nn.Module:
        return self._gate(self._next().act_bits or GATE_BITS)

    def hard_swish(self) -> nn.Module:
        own = self._next()
        before, after = (_module(qnn.QuantIdentity(**self._act(True, own))) for _ in range(2))
        return QuantHardSwish(before, self._gate(GATE_BITS), after)

    def _gate(self, bits: int) -> nn.Module:
        """The hard sigmoid and its quantizer, whose range is that of the function."""
        # Brevitas divides the largest value by 2**bits - 1: 1 is a code, or the scale is 2**-bits.
        top = 1.0 if self._settings.scales == "free" else 1 - 2.0**-bits
        quantizer = _module(qnn.QuantIdentity(act_quant=_FixedUnsigned, bit_width=bits, max_val=top))
        return nn.Sequential(nn.Hardsigmoid(), quantizer)

    def signed(self) -> nn.Module:
        return _module(qnn.QuantIdentity(**self._act(True, self._next())))

    def unsigned(self) -> nn.Module:
        return _module(qnn.QuantIdentity(**self._act(False, self._next())))


class QuantHardSwish(nn.Module):
    """x times its hard sigmoid, as a product of integers: ``before`` quantizes x, ``after`` the product."""

    def __init__(self, before: nn.Module, gate: nn.Module, after: nn.Module) -> None:
        super().__init__()
        self.before, self.gate, self.after = before, gate, after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.before(x)
        out: torch.Tensor = self.after(x * self.gate(x))
        return out


class QuantDeformConv2d(DeformConv2d):
    """Deformable convolution with quantized weights."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, settings: DeformSettings, weights: dict[str, Any]
    ) -> None:
        super().__init__(inputs, outputs, kernel, settings)
        # The Brevitas layer holds the weight under its usual name; its own forward is never called.
        del self.weight
        self.store = qnn.QuantConv2d(inputs, outputs, kernel, groups=self.groups, bias=False, **weights)
        self._register_load_state_dict_pre_hook(_rename_weight)

    def kernel_weight(self) -> torch.Tensor:
        value = self.store.quant_weight()
        return value if isinstance(value, torch.Tensor) else value.value


def _rename_weight(state: dict[str, Any], prefix: str, *_: Any) -> None:
    """The float form calls the weight ``weight``, here it lies in ``store``."""
    if prefix + "weight" in state:
        state[prefix + "store.weight"] = state.pop(prefix + "weight")


def _module(layer: object) -> nn.Module:
    """Brevitas is not typed: say what its layers are."""
    assert isinstance(layer, nn.Module)
    return layer
