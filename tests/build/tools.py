# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Bundles for builds, and programs that stand for tools that are not here."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from bitwright.flow import compile_model
from bitwright.host.bitfile import SYNC, BitFile

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(__file__).parent / "data"
DIGITS = ROOT / "zoo" / "digits-classifier" / "model.onnx"


def engine_bundle(folder: Path, board: str) -> Path:
    """The digits classifier for the engine."""
    compile_model(DIGITS, folder / "out", board=board, backend="engine")
    return folder / "out"


def fake(folder: Path, name: str, body: str) -> Path:
    """A program on the PATH: Python with `argv`, `here` (working folder) and `log` (a file beside it, appended)."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(
        f"#!{sys.executable}\nimport json, os, sys\nfrom pathlib import Path\nargv, here = sys.argv[1:], Path.cwd()\n"
        f"with open({str(folder / (name + '.calls'))!r}, 'a') as calls: calls.write(json.dumps(argv) + '\\n')\n{body}\n"
    )
    path.chmod(0o755)
    return path


def on_path(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    """Only these folders and the system's own are searched for programs."""
    monkeypatch.setenv("PATH", os.pathsep.join([*map(str, folders), "/usr/bin", "/bin"]))


def bit(part: str, design: str = "digits_classifier_wrapper;UserID=0XFFFFFFFF;Version=2023.1") -> bytes:
    """A .bit with a valid header and no useful content."""
    data = b"\xff" * 32 + bytes.fromhex("000000bb11220044") + b"\xff" * 8 + SYNC + bytes(68)
    return BitFile(design, part, "2026/11/21", "14:00:00", data).encode()
