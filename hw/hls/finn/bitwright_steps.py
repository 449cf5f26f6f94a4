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
from qonnx.custom_op.registry import getCustomOp
from qonnx.transformation.base import Transformation
from qonnx.transformation.general import GiveUniqueNodeNames
from qonnx.transformation.infer_data_layouts import InferDataLayouts

bitwright_layers.register()

#: Attribute of the layers that read an input of the model, or write an output: the tensor in the model file.
END = "bitwright_end"


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
    model = model.transform(InferDataLayouts())
    # FINN renames tensors and sorts inputs and outputs anew; the layers at the ends keep these names to the last step.
    for tensor in model.graph.input:
        model.find_consumer(tensor.name).attribute.append(helper.make_attribute(END, tensor.name))
    for tensor in model.graph.output:
        model.find_producer(tensor.name).attribute.append(helper.make_attribute(END, tensor.name))
    return model


def step_bitwright_verify(model: ModelWrapper, cfg: DataflowBuildConfig):
    """Execute the hardware layers with FINN's own semantics; every integer must be that of the golden vectors."""
    if not os.path.isfile("golden.npz"):
        warnings.warn("golden.npz is not here; the hardware layers are not verified", stacklevel=2)
        return model
    golden = np.load("golden.npz")
    # The order of the model file; what FINN has made of the model so far may have another.
    file = ModelWrapper("model.onnx").graph
    inputs = {t.name: golden[f"input_{k}"] for k, t in enumerate(file.input)}
    outputs = {t.name: golden[f"output_{k}"] for k, t in enumerate(file.output)}
    different = 0
    for frame in range(len(golden["input_0"])):
        given = {n: x[frame].reshape(model.get_tensor_shape(n)).astype("float32") for n, x in inputs.items()}
        got = execute_onnx(model, given)
        different += sum(int((got[n].reshape(y[frame].shape) != y[frame]).sum()) for n, y in outputs.items())
    values = sum(y.size for y in outputs.values())
    os.makedirs(cfg.output_dir + "/report", exist_ok=True)
    with open(cfg.output_dir + "/report/bitwright_verification.json", "w") as f:
        json.dump({"values": values, "different": different}, f, indent=1)
    if different:
        raise RuntimeError(f"{different} of {values} integers differ from the golden vectors")
    return model


def step_bitwright_ends(model: ModelWrapper, cfg: DataflowBuildConfig):
    """Write which DMA core carries which tensor, beside FINN's driver, which knows cores and shapes only."""
    found = {"inputs": {}, "outputs": {}}
    for tensor in model.graph.input:
        dma = model.find_consumer(tensor.name)
        (reader,) = model.find_direct_successors(dma)
        inside = ModelWrapper(getCustomOp(reader).get_nodeattr("model"))
        layer = inside.find_consumer(inside.graph.input[list(reader.input).index(dma.output[0])].name)
        while _end(layer, 0) is None:  # a FIFO or a width converter
            layer = inside.find_consumer(layer.output[0])
        found["inputs"][_end(layer, 0)] = getCustomOp(dma).get_nodeattr("instance_name")
    for tensor in model.graph.output:
        dma = model.find_producer(tensor.name)
        (writer,) = model.find_direct_predecessors(dma)
        inside = ModelWrapper(getCustomOp(writer).get_nodeattr("model"))
        layer = inside.find_producer(inside.graph.output[list(writer.output).index(dma.input[0])].name)
        while _end(layer, -1) is None:
            layer = inside.find_producer(layer.input[0])
        found["outputs"][_end(layer, -1)] = getCustomOp(dma).get_nodeattr("instance_name")
    with open(cfg.output_dir + "/driver/bitwright_ends.json", "w") as f:
        json.dump(found, f, indent=1)
    return model


def _end(layer, which):
    """The tensor of the model file that a layer reads (0) or writes (-1); None for other layers."""
    names = [a.s.decode() for a in layer.attribute if a.name == END]
    return names[which] if names else None


STEPS = (step_bitwright_to_hw, step_bitwright_verify, step_bitwright_ends)
