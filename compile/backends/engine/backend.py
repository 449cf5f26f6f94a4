# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The engine backend: integer graph -> program for the engine in hw/rtl (docs/engine.md)."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from bitwright.boards import Board
from bitwright.compile.backends.base import Project, Report, Transport, nearest, parse_options
from bitwright.compile.backends.engine.compiler import compile_graph, lower
from bitwright.compile.backends.engine.report import estimate_report
from bitwright.compile.ir import Graph
from bitwright.errors import BackendError
from bitwright.hw.config import CONFIGS, RTL, EngineConfig
from bitwright.hw.variants import configuration


class EngineOptions(BaseModel):
    """Options of the backend.

    Attributes:
        config: name of an engine configuration (hw/config.py, with other parameters hw/variants.py); empty: that of the
            board.
        clock_mhz: of the engine; None: that of the board.
        dump: keep every intermediate tensor in DRAM, so that layers can be compared; costs bandwidth.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    config: str = ""
    clock_mhz: Annotated[float, Field(gt=0, le=1000)] | None = None
    dump: bool = False


class EngineBackend:
    """See docs/engine.md."""

    name = "engine"

    def options(self, values: Mapping[str, Any]) -> EngineOptions:
        """Check options; BackendError names field, rule and value."""
        options = parse_options(self.name, EngineOptions, values)
        if options.config:
            named_config(options.config)
        return options

    def supports(self, graph: Graph, options: EngineOptions, board: Board | None = None) -> Report:
        """What the instruction set and the memories of the configuration refuse."""
        config = board_config(board, options) if board else named_config(options.config or "zu3eg")
        return Report(self.name, tuple(lower(graph, config)[2]))

    def lower(self, graph: Graph, options: EngineOptions) -> Graph:
        """The engine runs the graph as it is."""
        return graph

    def emit(self, graph: Graph, board: Board, options: EngineOptions, folder: Path) -> Project:
        """Write program.bin, program.json and the RTL of the configuration into ``folder``."""
        config = board_config(board, options)
        compiled = compile_graph(graph, config, dump=options.dump)
        folder.mkdir(parents=True, exist_ok=True)
        compiled.program.save(folder)
        (folder / "rtl").mkdir(exist_ok=True)
        for source in sorted(RTL.glob("*.sv*")):
            shutil.copy(source, folder / "rtl" / source.name)
        parameters = "".join(f"  parameter {k} = {v}\n" for k, v in config.parameters().items())
        (folder / "rtl" / "parameters.txt").write_text(f"bw_engine, configuration {config.name}\n{parameters}")
        transport = Transport(8, False)
        estimate = estimate_report(compiled.program, config, board, clock(board, options))
        return Project(
            folder, graph, {i.tensor: transport for i in graph.inputs}, {o.tensor: transport for o in graph.outputs},
            estimate, "engine",
        )  # fmt: skip

    def estimate(self, graph: Graph, options: EngineOptions, board: Board | None = None) -> Mapping[str, Any]:
        """Cycles of every layer from the cycle model, DRAM traffic, frames/s, resources (docs/estimates.md)."""
        from bitwright.compile.estimate.engine import estimate

        config = board_config(board, options) if board else named_config(options.config or "zu3eg")
        compiled = compile_graph(graph, config)
        return estimate(graph, compiled.program, config, board, clock(board, options)).as_dict()


def named_config(name: str) -> EngineConfig:
    """A configuration by name, also one of `hw/variants.py`. Raises BackendError with the nearest one."""
    if name.partition(":")[0] in CONFIGS:
        return configuration(name)
    raise BackendError(f"engine configuration {name!r} is unknown; there are {sorted(CONFIGS)}{nearest(name, CONFIGS)}")


def board_config(board: Board, options: EngineOptions) -> EngineConfig:
    """The configuration that is asked for, else that of the board. Raises BackendError."""
    name = options.config or (board.engine.config if board.engine else "")
    if not name:
        raise BackendError(
            f"board {board.name} names no engine configuration; give one with --option config=NAME, one of "
            f"{sorted(CONFIGS)}"
        )
    return named_config(name)


def clock(board: Board | None, options: EngineOptions) -> float:
    """MHz of the engine."""
    if options.clock_mhz:
        return float(options.clock_mhz)
    if board is not None and board.engine is not None:
        return board.engine.clock_mhz
    return board.clock_mhz if board is not None else 250.0
