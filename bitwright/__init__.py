# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""bitwright: from quantization-aware training to bitstreams on Zynq boards, the same integers at every stage."""

__version__ = "0.1.0"
