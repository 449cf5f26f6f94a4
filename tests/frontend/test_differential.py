# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Random quantized networks: front end and reference simulator against an exact oracle, and against qonnx."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

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
PER_RUN = 25


def compare(seed: int, style: Style, tmp: Path) -> str:
    """'equal', or 'refused: why'. Asserts that every output number is the exact one."""
    generator = RandomModel(seed, style)
    model = generator.build(steps=int(np.random.default_rng(seed).integers(1, 6)))
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


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("block", [*range(4), *(pytest.param(b, marks=pytest.mark.slow) for b in range(4, 40))])
def test_against_exact_oracle(style: str, block: int, tmp_path: Path) -> None:
    results = [compare(seed, STYLES[style], tmp_path) for seed in range(block * PER_RUN, (block + 1) * PER_RUN)]
    refused = [r for r in results if r != "equal"]
    assert len(refused) <= len(results) // 4, refused[:3]
