# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Plans and runs a graph: onnxruntime sessions over runs of nodes, integer arithmetic for the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort

from bitwright.compile.ir import Graph
from bitwright.compile.ir.ops import Node
from bitwright.compile.ir.types import IntArray
from bitwright.sim.fast.emit import Inexact, Segment, emit_node, feed_dtype
from bitwright.sim.fast.native import HOW, NativeProgram
from bitwright.sim.reference import checked_input

#: Rewrites that would move a requantization's constants into weights or biases and round them anew.
FORBIDDEN_REWRITES = [
    "ConvAddFusion", "ConvMulFusion", "MatMulAddFusion", "MatMulScaleFusion",
    "ConvAddActivationFusion", "GemmActivationFusion", "GemmSumFusion", "Pad_Fusion",
]  # fmt: skip


@dataclass(frozen=True)
class Step:
    """How one node is computed: 'float32', 'float64', 'int64' (with the reason), ..."""

    node: str
    op: str
    arithmetic: str


@dataclass(frozen=True)
class _Session:
    session: Any
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class FastSimulator:
    """Runs a graph in batches, exactly like the reference.

    Args:
        graph: a validated graph.
        threads: None for one per core.
        native: use the native kernels for graphs that they cover.

    Attributes:
        plan: a `Step` for every node.
        native_refused: why the native kernels do not run this graph, or None.
    """

    def __init__(self, graph: Graph, threads: int | None = None, native: bool = True) -> None:
        self.graph = graph
        self.plan: list[Step] = []
        self.native_refused: str | None = None if native else "switched off"
        self._threads = threads or 0
        self._stages: list[_Session | Node] = []
        self._native: NativeProgram | None = None
        try:
            if native:
                self._native = NativeProgram(graph, threads)
                self.plan = [Step(n.name, n.op, HOW) for n in graph.nodes]
        except Inexact as reason:
            self.native_refused = str(reason)
        if self._native is None:
            self._compile()
        widest = max((t.size for t in graph.tensors.values()), default=1)
        #: Frames per chunk: about 2**24 values in the widest tensor.
        self.chunk = max(1, min(256, (1 << 24) // max(widest, 1)))

    def _compile(self) -> None:
        segment = Segment(self.graph.tensors)
        stages: list[Segment | Node] = []
        for node in self.graph.nodes:
            try:
                how = emit_node(segment, node)
            except Inexact as reason:
                how = f"int64: {reason}"
                if segment.written:
                    stages.append(segment)
                    segment = Segment(self.graph.tensors)
                stages.append(node)
            self.plan.append(Step(node.name, node.op, how))
        if segment.written:
            stages.append(segment)
        read_later = self.graph.output_tensors()
        for stage in reversed(stages):
            if isinstance(stage, Segment):
                outputs = [n for n in stage.written if n in read_later]
                self._stages.insert(0, self._session(stage, outputs))
                read_later |= set(stage.inputs)
            else:
                self._stages.insert(0, stage)
                read_later |= set(stage.inputs)

    def _session(self, segment: Segment, outputs: list[str]) -> _Session:
        options = ort.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = 3
        model = segment.finish(outputs).SerializeToString()
        session = ort.InferenceSession(
            model, options, providers=["CPUExecutionProvider"], disabled_optimizers=FORBIDDEN_REWRITES
        )
        return _Session(session, tuple(segment.inputs), tuple(outputs))

    def run(
        self, inputs: Mapping[str, IntArray], progress: Callable[[int, int], None] | None = None
    ) -> dict[str, IntArray]:
        """Execute the graph on a batch.

        Args:
            inputs: tensor name -> integers of shape (batch, *shape), within the tensor's bounds.
            progress: called with (frames done, frames in all).

        Returns:
            output tensor name -> int64 (batch, *shape).

        Raises:
            ValueError: an input is missing, has another shape, a float type, or values out of range.
        """
        checked = {i.tensor: checked_input(self.graph.tensors[i.tensor], inputs) for i in self.graph.inputs}
        frames = len(next(iter(checked.values())))
        if frames <= self.chunk:
            result = self._chunk(checked)
            if progress:
                progress(frames, frames)
            return result
        parts = []
        for start in range(0, frames, self.chunk):
            parts.append(self._chunk({n: x[start : start + self.chunk] for n, x in checked.items()}))
            if progress:
                progress(min(start + self.chunk, frames), frames)
        return {n: np.concatenate([p[n] for p in parts]) for n in parts[0]}

    def _chunk(self, values: dict[str, IntArray]) -> dict[str, IntArray]:
        if self._native is not None:
            return self._native.run(values)
        tensors = self.graph.tensors
        for stage in self._stages:
            if isinstance(stage, Node):
                values[stage.output] = stage.compute(*(values[n] for n in stage.inputs))
                continue
            feeds = {f"in_{n}": values[n].astype(feed_dtype(tensors[n])) for n in stage.inputs}
            results = stage.session.run([f"out_{n}" for n in stage.outputs], feeds)
            values |= {n: np.asarray(y, np.int64) for n, y in zip(stage.outputs, results, strict=True)}
        return {n: values[n] for n in sorted(self.graph.output_tensors())}
