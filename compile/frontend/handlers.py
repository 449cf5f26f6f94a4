# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Importing this module registers every ONNX operator that the front end knows."""

from bitwright.compile.frontend import elementwise, linear, movement, outputs, pooling, qlinear, quantizers
from bitwright.compile.frontend.registry import HANDLERS

__all__ = ["HANDLERS", "elementwise", "linear", "movement", "outputs", "pooling", "qlinear", "quantizers"]
