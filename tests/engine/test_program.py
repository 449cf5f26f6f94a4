# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Programs compute the integers of the reference, in every order that their waits allow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitwright.compile.backends.engine.compiler import compile_graph
from bitwright.compile.frontend import import_model
from bitwright.errors import BackendError
from bitwright.hw.config import CONFIGS
from bitwright.sim import reference
from bitwright.zoo import entries
from tests.engine.nets import random_graph, random_input, run_program

ZOO = {e.name: e for e in entries()}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.sampled_from(sorted(CONFIGS)))
def test_random_networks(seed: int, config: str) -> None:
    graph = random_graph(seed)
    x = random_input(graph, seed)
    want = reference.run(graph, x)
    try:
        compiled = compile_graph(graph, CONFIGS[config])
    except BackendError as error:
        narrow = CONFIGS[config].x_bits < 25 and f"takes {CONFIGS[config].x_bits} bits" in str(error)
        bare = not CONFIGS[config].dw and "the configuration has no depthwise unit" in str(error)
        assert narrow or bare or "joins signed and unsigned" in str(error), error
        return
    for order in (None, seed):
        got = run_program(compiled, CONFIGS[config], x, order)
        for name, values in want.items():
            np.testing.assert_array_equal(got[name], values)


@pytest.mark.parametrize("config", ["tiny", "z7020", "zu3eg", "k26"])
@pytest.mark.parametrize("name", sorted(ZOO))
def test_zoo(name: str, config: str) -> None:
    if name.startswith("codenet") and config in ("tiny", "k26"):
        pytest.skip("a minute of planning: in test_zoo_slow")
    _run(name, config)


@pytest.mark.slow
@pytest.mark.parametrize("config", ["tiny", "k26"])
def test_zoo_slow(config: str) -> None:
    _run("codenet-bccd", config)


def _run(name: str, config: str) -> None:
    graph = import_model(ZOO[name].model)
    x = random_input(graph)
    want = reference.run(graph, x)
    compiled = compile_graph(graph, CONFIGS[config])
    for order in (None, 1):
        got = run_program(compiled, CONFIGS[config], x, order)
        for tensor, values in want.items():
            np.testing.assert_array_equal(got[tensor], values)
