# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""How deep the logic of a mapped netlist is (write_json of Yosys; Xilinx, ECP5), in levels; a level is no time.

A LUT and a read of distributed RAM count one, a carry chain counts one whatever its length, the multiplexers behind
LUTs and inverters nothing. Paths begin at flip-flops, shift registers, block memories, DSP slices and inputs and end
there. Yosys gives multipliers of ECP5 no registers: paths run through them, as one level.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_CARRY = ("CARRY4", "CARRY8", "CCU2C")
_CARRY_IN = ("CI", "CIN")
_FREE = ("MUXF7", "MUXF8", "MUXF9", "PFUMX", "L6MUX21", "INV", "BUF", "$_NOT_")
_OTHERS = ("TRELLIS_DPR16X4", "MULT18X18D")
#: Ports of distributed RAM through which no path leads to an output: they are sampled by the clock.
_CLOCKED = ("D", "DI", "DIA", "DIB", "DIC", "DID", "DIE", "DIF", "DIG", "DIH", "WE", "WCLK", "WAD", "WRE", "WCK")


@dataclass(frozen=True)
class LogicPath:
    """The deepest logic behind one kind of start ("register", "memory", "dsp" or "input").

    Attributes:
        levels: as above. start: net. end: cell, its net and the port. cells: types of the cells on the way.
    """

    kind: str
    levels: int
    start: str
    end: str
    cells: tuple[str, ...]


def _start_kind(cell: str) -> str:
    if cell.startswith(("RAMB", "URAM", "DP16KD")):
        return "memory"
    return "dsp" if cell.startswith("DSP") else "register"


def _combinational(cell: str) -> bool:
    return (
        cell.startswith("LUT") or cell in (*_CARRY, *_FREE, *_OTHERS) or (cell.startswith("RAM") and "RAMB" not in cell)
    )


def deepest_paths(netlist: dict[str, Any]) -> dict[str, LogicPath]:
    """The deepest path of every kind of start.

    Args:
        netlist: what write_json wrote; one module, flattened.
    """
    module = next(m for m in netlist["modules"].values() if int(m.get("attributes", {}).get("top", "0"), 2))
    names: dict[int, str] = {}
    for name, net in module["netnames"].items():
        hidden = bool(net.get("hide_name"))
        for n, bit in enumerate(net["bits"]):
            if isinstance(bit, int) and (bit not in names or not hidden):
                names[bit] = f"{name}[{n}]" if len(net["bits"]) > 1 else name
    drivers: dict[int, dict[str, Any]] = {}
    ready: dict[int, str] = {}  # kind of the start
    sinks: dict[int, str] = {}  # what a bit is registered in
    for name, port in module["ports"].items():
        if port["direction"] == "output":
            sinks |= {bit: f"output {name}" for bit in port["bits"] if isinstance(bit, int)}
        if port["direction"] != "output":
            ready |= {bit: "input" for bit in port["bits"] if isinstance(bit, int)}
    for cell in module["cells"].values():
        outputs = [
            b for p, d in cell.get("port_directions", {}).items() if d != "input" for b in cell["connections"][p]
        ]
        outputs = [b for b in outputs if isinstance(b, int)]
        if _combinational(cell["type"]):
            drivers |= dict.fromkeys(outputs, cell)
            continue
        ready |= dict.fromkeys(outputs, _start_kind(cell["type"]))
        target = f"{cell['type']} {names.get(outputs[0], '') if outputs else ''}"
        for port, direction in cell.get("port_directions", {}).items():
            if direction == "input":
                sinks |= {b: f"{target} {port}" for b in cell["connections"][port] if isinstance(b, int)}

    # Longest arrival for each kind: bit -> {kind: (levels, bit before, cell)}; depth first, without recursion.
    arrivals: dict[int, dict[str, tuple[int, int | None, str]]] = {b: {k: (0, None, "")} for b, k in ready.items()}
    for root in drivers:
        stack = [root]
        while stack:
            bit = stack[-1]
            if bit in arrivals:
                stack.pop()
                continue
            cell = drivers[bit]
            inputs = [
                (port, b)
                for port, bits in cell["connections"].items()
                if cell["port_directions"][port] == "input"
                and not (cell["type"].startswith(("RAM", "TRELLIS_DPR")) and port in _CLOCKED)
                for b in bits
                if isinstance(b, int)
            ]
            missing = [b for _, b in inputs if b not in arrivals and b in drivers]
            if missing:
                if len(stack) > 1_000_000:
                    raise ValueError(f"combinational loop through {names.get(bit, bit)}")
                stack.extend(missing)
                continue
            best: dict[str, tuple[int, int | None, str]] = {}
            for port, b in inputs:
                free = cell["type"] in _FREE or (cell["type"] in _CARRY and port in _CARRY_IN)
                for kind, (level, _, _) in arrivals.get(b, {}).items():
                    if level + (not free) > best.get(kind, (-1, None, ""))[0]:
                        best[kind] = (level + (not free), b, cell["type"])
            arrivals[bit] = best
            stack.pop()

    found: dict[str, LogicPath] = {}
    for kind in ("register", "memory", "dsp", "input"):
        ends = [(a[kind][0], bit) for bit, a in arrivals.items() if kind in a and bit in sinks]
        if not ends:
            continue
        levels, end = max(ends)
        cells: list[str] = []
        at = end
        while arrivals[at][kind][1] is not None:
            _, before, cell_type = arrivals[at][kind]
            cells.append(cell_type)
            assert before is not None
            at = before
        found[kind] = LogicPath(kind, levels, names.get(at, str(at)), sinks[end], tuple(reversed(cells)))
    return found
