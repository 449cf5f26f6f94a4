# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""What a FINN project of ours carries along: build scripts, steps, and our operators in Python and C++.

The files next to this one run inside FINN's environment, from the project's folder.
"""

from pathlib import Path

from bitwright.hw.hls import FOLDER as HLS_FOLDER

FOLDER = Path(__file__).resolve().parent
#: The version of FINN that was tried (Xilinx/finn, main, 2026-04-14).
FINN_COMMIT = "39f0c9a6b7675f62d47390fbf9a591707bcbac9b"
PROJECT_FILES = (
    *(
        FOLDER / name
        for name in (
            "README.md", "build.py", "estimate.py", "bitwright_steps.py", "bitwright_layers.py", "bitwright_deform.py",
            "finn_bitwright.py", "bitwright_finn_deform.h", "nnet_common.h", "nnet_types.h",
        )
    ),
    HLS_FOLDER / "bitwright_window.h",
    HLS_FOLDER / "bitwright_common.h",
)  # fmt: skip
