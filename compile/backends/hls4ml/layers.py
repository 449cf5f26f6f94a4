# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Our integer layers, registered through hls4ml's extension API. Importing this module imports hls4ml.

Each layer is a C++ function of hw/hls with a config struct of integer constants and some tables. The layer's attributes
say which: ``function``, ``constants`` (name -> int or C++ expression), ``types`` (name -> C++ type) and ``tables``.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from hls4ml.backends import get_backend
from hls4ml.backends.template import FunctionCallTemplate, LayerConfigTemplate
from hls4ml.model.layers import Layer, register_layer

from bitwright.hw.hls import LAYER_HEADERS

#: hls4ml class name of each of our layers; hls4ml's reports show these.
KINDS = (
    "BitwrightRequantize", "BitwrightThreshold", "BitwrightAdd", "BitwrightMultiply", "BitwrightSelectChannels",
    "BitwrightConv2D", "BitwrightSumPool2D", "BitwrightMaxPool2D", "BitwrightDeformConv2D", "BitwrightGather",
    "BitwrightJoin", "BitwrightConvTranspose2D", "BitwrightResizeLinear", "BitwrightArgMax",
)  # fmt: skip


class _IntegerLayer(Layer):  # type: ignore[misc]
    """Base of our layers: shape, function, constants and tables come as attributes."""

    def initialize(self) -> None:
        self.add_output_variable(list(self.get_attr("out_shape")))
        for name, (data, precision) in self.get_attr("tables").items():
            self.add_weights_variable(name=name, var_name=f"{name}{{index}}", data=data, precision=precision)


#: Functions that multiply once or more for every value: their multipliers are shared by the layer's reuse factor.
SHARED = {"requantize": 1, "add": 2, "multiply": 1}


class _Config(LayerConfigTemplate):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(_layer_classes())

    def format(self, node: Any) -> str:
        lines = [f"struct config{node.index} {{"]
        lines += [f"    typedef {cpp} {name};" for name, cpp in node.get_attr("types").items()]
        constants = dict(node.get_attr("constants"))
        if node.get_attr("function") in SHARED:
            config = node.model.config
            lanes = constants["channels" if config.get_config_value("IOType") == "io_stream" else "n"]
            constants["reuse"] = reuse = min(config.get_reuse_factor(node), lanes)
            constants["multiplier_limit"] = -(-SHARED[node.get_attr("function")] * lanes // reuse)
        for name, value in constants.items():
            kind = "bool" if isinstance(value, bool) else "int"
            lines.append(f"    static const {kind} {name} = {str(value).lower()};")
        kernel = node.get_attr("kernel")
        if kernel:
            lines.append(f"    typedef bitwright::{kernel}<config{node.index}> kernel;")
        return "\n".join([*lines, "};\n"])


class _Call(FunctionCallTemplate):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(_layer_classes(), include_header=[f"nnet_utils/{h.name}" for h in LAYER_HEADERS])

    def format(self, node: Any) -> str:
        inputs = [node.get_input_variable(name) for name in node.inputs]
        output = node.get_output_variable()
        types = [*(v.type.name for v in inputs), output.type.name, f"config{node.index}"]
        tables = [node.get_weights(name).name for name in node.get_attr("tables")]
        arguments = [*(v.name for v in inputs), output.name, *tables]
        return f"bitwright::{node.get_attr('function')}<{', '.join(types)}>({', '.join(arguments)});"


@cache
def register(backend_name: str) -> None:
    """Make our layers known to one hls4ml backend (once per process)."""
    backend = get_backend(backend_name)
    # VivadoAccelerator runs the template flow of the Vivado backend, and copies the sources of its own.
    templates = get_backend("Vivado") if backend_name == "VivadoAccelerator" else backend
    templates.register_template(_Config)
    templates.register_template(_Call)
    for header in LAYER_HEADERS:
        backend.register_source(header)


@cache
def _layer_classes() -> tuple[type, ...]:
    classes = tuple(type(kind, (_IntegerLayer,), {"__module__": __name__}) for kind in KINDS)
    for kind, cls in zip(KINDS, classes, strict=True):
        register_layer(kind, cls)
    return classes
