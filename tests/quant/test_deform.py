# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Deformable convolution in torch: against ONNX's definition, its gradients, and each switch by itself."""

from __future__ import annotations

import itertools

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

pytestmark = pytest.mark.qat

torch = pytest.importorskip("torch")
pytest.importorskip("brevitas")

from bitwright.errors import ModelError  # noqa: E402
from bitwright.quant.deform import (  # noqa: E402
    DeformConv2d,
    DeformSettings,
    OffsetHead,
    deform_conv2d,
    square_pattern,
)
from bitwright.quant.layers import FloatLayers  # noqa: E402
from bitwright.quant.quant_layers import QuantLayers  # noqa: E402
from bitwright.quant.recipe import Quantization  # noqa: E402

ON_OFF = (True, False)
#: Sizes at which onnx's reference evaluator is exact.
EXACT_SIZES = ((6, 5), (5, 5))
SWITCHES = [
    DeformSettings(depthwise, square, bounds, rounded)
    for depthwise, square, bounds, rounded in itertools.product(ON_OFF, ON_OFF, (None, (0, 3)), ON_OFF)
]


def onnx_deform_conv(x: np.ndarray, weight: np.ndarray, offsets: np.ndarray, groups: int) -> list[np.ndarray]:
    """The operator on float32 in onnxruntime and in onnx's reference evaluator.

    The latter divides positions by the size less one and back: it cannot do a size of 1, and rounds at many others.
    """
    half = weight.shape[2] // 2
    node = helper.make_node(
        "DeformConv", ["x", "w", "o"], ["y"], pads=[half] * 4, group=groups, kernel_shape=list(weight.shape[2:])
    )
    feeds = {"x": x, "w": weight, "o": offsets}
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, v.shape) for name, v in feeds.items()]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, (len(x), len(weight), *x.shape[2:]))
    graph = helper.make_graph([node], "deform", inputs, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # the default spins on every core
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    engines = [session, ReferenceEvaluator(model)] if x.shape[2:] in EXACT_SIZES else [session]
    return [np.asarray(engine.run(None, feeds)[0]) for engine in engines]


def draw_offsets(rng: np.random.Generator, square: bool, rounded: bool, shape: tuple[int, int, int]) -> np.ndarray:
    """float32 (N, 18, H, W), whole or in sixteenths, some far outside: free taps, or spreads times the pattern."""
    n, height, width = shape
    channels = 1 if square else 18
    values = np.rint(rng.uniform(-64, 64, (n, channels, height, width))) / 16
    if rounded:
        values = np.rint(values)
    return (values * square_pattern(3).numpy() if square else values).astype(np.float32)


@settings(deadline=None, max_examples=12, derandomize=True)
@given(
    st.booleans(), st.booleans(), st.booleans(), st.integers(1, 2), st.integers(1, 3), st.integers(1, 5),
    st.integers(1, 5), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_against_onnx(
    depthwise: bool, square: bool, rounded: bool, n: int, channels: int, height: int, width: int, seed: int
) -> None:
    compare_with_onnx(depthwise, square, rounded, (n, channels, height, width), seed)


@pytest.mark.parametrize(("depthwise", "square", "rounded"), list(itertools.product((True, False), repeat=3)))
def test_every_form_against_onnx(depthwise: bool, square: bool, rounded: bool) -> None:
    compare_with_onnx(depthwise, square, rounded, (2, 3, 6, 5), 1)


def compare_with_onnx(
    depthwise: bool, square: bool, rounded: bool, shape: tuple[int, int, int, int], seed: int
) -> None:
    """Equal to the bit: data are integers and offsets sixteenths, so that every sum is exact in float32."""
    rng = np.random.default_rng(seed)
    n, channels, height, width = shape
    outputs = channels if depthwise else 4
    taken = 1 if depthwise else channels
    x = rng.integers(-128, 128, shape).astype(np.float32)
    weight = rng.integers(-8, 8, (outputs, taken, 3, 3)).astype(np.float32)
    offsets = draw_offsets(rng, square, rounded, (n, height, width))
    groups = channels if depthwise else 1
    got = deform_conv2d(*map(torch.from_numpy, (x, weight, offsets)), groups, rounded).numpy()
    assert got.shape == (n, outputs, height, width)
    for want in onnx_deform_conv(x, weight, offsets, groups):
        np.testing.assert_array_equal(got, want)


def test_bilinear_at_whole_offsets_is_the_rounded_form() -> None:
    rng = np.random.default_rng(2)
    x, weight = (torch.from_numpy(rng.integers(-99, 99, s).astype(np.float64)) for s in ((2, 4, 6, 7), (4, 1, 3, 3)))
    offsets = torch.from_numpy(draw_offsets(rng, False, True, (2, 6, 7))).double()
    assert torch.equal(deform_conv2d(x, weight, offsets, 4, True), deform_conv2d(x, weight, offsets, 4, False))


def test_zero_offsets_are_a_convolution() -> None:
    torch.manual_seed(0)
    x, offsets = torch.randn(2, 3, 6, 5, dtype=torch.float64), torch.zeros(2, 50, 6, 5, dtype=torch.float64)
    weight = torch.randn(4, 3, 5, 5, dtype=torch.float64)
    want = torch.nn.functional.conv2d(x, weight, padding=2)
    for rounded in (True, False):
        torch.testing.assert_close(deform_conv2d(x, weight, offsets, 1, rounded), want, rtol=0, atol=1e-12)


def test_rounded_gather_moves_bits() -> None:
    """With a kernel of one 1 the output is the input somewhere else, whatever float32 it is."""
    rng = np.random.default_rng(3)
    n, channels, height, width = 2, 3, 5, 6
    bits = rng.integers(0, 2**32, (n, channels, height, width), dtype=np.uint32)
    # Any finite float32, subnormal ones too; sums with zeros keep all of them but the sign of zero.
    x = np.where((bits >> 23) & 0xFF == 0xFF, bits & 0x3FFFFFFF, bits).astype(np.uint32).view(np.float32)
    offsets = draw_offsets(rng, False, True, (n, height, width))
    for tap in range(9):
        weight = np.zeros((channels, 1, 3, 3), np.float32)
        weight.reshape(channels, 9)[:, tap] = 1
        got = deform_conv2d(*map(torch.from_numpy, (x, weight, offsets)), channels, True).numpy()
        for k, i, j in np.ndindex(n, height, width):
            y = int(offsets[k, 2 * tap, i, j]) + i + tap // 3 - 1
            xx = int(offsets[k, 2 * tap + 1, i, j]) + j + tap % 3 - 1
            inside = 0 <= y < height and 0 <= xx < width
            want = x[k, :, y, xx] if inside else np.zeros(channels, np.float32)
            assert got[k, :, i, j].tobytes() == want.tobytes(), (tap, k, i, j)


# Gradients ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [1, 3])
def test_bilinear_gradients_against_finite_differences(groups: int) -> None:
    torch.manual_seed(1)
    x = torch.randn(2, 3, 4, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 3 // groups, 3, 3, dtype=torch.float64, requires_grad=True)
    # Away from whole numbers, where the derivative jumps.
    offsets = torch.randint(-2, 2, (2, 18, 4, 3)).double() + torch.rand(2, 18, 4, 3, dtype=torch.float64) * 0.8 + 0.1
    offsets.requires_grad_()
    assert torch.autograd.gradcheck(lambda *a: deform_conv2d(*a, groups, False), (x, weight, offsets), atol=1e-7)


def test_rounded_gradients() -> None:
    """Exact towards input and weights; towards an offset the central difference along its axis."""
    torch.manual_seed(2)
    x = torch.randn(1, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 1, 3, 3, dtype=torch.float64, requires_grad=True)
    offsets = torch.randint(-2, 3, (1, 18, 4, 5)).double()
    assert torch.autograd.gradcheck(lambda a, b: deform_conv2d(a, b, offsets, 3, True), (x, weight))
    offsets.requires_grad_()
    up = torch.randn(1, 3, 4, 5, dtype=torch.float64)
    (deform_conv2d(x, weight, offsets, 3, True) * up).sum().backward()
    with torch.no_grad():
        for channel in range(18):
            step = torch.zeros_like(offsets)
            step[:, channel] = 1
            ahead, behind = (deform_conv2d(x, weight, offsets + s * step, 3, True) for s in (1, -1))
            want = ((ahead - behind) / 2 * up).sum(1)
            torch.testing.assert_close(offsets.grad[:, channel], want, rtol=0, atol=1e-12)


# Switches -------------------------------------------------------------------------------------------------------------


def switch_id(s: DeformSettings) -> str:
    words = ("depthwise" if s.depthwise else "full", "square" if s.square else "free")
    return "-".join((*words, "bounded" if s.bounds else "unbounded", "rounded" if s.rounded else "bilinear"))


@pytest.mark.parametrize("switches", SWITCHES, ids=switch_id)
def test_every_switch_by_itself(switches: DeformSettings) -> None:
    torch.manual_seed(3)
    layers = FloatLayers()
    head, window = layers.offsets(6, 3, switches), layers.deform(6, 6, 3, switches)
    assert isinstance(head, OffsetHead) and isinstance(window, DeformConv2d)
    x = torch.randn(2, 6, 5, 5)
    # Before training: one offset everywhere, inside the bounds, where it has a gradient; rounded it is 0, and the
    # window an ordinary convolution.
    raw = head.conv(x)
    assert torch.equal(raw, torch.full_like(raw, switches.start))
    assert switches.bounds is None or switches.bounds[0] < switches.start < switches.bounds[1]
    assert switches.start == (0.0 if switches.bounds is None else pytest.approx(0.4))
    start = window(x, head(x))
    want = torch.nn.functional.conv2d(x, window.weight, padding=1, groups=6 if switches.depthwise else 1)
    assert torch.allclose(start, want, rtol=0, atol=1e-5) == (switches.rounded or switches.bounds is None)
    torch.nn.init.normal_(head.conv.weight, std=2.0)
    offsets = head(x)
    assert offsets.shape == (2, 18, 5, 5)
    assert torch.equal(offsets, offsets.round()) == switches.rounded
    assert window.weight.shape == (6, 1 if switches.depthwise else 6, 3, 3)
    taps = offsets.reshape(2, 3, 3, 2, 5, 5)
    spread = taps[:, 2, 2, 0]  # the last corner moves by (s, s)
    if switches.square:
        for i, j, axis in itertools.product(range(3), range(3), range(2)):
            assert torch.equal(taps[:, i, j, axis], spread * ((i, j)[axis] - 1))
        bounded = spread
    else:
        assert not torch.equal(taps[:, 2, 2, 1], spread)
        bounded = offsets
    low, high = bounded.min(), bounded.max()
    assert (low < 0 or high > 3) if switches.bounds is None else (low == 0 and high == 3)
    result = window(x, offsets)
    groups = 6 if switches.depthwise else 1
    for other in onnx_deform_conv(*(t.detach().numpy() for t in (x, window.weight, offsets)), groups):
        np.testing.assert_allclose(result.detach().numpy(), other, rtol=0, atol=1e-4)
    result.square().sum().backward()
    assert head.conv.weight.grad is not None and head.conv.weight.grad.abs().max() > 0


def test_depthwise_keeps_the_channels() -> None:
    with pytest.raises(ValueError, match="keeps the channels, got 4 and 6"):
        DeformConv2d(4, 6, 3, DeformSettings())


# Quantized ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bounds", [(0, 1), (0, 7), (0, 15), (-2, 1), (-4, 3), (-8, 7), (-128, 127)])
@pytest.mark.parametrize("square", [True, False])
@pytest.mark.parametrize("scales", ["free", "power_of_two"])
def test_quantized_offsets_are_whole_numbers_of_scale_one(bounds: tuple[int, int], square: bool, scales: str) -> None:
    torch.manual_seed(4)
    layers = QuantLayers(Quantization(scales=scales))
    head = layers.offsets(4, 3, DeformSettings(square=square, bounds=bounds))
    torch.nn.init.normal_(head.conv.weight, std=20.0 * (bounds[1] - bounds[0]))
    quantizer = head.bounded.act_quant
    optimiser = torch.optim.SGD(head.parameters(), lr=1.0)
    for training in (True, True, False):
        head.train(training)
        assert float(quantizer.scale()) == 1.0 and float(quantizer.zero_point()) == 0.0
        offsets = head(torch.randn(2, 4, 6, 6))
        assert torch.equal(offsets, offsets.round())
        spread = offsets[:, -2:] if square else offsets
        assert spread.min() == bounds[0] and spread.max() == bounds[1]
        if training:
            optimiser.zero_grad()
            offsets.sum().backward()
            optimiser.step()
    assert not [name for name, _ in head.bounded.named_parameters()], "the scale of offsets must not be learned"


def test_quantized_bounds_must_be_those_of_a_width() -> None:
    layers = QuantLayers(Quantization())
    for bounds in ((0, 6), (-3, 3), (1, 7), (-8, 6)):
        with pytest.raises(ModelError, match=r"model\.bounds: a quantized network needs the range of a width"):
            layers.offsets(4, 3, DeformSettings(bounds=bounds))
    with pytest.raises(ModelError, match=r"model\.bounds: rounded offsets of a quantized network need bounds"):
        layers.offsets(4, 3, DeformSettings(bounds=None))


@pytest.mark.parametrize("depthwise", [True, False])
def test_quantized_form_has_the_float_weights_in_fewer_bits(depthwise: bool) -> None:
    torch.manual_seed(5)
    switches = DeformSettings(depthwise=depthwise)
    float_form = FloatLayers().deform(4, 4, 3, switches)
    quantized = QuantLayers(Quantization(weight_bits=3)).deform(4, 4, 3, switches)
    quantized.load_state_dict(float_form.state_dict(), strict=False)
    weight, real = quantized.kernel_weight().detach(), float_form.weight.detach()
    assert torch.equal(quantized.store.weight, real) and weight.shape == real.shape
    for out, ref in zip(weight, real, strict=True):
        assert len(out.unique()) <= 7  # -3 to 3: narrow range
        assert (out - ref).abs().max() <= ref.abs().max() / 3 / 2 + 1e-6
