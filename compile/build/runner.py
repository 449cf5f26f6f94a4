# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Runs the steps of a route, remembers which are done, and writes the result into the bundle."""

from __future__ import annotations

import hashlib
import importlib
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from bitwright import __version__
from bitwright.boards import load_board
from bitwright.compile.backends.base import nearest
from bitwright.compile.build.install import RESULTS, compiled_clock, install, read_manifest, sha256, write_json
from bitwright.compile.build.job import Artifact, Job, Route, Step
from bitwright.compile.build.tools import BuildError
from bitwright.compile.bundle import MANIFEST

#: Modules of the routes; each has a ROUTE.
ROUTES = {
    "vivado": "bitwright.compile.build.vivado",
    "openxc7": "bitwright.compile.build.openxc7",
    "yowasp": "bitwright.compile.build.yowasp",
}
STATE = "state.json"
Event = Literal["start", "skip", "done"]
#: Told (step, its number from 1, number of steps, what happens, seconds).
Listener = Callable[[Step, int, int, Event, float], None]


@dataclass(frozen=True)
class Result:
    """What a build did.

    Attributes:
        steps: (name, 'done' or 'skipped', seconds). complete: all steps of the route are done.
        record: what the manifest says under ``build``; empty unless complete.
    """

    route: str
    folder: Path
    steps: tuple[tuple[str, str, float], ...]
    complete: bool
    record: Mapping[str, Any]


def load_route(name: str) -> Route:
    """A route by name. Raises BuildError with the nearest one."""
    if name not in ROUTES:
        raise BuildError(f"route {name!r} is unknown; there are {', '.join(ROUTES)}{nearest(name, ROUTES)}")
    route: Route = importlib.import_module(ROUTES[name]).ROUTE
    return route


def build(
    bundle: Path,
    route: str | Route,
    *,
    resume: bool = False,
    until: str | None = None,
    clock_mhz: float | None = None,
    listen: Listener = lambda *_: None,
) -> Result:
    """Build a bundle's bitstream.

    Args:
        route: name, or the route itself. resume: skip steps that were done before, with what they made unchanged.
        until: stop after this step. clock_mhz: of the programmable logic; None: the route's choice.

    Raises:
        BuildError: the bundle is none or does not fit the route; a step failed.
        ToolMissingError: a step's tool is not installed; steps before it are done and --resume goes on from there.
    """
    chosen = load_route(route) if isinstance(route, str) else route
    manifest = read_manifest(bundle)
    manifest["clock_mhz"] = compiled_clock(manifest)
    board = load_board(str(manifest["board"]))
    if board.part != manifest["part"]:
        raise BuildError(
            f"{bundle / MANIFEST}: part {manifest['part']!r}, but the board {board.name} has {board.part!r}; "
            "compile again"
        )
    job = Job(bundle, manifest, board, bundle / "build" / chosen.name, clock_mhz)
    chosen.check(job)
    steps = list(chosen.steps(job))
    names = [s.name for s in steps]
    if until is not None and until not in names:
        raise BuildError(
            f"route {chosen.name} has no step {until!r}; there are {', '.join(names)}{nearest(until, names)}"
        )
    state = _State(job, _key(job, chosen.name))
    done = state.load(names) if resume else []
    if not resume:
        shutil.rmtree(job.folder, ignore_errors=True)
    job.folder.mkdir(parents=True, exist_ok=True)
    told: list[tuple[str, str, float]] = []
    for number, step in enumerate(steps, 1):
        if len(told) < len(done):
            told.append((step.name, "skipped", done[number - 1]))
            listen(step, number, len(steps), "skip", done[number - 1])
        else:
            listen(step, number, len(steps), "start", 0.0)
            seconds = _run(job, step)
            state.add(step, seconds)
            told.append((step.name, "done", seconds))
            listen(step, number, len(steps), "done", seconds)
        if step.name == until:
            break
    complete = len(told) == len(steps)
    record = _record(job, chosen.name, told) if complete else {}
    return Result(chosen.name, job.folder, tuple(told), complete, record)


def _run(job: Job, step: Step) -> float:
    job.step = step.name
    job.log.unlink(missing_ok=True)
    before = time.perf_counter()
    try:
        step.run(job)
    except BuildError as error:
        raise BuildError(f"step {step.name}: {error}") from None
    except OSError as error:
        raise BuildError(f"step {step.name}: {error.filename or job.folder}: {error.strerror or error}") from None
    missing = [name for name in step.outputs if not (job.folder / name).exists()]
    if missing:
        raise BuildError(f"step {step.name}: it ended without error but left no {', '.join(missing)} (log: {job.log})")
    return time.perf_counter() - before


def _key(job: Job, route: str) -> str:
    """Changes when a step done before could come out differently: the project, the board, the clock, bitwright."""
    parts = [f"{route} {__version__} {job.clock_mhz} {job.board.model_dump_json()}"]
    kept = {k: v for k, v in job.manifest.items() if k not in ("artifacts", "build", "files")}
    parts.append(json.dumps(kept, sort_keys=True))
    for path in sorted(p for p in job.project.rglob("*") if p.is_file()):
        parts.append(f"{path.relative_to(job.project).as_posix()} {sha256(path)}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


class _State:
    """The steps that are done, in OUT/build/ROUTE/state.json; written after every step."""

    def __init__(self, job: Job, key: str) -> None:
        self.job, self.key = job, key
        self.path = job.folder / STATE
        self.steps: list[dict[str, Any]] = []

    def load(self, names: Sequence[str]) -> list[float]:
        """Seconds of the steps that need not run again; the job gets what they left. Raises BuildError."""
        try:
            stored = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []
        except ValueError:
            raise BuildError(f"{self.path}: damaged; build without --resume") from None
        if stored["key"] != self.key:
            raise BuildError(
                f"{self.job.folder}: was built from another project, board, clock or version; build without --resume"
            )
        for name, step in zip(names, stored["steps"], strict=False):
            if step["name"] != name or not all(self._intact(f, h) for f, h in step["outputs"].items()):
                break
            self.steps.append(step)
        if self.steps:
            last = self.steps[-1]
            self.job.facts, self.job.tools = dict(last["facts"]), dict(last["tools"])
            self.job.artifacts = [Artifact(**a) for a in last["artifacts"]]
        return [float(s["seconds"]) for s in self.steps]

    def _intact(self, name: str, digest: str | None) -> bool:
        path = self.job.folder / name
        return path.exists() if digest is None else path.is_file() and sha256(path) == digest

    def add(self, step: Step, seconds: float) -> None:
        """A step is done."""
        job = self.job
        outputs = {n: sha256(job.folder / n) if (job.folder / n).is_file() else None for n in step.outputs}
        left = {"facts": job.facts, "tools": job.tools, "artifacts": [asdict(a) for a in job.artifacts]}
        # A copy as of now: later steps change what the job holds.
        self.steps.append(
            json.loads(json.dumps({"name": step.name, "seconds": round(seconds, 2), "outputs": outputs} | left))
        )
        write_json(self.path, {"route": job.folder.name, "key": self.key, "steps": self.steps})


def _record(job: Job, route: str, steps: Sequence[tuple[str, str, float]]) -> dict[str, Any]:
    """Copies the artifacts into the bundle and writes the manifest."""
    record = {
        "route": route,
        "tools": {"bitwright": __version__, **job.tools},
        "steps": [{"name": name, "seconds": round(seconds, 1)} for name, _, seconds in steps],
        "files": {f"{RESULTS}/{a.name}": {"kind": a.kind, "made": a.made, "by": a.by} for a in job.artifacts},
        **job.facts,
    }
    return install(job.bundle, record, {f"{RESULTS}/{a.name}": job.folder / a.path for a in job.artifacts})
