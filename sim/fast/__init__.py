# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The fast simulator: the same integers as the reference, computed by onnxruntime where that is provably exact."""

from bitwright.sim.fast.simulator import FastSimulator

__all__ = ["FastSimulator"]
