# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Builds without the depthwise unit: the array computes the same integers, or the layer is refused by name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitwright.compile.backends.engine.compiler import compile_graph, lower
from bitwright.compile.frontend import import_model
from bitwright.compile.ir import Graph, GraphInput, GraphOutput
from bitwright.compile.ir.graph import GraphBuilder
from bitwright.compile.ir.ops import Add, ArgMax, MaxPool2d, Requantize, ResizeNearest, SumPool2d
from bitwright.compile.ir.types import IntType
from bitwright.errors import BackendError
from bitwright.hw.config import CONFIGS
from bitwright.sim import reference
from bitwright.zoo import entries
from tests.engine.nets import RandomNet, random_graph, random_input, run_program
from tests.engine.test_limits import wide

SMALL = CONFIGS["ecp5-small"]
#: With accumulators, weights and constants of any size, so that no random network is refused for those.
BARE = replace(SMALL, name="bare", x_bits=27, pairs=4, weight_depth=4096, const_depth=64, small=0)
MODELS = {e.name: e.model for e in entries()}


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.sampled_from([2, 4, 16]))
def test_random_networks(seed: int, pairs: int) -> None:
    config = replace(BARE, pairs=pairs)
    graph = random_graph(seed, most=12, kinds=RandomNet.ARRAY)
    x = random_input(graph, seed)
    want = reference.run(graph, x)
    try:
        compiled = compile_graph(graph, config)
    except BackendError as error:
        reasons = ("the sum of an upsampled tensor", "argmax needs", "joins signed and unsigned", "windows up to 15")
        assert any(reason in str(error) for reason in reasons), error
        return
    assert {step.opcode for step in compiled.program.steps} <= {"LD", "ST", "PW", "END"}
    for order in (None, seed):
        got = run_program(compiled, config, x, order)
        for name, values in want.items():
            np.testing.assert_array_equal(got[name], values)


@pytest.mark.parametrize("name", ["digits-classifier", "digits-autoencoder"])
def test_zoo(name: str) -> None:
    """The whole network: depthwise convolutions, sums of tensors with other scales, a pool."""
    graph = import_model(MODELS[name])
    x = random_input(graph)
    compiled = compile_graph(graph, SMALL)
    got = run_program(compiled, SMALL, x, 3)
    for tensor, values in reference.run(graph, x).items():
        np.testing.assert_array_equal(got[tensor], values)
    sums = [layer for layer in compiled.program.layers if layer.kind == "sum"]
    assert len(sums) == (4 if name == "digits-classifier" else 0)  # two residual sums of 32 channels


def _graph(kind: str) -> Graph:
    b = GraphBuilder(kind)
    x = b.input("image", (16, 16, 20), IntType(8, False), 0, 255)
    if kind == "max":
        y = b.add(MaxPool2d, "node", x.name, kernel=(2, 2))
    elif kind == "argmax":
        y = b.add(ArgMax, "node", x.name, axis=2)
    else:
        if kind == "pool":
            y = b.add(SumPool2d, "node", x.name, kernel=(16, 16))
        else:
            rows = tuple(i >> 1 for i in range(16))
            half = b.add(SumPool2d, "half", x.name, kernel=(2, 2), strides=(2, 2))
            half = b.add(Requantize, "quarter", half.name, multiplier=np.array([1]), addend=np.array([0]), shift=2,
                         rounding="floor", lo=np.array([0]), hi=np.array([255]), itype=IntType(8, False))  # fmt: skip
            up = b.add(ResizeNearest, "up", half.name, rows=rows, columns=rows)
            y = b.add(Add, "node", up.name, x.name, multipliers=np.array([[3], [5]]))
        y = b.add(Requantize, "out", y.name, multiplier=np.array([1]), addend=np.array([0]), shift=8, rounding="floor",
                  lo=np.array([0]), hi=np.array([255]), itype=IntType(8, False))  # fmt: skip
    given_ = [GraphInput("image", x.shape, x.name, (0, 1, 2), None)]
    return b.finish(given_, [GraphOutput("y", y.shape, y.name, tuple(range(len(y.shape))), None)])


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("max", "no depthwise unit, which max pooling needs"),
        ("argmax", "no depthwise unit, which argmax needs"),
        ("pool", r"the array takes windows up to 15, this one is \(16, 16\)"),
        ("up", "the sum of an upsampled tensor needs"),
    ],
)
def test_what_only_the_depthwise_unit_does(kind: str, reason: str) -> None:
    graph = _graph(kind)
    assert not lower(graph, CONFIGS["ecp5"])[2]
    with pytest.raises(BackendError, match=reason):
        compile_graph(graph, BARE)


@pytest.mark.parametrize(("channels", "fits"), [(1024, True), (1025, False)])
def test_weights_of_a_word_that_do_not_fit(channels: int, fits: bool) -> None:
    """Sixteen output channels of 8-bit weights are eight sub-passes of a word for every 16 input channels."""
    reasons = [reason for _, _, reason in lower(wide(channels), replace(SMALL, x_bits=27))[2]]
    if fits:
        assert not reasons
    else:
        assert reasons == [
            "its least part needs 520 words of weights, configuration ecp5-small holds 512; take a larger one"
        ]
