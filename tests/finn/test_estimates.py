# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Our estimates are FINN's: compared with reports that FINN wrote of the same projects (tests/finn/reports).

The reports were made by `make test-finn` with BITWRIGHT_RECORD_FINN=1, that is by FINN's estimate-only build of what we
emit, at the commit that each of them names.
"""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bitwright.boards import load_board
from bitwright.compile.backends.finn import FinnBackend
from bitwright.compile.backends.finn.estimate import plan, prepare
from bitwright.compile.backends.finn.folding import choose, cost, figures, folding_options
from bitwright.compile.backends.finn.layers import DepthwiseUnit, Folding, Layer, Pool, Resources, Window, divisors
from bitwright.compile.backends.finn.network import Network
from bitwright.compile.ir import IntType
from bitwright.errors import BackendError
from bitwright.hw.hls.finn import FINN_COMMIT
from tests.finn.cases import CASES, REPORTS, emit, graph_of, predicted, structure
from tests.finn.nets import NETS

#: FINN's names of our resources.
RESOURCES = {"lut": "LUT", "bram18": "BRAM_18K", "uram": "URAM", "dsp": "DSP"}


def _report(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((REPORTS / f"{name}.json").read_text())
    return found


@pytest.mark.parametrize("name", CASES)
def test_estimates_equal_finns_reports(name: str, tmp_path: Path) -> None:
    report = _report(name)
    assert report["finn"] == FINN_COMMIT
    assert report["verification"] == {"values": report["verification"]["values"], "different": 0}
    compare(emit(name, tmp_path / "project").estimate, report)


@pytest.mark.slow
def test_estimates_of_mobilenet_v2_equal_finns_report() -> None:
    """At full size FINN took the project without the verification step, whose Python would run for hours."""
    board = load_board("zcu104")
    found = plan(structure("mobilenet_v2_224"), FinnBackend().options({"fps": 30}), board).figures
    compare(found, _report("mobilenet_v2_224"))
    assert set(found["short"]) == {"lut", "bram18"}


def compare(figures_: Mapping[str, Any], report: Mapping[str, Any]) -> None:
    """Names and order of layers, cycles, latency and resources."""
    layers = figures_["layers"]
    assert list(layers) == list(report["cycles"]), "names and order are FINN's"
    assert predicted(figures_) == {k: report[k] for k in ("cycles", "max_cycles", "critical_path_cycles")}
    for layer, ours in layers.items():
        for key, theirs in RESOURCES.items():
            want = report["resources"][layer][theirs]
            if ours[key] is None:
                assert want == 0, f"{layer}: FINN has a model of its {theirs} by now"
            elif key == "bram18" and layer.startswith("Thresholding_rtl"):
                # FINN counts these block RAMs under the name BRAM18 and reads them under BRAM, so it reports none.
                assert want == 0
            else:
                assert ours[key] == want, f"{layer}: {theirs}"


def test_every_kind_of_layer_is_in_the_reports() -> None:
    seen = {layer.rsplit("_", 1)[0] for name in CASES for layer in _report(name)["cycles"]}
    assert seen >= {
        "AddStreams_hls", "ChannelwiseOp_hls", "ConvolutionInputGenerator_rtl", "DeformConv2D_hls", "DownSampler_hls",
        "DuplicateStreams_hls", "FMPadding_rtl", "GlobalAccPool_hls", "MVAU_hls", "MVAU_rtl", "Pool_hls",
        "StreamingConcat_hls", "StreamingMaxPool_hls", "Thresholding_rtl", "UpsampleNearestNeighbour_hls", "VVAU_hls",
    }  # fmt: skip


@pytest.mark.parametrize("target", [None, 40000, 3000])
def test_the_chosen_folding_is_the_cheapest(target: int | None) -> None:
    board = load_board("pynq-z2")
    _, net = prepare(NETS["separable"](), board=board)
    chosen = choose(net, target, board)
    found = figures(net, chosen, 100.0)
    assert target is None or found["cycles"] <= target
    for unit in net.units():
        options = folding_options([net.layers[k] for k in unit])
        mine = tuple(chosen[net.names[k]] for k in unit)
        price = {o.foldings: cost(o.resources, board) for o in options}
        if target is not None:
            assert price[mine] == min(price[o.foldings] for o in options if o.cycles <= target)
        else:
            assert mine == tuple(Folding() for _ in unit)


def test_options_are_all_legal_ones() -> None:
    _, net = prepare(NETS["separable"]())
    by_op = {layer.op: (k, layer) for k, layer in enumerate(net.layers)}
    _, unit = by_op["MVAU_rtl"]
    pairs = {(o.foldings[0].pe, o.foldings[0].simd) for o in folding_options([unit])}
    assert pairs == set(itertools.product(divisors(unit.outputs), divisors(unit.channels)))  # type: ignore[attr-defined]
    k, depthwise = by_op["VVAU_hls"]
    window = net.layers[depthwise.inputs[0]]
    for option in folding_options([window, depthwise]):
        first, second = option.foldings
        assert first.simd == second.pe and depthwise.channels % second.pe == 0 and 9 % second.simd == 0
        assert (second.simd == 1 or second.pe == depthwise.channels) and first.parallel_window == (second.simd > 1)
        assert option.cycles == max(window.cycles(first), depthwise.cycles(second))


def test_a_rate_out_of_reach_names_the_layer() -> None:
    backend = FinnBackend()
    with pytest.raises(
        BackendError, match=r"cannot reach 10 cycles per frame: .* takes [\d,]+ when it is fully parallel"
    ):
        plan(NETS["separable"](), backend.options({"fps": 1e7, "clock_mhz": 100}))


def test_folding_by_hand() -> None:
    backend, graph = FinnBackend(), NETS["separable"]()
    found = plan(graph, backend.options({"layers": {"MVAU_rtl_0": {"PE": 4, "SIMD": 3}, "VVAU_hls_0": {"PE": 8}}}))
    layers = found.figures["layers"]
    assert (layers["MVAU_rtl_0"]["PE"], layers["MVAU_rtl_0"]["SIMD"]) == (4, 3)
    assert layers["VVAU_hls_0"]["PE"] == 8
    window = found.net.names[found.net.layers[found.net.names.index("VVAU_hls_0")].inputs[0]]
    assert layers[window]["SIMD"] == 8, "the window follows the layer that it feeds"
    given = {"ConvolutionInputGenerator_rtl_0": {"SIMD": 3, "parallel_window": 1}}
    whole = plan(graph, backend.options({"layers": given}))
    assert whole.figures["layers"]["ConvolutionInputGenerator_rtl_0"]["parallel_window"] == 1
    for values, message in (
        ({"MVAU_rtl_0": {"PE": 3}}, r"layers.MVAU_rtl_0: .* is not legal; PE must divide 8 and SIMD 27"),
        ({"MVAU_rtl_99": {"PE": 1}}, r"layers.MVAU_rtl_99: no such layer; did you mean"),
        ({window: {"SIMD": 4}}, "follows the layer behind it"),
    ):
        with pytest.raises(BackendError, match=message):
            plan(graph, backend.options({"layers": values}))


def test_shortfall_and_unknown_resources_are_told() -> None:
    backend, graph = FinnBackend(), NETS["separable"]()
    board = load_board("zcu104")
    tiny = board.model_copy(update={"resources": board.resources.model_copy(update={"lut": 100, "dsp": 1})})
    found = plan(graph, backend.options({"fps": 5000}), tiny).figures
    assert set(found["short"]) == {"lut", "dsp"} and found["short"]["lut"] == [found["lut_at_least"], 100]
    assert plan(graph, backend.options({"fps": 5000}), board).figures["short"] == {}
    assert found["layers"]["MVAU_rtl_0"]["lut"] is None, "FINN has no model of it, so it is not 0"
    assert (Resources(unknown=frozenset({"LUT"})) + Resources(lut=1)).unknown == {"LUT"}


def test_estimate_needs_no_board() -> None:
    backend = FinnBackend()
    found = backend.estimate(graph_of("digits_autoencoder"), backend.options({"fps": 50000}))
    assert found["fps"] >= 50000 and "FINN" in found["kind"] and "short" not in found


def test_the_smallest_folding_is_the_slowest() -> None:
    """Also where a whole window at a time takes longer than its taps one by one."""
    dice, whole = random.Random(3), 0
    for _ in range(2000):
        x, (kh, kw, sh, sw, dh, dw) = IntType(dice.randint(1, 8), False), (dice.randint(1, 4) for _ in range(6))
        size = dice.randint((kh - 1) * dh + 1, 20), dice.randint((kw - 1) * dw + 1, 20)
        out = (size[0] - (kh - 1) * dh - 1) // sh + 1, (size[1] - (kw - 1) * dw - 1) // sw + 1
        facts: dict[str, Any] = {
            "op": "", "source": "", "x": x, "y": x, "channels": dice.choice([1, 2, 6]), "vectors": math.prod(out),
        }  # fmt: skip
        behind = dice.choice([None, DepthwiseUnit, Pool])
        geometry: dict[str, Any] = {"kernel": (kh, kw), "strides": (sh, sw), "dilations": (dh, dw), "size": size}
        layers: list[Layer] = [Window(inputs=(), out=out, depthwise=behind is not None, **geometry, **facts)]
        if behind is DepthwiseUnit:
            layers.append(DepthwiseUnit(inputs=(0,), taps=kh * kw, weight=IntType(4, True), **facts))
        elif behind is Pool:
            layers.append(Pool(inputs=(0,), taps=kh * kw, **facts))
        names = tuple(map(str, range(len(layers))))
        chosen = choose(Network(tuple(layers), names, {}, {}), None)
        slowest = max(folding_options(layers), key=lambda o: o.cycles).foldings
        assert tuple(chosen.values()) == slowest, layers
        whole += slowest[-1].parallel_window
    assert whole
