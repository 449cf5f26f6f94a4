# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Learning from a float teacher (G. Hinton et al., "Distilling the Knowledge in a Neural Network",
arXiv:1503.02531).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from bitwright.errors import ModelError
from bitwright.quant.forward import as_tuple
from bitwright.quant.recipe import Distillation


class Teacher:
    """A frozen float network whose outputs the quantized one imitates."""

    def __init__(self, model: nn.Module, settings: Distillation, logits: bool) -> None:
        self._model = model.eval().requires_grad_(False)
        self._settings = settings
        self._logits = logits

    def mixed(self, loss: torch.Tensor, samples: torch.Tensor, outputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """The loss of the task and that of the imitation, by the recipe's share.

        Logits are compared as distributions at the recipe's temperature, other outputs by their mean squared
        difference.
        """
        with torch.no_grad():
            wanted = as_tuple(self._model(samples))
        if [o.shape for o in outputs] != [w.shape for w in wanted]:
            raise ModelError(
                f"distillation.teacher: its outputs have the shapes {[tuple(w.shape) for w in wanted]}, those of the "
                f"recipe's model {[tuple(o.shape) for o in outputs]}"
            )
        t = self._settings.temperature
        if self._logits:
            soft = functional.log_softmax(wanted[0] / t, 1)
            imitation = functional.kl_div(
                functional.log_softmax(outputs[0] / t, 1), soft, reduction="batchmean", log_target=True
            ) * (t * t)
        else:
            imitation = torch.stack([functional.mse_loss(o, w) for o, w in zip(outputs, wanted, strict=True)]).sum()
        share = self._settings.weight
        return (1 - share) * loss + share * imitation
