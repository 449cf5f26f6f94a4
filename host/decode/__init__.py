# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""From network outputs to what a task asks for, in numpy: the same code on the board and in `bitwright evaluate`."""
