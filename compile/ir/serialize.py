# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""A graph as a folder: graph.json (structure) and constants.npz (weights, thresholds, multipliers)."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from bitwright.compile.ir.graph import (
    IR_VERSION,
    Graph,
    GraphError,
    GraphInput,
    GraphOutput,
    HostOp,
    Quantize,
)
from bitwright.compile.ir.ops import OPERATORS, Node
from bitwright.compile.ir.types import Affine, IntType, Tensor, fractions
from bitwright.compile.ir.validate import validate

GRAPH_FILE, CONSTANTS_FILE = "graph.json", "constants.npz"


def save_graph(graph: Graph, folder: Path) -> None:
    """Write the graph into ``folder`` (made if absent)."""
    constants: dict[str, np.ndarray] = {}
    nodes = []
    for node in graph.nodes:
        entry: dict[str, Any] = {"op": node.op}
        for f in dataclasses.fields(node):
            value = getattr(node, f.name)
            if isinstance(value, np.ndarray):
                key = f"{node.name}/{f.name}"
                constants[key] = _narrow(value)
                value = {"constant": key}
            elif isinstance(value, IntType):
                value = str(value)
            entry[f.name] = value
        nodes.append(entry)
    text = {
        "ir_version": IR_VERSION,
        "name": graph.name,
        "inputs": [{**dataclasses.asdict(i), "quantize": _quantize_out(i.quantize)} for i in graph.inputs],
        "outputs": [_output_out(o) for o in graph.outputs],
        "input_tensors": [_tensor_out(graph.tensors[i.tensor]) for i in graph.inputs],
        "nodes": nodes,
        "affine": {n: _affine_out(t.affine) for n, t in graph.tensors.items() if t.affine is not None},
        "notes": list(graph.notes),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / GRAPH_FILE).write_text(json.dumps(text, indent=1) + "\n")
    np.savez(folder / CONSTANTS_FILE, **constants)  # type: ignore[arg-type]


def load_graph(folder: Path) -> Graph:
    """Read a graph written by ``save_graph`` and validate it.

    Raises:
        GraphError: files missing or damaged, another IR version, or a rule of the IR broken.
    """
    path = folder / GRAPH_FILE
    try:
        text = json.loads(path.read_text())
        with np.load(folder / CONSTANTS_FILE, allow_pickle=False) as stored:
            constants = {k: stored[k] for k in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise GraphError(f"{path}: cannot be read ({error}); compile the model again") from None
    if not isinstance(text, dict):
        raise GraphError(f"{path}: must hold a JSON object, got {type(text).__name__}; compile the model again")
    if text.get("ir_version") != IR_VERSION:
        raise GraphError(f"{path}: ir_version is {text.get('ir_version')!r}, this bitwright reads {IR_VERSION}")
    try:
        return _graph_in(text, constants)
    except GraphError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError, ZeroDivisionError) as error:
        raise GraphError(f"{path}: damaged ({error!r}); compile the model again") from None


def _graph_in(text: dict[str, Any], constants: dict[str, Any]) -> Graph:
    nodes: list[Node] = []
    for entry in text["nodes"]:
        cls = OPERATORS[entry["op"]]
        fields: dict[str, Any] = {}
        for f in dataclasses.fields(cls):
            value = entry[f.name]
            if isinstance(value, dict):
                value = constants[value["constant"]].astype(np.int64)
            elif f.name == "itype":
                value = IntType.parse(value)
            elif isinstance(value, list):
                value = tuple(value)
            fields[f.name] = value
        nodes.append(cls(**fields))
    tensors = {}
    for t in text["input_tensors"]:
        lo, hi = np.asarray(t["lo"], np.int64), np.asarray(t["hi"], np.int64)
        tensors[t["name"]] = Tensor(t["name"], tuple(t["shape"]), IntType.parse(t["itype"]), lo, hi)
    inputs = tuple(
        GraphInput(i["name"], tuple(i["shape"]), i["tensor"], tuple(i["perm"]), _quantize_in(i["quantize"]))
        for i in text["inputs"]
    )
    outputs = tuple(
        GraphOutput(
            o["name"], tuple(o["shape"]), o["tensor"], tuple(o["perm"]), _affine_in(o["affine"]),
            tuple(HostOp(h["op"], tuple((k, tuple(v) if isinstance(v, list) else v) for k, v in h["attributes"]))
                  for h in o["host_ops"]),
        )
        for o in text["outputs"]
    )  # fmt: skip
    graph = Graph(text["name"], inputs, outputs, (), tensors, tuple(text["notes"])).rebuild(nodes)
    graph.tensors.update(
        {n: graph.tensors[n].with_affine(_affine_in(a)) for n, a in text["affine"].items() if n in graph.tensors}
    )
    validate(graph)
    return graph


def _narrow(values: np.ndarray) -> np.ndarray:
    """The same integers in the smallest numpy type: files stay small."""
    if values.size == 0:
        return values
    lo, hi = int(values.min()), int(values.max())
    for dtype in (np.int8, np.int16, np.int32):
        info = np.iinfo(dtype)
        if info.min <= lo and hi <= info.max:
            return values.astype(dtype)
    return values


def _tensor_out(t: Tensor) -> dict[str, Any]:
    return {
        "name": t.name, "shape": t.shape, "itype": str(t.itype), "lo": t.lo.tolist(), "hi": t.hi.tolist(),
    }  # fmt: skip


def _quantize_out(q: Quantize | None) -> dict[str, Any] | None:
    return None if q is None else {**dataclasses.asdict(q), "scale": str(q.scale)}


def _quantize_in(q: dict[str, Any] | None) -> Quantize | None:
    return None if q is None else Quantize(**{**q, "scale": Fraction(q["scale"])})


def _affine_out(a: Affine | None) -> dict[str, Any] | None:
    if a is None:
        return None
    return {
        "shape": a.scale.shape,
        "scale": [str(v) for v in a.scale.flat],
        "offset": [str(v) for v in a.offset.flat],
    }


def _affine_in(a: dict[str, Any] | None) -> Affine | None:
    if a is None:
        return None
    shape = tuple(a["shape"])
    read = [np.array([Fraction(v) for v in a[k]], dtype=object).reshape(shape) for k in ("scale", "offset")]
    return Affine(fractions(read[0]), fractions(read[1]))


def _output_out(o: GraphOutput) -> dict[str, Any]:
    return {
        "name": o.name, "shape": o.shape, "tensor": o.tensor, "perm": o.perm, "affine": _affine_out(o.affine),
        "host_ops": [{"op": h.op, "attributes": h.attributes} for h in o.host_ops],
    }  # fmt: skip
