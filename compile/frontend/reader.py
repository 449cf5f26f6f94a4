# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Reads an ONNX file and checks what everything after it relies on: format, size, opsets, static shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx.external_data_helper import ExternalDataInfo, load_external_data_for_model, uses_external_data

from bitwright.errors import ModelError

OPSETS = range(11, 23)
QONNX_DOMAINS = ("qonnx.custom_op.general", "finn.custom_op.general", "onnx.brevitas")
CHANNELS_LAST_DOMAINS = ("qonnx.custom_op.channels_last",)
#: Largest serialized protobuf message.
MAX_PROTOBUF = 2**31 - 1


@dataclass(frozen=True)
class InputSpec:
    """One model input: name, static shape with the batch axis, ONNX element type."""

    name: str
    shape: tuple[int, ...]
    elem: int


@dataclass(frozen=True)
class ModelFile:
    """A checked model.

    Attributes:
        path: the file.
        model: the protobuf, external data loaded.
        inputs: without initializers.
        opset: version of the default domain.
    """

    path: Path
    model: onnx.ModelProto
    inputs: tuple[InputSpec, ...]
    opset: int


def read_model(path: str | Path, shapes: Mapping[str, tuple[int, ...]] | None = None) -> ModelFile:
    """Load and check an ONNX file.

    Args:
        path: the .onnx file; external data lie beside it.
        shapes: input name -> shape, for inputs whose shape is dynamic in the file.

    Raises:
        ModelError: one line that names the file, what is wrong and what to do.
    """
    path = Path(path)
    model = _parse(path)
    opset = _check_opsets(path, model)
    constants = {i.name for i in model.graph.initializer} | {s.values.name for s in model.graph.sparse_initializer}
    given = dict(shapes or {})
    specs = [_input_spec(path, v, given) for v in model.graph.input if v.name not in constants]
    if given:
        names = [s.name for s in specs]
        raise ModelError(f"{path}: --shape names {sorted(given)}, the model's inputs are {names}")
    if not specs:
        raise ModelError(f"{path}: the model has no inputs")
    if not model.graph.output:
        raise ModelError(f"{path}: the model has no outputs")
    batches = {s.shape[0] for s in specs if s.shape}
    if len(batches) > 1:
        raise ModelError(
            f"{path}: inputs disagree on axis 0, the batch: {[(s.name, s.shape) for s in specs]}; export with one batch"
        )
    return ModelFile(path, model, tuple(specs), opset)


def _parse(path: Path) -> onnx.ModelProto:
    if path.is_dir():
        raise ModelError(f"{path}: is a folder, an .onnx file is expected")
    try:
        size = path.stat().st_size
        if size > MAX_PROTOBUF:
            raise ModelError(
                f"{path}: {size} bytes are more than a protobuf may have ({MAX_PROTOBUF}); "
                "save the weights as external data (onnx.save with save_as_external_data=True)"
            )
        if size == 0:
            raise ModelError(f"{path}: the file is empty; export the model again")
        blob = path.read_bytes()
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from None
    model = onnx.ModelProto()
    try:
        model.ParseFromString(blob)
    except DecodeError:
        raise ModelError(f"{path}: not an ONNX file, or cut short ({size} bytes); export or copy it again") from None
    if not model.graph.node and not model.graph.initializer:
        raise ModelError(f"{path}: not an ONNX model: it holds no graph; export it again")
    _load_external(path, model)
    return model


def _load_external(path: Path, model: onnx.ModelProto) -> None:
    tensors = [t for t in model.graph.initializer if uses_external_data(t)]
    for t in tensors:
        info = ExternalDataInfo(t)
        data = path.parent / info.location
        if not data.is_file():
            raise ModelError(
                f"{path}: tensor {t.name} is stored in {info.location}, which is not beside the model; "
                "copy that file too, or export the model as a single file"
            )
        need = (info.offset or 0) + (info.length or 0)
        if data.stat().st_size < need:
            raise ModelError(
                f"{path}: tensor {t.name} needs {need} bytes of {info.location}, which has {data.stat().st_size}; "
                "the file is cut short: copy it again"
            )
    try:
        load_external_data_for_model(model, str(path.parent))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise ModelError(f"{path}: external data cannot be loaded: {str(error).splitlines()[0]}") from None


def _check_opsets(path: Path, model: onnx.ModelProto) -> int:
    versions = {o.domain or "ai.onnx": o.version for o in model.opset_import}
    opset = versions.get("ai.onnx")
    if opset is None:
        raise ModelError(f"{path}: no opset of the domain ai.onnx is declared; export the model again")
    if opset not in OPSETS:
        raise ModelError(
            f"{path}: opset {opset} is not supported, {OPSETS.start} to {OPSETS.stop - 1} are; "
            "export with opset_version=17, or convert with onnx.version_converter"
        )
    return int(opset)


def _input_spec(path: Path, info: onnx.ValueInfoProto, given: dict[str, tuple[int, ...]]) -> InputSpec:
    kind = info.type.WhichOneof("value")
    if kind != "tensor_type":
        raise ModelError(f"{path}: input {info.name} is a {kind}, tensors are supported")
    tensor = info.type.tensor_type
    dims: list[int | str] = [
        d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else d.dim_param or "?" for d in tensor.shape.dim
    ]
    if info.name in given:
        wanted = given.pop(info.name)
        fits = len(wanted) == len(dims) and all(isinstance(d, str) or d == w for d, w in zip(dims, wanted, strict=True))
        if tensor.HasField("shape") and not fits:
            raise ModelError(f"{path}: --shape {info.name}={list(wanted)} does not fit the file's shape {dims}")
        dims = list(wanted)
    elif not tensor.HasField("shape"):
        raise ModelError(f"{path}: input {info.name} has no shape; give one: --shape {info.name}=1,…")
    if dims and isinstance(dims[0], str):
        dims[0] = 1  # the batch: every node is checked to leave it alone
    if any(isinstance(d, str) for d in dims):
        hint = ",".join(str(d) if isinstance(d, int) else re.sub(r"\W", "_", d) for d in dims)
        raise ModelError(f"{path}: input {info.name} has the dynamic shape {dims}; fix it: --shape {info.name}={hint}")
    if not dims:
        raise ModelError(f"{path}: input {info.name} is a scalar; inputs need a batch axis")
    return InputSpec(info.name, tuple(int(d) for d in dims), tensor.elem_type)
