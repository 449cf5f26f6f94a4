# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Train both digits recipes again, replace the committed files: ``python -m bitwright.zoo.rebuild_digits`` (minutes).

Writes model.onnx and metrics.json into zoo/digits-*, and the files of the other exporter to tests/data. Needs the extra
``qat`` and a checkout. Runs are kept below out/digits: a second call resumes or reuses them; --fresh starts over.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from bitwright.quant.files import write_atomically
from bitwright.quant.missing import require_qat
from bitwright.quant.recipe import EXPORTERS, Recipe, load_recipe, parse_recipe

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
WORK = ROOT / "out" / "digits"


def rebuild(name: str, fresh: bool) -> dict[str, Any]:
    """Train one recipe and export it by both exporters; the content of metrics.json."""
    from bitwright.quant.run import export_trained

    folder = HERE / f"digits-{name}"
    recipe = load_recipe(folder / "recipe.toml")
    trained = _train(recipe, WORK / f"{name}.pt", fresh)
    facts = export_trained(trained, recipe.exporter, folder / "model.onnx")
    (other,) = (e for e in EXPORTERS if e != recipe.exporter)
    path = ROOT / "tests" / "data" / f"digits_{name}_{other}.onnx"
    fixture = export_trained(trained, other, path)
    facts["other_exporter"] = {"exporter": other, "file": path.name, "sha256": fixture["sha256"]}
    return facts


def compare_unseen_classes(fresh: bool) -> dict[str, float]:
    """Area under the ROC curve of the float autoencoder for every choice of the unseen class, same settings."""
    table = {}
    for digit in range(10):
        data = load_recipe(HERE / "digits-autoencoder" / "recipe.toml").model_dump()
        data["task"]["unseen_class"] = digit
        data["qat"]["epochs"] = 0
        recipe = parse_recipe(data, f"digits-autoencoder, unseen class {digit}")
        trained = _train(recipe, WORK / f"autoencoder-float-{digit}.pt", fresh)
        table[str(digit)] = trained.metrics["float"][trained.task.metric]
        print(f"unseen class {digit}: {table[str(digit)]:.4f}", file=sys.stderr)
    return table


def _train(recipe: Recipe, checkpoint: Path, fresh: bool) -> Any:
    from bitwright.quant.train import train

    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    return train(recipe, checkpoint, resume=checkpoint.exists() and not fresh)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--fresh", action="store_true", help="ignore earlier runs in out/digits")
    fresh = parser.parse_args().fresh
    require_qat()
    metrics = {name: rebuild(name, fresh) for name in ("classifier", "autoencoder")}
    metrics["autoencoder"]["float_by_unseen_class"] = compare_unseen_classes(fresh)
    for name, facts in metrics.items():
        write_atomically(HERE / f"digits-{name}" / "metrics.json", (json.dumps(facts, indent=2) + "\n").encode())


if __name__ == "__main__":
    main()
