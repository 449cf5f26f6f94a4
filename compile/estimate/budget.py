# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""What a design may use of a board, and the resources in words."""

from __future__ import annotations

from bitwright.boards import Board
from bitwright.hw.resources import LUT_SHARE

#: Names of the resources for people.
WORDS = {"dsp": "DSP slices", "bram18": "block RAM halves", "uram": "UltraRAMs", "lut": "LUTs", "ff": "flip-flops"}


def budget(board: Board) -> tuple[int, ...]:
    """What may be used, in the order of RESOURCES: of the LUTs a share, beyond it routing gets hard."""
    r = board.resources
    return (r.dsp, 2 * r.bram36, r.uram, int(LUT_SHARE * r.lut), r.ff)
