# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The engine by hand, with pynq alone: program, buffers, registers.

Arguments: bitstream, program.bin, sizes of WORK and OUTPUT, INPUT (.npy), OUTPUT (.npy); then what to forget: flush,
invalidate or nothing.
"""

import sys

import numpy as np
from pynq import Overlay, allocate

overlay = Overlay(sys.argv[1])
engine = overlay.bw_engine_0
code = np.fromfile(sys.argv[2], np.uint8)
given, want = np.load(sys.argv[5]), np.load(sys.argv[6])
forget = sys.argv[7:]
sizes = {"PROGRAM": code.size, "WORK": int(sys.argv[3]), "INPUT": given.size, "OUTPUT": int(sys.argv[4])}
regions = {name: allocate(shape=(max(size, 16),), dtype=np.uint8) for name, size in sizes.items()}
regions["PROGRAM"][:] = code
regions["INPUT"][:] = given
for buffer in regions.values():
    if "flush" not in forget:
        buffer.flush()
assert int(engine.register_map.ID) == 0x4E455742
for k, buffer in enumerate(regions.values()):
    engine.write(0x20 + 16 * k, buffer.physical_address & 0xFFFFFFFF)
    engine.write(0x24 + 16 * k, buffer.physical_address >> 32)
    engine.write(0x28 + 16 * k, buffer.size // 16)
engine.write(0x10, 1)
while not engine.read(0x14) & 6:
    pass
assert engine.read(0x14) & 2, f"error {engine.read(0x18):#x}"
if "invalidate" not in forget:
    regions["OUTPUT"].invalidate()
assert np.array_equal(regions["OUTPUT"], want), "wrong numbers"
print("frame equal")
