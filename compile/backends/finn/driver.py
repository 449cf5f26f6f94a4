# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Reads the driver that FINN generates, and checks that it talks about the streams that the compiler counted on."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bitwright.compile.backends.finn.finn_types import parse_finn_name
from bitwright.errors import BackendError


def read_driver(path: Path) -> dict[str, Any]:
    """The dictionary io_shape_dict of FINN's driver.py, types as their names. Raises BackendError."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        (table,) = (
            n.value for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "io_shape_dict"
        )
        if not isinstance(table, ast.Dict):
            raise ValueError("it is no dictionary")
        return {ast.literal_eval(k): _plain(v) for k, v in zip(table.keys, table.values, strict=True) if k is not None}
    except (OSError, SyntaxError, ValueError) as error:
        raise BackendError(f"{path}: not a driver of FINN's: io_shape_dict cannot be read ({error})") from None


def _plain(node: ast.expr) -> Any:
    """A literal in which DataType['UINT8'] stands for 'UINT8'."""

    class Names(ast.NodeTransformer):
        def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
            return node.slice if ast.unparse(node.value) == "DataType" else node

    return ast.literal_eval(Names().visit(node))


#: Beside the driver: the DMA core of every tensor (step_bitwright_ends of the project).
ENDS = "bitwright_ends.json"


def check_driver(path: Path, streams: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Compare a driver with the project's streams.json; ``cores``: the DMA core of every tensor, and what FINN says.

    Raises BackendError: types or stream words differ, so the build is of another project or folding.
    """
    shapes = read_driver(path)
    cores: dict[str, dict[str, str]] = {}
    for end, letter in (("inputs", "i"), ("outputs", "o")):
        theirs = _words(shapes, letter, path)
        cores[end] = _cores(path, end, list(streams[end]), list(theirs))
        for tensor, ours in streams[end].items():
            word = theirs[cores[end][tensor]]
            if word != ours:
                raise BackendError(
                    f"{path}: FINN's {end[:-1]} stream is {word}, the compiler counted on {ours} for {tensor}; the "
                    "build is of another project or folding: compile and build again"
                )
    facts = {k: shapes.get(k) for k in ("input_dma_name", "output_dma_name", "ishape_packed", "oshape_packed")}
    return {"cores": cores, **facts}


def _cores(path: Path, end: str, tensors: list[str], there: list[str]) -> dict[str, str]:
    """The core of every tensor. One alone needs no file, so a build by an older project is still taken."""
    if len(tensors) == len(there) == 1:
        return {tensors[0]: there[0]}
    file = path.with_name(ENDS)
    try:
        found: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))[end]
        if set(found) != set(tensors) or sorted(found.values()) != sorted(there):
            raise ValueError(f"it has {found}, the project {tensors}, the driver {there}")
        return found
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackendError(
            f"{file}: does not say which DMA core carries which of {len(tensors)} {end} ({error}); let FINN run all "
            "steps of dataflow_build_config.json"
        ) from None


def _words(shapes: dict[str, Any], letter: str, path: Path) -> dict[str, dict[str, Any]]:
    """Type and stream word by DMA core."""
    try:
        found = {}
        core = shapes[{"i": "input_dma_name", "o": "output_dma_name"}[letter]]
        for name, kind, folded in zip(core, shapes[f"{letter}dt"], shapes[f"{letter}shape_folded"], strict=True):
            t = parse_finn_name(kind)
            found[name] = {"bits": t.bits, "signed": t.signed, "elements_per_word": int(folded[-1])}
        return found
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise BackendError(f"{path}: its {letter}dt or {letter}shape_folded is not FINN's ({error})") from None
