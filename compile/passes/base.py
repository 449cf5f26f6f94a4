# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""What a pass is, and how passes are run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar, Protocol

from bitwright.compile.ir.graph import Graph
from bitwright.compile.ir.ops import Node
from bitwright.compile.ir.validate import validate


class Pass(Protocol):
    """A rewrite of the graph that keeps every output integer. A frozen dataclass whose fields are its options.

    Attributes:
        requires: names of properties that the graph must have, given by other passes' ``ensures``.
        ensures: properties that it has afterwards.
    """

    requires: ClassVar[frozenset[str]]
    ensures: ClassVar[frozenset[str]]

    def run(self, graph: Graph) -> tuple[Graph, bool]:
        """The new graph, and whether anything changed."""
        ...


def run_passes(graph: Graph, passes: Iterable[Pass], rounds: int = 20) -> Graph:
    """Run the passes in turn until none changes anything; the validator runs after every change.

    Raises:
        RuntimeError: a pass is run without its requirements, or the passes do not come to rest.
    """
    order = list(passes)
    for _ in range(rounds):
        held: frozenset[str] = frozenset()
        changed_any = False
        for p in order:
            missing = p.requires - held
            if missing:
                raise RuntimeError(f"pass {type(p).__name__} requires {sorted(missing)}; run what ensures it first")
            graph, changed = p.run(graph)
            if changed:
                changed_any = True
                while changed:
                    graph, changed = p.run(graph)
                validate(graph)
            held |= p.ensures
        if not changed_any:
            return graph
    raise RuntimeError(f"passes {[type(p).__name__ for p in order]} still change the graph after {rounds} rounds")


def substitute(node: Node, names: dict[str, str]) -> Node:
    """The node reading other tensors."""
    inputs = tuple(names.get(n, n) for n in node.inputs)
    return node if inputs == node.inputs else replace(node, inputs=inputs)


def alias(graph: Graph, names: dict[str, str], nodes: Iterable[Node]) -> Graph:
    """Rebuild with ``nodes``, every read of a key of ``names`` (outputs of the graph too) redirected to its value."""
    resolved: dict[str, str] = {}
    for name in names:
        target = name
        while target in names:
            target = names[target]
        resolved[name] = target
    outputs = tuple(replace(o, tensor=resolved.get(o.tensor, o.tensor)) for o in graph.outputs)
    kept = [substitute(n, resolved) for n in nodes if n.output not in resolved]
    return graph.rebuild(kept, outputs=outputs)
