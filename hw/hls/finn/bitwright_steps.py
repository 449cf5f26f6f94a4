# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Build steps for FINN that a bitwright project brings along. Runs inside FINN, beside the model.

FINN's default steps never call the conversions of depthwise convolutions, poolings, sums, constant products and
concatenations. The model is already streamlined, so it goes straight to hardware layers, in an order in which no
conversion sees a type that another one is going to change.
"""

import json
import os
import warnings

import bitwright_layers
import finn.transformation.fpgadataflow.convert_to_hw_layers as to_hw
import numpy as np
from finn.builder.build_dataflow_config import DataflowBuildConfig
from onnx import helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.base import Transformation
from qonnx.transformation.general import GiveUniqueNodeNames
from qonnx.transformation.infer_data_layouts import InferDataLayouts

bitwright_layers.register()


class InferChannelwise(Transformation):
    """Products and sums with constants become ChannelwiseOp, with the types that the model declares.

    FINN's own InferChannelwiseLinearLayer widens the result to the product of the types, so that the branches of a
    residual sum would no longer have one type, and FINN would leave the sum unconverted.
    """

    def apply(self, model):
        for index, node in enumerate(model.graph.node):
            if node.op_type not in ("Mul", "Add") or model.get_initializer(node.input[1]) is None:
                continue
            x, parameter, y = node.input[0], node.input[1], node.output[0]
            shape = model.get_tensor_shape(x)
            new = helper.make_node(
                "ChannelwiseOp", [x, parameter], [y], domain="finn.custom_op.fpgadataflow", backend="fpgadataflow",
                Func=node.op_type.lower(), NumChannels=shape[-1], PE=1, inputDataType=model.get_tensor_datatype(x).name,
                paramDataType=model.get_tensor_datatype(parameter).name,
                outputDataType=model.get_tensor_datatype(y).name, numInputVectors=list(shape[:-1]),
                name="ChannelwiseOp_" + node.name,
            )  # fmt: skip
            model.graph.node.insert(index, new)
            model.graph.node.remove(node)
            return model, True
        return model, False


class InferGlobalSum(Transformation):
    """A sum over the whole map becomes GlobalAccPool; FINN itself converts GlobalAveragePool and leaves a division."""

    def apply(self, model):
        for index, node in enumerate(model.graph.node):
            if node.op_type != "ReduceSum":
                continue
            x, y = node.input[0], node.output[0]
            shape = model.get_tensor_shape(x)
            new = helper.make_node(
                "GlobalAccPool", [x], [y], domain="finn.custom_op.fpgadataflow", backend="fpgadataflow",
                NumChannels=shape[-1], PE=1, inputDataType=model.get_tensor_datatype(x).name,
                numInputVectors=list(shape[:-1]), name="GlobalAccPool_" + node.name,
            )  # fmt: skip
            model.graph.node.insert(index, new)
            model.graph.node.remove(node)
            return model, True
        return model, False


def step_bitwright_to_hw(model: ModelWrapper, cfg: DataflowBuildConfig):
    """Convert every node to a hardware layer; fails with the names of those that are left."""
    for conversion in (
        InferChannelwise(), InferGlobalSum(), bitwright_layers.InferDeformConv(), to_hw.InferStreamingMaxPool(),
        to_hw.InferPool(), to_hw.InferConcatLayer(), to_hw.InferUpsample(), to_hw.InferThresholdingLayer(),
        to_hw.InferAddStreamsLayer(), to_hw.InferVectorVectorActivation(),
        to_hw.InferQuantizedMatrixVectorActivation(), to_hw.InferConvInpGen(), to_hw.InferDuplicateStreamsLayer(),
    ):  # fmt: skip
        model = model.transform(conversion)
    left = [
        f"{n.name} ({n.op_type})" for n in model.graph.node if not n.domain.startswith("finn.custom_op.fpgadataflow")
    ]
    if left:
        raise RuntimeError(f"FINN did not convert {', '.join(left)} to hardware layers")
    model = model.transform(GiveUniqueNodeNames())
    return model.transform(InferDataLayouts())


def step_bitwright_verify(model: ModelWrapper, cfg: DataflowBuildConfig):
    """Execute the hardware layers with FINN's own semantics; every integer must be that of the golden vectors."""
    if not os.path.isfile("golden.npz"):
        warnings.warn("golden.npz is not here; the hardware layers are not verified", stacklevel=2)
        return model
    golden = np.load("golden.npz")
    x_name, y_name = model.graph.input[0].name, model.graph.output[0].name
    x_shape = model.get_tensor_shape(x_name)
    different = 0
    for x, want in zip(golden["input"], golden["output"], strict=True):
        got = execute_onnx(model, {x_name: x.reshape(x_shape).astype("float32")})[y_name]
        different += int((got.reshape(want.shape) != want).sum())
    os.makedirs(cfg.output_dir + "/report", exist_ok=True)
    with open(cfg.output_dir + "/report/bitwright_verification.json", "w") as f:
        json.dump({"values": golden["output"].size, "different": different}, f, indent=1)
    if different:
        raise RuntimeError(f"{different} of {golden['output'].size} integers differ from the golden vectors")
    return model


STEPS = (step_bitwright_to_hw, step_bitwright_verify)
