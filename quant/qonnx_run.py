# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Execution of a QONNX model with qonnx's own executor, in batches. Needs qonnx, not torch."""

from __future__ import annotations

import copy
import logging
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from bitwright.errors import ModelError, ToolMissingError

#: Samples executed at once, and how many values they may have: qonnx keeps every tensor of the graph.
_BATCH, _BATCH_VALUES = 60, 1_500_000

#: One activation quantizer on N samples: its scale, and the float32 tensors (N, ...) before and after it.
QuantizerTrace = tuple[float, NDArray[np.float32], NDArray[np.float32]]


def run_qonnx(proto: onnx.ModelProto, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
    """Outputs (N, ...), one array for each, for ``images`` (N, ...), whatever the batch size in the file.

    Raises:
        ToolMissingError: qonnx is not installed.
        ModelError: the shape of the images is not that of the model input.
    """
    clean = _prepared(proto, images)
    parts: list[list[NDArray[np.float32]]] = []
    batched, size = None, 0
    step = max(1, min(_BATCH, _BATCH_VALUES // images[0].size))
    for start in range(0, len(images), step):
        part = images[start : start + step]
        if len(part) != size:
            batched, size = _with_batch(clean, len(part)), len(part)
        context = _execute(batched, part)
        parts.append([context[o.name] for o in clean.graph.output])
    return tuple(np.concatenate(output) for output in zip(*parts, strict=True))


def trace_quantizers(proto: onnx.ModelProto, images: NDArray[np.float32]) -> list[QuantizerTrace]:
    """Every activation quantizer of the model, in the order of execution, on a few images (N, ...)."""
    clean = _prepared(proto, images)
    context = _execute(_with_batch(clean, len(images)), images)
    return [
        (float(context[node.input[1]]), context[node.input[0]], context[node.output[0]])
        for node in clean.graph.node
        if node.op_type == "Quant" and clean.get_initializer(node.input[0]) is None
    ]


def _prepared(proto: onnx.ModelProto, images: NDArray[np.float32]) -> Any:
    """The model for qonnx's executor. Its own clean-up is left out: it changes nothing that is computed, reorders the
    nodes, and takes time that grows with the square of their number."""
    try:
        import onnxruntime
        from qonnx.core.modelwrapper import ModelWrapper
        from qonnx.transformation.infer_shapes import InferShapes
    except ImportError as error:
        raise ToolMissingError(
            "executing a QONNX model needs qonnx, which is not installed: pip install 'bitwright[hls4ml]'"
        ) from error
    onnxruntime.set_default_logger_severity(4)
    logging.getLogger("qonnx").setLevel(logging.ERROR)
    model = ModelWrapper(copy.deepcopy(proto)).transform(InferShapes())
    name = model.graph.input[0].name
    sample = tuple(model.get_tensor_shape(name)[1:])
    if images.shape[1:] != sample:
        raise ModelError(f"input '{name}': samples must have shape {sample}, got {images.shape[1:]}")
    return model


def _with_batch(clean: Any, size: int) -> Any:
    from qonnx.transformation.change_batchsize import ChangeBatchSize
    from qonnx.transformation.infer_shapes import InferShapes

    batched = clean.transform(ChangeBatchSize(size))
    # qonnx leaves the sizes of Resize as they are, and they name the batch.
    for node in batched.graph.node:
        if node.op_type == "Resize" and len(node.input) > 3 and node.input[3]:
            sizes = batched.get_initializer(node.input[3])
            if sizes is not None and sizes[0] != size:
                batched.set_initializer(node.input[3], np.concatenate(([size], sizes[1:])).astype(np.int64))
    return batched.transform(InferShapes())


def _execute(model: Any, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Every tensor of the graph by name."""
    from qonnx.core.onnx_exec import execute_onnx

    context: dict[str, NDArray[np.float32]] = execute_onnx(
        model, {model.graph.input[0].name: images}, return_full_exec_context=True
    )
    return context
