# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Runs whole graphs on the native kernels (kernels.cpp, library.py).

Every accumulator is an exact int32 sum of int16 products; the requantization behind it is fused and proven in float32
or float64 (staircase.py). A graph that holds anything else is left to onnxruntime.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.compile.ir import Graph, Tensor
from bitwright.compile.ir.ops import Add, Conv2d, Dense, Multiply, Node, Requantize, Reshape, SumPool2d
from bitwright.compile.ir.types import IntArray
from bitwright.sim.fast.emit import Inexact, magnitude, work
from bitwright.sim.fast.library import library
from bitwright.sim.fast.staircase import FloatForm, float_form

BLOCK = 16
INT16 = np.iinfo(np.int16)
#: (batch, buffers by tensor) -> (kernel, its arguments).
Bind = Callable[[int, dict[str, NDArray[np.int16]]], tuple[Any, tuple[Any, ...]]]
#: Order of 16 channels after unpacklo / unpackhi of two registers; packs brings it back (kernels.cpp).
UNPACKED = np.asarray([0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15])
#: Multiply-accumulates of one frame up to which a layer may go without the blocked kernel.
SMALL_WORK = 1 << 23
HOW = "int16 products summed in int32, requantization fused"


def _pointer(x: NDArray[Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(x.ctypes.data)


class NativeProgram:
    """A graph as a list of kernel calls.

    Args:
        graph: a validated graph.
        threads: None for one per core.

    Raises:
        Inexact: some node has no kernel, or a bound does not hold; the message names it.
    """

    def __init__(self, graph: Graph, threads: int | None) -> None:
        self._kernels = library()
        self._kernels.bw_threads(threads or self._kernels.bw_cores())
        self._graph = graph
        self._consumers = graph.consumers()
        self._aliases: dict[str, str] = {}
        #: (tensors that it reads, tensor that it writes, how to call it)
        self._calls: list[tuple[tuple[str, ...], str, Bind]] = []
        #: For the batch size used last: buffers, and the kernel calls on them.
        self._bound: tuple[int, dict[str, NDArray[np.int16]], list[tuple[Any, tuple[Any, ...]]]] | None = None
        fused: set[str] = set()
        for node in graph.nodes:
            if node.name in fused:
                continue
            if isinstance(node, Reshape):
                self._aliases[node.output] = self._root(node.inputs[0])
                continue
            if isinstance(node, Requantize):
                self._plan_requantize(node)
                continue
            fused.add(self._plan(node).name)
        for name in (*(i.tensor for i in graph.inputs), *graph.output_tensors()):
            self._fits_int16(graph.tensors[name])
        self._last = {self._root(n): k for k, (reads, _, _) in enumerate(self._calls) for n in reads}
        self._outputs = sorted(graph.output_tensors())
        self._keep = {self._root(n) for n in graph.output_tensors()} | {i.tensor for i in graph.inputs}

    def _root(self, name: str) -> str:
        return self._aliases.get(name, name)

    def _fits_int16(self, t: Tensor) -> None:
        lo, hi = t.bounds
        if lo < INT16.min or hi > INT16.max:
            raise Inexact(f"{t.name} needs more than 16 bits")

    def _plan(self, node: Node) -> Requantize:
        """Plan a node together with the requantization behind it."""
        readers = self._consumers[node.output]
        behind = readers[0] if len(readers) == 1 else None
        if not isinstance(behind, Requantize) or node.output in self._graph.output_tensors():
            raise Inexact(f"{node.name} ({node.op}) is not followed by one requantization")
        for name in (*node.inputs, behind.output):
            self._fits_int16(self._graph.tensors[name])
        if isinstance(node, (Conv2d, Dense)):
            self._plan_linear(node, behind)
        elif isinstance(node, Add):
            self._plan_add(node, behind)
        elif isinstance(node, SumPool2d):
            self._plan_pool(node, behind)
        elif isinstance(node, Multiply):
            self._plan_multiply(node, behind)
        else:
            raise Inexact(f"{node.name} ({node.op}) has no native kernel")
        return behind

    def _form(self, behind: Requantize, acc: Tensor, dtype: Any = np.float32) -> FloatForm:
        form = float_form(behind, acc, dtype)
        if form is None or form.nearest:
            raise Inexact(f"{behind.name} has no {np.dtype(dtype)} form with floor")
        return form

    def _table(self, form: FloatForm, channels: int, dtype: Any = np.float32) -> NDArray[Any]:
        """(4, channels), readable a block beyond its end."""
        held = np.zeros(4 * channels + BLOCK, dtype)
        table = held[: 4 * channels].reshape(4, channels)
        table[:] = [np.broadcast_to(v, (channels,)) for v in (form.a, form.b, form.lo, form.hi)]
        return table

    def _plan_linear(self, node: Conv2d | Dense, behind: Requantize) -> None:
        graph, kernels = self._graph, self._kernels
        x, acc = graph.tensors[node.inputs[0]], graph.tensors[node.output]
        weight = node.weight if isinstance(node, Conv2d) else node.weight[None, None]
        groups = node.groups if isinstance(node, Conv2d) else 1
        start = -node.zero_point * weight.sum(axis=(0, 1, 2))
        total = work(weight, x, 0, groups) + int(np.abs(start).max())
        if isinstance(node, Conv2d) and any(node.pads):
            total += abs(node.zero_point) * int(np.abs(weight).sum(axis=(0, 1, 2)).max())
        if total >= 1 << 31 or int(np.abs(weight).max()) > INT16.max:
            raise Inexact(f"{node.name}: a sum may reach {total}, or a weight has more than 16 bits")
        outputs = acc.channels
        depth = int(np.prod(weight.shape[:3]))
        pointwise = isinstance(node, Dense) or (
            weight.shape[:2] == (1, 1) and node.strides == (1, 1) and not any(node.pads)
        )
        rows = acc.size // outputs
        try:
            form = self._form(behind, acc)
        except Inexact:
            if groups > 1 or not pointwise or rows * depth * outputs > SMALL_WORK:
                raise
            self._plan_small(node, behind, weight.reshape(depth, outputs), start)
            return
        reads, writes = node.inputs, behind.output
        if groups > 1:
            assert isinstance(node, Conv2d)
            self._plan_depthwise(node, behind, start, form)
            return
        padded = -(-outputs // BLOCK) * BLOCK
        packed = _packed(weight.reshape(-1, outputs), padded)
        begin = np.pad(start, (0, padded - outputs)).astype(np.int32)
        table = np.pad(self._table(form, outputs), ((0, 0), (0, padded - outputs)))
        tables = [_pointer(t) for t in (packed, begin, table)]
        shape = None if pointwise or isinstance(node, Dense) else _geometry(node, x, acc)
        held = (packed, begin, table, shape)

        def bind(batch: int, b: dict[str, NDArray[np.int16]], _held: Any = held) -> tuple[Any, tuple[Any, ...]]:
            ends = _pointer(b[self._root(reads[0])]), _pointer(b[writes])
            if shape is None:
                return kernels.bw_dense, (*ends, ctypes.c_long(batch * rows), depth, outputs, *tables)
            return kernels.bw_conv, (*ends, ctypes.c_long(batch), _pointer(shape), node.zero_point, *tables)

        self._calls.append((reads, writes, bind))

    def _plan_small(self, node: Conv2d | Dense, behind: Requantize, weight: IntArray, start: IntArray) -> None:
        """A small matrix product whose requantization needs float64."""
        acc = self._graph.tensors[node.output]
        depth, outputs = weight.shape
        table = self._table(self._form(behind, acc, np.float64), outputs, np.float64)
        turned, begin = np.ascontiguousarray(weight.T, np.int16), start.astype(np.int32)
        tables = [_pointer(t) for t in (turned, begin, table)]
        reads, writes, kernels, rows = node.inputs, behind.output, self._kernels, acc.size // outputs
        held = (turned, begin, table)

        def bind(batch: int, b: dict[str, NDArray[np.int16]], _held: Any = held) -> tuple[Any, tuple[Any, ...]]:
            ends = _pointer(b[self._root(reads[0])]), _pointer(b[writes])
            return kernels.bw_dense64, (*ends, ctypes.c_long(batch * rows), depth, outputs, *tables)

        self._calls.append((reads, writes, bind))

    def _plan_depthwise(self, node: Conv2d, behind: Requantize, start: IntArray, form: FloatForm) -> None:
        graph, kernels = self._graph, self._kernels
        x, acc = graph.tensors[node.inputs[0]], graph.tensors[node.output]
        channels = acc.channels
        if node.weight.shape[2] != 1 or node.groups != channels:
            raise Inexact(f"{node.name}: groups that are not depthwise")
        padded = -(-channels // BLOCK) * BLOCK
        fill = (0, padded - channels)
        order = np.arange(padded) // BLOCK * BLOCK + UNPACKED[np.arange(padded) % BLOCK]
        taps = node.weight.reshape(-1, channels)
        taps = np.pad(taps, ((0, len(taps) % 2), fill))[:, order]
        # (pairs, 2, blocks, 16) -> per block, per pair: the two taps of each channel side by side
        packed = taps.reshape(-1, 2, padded // BLOCK, BLOCK).transpose(2, 0, 3, 1).astype(np.int16, order="C")
        begin = np.ascontiguousarray(np.pad(start, fill)[order], np.int32)
        table = np.ascontiguousarray(np.pad(self._table(form, channels), ((0, 0), fill))[:, order])
        shape = _geometry(node, x, acc)
        tables = [_pointer(t) for t in (packed, begin, table)]
        held = (packed, begin, table)
        reads, writes = node.inputs, behind.output

        def bind(batch: int, b: dict[str, NDArray[np.int16]], _held: Any = held) -> tuple[Any, tuple[Any, ...]]:
            ends = _pointer(b[self._root(reads[0])]), _pointer(b[writes])
            return kernels.bw_depthwise, (*ends, ctypes.c_long(batch), _pointer(shape), node.zero_point, *tables)

        self._calls.append((reads, writes, bind))

    def _plan_add(self, node: Add, behind: Requantize) -> None:
        acc = self._graph.tensors[node.output]
        form = self._form(behind, acc, np.float64)
        uniform = all(v.size == 1 for v in (form.a, form.b, form.lo, form.hi))
        if len(node.inputs) != 2 or node.multipliers.shape[1] != 1 or not uniform:
            raise Inexact(f"{node.name}: a sum with scales per channel or other than two inputs")
        pairs = zip(node.inputs, node.multipliers, strict=True)
        if sum(int((magnitude(self._graph.tensors[n]) * np.abs(m)).max()) for n, m in pairs) >= 1 << 53:
            raise Inexact(f"{node.name}: the sum leaves float64")
        values = (*node.multipliers[:, 0], form.a[0], form.b[0], form.lo[0], form.hi[0])
        numbers = [ctypes.c_double(float(v)) for v in values]
        reads, writes, size, kernels = node.inputs, behind.output, acc.size, self._kernels

        def bind(batch: int, b: dict[str, NDArray[np.int16]]) -> tuple[Any, tuple[Any, ...]]:
            one, two = (_pointer(b[self._root(n)]) for n in reads)
            return kernels.bw_add, (one, two, _pointer(b[writes]), ctypes.c_long(batch * size), *numbers)

        self._calls.append((reads, writes, bind))

    def _plan_pool(self, node: SumPool2d, behind: Requantize) -> None:
        x, acc = self._graph.tensors[node.inputs[0]], self._graph.tensors[node.output]
        if node.kernel != x.shape[:2] or any(node.pads):
            raise Inexact(f"{node.name}: pooling that is not global")
        table = self._table(self._form(behind, acc, np.float64), acc.channels, np.float64)
        reads, writes, kernels = node.inputs, behind.output, self._kernels
        positions = x.shape[0] * x.shape[1]

        def bind(batch: int, b: dict[str, NDArray[np.int16]]) -> tuple[Any, tuple[Any, ...]]:
            ends = _pointer(b[self._root(reads[0])]), _pointer(b[writes])
            tail = positions, acc.channels, node.zero_point, _pointer(table)
            return kernels.bw_pool, (*ends, ctypes.c_long(batch), *tail)

        self._calls.append((reads, writes, bind))

    def _plan_multiply(self, node: Multiply, behind: Requantize) -> None:
        tensors, acc = self._graph.tensors, self._graph.tensors[node.output]
        # The form holds for an accumulator below 2**24 only; so do the operands, unless the other one is always 0.
        table = self._table(self._form(behind, acc), acc.channels)
        pairs = list(zip(node.inputs, node.zero_points, strict=True))
        if tensors[node.inputs[0]].shape != acc.shape:
            pairs.reverse()
        if any(int(magnitude(tensors[n], zero).max()) >= 1 << 24 for n, zero in pairs):
            raise Inexact(f"{node.name}: a zero point beyond 2**24")
        names, zeros = zip(*pairs, strict=True)
        rows = acc.size // acc.channels
        share = rows * acc.channels // tensors[names[1]].size
        writes, kernels, channels = behind.output, self._kernels, acc.channels

        def bind(batch: int, b: dict[str, NDArray[np.int16]]) -> tuple[Any, tuple[Any, ...]]:
            one, two = (_pointer(b[self._root(n)]) for n in names)
            sizes = ctypes.c_long(batch * rows), channels, ctypes.c_long(share)
            return kernels.bw_multiply, (one, two, _pointer(b[writes]), *sizes, *zeros, _pointer(table))

        self._calls.append((node.inputs, writes, bind))

    def _plan_requantize(self, node: Requantize) -> None:
        """One that reads an activation, not an accumulator."""
        x = self._graph.tensors[node.inputs[0]]
        for name in (*node.inputs, node.output):
            self._fits_int16(self._graph.tensors[name])
        table = self._table(self._form(node, x), x.channels)
        reads, writes, kernels, rows = node.inputs, node.output, self._kernels, x.size // x.channels

        def bind(batch: int, b: dict[str, NDArray[np.int16]]) -> tuple[Any, tuple[Any, ...]]:
            ends = _pointer(b[self._root(reads[0])]), _pointer(b[writes])
            return kernels.bw_requantize, (*ends, ctypes.c_long(batch * rows), x.channels, _pointer(table))

        self._calls.append((reads, writes, bind))

    def _allocate(self, batch: int) -> dict[str, NDArray[np.int16]]:
        """Buffers for a batch size; a buffer is used again once nothing reads its tensor any more."""
        tensors, free, buffers = self._graph.tensors, [], {}  # type: ignore[var-annotated]

        def take(name: str) -> None:
            need = batch * tensors[name].size + 2 * BLOCK  # kernels may read a little beyond the end
            best = min((b for b in free if b.size >= need), key=lambda b: b.size, default=None)
            if best is not None:
                free[:] = [b for b in free if b is not best]
            buffers[name] = np.zeros(need, np.int16) if best is None else best

        for given in self._graph.inputs:
            take(given.tensor)
        for k, (reads, writes, _) in enumerate(self._calls):
            take(writes)
            free += [buffers[r] for r in {self._root(n) for n in reads} if self._last[r] == k and r not in self._keep]
        return buffers

    def run(self, inputs: Mapping[str, IntArray]) -> dict[str, IntArray]:
        """Checked int64 inputs (batch, *shape) to int64 outputs."""
        batch = len(next(iter(inputs.values())))
        if self._bound is None or self._bound[0] != batch:
            buffers = self._allocate(batch)
            self._bound = batch, buffers, [bind(batch, buffers) for _, _, bind in self._calls]
        _, buffers, calls = self._bound
        for name, x in inputs.items():
            buffers[name][: x.size] = x.reshape(-1)
        for kernel, arguments in calls:
            kernel(*arguments)
        results = {}
        for name in self._outputs:
            t = self._graph.tensors[name]
            values = buffers[self._root(name)][: batch * t.size]
            results[name] = values.astype(np.int64).reshape(batch, *t.shape)
        return results


def _packed(weight: IntArray, padded: int) -> NDArray[np.int16]:
    """(depth, outputs) -> (blocks, pairs, 16, 2), zeros where depth or outputs are filled up."""
    depth, outputs = weight.shape
    filled = np.pad(weight, ((0, depth % 2), (0, padded - outputs)))
    return filled.reshape(-1, 2, padded // BLOCK, BLOCK).transpose(2, 0, 3, 1).astype(np.int16, order="C")


def _geometry(node: Conv2d, x: Tensor, acc: Tensor) -> NDArray[np.int32]:
    return np.asarray(
        [*x.shape, *acc.shape, *node.weight.shape[:2], *node.strides, *node.dilations, *node.pads[:2]], np.int32
    )
