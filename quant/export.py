# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Export of a trained Brevitas network to one QONNX file that is checked before it is written.

Both exporters of Brevitas are supported and are always asked for by name: their default depends on the torch version.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import brevitas.onnx  # noqa: F401  (registers the symbolic functions of the TorchScript exporter)
import numpy as np
import onnx
import torch
from brevitas.export import export_qonnx
from numpy.typing import NDArray
from torch import nn

from bitwright.quant.files import write_atomically
from bitwright.quant.pack import merge_norms, pack
from bitwright.quant.recipe import Exporter
from bitwright.quant.verify import Comparison, compare_with_brevitas

#: Highest ONNX IR version that every reader in the field takes (onnx 1.17; onnxruntime 1.31 stops at 13).
MAX_IR_VERSION = 10
OPSET = 20


def to_qonnx(model: nn.Module, sample_shape: tuple[int, ...], exporter: Exporter, name: str) -> onnx.ModelProto:
    """The network in eval mode as a QONNX model of batch 1, weights inside.

    Args:
        model: a network made of Brevitas layers; its attribute ``output_names``, if any, names the outputs.
        sample_shape: shape of one sample, without the batch axis.
        exporter: 'torchscript' or 'dynamo'.
        name: name of the graph.
    """
    model.eval()
    argument = torch.zeros(1, *sample_shape)
    names = {"input_names": ["input"], "output_names": list(getattr(model, "output_names", ("output",)))}
    with tempfile.TemporaryDirectory() as folder, _quiet():
        path = Path(folder) / "model.onnx"
        if exporter == "dynamo":
            export_qonnx(
                model, args=argument, export_path=str(path), opset_version=OPSET, dynamo=True, verbose=False, **names
            )
        else:
            export_qonnx(model, args=argument, export_path=str(path), opset_version=OPSET, dynamo=False, **names)
        # Loading with external data brings the weights of the dynamo exporter's sidecar into the model.
        proto = onnx.load(str(path), load_external_data=True)
    proto.ir_version = min(proto.ir_version, MAX_IR_VERSION)
    proto.graph.name = name
    proto.doc_string = ""
    _strip_debug(proto)
    onnx.checker.check_model(proto, full_check=False)
    return proto


def export(
    model: nn.Module, samples: NDArray[np.float32], exporter: Exporter, name: str, path: Path, *,
    packed: bool = False, metadata: Mapping[str, str] | None = None,
) -> tuple[bytes, Comparison]:  # fmt: skip
    """Export, compare the execution by qonnx with Brevitas on ``samples`` (N, ...), then write atomically.

    Args:
        packed: store weights in their own width and batch normalizations as two numbers (quant/pack.py).
        metadata: entries for the file's metadata.

    Returns:
        the bytes of the file and the comparison.

    Raises:
        VerificationError: the file does not compute what the network computes; nothing is written.
    """
    proto = to_qonnx(model, samples.shape[1:], exporter, name)
    if packed:
        proto = merge_norms(proto)
    result = compare_with_brevitas(proto, model, samples, str(path))
    if packed:
        proto = pack(proto)
    for key, value in (metadata or {}).items():
        proto.metadata_props.add(key=key, value=value)
    content = proto.SerializeToString(deterministic=True)
    write_atomically(path, content)
    return content, result


def _strip_debug(proto: onnx.ModelProto) -> None:
    """Take out stack traces and source positions: they name files of the machine that exported."""
    del proto.metadata_props[:]
    graph = proto.graph
    del graph.metadata_props[:]
    graph.doc_string = ""
    for item in [*graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer]:
        del item.metadata_props[:]
        item.doc_string = ""


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporters warn about packages that are not needed and about their own deprecation."""
    loggers = [logging.getLogger(n) for n in ("torch.onnx", "onnxscript", "torch.export")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
