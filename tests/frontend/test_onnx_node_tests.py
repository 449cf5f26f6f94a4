# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The node tests that ship with onnx: every one of our operators passes, or is refused with a reason.

Most node tests feed weights and indices as graph inputs; those are made constants here, as every exporter writes them.
Float inputs get a quantizer in front, and their data are snapped to its grid, so that the expected output is computed
anew by onnxruntime or by onnx's reference evaluator on exactly the numbers that we see.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.loader import load_model_tests
from onnx.reference import ReferenceEvaluator

from bitwright.compile.frontend import import_model
from bitwright.errors import UnsupportedModelError
from tests.support import QONNX, run_graph, to_real

PREFIXES = (
    "add", "argmax", "averagepool", "basic_conv", "basic_convinteger", "basic_deform_conv", "batchnorm", "clip",
    "concat", "constant_pad", "conv", "convinteger", "convtranspose", "deform_conv", "dequantizelinear", "div",
    "flatten", "gather", "gemm", "globalaveragepool", "globalmaxpool", "hardsigmoid", "hardswish", "identity",
    "matmul", "matmulinteger", "maxpool", "mul", "neg", "qlinearconv", "qlinearmatmul", "quantizelinear", "reduce_mean",
    "relu", "reshape", "resize",
    "sigmoid", "slice", "softmax", "split", "squeeze", "sub", "transpose", "unsqueeze",
)  # fmt: skip
#: Inputs with these positions stay run-time tensors; every other input becomes a constant.
RUN_TIME = {
    "Add": (0, 1), "Sub": (0, 1), "Mul": (0, 1), "DeformConv": (0, 2), "Concat": tuple(range(8)),
    "Sum": tuple(range(8)),
}  # fmt: skip
#: Operators whose second input are weights: they are snapped to a grid too.
WEIGHTED = ("Gemm", "MatMul", "Conv", "ConvTranspose", "DeformConv")
#: A grid that float test data are snapped to.
STEP = 1 / 16

CASES = {
    case.name.removeprefix("test_"): case
    for case in load_model_tests(kind="node")
    if case.name.removeprefix("test_").startswith(PREFIXES)
}
#: These are the heart of the issue: a refusal would be a defect.
MUST_PASS = (
    "qlinearconv", "qlinearmatmul_2D_uint8_float32", "qlinearmatmul_2D_int8_float32", "convinteger_with_padding",
    "convinteger_without_padding", "matmulinteger", "dequantizelinear_axis", "basic_conv_with_padding",
    "basic_conv_without_padding", "conv_with_autopad_same", "conv_with_strides_and_asymmetric_padding",
    "conv_with_strides_no_padding", "conv_with_strides_padding", "convtranspose", "convtranspose_1d",
    "convtranspose_group_2", "convtranspose_dilations", "convtranspose_output_shape", "convtranspose_pads",
    "basic_deform_conv_with_padding", "basic_deform_conv_without_padding", "deform_conv_with_multiple_offset_groups",
    "maxpool_2d_default", "maxpool_2d_pads", "maxpool_2d_ceil", "maxpool_2d_dilations", "averagepool_2d_default",
    "averagepool_2d_pads_count_include_pad", "globalaveragepool", "globalmaxpool", "batchnorm_epsilon",
    "resize_upsample_scales_nearest", "resize_upsample_scales_linear", "resize_downsample_scales_nearest",
    "hardsigmoid", "hardsigmoid_default", "hardswish", "mul",
    "gemm_default_vector_bias", "gemm_transposeB", "matmul_2d", "argmax_keepdims_random",
)  # fmt: skip
FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)


def prepared(case: object) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """The test's model with constants frozen and float inputs quantized; its data on the grid."""
    folder = Path(case.model_dir)  # type: ignore[attr-defined]
    model = onnx.load(folder / "model.onnx")
    graph = model.graph
    (node,) = graph.node
    data = {}
    for k, info in enumerate(graph.input):
        blob = (folder / "test_data_set_0" / f"input_{k}.pb").read_bytes()
        tensor = TensorProto.FromString(blob)
        data[info.name] = numpy_helper.to_array(tensor)
    keep = RUN_TIME.get(node.op_type, (0,))
    kept, frozen = [], []
    for info in graph.input:
        at = list(node.input).index(info.name)
        (kept if at in keep else frozen).append(info)
    for info in frozen:
        if node.op_type in WEIGHTED and list(node.input).index(info.name) == 1:
            data[info.name] = (np.round(data[info.name] / STEP) * STEP).astype(data[info.name].dtype)
        graph.initializer.append(numpy_helper.from_array(data.pop(info.name), info.name))
        graph.input.remove(info)
    for info in kept:
        elem = info.type.tensor_type.elem_type
        if elem not in FLOATS:
            continue
        scale = 1.0 if node.op_type == "DeformConv" and list(node.input).index(info.name) == 2 else STEP
        top = np.abs(data[info.name]).max() if data[info.name].size else 0
        bits = 12 if top / scale < 2**10 else 20
        data[info.name] = (np.round(data[info.name].astype(np.float64) / scale) * scale).astype(np.float32)
        info.type.tensor_type.elem_type = TensorProto.FLOAT
        for name, value in ((f"{info.name}_s", scale), (f"{info.name}_z", 0.0), (f"{info.name}_b", float(bits))):
            graph.initializer.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
        new = f"{info.name}_q"
        quant = helper.make_node(
            "Quant", [info.name, f"{info.name}_s", f"{info.name}_z", f"{info.name}_b"], [new], domain=QONNX, signed=1,
            narrow=0, rounding_mode="ROUND",
        )  # fmt: skip
        for i, name in enumerate(node.input):
            if name == info.name:
                node.input[i] = new
        graph.node.insert(0, quant)
    model.opset_import.append(helper.make_opsetid(QONNX, 1))
    return model, data


def expected(model: onnx.ModelProto, data: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The standard node's outputs in float64 where the operator allows."""
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    quantized = [n for n in plain.graph.node if n.domain == QONNX]
    for q in quantized:
        plain.graph.node.remove(q)
        for n in plain.graph.node:
            for i, name in enumerate(n.input):
                if name == q.output[0]:
                    n.input[i] = q.input[0]
    session = ReferenceEvaluator(plain)
    feeds = {k: v.astype(np.float64) if v.dtype == np.float32 else v for k, v in data.items()}
    try:
        results = session.run(None, feeds)
    except Exception:
        results = session.run(None, data)
    return {o.name: np.asarray(r) for o, r in zip(plain.graph.output, results, strict=True)}


def outcome(name: str, folder: Path) -> str:
    """'pass' or 'refused'; an assertion fails on a wrong number."""
    try:
        model, data = prepared(CASES[name])
    except (ValueError, StopIteration, TypeError, AttributeError):
        return "not applicable"
    opset = next(o.version for o in model.opset_import if not o.domain)
    # Node tests name the opset that brought their operator; ours did not change but in types outside 11..22.
    next(o for o in model.opset_import if not o.domain).version = min(max(opset, 11), 22)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    try:
        graph = import_model(path)
    except UnsupportedModelError as error:
        assert all(reason for _, _, reason in error.problems)
        return "refused"
    except Exception as error:
        if type(error).__name__ == "ModelError":
            return "refused"
        raise
    got = run_graph(graph, data)
    for key, want in expected(model, data).items():
        out = next(o for o in graph.outputs if o.name == key)
        real = to_real(graph, key, got[key]).astype(np.float64)
        assert real.shape == want.shape or want.size == real.size
        if out.host_ops:  # the host's part: check what it is fed instead
            continue
        if want.dtype.kind in "iu":
            assert np.array_equal(real.reshape(want.shape), want), name
        else:
            np.testing.assert_allclose(real.reshape(want.shape), want, rtol=1e-5, atol=1e-5, err_msg=name)
    return "pass"


@pytest.mark.parametrize("name", sorted(CASES))
def test_node(name: str, tmp_path: Path) -> None:
    allowed = ("pass",) if name in MUST_PASS else ("pass", "refused", "not applicable")
    assert outcome(name, tmp_path) in allowed


def test_the_list_of_passing_tests_is_current() -> None:
    assert set(MUST_PASS) <= set(CASES)
