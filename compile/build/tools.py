# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Runs the tools of a build: output into a log, and of a failing tool the line that says why."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from bitwright.errors import BackendError, ToolMissingError
from bitwright.host.bitfile import BitFile, check_part, read_bit
from bitwright.host.errors import BundleError


class BuildError(BackendError):
    """A build cannot start, or one of its steps failed."""


#: A line that reports an error: Vivado, Vitis, nextpnr and Yosys, compilers, Python.
_ERROR = re.compile(
    r"^\s*(ERROR|FATAL|CRITICAL ERROR)\b\s*:?|\b(fatal )?error:|\bERROR:|^[A-Za-z_.]*(Error|Exception): "
)
#: What Tcl prints after the message of an error.
_TCL_TRACE = "    while executing"
#: Errors that only say that something before them failed.
_CONSEQUENCES = (
    "[Common 17-39]",  # '<command>' failed due to earlier errors
    "[Common 17-69]",  # Command failed: ... see the log
    "[Common 17-161]",
    "[Vivado 12-13638]",  # Failed runs(s)
    "[Vivado_Tcl 4-",
    "[HLS 200-1715]",  # Encountered problem during source synthesis
    "failed due to earlier errors",
    "Synthesis failed - please see the console",
    "run failed",
    "Run execution failed",
)


def first_error(text: str) -> str | None:
    """The first line that names a cause; one that only follows from others when there is no better; else None."""
    second: str | None = None
    before = ""
    for line in text.splitlines():
        if line == _TCL_TRACE and before:
            return before.strip()
        before = line
        if not _ERROR.search(line):
            continue
        line = line.strip()
        if not any(c in line for c in _CONSEQUENCES):
            return line
        second = second or line
    return second


def find_tool(names: str | Sequence[str], purpose: str, hint: str = "") -> str:
    """Path of the first program of ``names`` that is on the PATH. Raises ToolMissingError, which ends with the hint."""
    wanted = [names] if isinstance(names, str) else list(names)
    for name in wanted:
        path = shutil.which(name)
        if path:
            return path
    raise ToolMissingError(f"{purpose} needs {' or '.join(wanted)} on the PATH" + (f"; {hint}" if hint else ""))


def run_logged(
    command: Sequence[str | Path],
    log: Path,
    *,
    cwd: Path,
    timeout: float | None = None,
    env: Mapping[str, str] | None = None,
    more_logs: Sequence[str] = (),
) -> str:
    """Run a tool; standard output and error go to ``log`` (appended), which is returned as far as it is new.

    Args:
        env: additions to the environment.
        more_logs: patterns below ``cwd`` of logs that the tool writes itself; searched for the error first, oldest
            first (Vivado's runs report their errors there only).

    Raises:
        BuildError: the tool failed or took longer than ``timeout`` seconds; names the tool, its first error, the log.
    """
    tool = Path(str(command[0])).name
    log.parent.mkdir(parents=True, exist_ok=True)
    before = {p for pattern in more_logs for p in cwd.glob(pattern)}
    times = {p: p.stat().st_mtime_ns for p in before}
    with log.open("ab") as out:
        out.write(f"$ {' '.join(str(c) for c in command)}\n".encode())
        out.flush()
        start = out.tell()
        try:
            process = subprocess.Popen(
                [str(c) for c in command], cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                env={**os.environ, **env} if env else None, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise BuildError(f"{tool} cannot be started: {error.strerror}") from None
        try:
            code = process.wait(timeout)
        except BaseException as error:  # an interrupt too must not leave the tool and its children behind
            _stop(process)
            if isinstance(error, subprocess.TimeoutExpired):
                raise BuildError(f"{tool} did not finish within {timeout:.0f} s; its output is in {log}") from None
            raise
    with log.open("rb") as written:
        written.seek(start)
        text = written.read().decode("utf-8", "replace")
    if code:
        own = [p for pattern in more_logs for p in cwd.glob(pattern) if p.stat().st_mtime_ns != times.get(p)]
        texts = [p.read_text(encoding="utf-8", errors="replace") for p in sorted(own, key=lambda p: p.stat().st_mtime)]
        found = next((e for e in map(first_error, [*texts, text]) if e), None)
        last = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no output")
        ended = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        raise BuildError(f"{tool} {ended}: {found or last} (log: {log})")
    return text


def read_bitstream(path: Path, part: str) -> BitFile:
    """A .bit of a build. Raises BuildError: damaged, or for another device."""
    try:
        bit = read_bit(path)
        check_part(bit, part, path)
    except BundleError as error:
        raise BuildError(str(error)) from None
    return bit


def _stop(process: subprocess.Popen[bytes]) -> None:
    for signum, seconds in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        try:
            os.killpg(process.pid, signum)
            process.wait(seconds)
            return
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
