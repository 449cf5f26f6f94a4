# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""A proxy of the energy of one frame, to rank designs: no watts of a board stand behind it.

Energy of arithmetic and of memory accesses in 45 nm, M. Horowitz, "Computing's energy problem", ISSCC 2014: an 8-bit
product 0.2 pJ (it grows with the product of the widths), a 32-bit addition 0.1 pJ, 32 bits from an 8-KB memory 5 pJ, 64
bits from DRAM 1.3 to 2.6 nJ. A programmable device takes several times that, idle power is left out.
"""

from __future__ import annotations

PRODUCT_PJ, SUM_PJ, MEMORY_PJ_BYTE, DRAM_PJ_BYTE = 0.2 / 64, 0.1, 5.0 / 4, 1950.0 / 8


def energy_nj(products: float, macs: int, memory_bytes: int, dram_bytes: int) -> float:
    """Nanojoules.

    Args:
        products: sum over all multiplications of the product of the two widths in bits.
        memory_bytes: read from or written to memories on chip. dram_bytes: moved to or from DRAM.
    """
    return (PRODUCT_PJ * products + SUM_PJ * macs + MEMORY_PJ_BYTE * memory_bytes + DRAM_PJ_BYTE * dram_bytes) / 1000
