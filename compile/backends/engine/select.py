# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Instruction selection: which layer of the engine does which nodes of the integer graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from bitwright.compile.backends.engine.layers import (
    Fold,
    Layer,
    Network,
    Refused,
    Requant,
    Stored,
    View,
    identity_requant,
    make_requant,
)
from bitwright.compile.backends.engine.refit import refit_apart
from bitwright.compile.backends.engine.upsample import is_wide, runs
from bitwright.compile.ir import Graph
from bitwright.compile.ir.ops import (
    Add,
    ArgMax,
    Concat,
    Conv2d,
    DeformConv2d,
    Dense,
    MaxPool2d,
    Node,
    Pad,
    PermuteChannels,
    Requantize,
    Reshape,
    ResizeLinear,
    ResizeNearest,
    Slice,
    SumPool2d,
)
from bitwright.compile.ir.ops.base import per_channel
from bitwright.compile.ir.types import IntArray, Tensor
from bitwright.hw.config import LANES
from bitwright.hw.isa import ARGMAX_LABELS, ARGMAX_PIXELS, SHIFTS

#: The field of the instruction has 4 bits.
MAX_ARRAY_KERNEL = 15
MAX_KERNEL = 255


def spatial(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """A shape as (H, W, C). Raises Refused."""
    if len(shape) > 3:
        raise Refused(f"shape {shape} has more than three axes")
    return (1,) * (3 - len(shape)) + tuple(shape)  # type: ignore[return-value]


class Selector:
    """Walks the graph once; `refused` collects (node, operator, reason)."""

    def __init__(self, graph: Graph, acc_bits: int) -> None:
        self.acc_bits = acc_bits
        self.graph = graph
        self.nodes, self.readers = graph.producers(), graph.consumers()
        self.views: dict[str, View] = {}
        self.accumulators: dict[str, Node] = {}
        self.layers: list[Layer] = []
        self.stored: dict[str, Stored] = {}
        self.inputs: dict[str, str] = {}
        self.refused: list[tuple[str, str, str]] = []
        self.handlers: dict[type[Node], Callable[[Node], None]] = {
            Requantize: self._requantize,
            Slice: self._slice,
            Concat: self._concat,
            PermuteChannels: self._permute,
            Reshape: self._reshape,
            ResizeNearest: self._resize,
            Pad: self._pad,
            ArgMax: self._argmax,
        }

    def run(self) -> Network:
        """The network; look at `refused` first."""
        graph = self.graph
        for given in graph.inputs:
            self._declare_input(graph.tensors[given.tensor])
        wanted = graph.output_tensors()
        for node in graph.nodes:
            try:
                missing = [n for n in node.inputs if n not in self.views and n not in self.accumulators]
                if missing:
                    continue  # it follows from a node that was refused
                handler = self.handlers.get(type(node))
                if handler:
                    handler(node)
                elif isinstance(node, (Conv2d, Dense, DeformConv2d, MaxPool2d, SumPool2d, Add, ResizeLinear)):
                    self._accumulate(node)
                else:
                    raise Refused("the engine has no instruction for it")
            except Refused as error:
                self.refused.append((node.name, node.op, str(error)))
        outputs = {}
        for name in dict.fromkeys(o.tensor for o in graph.outputs):
            if name in self.views:
                try:
                    outputs[name] = self._output(name)
                except Refused as error:
                    self.refused.append((name, "output", str(error)))
        assert wanted
        return Network(self.layers, self.stored, self.inputs, outputs, dict(self.views))

    # --- tensors -----------------------------------------------------------------------------------------------------

    def _declare_input(self, tensor: Tensor) -> None:
        lo, hi = tensor.bounds
        if lo < -128 or hi > 255 or (lo < 0 and hi > 127):
            self.refused.append((tensor.name, "input", f"its values {lo}..{hi} do not fit 8 bits"))
            return
        self.inputs[tensor.name] = tensor.name
        self._store(tensor.name, spatial(tensor.shape), lo < 0)

    def _store(self, name: str, shape: tuple[int, int, int], signed: bool) -> View:
        self.stored[name] = Stored(name, shape, signed)
        self.views[name] = View.whole(name, shape)
        return self.views[name]

    def _is_accumulator(self, view: View) -> Node | None:
        for name in view.names:
            if name in self.accumulators:
                if len(view.names) > 1:
                    raise Refused(f"accumulators of {sorted(view.names)} are joined before they are quantized")
                return self.accumulators[name]
        return None

    def _read(self, name: str) -> View:
        """A view of 8-bit tensors of one signedness. Raises Refused."""
        view = self.views[name]
        node = self._is_accumulator(view)
        if node is not None:
            tensor = self.graph.tensors[node.output]
            raise Refused(
                f"it reads {node.output}, whose values {tensor.bounds[0]}..{tensor.bounds[1]} are not quantized to "
                "8 bits; put a quantizer there when the network is trained"
            )
        return view

    def _signed(self, view: View) -> bool:
        kinds = {self.stored[name].signed for name in view.names}
        if len(kinds) > 1:
            raise Refused("it joins signed and unsigned 8-bit tensors; give the branches one quantizer")
        return kinds.pop()

    # --- movement ----------------------------------------------------------------------------------------------------

    def _slice(self, node: Node) -> None:
        assert isinstance(node, Slice)
        view, rank = self.views[node.inputs[0]], len(self.graph.tensors[node.inputs[0]].shape)
        if node.axis == rank - 1:
            self.views[node.output] = view.take(list(node.indices()))
            return
        if node.step < 1:
            raise Refused("it reverses an axis of the image")
        axis = node.axis - (rank - 3)
        starts, steps = [0, 0], [1, 1]
        starts[axis], steps[axis] = node.start, node.step
        shape = spatial(self.graph.tensors[node.output].shape)
        self._copy(node, self._read(node.inputs[0]), shape, (-starts[0], -starts[1]), (steps[0], steps[1]), 0)

    def _pad(self, node: Node) -> None:
        assert isinstance(node, Pad)
        before = (0,) * (3 - len(node.before)) + node.before
        after = (0,) * (3 - len(node.after)) + node.after
        if before[2] or after[2]:
            raise Refused("it pads channels")
        shape = spatial(self.graph.tensors[node.output].shape)
        self._copy(node, self._read(node.inputs[0]), shape, (before[0], before[1]), (1, 1), node.value)

    def _copy(
        self,
        node: Node,
        view: View,
        shape: tuple[int, int, int],
        pads: tuple[int, int],
        strides: tuple[int, int],
        fill: int,
    ) -> None:
        """Outside the view lies ``fill``: it is the zero point that the copy takes off and adds again."""
        tensor = self.graph.tensors[node.output]
        lo, hi = tensor.bounds
        channels = shape[2]
        one = np.ones((1, channels), np.int64)
        requant = make_requant(one, np.zeros(channels, np.int64), 0, False, fill, lo, hi, [511])
        self._layer(node, "conv", [view], shape, requant, kernel=(1, 1), strides=strides, pads=pads,
                    weight=np.ones((1, 1, channels), np.int64), zero_point=fill)  # fmt: skip

    def _concat(self, node: Node) -> None:
        assert isinstance(node, Concat)
        views = [self.views[n] for n in node.inputs]
        if node.axis != len(self.graph.tensors[node.inputs[0]].shape) - 1:
            raise Refused("it joins along an axis of the image")
        if len({v.up for v in views}) > 1:
            views = [v if v.up == (0, 0) else self._flat(n, v) for n, v in zip(node.inputs, views, strict=True)]
        self.views[node.output] = View.joined(views)

    def _flat(self, name: str, view: View) -> View:
        """The view as a stored tensor of its full size."""
        lo, hi = (-128, 127) if self._signed(view) else (0, 255)
        if f"{name}.flat" in self.stored:
            return self.views[f"{name}.flat"]
        layer = Layer(
            f"{name}.flat", "conv", [view], f"{name}.flat", (1, 1), (1, 1), (1, 1), (0, 0),
            identity_requant(view.shape[2], lo, hi), np.ones((1, 1, view.shape[2]), np.int64),
            signed=self._signed(view),
        )  # fmt: skip
        self.layers.append(layer)
        return self._store(layer.output, view.shape, lo < 0)

    def _permute(self, node: Node) -> None:
        assert isinstance(node, PermuteChannels)
        self.views[node.output] = self.views[node.inputs[0]].take(list(node.order))

    def _reshape(self, node: Node) -> None:
        view, shape = self.views[node.inputs[0]], spatial(self.graph.tensors[node.output].shape)
        if shape == view.shape:
            self.views[node.output] = view
            return
        readers = self.readers[node.output]
        if shape[:2] == (1, 1) and readers and all(isinstance(n, Dense) for n in readers):
            self.views[node.output] = view  # Dense sees the image: a convolution as large as it
            return
        if view.shape[2] == 1 and not readers:
            self.views[node.output] = view  # the values leave in this order, whatever the shape is called
            return
        raise Refused(f"it turns {view.shape} into {shape}")

    def _resize(self, node: Node) -> None:
        assert isinstance(node, ResizeNearest)
        view = self.views[node.inputs[0]]
        if view.shape[:2] == (1, 1) and max(len(node.rows), len(node.columns)) > 1:
            # One pixel everywhere: a window that stays where it is.
            shape = (len(node.rows), len(node.columns), view.shape[2])
            self._copy(node, self._read(node.inputs[0]), shape, (0, 0), (0, 0), 0)
            return
        up = []
        for taken, length in zip((node.rows, node.columns), view.shape[:2], strict=True):
            shift = next((s for s in range(3) if list(taken) == [i >> s for i in range(length << s)]), None)
            if shift is None:
                raise Refused("nearest upsampling is by 1, 2 or 4 and aligned to the first pixel")
            up.append(shift)
        total = (view.up[0] + up[0], view.up[1] + up[1])
        if max(total) > 2:
            view, total = self._flat(node.inputs[0], self._read(node.inputs[0])), (up[0], up[1])
        shape = (view.shape[0] << up[0], view.shape[1] << up[1], view.shape[2])
        self.views[node.output] = view.resized(shape, total)

    def _argmax(self, node: Node) -> None:
        """Of 8-bit channels, or of the sums of a linear upsampling."""
        assert isinstance(node, ArgMax)
        view, tensor = self.views[node.inputs[0]], self.graph.tensors[node.inputs[0]]
        if node.axis != len(tensor.shape) - 1 or node.last:
            raise Refused("it is not the first greatest channel of every pixel")
        if view.shape[2] > ARGMAX_LABELS:
            raise Refused(f"it has {view.shape[2]} channels, at most {ARGMAX_LABELS} labels are possible")
        if view.shape[1] > ARGMAX_PIXELS:
            raise Refused(f"a row has {view.shape[1]} pixels, at most {ARGMAX_PIXELS} are possible")
        if not all(isinstance(n, Reshape) for n in self.readers[node.output]):
            raise Refused("its labels are read by another node; they can only leave the network")
        source, taps = self._is_accumulator(view), None
        if isinstance(source, ResizeLinear) and view.injective:
            view, taps = self.views[source.inputs[0]].take(view.channel), (source.row_taps, source.column_taps)
        else:
            view = self._read(node.inputs[0])
        one = np.ones((1, view.shape[2]), np.int64)
        limits = [max(abs(b) for b in tensor.bounds)]
        requant = make_requant(
            one, np.zeros(view.shape[2], np.int64), 0, False, 0, 0, 255, limits, acc_bits=self.acc_bits
        )
        shape = (*spatial(tensor.shape)[:2], 1)
        x = self._gathered(f"{node.output}.channels", view)  # in their order
        weight = None if taps else np.ones((1, 1, view.shape[2]), np.int64)
        self._layer(node, "up" if taps else "conv", [x], shape, requant, taps=taps, weight=weight, argmax=True)

    # --- layers ------------------------------------------------------------------------------------------------------

    def _layer(
        self,
        node: Node,
        kind: str,
        inputs: list[View],
        shape: tuple[int, int, int],
        requant: Requant,
        *,
        kernel: tuple[int, int] = (1, 1),
        strides: tuple[int, int] = (1, 1),
        dilations: tuple[int, int] = (1, 1),
        pads: tuple[int, int] = (0, 0),
        weight: IntArray | None = None,
        zero_point: int = 0,
        offsets: View | None = None,
        reach: int = 0,
        name: str = "",
        nodes: tuple[str, ...] = (),
        taps: tuple[IntArray, IntArray] | None = None,
        argmax: bool = False,
    ) -> View:
        name = name or node.output
        if kind != "pw":
            inputs = [v if v.injective else self._gathered(f"{name}.gathered{i}", v) for i, v in enumerate(inputs)]
        pointwise = kind == "pw" and kernel == (1, 1) and strides == (1, 1)
        full, up = shape, inputs[0].up
        if pointwise and up != (0, 0):
            # A 1x1 convolution of an upsampled image is the upsampled 1x1 convolution of the image.
            shape = (shape[0] >> up[0], shape[1] >> up[1], shape[2])
            inputs = [inputs[0].resized((*shape[:2], inputs[0].shape[2]), (0, 0))]
        operand = self._signed(inputs[1]) if len(inputs) > 1 else bool(offsets) and self._signed(offsets)  # type: ignore[arg-type]
        self.layers.append(
            Layer(
                name,
                kind,
                inputs,
                name,
                kernel,
                strides,
                dilations,
                pads,
                requant,
                weight,
                zero_point,
                self._signed(inputs[0]),
                operand,
                offsets,
                reach,
                nodes or (node.name,),
                taps,
                argmax,
                node.weight_range if isinstance(node, (Conv2d, Dense)) else None,
            )
        )
        lowest, highest = (-128, 127) if self._signed(inputs[0]) else (0, 255)
        if not lowest <= zero_point <= highest:
            raise Refused(f"the zero point {zero_point} lies outside the activations' range {lowest}..{highest}")
        view = self._store(name, shape, requant.lo < 0)
        if shape != full:
            view = self.views[name] = view.resized(full, up)
        return view

    def _gathered(self, name: str, view: View) -> View:
        """The channels copied into a tensor of their own: an identity on the array."""
        channels = view.shape[2]
        lo, hi = (-128, 127) if self._signed(view) else (0, 255)
        weight = np.eye(channels, dtype=np.int64)[None, None]
        self.layers.append(
            Layer(name, "pw", [view], name, (1, 1), (1, 1), (1, 1), (0, 0), identity_requant(channels, lo, hi), weight,
                  signed=lo < 0)
        )  # fmt: skip
        return self._store(name, view.shape, lo < 0)

    def _accumulate(self, node: Node) -> None:
        """A node whose values are quantized by what reads it: the layer is made there, or here when nothing does."""
        tensor = self.graph.tensors[node.output]
        shape = spatial(tensor.shape)
        self._check(node)
        readers = self.readers[node.output]
        lo, hi = tensor.bounds
        if (
            lo >= -128
            and hi <= (127 if lo < 0 else 255)
            and not (readers and all(isinstance(n, Requantize) for n in readers))
        ):
            self._compute(node, identity_requant(shape[2], lo, hi), node.output, (node.name,))
            return
        # The layer is made where a quantizer reads it; any other reader says what is wrong.
        self.accumulators[node.output] = node
        self.views[node.output] = View.whole(node.output, shape)

    def _check(self, node: Node) -> None:
        for name in node.inputs:
            self._read(name)
        if isinstance(node, Add) and len(node.inputs) != 2:
            raise Refused(f"it adds {len(node.inputs)} tensors; the engine adds two")
        if isinstance(node, ResizeLinear):
            is_wide((node.row_taps, node.column_taps))
            for taps in (node.row_taps, node.column_taps):
                runs(taps)
        if isinstance(node, DeformConv2d):
            channels = self.graph.tensors[node.inputs[0]].channels
            if node.groups != channels or node.weight.shape[3] != channels:
                raise Refused(f"it is no depthwise convolution ({node.groups} groups of {channels} channels)")
            if node.weight.shape[:2] != (3, 3) or node.offset_groups != 1:
                raise Refused("deformable windows are 3x3 with one set of offsets")
            lo, hi = self.graph.tensors[node.inputs[1]].bounds
            if lo < -128 or hi > 127:
                raise Refused(f"offsets reach {lo}..{hi}, more than 8 bits")

    def _requantize(self, node: Node) -> None:
        assert isinstance(node, Requantize)
        view = self.views[node.inputs[0]]
        source = self._is_accumulator(view)
        channels = view.shape[2]
        lo, hi = self._clamp(node)
        m, c = (np.broadcast_to(a, (channels,)).astype(np.int64) for a in (node.multiplier, node.addend))
        half = node.rounding == "half_even"
        if source is None:
            requant = make_requant(m[None], c, node.shift, half, node.offset, lo, hi, [256])
            self._layer(node, "conv", [view], view.shape, requant, weight=np.ones((1, 1, channels), np.int64))
            return
        tensor = self.graph.tensors[source.output]
        every = tensor.channels
        taken = view.channel
        if not view.injective:
            raise Refused(f"channels of {source.output} are quantized twice in one tensor")
        mm, cc = np.zeros(every, np.int64), np.zeros(every, np.int64)
        mm[taken], cc[taken] = m, c
        if isinstance(source, Add):
            rows = np.broadcast_to(source.multipliers, (2, every)) * mm
            limits = [self._magnitude(n) for n in source.inputs]
        else:
            rows, limits = mm[None], [max(abs(b) for b in tensor.bounds)]
        ranges = None
        if len(rows) == 1:
            ranges = per_channel(tensor.lo, every), per_channel(tensor.hi, every)
        try:
            requant = make_requant(
                rows, cc, node.shift, half, node.offset, lo, hi, limits, acc_bits=self.acc_bits, ranges=ranges
            )  # fmt: skip
        except Refused:
            if ranges is None or half or limits[0] >= 1 << (self.acc_bits - 1):
                raise
            # Whatever the reason was: one layer for each shift may still do.
            groups = refit_apart(rows[0], cc, node.shift, node.offset, (lo, hi), *ranges)
            if groups is None:
                raise
            self.views[node.output] = self._apart(source, node, groups, (lo, hi)).take(taken)
            return
        made = self._compute(source, requant, node.output, (source.name, node.name))
        self.views[node.output] = made.take(taken)

    def _apart(
        self,
        source: Node,
        node: Requantize,
        groups: dict[int, tuple[list[int], IntArray, IntArray]],
        limits: tuple[int, int],
    ) -> View:
        """A layer for each shift: channels whose constants fit no common one."""
        every = self.graph.tensors[source.output].channels
        whole = self._compute(source, identity_requant(every, *limits), node.output, (source.name, node.name))
        layer = self.layers.pop()
        shape = self.stored.pop(layer.output).shape
        refs: dict[int, tuple[str, int]] = {}
        for code, (channels, m, c) in groups.items():
            name = f"{layer.output}.shift{SHIFTS[code]}"
            requant = Requant(m[None], c, code, False, False, *limits)
            weight = None if layer.weight is None else np.ascontiguousarray(layer.weight[..., channels])
            inputs = layer.inputs if layer.on_array else [layer.inputs[0].take(channels)]
            self.layers.append(
                replace(layer, name=name, output=name, inputs=inputs, weight=weight, requant=requant, weight_range=None)
            )
            self.stored[name] = Stored(name, (*shape[:2], len(channels)), limits[0] < 0)
            refs |= {k: (name, i) for i, k in enumerate(channels)}
        return View.of(whole.shape, [refs[k] for k in range(every)], whole.up)

    def _magnitude(self, name: str) -> int:
        return max(abs(b) for b in self.graph.tensors[name].bounds)

    def _clamp(self, node: Requantize) -> tuple[int, int]:
        """One pair of bounds for all channels. Raises Refused when channels are clamped differently."""
        out = self.graph.tensors[node.output]
        if len(set(node.lo.flat)) == 1 and len(set(node.hi.flat)) == 1:
            lo, hi = int(node.lo.flat[0]), int(node.hi.flat[0])
        else:
            free = Requantize(
                name=node.name, inputs=node.inputs, output=node.output, multiplier=node.multiplier, addend=node.addend,
                shift=node.shift, rounding=node.rounding, offset=node.offset, itype=node.itype,
                lo=np.array([node.lo.min()]), hi=np.array([node.hi.max()]),
            )  # fmt: skip
            x = self.graph.tensors[node.inputs[0]]
            for ends in (x.lo, x.hi):
                if not np.array_equal(free.compute(ends.reshape(1, -1)), node.compute(ends.reshape(1, -1))):
                    raise Refused("its channels are clamped to different bounds")
            lo, hi = int(node.lo.min()), int(node.hi.max())
        lo, hi = max(lo, out.itype.lo), min(hi, out.itype.hi)
        if lo < -128 or hi > (127 if lo < 0 else 255):
            raise Refused(f"its values {lo}..{hi} do not fit 8 bits")
        return lo, hi

    def _compute(self, node: Node, requant: Requant, output: str, nodes: tuple[str, ...]) -> View:
        """The layer of an operator, with the requantization of its result."""
        views = [self._read(n) for n in node.inputs]
        shape = spatial(self.graph.tensors[node.output].shape)
        name = output
        if isinstance(node, Dense):
            x = views[0]
            height, width, channels = x.shape
            if node.weight.shape[0] != channels:  # a flattened image
                if max(height, width) > MAX_ARRAY_KERNEL:
                    raise Refused(f"it reads a flattened image of {height}x{width}, at most 15x15 is possible")
                weight, kernel = node.weight.reshape(height, width, channels, -1), (height, width)
            else:
                weight, kernel = node.weight[None, None], (1, 1)
            return self._layer(
                node, "pw", [x], shape, requant, kernel=kernel, weight=weight, zero_point=node.zero_point, name=name,
                nodes=nodes,
            )  # fmt: skip
        if isinstance(node, Conv2d):
            return self._conv(node, views[0], shape, requant, name, nodes)
        if isinstance(node, Add):
            if views[1].up != (0, 0):  # the second summand is read as it lies
                views[1] = self._flat(node.inputs[1], views[1])
            return self._layer(node, "add", views, shape, requant, name=name, nodes=nodes)
        if isinstance(node, DeformConv2d):
            kind, offsets = self._offsets(node)
            reach = self._magnitude(node.inputs[1])
            return self._layer(
                node, kind, [views[0]], shape, requant, kernel=(3, 3), strides=node.strides, dilations=node.dilations,
                pads=node.pads[:2], weight=node.weight[:, :, 0, :], zero_point=node.zero_point, offsets=offsets,
                reach=reach, name=name, nodes=nodes,
            )  # fmt: skip
        if isinstance(node, ResizeLinear):
            return self._layer(
                node, "up", views, shape, requant, taps=(node.row_taps, node.column_taps), name=name, nodes=nodes
            )
        assert isinstance(node, (MaxPool2d, SumPool2d))
        if max(node.kernel) > MAX_KERNEL:
            raise Refused(f"its window {node.kernel} is larger than {MAX_KERNEL}")
        common = {"kernel": node.kernel, "strides": node.strides, "dilations": node.dilations, "pads": node.pads[:2]}
        if isinstance(node, MaxPool2d):
            return self._layer(node, "max", views, shape, requant, name=name, nodes=nodes, **common)  # type: ignore[arg-type]
        weight = np.ones((*node.kernel, shape[2]), np.int64)
        return self._layer(node, "conv", views, shape, requant, weight=weight, zero_point=node.zero_point, name=name,
                           nodes=nodes, **common)  # type: ignore[arg-type] # fmt: skip

    def _conv(
        self, node: Conv2d, x: View, shape: tuple[int, int, int], requant: Requant, name: str, nodes: tuple[str, ...]
    ) -> View:
        weight, zero, pads = node.weight, node.zero_point, node.pads[:2]
        kh, kw, per_group, outputs = weight.shape
        least, most = node.weight_range
        if least < -128 or most > 127:
            raise Refused(f"its weights {least}..{most} do not fit 8 bits")
        if per_group == 1 and outputs == node.groups and outputs > 1:
            return self._layer(
                node, "conv", [x], shape, requant, kernel=(kh, kw), strides=node.strides, dilations=node.dilations,
                pads=pads, weight=weight[:, :, 0, :], zero_point=zero, name=name, nodes=nodes,
            )  # fmt: skip
        if max(kh, kw) > MAX_ARRAY_KERNEL:
            raise Refused(f"its window is {kh}x{kw}, at most 15x15 is possible")
        if node.groups > 1:  # the array has no groups: zero weights elsewhere
            dense = np.zeros((kh, kw, per_group * node.groups, outputs), np.int64)
            step = outputs // node.groups
            for g in range(node.groups):
                part = np.s_[:, :, g * per_group : (g + 1) * per_group, g * step : (g + 1) * step]
                dense[part] = weight[..., g * step : (g + 1) * step]
            weight = dense
        strides, dilations = node.strides, node.dilations
        folded = self._fold(x, node)
        if folded is not None:
            x, weight = folded, weight.transpose(0, 1, 2, 3).reshape(kh, 1, kw * weight.shape[2], outputs)
            kw, strides, dilations, pads = 1, (strides[0], 1), (dilations[0], 1), (pads[0], 0)
        return self._layer(
            node, "pw", [x], shape, requant, kernel=(kh, kw), strides=strides, dilations=dilations, pads=pads,
            weight=weight, zero_point=zero, name=name, nodes=nodes,
        )  # fmt: skip

    def _fold(self, x: View, node: Conv2d) -> View | None:
        """A network input that only this convolution reads, with few channels: the host packs each row's windows."""
        name = node.inputs[0]
        kw, channels = node.weight.shape[1], x.shape[2]
        if self.inputs.get(name) != name or kw * channels > LANES or kw == 1 or node.dilations[1] != 1:
            return None
        if len(self.readers[name]) != 1 or name in self.graph.output_tensors() or self.stored[name].fold:
            return None
        tensor = self.graph.tensors[name]
        if not tensor.itype.lo <= node.zero_point <= tensor.itype.hi:
            return None
        out_width = self.graph.tensors[node.output].shape[1]
        fold = Fold(x.shape[1], channels, kw, node.strides[1], node.pads[1], node.zero_point)
        stored = Stored(name, (x.shape[0], out_width, kw * channels), self.stored[name].signed, fold=fold)
        self.stored[name] = stored
        return View.whole(name, stored.shape)

    def _offsets(self, node: DeformConv2d) -> tuple[str, View]:
        """('square', the view of d) when all offsets are d times the tap's position, else ('free', the offsets)."""
        maker = self.nodes.get(node.inputs[1])
        square = [s for i in range(3) for j in range(3) for s in (i - 1, j - 1)]
        if isinstance(maker, Requantize) and maker.inputs[0] in self.views:
            base = self.views[maker.inputs[0]]
            if len(set(base.refs)) == 1 and base.names[0] in self.stored:
                lo, hi = self.graph.tensors[maker.inputs[0]].bounds
                d = np.arange(lo, hi + 1)
                if np.array_equal(maker.compute(np.repeat(d[:, None], 18, axis=1)), d[:, None] * np.array(square)):
                    base = base.take([0])
                    return "square", base if base.up == (0, 0) else self._flat(maker.inputs[0], base)
        view = self._read(node.inputs[1])
        lo, _ = self.graph.tensors[node.inputs[1]].bounds
        if lo >= 0 and self.graph.tensors[node.inputs[1]].bounds[1] > 127:
            raise Refused("offsets above 127")
        return "free", self._gathered(f"{node.output}.offsets", view)

    # --- outputs -----------------------------------------------------------------------------------------------------

    def _output(self, name: str) -> list[View]:
        """Views of the bytes of an output tensor: one when it is 8-bit, else one for each byte, lowest first."""
        view = self.views[name]
        source = self._is_accumulator(view)
        if source is None:
            if len(view.names) > 1:
                view = self._gathered(f"{name}.joined", view)
            return [view if view.up == (0, 0) else self._flat(name, view)]
        tensor = self.graph.tensors[source.output]
        lo, hi = tensor.bounds
        count = -(-max(lo.bit_length() + 1 if lo < 0 else 1, hi.bit_length() + 1) // 8)
        every = tensor.channels
        views = []
        for byte in range(count):
            one = (
                np.broadcast_to(source.multipliers, (2, every))
                if isinstance(source, Add)
                else np.ones((1, every), np.int64)
            )
            limits = [self._magnitude(n) for n in source.inputs] if isinstance(source, Add) else [max(abs(lo), abs(hi))]
            shift = 8 * byte
            none = np.zeros(every, np.int64)
            requant = make_requant(one, none, shift, False, 0, 0, 255, limits, wrap=True, acc_bits=self.acc_bits)
            made = self._compute(source, requant, f"{name}.byte{byte}", (source.name,))
            if made.up != (0, 0):
                made = self._flat(f"{name}.byte{byte}", made)
            views.append(made.take(view.channel))
        return views


def select(graph: Graph, acc_bits: int) -> tuple[Network, list[tuple[str, str, str]]]:
    """The layers of a graph, and (node, operator, reason) of what the engine cannot do.

    Args:
        acc_bits: of an accumulator that the requantizers take.
    """
    selector = Selector(graph, acc_bits)
    network = selector.run()
    keep = _needed(network)
    network.layers = [layer for layer in network.layers if layer.output in keep]
    return network, selector.refused


def _needed(network: Network) -> set[str]:
    """Stored tensors that reach an output (the square offset pattern leaves a layer that nothing reads)."""
    keep = {name for views in network.outputs.values() for v in views for name in v.names}
    for layer in reversed(network.layers):
        if layer.output in keep:
            keep.update(*(view.names for view in layer.reads()))
    return keep
