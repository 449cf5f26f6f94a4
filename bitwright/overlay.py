# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Runs unmodified pynq programs on this machine: their `Overlay` is a simulated design with a compiled model in it.

    python -m bitwright.overlay OUT [--engine rtl] program.py [arguments]

The program finds `OUT/overlay/NAME.bit` and `NAME.hwh`: the addresses and parameters that a build gives the real ones,
with a bitstream that is empty but for its header. Needs pynq (pip install 'bitwright[pynq]', in its own environment).
"""

from __future__ import annotations

import argparse
import json
import runpy
import sys
from pathlib import Path
from typing import Any

from bitwright.boards import Board, load_board
from bitwright.compile.build.design import (
    CONTROL_BASE,
    CONTROL_SIZE,
    Cell,
    Design,
    Register,
    StreamIp,
    clock_below,
    engine_design,
    stream_design,
)
from bitwright.compile.build.hwh import write_hwh
from bitwright.errors import BitwrightError
from bitwright.host.bitfile import BitFile
from bitwright.host.bundle import Bundle, load_bundle

FOLDER = "overlay"


def write_overlay(bundle: Bundle, folder: Path | None = None) -> Path:
    """Write NAME.hwh and a NAME.bit without configuration for a bundle; the path of the .bit.

    Args:
        folder: where to; the folder ``overlay`` of the bundle when left out.
    """
    board = load_board(str(bundle.manifest["board"]))
    folder = bundle.root / FOLDER if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    name = bundle.root.resolve().name
    write_hwh(_design(name, bundle, board), folder / f"{name}.hwh", "bitwright, for the simulated board")
    bit = folder / f"{name}.bit"
    part = board.part.removeprefix("xc") if board.ps == "ps7" else board.part
    bit.write_bytes(BitFile(name, part, "2026/01/01", "00:00:00", b"\xff" * 64).encode())
    return bit


def _design(name: str, bundle: Bundle, board: Board) -> Design:
    clock = clock_below(board, float(bundle.manifest["clock_mhz"]))
    if bundle.manifest["transport"]["kind"] == "engine":
        return engine_design(name, board, clock)
    if bundle.manifest["transport"]["kind"] == "finn":
        base = CONTROL_BASE[board.ps]
        names = [end.core for side in bundle.finn_ends() for end in side]
        cells = [_iodma(n, base + k * CONTROL_SIZE, board) for k, n in enumerate(names)]
        return Design(name, board, clock, tuple(cells))
    into, back = bundle.inputs[0].beat.bits, bundle.outputs[0].beat.bits
    core = StreamIp("model_0", "xilinx.com:hls:model:1.0", "ip", "in_r", into, "out_r", back, "ap_clk", "ap_rst_n")
    return stream_design(name, board, clock, core)


def _iodma(name: str, base: int, board: Board) -> Cell:
    """One of FINN's DMAs, with the registers of its HLS core."""
    offsets = {"CTRL": 0x00, "ADDRESS": 0x10, "ADDRESS_MSB": 0x14, "NUMREPS": 0x1C}
    registers = tuple(Register(n, at) for n, at in offsets.items())
    return Cell(
        name, f"xilinx.com:hls:{name}:1.0", control="s_axi_control", base=base, registers=registers,
        masters=("m_axi_gmem",), master_bits=board.axi_hp_bits, clocks=("ap_clk",), resets=("ap_rst_n",),
        repository="ip",
    )  # fmt: skip


def board_of(bitstream: Path, **options: Any) -> Any:
    """The simulated board of the bundle that a bitstream lies in. Raises BitwrightError when it lies in none."""
    from bitwright.sim.board import SimulatedBoard

    for folder in bitstream.resolve().parents:
        if (folder / "manifest.json").is_file():
            return SimulatedBoard.with_bundle(load_bundle(folder), **options)
    raise BitwrightError(f"{bitstream}: lies in no bundle; write one with bitwright.overlay.write_overlay")


def architecture(bundle: Bundle) -> str:
    """Machine name of the processor of the bundle's board."""
    return "armv7l" if load_board(str(bundle.manifest["board"])).ps == "ps7" else "aarch64"


def main(arguments: list[str] | None = None) -> int:
    """Command line; see the module."""
    parser = argparse.ArgumentParser(
        prog="python -m bitwright.overlay", description="Run a pynq program on a simulated board."
    )
    parser.add_argument("bundle", type=Path, help="compiled model (bitwright compile)")
    parser.add_argument(
        "--engine", choices=("program", "rtl"), default="program", help="what is behind the engine's registers"
    )
    parser.add_argument("program", type=Path, help="Python program that uses pynq")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="of the program")
    given = parser.parse_args(arguments)
    try:
        from bitwright.sim.board.pynq_device import simulated_pynq
    except ImportError as error:
        print(f"pynq is needed: pip install 'bitwright[pynq]' ({error})", file=sys.stderr)
        return 2
    bundle = load_bundle(given.bundle)
    print(json.dumps({"bitstream": str(write_overlay(bundle))}), file=sys.stderr)
    before = sys.argv
    sys.argv = [str(given.program), *given.arguments]
    try:
        with simulated_pynq(architecture(bundle), lambda path: board_of(path, engine=given.engine)):
            runpy.run_path(str(given.program), run_name="__main__")
    finally:
        sys.argv = before
    return 0


if __name__ == "__main__":
    sys.exit(main())
