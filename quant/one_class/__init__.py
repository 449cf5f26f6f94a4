# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Two-stage one-class detection: a pretext task teaches features (`pretext`), a detector scores them (`detectors`)."""
