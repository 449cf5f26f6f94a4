# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Hardware layers that bitwright adds to FINN. Runs inside FINN's environment; `register` makes them known."""

import os
import shutil

import bitwright_deform
import finn.custom_op.fpgadataflow as generic
import finn.custom_op.fpgadataflow.hls as hls
import finn.custom_op.fpgadataflow.rtl as rtl
from finn.custom_op.fpgadataflow.channelwise_op import ChannelwiseOp
from finn.custom_op.fpgadataflow.hls.channelwise_op_hls import ChannelwiseOp_hls
from finn.custom_op.fpgadataflow.hlsbackend import HLSBackend
from finn.custom_op.fpgadataflow.hwcustomop import HWCustomOp
from onnx import helper
from qonnx.core.datatype import DataType
from qonnx.custom_op.registry import getCustomOp
from qonnx.transformation.base import Transformation

HERE = os.path.dirname(os.path.abspath(__file__))
HEADERS = ("bitwright_finn_deform.h", "bitwright_window.h", "bitwright_common.h", "nnet_common.h", "nnet_types.h")


class _DeclaredType:
    """Keeps the output type that the model declares.

    FINN would widen it whenever the type of the input changes, as accumulators' types do until step_minimize_bit_width;
    but where streams meet FINN looks at the type of the first one only, so all must keep the one that was agreed on.
    The compiler has proved that the values fit.
    """

    def infer_node_datatype(self, model):
        self.set_nodeattr("inputDataType", model.get_tensor_datatype(self.onnx_node.input[0]).name)
        model.set_tensor_datatype(self.onnx_node.output[0], self.get_output_datatype())


class DeclaredChannelwiseOp(_DeclaredType, ChannelwiseOp):
    """A product or sum with constants."""


class DeclaredChannelwiseOp_hls(_DeclaredType, ChannelwiseOp_hls):
    """The same in HLS."""


class DeformConv2D(HWCustomOp):
    """Deformable convolution; all channels of a position are one stream word (bitwright_finn_deform.h)."""

    def get_nodeattr_types(self):
        own = {
            name: ("ints", True, [])
            for name in ("ImgDim", "OutDim", "Kernel", "Strides", "Dilations", "Padding")
        }  # fmt: skip
        own |= {name: ("i", True, 1) for name in ("NumChannels", "OutChannels", "Groups", "OffsetGroups", "Reach")}
        own |= {f"{name}DataType": ("s", True, "") for name in ("input", "offset", "weight", "output")}
        return {**super().get_nodeattr_types(), **own}

    def layer(self):
        """The layer's description."""

        def pair(name):
            return tuple(int(v) for v in self.get_nodeattr(name))

        def kind(name):
            t = DataType[self.get_nodeattr(f"{name}DataType")]
            return t.bitwidth(), bool(t.signed())

        return bitwright_deform.Deform(
            size=pair("ImgDim"), out=pair("OutDim"), channels=self.get_nodeattr("NumChannels"),
            outputs=self.get_nodeattr("OutChannels"), kernel=pair("Kernel"), strides=pair("Strides"),
            dilations=pair("Dilations"), pads=pair("Padding"), groups=self.get_nodeattr("Groups"),
            offset_groups=self.get_nodeattr("OffsetGroups"), reach=self.get_nodeattr("Reach"), x=kind("input"),
            offset=kind("offset"), weight=kind("weight"), acc=kind("output"),
        )  # fmt: skip

    def make_shape_compatible_op(self, model):
        return super().make_const_shape_op(self.get_normal_output_shape())

    def infer_node_datatype(self, model):
        model.set_tensor_datatype(self.onnx_node.output[0], self.get_output_datatype())

    def verify_node(self):
        return []

    def get_input_datatype(self, ind=0):
        return DataType[self.get_nodeattr("offsetDataType" if ind == 1 else "inputDataType")]

    def get_output_datatype(self, ind=0):
        return DataType[self.get_nodeattr("outputDataType")]

    def get_normal_input_shape(self, ind=0):
        d = self.layer()
        return (1, *d.out, d.offset_channels) if ind == 1 else (1, *d.size, d.channels)

    def get_normal_output_shape(self, ind=0):
        d = self.layer()
        return (1, *d.out, d.outputs)

    def get_folded_input_shape(self, ind=0):
        shape = self.get_normal_input_shape(ind)
        return (*shape[:-1], 1, shape[-1])

    def get_folded_output_shape(self, ind=0):
        shape = self.get_normal_output_shape()
        return (*shape[:-1], 1, shape[-1])

    def get_instream_width(self, ind=0):
        return self.get_normal_input_shape(ind)[-1] * self.get_input_datatype(ind).bitwidth()

    def get_outstream_width(self, ind=0):
        return self.get_normal_output_shape()[-1] * self.get_output_datatype().bitwidth()

    def get_number_output_values(self):
        return self.layer().out[0] * self.layer().out[1]

    def get_exp_cycles(self):
        return self.layer().cycles

    def bram_estimation(self):
        return self.layer().bram18

    def lut_estimation(self):
        return self.layer().luts

    def execute_node(self, context, graph):
        d = self.layer()
        values = (context[name] for name in self.onnx_node.input)
        result = bitwright_deform.compute(*values, d.strides, d.pads, d.dilations, d.groups, d.offset_groups)
        context[self.onnx_node.output[0]] = result.astype("float32")

    def get_verilog_top_module_intf_names(self):
        names = super().get_verilog_top_module_intf_names()
        names["s_axis"] = [(f"in{k}_{self.hls_sname()}", self.get_instream_width_padded(k)) for k in (0, 1)]
        return names


class DeformConv2D_hls(DeformConv2D, HLSBackend):
    """The layer in HLS."""

    def get_nodeattr_types(self):
        return {**DeformConv2D.get_nodeattr_types(self), **HLSBackend.get_nodeattr_types(self)}

    def execute_node(self, context, graph):
        if self.get_nodeattr("exec_mode") != "cppsim":
            return DeformConv2D.execute_node(self, context, graph)
        self.dynamic_input_to_npy(context, 2)
        self.exec_precompiled_singlenode_model()
        return self.npy_to_dynamic_output(context)

    def generate_params(self, model, path):
        weight = model.get_initializer(self.onnx_node.input[2])
        with open(os.path.join(path, "params.h"), "w") as f:
            f.write(bitwright_deform.parameters(self.layer(), weight))
        for header in HEADERS:
            shutil.copy(os.path.join(HERE, header), path)

    def global_includes(self):
        self.code_gen_dict["$GLOBALS$"] = ['#include "bitwright_finn_deform.h"', '#include "params.h"']

    def defines(self, var):
        self.code_gen_dict["$DEFINES$"] = []

    def _streams(self):
        s = self.hls_sname()
        widths = [self.get_instream_width(0), self.get_instream_width(1), self.get_outstream_width()]
        return [(f"{name}_{s}", width) for name, width in zip(("in0", "in1", "out"), widths, strict=True)]

    def read_npy_data(self):
        folder = self.get_nodeattr("code_gen_dir_cppsim")
        lines = []
        for k, (name, width) in enumerate(self._streams()[:2]):
            t = self.get_input_datatype(k)
            lines.append(
                f"npy2apintstream<ap_uint<{width}>, {t.get_hls_datatype_str()}, {t.bitwidth()}, float>"
                f'("{folder}/input_{k}.npy", {name});'
            )
        self.code_gen_dict["$READNPYDATA$"] = lines

    def strm_decl(self):
        self.code_gen_dict["$STREAMDECLARATIONS$"] = [
            f'hls::stream<ap_uint<{width}>> {name} ("{name}");' for name, width in self._streams()
        ]

    def docompute(self):
        names = ", ".join(name for name, _ in self._streams())
        self.code_gen_dict["$DOCOMPUTE$"] = [f"bitwright::finn_deform<config_deform>({names}, weight_deform);"]

    def blackboxfunction(self):
        streams = ", ".join(f"hls::stream<ap_uint<{width}>> &{name}" for name, width in self._streams())
        self.code_gen_dict["$BLACKBOXFUNCTION$"] = [f"void {self.onnx_node.name}({streams})"]

    def pragmas(self):
        ports = [f"#pragma HLS INTERFACE axis port={name}" for name, _ in self._streams()]
        self.code_gen_dict["$PRAGMAS$"] = [*ports, "#pragma HLS INTERFACE ap_ctrl_none port=return"]

    def get_ap_int_max_w(self):
        return max(width for _, width in self._streams())


class InferDeformConv(Transformation):
    """Converts the model's DeformConv2D to the hardware layer."""

    def apply(self, model):
        for index, node in enumerate(model.graph.node):
            if node.op_type != "DeformConv2D" or node.domain != "finn_bitwright":
                continue
            old = getCustomOp(node)
            x, offsets, weight = node.input
            shape, kernel = model.get_tensor_shape(x), model.get_tensor_shape(weight)
            kinds = zip(("input", "offset", "weight"), node.input, strict=True)
            types = {kind: model.get_tensor_datatype(name).name for kind, name in kinds}
            new = helper.make_node(
                "DeformConv2D", list(node.input), list(node.output), domain="finn.custom_op.fpgadataflow",
                backend="fpgadataflow", name="DeformConv2D_" + node.name, ImgDim=shape[1:3],
                OutDim=model.get_tensor_shape(offsets)[1:3], Kernel=kernel[:2], Strides=old.get_nodeattr("strides"),
                Dilations=old.get_nodeattr("dilations"), Padding=old.get_nodeattr("pads"), NumChannels=shape[3],
                OutChannels=kernel[3], Groups=old.get_nodeattr("groups"),
                OffsetGroups=old.get_nodeattr("offset_groups"), Reach=old.get_nodeattr("reach"),
                outputDataType=old.get_nodeattr("out_dtype"), inFIFODepths=[2, 2],
                **{f"{k}DataType": t for k, t in types.items()},
            )  # fmt: skip
            model.graph.node.insert(index, new)
            model.graph.node.remove(node)
            return model, True
        return model, False


def _declared_weights(self, model):
    """In place of minimize_weight_bit_width: the model declares the narrowest type that has hardware.

    FINN would call weights of 0 and 1 BINARY, for which it generates no hardware, and those of -1 and 0 BIPOLAR, which
    are -1 and +1.
    """
    return DataType[self.get_nodeattr("weightDataType")]


def register():
    """Put our layers into FINN's tables; those of the same name replace FINN's in this process."""
    for op, table in (("MVAU_hls", hls), ("VVAU_hls", hls), ("MVAU_rtl", rtl)):
        table.custom_op[op].minimize_weight_bit_width = _declared_weights
    generic.custom_op["ChannelwiseOp"] = DeclaredChannelwiseOp
    hls.custom_op["ChannelwiseOp_hls"] = DeclaredChannelwiseOp_hls
    generic.custom_op["DeformConv2D"] = DeformConv2D
    hls.custom_op["DeformConv2D_hls"] = DeformConv2D_hls
