# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""FINN bundles on the route vivado: FINN's own build, which calls Vivado and Vitis HLS itself (docs/finn.md).

FINN makes block design, bitfile, .hwh and driver; here it is run, and its results are checked and taken into the
bundle. FINN with Vivado has not been run.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from bitwright.compile.backends.finn.driver import check_driver
from bitwright.compile.backends.finn.project import STREAMS
from bitwright.compile.build.hwh import read_address_map
from bitwright.compile.build.job import Job, Step
from bitwright.compile.build.reports import check_timing, read_timing
from bitwright.compile.build.tools import BuildError, find_tool
from bitwright.errors import BackendError, ToolMissingError
from bitwright.hw.hls.finn import FINN_COMMIT

#: Where FINN leaves its results, below the project's copy.
BITFILE, REPORTS, DRIVER = "output/bitfile/finn-accel", "output/report", "output/driver/driver.py"
#: Names the Python interpreter of FINN's environment.
PYTHON = "BITWRIGHT_FINN_PYTHON"


def check(job: Job) -> None:
    """Refuse boards that FINN builds no bitfile for, and another clock than the project's. Raises BuildError."""
    config = json.loads((job.project / "dataflow_build_config.json").read_text(encoding="utf-8"))
    if "bitfile" not in config["generate_outputs"]:
        raise BuildError(
            f"board {job.board.name}: FINN builds no bitfile for it, only the stitched core (docs/finn.md)"
        )
    if job.clock_mhz is not None:
        raise BuildError("the clock of a FINN project is that of its folding; compile it with --option clock_mhz=…")


def steps(name: str) -> Sequence[Step]:
    """A copy of the project, FINN, results."""
    made = (f"finn/{BITFILE}.bit", f"finn/{BITFILE}.hwh")
    return [
        Step("emit", "copying the FINN project", _emit, ("finn/build.py",)),
        Step("finn", "FINN with Vivado and Vitis HLS (hours)", _finn, made),
        Step("results", "checking .bit and .hwh", lambda job: _results(job, name)),
    ]


def _emit(job: Job) -> None:
    shutil.rmtree(job.folder / "finn", ignore_errors=True)
    shutil.copytree(job.project, job.folder / "finn")


def _finn(job: Job) -> None:
    if (job.project / f"{BITFILE}.bit").is_file():  # FINN ran elsewhere, in its container say
        job.note(f"taken from {job.project / 'output'}")
        job.tools |= {"vivado": "of unknown version", "finn": "of unknown version"}
        return
    if "FINN_ROOT" not in os.environ:
        raise ToolMissingError(
            f"step finn needs FINN: set FINN_ROOT to its folder and {PYTHON} to the Python of its environment; "
            f"everything is ready in {job.folder / 'finn'} (see README.md there), go on with --resume"
        )
    vivado = find_tool("vivado", "step finn", "FINN calls it")
    python = os.environ.get(PYTHON) or find_tool("python3", "step finn")
    lines = job.run(vivado, "-version").splitlines()
    job.tools |= {"vivado": lines[0].strip() if lines else "of unknown version", "finn": FINN_COMMIT}
    job.run(python, "build.py", cwd=job.folder / "finn", more_logs=("output/build_dataflow.log",))


def _results(job: Job, name: str) -> None:
    bit, hwh = (job.folder / "finn" / f"{BITFILE}.{kind}" for kind in ("bit", "hwh"))
    cells = read_address_map(hwh)
    reports = job.folder / "finn" / REPORTS
    job.facts["timing"] = check_timing(read_timing(reports / "post_route_timing.rpt"), float(job.manifest["clock_mhz"]))
    job.facts["resources"] = json.loads((reports / "post_synth_resources.json").read_text(encoding="utf-8"))
    job.facts["design"] = {"name": name, "cells": {n: {"base": f"{low:#010x}"} for n, (_, low, _) in cells.items()}}
    driver = job.folder / "finn" / DRIVER
    words = json.loads((job.project / STREAMS).read_text(encoding="utf-8"))
    try:
        found = check_driver(driver, words)
    except BackendError as error:
        raise BuildError(str(error)) from None
    cores = sorted(c for side in found["cores"].values() for c in side.values())
    if sorted(n for n in cells if n.startswith(("idma", "odma"))) != cores:
        raise BuildError(f"{hwh}: FINN's DMA cores {', '.join(cores)} are expected, the design has {sorted(cells)}")
    job.facts["finn"] = {"streams": words, **found}
    by = f"FINN {job.tools['finn'][:12]}, {job.tools['vivado']}"
    archive = shutil.make_archive(str(job.folder / "finn-driver"), "zip", driver.parent)
    job.give("driver", Path(archive), "finn-driver.zip", made="built", by=by)
    # pynq wants both under one name
    job.give_bitstream(bit, name, by)
    job.give("hwh", hwh, f"{name}.hwh", made="built", by=by)
