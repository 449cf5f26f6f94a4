# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Compiles the native kernels (kernels.cpp) with g++ when they are first needed, and keeps them for later processes."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from bitwright.sim.fast.emit import Inexact

SOURCE = Path(__file__).with_name("kernels.cpp")
FLAGS = ("-O3", "-mavx2", "-fopenmp", "-ffp-contract=off", "-shared", "-fPIC", "-std=c++17")


@cache
def library() -> ctypes.CDLL:
    """The compiled kernels. Raises Inexact with the reason why there are none."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        flags = ""
    if "avx2" not in flags:
        raise Inexact("the processor has no AVX2")
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        raise Inexact("no C++ compiler")
    digest = hashlib.sha256(SOURCE.read_bytes() + " ".join(FLAGS).encode()).hexdigest()[:24]
    folder = Path(tempfile.gettempdir()) / f"bitwright-kernels-{os.getuid()}"
    target = folder / f"{digest}.so"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if not target.exists():
            partial = target.with_suffix(f".{os.getpid()}")
            command = [compiler, *FLAGS, str(SOURCE), "-o", str(partial)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
            if done.returncode != 0:
                raise Inexact(f"the kernels do not compile: {done.stderr.strip().splitlines()[-1:]}")
            partial.replace(target)
        return ctypes.CDLL(str(target))
    except OSError as error:
        raise Inexact(f"the kernels cannot be loaded: {error}") from None
