# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""hls4ml's own dense, convolution and depthwise layers as functions of strategy and reuse factor.

Structure after hls4ml 1.3.0 (nnet_dense_resource.h, nnet_depthwise_product.h, nnet_conv_stream.h), constants from
published synthesis reports; docs/estimates.md shows every point, and those that were held out. Counts of DSP slices and
block RAMs are those of the HLS report, LUTs and flip-flops those after Vivado's synthesis.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bitwright.compile.estimate.report import Span, Usage
from bitwright.compile.ir.types import IntArray

#: Cycles of one window beside its reuse factor, and of an input position that completes no window.
WINDOW_EXTRA, IDLE_POSITION = 5, 2
#: LUTs and flip-flops of the resource strategy for each bit of: input of a convolution, input of a dense layer,
#: multiplier operand, accumulator; after Vivado's synthesis.
RESOURCE_LUT = (0.72, 1.41, 0.43, 0.69)
RESOURCE_FF = (0.97, 3.34, 0.45, 1.46)
#: Held-out layers lie between these factors of the model.
RESOURCE_ERROR = (0.48, 1.7)
#: LUTs and flip-flops of the latency strategy in HLS' report: of a non-zero weight and of a product with two digits
#: (for each bit of the accumulator), of a DSP slice.
LATENCY_LUT = (1.24, 0.38, 0.0)
LATENCY_FF = (1.08, 0.0, 8.8)
#: Vivado's counts against those of HLS' report (0.65 to 0.86), times the error of the model on held-out layers.
LATENCY_LUT_ERROR, LATENCY_FF_ERROR = (0.55, 1.15), (0.28, 1.7)
#: HLS may put a product of two operands of at most so many bits into LUTs instead of a DSP slice.
FABRIC_BITS = 9
#: Every other bit, pair, nibble; the lowest bit of every byte.
_MASKS = (0x5555555555555555, 0x3333333333333333, 0x0F0F0F0F0F0F0F0F, 0x0101010101010101)
#: RAMB18: words and bits of its shapes.
SHAPES = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))


@dataclass(frozen=True)
class Kernel:
    """A layer that multiplies with stored weights.

    Attributes:
        n_in, n_out: of the matrix product of one window. windows: of one frame. reads: beats that it takes from its
            input stream, padding included. columns: width of a padded row, 0 for a dense layer. rows: lines that are
            kept (kernel height - 1). channels: of the input.
        weight_bits, data_bits, acc_bits: operand widths.
        depthwise: one filter for each channel. stream: io_stream.
        products: non-zero weights, distinct products of two signed digits and of three or more, see `digits`.
    """

    n_in: int
    n_out: int
    windows: int
    reads: int
    columns: int
    rows: int
    channels: int
    weight_bits: int
    data_bits: int
    acc_bits: int
    depthwise: bool
    stream: bool
    products: tuple[int, int, int]

    @property
    def is_dense(self) -> bool:
        """No window slides."""
        return self.columns == 0


@dataclass(frozen=True)
class Choice:
    """One way to build a layer. cycles: busy for one frame. usage: of it."""

    strategy: str
    reuse: int
    cycles: int
    usage: Usage


def digits(weight: IntArray) -> IntArray:
    """Non-zero digits of every weight, |weight| <= 2**62, in canonical signed-digit form (-1, 0, 1).

    That form of v has a non-zero digit where v and 3 * v differ (Prodinger, "On binary representations of integers with
    digits -1, 0, 1", Integers 2000); the ones are counted in pairs, nibbles, bytes.
    """
    v = np.abs(np.asarray(weight, np.int64)).astype(np.uint64)
    pairs, nibbles, octets, ones = (np.uint64(k) for k in _MASKS)
    one, two, four = np.uint64(1), np.uint64(2), np.uint64(4)
    v ^= v + (v << one)
    v -= (v >> one) & pairs
    v = (v & nibbles) + ((v >> two) & nibbles)
    v = (v + (v >> four)) & octets
    return np.asarray((v * ones) >> np.uint64(56), np.int64)


def constant_products(weight: IntArray) -> tuple[int, int, int]:
    """Non-zero weights, distinct (input, weight) of two signed digits, and of three or more.

    HLS makes a product with a constant of up to two digits of shifts and one adder, and takes a DSP slice from three
    digits on, once for all outputs that need the same product: 19 of 19 published layers to the slice.

    Args:
        weight: (inputs, outputs).
    """
    if not weight.size:
        return 0, 0, 0
    least, most = int(weight.min()), int(weight.max())
    inputs, outputs = weight.shape
    if most - least < 8 * outputs:  # few values: a table of those that each input meets
        met = np.zeros((inputs, most - least + 1), np.bool_)
        met.ravel()[(weight + (np.arange(inputs)[:, None] * met.shape[1] - least)).ravel()] = True
        n, times = digits(np.arange(least, most + 1)), met.sum(axis=0)
    else:
        ordered = np.sort(weight, axis=1)
        n, times = digits(ordered), np.ones(weight.shape, np.bool_)
        np.not_equal(ordered[:, 1:], ordered[:, :-1], out=times[:, 1:])
    return int(np.count_nonzero(weight)), int(times[n == 2].sum()), int(times[n >= 3].sum())


def valid_reuse(kernel: Kernel) -> list[int]:
    """Reuse factors of the resource strategy that hls4ml keeps as they are (it moves others to the closest).

    n_in * n_out divided by the reuse factor must be whole, and either the factor divides n_in or it is a multiple of
    n_in; a depthwise layer has no more than n_in products.
    """
    inside = divisors(kernel.n_in)
    return inside if kernel.depthwise else sorted({*inside, *(kernel.n_in * d for d in divisors(kernel.n_out))})


def divisors(n: int) -> list[int]:
    """In ascending order."""
    low = [d for d in range(1, int(n**0.5) + 1) if n % d == 0]
    return sorted({*low, *(n // d for d in low)})


def closest_reuse(kernel: Kernel, asked: int) -> int:
    """What hls4ml makes of a reuse factor of the resource strategy; of two equally close ones the smaller."""
    return min(valid_reuse(kernel), key=lambda rf: (abs(rf - asked), rf))


def block_halves(width: int, depth: int) -> int:
    """RAMB18 halves of a memory of ``depth`` words, in the best of its shapes."""
    return min(-(-width // bits) * -(-depth // words) for words, bits in SHAPES)


def slices(a_bits: int, b_bits: int) -> int:
    """DSP slices (25 x 18, signed) of one product."""
    small, large = sorted((a_bits, b_bits))
    return -(-max(small - 1, 1) // 17) * -(-max(large - 1, 1) // 24)


def choose(kernel: Kernel, strategy: str, reuse: int) -> Choice:
    """Cycles and resources; a reuse factor of the resource strategy is first moved to the closest valid one."""
    lines = kernel.rows * kernel.channels * kernel.data_bits * -(-max(kernel.columns, 1) // 32) if kernel.stream else 0
    if strategy == "resource":
        reuse = closest_reuse(kernel, reuse)
        usage = _resource(kernel, reuse)
        per_window = reuse + WINDOW_EXTRA
    else:
        usage = _latency(kernel, reuse)
        per_window = reuse
    if kernel.is_dense:
        busy = kernel.windows * reuse + (kernel.reads + WINDOW_EXTRA if kernel.stream else 0)
    elif strategy == "resource":
        busy = kernel.windows * per_window + max(kernel.reads - kernel.windows, 0) * IDLE_POSITION
    else:
        busy = kernel.reads * reuse + WINDOW_EXTRA
    return Choice(strategy, reuse, busy, usage + Usage(lut=Span.exact(lines)))


def _resource(k: Kernel, reuse: int) -> Usage:
    work = k.n_in if k.depthwise else k.n_in * k.n_out
    multipliers = -(-work // reuse)
    dsp = multipliers * slices(k.weight_bits, k.data_bits)
    fabric = max(k.weight_bits, k.data_bits) <= FABRIC_BITS
    halves = block_halves(multipliers * k.weight_bits, reuse) if reuse > 1 else 0
    bits = (
        k.n_in * k.data_bits * (not k.is_dense), k.n_in * k.data_bits * k.is_dense,
        multipliers * (k.weight_bits + k.data_bits) / 2, k.n_out * k.acc_bits,
    )  # fmt: skip
    lut, ff = (sum(c * n for c, n in zip(model, bits, strict=True)) for model in (RESOURCE_LUT, RESOURCE_FF))
    return Usage(
        dsp=Span(0 if fabric else dsp, dsp), bram18=Span(-(-halves // 2), halves),
        lut=Span.around(lut, *RESOURCE_ERROR), ff=Span.around(ff + 290, *RESOURCE_ERROR),
    )  # fmt: skip


def _latency(k: Kernel, reuse: int) -> Usage:
    """Adders for products of few digits; hls4ml limits the multipliers by reuse factor and zero weights."""
    nonzero, two, more = k.products
    work = k.n_in if k.depthwise else k.n_in * k.n_out
    limit = max(-(-work // reuse) - (work - nonzero) // reuse, 1)
    terms = (nonzero * k.acc_bits, two * k.acc_bits, more)
    lut, ff = (sum(c * n for c, n in zip(model, terms, strict=True)) for model in (LATENCY_LUT, LATENCY_FF))
    return Usage(
        dsp=Span.exact(min(more, limit)),
        lut=Span.around(lut, *LATENCY_LUT_ERROR), ff=Span.around(ff, *LATENCY_FF_ERROR),
    )  # fmt: skip
