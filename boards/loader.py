# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Reads the board files of this folder, and those of the folder that BITWRIGHT_BOARDS names."""

from __future__ import annotations

import difflib
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bitwright.errors import BitwrightError

FOLDER = Path(__file__).resolve().parent
USER_FOLDER = "BITWRIGHT_BOARDS"
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
#: Processing system of a family: of the 7 series, of the UltraScale+ MPSoC and RFSoC, or none.
PROCESSORS: dict[str, Literal["ps7", "psu", "none"]] = {
    "zynq-7000": "ps7", "zynq-ultrascale": "psu", "ecp5": "none", "gowin": "none",
}  # fmt: skip


class BoardError(BitwrightError):
    """A board is unknown, or its file is wrong."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Resources(_Section):
    """What the programmable logic holds.

    Attributes:
        lut: of 6 inputs, on ECP5 and Gowin of 4. ff: flip-flops.
        bram36: block RAMs of 36 kbit; where they have 18 kbit, half their number.
        dsp: DSP slices, on ECP5 and Gowin multipliers of 18 x 18 bits. uram: UltraRAMs.
    """

    lut: Count
    ff: Count
    bram36: Count
    dsp: Count
    uram: Count = 0


class Memory(_Section):
    """DRAM, of the processing system where there is one, and the model of it that simulations and estimates use.

    Attributes:
        dram: bytes. cma: contiguous memory that PYNQ may allocate by default (bytes).
        bytes_per_second: peak. efficiency: share of it that one port sustains.
        latency_ns: from an address to its first beat.
    """

    dram: Count
    cma: Count = 0
    bytes_per_second: Positive
    efficiency: Annotated[float, Field(gt=0, le=1)]
    latency_ns: Annotated[float, Field(ge=0)]


class Clocks(_Section):
    """Where clocks come from.

    Attributes:
        reference_mhz: crystal of the processing system; without one, the oscillator of the programmable logic.
        pll_mhz: PLL that the clocks of the programmable logic are divided from (with a processing system).
    """

    reference_mhz: Positive
    pll_mhz: Positive | None = None


class Engine(_Section):
    """How the engine (docs/engine.md) runs on the board.

    Attributes:
        config: name in hw/config.py. clock_mhz: aimed at; no place and route has confirmed it.
    """

    config: str
    clock_mhz: Positive


class Source(_Section):
    """Where figures come from.

    Attributes:
        fields: dotted names, or a section for all of it. document: by name.
        checked: someone of this project read the figure there; False: from memory, or assumed.
    """

    fields: Annotated[list[str], Field(min_length=1)]
    document: Annotated[str, Field(min_length=1)]
    checked: bool


class Board(_Section):
    """One board.

    Attributes:
        name: as on the command line.
        part: full device name for vendor tools.
        family: decides the processing system, see `ps`.
        clock_mhz: default clock of the programmable logic.
        axi_hp_ports, axi_hp_bits: high-performance ports into the programmable logic, and the width of one.
        hls4ml_board: name in hls4ml's VivadoAccelerator, if it has one.
        vivado_board: name in Vivado's board files, if there are such files.
        pynq: versions of PYNQ that run on it. pynq_image: the same in words.
        engine: how our engine runs on it, if it does.
        sources: of every figure, exactly one each.
        verified: a person has run a bitstream of ours on this board.
    """

    name: str
    title: str
    part: str
    family: Literal["zynq-7000", "zynq-ultrascale", "ecp5", "gowin"]
    clock_mhz: Positive
    axi_hp_ports: Count = 0
    axi_hp_bits: Literal[0, 32, 64, 128] = 0
    hls4ml_board: str | None = None
    vivado_board: str | None = None
    pynq: list[str] = []
    pynq_image: str = ""
    resources: Resources
    memory: Memory
    clocks: Clocks
    engine: Engine | None = None
    sources: list[Source]
    verified: bool

    @property
    def ps(self) -> Literal["ps7", "psu", "none"]:
        """Kind of processing system."""
        return PROCESSORS[self.family]

    def source(self, field: str) -> Source:
        """The source of a figure, by its dotted name."""
        return next(s for s in self.sources if any(field == f or field.startswith(f + ".") for f in s.fields))

    @model_validator(mode="after")
    def _complete(self) -> Board:
        if self.ps != "none" and (not self.axi_hp_ports or not self.axi_hp_bits or self.clocks.pll_mhz is None):
            raise ValueError(
                f"family {self.family} needs axi_hp_ports, axi_hp_bits and clocks.pll_mhz, which describe its "
                "processing system"
            )
        figures = self.figures()
        covered = [f for s in self.sources for name in s.fields for f in _covered(name, figures)]
        for field in figures:
            count = covered.count(field)
            if count != 1:
                raise ValueError(f"{field} has {count} sources; every figure needs exactly one in [[sources]]")
        return self

    def figures(self) -> list[str]:
        """Dotted names of what needs a source."""
        sections = {"resources": self.resources, "memory": self.memory, "clocks": self.clocks}
        names = [f"{s}.{k}" for s, section in sections.items() for k in section.model_fields_set]
        single = ["part", *(["axi_hp_ports", "axi_hp_bits", "pynq"] if self.ps != "none" else [])]
        return single + sorted(names)


def _covered(name: str, figures: list[str]) -> list[str]:
    found = [f for f in figures if f == name or f.startswith(name + ".")]
    if not found:
        raise ValueError(f"sources.fields: {name!r} is no figure of this board; there are {', '.join(figures)}")
    return found


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
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BoardError(f"{path}: not valid TOML: {error}") from None
    except ValidationError as error:
        raise BoardError(f"{path}: {_explain(error.errors()[0])}") from None
    if board.name != name:
        raise BoardError(f"{path}: name = {board.name!r} must be the file's name, {name!r}")
    return board


def _explain(error: Any) -> str:
    """Field, value and rule of pydantic's first error."""
    field = ".".join(str(p) for p in error["loc"])
    if not field:
        return str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "missing":
        return f"{field} is missing"
    if error["type"] == "extra_forbidden":
        return f"{field} is no field of a board (docs/boards.md)"
    return f"{field} = {error.get('input')!r}: {error['msg']}"
