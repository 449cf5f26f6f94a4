# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""hls4ml projects before synthesis: cycles and resources of every layer at every reuse factor."""

from bitwright.compile.estimate.hls4ml.estimate import estimate, stages_of

__all__ = ["estimate", "stages_of"]
