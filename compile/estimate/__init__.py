# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""What a network costs on a board before anything is synthesized, and how sure that is (docs/estimates.md)."""

from bitwright.compile.estimate.report import RESOURCES, Estimate, LayerEstimate, Span, Usage

__all__ = ["RESOURCES", "Estimate", "LayerEstimate", "Span", "Usage"]
