# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The model of hls4ml's layers against published synthesis reports (points.json says where each is from)."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.bench_estimates import MLPERF, POINTS, kernel_of, mlperf_cycles, predict, ratios
from bitwright.compile.estimate.hls4ml.estimate import ERRORS
from bitwright.compile.estimate.hls4ml.kernel import choose, closest_reuse, constant_products, digits, valid_reuse

DATA: dict[str, Any] = json.loads(POINTS.read_text(encoding="utf-8"))
#: (source, figure) -> least and most of predicted / reported, held-out points included; docs/estimates.md.
SPREAD = {
    ("mlp", "dsp"): (1, 1), ("mlp", "interval"): (1, 1), ("mlp", "hls_lut"): (0.72, 1.17),
    ("mlp", "hls_ff"): (0.5, 2.7),
    ("cnn", "dsp"): (1, 1), ("cnn", "worst_cycles"): (0.97, 1.035), ("cnn", "bram18"): (0.66, 1.15),
    ("cnn", "lut"): (0.59, 1.6), ("cnn", "ff"): (0.75, 1.55), ("cnn-old", "dsp"): (1, 1),
    ("cnn-old", "worst_cycles"): (0.95, 1), ("jets", "interval"): (1, 1), ("jets", "dsp"): (1, 2),
    ("autoencoder", "worst_cycles"): (0.7, 0.94), ("baseline", "interval"): (1, 1),
}  # fmt: skip


def test_every_source_is_named_and_every_point_has_one() -> None:
    assert all(s["title"] for s in DATA["sources"].values())
    assert {p["source"] for p in DATA["points"]} == set(DATA["sources"])
    assert len(DATA["points"]) == 106 and sum(p["held_out"] for p in DATA["points"]) == 59


@pytest.mark.parametrize(("source", "figure"), sorted(SPREAD))
def test_predictions_stay_within_the_documented_spread(source: str, figure: str) -> None:
    found = ratios(DATA["points"])
    values = [v for held in (False, True) for v in found.get((source, held, figure), [])]
    least, most = SPREAD[source, figure]
    assert values and least - 1e-9 <= min(values) and max(values) <= most + 1e-9


def test_the_ranges_of_resources_hold_the_reports() -> None:
    """LUTs after synthesis within the stated range, on all but the tail that the range was not made for."""
    for point in DATA["points"]:
        if "lut" in point["reported"]:
            lut = choose(kernel_of(point), point["strategy"], point["reuse"]).usage.lut
            assert lut is not None and lut.low <= point["reported"]["lut"] <= lut.high, point["layer"]


def test_as_many_layers_are_exact_as_the_estimate_says() -> None:
    exact = sum(
        predict(p)["dsp"] == p["reported"]["dsp"]
        for p in DATA["points"]
        if "dsp" in p["reported"] and p["kernel"]["weight_bits"] in (8, 16)
    )
    assert exact == 93 and "exact on 93 published layers" in ERRORS["dsp"]


@pytest.mark.parametrize("net", sorted(MLPERF))
def test_boards_of_mlperf_tiny(net: str) -> None:
    fps, layers = MLPERF[net]
    assert -0.075 < mlperf_cycles(layers) * fps / 100e6 - 1 < 0.05


def test_digits_are_canonical() -> None:
    values = np.arange(-300, 301)
    assert [int(d) for d in digits(np.asarray([0, 1, 3, 5, 7, 11, -7, 85]))] == [0, 1, 2, 2, 2, 3, 2, 4]
    plain = np.asarray([bin(abs(int(v))).count("1") for v in values])
    assert (digits(values) <= plain).all()
    for v in (*range(-300, 301), 1 << 62, -(1 << 62), (1 << 62) // 3):
        rest, count = abs(v), 0
        while rest:  # a digit of -1 before two ones or more
            digit = 2 - rest % 4 if rest % 2 else 0
            rest, count = (rest - digit) // 2, count + abs(digit)
        assert digits(np.asarray([v])) == count, v


def test_products_of_equal_weights_of_one_input_are_shared() -> None:
    weight = np.asarray([[11, 11, 3], [11, -11, 0]])  # 11 = 8 + 4 - 1
    assert constant_products(weight) == (5, 1, 3)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(st.integers(1, 9), st.integers(1, 60), st.integers(1, 20), st.integers(0, 2**32))
def test_products_are_counted_as_sets(inputs: int, outputs: int, bits: int, seed: int) -> None:
    """Few values for many outputs, and many for few."""
    weight = np.random.default_rng(seed).integers(-(1 << bits), 1 << bits, (inputs, outputs))
    pairs = {(k, int(w)): int(digits(np.asarray([w]))[0]) for k, row in enumerate(weight) for w in row}
    found = sum(n == 2 for n in pairs.values()), sum(n >= 3 for n in pairs.values())
    assert constant_products(weight) == (np.count_nonzero(weight), *found)


def test_valid_reuse_factors_are_those_of_hls4ml() -> None:
    """hls4ml's own rule, asked directly."""
    backend = pytest.importorskip("hls4ml.backends").get_backend("Vivado")
    for n_in, n_out in ((75, 8), (72, 16), (16, 64), (10, 3), (7, 5)):
        kernel = kernel_of(DATA["points"][0])
        kernel = type(kernel)(**vars(kernel) | {"n_in": n_in, "n_out": n_out})
        valid = backend.get_valid_reuse_factors(n_in, n_out)
        assert valid_reuse(kernel) == valid
        assert all(closest_reuse(kernel, k) == (k if k in valid else backend.get_closest_reuse_factor(valid, k))
                   for k in range(1, n_in * n_out + 5))  # fmt: skip
