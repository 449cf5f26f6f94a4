# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The trained networks of the repository: one folder each with recipe.toml, model.onnx and metrics.json."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Entry:
    """One network.

    Attributes:
        name: of its folder. folder: where it lies.
        metrics: what the training run measured (docs/train.md).
    """

    name: str
    folder: Path
    metrics: dict[str, Any]

    @property
    def model(self) -> Path:
        """The QONNX file."""
        return self.folder / "model.onnx"

    @property
    def recipe(self) -> Path:
        """How it was trained."""
        return self.folder / "recipe.toml"


def entries() -> list[Entry]:
    """All networks, by name."""
    return [
        Entry(path.parent.name, path.parent, json.loads(path.read_text(encoding="utf-8")))
        for path in sorted(HERE.glob("*/metrics.json"))
    ]


def entry(name: str) -> Entry:
    """One network. Raises KeyError."""
    return {e.name: e for e in entries()}[name]
