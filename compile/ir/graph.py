# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The integer graph: tensors, nodes in execution order, and the host's share at both ends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import cast

import numpy as np

from bitwright.compile.ir.ops.base import Node, ShapeError
from bitwright.compile.ir.types import Affine, IntArray, IntType, Tensor

#: Version of the IR and of its serialized form (docs/ir.md); raised when the meaning of a stored graph changes.
IR_VERSION = 1


class GraphError(ValueError):
    """The graph breaks a rule of docs/ir.md: a defect of a pass or of a hand-made graph, not of a model file."""


@dataclass(frozen=True)
class Quantize:
    """How the host turns a real input into integers: clamp(round(x / scale) + zero_point, lo, hi).

    With ``zero_point_inside`` it is clamp(round(x / scale + zero_point), lo, hi): QONNX adds the zero point before it
    rounds, ONNX after; the two differ on ties.

    Attributes:
        scale: exact value of the float32 in the model file, > 0.
        rounding: HALF_EVEN, FLOOR, CEIL, UP, DOWN, HALF_UP or HALF_DOWN.
    """

    scale: Fraction
    zero_point: int
    lo: int
    hi: int
    rounding: str = "HALF_EVEN"
    zero_point_inside: bool = False


@dataclass(frozen=True)
class GraphInput:
    """One model input.

    Attributes:
        name: as in the model file.
        shape: per-sample shape in the model file.
        tensor: the integer tensor that the accelerator gets.
        perm: tensor axis i is model axis perm[i]: (1, 2, 0) for an NCHW image.
        quantize: host part, or None when the model input is integer already.
    """

    name: str
    shape: tuple[int, ...]
    tensor: str
    perm: tuple[int, ...]
    quantize: Quantize | None


@dataclass(frozen=True)
class HostOp:
    """A floating-point operation that the host does on a dequantized output: Softmax, Sigmoid, ..."""

    op: str
    attributes: tuple[tuple[str, int | float | tuple[int, ...]], ...] = ()


@dataclass(frozen=True)
class GraphOutput:
    """One model output.

    Attributes:
        name: as in the model file.
        shape: per-sample shape in the model file, before the host operations.
        tensor: the integer tensor that the accelerator gives.
        perm: model axis i is tensor axis perm[i].
        affine: real = scale * q + offset along the last axis of the tensor; None when the model output is integer.
        host_ops: done by the host afterwards, in order.
    """

    name: str
    shape: tuple[int, ...]
    tensor: str
    perm: tuple[int, ...]
    affine: Affine | None
    host_ops: tuple[HostOp, ...] = ()


@dataclass(frozen=True)
class Graph:
    """A network as integers.

    Attributes:
        nodes: in an order in which every tensor is written before it is read.
        tensors: by name; every node output and every graph input.
        notes: remarks of the front end for the user (for example weights that sit within float rounding of a tie).
    """

    name: str
    inputs: tuple[GraphInput, ...]
    outputs: tuple[GraphOutput, ...]
    nodes: tuple[Node, ...]
    tensors: dict[str, Tensor]
    notes: tuple[str, ...] = ()

    def producers(self) -> dict[str, Node]:
        """Tensor name -> the node that writes it."""
        return {n.output: n for n in self.nodes}

    def consumers(self) -> dict[str, list[Node]]:
        """Tensor name -> the nodes that read it, in order."""
        table: dict[str, list[Node]] = {name: [] for name in self.tensors}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                table[name].append(node)
        return table

    def inputs_of(self, node: Node) -> list[Tensor]:
        """The tensors that the node reads."""
        return [self.tensors[name] for name in node.inputs]

    def output_tensors(self) -> set[str]:
        """Names of the tensors that leave the graph."""
        return {o.tensor for o in self.outputs}

    def rebuild(self, nodes: Iterable[Node], **changes: object) -> Graph:
        """The graph with other nodes: shapes, types and bounds are inferred anew, unread tensors dropped."""
        graph = replace(self, nodes=tuple(nodes), **changes)  # type: ignore[arg-type]
        tensors = {i.tensor: graph.tensors[i.tensor] for i in graph.inputs}
        for node in graph.nodes:
            out = infer_output(node, tensors)
            old = self.tensors.get(node.output)
            if old is not None:
                out = old if _alike(out, old) else out.with_affine(old.affine)
            tensors[node.output] = out
        return replace(graph, tensors=tensors)


def infer_output(node: Node, tensors: dict[str, Tensor]) -> Tensor:
    """The tensor that the node writes. Raises GraphError with the node's name when its rules are broken."""
    try:
        xs = [tensors[name] for name in node.inputs]
    except KeyError as error:
        raise GraphError(f"node {node.name} ({node.op}) reads {error}, which nothing writes before it") from None
    if node.arity is not None and len(xs) != node.arity:
        raise GraphError(f"node {node.name} ({node.op}) needs {node.arity} inputs, got {len(xs)}")
    # Passes infer what they leave alone again and again: a node, which never changes, keeps its last answer.
    given, tensor = node.__dict__.get("_inferred", ((), None))
    if tensor is not None and all(map(_alike, given, xs)):
        return cast(Tensor, tensor)
    try:
        tensor = node.infer(*xs).tensor(node.output)
    except ShapeError as error:
        raise GraphError(f"node {node.name} ({node.op}): {error}") from None
    node.__dict__["_inferred"] = xs, tensor
    return tensor


def _alike(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and a.itype == b.itype and _same(a.lo, b.lo) and _same(a.hi, b.hi)


def _same(a: IntArray, b: IntArray) -> bool:
    return a is b or np.array_equal(a, b)


@dataclass
class GraphBuilder:
    """Grows a graph in execution order and infers every tensor on the way."""

    name: str
    nodes: list[Node] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    _names: set[str] = field(default_factory=set)

    def unique(self, stem: str) -> str:
        """A node name that is not taken yet."""
        name, n = stem, 1
        while name in self._names:
            n += 1
            name = f"{stem}_{n}"
        self._names.add(name)
        return name

    def input(self, name: str, shape: tuple[int, ...], itype: IntType, lo: int, hi: int) -> Tensor:
        """Declare an input tensor."""
        tensor = Tensor(self.unique(name), shape, itype, np.asarray(lo, np.int64), np.asarray(hi, np.int64))
        self.tensors[tensor.name] = tensor
        return tensor

    def add(self, cls: type[Node], stem: str, *inputs: str, affine: Affine | None = None, **fields: object) -> Tensor:
        """Append a node of class ``cls`` that reads ``inputs``; the tensor that it writes bears its name."""
        name = self.unique(stem)
        node = cls(name=name, inputs=tuple(inputs), output=name, **fields)  # type: ignore[arg-type]
        tensor = infer_output(node, self.tensors).with_affine(affine)
        self.nodes.append(node)
        self.tensors[name] = tensor
        return tensor

    def finish(self, inputs: Iterable[GraphInput], outputs: Iterable[GraphOutput], notes: Iterable[str] = ()) -> Graph:
        """The finished graph."""
        return Graph(self.name, tuple(inputs), tuple(outputs), tuple(self.nodes), dict(self.tensors), tuple(notes))
