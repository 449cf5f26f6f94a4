# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Reads Vivado's reports: report_utilization and report_timing_summary, for the 7 series and UltraScale+."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bitwright.boards import Board
from bitwright.compile.build.tools import BuildError

#: Rows of the utilisation report by resource, as the families call them.
_SITES = {
    "lut": ("Slice LUTs", "CLB LUTs"),
    "ff": ("Slice Registers", "CLB Registers"),
    "bram36": ("Block RAM Tile",),
    "dsp": ("DSPs",),
    "uram": ("URAM",),
}
#: Columns of the table below "Design Timing Summary", in order.
_TIMING = ("wns", "tns", "tns_failing", "tns_endpoints", "whs", "ths", "ths_failing", "ths_endpoints", "wpws", "tpws",
           "tpws_failing", "tpws_endpoints")  # fmt: skip


@dataclass(frozen=True)
class Utilization:
    """Used and available resources; block RAMs in units of 36 kbit, of which halves can be used."""

    device: str
    tool: str
    state: str
    used: dict[str, float]
    available: dict[str, float]


@dataclass(frozen=True)
class Timing:
    """Worst slacks in ns: setup (wns), hold (whs), pulse width (wpws); None: there is no such path.

    Attributes:
        tns, ths: sums of negative slacks. failing: endpoints of setup, hold and pulse width that fail.
        period_ns: of the fastest clock.
    """

    wns: float | None
    tns: float | None
    whs: float | None
    ths: float | None
    wpws: float | None
    failing: int
    period_ns: float | None

    @property
    def met(self) -> bool:
        """No slack is negative."""
        return self.failing == 0 and all(s is None or s >= 0 for s in (self.wns, self.whs, self.wpws))


def _header(text: str, field: str) -> str:
    found = re.search(rf"^\| {field}\s*: (.+?)\s*$", text, re.M)
    return found.group(1) if found else ""


def _number(text: str) -> float:
    return float(text.strip().lstrip("<").replace(",", ""))


def read_utilization(path: Path) -> Utilization:
    """A report of report_utilization. Raises BuildError: it is none, or lacks a resource that every device has."""
    text = _read(path)
    used: dict[str, float] = {}
    available: dict[str, float] = {}
    columns: dict[str, int] = {}
    for line in text.splitlines():
        cells = [c.strip() for c in line.split("|")[1:-1]]
        if "Site Type" in cells and "Available" in cells:
            columns = {name: k for k, name in enumerate(cells)}
            continue
        if not cells or not columns or len(cells) != len(columns):
            continue
        # Vivado marks rows with footnotes: "Slice LUTs*".
        name = cells[columns["Site Type"]].rstrip("*")
        for resource, names in _SITES.items():
            if name in names and resource not in used and cells[columns["Available"]]:
                used[resource] = _number(cells[columns["Used"]])
                available[resource] = _number(cells[columns["Available"]])
    missing = [r for r in ("lut", "ff", "bram36", "dsp") if r not in used]
    if missing:
        raise BuildError(f"{path}: no report of report_utilization (it has no row for {', '.join(missing)})")
    tool = re.search(r"Vivado v\.(\S+)", text)
    return Utilization(
        _header(text, "Device"), tool.group(1) if tool else "", _header(text, "Design State"), used, available
    )


def read_timing(path: Path) -> Timing:
    """A report of report_timing_summary. Raises BuildError: it is none, or the design has no constrained path."""
    text = _read(path)
    found = re.search(r"\| Design Timing Summary\n.*?WNS\(ns\)[^\n]*\n[\s-]*\n\s*([^\n]+)", text, re.S)
    values = found.group(1).split() if found else []
    if len(values) != len(_TIMING):
        raise BuildError(f"{path}: no report of report_timing_summary (it has no Design Timing Summary)")
    facts = {k: None if v == "NA" else _number(v) for k, v in zip(_TIMING, values, strict=True)}
    if facts["wns"] is None:
        raise BuildError(f"{path}: no path is constrained; the design has no clock")
    failing = sum(int(facts[f"{k}_failing"] or 0) for k in ("tns", "ths", "tpws"))
    verdict = "timing constraints are met" in text
    timing = Timing(
        facts["wns"], facts["tns"], facts["whs"], facts["ths"], facts["wpws"], failing, _fastest_period(text)
    )  # fmt: skip
    if verdict != timing.met:
        raise BuildError(f"{path}: its verdict on timing and its table disagree; look at it yourself")
    return timing


def _fastest_period(text: str) -> float | None:
    """Of the table "Clock Summary": name, waveform in braces, period, frequency."""
    section = text.partition("| Clock Summary")[2].partition("| Intra Clock Table")[0]
    periods = [float(p) for p in re.findall(r"^\s*\S+\s+\{[^}]*\}\s+([\d.]+)\s+[\d.]+\s*$", section, re.M)]
    return min(periods, default=None)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise BuildError(f"{path}: cannot be read: {error.strerror}") from None


def check_timing(timing: Timing, mhz: float) -> dict[str, Any]:
    """The facts for the manifest. Raises BuildError when timing is not met: by how much, and what to do."""
    if not timing.met:
        if timing.wns is not None and timing.wns < 0:
            reachable = 1000 / (1000 / mhz - timing.wns)
            raise BuildError(
                f"timing is not met at {mhz:.6g} MHz: {timing.failing} endpoints fail, the worst setup slack is "
                f"{timing.wns:.3f} ns; this run would do about {reachable:.0f} MHz: build with "
                f"--clock-mhz {int(reachable)}"
            )
        raise BuildError(
            f"timing is not met at {mhz:.6g} MHz: {timing.failing} endpoints fail, worst hold slack {timing.whs} ns, "
            f"worst pulse width slack {timing.wpws} ns; a slower clock does not help against these"
        )
    return asdict(timing)


def check_utilization(report: Utilization, board: Board) -> dict[str, Any]:
    """The facts for the manifest. Raises BuildError: more used than the board has, by its file."""
    has = board.resources.model_dump()
    over = [f"{n:g} {r} used, {board.name} has {has[r]}" for r, n in report.used.items() if n > has[r]]
    if over:
        raise BuildError(
            f"the design does not fit: {'; '.join(over)}; choose a smaller configuration or a larger board"
        )
    return {r: {"used": n, "available": report.available[r], "share": round(n / max(report.available[r], 1), 4)}
            for r, n in report.used.items()}  # fmt: skip
