# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The route through AMD Vivado: scripts and settings, a dry run of them, then the tools when they are there.

No Vivado has run what this writes (docs/build.md).
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bitwright import __version__
from bitwright.compile.backends.engine.backend import named_config
from bitwright.compile.backends.engine.program import load_program
from bitwright.compile.build import finn
from bitwright.compile.build.design import (
    CONTROL_SIZE,
    Design,
    StreamIp,
    clock_below,
    engine_design,
    repositories,
    stream_design,
)
from bitwright.compile.build.hwh import differences, memory_ranges, ps_parameters, write_hwh
from bitwright.compile.build.job import Job, Step
from bitwright.compile.build.reports import check_timing, check_utilization, read_timing, read_utilization
from bitwright.compile.build.tools import BuildError, find_tool
from bitwright.hw.config import RTL, EngineConfig

#: Scripts and sources that are copied into a build.
SHELLS = RTL.parent / "shells"
SCRIPTS = ("package.tcl", "project.tcl", "synth.tcl", "implement.tcl")
#: Version of Vivado whose commands the scripts use.
OLDEST = (2020, 1)
#: Top of an hls4ml project with AXI streams (its VivadoAccelerator).
HLS_TOP = "bitwright_net_axi"
MADE_BY = f"bitwright {__version__}"


class VivadoRoute:
    """Engine, hls4ml and FINN bundles on boards with a processing system."""

    name = "vivado"

    def check(self, job: Job) -> None:
        """Refuse what has no block design here. Raises BuildError."""
        if job.manifest["backend"] == "finn":
            finn.check(job)
        else:
            design_of(job)

    def steps(self, job: Job) -> Sequence[Step]:
        """Scripts, a dry run, the core, the project, synthesis, implementation, results."""
        backend = job.manifest["backend"]
        name = design_name(job.manifest)
        if backend == "finn":
            return finn.steps(name)
        expected, made = f"expected/{name}.hwh", (f"result/{name}.bit", f"result/{name}.hwh")
        steps = [
            Step("emit", "writing scripts, settings and the expected .hwh", _emit, ("settings.tcl", expected)),
            Step("dry-run", "running the scripts with stubs for Vivado's commands", _dry_run),
        ]  # fmt: skip
        if backend == "engine":
            steps.append(Step("package", "packaging the engine", _script("package"), ("ip/component.xml",)))
        else:
            steps.append(Step("hls", "synthesizing C++ with hls4ml's script", _hls, ("hls",)))
        project = f"project/{name}"
        return [
            *steps,
            Step("project", "making the block design", _script("project"), (f"{project}.xpr",)),
            Step("synth", "synthesis", _script("synth"), ("reports/synth_utilization.rpt",)),
            Step("implement", "place, route, bitstream", _script("implement"), made),
            Step("results", "checking timing, utilisation, .bit and .hwh", _results),
        ]  # fmt: skip


ROUTE = VivadoRoute()


def design_of(job: Job) -> Design:
    """The design of a bundle. Raises BuildError: the route does not build this one."""
    manifest, board = job.manifest, job.board
    if board.ps == "none":
        raise BuildError(f"board {board.name} has no processing system; build it with --route yowasp")
    asked = job.clock_mhz or float(manifest["clock_mhz"])
    clock = clock_below(board, asked)
    name = design_name(manifest)
    if manifest["backend"] == "engine":
        return engine_design(name, board, clock)
    if manifest["backend"] == "hls4ml":
        return stream_design(name, board, clock, _hls_ip(job))
    raise BuildError(f"{job.bundle}: the route vivado does not build bundles of the backend {manifest['backend']}")


def design_name(manifest: Mapping[str, Any]) -> str:
    """Letters, digits and underscores, as Vivado and file systems want names."""
    name = re.sub(r"\W+", "_", str(manifest.get("name") or "net"), flags=re.ASCII).strip("_").lower()
    return name if name and name[0].isalpha() else f"net_{name}".rstrip("_")


def _hls_ip(job: Job) -> StreamIp:
    if not (job.project / "firmware" / f"{HLS_TOP}.h").is_file():
        raise BuildError(
            f"{job.project}: an hls4ml project without AXI streams; compile the model with --option "
            "tool=vivado-accelerator to build a bitstream"
        )
    inputs, outputs = job.manifest["inputs"], job.manifest["outputs"]
    if len(inputs) != 1 or len(outputs) != 1:
        raise BuildError(
            f"{job.bundle}: {len(inputs)} inputs and {len(outputs)} outputs; the DMA has one stream each way"
        )
    return StreamIp(
        f"{HLS_TOP}_0", f"xilinx.com:hls:{HLS_TOP}:1.0", "hls", "in_r", int(inputs[0]["beat"]["bits"]), "out_r",
        int(outputs[0]["beat"]["bits"]), "ap_clk", "ap_rst_n",
    )  # fmt: skip


# emit ---------------------------------------------------------------------------------------------------------------


def engine_config(job: Job) -> EngineConfig:
    """The configuration that an engine bundle was compiled for. Raises BuildError: it has changed since."""
    program = load_program(job.project)
    config = named_config(program.config)
    if config.hash != program.config_hash:
        raise BuildError(
            f"{job.project}: compiled for a configuration {config.name} with hash {program.config_hash:#010x}, it is "
            f"now {config.hash:#010x}; compile the model again"
        )
    return config


def write_parameters(config: EngineConfig, path: Path) -> None:
    """The Verilog macro BW_PARAMETERS: parameters of bw_engine and their values."""
    values = {k: str(v) for k, v in config.parameters().items()}
    values["CONFIG_HASH"] = f"32'h{config.hash:08X}"
    macro = ", ".join(f".{k}({v})" for k, v in values.items())
    path.write_text(f"// Configuration {config.name}; written by {MADE_BY}.\n`define BW_PARAMETERS {macro}\n")


def _emit(job: Job) -> None:
    design = design_of(job)
    for script in SCRIPTS:
        if script != "package.tcl" or job.manifest["backend"] == "engine":
            shutil.copy(SHELLS / "vivado" / script, job.folder / script)
    if job.manifest["backend"] == "engine":
        shutil.rmtree(job.folder / "rtl", ignore_errors=True)
        shutil.copytree(job.project / "rtl", job.folder / "rtl")
        shutil.copy(SHELLS / "vivado" / "bw_engine_top.v", job.folder / "rtl")
        write_parameters(engine_config(job), job.folder / "rtl" / "bw_parameters.svh")
    (job.folder / "settings.tcl").write_text(settings(design))
    (job.folder / "expected").mkdir(exist_ok=True)
    write_hwh(design, job.folder / "expected" / f"{design.name}.hwh", MADE_BY)
    job.facts |= {"clock_mhz": round(design.clock.mhz, 6), "design": design.as_dict()}
    job.note(f"{design.name}: {design.clock.mhz:.6f} MHz")


def settings(design: Design) -> str:
    """settings.tcl: what the scripts need to know of a design."""
    board = design.board
    cells = [
        {
            "name": c.name,
            # The vendor's cores: whatever version this Vivado has.
            "vlnv": c.vlnv if c.repository else c.vlnv.rsplit(":", 1)[0],
            "config": _config(c.parameters),
            "control": c.control or "",
            "base": f"{c.base:#x}",
            "size": f"{CONTROL_SIZE:#x}",
            "segment": c.segment,
            "masters": list(c.masters),
            "spaces": list(c.spaces),
            "clocks": list(c.clocks),
            "resets": list(c.resets),
            "interrupts": list(c.interrupts),
        }
        for c in design.cells
    ]
    ranges = [[block, f"{low:#x}", f"{_power_of_two(high - low + 1):#x}"] for block, low, high in memory_ranges(board)]
    lines = {
        "bw_name": design.name,
        "bw_part": board.part,
        "bw_board": board.vivado_board or "",
        "bw_ps": board.ps,
        "bw_ps_config": _config(ps_config(design)),
        "bw_cells": cells,
        "bw_streams": [[f"{a}/{i}", f"{b}/{j}"] for a, i, b, j in design.streams],
        "bw_memory": ranges,
        "bw_jobs": min(os.cpu_count() or 1, 8),
    }
    text = "".join(f"set {name} {_tcl(value)}\n" for name, value in lines.items())
    folders = " ".join(f"[file join $bw_here {_tcl(p.as_posix())}]" for p in repositories(design, Path()))
    return (
        f"# Written by {MADE_BY} from the build description; project.tcl and the other scripts read it.\n"
        "set bw_here [file dirname [file normalize [info script]]]\n"
        f"{text}set bw_repositories [list {folders}]\n"
    )


def ps_config(design: Design) -> dict[str, str]:
    """Parameters of the processing system that Vivado needs: crystal, clock, ports, interrupt."""
    board, clock = design.board, f"{design.clock.mhz:.6f}"
    wanted = ps_parameters(design)
    if board.ps == "ps7":
        return {
            "PCW_CRYSTAL_PERIPHERAL_FREQMHZ": f"{board.clocks.reference_mhz:g}", "PCW_FPGA0_PERIPHERAL_FREQMHZ": clock,
            "PCW_FCLK0_PERIPHERAL_CLKSRC": wanted["PCW_FCLK0_PERIPHERAL_CLKSRC"], "PCW_FPGA_FCLK0_ENABLE": "1",
            "PCW_EN_CLK0_PORT": "1", "PCW_EN_RST0_PORT": "1", "PCW_USE_M_AXI_GP0": "1", "PCW_USE_S_AXI_HP0": "1",
            "PCW_S_AXI_HP0_DATA_WIDTH": str(board.axi_hp_bits), "PCW_USE_FABRIC_INTERRUPT": "1",
            "PCW_IRQ_F2P_INTR": "1",
        }  # fmt: skip
    return {
        "PSU__OVERRIDE__BASIC_CLOCK": "0", "PSU__PSS_REF_CLK__FREQMHZ": f"{board.clocks.reference_mhz:g}",
        "PSU__FPGA_PL0_ENABLE": "1",
        "PSU__CRL_APB__PL0_REF_CTRL__SRCSEL": "IOPLL", "PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ": clock,
        "PSU__USE__M_AXI_GP0": "1", "PSU__MAXIGP0__DATA_WIDTH": wanted["PSU__MAXIGP0__DATA_WIDTH"],
        "PSU__USE__M_AXI_GP1": "0", "PSU__USE__M_AXI_GP2": "0", "PSU__USE__S_AXI_GP2": "1",
        "PSU__SAXIGP2__DATA_WIDTH": str(board.axi_hp_bits), "PSU__USE__IRQ0": "1",
        "PSU__HIGH_ADDRESS__ENABLE": str(int(board.memory.dram > 1 << 31)),
    }  # fmt: skip


def _config(parameters: Mapping[str, str]) -> list[str]:
    return [x for k, v in parameters.items() for x in (f"CONFIG.{k}", v)]


def _power_of_two(size: int) -> int:
    """An address range must be one."""
    return 1 << (size - 1).bit_length()


def _tcl(value: Any) -> str:
    """A value as a Tcl word: lists as lists, dictionaries as lists of keys and values."""
    if isinstance(value, Mapping):
        value = [x for pair in value.items() for x in pair]
    if isinstance(value, (list, tuple)):
        return "{" + " ".join(_tcl(v) for v in value) + "}"
    text = str(value)
    return text if re.fullmatch(r"[\w./:-]+", text, re.ASCII) else "{" + text + "}"


# dry run ------------------------------------------------------------------------------------------------------------


def _dry_run(job: Job) -> None:
    """Runs every script in tclsh, where stubs stand for Vivado's commands and check names, pins and addresses."""
    tclsh = shutil.which("tclsh")
    if tclsh is None:
        job.note("tclsh is not installed: not checked")
        job.facts["scripts"] = "not checked: tclsh is not installed"
        return
    for script in SCRIPTS:
        if (job.folder / script).exists():
            job.run(tclsh, SHELLS / "vivado" / "stubs.tcl", script)
    job.facts["scripts"] = "ran in tclsh with stubbed Vivado commands"


# tools --------------------------------------------------------------------------------------------------------------


def _tool(job: Job, name: str) -> str:
    hint = f"everything is ready in {job.folder}: build the bundle with --resume where it is installed"
    return find_tool(name, f"step {job.step}", hint)


def _vivado(job: Job) -> str:
    vivado = _tool(job, "vivado")
    if "vivado" not in job.tools:
        found = re.search(r"[vV]ivado v\.?((\d+)\.(\d+)\S*)", job.run(vivado, "-version"))
        if found and (int(found.group(2)), int(found.group(3))) < OLDEST:
            raise BuildError(f"{vivado} is Vivado {found.group(1)}; the scripts need {OLDEST[0]}.{OLDEST[1]} or newer")
        job.tools["vivado"] = found.group(1) if found else "of unknown version"
    return vivado


def _script(name: str) -> Any:
    def run(job: Job) -> None:
        vivado = _vivado(job)
        job.run(
            vivado, "-mode", "batch", "-nojournal", "-log", f"logs/{name}.vivado.log", "-source", f"{name}.tcl",
            more_logs=("project/*.runs/*/runme.log",),
        )  # fmt: skip

    return run


#: Switches of hls4ml's build_prj.tcl.
_HLS_ON, _HLS_OFF = ("synth", "export"), ("reset", "csim", "cosim", "validation", "vsynth", "fifo_opt")


def _hls(job: Job) -> None:
    """HLS synthesis and IP export, as hls4ml 1.3.0 does it for VivadoAccelerator, in a copy of the project."""
    tool = _tool(job, "vivado_hls")
    shutil.rmtree(job.folder / "hls", ignore_errors=True)
    shutil.copytree(job.project, job.folder / "hls")
    switches = " ".join(f"{k}={int(k in _HLS_ON)}" for k in (*_HLS_ON, *_HLS_OFF))
    text = job.run(tool, "-f", "build_prj.tcl", switches, cwd=job.folder / "hls", more_logs=("vivado_hls.log",))
    found = re.search(r"v(20\d\d\.\d\S*)", text)
    job.tools["vivado_hls"] = found.group(1) if found else "of unknown version"
    if not list((job.folder / "hls").glob("*_prj/solution1/impl/ip/component.xml")):
        raise BuildError(f"vivado_hls ended without error but exported no core (log: {job.log})")


def _results(job: Job) -> None:
    design = design_of(job)
    utilization = read_utilization(job.folder / "reports" / "utilization.rpt")
    timing = read_timing(job.folder / "reports" / "timing.rpt")
    job.facts["utilization"] = check_utilization(utilization, job.board)
    job.facts["timing"] = check_timing(timing, design.clock.mhz)
    bit, hwh = (job.folder / "result" / f"{design.name}.{kind}" for kind in ("bit", "hwh"))
    told = differences(job.folder / "expected" / f"{design.name}.hwh", hwh)
    if told:
        raise BuildError(f"{hwh}: Vivado's address map is not the one asked for: {'; '.join(told)}; please report this")
    by = f"Vivado {job.tools.get('vivado', '')}".strip()
    job.give_bitstream(bit, design.name, by)
    job.give("hwh", hwh, hwh.name, made="built", by=by)
