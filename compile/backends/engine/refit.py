# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Other constants for the same requantization, when scaling does not bring them to a shift of the hardware.

Two monotone staircases are equal on a range if and only if they agree on both sides of every step in it (docs/ir.md,
section 7); every level bounds the addend from one or both sides, and any addend within all bounds will do.
"""

from __future__ import annotations

import numpy as np

from bitwright.compile.ir.types import IntArray
from bitwright.hw.isa import MULTIPLIER_BITS, SHIFTS

#: Multipliers that are tried on both sides of the nearest one.
NEIGHBOURS = 12


def refit(
    multiplier: IntArray,
    addend: IntArray,
    shift: int,
    offset: int,
    limits: tuple[int, int],
    lowest: IntArray,
    highest: IntArray,
) -> tuple[IntArray, IntArray, int] | None:
    """Constants with clamp((x*m + c) >> SHIFTS[code]) == clamp(((x*multiplier + addend) >> shift) + offset).

    Args:
        multiplier, addend, lowest, highest: int64 (C,); the last two bound x. limits: lo, hi.

    Returns:
        m, c (int64 (C,), the offset is part of c) and code, equal for every x within the bounds; None: there are none.
    """
    for code in reversed(range(len(SHIFTS))):
        found = [
            _channel(int(m), int(c), shift, offset, limits, int(a), int(b), SHIFTS[code])
            for m, c, a, b in zip(multiplier, addend, lowest, highest, strict=True)
        ]
        pairs = [pair for pair in found if pair is not None]
        if len(pairs) == len(found):
            both = np.array(pairs, np.int64)
            return both[:, 0], both[:, 1], code
    return None


def refit_apart(
    multiplier: IntArray,
    addend: IntArray,
    shift: int,
    offset: int,
    limits: tuple[int, int],
    lowest: IntArray,
    highest: IntArray,
) -> dict[int, tuple[list[int], IntArray, IntArray]] | None:
    """`refit` of channels that have no shift in common: by code, (channels, m, c). None when one channel has none."""
    groups: dict[int, list[tuple[int, int, int]]] = {}
    for k in range(len(multiplier)):
        m, c = int(multiplier[k]), int(addend[k])
        for code in (2, 3, 1, 0):  # most channels have 32
            found = _channel(m, c, shift, offset, limits, int(lowest[k]), int(highest[k]), SHIFTS[code])
            if found is not None:
                groups.setdefault(code, []).append((k, *found))
                break
        else:
            return None
    return {
        code: ([k for k, _, _ in g], np.array([m for _, m, _ in g]), np.array([c for _, _, c in g]))
        for code, g in sorted(groups.items())
    }


def _channel(
    m: int, c: int, shift: int, offset: int, limits: tuple[int, int], a: int, b: int, hardware: int
) -> tuple[int, int] | None:
    if m == 0:
        return 0, ((c >> shift) + offset) << hardware
    sign = 1 if m > 0 else -1
    if sign < 0:
        m, a, b = -m, -b, -a
    near = (m << hardware >> shift) if hardware >= shift else m >> (shift - hardware)
    for distance in range(2 * NEIGHBOURS + 1):  # near, near + 1, near - 1, ...
        new = near + (distance + 1) // 2 * (1 if distance % 2 else -1)
        if not 0 < new < 1 << (MULTIPLIER_BITS - 1):
            continue
        least, most = None, None  # of the addend
        for level in range(limits[0] + 1, limits[1] + 1):
            step = -((c - ((level - offset) << shift)) // m)  # the first x that reaches the level
            goal = level << hardware
            if step <= b:  # reached at max(step, a)
                need = goal - new * max(step, a)
                least = need if least is None else max(least, need)
            if step > a:  # not reached at min(step - 1, b)
                need = goal - new * min(step - 1, b) - 1
                most = need if most is None else min(most, need)
        if least is None and most is None:
            return sign * new, 0
        if least is None or most is None or least <= most:
            chosen = most if least is None else least if most is None else (least + most) // 2
            assert chosen is not None
            return sign * new, chosen
    return None
