# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Running a torch network on numpy samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


def as_tuple(outputs: Any) -> tuple[torch.Tensor, ...]:
    """Outputs of a network as a tuple, whether it has one or more."""
    return tuple(outputs) if isinstance(outputs, (tuple, list)) else (outputs,)


def run_batch(model: nn.Module, samples: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
    """Outputs of the network in eval mode for samples (N, ...)."""
    model.eval()
    device = next(model.parameters()).device
    with torch.no_grad():
        return tuple(o.cpu().numpy() for o in as_tuple(model(torch.from_numpy(samples).to(device))))
