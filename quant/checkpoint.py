# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Checkpoints: where a run stands, with its recipe inside, written atomically."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from bitwright.errors import ModelError
from bitwright.quant.recipe import Recipe, parse_recipe

CHECKPOINT_VERSION = 2
#: Order of the phases; also their number in the seeds.
PHASES = ("float", "qat")


@dataclass
class Checkpoint:
    """Where a run stands.

    Attributes:
        recipe: of the run.
        phase: number in `PHASES`; 1 has finished the float training.
        epoch: whole epochs of the phase that are done.
        network: state of what is in training; None before the first epoch.
        optimiser: state of the optimiser; None before the first epoch of a phase.
        float_model: state of the trained float network, from phase 1 on.
        metrics: phase -> figures of merit on the test samples, once it is finished.
        history: one entry for each epoch.
    """

    recipe: Recipe
    phase: int = 0
    epoch: int = 0
    network: dict[str, Any] | None = None
    optimiser: dict[str, Any] | None = None
    float_model: dict[str, Any] | None = None
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        """Both phases are done."""
        return self.phase == 1 and self.epoch == self.recipe.qat.epochs and "qat" in self.metrics

    def save(self, path: Path) -> None:
        """Write atomically: an interrupt leaves the old file or the new one."""
        temporary = path.with_name(path.name + ".part")
        try:
            with temporary.open("wb") as stream:
                torch.save(
                    {
                        "version": CHECKPOINT_VERSION,
                        "recipe": self.recipe.model_dump_json(),
                        "phase": self.phase,
                        "epoch": self.epoch,
                        "network": self.network,
                        "optimiser": self.optimiser,
                        "float_model": self.float_model,
                        "metrics": self.metrics,
                        "history": self.history,
                    },
                    stream,
                )
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, path)
        except (OSError, RuntimeError) as error:  # torch turns a full disk into a RuntimeError
            temporary.unlink(missing_ok=True)
            raise ModelError(f"{path}: cannot write the checkpoint ({error}); the one before it is whole") from None

    @staticmethod
    def load(path: Path) -> Checkpoint:
        """Read back. Raises ModelError for a file that is missing, damaged or no checkpoint."""
        if not path.is_file():
            raise ModelError(f"{path}: no such checkpoint; train a recipe first")
        try:
            data = torch.load(path, weights_only=True, map_location="cpu")
            version = data["version"]
        except Exception as error:  # torch raises many kinds for a damaged file
            raise ModelError(f"{path}: not a checkpoint of bitwright, or damaged; start over with --force") from error
        if version != CHECKPOINT_VERSION:
            raise ModelError(
                f"{path}: checkpoint version must be {CHECKPOINT_VERSION}, got {version}; start over with --force"
            )
        recipe = parse_recipe(json.loads(data.pop("recipe")), str(path))
        del data["version"]
        return Checkpoint(recipe, **data)

    def check_same(self, recipe: Recipe, path: Path) -> None:
        """Raise ModelError unless ``recipe`` is this one; where the data lie and how many threads compute may
        differ.
        """
        wanted, stored = (_comparable(r) for r in (recipe, self.recipe))
        changed = sorted(k for k in wanted.keys() | stored.keys() if wanted.get(k) != stored.get(k))
        if changed:
            raise ModelError(
                f"{path}: was made by a recipe that differs in {', '.join(changed)}; "
                "resume with the old recipe or start over with --force"
            )


def _comparable(recipe: Recipe) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(recipe.model_dump_json())
    data["task"].pop("data", None)
    del data["threads"]
    return data
