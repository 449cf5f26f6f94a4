# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Writes the files of a FINN project: model, golden vectors, configurations, build scripts."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from bitwright.boards import Board
from bitwright.compile.backends.finn.finn_types import finn_types
from bitwright.compile.backends.finn.layers import Folding
from bitwright.compile.backends.finn.model import build_model
from bitwright.compile.backends.finn.network import Network
from bitwright.compile.ir import Graph
from bitwright.compile.ir.types import IntArray
from bitwright.hw.hls.finn import FINN_COMMIT, PROJECT_FILES

#: FINN's names of our boards; FINN builds bitfiles for these only.
FINN_BOARDS = {
    "kv260": "KV260_SOM", "pynq-z1": "Pynq-Z1", "pynq-z2": "Pynq-Z2", "rfsoc4x2": "RFSoC4x2", "ultra96-v1": "Ultra96",
    "ultra96-v2": "Ultra96-V2", "zcu102": "ZCU102", "zcu104": "ZCU104",
}  # fmt: skip
GOLDEN_SEED, GOLDEN_FRAMES = 1, 2
STREAMS = "streams.json"
ESTIMATE_STEPS = [
    "step_bitwright_to_hw", "step_bitwright_verify", "step_create_dataflow_partition", "step_specialize_layers",
    "step_apply_folding_config", "step_minimize_bit_width", "step_generate_estimate_reports",
]  # fmt: skip
IP_STEPS = ["step_hw_codegen", "step_hw_ipgen", "step_set_fifo_depths", "step_create_stitched_ip"]
BITFILE_STEPS = [
    "step_synthesize_bitfile", "step_make_pynq_driver", "step_bitwright_ends", "step_deployment_package",
]  # fmt: skip


def write_project(
    folder: Path, graph: Graph, net: Network, foldings: Mapping[str, Folding], board: Board, clock_mhz: float
) -> None:  # fmt: skip
    """Write everything into ``folder``; the graph is lowered."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(build_model(graph), folder / "model.onnx")
    np.savez_compressed(folder / "golden.npz", **golden(graph))  # type: ignore[arg-type]
    _dump(folder / "folding_config.json", folding_config(net, foldings))
    _dump(folder / "specialize_layers_config.json", specialize_config(net))
    _dump(folder / "dataflow_build_config.json", build_config(board, clock_mhz))
    _dump(folder / STREAMS, streams(graph, net, foldings))
    for source in PROJECT_FILES:
        shutil.copy(source, folder / source.name)
    readme = (folder / "README.md").read_text(encoding="utf-8")
    (folder / "README.md").write_text(readme.replace("FINN_COMMIT", FINN_COMMIT), encoding="utf-8")


def golden(graph: Graph) -> dict[str, IntArray]:
    """Random frames over the whole range of the inputs, and the outputs of the integer graph, numbered as there."""
    rng = np.random.default_rng(GOLDEN_SEED)
    values = {}
    for given in graph.inputs:
        tensor = graph.tensors[given.tensor]
        frames = (GOLDEN_FRAMES, *tensor.shape)
        values[given.tensor] = rng.integers(tensor.bounds[0], tensor.bounds[1] + 1, frames)
    for node in graph.nodes:
        values[node.output] = node.compute(*(values[n] for n in node.inputs))
    found = {f"input_{k}": values[i.tensor] for k, i in enumerate(graph.inputs)}
    return found | {f"output_{k}": values[name] for k, name in enumerate(_outputs(graph))}


def _outputs(graph: Graph) -> list[str]:
    """Tensors that FINN gives, in the order of the model file."""
    return list(dict.fromkeys(o.tensor for o in graph.outputs))


def folding_config(net: Network, foldings: Mapping[str, Folding]) -> dict[str, Any]:
    """FINN's folding file: attributes by layer name."""
    config: dict[str, Any] = {"Defaults": {}}
    for name, layer in zip(net.names, net.layers, strict=True):
        if attributes := layer.attributes(foldings[name]):
            config[name] = attributes
    return config


def specialize_config(net: Network) -> dict[str, Any]:
    """FINN's file that says which layers are RTL and which HLS, by the names from before that choice."""
    config: dict[str, Any] = {"Defaults": {}}
    count: Counter[str] = Counter()
    for layer in net.layers:
        op, style = layer.op.rsplit("_", 1)
        config[f"{op}_{count[op]}"] = {"preferred_impl_style": style}
        count[op] += 1
    return config


def build_config(board: Board, clock_mhz: float) -> dict[str, Any]:
    """FINN's DataflowBuildConfig. Boards that FINN does not know end with the stitched IP."""
    name = FINN_BOARDS.get(board.name)
    outputs = ["estimate_reports", "stitched_ip"]
    return {
        "output_dir": "output",
        "synth_clk_period_ns": round(1000 / clock_mhz, 3),
        "generate_outputs": outputs + (["bitfile", "pynq_driver", "deployment_package"] if name else []),
        "board": name,
        "fpga_part": board.part,
        "shell_flow_type": "vivado_zynq",
        "standalone_thresholds": True,
        "minimize_bit_width": True,
        "folding_config_file": "folding_config.json",
        "specialize_layers_config_file": "specialize_layers_config.json",
        "auto_fifo_depths": True,
        "auto_fifo_strategy": "largefifo_rtlsim",
        "split_large_fifos": True,
        "save_intermediate_models": True,
        "enable_build_pdb_debug": False,
        "steps": ESTIMATE_STEPS + IP_STEPS + (BITFILE_STEPS if name else []),
    }


def streams(graph: Graph, net: Network, foldings: Mapping[str, Folding]) -> dict[str, Any]:
    """How FINN's DMA buffers hold the network's ends: type, and elements of one stream word (docs/finn.md)."""
    types = finn_types(graph)
    inputs, outputs = {}, {}
    for given in graph.inputs:
        k, t = net.reads[given.tensor], types[given.tensor]
        inputs[given.tensor] = _stream(t.bits, t.signed, net.layers[k].in_width(foldings[net.names[k]]))
    for tensor in _outputs(graph):
        k = net.writes[tensor]
        t = net.layers[k].y
        outputs[tensor] = _stream(t.bits, t.signed, net.layers[k].out_width(foldings[net.names[k]]))
    return {"inputs": inputs, "outputs": outputs}


def _stream(bits: int, signed: bool, word: int) -> dict[str, Any]:
    return {"bits": bits, "signed": signed, "elements_per_word": word}


def _dump(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
