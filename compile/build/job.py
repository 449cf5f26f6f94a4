# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""What a build is made of: a route makes named steps, a step works on a job (docs/build.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bitwright import __version__
from bitwright.boards import Board
from bitwright.compile.build.tools import BuildError, read_bitstream, run_logged


@dataclass(frozen=True)
class Artifact:
    """A file that a build gives to the bundle.

    Attributes:
        kind: key under ``artifacts`` of the manifest: 'bitstream', 'hwh', or a route's own.
        path: in the job's folder. name: of the copy in the bundle's folder ``bitstream``.
        made: 'built' by the tools of the route, or 'generated' by bitwright itself.
        by: the tool and its version.
    """

    kind: str
    path: str
    name: str
    made: str
    by: str


@dataclass
class Job:
    """One build of one bundle by one route.

    Attributes:
        bundle: its folder. manifest: as read. board: of the manifest. folder: of the build, OUT/build/ROUTE.
        clock_mhz: that the user asks for; None: the route's choice.
        facts: JSON values that steps leave to later ones and to the manifest; kept for --resume.
        tools: versions by tool; kept as well. artifacts: what goes into the bundle; kept as well.
        step: the one that runs.
    """

    bundle: Path
    manifest: Mapping[str, Any]
    board: Board
    folder: Path
    clock_mhz: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    tools: dict[str, str] = field(default_factory=dict)
    artifacts: list[Artifact] = field(default_factory=list)
    step: str = ""

    @property
    def project(self) -> Path:
        """The backend's project in the bundle; a build reads it and writes nothing there."""
        return self.bundle / str(self.manifest["project"])

    @property
    def log(self) -> Path:
        """Log of the step that runs."""
        return self.folder / "logs" / f"{self.step}.log"

    def run(
        self, *command: str | Path, cwd: Path | None = None, timeout: float | None = None,
        env: Mapping[str, str] | None = None, more_logs: Sequence[str] = (),
    ) -> str:  # fmt: skip
        """Run a tool in ``cwd`` (default: the job's folder), output to the step's log; see `tools.run_logged`."""
        return run_logged(
            command, self.log, cwd=cwd or self.folder, timeout=timeout, env=env, more_logs=more_logs
        )  # fmt: skip

    def note(self, text: str) -> None:
        """Write a line into the step's log."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("a", encoding="utf-8") as out:
            out.write(text + "\n")

    def give(self, kind: str, path: Path, name: str, *, made: str, by: str) -> None:
        """The file belongs into the bundle, under ``name``; a former one of the same kind is replaced."""
        artifact = Artifact(kind, path.relative_to(self.folder).as_posix(), name, made, by)
        self.artifacts[:] = [a for a in self.artifacts if a.kind != kind] + [artifact]

    def give_bitstream(self, bit: Path, name: str, by: str) -> None:
        """A .bit for a Zynq belongs into the bundle as NAME.bit, and as NAME.bin for Linux' fpga_manager without PYNQ.

        Raises BuildError: damaged, or for another device than the board's.
        """
        binary = bit.with_suffix(".bin")
        binary.write_bytes(read_bitstream(bit, self.board.part).to_bin())
        self.give("bitstream", bit, f"{name}.bit", made="built", by=by)
        self.give("bin", binary, f"{name}.bin", made="generated", by=f"bitwright {__version__}")


@dataclass(frozen=True)
class Step:
    """A named part of a build; it can be skipped by --resume when it was done before.

    Attributes:
        name: unique in its route; also of the log. title: what is being done, for people.
        run: does it. Raises BuildError, ToolMissingError.
        outputs: files or folders in the job's folder that exist when it is done; files are checked by their hash
            before the step is skipped.
    """

    name: str
    title: str
    run: Callable[[Job], None]
    outputs: tuple[str, ...] = ()


class Route(Protocol):
    """A way from a bundle to a bitstream. A module of compile/build has one as ``ROUTE``."""

    name: str

    def check(self, job: Job) -> None:
        """Refuse what the route cannot build, before anything is written. Raises BuildError."""
        ...

    def steps(self, job: Job) -> Sequence[Step]:
        """In order. The steps depend on the bundle and the board only, not on which tools are there."""
        ...


def require_backend(job: Job, *names: str) -> None:
    """Refuse bundles of other backends. Raises BuildError."""
    backend = str(job.manifest["backend"])
    if backend not in names:
        raise BuildError(f"{job.bundle}: the route does not build bundles of the backend {backend}, but of {names}")
