# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Narrower weights: everything behind them is compensated exactly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitwright.compile.explore.requantize import RequantizeError, candidates, narrow, requantize_weights
from bitwright.compile.frontend import import_model
from bitwright.compile.ir import Graph
from bitwright.compile.ir.ops.base import weight_width
from bitwright.compile.ir.serialize import load_graph
from bitwright.flow import compile_model, random_frames, real_output
from bitwright.host import load_bundle
from bitwright.sim import reference

ZOO = Path(__file__).resolve().parents[2] / "zoo"


@pytest.fixture(scope="module")
def classifier() -> Graph:
    return import_model(ZOO / "digits-classifier" / "model.onnx")


@settings(deadline=None, max_examples=100)
@given(st.integers(2, 8), st.integers(1, 9), st.integers(0, 10_000))
def test_narrow_keeps_the_range_and_the_nearest_value(bits: int, width: int, seed: int) -> None:
    weight = np.random.default_rng(seed).integers(-(1 << (width - 1)), max(1 << (width - 1), 1), (5, 3))
    small, shift = narrow(weight, bits)
    assert -(1 << (bits - 1)) <= small.min() and small.max() < 1 << (bits - 1)
    if width <= bits:
        assert np.array_equal(small << shift, weight)
    error = np.abs((small << shift) - weight).max(axis=0)
    assert (error <= np.abs(weight).max(axis=0)).all()


@pytest.mark.parametrize("bits", [2, 3])
def test_what_follows_is_compensated_exactly(classifier: Graph, bits: int) -> None:
    """Equal to the old network with the rounded weights at their old scale, value by value and as real numbers."""
    names = candidates(classifier)
    assert len(names) == 8 and set(names.values()) == {4}
    changed = requantize_weights(classifier, dict.fromkeys(names, bits))
    wide = {}
    for node in classifier.nodes:
        if node.name in names:
            small, shift = narrow(node.weight, bits)  # type: ignore[attr-defined]
            wide[node.name] = replace(node, weight=small << shift)  # type: ignore[call-arg]
    oracle = classifier.rebuild(wide.get(n.name, n) for n in classifier.nodes)
    x = {i.tensor: random_frames(classifier, i) for i in classifier.inputs}
    got, want = reference.run(changed, x), reference.run(oracle, x)
    for old, new in zip(oracle.outputs, changed.outputs, strict=True):
        assert np.array_equal(real_output(changed, new, got[new.tensor]), real_output(oracle, old, want[old.tensor]))
    assert all(weight_width(n.weight) <= bits for n in changed.nodes if n.name in names)  # type: ignore[attr-defined]
    assert any("requantized after training" in note for note in changed.notes)


def test_as_many_bits_as_now_change_nothing(classifier: Graph) -> None:
    assert requantize_weights(classifier, dict.fromkeys(candidates(classifier), 8)) is classifier


@pytest.mark.parametrize(
    ("bits", "words"),
    [({"stem_conv": 4}, "did you mean stem_Conv"), ({"stem_Conv": 1}, "an integer from 2 to 16"),
     ({"stem_Conv": 2.5}, "= 2.5")],
)  # fmt: skip
def test_errors_name_layer_rule_and_value(classifier: Graph, bits: dict[str, int], words: str) -> None:
    with pytest.raises(RequantizeError, match=words):
        requantize_weights(classifier, bits)


def test_compile_takes_the_bits(tmp_path: Path) -> None:
    """A bundle compiled with weight_bits holds the narrow weights, and its golden vectors are those of that network."""
    model = ZOO / "digits-classifier" / "model.onnx"
    manifest = compile_model(
        model, tmp_path / "b", board="ultra96-v2", backend="engine", options={"weight_bits": {"stem_Conv": 2}}
    )
    assert any("requantized" in note for note in manifest["notes"])
    graph = load_graph(load_bundle(tmp_path / "b").program)
    assert weight_width(next(n for n in graph.nodes if n.name == "stem_Conv").weight) == 2  # type: ignore[attr-defined]
