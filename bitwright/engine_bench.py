# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""One model on the engine of one board, measured in RTL simulation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bitwright.boards import load_board
from bitwright.compile.backends.engine.backend import EngineOptions, board_config, clock
from bitwright.compile.backends.engine.compiler import compile_graph
from bitwright.compile.backends.engine.report import bus_of, estimate_report
from bitwright.compile.frontend import import_model
from bitwright.engine_runs import run_rtl
from bitwright.flow import random_frames
from bitwright.sim import reference

#: What `bitwright bench engine` runs when nothing is named.
DEFAULT_MODELS = (
    "codenet-bccd", "codenet_a_256", "codenet_b_256", "codenet_c_512", "codenet_d_512", "codenet_e_512",
    "mobilenet_v2_224",
)  # fmt: skip


def model_file(name: str, folder: Path) -> Path:
    """The file of a network of the zoo, of a structure (written into ``folder``), or the path itself."""
    import onnx

    from bitwright.zoo import entries
    from bitwright.zoo.structures import NETS

    for entry in entries():
        if entry.name == name:
            return entry.model
    if name not in NETS:
        return Path(name)
    path = folder / f"{name}.onnx"
    if not path.exists():
        onnx.save(NETS[name](), str(path))
    return path


def bench_model(model: Path, board_name: str) -> dict[str, Any]:
    """Compile, run one random frame on the RTL, compare every output value.

    Returns:
        figures of `report.summary` without its layers, estimated_cycles (cycle model), different (output values that
        are not the reference's), values, seconds (of the simulation, without building the model).

    Raises BitwrightError.
    """
    board = load_board(board_name)
    options = EngineOptions()
    config, mhz = board_config(board, options), clock(board, options)
    graph = import_model(model)
    compiled = compile_graph(graph, config)
    x = {i.tensor: random_frames(graph, i)[:1] for i in graph.inputs}
    want = reference.run(graph, x)
    bus = bus_of(board, mhz)
    estimated = estimate_report(compiled.program, config, board, mhz)
    got, figures = run_rtl(compiled.program, x, clock_mhz=mhz, bus=bus)
    seconds = figures[0]["cycles"] / figures[0]["cycles_per_second"]
    result = {k: v for k, v in figures[0].items() if k != "layers"}
    different = sum(int((got[name] != values).sum()) for name, values in want.items())
    values = sum(v.size for v in want.values())
    return result | {
        "estimated_cycles": estimated["cycles"], "different": different, "values": values, "seconds": seconds,
    }  # fmt: skip
