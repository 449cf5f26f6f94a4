# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Walks an ONNX model in its order and builds the integer graph."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import onnx
from onnx import numpy_helper

from bitwright.compile.frontend import handlers  # noqa: F401  (registers the operators)
from bitwright.compile.frontend.constants import evaluate
from bitwright.compile.frontend.emit import Emitter
from bitwright.compile.frontend.outputs import finish_output
from bitwright.compile.frontend.reader import ModelFile, read_model
from bitwright.compile.frontend.registry import HANDLERS, TAKE_SCALED, Call, domain_group, poisoned
from bitwright.compile.frontend.values import (
    FLOAT,
    INTEGER_RANGES,
    Const,
    Item,
    Poison,
    RealInput,
    Refuse,
    Scaled,
    Value,
    scalar,
)
from bitwright.compile.ir import Graph, GraphBuilder, GraphInput, IntType, Quantize
from bitwright.compile.ir.validate import validate
from bitwright.compile.passes import finalize
from bitwright.errors import ModelError, UnsupportedModelError

Problem = tuple[str, str, str]
#: Subgraph-carrying and other control-flow operators, named in their refusal.
CONTROL_FLOW = {"If", "Loop", "Scan"}


def import_model(path: str | Path, shapes: Mapping[str, tuple[int, ...]] | None = None) -> Graph:
    """Read an ONNX model and turn it into an integer graph (docs/ir.md).

    Args:
        path: QONNX, QDQ/QCDQ or QLinear-operator model, opset 11 to 22.
        shapes: input name -> static shape, batch first, for inputs that are dynamic in the file.

    Raises:
        ModelError: the file is not a model that can be read.
        UnsupportedModelError: every node that has no exact integer meaning, or no operator here.
    """
    return Importer(read_model(path, shapes)).run()


class Importer:
    """State of one import."""

    def __init__(self, file: ModelFile) -> None:
        self.file = file
        graph = file.model.graph
        self.emitter = Emitter(GraphBuilder(graph.name or file.path.stem))
        self.items: dict[str, Item] = {}
        self.problems: list[Problem] = []
        self.stored: dict[str, onnx.TensorProto] = {}
        self.unread: Counter[str] = Counter()
        self.inputs: dict[str, GraphInput] = {}
        self.quantized: dict[str, tuple[object, Value]] = {}
        self.batch = file.inputs[0].shape[0]

    def run(self) -> Graph:
        """Import all of it."""
        graph = self.file.model.graph
        self._check_names(graph)
        self.stored = {tensor.name: tensor for tensor in graph.initializer}
        self.unread.update(name for node in graph.node for name in node.input)
        self.unread.update(info.name for info in graph.output)
        for spec in self.file.inputs:
            self._add_input(spec.name, spec.shape, spec.elem)
        for i, node in enumerate(graph.node):
            self._add_node(node, i)
        outputs = []
        for info in graph.output:
            item = self._take(info.name)
            if isinstance(item, Poison) and self.problems:
                continue
            try:
                outputs.append(finish_output(self.emitter, info.name, item))
            except Refuse as reason:
                self.problems.append((info.name, "output", str(reason)))
        if self.problems:
            raise UnsupportedModelError(str(self.file.path), self.problems)
        inputs = [self.inputs[s.name] for s in self.file.inputs if s.name in self.inputs]
        result = finalize(self.emitter.builder.finish(inputs, outputs, self.emitter.notes))
        validate(result)
        return result

    def _check_names(self, graph: onnx.GraphProto) -> None:
        known = {i.name for i in graph.initializer} | {i.name for i in graph.input}
        for node in graph.node:
            for name in node.input:
                if name and name not in known:
                    later = any(name in n.output for n in graph.node)
                    why = "is written later only: sort the graph" if later else "is written by nothing"
                    raise ModelError(
                        f"{self.file.path}: node {node.name or node.op_type} ({node.op_type}) reads {name}, which {why}"
                    )
            known.update(n for n in node.output if n)
        for info in graph.output:
            if info.name not in known:
                raise ModelError(f"{self.file.path}: output {info.name} is written by nothing; export the model again")

    # Inputs -----------------------------------------------------------------------------------------------------

    def _add_input(self, name: str, shape: tuple[int, ...], elem: int) -> None:
        if elem in (FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16):
            self.items[name] = RealInput(name, shape)
            return
        if elem not in INTEGER_RANGES:
            kind = onnx.TensorProto.DataType.Name(elem)
            raise ModelError(f"{self.file.path}: input {name} has element type {kind}; floats or integers are expected")
        lo, hi = INTEGER_RANGES[elem]
        if hi >= 1 << 32 or lo < -(1 << 31):
            self.problems.append((name, "input", "64-bit integer inputs are not supported; use at most 32 bits"))
            self.items[name] = Poison(shape)
            return
        try:
            self.items[name] = self._declare(name, shape, IntType.containing(lo, hi), lo, hi, None, elem)
        except Refuse as reason:
            self.problems.append((name, "input", str(reason)))
            self.items[name] = Poison(shape)

    def _declare(
        self, name: str, shape: tuple[int, ...], itype: IntType, lo: int, hi: int, quantize: Quantize | None, elem: int
    ) -> Value:
        # Images are kept (H, W, C); everything else in its own order. A model in another layout costs a transpose
        # at the input, which the layout pass moves into the host's part.
        model_axes = (*range(1, len(shape) - 1), 0) if len(shape) >= 3 else tuple(range(len(shape) - 1))
        if len(shape) < 2:
            raise Refuse(f"model input {name} of shape {list(shape)} has no axis beside the batch; give it one")
        ir_shape = tuple(shape[1 + a] for a in model_axes)
        tensor = self.emitter.builder.input(name, ir_shape, itype, lo, hi)
        self.inputs[name] = GraphInput(name, shape[1:], tensor.name, model_axes, quantize)
        perm = tuple(a + 1 for a in model_axes)
        return Value(shape, perm, ((tensor.name, scalar(Fraction(1))),), elem=elem)

    def quantize_input(
        self, real: RealInput, scale: Fraction, zero: int, itype: IntType, lo: int, hi: int,
        rounding: str, zero_point_inside: bool,
    ) -> Value:  # fmt: skip
        """Integers of a float model input: the host quantizes them. The value is the integers themselves."""
        step = scale / real.factor
        if step <= 0:
            raise Refuse(f"the model input is scaled by {float(real.factor)}; the factor must be positive")
        key = (step, zero, lo, hi, rounding, zero_point_inside)
        if real.name in self.quantized:
            known, value = self.quantized[real.name]
            if known != key:
                raise Refuse(
                    f"model input {real.name} is quantized in two different ways; quantize it once and share the result"
                )
        else:
            mode = "HALF_EVEN" if rounding == "ROUND" else rounding
            quantize = Quantize(step, zero, lo, hi, mode, zero_point_inside)
            shape = next(s.shape for s in self.file.inputs if s.name == real.name)
            value = self._declare(real.name, shape, itype, lo, hi, quantize, FLOAT)
            self.quantized[real.name] = (key, value)
        for move in real.moves:
            value = move(value)
        return value

    def _take(self, name: str) -> Item | None:
        """A tensor for one of its readers; forgotten with the last of them, as constants take much memory."""
        if name in self.stored:
            tensor = self.stored.pop(name)
            self.items[name] = Const(numpy_helper.to_array(tensor), tensor.data_type)
        self.unread[name] -= 1
        return self.items.get(name) if self.unread[name] else self.items.pop(name, None)

    # Nodes ------------------------------------------------------------------------------------------------------

    def _add_node(self, node: onnx.NodeProto, position: int) -> None:
        name = node.name or (node.output[0] if node.output else f"node_{position}")
        items = tuple(self._take(n) if n else None for n in node.input)
        try:
            results = self._convert(node, name, items)
        except Refuse as reason:
            self.problems.append((name, node.op_type, str(reason)))
            results = ()
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise ModelError(
                f"{self.file.path}: node {name} ({node.op_type}) cannot be read ({type(error).__name__}: {error}); "
                "check it against the ONNX specification, or report a defect of bitwright"
            ) from error
        for i, output in enumerate(node.output):
            if output:
                self.items[output] = results[i] if i < len(results) else Poison()

    def _convert(self, node: onnx.NodeProto, name: str, items: tuple[Item | None, ...]) -> tuple[Item, ...]:
        group = domain_group(node.domain)
        handler = HANDLERS.get((group, node.op_type)) if group is not None else None
        constant = all(i is None or isinstance(i, Const) for i in items)
        if handler is None and group == "" and constant and node.op_type not in CONTROL_FLOW:
            return evaluate(node, items, self.file.opset)
        if handler is None:
            raise Refuse(_no_operator(node, group))
        if poisoned(items):
            return tuple(Poison() for _ in node.output)
        if handler not in TAKE_SCALED:
            items = tuple(i.value if isinstance(i, Scaled) else i for i in items)
        attributes = {a.name: _attribute(a) for a in node.attribute}
        self.emitter.stem, self.emitter.source = _identifier(name), name
        call = Call(
            name, node.op_type, items, attributes, tuple(node.output), self.file.opset, group == "channels_last",
            self.batch, self.emitter, self.quantize_input,
        )  # fmt: skip
        if constant and group == "" and not getattr(handler, "folds_constants", False):
            return evaluate(node, items, self.file.opset)
        result = handler(call)
        return result if isinstance(result, tuple) else (result,)


def _attribute(a: onnx.AttributeProto) -> Any:
    value = onnx.helper.get_attribute_value(a)
    if isinstance(value, bytes):
        return value.decode()
    return value


def _identifier(name: str) -> str:
    """A node name that is also a C identifier, as backends write it into source code."""
    text = "".join(c if c.isascii() and c.isalnum() else "_" for c in name).strip("_") or "node"
    return text if not text[0].isdigit() else f"n{text}"


def _no_operator(node: onnx.NodeProto, group: str | None) -> str:
    if node.op_type in CONTROL_FLOW:
        return "control flow has no hardware here; export the model without it"
    if group is None:
        return f"the domain {node.domain!r} is unknown"
    known = sorted(op for g, op in HANDLERS if g == group)
    near = difflib.get_close_matches(node.op_type, known, n=1)
    return "no such operator here" + (f"; the nearest is {near[0]}" if near else "")
