# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""FINN's estimates for this project; needs no Vivado. Reports are written to output/report."""

import sys

from build import build

if __name__ == "__main__":
    sys.exit(build("step_generate_estimate_reports"))
