# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""One clear message when the packages of the training side are missing."""

from __future__ import annotations

import importlib.util

from bitwright.errors import ToolMissingError

#: Import name -> package, of what training and export need beyond the core.
NEEDED = {
    "torch": "torch",
    "brevitas": "brevitas",
    "qonnx": "qonnx",
    "onnxoptimizer": "onnxoptimizer",
    "onnxscript": "onnxscript",
    "sklearn": "scikit-learn",
}


def require_qat() -> None:
    """Raise ToolMissingError, naming every missing package, unless training can start."""
    missing = [package for name, package in NEEDED.items() if importlib.util.find_spec(name) is None]
    if missing:
        raise ToolMissingError(
            f"training needs {', '.join(missing)}, not installed here: pip install 'bitwright[qat]' "
            "(compiling and simulating do not need it)"
        )
