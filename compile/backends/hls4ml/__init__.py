# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""hls4ml projects from integer graphs. hls4ml itself is imported only when a project is emitted."""

from bitwright.compile.backends.hls4ml.backend import Hls4mlBackend

__all__ = ["Hls4mlBackend"]
