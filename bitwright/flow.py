# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The main job, step by step: model file -> integer graph -> backend project -> bundle."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from bitwright.boards import load_board
from bitwright.compile.backends import load_backend
from bitwright.compile.bundle import Golden, check_target, write_bundle
from bitwright.compile.explore.requantize import requantize_weights
from bitwright.compile.frontend import import_model
from bitwright.compile.ir import Graph, GraphInput, GraphOutput
from bitwright.compile.ir.types import IntArray
from bitwright.host.bundle import InputPort, OutputPort
from bitwright.host.convert import from_integers, to_integers
from bitwright.host.tensors import Beat, Quantizer
from bitwright.sim import reference

#: Frames of random golden vectors; two more hold all lowest and all highest values.
GOLDEN_FRAMES = 14
GOLDEN_SEED = 2026
#: Where a trained model's file holds its recipe, and the score from which a detector's boxes are worth showing.
RECIPE_KEY, SHOWN_SCORE = "bitwright.recipe", 0.3
Step = Callable[[str], None]


def compile_model(
    model: Path,
    out: Path,
    *,
    board: str = "pynq-z2",
    backend: str = "hls4ml",
    options: Mapping[str, Any] | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    golden: Mapping[str, NDArray[Any]] | None = None,
    force: bool = False,
    step: Step = lambda _: None,
) -> dict[str, Any]:
    """Compile a model into a bundle.

    Args:
        options: of the backend; and ``weight_bits`` (layer -> bits), which requantizes weights first (docs/explore.md).
        golden: model inputs by name to keep as golden vectors; random ones when left out.
        step: told what is being done.

    Returns:
        the manifest. Raises BitwrightError.
    """
    check_target(out, force)
    target, tool = load_board(board), load_backend(backend)
    values = dict(options or {})
    narrow = values.pop("weight_bits", {})
    chosen = tool.options(values)
    step(f"reading {model.name}")
    graph = requantize_weights(import_model(model, shapes), narrow)
    tool.supports(graph, chosen, target).require(model)
    step("computing golden vectors")
    inputs = {}
    for given in graph.inputs:
        if golden:
            inputs[given.tensor] = integers_of(graph, given, golden[given.name])
        else:
            inputs[given.tensor] = random_frames(graph, given)
    vectors = Golden(inputs, reference.run(graph, inputs))
    step(f"writing the {backend} project")
    return write_bundle(
        out, graph, target, backend, lambda folder: tool.emit(graph, target, chosen, folder), vectors, model=model,
        clock_mhz=float(getattr(chosen, "clock_mhz", None) or target.clock_mhz), tools=_versions(),
        task=image_task(model, graph), force=force,
    )  # fmt: skip


def image_task(model: Path, graph: Graph) -> dict[str, Any] | None:
    """What the host can make of a photograph, after the recipe that `bitwright train` left in the model file.

    None for other models, and for networks whose input is no colour image in 0 to 1.
    """
    found = {p.key: p.value for p in onnx.load(model, load_external_data=False).metadata_props}
    inputs = graph.inputs
    if RECIPE_KEY not in found or len(inputs) != 1 or inputs[0].shape[:-2] != (3,) or inputs[0].quantize is None:
        return None
    recipe = json.loads(found[RECIPE_KEY])
    kind = (recipe["task"]["name"], recipe["model"]["name"])
    if kind == ("detection", "codenet"):
        return {"decoder": "centernet", "stride": 4, "threshold": SHOWN_SCORE}
    if kind == ("detection", "ssdlite"):
        return {"decoder": "ssd", "threshold": SHOWN_SCORE}
    return {"decoder": "classify"} if kind[0] == "classification" else None


def random_frames(graph: Graph, given: GraphInput) -> IntArray:
    """Reproducible random integers over the input's whole range, and its two extremes."""
    tensor = graph.tensors[given.tensor]
    lo, hi = tensor.bounds
    rng = np.random.default_rng(GOLDEN_SEED)
    frames = rng.integers(lo, hi + 1, (GOLDEN_FRAMES + 2, *tensor.shape))
    frames[-2], frames[-1] = lo, hi
    return frames


def integers_of(graph: Graph, given: GraphInput, x: NDArray[Any]) -> IntArray:
    """A model input (N, *shape) as the integers of its tensor, as the host would make them."""
    tensor = graph.tensors[given.tensor]
    lo, hi = tensor.bounds
    q = given.quantize
    quantizer = None
    if q is not None:
        quantizer = Quantizer(q.scale, q.zero_point, q.lo, q.hi, q.rounding, q.zero_point_inside)
    port = InputPort(
        given.name, given.shape, given.tensor, tensor.shape, given.perm, lo, hi, quantizer, Beat(64, True),
        str(tensor.itype),
    )  # fmt: skip
    return port.to_tensor(to_integers(port, x)).astype(np.int64)


def real_output(graph: Graph, given: GraphOutput, q: IntArray) -> NDArray[Any]:
    """Integers of an output tensor (N, *tensor shape) as the model's output, as the host would make it."""
    tensor = graph.tensors[given.tensor]
    scale = offset = None
    if given.affine is not None:
        scale, offset = (np.asarray(a, np.float64) for a in (given.affine.scale, given.affine.offset))
    port = OutputPort(
        given.name, given.shape, given.tensor, tensor.shape, given.perm, scale, offset,
        tuple((h.op, dict(h.attributes)) for h in given.host_ops), Beat(64, True),
    )  # fmt: skip
    return from_integers(port, q, False)


def _versions() -> dict[str, str]:
    found = {}
    for name in ("hls4ml", "onnx", "onnxruntime", "numpy"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
