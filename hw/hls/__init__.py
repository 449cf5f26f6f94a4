# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""C++ layers that bitwright adds to hls4ml, and the driver of their C++ simulation."""

from pathlib import Path

FOLDER = Path(__file__).resolve().parent
#: Headers of the layers, included by the generated firmware.
LAYER_HEADERS = tuple(FOLDER / f"bitwright_{part}.h" for part in ("common", "elementwise", "window", "frame"))
#: Header of the simulation driver, used by the generated csim.cpp only.
CSIM_HEADER = FOLDER / "csim_main.h"
