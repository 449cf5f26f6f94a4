# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Writes a bundle (docs/bundle.md): everything that a host needs to run a compiled model, and to check that it does."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bitwright import __version__
from bitwright.boards import Board
from bitwright.compile.backends.base import Project, Transport
from bitwright.compile.ir import Affine, Graph
from bitwright.compile.ir.serialize import save_graph
from bitwright.compile.ir.types import IntArray
from bitwright.errors import BitwrightError

SCHEMA = 1
MANIFEST = "manifest.json"
PROGRAM, GOLDEN, PROJECT = "program", "golden", "project"
#: How integers reach the accelerator (docs/bundle.md).
TRANSPORTS = {
    "axi_dma": {"kind": "axi_dma", "order": "one element per beat, last axis fastest, little endian"},
    "engine": {"kind": "engine", "order": "planes of 16 channels, see project/program.json"},
    "finn": {"kind": "finn", "order": "words of FINN's streams, see project/streams.json"},
}
#: The manifest says whether a bundle is complete; without it a folder is never taken for a bundle.


class BundleWriteError(BitwrightError):
    """The bundle cannot be written where the user wants it."""


@dataclass(frozen=True)
class Golden:
    """Golden vectors: integers by tensor name, (frames, *shape)."""

    inputs: Mapping[str, IntArray]
    outputs: Mapping[str, IntArray]


def check_target(out: Path, force: bool) -> None:
    """Refuse a target that holds something of the user's. Raises BundleWriteError."""
    if out.is_file():
        raise BundleWriteError(f"{out}: is a file; name a folder")
    if out.is_dir() and any(out.iterdir()):
        if not (out / MANIFEST).is_file():
            raise BundleWriteError(f"{out}: holds files that are not a bundle; choose another folder or empty it")
        if not force:
            raise BundleWriteError(f"{out}: holds a bundle already; give --force to replace it")
    parent = out.resolve().parent
    if not parent.is_dir():
        raise BundleWriteError(f"{out}: the folder {out.parent} does not exist; make it first")


def write_bundle(
    out: Path,
    graph: Graph,
    board: Board,
    backend: str,
    emit: Callable[[Path], Project],
    golden: Golden,
    *,
    model: Path,
    clock_mhz: float,
    tools: Mapping[str, str],
    task: Mapping[str, Any] | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Write the bundle beside ``out`` and move it there when it is complete.

    Args:
        graph: as imported; the program that simulators run.
        emit: writes the backend's project into the folder that it is given.
        model: source file, recorded with its hash.
        task: what the host makes of an image (docs/bundle.md), if anything.

    Returns:
        the manifest.

    Raises:
        BundleWriteError: see `check_target`; no permission, disk full. Nothing is left half-written.
    """
    check_target(out, force)
    try:
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.resolve().parent))
    except OSError as error:
        raise BundleWriteError(f"{out}: cannot be written: {error.strerror}") from None
    try:
        staged = work / "bundle"
        staged.mkdir()
        project = emit(staged / PROJECT)
        save_graph(graph, staged / PROGRAM)
        files = {kind: _save(staged, kind, getattr(golden, kind)) for kind in ("inputs", "outputs")}
        manifest = _manifest(graph, board, backend, project, files, model, clock_mhz, tools)
        manifest["golden"]["frames"] = len(next(iter(golden.inputs.values())))
        manifest["task"] = dict(task) if task else None
        manifest["files"] = _hashes(staged)
        (staged / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        if out.exists():
            out.rename(work / "previous")
        staged.rename(out)
    except OSError as error:
        raise BundleWriteError(f"{out}: cannot be written: {error.strerror or error}") from None
    finally:
        if (work / "previous").exists() and not out.exists():
            (work / "previous").rename(out)
        shutil.rmtree(work, ignore_errors=True)
    return manifest


def _save(folder: Path, kind: str, arrays: Mapping[str, IntArray]) -> dict[str, str]:
    (folder / GOLDEN).mkdir(exist_ok=True)
    names = {}
    for k, (tensor, values) in enumerate(arrays.items()):
        names[tensor] = f"{GOLDEN}/{kind}_{k}.npy"
        np.save(folder / names[tensor], np.asarray(values, np.int64), allow_pickle=False)
    return names


def _hashes(folder: Path) -> dict[str, str]:
    # The project is the user's to edit and rebuild; what the runtime relies on is covered.
    covered = [p for part in (PROGRAM, GOLDEN) for p in sorted((folder / part).rglob("*")) if p.is_file()]
    for loaded in ("program.*", "streams.json"):  # of the engine, of FINN: the host loads them
        covered += sorted((folder / PROJECT).glob(loaded))
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in covered}


def _manifest(
    graph: Graph, board: Board, backend: str, project: Project, files: Mapping[str, Mapping[str, str]], model: Path,
    clock_mhz: float, tools: Mapping[str, str],
) -> dict[str, Any]:  # fmt: skip
    return {
        "schema": SCHEMA,
        "name": graph.name,
        "board": board.name,
        "part": board.part,
        "backend": backend,
        "clock_mhz": project.estimate.get("clock_mhz", clock_mhz),
        "transport": TRANSPORTS[project.transport],
        "inputs": [_input(graph, i, project.inputs[i.tensor]) for i in graph.inputs],
        "outputs": [_output(graph, o, project.outputs[o.tensor]) for o in graph.outputs],
        "golden": dict(files),
        "program": PROGRAM,
        "project": PROJECT,
        "artifacts": {"bitstream": None, "hwh": None},
        "estimate": dict(project.estimate),
        "source_model": {"file": model.name, "sha256": hashlib.sha256(model.read_bytes()).hexdigest()},
        "tools": {"bitwright": __version__, **tools},
        "notes": list(graph.notes),
    }


def _beat(t: Transport) -> dict[str, Any]:
    return {"bits": t.bits, "signed": t.signed}


def _input(graph: Graph, i: Any, transport: Transport) -> dict[str, Any]:
    t = graph.tensors[i.tensor]
    lo, hi = t.bounds
    quantize = None if i.quantize is None else {**asdict(i.quantize), "scale": str(i.quantize.scale)}
    return {
        "name": i.name, "shape": list(i.shape), "tensor": i.tensor, "tensor_shape": list(t.shape), "perm": list(i.perm),
        "itype": str(t.itype), "lo": lo, "hi": hi, "quantize": quantize, "beat": _beat(transport),
    }  # fmt: skip


def _output(graph: Graph, o: Any, transport: Transport) -> dict[str, Any]:
    t = graph.tensors[o.tensor]
    return {
        "name": o.name, "shape": list(o.shape), "tensor": o.tensor, "tensor_shape": list(t.shape), "perm": list(o.perm),
        "itype": str(t.itype), "affine": _affine(o.affine), "beat": _beat(transport),
        "host_ops": [{"op": h.op, "attributes": dict(h.attributes)} for h in o.host_ops],
    }  # fmt: skip


def _affine(a: Affine | None) -> dict[str, Any] | None:
    if a is None:
        return None
    return {
        "shape": list(a.scale.shape),
        "scale": [str(v) for v in a.scale.flat],
        "offset": [str(v) for v in a.offset.flat],
    }
