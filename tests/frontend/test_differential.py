# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Random quantized networks: front end and reference simulator against an exact oracle, and against qonnx."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitwright.compile.frontend import import_model
from bitwright.errors import UnsupportedModelError
from tests.frontend.exact_oracle import Oracle
from tests.frontend.random_models import RandomModel, Style
from tests.support import run_graph, to_real

STYLES = {
    "dyadic": Style(dyadic=True, zero_points=False),
    "dyadic-zero": Style(dyadic=True, zero_points=True),
    "odd": Style(dyadic=False, zero_points=False),
    "odd-zero": Style(dyadic=False, zero_points=True),
}


def compare(seed: int, style: Style, tmp: Path, steps: int) -> str:
    """'equal', or 'refused: why'. Asserts that every output number is the exact one."""
    generator = RandomModel(seed, style)
    model = generator.build(steps)
    path = tmp / f"{seed}.onnx"
    path.write_bytes(model.SerializeToString())
    try:
        graph = import_model(path)
    except UnsupportedModelError as error:
        return f"refused: {error}"
    given = graph.inputs[0]
    x = np.random.default_rng(seed).normal(scale=2.0, size=(1, *given.shape)).astype(np.float32)
    want = Oracle(model).run({"x": x})
    got = run_graph(graph, {"x": x})
    for name, real in want.items():
        assert (to_real(graph, name, got[name]) == real).all(), f"seed {seed}: {generator.used}"
    return "equal"


def run_many(style: str, examples: int) -> None:
    """Let hypothesis draw networks; a failing one is shrunk to the smallest number of layers and reported by seed."""
    results: list[str] = []

    @settings(max_examples=examples, deadline=None, derandomize=True, database=None)
    @given(steps=st.integers(1, 6), seed=st.integers(0, 2**32 - 1))
    def check(steps: int, seed: int) -> None:
        with TemporaryDirectory() as folder:
            results.append(compare(seed, STYLES[style], Path(folder), steps))

    check()
    refused = [r for r in results if r != "equal"]
    assert len(refused) <= len(results) // 10, refused[:3]


@pytest.mark.parametrize("style", STYLES)
def test_against_exact_oracle(style: str) -> None:
    run_many(style, 150)


@pytest.mark.slow
@pytest.mark.parametrize("style", STYLES)
def test_against_exact_oracle_at_length(style: str) -> None:
    run_many(style, 2000)
