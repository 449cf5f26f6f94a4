# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Reads the board files of this folder, and those of the folder that BITWRIGHT_BOARDS names."""

from __future__ import annotations

import difflib
import os
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bitwright.errors import BitwrightError

FOLDER = Path(__file__).resolve().parent
USER_FOLDER = "BITWRIGHT_BOARDS"
Count = Annotated[int, Field(ge=0)]


class BoardError(BitwrightError):
    """A board is unknown, or its file is wrong."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Resources(_Section):
    """What the programmable logic holds: LUTs, flip-flops, 36-kbit block RAMs, DSP slices, UltraRAMs."""

    lut: Count
    ff: Count
    bram36: Count
    dsp: Count
    uram: Count = 0


class Memory(_Section):
    """DRAM of the processing system (bytes) and the contiguous memory that PYNQ may allocate by default (bytes)."""

    dram: Count
    cma: Count


class Engine(_Section):
    """How the engine (docs/engine.md) runs on the board, and the DRAM model that simulations of it use.

    Attributes:
        config: name in hw/config.py. clock_mhz: aimed at; no place and route has confirmed it.
        dram_bytes_per_second: peak of the DRAM. dram_efficiency: share of it that one port sustains (assumed).
        dram_latency_ns: from an address to its first beat (assumed).
    """

    config: str
    clock_mhz: Annotated[float, Field(gt=0)]
    dram_bytes_per_second: Annotated[float, Field(gt=0)]
    dram_efficiency: Annotated[float, Field(gt=0, le=1)]
    dram_latency_ns: Annotated[float, Field(ge=0)]


class Board(_Section):
    """One board.

    Attributes:
        name: as on the command line.
        part: full device name for vendor tools.
        clock_mhz: default clock of the programmable logic.
        family: 'zynq-7000' or 'zynq-ultrascale'.
        axi_hp_bits: width of one high-performance port into the programmable logic.
        hls4ml_board: name in hls4ml's VivadoAccelerator, if it has one.
        engine: how our engine runs on it, if it does.
        sources: where the figures come from.
        verified: a person has run a bitstream of ours on this board.
    """

    name: str
    title: str
    part: str
    family: Literal["zynq-7000", "zynq-ultrascale"]
    clock_mhz: Annotated[float, Field(gt=0)]
    axi_hp_bits: Literal[32, 64, 128]
    hls4ml_board: str | None = None
    pynq_image: str
    resources: Resources
    memory: Memory
    engine: Engine | None = None
    sources: list[str]
    verified: bool


def _files() -> dict[str, Path]:
    folders = [FOLDER]
    if os.environ.get(USER_FOLDER):
        folders.append(Path(os.environ[USER_FOLDER]))
    found: dict[str, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            raise BoardError(f"{folder}: not a folder; set {USER_FOLDER} to a folder of board files")
        found |= {p.stem: p for p in sorted(folder.glob("*.toml"))}
    return found


def board_names() -> list[str]:
    """Names of all boards."""
    return sorted(_files())


def load_board(name: str) -> Board:
    """Read one board. Raises BoardError: unknown (with the nearest names), or file, field, rule and value."""
    files = _files()
    if name not in files:
        near = difflib.get_close_matches(name, files, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(sorted(files))}"
        raise BoardError(f"board {name!r} is unknown; {hint}")
    path = files[name]
    try:
        board = Board.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except tomllib.TOMLDecodeError as error:
        raise BoardError(f"{path}: not valid TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(p) for p in first["loc"])
        raise BoardError(f"{path}: {field} = {first.get('input')!r}: {first['msg']}") from None
    if board.name != name:
        raise BoardError(f"{path}: name = {board.name!r} must be the file's name, {name!r}")
    return board
