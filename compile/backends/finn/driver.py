# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Reads the driver that FINN generates, and checks that it talks about the streams that the compiler counted on."""

from __future__ import annotations

import ast
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


def check_driver(path: Path, streams: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Compare a driver with the project's streams.json; names of the DMA cores and shapes of their buffers.

    Raises BackendError: types or stream words differ, so the build is of another project or folding.
    """
    shapes = read_driver(path)
    for end, letter in (("inputs", "i"), ("outputs", "o")):
        (tensor, ours), *_ = streams[end].items()
        theirs = _word(shapes, letter, path)
        if theirs != ours:
            raise BackendError(
                f"{path}: FINN's {end[:-1]} stream is {theirs}, the compiler counted on {ours} for {tensor}; the build "
                "is of another project or folding: compile and build again"
            )
    return {k: shapes.get(k) for k in ("input_dma_name", "output_dma_name", "ishape_packed", "oshape_packed")}


def _word(shapes: dict[str, Any], letter: str, path: Path) -> dict[str, Any]:
    try:
        (name,), (folded,) = shapes[f"{letter}dt"], shapes[f"{letter}shape_folded"]
        t = parse_finn_name(name)
        return {"bits": t.bits, "signed": t.signed, "elements_per_word": int(folded[-1])}
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise BackendError(f"{path}: its {letter}dt or {letter}shape_folded is not FINN's ({error})") from None
