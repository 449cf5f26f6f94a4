# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Constants brought to a shift of the hardware compute the same for every value of the range."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bitwright.compile.backends.engine.layers import make_requant
from bitwright.compile.backends.engine.refit import refit
from bitwright.hw.isa import SHIFTS


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.integers(0, 10**9))
def test_every_value(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shift = int(rng.integers(17, 46))
    signed = bool(rng.integers(2))
    limits = (-128, 127) if signed else (0, 255)
    lowest, highest = np.array([-int(rng.integers(0, 40000))]), np.array([int(rng.integers(1, 40000))])
    m = np.array([int(rng.integers(1, 255 << max(shift - 12, 1))) * int(rng.choice([-1, 1]))])
    c = np.array([int(rng.integers(-(1 << shift), 1 << shift)) * int(rng.integers(0, 90))])
    offset = int(rng.integers(-20, 20))
    found = refit(m, c, shift, offset, limits, lowest, highest)
    if found is None:
        return
    x = np.arange(lowest[0], highest[0] + 1)
    want = np.clip([((int(v) * int(m[0]) + int(c[0])) >> shift) + offset for v in x], *limits)
    got = np.clip([(int(v) * int(found[0][0]) + int(found[1][0])) >> SHIFTS[found[2]] for v in x], *limits)
    np.testing.assert_array_equal(got, want)


def test_a_multiplier_too_wide_to_scale() -> None:
    """31 bits at shift 37, as the first layer of a CoDeNet had it: scaling to 40 would need 34 bits."""
    m, c = np.array([1_111_132_651, 987_654_321]), np.array([1 << 36, -(1 << 40)])
    x = np.arange(-(1 << 15), 1 << 15)
    ranges = (np.array([x[0], x[0]]), np.array([x[-1], x[-1]]))
    r = make_requant(m[None], c, 37, False, 0, 0, 255, [1 << 15], ranges=ranges)
    for k in range(2):
        want = np.clip((x * m[k] + c[k]) >> 37, 0, 255)
        np.testing.assert_array_equal(np.clip((x * r.multiplier[0, k] + r.addend[k]) >> SHIFTS[r.shift], 0, 255), want)
