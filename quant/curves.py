# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The loss over the epochs, as a picture."""

from __future__ import annotations

import io
from typing import Any


def draw_curves(title: str, history: list[dict[str, Any]]) -> bytes:
    """An SVG with one panel for each phase: training loss, validation loss where there is one."""
    import matplotlib

    matplotlib.use("Agg")
    # Fixed ids and no date: the same history gives the same file.
    matplotlib.rcParams["svg.hashsalt"] = "bitwright"
    from matplotlib.figure import Figure

    phases = list(dict.fromkeys(entry["phase"] for entry in history)) or ["float"]
    figure = Figure(figsize=(5 * len(phases), 3.2), layout="constrained")
    for k, phase in enumerate(phases):
        axes = figure.add_subplot(1, len(phases), k + 1)
        mine = [entry for entry in history if entry["phase"] == phase]
        epochs = [entry["epoch"] for entry in mine]
        axes.plot(epochs, [entry["loss"] for entry in mine], label="training")
        if any(entry["validation_loss"] is not None for entry in mine):
            axes.plot(epochs, [entry["validation_loss"] for entry in mine], label="validation")
            axes.legend()
        axes.set(title=f"{title}: {phase}", xlabel="epoch", ylabel="loss")
        axes.grid(alpha=0.3)
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()
