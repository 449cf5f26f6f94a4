# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""A program as people write it for a board, without bitwright. Arguments: bitstream, inputs, outputs (.npy)."""

import sys

import numpy as np
from pynq import Overlay, allocate

overlay = Overlay(sys.argv[1])
dma = overlay.axi_dma_0
x, want = np.load(sys.argv[2]), np.load(sys.argv[3])
into = allocate(shape=x.shape, dtype=x.dtype)
back = allocate(shape=want.shape, dtype=want.dtype)
into[:] = x
dma.recvchannel.transfer(back)
dma.sendchannel.transfer(into)
dma.sendchannel.wait()
dma.recvchannel.wait()
assert np.array_equal(back, want), "wrong numbers"
assert dma.recvchannel.transferred == want.nbytes
assert dma.register_map.S2MM_DMASR.Idle == 1
print(f"{len(x)} frames equal")
