# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Removes what computes nothing new: dead nodes, repeated nodes, clamps that a neighbour can do."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np

from bitwright.compile.ir.graph import Graph
from bitwright.compile.ir.ops import Conv2d, Node, Pad, Requantize
from bitwright.compile.passes.base import alias


@dataclass(frozen=True)
class DeadCode:
    """Drop nodes that no output depends on."""

    requires: ClassVar[frozenset[str]] = frozenset()
    ensures: ClassVar[frozenset[str]] = frozenset({"no-dead-code"})

    def run(self, graph: Graph) -> tuple[Graph, bool]:
        needed = graph.output_tensors()
        kept: list[Node] = []
        for node in reversed(graph.nodes):
            if node.output in needed:
                kept.append(node)
                needed |= set(node.inputs)
        if len(kept) == len(graph.nodes):
            return graph, False
        return graph.rebuild(reversed(kept)), True


@dataclass(frozen=True)
class CommonSubexpressions:
    """Compute equal things once."""

    requires: ClassVar[frozenset[str]] = frozenset()
    ensures: ClassVar[frozenset[str]] = frozenset()

    def run(self, graph: Graph) -> tuple[Graph, bool]:
        seen: dict[tuple[str, tuple[str, ...]], list[Node]] = {}
        names: dict[str, str] = {}
        for node in graph.nodes:
            alike = seen.setdefault((node.op, tuple(names.get(n, n) for n in node.inputs)), [])
            first = next((other for other in alike if _same_fields(node, other)), None)
            if first is not None:
                names[node.output] = first.output
            else:
                alike.append(node)
        if not names:
            return graph, False
        return alias(graph, names, graph.nodes), True


def _same_fields(a: Node, b: Node) -> bool:
    own = [f.name for f in fields(a) if f.name not in ("name", "inputs", "output", "source")]
    return all(_equal(getattr(a, f), getattr(b, f)) for f in own)


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    return bool(a == b)


@dataclass(frozen=True)
class FuseClamps:
    """Let the requantization, or the host's quantizer, that makes a tensor also do the clamp that follows it.

    QCDQ graphs (QuantizeLinear, Clip, DequantizeLinear) end up with one requantization this way.
    """

    requires: ClassVar[frozenset[str]] = frozenset()
    ensures: ClassVar[frozenset[str]] = frozenset()

    def run(self, graph: Graph) -> tuple[Graph, bool]:
        producers, consumers, outputs = graph.producers(), graph.consumers(), graph.output_tensors()
        for node in graph.nodes:
            if not isinstance(node, Requantize) or not is_clamp(node):
                continue
            (name,) = node.inputs
            x = graph.tensors[name]
            if (node.lo <= x.lo).all() and (node.hi >= x.hi).all():
                return alias(graph, {node.output: name}, graph.nodes), True
            if len(consumers[name]) > 1 or name in outputs:
                continue
            producer = producers.get(name)
            if isinstance(producer, Requantize):
                merged = replace(
                    producer,
                    lo=np.clip(producer.lo, node.lo, node.hi),
                    hi=np.clip(producer.hi, node.lo, node.hi),
                    itype=node.itype,
                )
                nodes = [merged if n is producer else n for n in graph.nodes]
                return alias(graph, {node.output: name}, nodes), True
            if producer is None and node.lo.size == node.hi.size == 1:
                return _into_input(graph, node, name)
        return graph, False


def is_clamp(node: Requantize) -> bool:
    """The node changes no value but those beyond its bounds."""
    return bool((node.multiplier == 1).all() and not node.addend.any() and node.shift == 0 and node.offset == 0)


def _into_input(graph: Graph, node: Requantize, name: str) -> tuple[Graph, bool]:
    given = next(i for i in graph.inputs if i.tensor == name)
    if given.quantize is None:
        return graph, False
    lo, hi = (int(np.clip(v, node.lo[0], node.hi[0])) for v in (given.quantize.lo, given.quantize.hi))
    inputs = tuple(
        replace(i, quantize=replace(given.quantize, lo=lo, hi=hi)) if i is given else i for i in graph.inputs
    )
    tensor = replace(graph.tensors[name], lo=np.asarray(lo), hi=np.asarray(hi), itype=node.itype)
    graph = replace(graph, inputs=inputs, tensors={**graph.tensors, name: tensor})
    return alias(graph, {node.output: name}, graph.nodes), True


@dataclass(frozen=True)
class FusePads:
    """Let a convolution do the padding before it, when the padding is its zero point."""

    requires: ClassVar[frozenset[str]] = frozenset()
    ensures: ClassVar[frozenset[str]] = frozenset()

    def run(self, graph: Graph) -> tuple[Graph, bool]:
        producers = graph.producers()
        for node in graph.nodes:
            if not isinstance(node, Conv2d):
                continue
            pad = producers.get(node.inputs[0])
            if not isinstance(pad, Pad) or pad.value != node.zero_point or pad.before[2] or pad.after[2]:
                continue
            top, left, bottom, right = node.pads
            pads = (top + pad.before[0], left + pad.before[1], bottom + pad.after[0], right + pad.after[1])
            fused = replace(node, inputs=pad.inputs, pads=pads, source=(*pad.source, *node.source))
            return graph.rebuild(fused if n is node else n for n in graph.nodes), True
        return graph, False
