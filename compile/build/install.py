# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Puts what a build made into a bundle: files, hashes, the manifest's account of it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bitwright.compile.backends.engine.program import load_program
from bitwright.compile.build.tools import BuildError
from bitwright.compile.bundle import MANIFEST

#: Folder of the results in a bundle.
RESULTS = "bitstream"


def read_manifest(bundle: Path) -> dict[str, Any]:
    """The manifest of a bundle. Raises BuildError."""
    try:
        manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
        _ = manifest["board"], manifest["part"], manifest["backend"], manifest["project"], manifest["artifacts"]
    except (FileNotFoundError, NotADirectoryError):
        raise BuildError(f"{bundle}: not a bundle (it has no {MANIFEST}); make one with `bitwright compile`") from None
    except (ValueError, KeyError, TypeError) as error:
        raise BuildError(f"{bundle / MANIFEST}: a field is missing or broken ({error}); compile again") from None
    return dict(manifest)


def compiled_clock(manifest: Mapping[str, Any]) -> float:
    """The clock that the bundle was compiled for, in MHz; a build replaces the manifest's by the one it made."""
    return float(manifest.get("build", {}).get("compiled_clock_mhz", manifest["clock_mhz"]))


def sha256(path: Path) -> str:
    """Of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, value: Any) -> None:
    """JSON, whole or not at all."""
    draft = path.with_name(path.name + ".new")
    draft.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    os.replace(draft, path)


def install(bundle: Path, record: Mapping[str, Any], sources: Mapping[str, Path]) -> dict[str, Any]:
    """Copy files into a bundle and write its manifest, last; what an earlier build made goes away.

    Args:
        record: of the manifest's ``build``; its ``files`` have kind, made and by, by name in the bundle.
        sources: where each of these files is now.

    Returns:
        the record with the hashes.
    """
    (bundle / RESULTS).mkdir(exist_ok=True)
    files = {}
    for name, facts in record["files"].items():
        if sources[name].resolve() != (bundle / name).resolve():
            shutil.copy(sources[name], bundle / name)
        files[name] = {**facts, "sha256": sha256(bundle / name)}
    manifest = read_manifest(bundle)
    previous = manifest.get("build", {}).get("files", {})
    written = {**record, "files": files, "compiled_clock_mhz": compiled_clock(manifest)}
    hashes = {k: v for k, v in manifest.get("files", {}).items() if k not in previous}
    manifest["files"] = hashes | {name: f["sha256"] for name, f in files.items()}
    kept = {k: v for k, v in manifest["artifacts"].items() if v not in previous}
    made = {f["kind"]: name for name, f in files.items()}
    manifest["artifacts"] = {"bitstream": None, "hwh": None} | kept | made
    manifest["clock_mhz"] = record.get("clock_mhz", written["compiled_clock_mhz"])
    manifest["build"] = written
    write_json(bundle / MANIFEST, manifest)
    for name in previous:
        if name not in files:
            (bundle / name).unlink(missing_ok=True)
    return written


def reuse(bundle: Path, other: Path) -> dict[str, Any]:
    """Take the bitstream of another bundle for the engine: one bitstream of a configuration serves every network.

    Returns the record in the manifest. Raises BuildError: not of the engine, another board or configuration, not built,
    or changed since.
    """
    mine, theirs = read_manifest(bundle), read_manifest(other)
    for folder, manifest in ((bundle, mine), (other, theirs)):
        if manifest["backend"] != "engine":
            raise BuildError(f"{folder}: a bundle of {manifest['backend']}, whose bitstream is its network; build it")
    if mine["board"] != theirs["board"]:
        raise BuildError(f"{other}: built for the board {theirs['board']}, {bundle} is for {mine['board']}")
    wanted, built = (load_program(f / str(m["project"])) for f, m in ((bundle, mine), (other, theirs)))
    if wanted.config_hash != built.config_hash:
        raise BuildError(
            f"{other}: its engine has the configuration {built.config} ({built.config_hash:#010x}), {bundle} was "
            f"compiled for {wanted.config} ({wanted.config_hash:#010x})"
        )
    record = theirs.get("build")
    if not record:
        raise BuildError(f"{other}: has no bitstream; build it with `bitwright build {other} --route …`")
    sources = {name: other / name for name in record["files"]}
    for name, path in sources.items():
        if not path.is_file() or sha256(path) != record["files"][name]["sha256"]:
            raise BuildError(f"{path}: missing or changed since it was built; build {other} again")
    origin = {"bundle": other.resolve().name, "model": theirs.get("name")}
    kept = {k: v for k, v in record.items() if k != "compiled_clock_mhz"}
    return install(bundle, {"reused_from": origin} | kept, sources)
