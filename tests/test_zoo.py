# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The trained networks of the repository: whole, described, and the same integers in reference and fast."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from bitwright.compile.frontend import import_model
from bitwright.sim import reference
from bitwright.sim.fast import FastSimulator
from bitwright.zoo import Entry, entries


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.name)
def test_a_network_of_the_zoo(entry: Entry) -> None:
    content = entry.model.read_bytes()
    assert hashlib.sha256(content).hexdigest() == entry.metrics["sha256"] and len(content) < 1 << 20
    graph = import_model(entry.model)
    tensor = graph.tensors[graph.inputs[0].tensor]
    lo, hi = tensor.bounds
    codes = {tensor.name: np.random.default_rng(5).integers(lo, hi + 1, (2, *tensor.shape))}
    expected, got = reference.run(graph, codes), FastSimulator(graph).run(codes)
    assert expected.keys() == got.keys()
    assert all(np.array_equal(expected[name], got[name]) for name in expected)
    costs = [node.cost(graph.inputs_of(node), graph.tensors[node.output]) for node in graph.nodes]
    assert sum(cost.weights for cost in costs) == entry.metrics["weights"]
    assert sum(cost.macs for cost in costs) == entry.metrics["macs"]
