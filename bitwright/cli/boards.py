# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""`bitwright boards`: what the board files say, and where it comes from."""

from __future__ import annotations

import json as json_module

from rich.console import Console
from rich.table import Table

from bitwright.boards import Board, board_names, load_board


def boards(name: str | None, json: bool) -> None:
    """Print all boards, or one with the sources of its figures. Raises BoardError."""
    if name is not None:
        _one(load_board(name), json)
        return
    found = [load_board(n) for n in board_names()]
    if json:
        print(json_module.dumps({"boards": [b.model_dump() | {"ps": b.ps} for b in found]}))
        return
    table = Table()
    table.add_column("board", no_wrap=True)
    for column in ("part", "PS"):
        table.add_column(column)
    for column in ("LUT", "FF", "BRAM36", "URAM", "DSP", "HP ports", "DRAM", "GB/s", "engine"):
        table.add_column(column, justify="right")
    table.add_column("PYNQ")
    for b in found:
        r = b.resources
        table.add_row(
            b.name, b.part, b.ps, f"{r.lut:,}", f"{r.ff:,}", str(r.bram36), str(r.uram), str(r.dsp),
            f"{b.axi_hp_ports} x {b.axi_hp_bits}" if b.axi_hp_ports else "-", _size(b.memory.dram),
            f"{b.memory.bytes_per_second / 1e9:.3g}", b.engine.config if b.engine else "-", ", ".join(b.pynq) or "-",
        )  # fmt: skip
    console = Console()
    console.print(table)
    if not any(b.verified for b in found):
        console.print("No bitstream of ours ran on any of them yet.")
    console.print("`bitwright boards NAME` shows where the figures of a board come from.")


def _one(board: Board, json: bool) -> None:
    if json:
        print(json_module.dumps(board.model_dump() | {"ps": board.ps}))
        return
    table = Table(title=f"{board.title} ({board.name})", title_justify="left")
    for column in ("figure", "value", "checked", "source"):
        table.add_column(column)
    facts = board.model_dump()
    for field in board.figures():
        section, _, key = field.partition(".")
        value = facts[section][key] if key else facts[section]
        source = board.source(field)
        table.add_row(field, str(value), "yes" if source.checked else "no", source.document)
    Console().print(table)


def _size(count: int) -> str:
    return f"{count >> 30} GiB" if count >= 1 << 30 else f"{count >> 20} MiB"
