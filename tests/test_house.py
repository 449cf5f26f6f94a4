# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The house rules: who may import whom, every package folder listed, licence headers, no cyclic surprises."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("bitwright", "boards", "compile", "host", "hw", "quant", "sim", "zoo")

#: Folder -> the modules of ours and of others that its files must not import, with the reason.
FORBIDDEN = {
    "quant": {"bitwright.compile", "bitwright.sim", "bitwright.host", "bitwright.cli"},
    "compile": {"torch", "brevitas", "bitwright.quant", "bitwright.sim", "bitwright.host", "bitwright.cli"},
    "sim": {
        "torch",
        "brevitas",
        "bitwright.quant",
        "bitwright.cli",
        "bitwright.host",
        "bitwright.compile.frontend",
        "bitwright.compile.backends",
        "bitwright.compile.passes",
        "bitwright.compile.bundle",
    },
    "boards": {"torch", "bitwright.compile", "bitwright.sim", "bitwright.quant", "bitwright.host"},
    "hw": {"bitwright.compile", "bitwright.sim", "bitwright.quant", "bitwright.host"},
}
#: Exceptions: training scores boxes with the very code that makes them on the board, which is numpy alone; builds read
#: bitstreams with the code that reads them on the board.
ALLOWED = {"quant": {"bitwright.host.decode"}, "compile": {"bitwright.host.bitfile", "bitwright.host.errors"}}
#: host/ runs on the board: numpy and the standard library, nothing of bitwright but itself, pynq in one file.
HOST_MAY_USE = {"numpy", "bitwright"}


def python_files(folder: str) -> list[Path]:
    return sorted(p for p in (ROOT / folder).rglob("*.py") if "__pycache__" not in p.parts)


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the full name"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


@pytest.mark.parametrize("folder", sorted(FORBIDDEN))
def test_import_rules(folder: str) -> None:
    broken = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in python_files(folder)
        for module in imports(path)
        for package in FORBIDDEN[folder]
        if is_within(module, package) and not any(is_within(module, a) for a in ALLOWED.get(folder, ()))
    ]
    assert not broken


def test_host_imports_numpy_and_the_standard_library_only() -> None:
    import sys

    broken = []
    for path in python_files("host"):
        for module in imports(path):
            top = module.split(".")[0]
            allowed = top in sys.stdlib_module_names or top in HOST_MAY_USE
            if top == "bitwright":
                # the simulated board is reached lazily and by name, see host/devices/sim.py
                allowed = is_within(module, "bitwright.host") or module == "bitwright"
                allowed |= path.name == "sim.py" and is_within(module, "bitwright.sim")
            if top == "pynq":
                allowed = path.name == "pynq.py"
            if not allowed:
                broken.append(f"{path.relative_to(ROOT)} imports {module}")
    assert not broken


def test_every_package_folder_is_listed() -> None:
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = set()
    for folder in FOLDERS:
        for init in (ROOT / folder).rglob("__init__.py"):
            parts = init.parent.relative_to(ROOT).parts
            found.add(".".join(parts if folder == "bitwright" else ("bitwright", *parts)))
    assert found == listed


def test_every_data_file_is_packaged() -> None:
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    left_out = []
    for folder in FOLDERS:
        patterns = [*data["*"], *(f"{folder}/{p}" for p in data.get(f"bitwright.{folder}", ()))]
        files = [p for p in (ROOT / folder).rglob("*") if p.is_file() and "__pycache__" not in p.parts]
        left_out += [str(p) for p in files if p.suffix != ".py" and not any(p.match(pattern) for pattern in patterns)]
    assert not left_out


def test_every_source_file_names_its_licence() -> None:
    tests = [p for p in (ROOT / "tests").rglob("*.py") if "__pycache__" not in p.parts]
    missing = [
        str(p.relative_to(ROOT))
        for p in [
            *tests,
            *(p for f in (*FOLDERS, "benchmarks", "examples") for p in python_files(f)),
            *(
                p
                for f in ("hw", "sim", "boards")
                for kind in ("*.h", "*.cpp", "*.toml")
                for p in (ROOT / f).rglob(kind)
            ),
        ]
        if "SPDX-License-Identifier: Apache-2.0" not in p.read_text(encoding="utf-8")[:300]
    ]
    assert not missing
