# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Readers of data sets. They need numpy and Pillow, not torch; only `boxes` does."""
