# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The commands and their options; the work is done elsewhere.

Annotations are no strings here (`from __future__ import annotations`): typer evaluates those of all commands at start.
"""

import enum
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="bitwright",
    help="Quantized neural networks to Zynq boards: the same integers at every stage.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
bench = typer.Typer(no_args_is_help=True, help="Measure.")
app.add_typer(bench, name="bench")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Shape = Annotated[
    list[str] | None,
    typer.Option("--shape", metavar="NAME=1,3,32,32", help="Fix the shape of a dynamic input, batch first."),
]
Model = Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="QONNX, QDQ or QLinear model.")]
BundleDir = Annotated[Path, typer.Argument(metavar="OUT", help="Folder written by `bitwright compile`.")]
Input = Annotated[
    list[str] | None,
    typer.Option("--input", metavar="[NAME=]x.npy", help="Model inputs, batch first; default: the golden inputs."),
]


class Engine(enum.StrEnum):
    """Ways to run a compiled model."""

    reference = "reference"
    fast = "fast"
    csim = "csim"
    finn = "finn"
    program = "program"
    rtl = "rtl"


class Device(enum.StrEnum):
    """What the host runtime drives."""

    auto = "auto"
    sim = "sim"
    pynq = "pynq"
    remote = "remote"
    served = "served"
    uart = "uart"


class Wait(enum.StrEnum):
    """How the runtime waits for the end of a frame."""

    auto = "auto"
    interrupt = "interrupt"
    poll = "poll"


class BoardEngine(enum.StrEnum):
    """What stands for the engine on the simulated board."""

    program = "program"
    rtl = "rtl"


DeviceOption = Annotated[
    Device,
    typer.Option(help="auto: the board if this is one, else sim. remote, served, uart: a board elsewhere (--address)."),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        "--url",
        metavar="WHERE",
        help="Of a board elsewhere. remote (PYNQ.remote): name or IP; served (bitwright serve): URL; uart: its port.",
    ),
]
WaitOption = Annotated[Wait, typer.Option(help="For the end of a frame; auto: by interrupt where there is one.")]


@app.command()
def check(model: Model, shape: Shape = None, json: Json = False) -> None:
    """Say what is in a model, which backends take it, and why not."""
    from bitwright.cli import commands

    commands.check(model, shape or [], json)


@app.command("compile")
def compile_(
    model: Model,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="Folder to write.")],
    board: Annotated[str, typer.Option(help="Board name; `bitwright boards` lists them.")] = "pynq-z2",
    backend: Annotated[str, typer.Option(help="Backend name.")] = "hls4ml",
    config: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="Options of the backend (docs/hls4ml.md).")
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", "-O", metavar="KEY=VALUE", help="One option of the backend.")
    ] = None,
    fps: Annotated[
        float | None, typer.Option(metavar="N", help="finn: frames per second to fold for; the same as -O fps=N.")
    ] = None,
    golden: Annotated[
        list[str] | None, typer.Option("--golden", metavar="[NAME=]x.npy", help="Inputs to keep as golden vectors.")
    ] = None,
    shape: Shape = None,
    force: Annotated[bool, typer.Option("--force", help="Replace OUT if it is a bundle.")] = False,
    json: Json = False,
) -> None:
    """Turn a model into a bundle: exact integer program, backend project, golden vectors."""
    from bitwright.cli import commands

    options = [*(option or []), *([] if fps is None else [f"fps={fps:g}"])]
    commands.compile_model(model, out, board, backend, config, options, golden or [], shape or [], force, json)


@app.command()
def simulate(
    bundle: BundleDir,
    engine: Annotated[Engine, typer.Option(help="Which simulator.")] = Engine.fast,
    input: Input = None,
    output: Annotated[
        list[str] | None, typer.Option("--output", metavar="[NAME=]y.npy", help="Where to write model outputs.")
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Write integers instead of the model's real numbers.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite output files.")] = False,
    stall_seed: Annotated[
        int | None, typer.Option("--stalls", metavar="SEED", help="rtl: random stalls on every AXI channel.")
    ] = None,
    json: Json = False,
) -> None:
    """Run a compiled model on an engine."""
    from bitwright.cli import commands

    commands.simulate(bundle, engine.value, input or [], output or [], raw, force, json, stall_seed)


@app.command()
def verify(
    bundle: BundleDir,
    input: Input = None,
    layers: Annotated[
        bool, typer.Option("--layers", help="Engine backend: compare every layer of the first frame instead.")
    ] = False,
    json: Json = False,
) -> None:
    """Run every engine at hand and compare all integers by equality; exit code 1 on any difference."""
    from bitwright.cli import commands

    raise typer.Exit(commands.verify(bundle, input or [], json, layers))


@app.command()
def estimate(
    model: Model,
    board: Annotated[str, typer.Option(help="Board name; `bitwright boards` lists them.")] = "pynq-z2",
    backend: Annotated[str, typer.Option(help="Backend name.")] = "engine",
    option: Annotated[
        list[str] | None, typer.Option("--option", "-O", metavar="KEY=VALUE", help="One option of the backend.")
    ] = None,
    shape: Shape = None,
    json: Json = False,
) -> None:
    """Cycles, frames per second, resources and traffic of a model on a board, before any synthesis."""
    from bitwright.cli.loading import quick_loading

    with quick_loading():
        from bitwright.cli import estimate as commands

    commands.estimate(model, board, backend, option or [], shape or [], json)


@app.command()
def explore(
    model: Model,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="OUT", help="Folder for report, figures and configs.")
    ] = None,
    board: Annotated[str, typer.Option(help="Board name; `bitwright boards` lists them.")] = "pynq-z2",
    backend: Annotated[str, typer.Option(help="engine, hls4ml, finn, or auto: compare all.")] = "auto",
    fps: Annotated[float | None, typer.Option(min=1e-3, help="Cheapest design with so many frames per second.")] = None,
    max_: Annotated[str | None, typer.Option("--max", metavar="fps", help="Fastest design (the default).")] = None,
    min_: Annotated[str | None, typer.Option("--min", metavar="energy", help="Least energy proxy.")] = None,
    risk: Annotated[str, typer.Option(help="low: the upper ends of all ranges must fit; even: the middles.")] = "low",
    accuracy: Annotated[str | None, typer.Option(metavar="METRIC>=X", help="top1, agreement, snr or your own.")] = None,
    trials: Annotated[int, typer.Option(min=0, help="Search weight bits too, with so many trials.")] = 0,
    data: Annotated[list[str] | None, typer.Option(metavar="[NAME=]x.npy", help="Frames to measure on.")] = None,
    labels: Annotated[Path | None, typer.Option(metavar="y.npy", help="One integer a frame, for top1.")] = None,
    evaluate: Annotated[
        str, typer.Option(metavar="COMMAND", help="Measures instead; {config} is the file with weight_bits.")
    ] = "",
    storage: Annotated[
        str | None, typer.Option(metavar="FILE|URL", help="Keep the trials there and continue them.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Trials at a time.")] = 1,
    dask: Annotated[str, typer.Option(metavar="ADDRESS", help="Run trials on this Dask cluster.")] = "",
    option: Annotated[
        list[str] | None, typer.Option("--option", "-O", metavar="[BACKEND.]KEY=VALUE", help="One option of a backend.")
    ] = None,
    shape: Shape = None,
    force: Annotated[bool, typer.Option("--force", help="Replace OUT if it is an earlier result.")] = False,
    json: Json = False,
) -> None:
    """Find the best hardware for a model on a board, with a certificate; exit code 1 if nothing fits."""
    from bitwright.cli import explore as commands

    ask = commands.Request(
        board, backend, fps, max_, min_, risk, accuracy, data or [], labels, evaluate, trials, storage, jobs, dask,
        option or [], shape or [],
    )  # fmt: skip
    raise typer.Exit(commands.explore(model, out, ask, force, json))


@bench.command("engine")
def bench_engine(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]", help="Files, or names of the zoo and its structures; default: CoDeNet a-e, MobileNetV2."
        ),
    ] = None,
    board: Annotated[list[str] | None, typer.Option("--board", help="Boards; default: ultra96-v2 and pynq-z2.")] = None,
    json: Json = False,
) -> None:
    """Frames per second of models on the engine, from RTL simulation with the board's DRAM model."""
    from bitwright.cli import engine as commands

    raise typer.Exit(commands.bench(models or [], board or ["ultra96-v2", "pynq-z2"], json))


@app.command("build")
def build_(
    bundle: BundleDir,
    route: Annotated[str | None, typer.Option(help="vivado, openxc7 or yowasp (docs/build.md).")] = None,
    reuse: Annotated[
        Path | None, typer.Option(metavar="OTHER", help="Engine: take the bitstream of another bundle instead.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Skip the steps that are done.")] = False,
    until: Annotated[str | None, typer.Option(metavar="STEP", help="Stop after this step.")] = None,
    clock_mhz: Annotated[
        float | None, typer.Option(min=1, max=1000, help="Of the programmable logic; default: the bundle's or route's.")
    ] = None,
    json: Json = False,
) -> None:
    """Make the bitstream of a bundle: named steps, logs and reports in OUT/build/ROUTE."""
    from bitwright.cli import build

    build.run(bundle, route, reuse, resume, until, clock_mhz, json)


@app.command()
def run(
    bundle: BundleDir,
    device: DeviceOption = Device.auto,
    address: Address = None,
    wait: WaitOption = Wait.auto,
    input: Input = None,
    output: Annotated[
        list[str] | None, typer.Option("--output", metavar="[NAME=]y.npy", help="Where to write model outputs.")
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Integers instead of the model's real numbers.")] = False,
    engine: Annotated[
        BoardEngine, typer.Option(help="What the simulated board has behind the engine's registers.")
    ] = BoardEngine.program,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="Compare the golden outputs, value by value, and nothing else.")
    ] = False,
    benchmark: Annotated[
        int | None, typer.Option(min=1, metavar="FRAMES", help="Time every stage of so many frames, and nothing else.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite output files.")] = False,
    json: Json = False,
) -> None:
    """Run a bundle through the host runtime, on a board or on the simulated board (docs/run.md)."""
    from bitwright.cli import run as commands

    place = commands.Place(device.value, address, wait.value, engine.value)
    if self_test:
        commands.self_test(bundle, place, json)
    elif benchmark is not None:
        commands.benchmark(bundle, place, benchmark, json)
    else:
        commands.run(bundle, place, input or [], output or [], raw, force, json)


@app.command()
def serve(
    bundle: BundleDir,
    device: DeviceOption = Device.auto,
    address: Address = None,
    wait: WaitOption = Wait.auto,
    host: Annotated[str, typer.Option(help="Address to listen on; anyone who reaches it may use it.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8080,
    queue: Annotated[int, typer.Option(min=1, help="Requests that may wait; others are told to come back.")] = 16,
) -> None:
    """Serve frames over HTTP: POST an .npy to /run (docs/run.md)."""
    from bitwright.cli import run as commands

    commands.serve(bundle, commands.Place(device.value, address, wait.value), host, port, queue)


DataDir = Annotated[Path | None, typer.Option("--data", metavar="FOLDER", help="Where the data of the task lie.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.toml", help="What to train (docs/train.md).")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="Folder for model, metrics and checkpoint.")],
    data: DataDir = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe, such as qat.epochs=3.")
    ] = None,
    float_from: Annotated[
        Path | None,
        typer.Option(metavar="CHECKPOINT", help="Take the float weights of another run instead of training them."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(metavar="FILE.pth", help="Backbone weights under torchvision's names to start from.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the interrupted run in OUT.")] = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Train a recipe in float, then quantized; export, verify and score the result."""
    from bitwright.cli import training

    training.train(recipe, out, data, set_ or [], float_from, weights, resume, force, json)


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="checkpoint.pt of a finished run.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="MODEL.onnx", help="QONNX file to write.")],
    data: DataDir = None,
    exporter: Annotated[str, typer.Option(help="torchscript or dynamo; default: the recipe's.")] = "",
    packed: Annotated[
        bool | None, typer.Option("--packed/--plain", help="Weights in their own width; default: the recipe's choice.")
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write the QONNX file of a finished run, compared with the torch network first."""
    from bitwright.cli import training

    training.export(checkpoint, out, data, exporter, packed, force, json)


@app.command()
def evaluate(
    source: Annotated[Path, typer.Argument(metavar="MODEL.onnx|CHECKPOINT", help="An exported model, or a run.")],
    data: DataDir = None,
    pictures: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Draw the results of the integer network.")
    ] = None,
    json: Json = False,
) -> None:
    """The task's figures of merit in float, QAT and integers, side by side."""
    from bitwright.cli import training

    training.evaluate(source, data, pictures, json)


@app.command()
def models(
    published: Annotated[
        bool, typer.Option("--published", help="Count the published networks instead, beside the figures in print.")
    ] = False,
    json: Json = False,
) -> None:
    """The trained networks in the repository."""
    from bitwright.cli import training

    if published:
        training.published(json)
    else:
        training.models(json)


@app.command()
def boards(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One board, with the sources.")] = None,
    json: Json = False,
) -> None:
    """The boards: what they hold, and with a name, where each figure comes from."""
    from bitwright.cli import boards as boards_command

    boards_command.boards(name, json)


@app.command()
def doctor(json: Json = False) -> None:
    """List tools and packages: what is there, and what each missing one would enable."""
    from bitwright.cli import doctor as doctor_command

    doctor_command.doctor(json)


def _version(value: bool) -> None:
    if value:
        from bitwright import __version__

        print(f"bitwright {__version__}")
        raise typer.Exit()


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    boards: Annotated[
        Path | None, typer.Option("--boards", metavar="DIR", help="Folder of board files of yours (docs/boards.md).")
    ] = None,
) -> None:
    """Options of all commands."""
    if boards is not None:
        import os

        os.environ["BITWRIGHT_BOARDS"] = str(boards)


def main() -> None:
    """Entry point. Errors of the user's making are one clear message and exit code 2."""
    from bitwright.errors import BitwrightError

    json = "--json" in sys.argv[1:]
    try:
        app()
    except BitwrightError as error:
        _fail(str(error), type(error).__name__, json)
    except KeyboardInterrupt:
        _fail("interrupted", "KeyboardInterrupt", json, code=130)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _fail(f"{place}{error.strerror or error}", type(error).__name__, json)


def _fail(message: str, kind: str, json: bool, code: int = 2) -> None:
    if json:
        import json as json_module

        print(json_module.dumps({"error": {"kind": kind, "message": message}}))
    else:
        print(f"bitwright: {message}", file=sys.stderr)
    sys.exit(code)
