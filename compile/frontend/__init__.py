# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""ONNX in, integer graph out."""

from bitwright.compile.frontend.importer import import_model

__all__ = ["import_model"]
