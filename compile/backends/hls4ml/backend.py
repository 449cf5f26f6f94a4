# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The hls4ml backend: integer graph -> hls4ml project."""

from __future__ import annotations

import contextlib
import io
import math
import re
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bitwright.boards import Board, load_board
from bitwright.compile.backends.base import Project, Report, Transport, parse_options
from bitwright.compile.backends.hls4ml.lower import lower
from bitwright.compile.backends.hls4ml.model import SUPPORTED, layer_list
from bitwright.compile.backends.hls4ml.options import Hls4mlOptions, LayerOptions, check_layer_names
from bitwright.compile.ir import Graph
from bitwright.compile.ir.types import IntType
from bitwright.errors import BackendError, ToolMissingError
from bitwright.hw.hls import CSIM_HEADER

TOP = "bitwright_net"
#: Clock of estimates without a board.
CLOCK_MHZ = 100.0
HLS4ML_BACKENDS = {"vitis": "Vitis", "vivado-accelerator": "VivadoAccelerator"}


def port_bytes(board: Board) -> int:
    """Bytes that a DMA port of the processing system moves in a cycle. Raises BackendError where there is none."""
    if board.ps == "none":
        raise BackendError(
            f"board {board.name}: hls4ml's cores are made by Vitis HLS and fed by a processing system, this is a "
            f"{board.family} part without one; take a Zynq board, or the backend engine"
        )
    return board.axi_hp_bits // 8


class Hls4mlBackend:
    """See docs/hls4ml.md."""

    name = "hls4ml"

    def options(self, values: Mapping[str, Any]) -> Hls4mlOptions:
        """Check options; BackendError names field, rule and value."""
        return parse_options(self.name, Hls4mlOptions, values, {"layers": LayerOptions})

    def supports(self, graph: Graph, options: Hls4mlOptions, board: Board | None = None) -> Report:
        """All operators of the IR are taken; limits of the tools are reported."""
        refused = [
            (n.name, n.op, "the hls4ml backend has no layer for it")
            for n in graph.nodes
            if not isinstance(n, SUPPORTED)
        ]
        if options.tool == "vivado-accelerator" and (len(graph.inputs) != 1 or len(graph.outputs) != 1):
            refused.append(
                (graph.name, "graph", f"VivadoAccelerator takes one input and one output, the model has "
                 f"{len(graph.inputs)} and {len(graph.outputs)}; use the option tool=vitis")
            )  # fmt: skip
        written = {n.output for n in graph.nodes}
        for out in graph.outputs:
            if out.tensor not in written:
                refused.append((out.name, "output", "it is a model input itself; there is nothing to compute"))
        tensors = [o.tensor for o in graph.outputs]
        if len(set(tensors)) != len(tensors):
            refused.append((graph.name, "graph", "two model outputs are the same tensor; remove one"))
        return Report(self.name, tuple(refused))

    def lower(self, graph: Graph, options: Hls4mlOptions) -> Graph:
        """Zero points, sums and concatenations as hls4ml needs them."""
        return lower(graph)

    def emit(self, graph: Graph, board: Board, options: Hls4mlOptions, folder: Path) -> Project:
        """Write the hls4ml project into ``folder``."""
        from bitwright.compile.backends.hls4ml.csim import write_driver

        report = self.supports(graph, options)
        if not report.accepted:
            lines = "; ".join(f"{n} ({op}): {why}" for n, op, why in report.refused)
            raise BackendError(f"hls4ml cannot take the model: {lines}")
        port_bytes(board)
        graph = self.lower(graph, options)
        check_layer_names(options, [n.name for n in graph.nodes])
        _require_hls4ml()
        stream = is_stream(graph, options)
        described = layer_list(graph, stream)
        config = self._config(graph, board, options, folder, stream, described.precisions)
        model = _build(config, described, graph)
        folder.mkdir(parents=True, exist_ok=True)
        _quietly(model.write)
        shutil.rmtree(folder / "__pycache__", ignore_errors=True)
        ports: dict[str, list[dict[str, object]]] = {"inputs": [], "outputs": []}
        for kind, tensors, found in (
            ("inputs", [i.tensor for i in graph.inputs], model.get_input_variables()),
            ("outputs", [o.tensor for o in graph.outputs], model.get_output_variables()),
        ):
            for tensor, variable in zip(tensors, found, strict=True):
                ports[kind].append({"tensor": tensor, "type": variable.type.name, "size": graph.tensors[tensor].size})
        _repair_axi_types(folder)
        if options.tool == "vivado-accelerator" and board.hls4ml_board is None:
            _set_part(folder, hls4ml_board(board), board)
        shutil.copy(CSIM_HEADER, folder / CSIM_HEADER.name)
        write_driver(folder, TOP, stream, ports)
        return Project(
            folder,
            graph,
            {i.tensor: transport(graph.tensors[i.tensor].itype) for i in graph.inputs},
            {o.tensor: transport(graph.tensors[o.tensor].itype) for o in graph.outputs},
            self.estimate(graph, options, board),
        )

    def estimate(self, graph: Graph, options: Hls4mlOptions, board: Board | None = None) -> dict[str, Any]:
        """Work, memory, cycles and resources at the chosen reuse factors, from the graph alone (docs/estimates.md)."""
        from bitwright.compile.estimate.hls4ml import estimate

        clock_mhz, beat = (board.clock_mhz, port_bytes(board)) if board else (CLOCK_MHZ, 8)
        return estimate(graph, options, clock_mhz, beat).as_dict() | _stored(graph, options)

    def _config(
        self, graph: Graph, board: Board, options: Hls4mlOptions, folder: Path, stream: bool,
        precisions: dict[str, dict[str, str]],
    ) -> dict[str, Any]:  # fmt: skip
        layers: dict[str, Any] = {}
        for name, precision in precisions.items():
            own = options.layers.get(name)
            layers[name] = {
                "Precision": precision,
                "ReuseFactor": (own.reuse_factor if own else None) or options.reuse_factor,
                "Strategy": ((own.strategy if own else None) or options.strategy).capitalize(),
            }
        clock = options.clock_mhz or board.clock_mhz
        config: dict[str, Any] = {
            "OutputDir": str(folder), "ProjectName": TOP, "Backend": HLS4ML_BACKENDS[options.tool], "Part": board.part,
            "ClockPeriod": round(1000 / clock, 3), "ClockUncertainty": "12.5%",
            "IOType": "io_stream" if stream else "io_parallel",
            "HLSConfig": {
                "Model": {
                    "Precision": {"default": "ap_int<32>"}, "ReuseFactor": options.reuse_factor,
                    "Strategy": options.strategy.capitalize(),
                },
                "LayerName": layers,
            },
            "WriterConfig": {
                "Namespace": None, "WriteWeightsTxt": False, "WriteTar": False, "TBOutputStream": "both",
                "WriteEmulationConstants": False,
            },
        }  # fmt: skip
        if options.tool == "vivado-accelerator":
            into, out = graph.tensors[graph.inputs[0].tensor], graph.tensors[graph.outputs[0].tensor]
            config["AcceleratorConfig"] = {
                "Board": hls4ml_board(board), "Interface": "axi_stream", "Driver": "python",
                "Precision": {"Input": _axi(into.itype), "Output": _axi(out.itype)},
            }  # fmt: skip
        return config


def transport(itype: IntType) -> Transport:
    """One element per beat, rounded up to 8, 16, 32 or 64 bits: the widths that an AXI DMA stream can have."""
    bits = max(8, 1 << math.ceil(math.log2(itype.bits)))
    return Transport(bits, itype.signed)


def _axi(itype: IntType) -> str:
    t = transport(itype)
    return f"ap_{'' if t.signed else 'u'}int<{t.bits}>"


def is_stream(graph: Graph, options: Hls4mlOptions) -> bool:
    """Whether the project streams its tensors (io_stream)."""
    if options.io_type != "auto":
        return options.io_type == "stream"
    return any(len(t.shape) == 3 and t.shape[0] * t.shape[1] > 1 for t in graph.tensors.values())


def hls4ml_board(board: Board) -> str:
    """The board that hls4ml is told: its own name of this one, else one of the same family. Raises BackendError."""
    if board.ps == "none":
        raise BackendError(f"board {board.name}: the AXI wrapper needs a processing system; use the option tool=vitis")
    return board.hls4ml_board or {"ps7": "pynq-z2", "psu": "zcu102"}[board.ps]


def _set_part(folder: Path, written_for: str, board: Board) -> None:
    """hls4ml replaces the part by that of the board it was told; its block design, for that board, goes away."""
    wrong = load_board(written_for).part
    for name in ("project.tcl", "hls4ml_config.yml"):
        path = folder / name
        text = path.read_text(encoding="utf-8")
        if wrong not in text:
            raise BackendError(f"{path}: hls4ml wrote no part {wrong}; another version than 1.3.0?")
        path.write_text(text.replace(wrong, board.part), encoding="utf-8")
    (folder / "design.tcl").unlink()


def _repair_axi_types(folder: Path) -> None:
    """hls4ml 1.3.0 writes ``typedef uint<8> T_in`` for integer AXI types, which is no C++."""
    header = folder / "firmware" / f"{TOP}_axi.h"
    if header.exists():
        text = header.read_text()
        header.write_text(re.sub(r"typedef (u?)int<(\d+)> (T_in|T_out);", r"typedef ap_\1int<\2> \3;", text))


def _require_hls4ml() -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import hls4ml  # noqa: F401
    except ImportError as error:
        raise ToolMissingError(f"the hls4ml backend needs hls4ml: pip install 'bitwright[hls4ml]' ({error})") from None


def _build(config: dict[str, Any], described: Any, graph: Graph) -> Any:
    from hls4ml.model import ModelGraph

    from bitwright.compile.backends.hls4ml.layers import register

    register(config["Backend"])
    inputs = [described.names[i.tensor] for i in graph.inputs]
    outputs = [described.names[o.tensor] for o in graph.outputs]

    def make() -> Any:
        return ModelGraph.from_layer_list(config, described.layers, inputs, outputs)

    try:
        model = _quietly(make)
    except Exception as error:  # hls4ml raises bare Exception
        raise BackendError(f"hls4ml refuses the model: {type(error).__name__}: {error}") from error
    silent = [n.name for n in model.get_layers() if n.class_name != "Input" and not n.get_attr("function_cpp")]
    if silent:
        raise BackendError(f"hls4ml leaves out layers without a word: {silent}; please report this")
    return model


def _quietly(call: Any) -> Any:
    """hls4ml prints as it works; keep the user's terminal for results."""
    import logging

    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            return call()
    finally:
        logging.disable(level)


def _stored(graph: Graph, options: Hls4mlOptions) -> dict[str, int]:
    weights = bits = multipliers = 0
    for node in graph.nodes:
        cost = node.cost(graph.inputs_of(node), graph.tensors[node.output])
        own = options.layers.get(node.name)
        reuse = (own.reuse_factor if own else None) or options.reuse_factor
        weights, bits = weights + cost.weights, bits + cost.weight_bits
        if cost.macs:
            multipliers += math.ceil(cost.weights / reuse)
    return {"weights": weights, "weight_bits": bits, "parallel_multiplications": multipliers}
