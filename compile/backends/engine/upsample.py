# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Linear upsampling as depthwise windows: output rows with the same taps, evenly spaced, are one instruction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitwright.compile.backends.engine.layers import Refused
from bitwright.compile.ir.types import IntArray
from bitwright.hw.config import LANES
from bitwright.hw.isa import FIELDS

#: Largest distance of output rows, and of the input rows that they read, in one instruction.
_STEP, _STRIDE = FIELDS["DW"]["OUT_STEP_Y"].hi, FIELDS["DW"]["STRIDE_Y"].hi
#: A tap is an int8 weight, or two of them: 128 * upper + lower.
_PLAIN, _WIDE = 127, 127 * 128 + 127


@dataclass(frozen=True)
class Run:
    """Rows first + k * step of the output, k < count, are sum over j of taps[j] * row source + k * stride + j."""

    first: int
    step: int
    count: int
    source: int
    stride: int
    taps: tuple[int, ...]

    def within(self, first: int, stop: int) -> Run | None:
        """The part in output rows first .. stop - 1."""
        low = max(0, -(-(first - self.first) // self.step))
        high = min(self.count, -(-(stop - self.first) // self.step))
        if low >= high:
            return None
        return Run(
            self.first + low * self.step, self.step, high - low, self.source + low * self.stride, self.stride, self.taps
        )

    def parts(self, most: int) -> list[Run]:
        """The same in parts of at most ``most`` rows."""
        cuts = range(0, self.count, most)
        found = (self.within(self.first + c * self.step, self.first + (c + most) * self.step) for c in cuts)
        return [run for run in found if run is not None]


def runs(taps: IntArray) -> list[Run]:
    """All output rows (or columns) of ``taps``, int64 (outputs, inputs), each in one run. Raises Refused."""
    alike: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    for y, row in enumerate(taps):
        used = np.flatnonzero(row)
        source, count = int(used[0]), int(used[-1] - used[0]) + 1
        if count > 2:
            raise Refused(f"its output row {y} is a sum of {count} input rows; linear upsampling takes two")
        alike.setdefault(tuple(row[source : source + count].tolist()), []).append((y, source))
    found = []
    for weights, places in alike.items():
        at = 0
        while at < len(places):
            stop = at + 1
            step = stride = 1
            if stop < len(places):
                step, stride = (b - a for a, b in zip(places[at], places[stop], strict=True))
                if not (step <= _STEP and 0 <= stride <= _STRIDE):
                    step = stride = 1
                else:
                    while stop < len(places) and places[stop] == (
                        places[at][0] + (stop - at) * step,
                        places[at][1] + (stop - at) * stride,
                    ):
                        stop += 1
            found.append(Run(places[at][0], step, stop - at, places[at][1], stride, weights))
            at = stop
    return sorted(found, key=lambda r: r.first)


def is_wide(taps: tuple[IntArray, IntArray]) -> bool:
    """Its products of taps need two weights each. Raises Refused when even those are too few."""
    greatest = int(taps[0].max()) * int(taps[1].max())
    if greatest > _WIDE:
        raise Refused(f"its taps multiply to {greatest}, at most {_WIDE} is possible; take a smaller factor")
    return greatest > _PLAIN


def tap_words(rows: tuple[int, ...], columns: tuple[int, ...], wide: bool) -> NDArray[np.uint8]:
    """Weights of one plane: uint8 (rows * triples, 3 taps, 16 lanes)."""
    products = np.outer(rows, columns)
    out = np.zeros((len(rows), 1 + wide, 3, LANES), np.uint8)
    out[:, -1, : len(columns)] = (products & 127)[..., None]
    if wide:
        out[:, 0, : len(columns)] = (products >> 7)[..., None]
    return out.reshape(-1, 3, LANES)
