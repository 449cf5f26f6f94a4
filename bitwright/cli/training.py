# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""What the commands of the training side do: train, export, evaluate, models."""

from __future__ import annotations

import json as json_module
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from bitwright.cli.files import UsageError


def _quiet_brevitas() -> None:
    # Brevitas warns at import about optional packages and its own deprecations: nothing that a user can act on.
    warnings.filterwarnings("ignore", module=r"brevitas\.")


# train --------------------------------------------------------------------------------------------------------------


def train(
    recipe_path: Path, output: Path, data: Path | None, changes: Sequence[str], float_from: Path | None,
    weights: Path | None, resume: bool, force: bool, json: bool,
) -> None:  # fmt: skip
    """Train a recipe into a folder."""
    from bitwright.quant.missing import require_qat
    from bitwright.quant.recipe import load_recipe

    recipe = load_recipe(recipe_path, changes)
    require_qat()
    _quiet_brevitas()
    from bitwright.quant.run import run
    from bitwright.quant.train import at_data

    recipe = at_data(recipe, str(data.resolve()) if data is not None else "")
    with _bars(json) as progress:
        try:
            result = run(
                recipe, output, resume=resume, force=force, float_from=float_from, weights=weights,
                report=_Reporter(progress, recipe.name),
            )  # fmt: skip
        except KeyboardInterrupt:
            progress.stop()
            print(f"bitwright: interrupted; --resume continues from the last whole epoch in {output}", file=sys.stderr)
            raise SystemExit(130) from None
    if json:
        print(json_module.dumps(result))
        return
    console = Console(highlight=False)
    console.print(_scores(result["metric"], {"float": result["float"], "QAT": result["qat"]}, recipe.name))
    if result["data"].get("skipped"):
        console.print(f"{len(result['data']['skipped'])} samples were left out; metrics.json names them", markup=False)
    console.print(str(output / ("settings" if "settings" in result else "model.onnx")), markup=False)


def _bars(quiet: bool) -> Progress:
    """Progress on standard error, so that standard output holds the result alone."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[facts]}"),
        console=Console(stderr=True),
        disable=quiet,
    )


class _Reporter:
    """Shows one bar for each phase."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress = progress
        self._name = name
        self._bars: dict[str, TaskID] = {}

    def __call__(self, epoch: Any) -> None:
        if epoch.phase not in self._bars:
            title = f"{self._name} {epoch.phase}"
            self._bars[epoch.phase] = self._progress.add_task(title, total=epoch.epochs, facts="")
        facts = f"loss {epoch.loss:.4f}"
        if epoch.validation_loss is not None:
            facts += f", validation {epoch.validation_loss:.4f}"
        facts += f", {epoch.samples_per_second:.1f} images/s"
        self._progress.update(self._bars[epoch.phase], completed=epoch.epoch, facts=facts)


# export -------------------------------------------------------------------------------------------------------------


def export(
    checkpoint: Path, output: Path, data: Path | None, exporter: str, packed: bool | None, force: bool, json: bool
) -> None:
    """Export a finished run."""
    from bitwright.quant.missing import require_qat
    from bitwright.quant.recipe import EXPORTERS

    known = {str(name): name for name in EXPORTERS}
    if exporter and exporter not in known:
        raise UsageError(f"--exporter: must be one of {', '.join(EXPORTERS)}, got '{exporter}'")
    if output.exists() and not force:
        raise UsageError(f"{output}: exists and is not overwritten; --force replaces it")
    require_qat()
    _quiet_brevitas()
    from bitwright.quant.run import export_trained
    from bitwright.quant.train import restore

    trained = restore(checkpoint, str(data.resolve()) if data is not None else "")
    chosen = known.get(exporter, trained.recipe.exporter)
    result = export_trained(trained, chosen, output, packed=packed)
    if json:
        print(json_module.dumps(result))
        return
    if "settings" in result:
        for setting in result["settings"]:
            print(
                f"{output / setting['file']}: {setting['macs']:,} MACs, accuracy float "
                f"{setting['accuracy_float']:.4f}, QAT {setting['accuracy_qat']:.4f}"
            )
        return
    verified = result["verified"]
    print(
        f"{output}: {result['file_bytes']:,} bytes, {chosen}; equal to the torch network on {verified['images']} test "
        f"samples, {verified['explained']} of them up to rounding ties"
    )


# evaluate -----------------------------------------------------------------------------------------------------------


def evaluate(source: Path, data: Path | None, pictures: Path | None, json: bool) -> None:
    """The task's figures for every form of a network that can run here."""
    from bitwright.cli.evaluation import evaluate_source

    result = evaluate_source(source, str(data.resolve()) if data is not None else "", pictures)
    if json:
        print(json_module.dumps(result))
        return
    console = Console(highlight=False)
    console.print(_scores(result["metric"], result["figures"], f"{source.name}, {result['test_samples']} test samples"))
    if result.get("pictures"):
        console.print(f"{len(result['pictures'])} pictures in {pictures}", markup=False)


def _scores(metric: str, forms: dict[str, dict[str, float]], title: str) -> Table:
    """One row for each figure, the main one first; one column for each form."""
    table = Table(title=title, title_justify="left")
    table.add_column("figure")
    for form in forms:
        table.add_column(form, justify="right")
    names = dict.fromkeys(n for figures in forms.values() for n in figures)
    for name in [metric, *(n for n in names if n != metric)]:
        table.add_row(name, *(f"{f[name]:.4f}" if name in f else "" for f in forms.values()))
    return table


# models -------------------------------------------------------------------------------------------------------------


def models(json: bool) -> None:
    """The zoo."""
    from bitwright.quant.recipe import load_recipe
    from bitwright.zoo import entries

    found = []
    for entry in entries():
        recipe, m = load_recipe(entry.recipe), entry.metrics
        found.append(
            {
                "name": entry.name,
                "task": recipe.task.name,
                "bits": f"W{recipe.quantization.weight_bits}A{recipe.quantization.act_bits}",
                "file_bytes": entry.model.stat().st_size,
                "macs": m["macs"],
                "weights": m["weights"],
                "metric": m["metric"],
                "float": m["float"][m["metric"]],
                "quantized": m["qat"][m["metric"]],
                "data": recipe.about.data,
                "licence": recipe.about.licence,
                "recipe": str(entry.recipe),
                "model": str(entry.model),
            }
        )
    if json:
        print(json_module.dumps(found))
        return
    table = Table(title="networks in the repository", title_justify="left")
    for column in ("name", "task", "bits", "file", "MACs", "metric", "float", "quantized", "licence"):
        table.add_column(column)
    for e in found:
        table.add_row(
            e["name"], e["task"], e["bits"], f"{e['file_bytes'] / 1024:.0f} KiB",
            f"{e['macs'] / 1e6:.2f} M", e["metric"],
            f"{e['float']:.4f}", f"{e['quantized']:.4f}", e["licence"],
        )  # fmt: skip
    console = Console(highlight=False)
    console.print(table)
    for e in found:
        console.print(f"{e['name']}: {e['recipe']}", markup=False, soft_wrap=True)


def published(json: bool) -> None:
    """Parameters and MACs of the published networks, counted here, beside the figures in print."""
    from bitwright.quant.missing import require_qat

    require_qat()
    from bitwright.quant.published import count_published

    rows = count_published()
    if json:
        print(json_module.dumps(rows))
        return
    table = Table(title="published networks", title_justify="left")
    for column in (
        "network",
        "parameters, counted",
        "published",
        "MACs, counted",
        "as TensorFlow computes",
        "published",
    ):
        table.add_column(column, justify="left" if column == "network" else "right")
    for row in rows:
        table.add_row(
            row["network"], f"{row['parameters'] / 1e6:.3f} M", f"{row['published_parameters']:g} M",
            f"{row['macs'] / 1e9:.4f} G", f"{row['macs_in_blocks'] / 1e9:.4f} G", f"{row['published_macs']:g} G",
        )  # fmt: skip
    Console(highlight=False).print(table)
