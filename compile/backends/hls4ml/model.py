# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Describes a lowered integer graph as hls4ml layers: integers everywhere, every precision given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bitwright.compile.backends.hls4ml.lower import is_depthwise, is_native_conv
from bitwright.compile.ir import Graph, IntType, Tensor
from bitwright.compile.ir.ops import (
    Add,
    ArgMax,
    Concat,
    Conv2d,
    ConvTranspose2d,
    DeformConv2d,
    Dense,
    MaxPool2d,
    Multiply,
    Node,
    Pad,
    PermuteChannels,
    Requantize,
    Reshape,
    ResizeLinear,
    ResizeNearest,
    Slice,
    SumPool2d,
    Threshold,
    Transpose,
)
from bitwright.compile.ir.ops.conv2d import accumulator_bounds
from bitwright.compile.ir.types import IntArray

#: hls4ml takes 2-bit signed weights for ternary ones (-1, 0, 1) and would compute -2 as +1 without a word
#: (nnet_mult.h, weight_ternary), so weights are never narrower than this.
MIN_WEIGHT_BITS = 3


@dataclass
class LayerList:
    """hls4ml's description of the model.

    Attributes:
        layers: what ModelGraph.from_layer_list takes.
        precisions: layer name -> hls4ml's Precision dictionary.
        names: tensor name -> layer name.
    """

    layers: list[dict[str, Any]] = field(default_factory=list)
    precisions: dict[str, dict[str, str]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)


def cpp_type(t: IntType) -> str:
    """ap_int or ap_uint."""
    return f"ap_{'' if t.signed else 'u'}int<{t.bits}>"


def holding(values: IntArray, least: int = 1, signed: bool = True) -> IntType:
    """The narrowest type of at least ``least`` bits for a table."""
    t = IntType.containing(min(int(values.min()), -1 if signed else 0), int(values.max()))
    return IntType(max(t.bits, least), t.signed)


def signed_bits(*bounds: int) -> int:
    """Bits of the signed type that holds all the numbers."""
    return IntType.containing(min(*bounds, -1), max(*bounds, 0)).bits


def layer_list(graph: Graph, stream: bool) -> LayerList:
    """Describe every node; `lower` has run."""
    result = LayerList()
    for k, given in enumerate(graph.inputs):
        tensor = graph.tensors[given.tensor]
        name = f"in{k}_{given.tensor}"
        result.names[given.tensor] = name
        result.layers.append({"class_name": "InputLayer", "name": name, "input_shape": list(tensor.shape) or [1]})
        result.precisions[name] = {"result": cpp_type(tensor.itype)}
    for node in graph.nodes:
        xs, y = graph.inputs_of(node), graph.tensors[node.output]
        name = f"{node.name}_layer" if node.name == "input" else node.name
        attributes, precision = _BUILDERS[type(node)](node, xs, y)
        if not stream and "buffer_rows" in attributes.get("constants", {}):
            attributes["constants"]["buffer_rows"] = attributes["constants"]["in_height"]  # the array is the frame
        result.names[node.output] = name
        inputs = [result.names[n] for n in node.inputs]
        result.layers.append({"name": name, "inputs": inputs, "outputs": [name], **attributes})
        result.precisions[name] = {"result": cpp_type(y.itype), **precision}
    return result


_Built = tuple[dict[str, Any], dict[str, str]]


def _own(
    kind: str, function: str, y: Tensor, constants: dict[str, Any], tables: dict[str, IntArray] | None = None,
    types: dict[str, str] | None = None, kernel: str = "", unsigned: tuple[str, ...] = (),
) -> _Built:  # fmt: skip
    from hls4ml.model.types import IntegerPrecisionType

    described = {}
    for name, data in (tables or {}).items():
        t = holding(data, signed=name not in unsigned)
        described[name] = (np.ascontiguousarray(data, np.int64), IntegerPrecisionType(t.bits, t.signed))
    return {
        "class_name": f"Bitwright{kind}", "function": function, "out_shape": list(y.shape) or [1],
        "constants": constants, "tables": described, "types": types or {}, "kernel": kernel,
    }, {}  # fmt: skip


def _requantize(node: Requantize, xs: list[Tensor], y: Tensor) -> _Built:
    (x,) = xs
    parts = np.broadcast_arrays(node.multiplier, node.addend, np.atleast_1d(x.lo), np.atleast_1d(x.hi))
    numbers = [
        int(m) * int(q) + int(a) for m, a, lo, hi in zip(*(p.flat for p in parts), strict=True) for q in (lo, hi)
    ]
    top = max(map(abs, numbers)) + (1 << node.shift) + abs(node.offset)
    ends = [int(v) for v in (*node.lo, *node.hi, *node.multiplier, *node.addend, *x.bounds)]
    constants = {
        "n": y.size, "channels": y.channels, "shift": node.shift, "offset": node.offset,
        "half_even": node.rounding == "half_even", "product_bits": max(signed_bits(top, -top), signed_bits(*ends)) + 1,
        "multiplier_n": node.multiplier.size, "addend_n": node.addend.size, "lo_n": node.lo.size, "hi_n": node.hi.size,
    }  # fmt: skip
    tables = {"multiplier": node.multiplier, "addend": node.addend, "lo": node.lo, "hi": node.hi}
    return _own("Requantize", "requantize", y, constants, tables)


def _threshold(node: Threshold, xs: list[Tensor], y: Tensor) -> _Built:
    (x,) = xs
    lo, hi = x.bounds
    reach = max(abs(lo), abs(hi)) + 1  # a threshold beyond what sign * x can be is never, or always, met
    table = np.clip(node.thresholds, -reach, reach)
    constants = {
        "n": y.size, "channels": y.channels, "levels": table.shape[1], "rows": table.shape[0], "step": node.step,
        "sign_n": node.sign.size, "base_n": node.base.size,
        "product_bits": max(signed_bits(-reach, reach), signed_bits(*y.bounds), signed_bits(*map(int, node.base)),
                            signed_bits(node.step * table.shape[1])) + 1,
    }  # fmt: skip
    return _own("Threshold", "threshold", y, constants, {"thresholds": table, "sign": node.sign, "base": node.base})


def _add(node: Add, xs: list[Tensor], y: Tensor) -> _Built:
    constants = {"n": y.size, "channels": y.channels, "multiplier_n": node.multipliers.shape[1]}
    return _own("Add", "add", y, constants, {"multiplier": node.multipliers})


def _multiply(node: Multiply, xs: list[Tensor], y: Tensor) -> _Built:
    constants: dict[str, Any] = {"n": y.size, "channels": y.channels, "gate_n": xs[1].size}
    constants["product_bits"] = signed_bits(*y.bounds)
    constants |= {f"zero_point{k + 1}": zero for k, zero in enumerate(node.zero_points)}
    types = {
        f"shifted{k + 1}_t": _shifted(x, zero) for k, (x, zero) in enumerate(zip(xs, node.zero_points, strict=True))
    }
    return _own("Multiply", "multiply", y, constants, types=types)


def _dense(node: Dense, xs: list[Tensor], y: Tensor) -> _Built:
    (x,) = xs
    if len(x.shape) > 1:  # on the last axis of a feature map: a 1x1 window
        flat = Conv2d(name=node.name, inputs=node.inputs, output=node.output, weight=node.weight[None, None],
                      zero_point=node.zero_point)  # fmt: skip
        height, width = (1, x.shape[0]) if len(x.shape) == 2 else (x.shape[0], x.shape[1])
        return _window_conv(flat, x, y, height, width)
    lo, hi = accumulator_bounds(node.weight, x, 0, 1, False)  # hls4ml sums w * x first and adds the bias
    bias = -node.zero_point * node.weight.sum(axis=0)
    attributes = {
        "class_name": "Dense", "n_in": node.weight.shape[0], "n_out": node.weight.shape[1],
        "weight_data": node.weight.astype(np.float64), "bias_data": bias.astype(np.float64),
    }  # fmt: skip
    return attributes, _native_precision(node.weight, bias, lo, hi, y)


def _native_precision(weight: IntArray, bias: IntArray, lo: IntArray, hi: IntArray, y: Tensor) -> dict[str, str]:
    accumulator = signed_bits(int(lo.min()), int(hi.max()), *y.bounds, int(bias.min()), int(bias.max()))
    return {
        "weight": cpp_type(holding(weight, MIN_WEIGHT_BITS)),
        "bias": cpp_type(holding(bias, 2)),
        "accum": f"ap_int<{accumulator}>",
    }


def _conv(node: Conv2d, xs: list[Tensor], y: Tensor) -> _Built:
    (x,) = xs
    if not is_native_conv(node):
        return _window_conv(node, x, y, x.shape[0], x.shape[1])
    kh, kw, _, outputs = node.weight.shape
    top, left, bottom, right = node.pads
    lo, hi = accumulator_bounds(node.weight, x, 0, node.groups, any(node.pads))
    bias = -node.zero_point * node.weight.sum(axis=(0, 1, 2))
    attributes = {
        "data_format": "channels_last", "in_height": x.shape[0], "in_width": x.shape[1], "n_chan": x.shape[2],
        "out_height": y.shape[0], "out_width": y.shape[1], "n_filt": outputs, "filt_height": kh, "filt_width": kw,
        "stride_height": node.strides[0], "stride_width": node.strides[1], "pad_top": top, "pad_bottom": bottom,
        "pad_left": left, "pad_right": right, "padding": "same" if any(node.pads) else "valid",
        "bias_data": bias.astype(np.float64),
    }  # fmt: skip
    if is_depthwise(node):
        weight = node.weight.transpose(0, 1, 3, 2).astype(np.float64)  # (kh, kw, C, 1)
        attributes |= {"class_name": "DepthwiseConv2D", "depthwise_data": weight, "depth_multiplier": 1}
    else:
        attributes |= {"class_name": "Conv2D", "weight_data": node.weight.astype(np.float64)}
    return attributes, _native_precision(node.weight, bias, lo, hi, y)


def _geometry(
    node: Any, kernel: tuple[int, int], x_shape: tuple[int, ...], y_shape: tuple[int, ...], reach: int = 0
) -> dict[str, int]:  # fmt: skip
    top, left, _, _ = node.pads
    span = (kernel[0] - 1) * node.dilations[0] + 1
    return {
        "in_height": x_shape[0], "in_width": x_shape[1], "in_channels": x_shape[2], "out_height": y_shape[0],
        "out_width": y_shape[1], "out_channels": y_shape[2], "kernel_height": kernel[0], "kernel_width": kernel[1],
        "stride_height": node.strides[0], "stride_width": node.strides[1], "dilation_height": node.dilations[0],
        "dilation_width": node.dilations[1], "pad_top": top, "pad_left": left,
        "n_in": int(np.prod(x_shape)), "n_out": int(np.prod(y_shape)), "reach_below": reach,
        "buffer_rows": min(x_shape[0], span + 2 * reach),
    }  # fmt: skip


def _shifted(x: Tensor, zero_point: int) -> str:
    lo, hi = x.bounds
    return f"ap_int<{signed_bits(lo, hi, lo - zero_point, hi - zero_point, zero_point)}>"


def _window_conv(node: Conv2d, x: Tensor, y: Tensor, height: int, width: int) -> _Built:
    kernel = (node.weight.shape[0], node.weight.shape[1])
    outputs = node.weight.shape[3]
    out = (*y.shape[:2], outputs) if len(y.shape) == 3 else (1, y.shape[0], outputs)
    constants = _geometry(node, kernel, (height, width, x.channels), out)
    constants |= {"groups": node.groups, "group_channels": node.weight.shape[2], "zero_point": node.zero_point}
    types = {"accum_t": f"ap_int<{signed_bits(*y.bounds)}>", "shifted_t": _shifted(x, node.zero_point)}
    return _own("Conv2D", "window", y, constants, {"weight": node.weight}, types, "conv_window")


def _sum_pool(node: SumPool2d, xs: list[Tensor], y: Tensor) -> _Built:
    (x,) = xs
    constants = _geometry(node, node.kernel, x.shape, y.shape) | {"zero_point": node.zero_point}
    types = {"accum_t": f"ap_int<{signed_bits(*y.bounds)}>", "shifted_t": _shifted(x, node.zero_point)}
    return _own("SumPool2D", "window", y, constants, types=types, kernel="sum_window")


def _max_pool(node: MaxPool2d, xs: list[Tensor], y: Tensor) -> _Built:
    return _own("MaxPool2D", "window", y, _geometry(node, node.kernel, xs[0].shape, y.shape), kernel="max_window")


def _deform(node: DeformConv2d, xs: list[Tensor], y: Tensor) -> _Built:
    x, offsets = xs
    reach = max(abs(v) for v in offsets.bounds)
    constants = _geometry(node, (node.weight.shape[0], node.weight.shape[1]), x.shape, y.shape, reach)
    constants |= {
        "groups": node.groups, "group_channels": node.weight.shape[2], "zero_point": node.zero_point,
        "offset_groups": node.offset_groups, "offset_channels": offsets.channels, "n_offsets": offsets.size,
    }  # fmt: skip
    types = {"accum_t": f"ap_int<{signed_bits(*y.bounds)}>", "shifted_t": _shifted(x, node.zero_point)}
    return _own("DeformConv2D", "deform", y, constants, {"weight": node.weight}, types, "deform_window")


def _conv_transpose(node: ConvTranspose2d, xs: list[Tensor], y: Tensor) -> _Built:
    (x,) = xs
    constants = _geometry(node, (node.weight.shape[0], node.weight.shape[1]), x.shape, y.shape)
    constants |= {"groups": node.groups, "zero_point": node.zero_point}
    types = {"accum_t": f"ap_int<{signed_bits(*y.bounds)}>", "shifted_t": _shifted(x, node.zero_point)}
    return _own("ConvTranspose2D", "conv_transpose", y, constants, {"weight": node.weight}, types)


def _gather(node: Node, xs: list[Tensor], y: Tensor) -> _Built:
    """Where every output value comes from, found by sending element numbers through the operator."""
    (x,) = xs
    if isinstance(node, Slice) and node.axis == len(x.shape) - 1:
        return _select(np.asarray(node.indices(), np.int64), x, y)
    probe = node
    fill = 0
    if isinstance(node, Pad):
        from dataclasses import replace

        probe, fill = replace(node, value=-1), node.value
    index = probe.compute(np.arange(x.size, dtype=np.int64).reshape(1, *x.shape)).reshape(-1)
    constants = {"n_in": x.size, "n_out": y.size, "fill": fill}
    return _own(
        "Gather", "gather", y, constants, {"source": index}, unsigned=() if isinstance(node, Pad) else ("source",)
    )


def _permute(node: PermuteChannels, xs: list[Tensor], y: Tensor) -> _Built:
    return _select(np.asarray(node.order, np.int64), xs[0], y)


def _select(order: IntArray, x: Tensor, y: Tensor) -> _Built:
    constants = {"n_in": x.size, "n_out": y.size, "in_channels": x.channels, "out_channels": y.channels}
    return _own("SelectChannels", "select_channels", y, constants, {"order": order}, unsigned=("order",))


def _concat(node: Concat, xs: list[Tensor], y: Tensor) -> _Built:
    constants = {
        "n_in1": xs[0].size, "n_in2": xs[1].size, "n_out": y.size,
        "outer": int(np.prod(y.shape[: node.axis], dtype=np.int64)),
    }  # fmt: skip
    return _own("Join", "join", y, constants)


def _resize_linear(node: ResizeLinear, xs: list[Tensor], y: Tensor) -> _Built:
    (x,) = xs
    constants = {
        "in_height": x.shape[0], "in_width": x.shape[1], "in_channels": x.shape[2], "out_height": y.shape[0],
        "out_width": y.shape[1], "out_channels": y.shape[2], "n_in": x.size, "n_out": y.size,
    }  # fmt: skip
    gain = int(node.row_taps.max()) * int(node.column_taps.max())
    types = {"accum_t": f"ap_int<{max(signed_bits(*y.bounds), signed_bits(gain))}>"}
    tables = {"row_taps": node.row_taps, "column_taps": node.column_taps}
    return _own("ResizeLinear", "resize_linear", y, constants, tables, types, unsigned=("row_taps", "column_taps"))


def _arg_max(node: ArgMax, xs: list[Tensor], y: Tensor) -> _Built:
    (x,) = xs
    inner = int(np.prod(x.shape[node.axis + 1 :], dtype=np.int64))
    constants = {"n_in": x.size, "n_out": y.size, "inner": inner, "length": x.shape[node.axis], "last": node.last}
    return _own("ArgMax", "arg_max", y, constants)


_BUILDERS: dict[type[Node], Callable[[Any, list[Tensor], Tensor], _Built]] = {
    Requantize: _requantize,
    Threshold: _threshold,
    Add: _add,
    Multiply: _multiply,
    Dense: _dense,
    Conv2d: _conv,
    SumPool2d: _sum_pool,
    MaxPool2d: _max_pool,
    DeformConv2d: _deform,
    ConvTranspose2d: _conv_transpose,
    Reshape: _gather,
    Transpose: _gather,
    Slice: _gather,
    Pad: _gather,
    ResizeNearest: _gather,
    PermuteChannels: _permute,
    Concat: _concat,
    ResizeLinear: _resize_linear,
    ArgMax: _arg_max,
}

#: Operators that the backend takes.
SUPPORTED = tuple(_BUILDERS)
