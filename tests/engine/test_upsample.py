# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Linear upsampling as runs of windows, and labels: every output row in one run, weights that are the taps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitwright.compile.backends.engine.compiler import compile_graph, lower
from bitwright.compile.backends.engine.layers import Refused
from bitwright.compile.backends.engine.upsample import is_wide, runs, tap_words
from bitwright.compile.ir import Graph, GraphInput, GraphOutput
from bitwright.compile.ir.graph import GraphBuilder
from bitwright.compile.ir.ops import ArgMax, ResizeLinear
from bitwright.compile.ir.types import IntArray, IntType
from bitwright.hw.config import CONFIGS
from bitwright.sim import reference
from tests.engine.nets import linear_taps, random_input, run_program


def rebuilt(taps: IntArray, first: int, stop: int) -> IntArray:
    """The rows first .. stop - 1 from the runs, every one exactly once."""
    out = np.zeros_like(taps)
    seen = np.zeros(len(taps), int)
    for run in runs(taps):
        part = run.within(first, stop)
        for k in range(part.count if part else 0):
            assert part is not None and part.step <= 31 and 0 <= part.stride <= 15
            y = part.first + k * part.step
            seen[y] += 1
            for j, w in enumerate(part.taps):
                out[y, part.source + k * part.stride + j] += w
    assert (seen[first:stop] == 1).all() and seen.sum() == stop - first
    return out[first:stop]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.integers(1, 40), st.sampled_from([2, 3, 4, 7, 8, 16, 32]), st.booleans(), st.data())
def test_runs_cover_every_row_once(length: int, factor: int, aligned: bool, data: st.DataObject) -> None:
    taps = linear_taps(length, factor, aligned)
    first = data.draw(st.integers(0, len(taps) - 1))
    stop = data.draw(st.integers(first + 1, len(taps)))
    np.testing.assert_array_equal(rebuilt(taps, first, stop), taps[first:stop])
    parts = [p for run in runs(taps) for p in run.parts(3)]
    assert max(p.count for p in parts) <= 3 and sum(p.count for p in parts) == len(taps)


@given(st.lists(st.integers(0, 120), min_size=1, max_size=2), st.lists(st.integers(0, 130), min_size=1, max_size=2))
def test_weights_are_the_products(rows: list[int], columns: list[int]) -> None:
    greatest = max(max(rows) * max(columns), 1)
    wide = is_wide((np.array([rows]), np.array([columns])))
    assert wide == (greatest > 127)
    words = tap_words(tuple(rows), tuple(columns), wide).reshape(len(rows), -1, 3, 16).astype(int)
    assert words.max() < 128  # int8
    total = 128 * words[:, 0] + words[:, 1] if wide else words[:, 0]
    for lane in range(16):
        np.testing.assert_array_equal(total[:, : len(columns), lane], np.outer(rows, columns))
    assert not total[:, len(columns) :].any()


def test_taps_that_the_windows_do_not_hold() -> None:
    with pytest.raises(Refused, match="row 1 is a sum of 3 input rows"):
        runs(np.array([[1, 3, 0, 0], [1, 2, 1, 0]]))
    with pytest.raises(Refused, match="multiply to 16641, at most 16383"):
        is_wide((np.array([[129]]), np.array([[129]])))


def labels(channels: int, height: int = 4, width: int = 5, *, axis: int = 2, last: bool = False) -> Graph:
    b = GraphBuilder("labels")
    x = b.input("image", (height, width, channels), IntType(8, True), -128, 127)
    y = b.add(ArgMax, "label", x.name, axis=axis, last=last)
    outputs = [GraphOutput("out", y.shape, y.name, (0, 1, 2), None)]
    return b.finish([GraphInput("image", x.shape, x.name, (0, 1, 2), None)], outputs)


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        (labels(257), "257 channels, at most 256 labels"),
        (labels(3, 1, 1025), "a row has 1025 pixels, at most 1024"),
        (labels(3, axis=1), "not the first greatest channel"),
        (labels(3, last=True), "not the first greatest channel"),
    ],
)
def test_labels_that_are_refused(graph: Graph, reason: str) -> None:
    ((node, op, why),) = lower(graph, CONFIGS["zu3eg"])[2]
    assert (node, op) == ("label", "ArgMax") and reason in why


@pytest.mark.parametrize("channels", [1, 15, 17, 200, 256])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 2), (3, 1024), (9, 7)])
def test_labels(channels: int, height: int, width: int) -> None:
    """Ties, of which the first counts; lanes without a channel, which never win; images of one and of many pixels."""
    if channels * height * width > 200_000:
        channels = 33
    graph = labels(channels, height, width)
    x = random_input(graph, channels)
    name = next(iter(x))
    x[name] = np.where(x[name] > 100, 127, -128)  # few values: many ties, and most pixels all at the least value
    want = reference.run(graph, x)
    got = run_program(compile_graph(graph, CONFIGS["tiny"]), CONFIGS["tiny"], x, 1)
    np.testing.assert_array_equal(
        got["label"] if "label" in got else next(iter(got.values())), next(iter(want.values()))
    )


@pytest.mark.parametrize("aligned", [False, True])
def test_raw_sums_leave_as_bytes(aligned: bool) -> None:
    b = GraphBuilder("raw")
    x = b.input("image", (3, 4, 20), IntType(8, False), 0, 255)
    rows, columns = linear_taps(3, 16, aligned), linear_taps(4, 16, aligned)
    y = b.add(ResizeLinear, "up", x.name, row_taps=rows, column_taps=columns)
    graph = b.finish(
        [GraphInput("image", x.shape, x.name, (0, 1, 2), None)], [GraphOutput("out", y.shape, y.name, (0, 1, 2), None)]
    )
    frames = random_input(graph)
    want = reference.run(graph, frames)
    got = run_program(compile_graph(graph, CONFIGS["zu3eg"]), CONFIGS["zu3eg"], frames, None)
    for name, values in want.items():
        np.testing.assert_array_equal(got[name], values)
