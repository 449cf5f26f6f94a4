# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Two-stage one-class detection: area under the ROC curve of float features and of W4A8 integers, over seeds.

Rotation and contrastive learning on scikit-learn's digits (each class normal in turn), CutPaste on tiles of blood-cell
photographs (BCCD, given with --bccd). The integer figures come from the exported file in the fast simulator, and the
second stage is fitted on those integers' features. Needs the extra ``qat``: `make bench-one-class`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from bitwright.quant.recipe import Recipe, parse_recipe


def digits(pretext: str, normal: str, seed: int, epochs: int) -> Recipe:
    """A small depthwise-separable network on 8 x 8 pixels."""
    phase = {"batch_size": 32, "learning_rate": 3e-3, "epochs": epochs}
    return parse_recipe(
        {
            "name": f"digits-{pretext}",
            "seed": seed,
            "threads": 1,
            "task": {"name": "one_class", "format": "digits", "normal": [normal], "pretext": pretext},
            "model": {
                "name": "separable_classifier",
                "classes": 0,
                "stem": 16,
                "channels": [32, 32, 64],
                "strides": [1, 2, 1],
            },
            "quantization": {"input_max": 1.0625},
            "augmentation": {"shift_pixels": 0.6, "scale": 0.08},
            "float_training": phase,
            "qat": phase | {"epochs": max(1, epochs // 3), "learning_rate": 1e-3},
        },
        "bench_one_class",
    )


def blood_tiles(pretext: str, data: Path, seed: int, epochs: int, threads: int = 0) -> Recipe:
    """MobileNetV2, width 0.25, on tiles of 160 pixels, shrunk to 64: normal ones show no white cell."""
    phase = {"batch_size": 32, "learning_rate": 2e-3, "epochs": epochs}
    return parse_recipe(
        {
            "name": f"blood-{pretext}",
            "seed": seed,
            "threads": threads,
            "task": {
                "name": "one_class",
                "format": "voc_tiles",
                "data": str(data),
                "train_split": "trainval",
                "normal": ["RBC", "Platelets"],
                "patch": 160,
                "pretext": pretext,
                "train_limit": 600,
                "scenes": 4,
                "on_bad_sample": "skip",
            },
            "model": {"name": "mobilenet", "width": 0.25, "resolution": 64, "classes": 0},
            "quantization": {"first_weight_bits": 8},
            "augmentation": {"flip": True, "flip_vertical": True, "colour": 0.1},
            "float_training": phase,
            "qat": phase | {"epochs": max(1, epochs // 3), "learning_rate": 5e-4},
        },
        "bench_one_class",
    )


def runs(options: argparse.Namespace) -> Iterator[tuple[str, str, Recipe]]:
    """Pretext task, what is normal, recipe."""
    for seed in range(1, options.seeds + 1):
        for pretext in ("rotation", "contrastive"):
            for normal in filter(None, options.digits.split(",")):
                yield f"{pretext}, digits", normal, digits(pretext, normal, seed, options.epochs)
        if options.bccd is not None:
            for pretext in ("cutpaste", "cutpaste_3way"):
                yield (
                    f"{pretext}, blood tiles",
                    "RBC, Platelets",
                    blood_tiles(pretext, options.bccd, seed, options.tile_epochs, options.threads),
                )


def measure(recipe: Recipe) -> dict[str, dict[str, float]]:
    """Train; figures in float and in integers."""
    from bitwright.cli.evaluation import integer_runner
    from bitwright.compile.frontend import import_model
    from bitwright.quant.run import export_trained
    from bitwright.quant.train import train

    with tempfile.TemporaryDirectory() as folder:
        trained = train(recipe, Path(folder) / "checkpoint.pt")
        export_trained(trained, recipe.exporter, Path(folder) / "model.onnx")
        run = integer_runner(import_model(Path(folder) / "model.onnx"))
        return {"float": trained.metrics["float"], "integers": trained.task.figures(run)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=30, help="float epochs on digits; a third of it quantized")
    parser.add_argument("--tile-epochs", type=int, default=12, help="the same on tiles")
    parser.add_argument("--threads", type=int, default=0, help="of torch on tiles; 0 takes all cores")
    parser.add_argument("--digits", default="0,1,2,3,4,5,6,7,8,9", help="classes that are normal in turn; empty: none")
    parser.add_argument("--bccd", type=Path, help="folder of BCCD in the layout of Pascal VOC")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    found: dict[str, dict[int, list[dict[str, Any]]]] = {}
    for title, normal, recipe in runs(options):
        figures = measure(recipe)
        found.setdefault(title, {}).setdefault(recipe.seed, []).append({"normal": normal, **figures})
        shown = {form: round(f["auc_gaussian"], 4) for form, f in figures.items()}
        print(f"seed {recipe.seed}, {title}, normal {normal}: {shown}", file=sys.stderr, flush=True)
    table = Table(title=f"area under the ROC curve (x100), mean ± std over {options.seeds} seeds", title_justify="left")
    for column in ("pretext task", "form", "Gaussian", "KDE", "OC-SVM"):
        table.add_column(column)
    summary = []
    for title, by_seed in found.items():
        for form in ("float", "integers"):
            row: dict[str, Any] = {"task": title, "form": form}
            for detector in ("gaussian", "kde", "ocsvm"):
                means = [np.mean([r[form][f"auc_{detector}"] for r in rows]) for rows in by_seed.values()]
                row[detector] = {"mean": float(np.mean(means)), "std": float(np.std(means))}
            summary.append(row)
            cells = [f"{100 * row[d]['mean']:.2f} ± {100 * row[d]['std']:.2f}" for d in ("gaussian", "kde", "ocsvm")]
            table.add_row(title, "float" if form == "float" else "W4A8 integers", *cells)
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps({"summary": summary, "runs": found}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
