# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The command line of the training side: ``python -m bitwright.quant``."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from bitwright.errors import BitwrightError
from bitwright.quant.missing import require_qat
from bitwright.quant.recipe import EXPORTERS, load_recipe

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe (docs/train.md).", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object on standard output.")]


@app.callback()
def _root() -> None:
    """Quantization-aware training with Brevitas and export to QONNX."""


@app.command()
def train(
    recipe_path: RecipePath,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for model.onnx, metrics.json, checkpoint.pt.")],
    resume: Annotated[bool, typer.Option("--resume", help="Continue the interrupted run in the folder.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace results that are in the folder.")] = False,
    as_json: Json = False,
) -> None:
    """Train a recipe in float, then quantized; export, verify and score the result."""
    recipe = load_recipe(recipe_path)
    require_qat()
    from bitwright.quant.run import run

    with _progress(as_json) as progress:
        try:
            result = run(recipe, output, resume=resume, force=force, report=_reporter(progress))
        except KeyboardInterrupt:
            progress.stop()
            typer.echo(f"interrupted; --resume continues from the last whole epoch in {output}", err=True)
            raise typer.Exit(130) from None
    if as_json:
        typer.echo(json.dumps(result))
        return
    typer.echo(
        f"{recipe.name}: {result['metric']} on {result['test_images']} test images: "
        f"float {result['float']:.4f}, quantized {result['qat']:.4f}\n{output / 'model.onnx'}"
    )


@app.command()
def export(
    recipe_path: RecipePath,
    checkpoint: Annotated[Path, typer.Option(help="checkpoint.pt of a finished run of the recipe.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The ONNX file to write.")],
    exporter: Annotated[str, typer.Option(help="torchscript or dynamo; the recipe decides without it.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    as_json: Json = False,
) -> None:
    """Export a finished run again, by either exporter."""
    recipe = load_recipe(recipe_path)
    chosen = {str(name): name for name in EXPORTERS}.get(exporter or recipe.exporter)
    if chosen is None:
        raise BitwrightError(f"--exporter: must be one of {', '.join(EXPORTERS)}, got '{exporter}'")
    if output.exists() and not force:
        raise BitwrightError(f"{output}: exists and is not overwritten; --force replaces it")
    require_qat()
    from bitwright.quant.run import export_trained
    from bitwright.quant.train import restore

    result = export_trained(restore(recipe, checkpoint), chosen, output)
    typer.echo(json.dumps(result) if as_json else f"{output} ({chosen}): {result['metric']} {result['qat']:.4f}")


def _progress(quiet: bool) -> Progress:
    """Progress on standard error, so that standard output holds the result alone."""
    return Progress(
        TextColumn("{task.description:6}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[losses]}"),
        console=Console(stderr=True),
        disable=quiet,
    )


class _reporter:
    """Shows one bar for each phase."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[str, TaskID] = {}

    def __call__(self, phase: str, epoch: int, epochs: int, loss: float, validation: float | None) -> None:
        if phase not in self._bars:
            self._bars[phase] = self._progress.add_task(phase, total=epochs, losses="")
        losses = f"loss {loss:.4f}" + ("" if validation is None else f", validation {validation:.4f}")
        self._progress.update(self._bars[phase], completed=epoch, losses=losses)


def main() -> None:
    """Entry point: errors of bitwright are one message on standard error and exit code 2."""
    # Brevitas warns at import about optional packages and its own deprecations: nothing that a user can act on.
    warnings.filterwarnings("ignore", module=r"brevitas\.")
    try:
        app()
    except BitwrightError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
