# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Figures of merit, from network outputs as numpy arrays. They need no torch."""
