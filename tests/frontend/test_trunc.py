# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""QONNX Trunc, version 2 (output scale given), against qonnx's own function on power-of-two scales."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from qonnx.custom_op.general.trunc import trunc_v2

from bitwright.compile.frontend import import_model
from bitwright.errors import UnsupportedModelError
from tests.support import QONNX, ModelBuilder, run_graph, to_real


def model(folder: Path, scale: float, zero: float, out_scale: float, out_bits: int, mode: str, **flags: int) -> Path:
    b = ModelBuilder()
    x = b.quant(b.input([1, 9]), scale, zero, 8)
    inputs = (x, *(b.const(v) for v in (scale, zero, 8.0, out_scale, float(out_bits))))
    return b.save(folder / "m.onnx", b.node("Trunc", *inputs, domain=QONNX, rounding_mode=mode, **flags))


@pytest.mark.parametrize("mode", ["FLOOR", "ROUND", "CEIL"])
@pytest.mark.parametrize(("signed", "narrow"), [(1, 0), (1, 1), (0, 0)])
@pytest.mark.parametrize(("zero", "out_bits", "drop"), [(0.0, 4, 4), (8.0, 3, 2), (0.0, 6, 1)])
def test_version_2(mode: str, signed: int, narrow: int, zero: float, out_bits: int, drop: int, tmp_path: Path) -> None:
    scale = 2.0**-4
    path = model(tmp_path, scale, zero, scale * 2**drop, out_bits, mode, signed=signed, narrow=narrow)
    graph = import_model(path)
    q = np.arange(-128, 127).reshape(-1)[: 9 * 28].reshape(28, 9)
    x = ((q - zero) * scale).astype(np.float32)
    (name,) = (o.name for o in graph.outputs)
    got = to_real(graph, name, run_graph(graph, {"x": x})[name]).astype(np.float64)
    bits = np.asarray(float(out_bits), np.float32)
    want = trunc_v2(x, scale, zero, 8.0, narrow, signed, scale * 2**drop, bits, mode)
    np.testing.assert_array_equal(got, want)


def test_off_grid_inputs_are_refused(tmp_path: Path) -> None:
    b = ModelBuilder()
    x = b.quant(b.input([1, 9]), 0.3, 0.0, 8)
    inputs = (x, *(b.const(v) for v in (0.25, 0.0, 8.0, 4.0)))
    path = b.save(tmp_path / "m.onnx", b.node("Trunc", *inputs, domain=QONNX, rounding_mode="FLOOR"))
    with pytest.raises(UnsupportedModelError, match="not on the integer grid"):
        import_model(path)
