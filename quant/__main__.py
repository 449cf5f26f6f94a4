# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""``python -m bitwright.quant``."""

from bitwright.quant.cli import main

if __name__ == "__main__":
    main()
