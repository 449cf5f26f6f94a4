# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Operators of model.onnx in the domain ``finn_bitwright``: qonnx imports this module by that name to execute them."""

import bitwright_deform
from qonnx.core.datatype import DataType
from qonnx.custom_op.base import CustomOp


class DeformConv2D(CustomOp):
    """Inputs x (1, H, W, C), offsets (1, OH, OW, 2 * taps * offset groups), weight (kh, kw, C / groups, O)."""

    def get_nodeattr_types(self):
        return {
            "strides": ("ints", True, []),
            "pads": ("ints", True, []),
            "dilations": ("ints", True, []),
            "groups": ("i", True, 1),
            "offset_groups": ("i", True, 1),
            "reach": ("i", True, 0),
            "out_dtype": ("s", True, ""),
        }

    def make_shape_compatible_op(self, model):
        offsets, weight = (model.get_tensor_shape(n) for n in self.onnx_node.input[1:3])
        return self.make_const_shape_op([1, offsets[1], offsets[2], weight[3]])

    def infer_node_datatype(self, model):
        model.set_tensor_datatype(self.onnx_node.output[0], DataType[self.get_nodeattr("out_dtype")])

    def execute_node(self, context, graph):
        fields = ("strides", "pads", "dilations", "groups", "offset_groups")
        values = (context[name] for name in self.onnx_node.input)
        result = bitwright_deform.compute(*values, *(self.get_nodeattr(f) for f in fields))
        context[self.onnx_node.output[0]] = result.astype("float32")

    def verify_node(self):
        return []


custom_op = {"DeformConv2D": DeformConv2D}
