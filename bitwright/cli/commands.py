# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""What the commands do; text for people, one JSON object for machines."""

from __future__ import annotations

import json as json_module
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bitwright.cli.files import UsageError, backend_options, load_arrays, parse_shapes, save_arrays
from bitwright.errors import BitwrightError, UnsupportedModelError
from bitwright.host import Bundle, HostError, load_bundle
from bitwright.host.convert import from_integers, to_integers


def _print_json(value: Any) -> None:
    print(json_module.dumps(value))


@contextmanager
def host_errors() -> Iterator[None]:
    """The host package stands alone; here its errors join ours."""
    try:
        yield
    except HostError as error:
        raise BitwrightError(str(error)) from None


@contextmanager
def progress_bar(title: str, json: bool) -> Iterator[Any]:
    """A progress callback (done, all); silent for machines and for pipes."""
    if json:
        yield lambda done, total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(title, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


# check --------------------------------------------------------------------------------------------------------------


def check(model: Path, shapes: Sequence[str], json: bool) -> None:
    """Report on a model; UnsupportedModelError when nothing can take it."""
    from bitwright.compile.backends import backend_names, load_backend
    from bitwright.compile.frontend import import_model

    try:
        graph = import_model(model, parse_shapes(shapes))
    except UnsupportedModelError as error:
        if json:
            problems = [dict(zip(("node", "operator", "reason"), p, strict=True)) for p in error.problems]
            _print_json({"model": str(model), "supported": False, "problems": problems})
            raise SystemExit(2) from None
        raise
    backends = {}
    for name in backend_names():
        backend = load_backend(name)
        report = backend.supports(graph, backend.options({}))
        backends[name] = [f"{node} ({op}): {why}" for node, op, why in report.refused]
    costs = [n.cost(graph.inputs_of(n), graph.tensors[n.output]) for n in graph.nodes]
    widest = max((graph.tensors[n.output] for n in graph.nodes), key=lambda t: t.itype.bits, default=None)
    facts = {
        "model": str(model),
        "supported": True,
        "inputs": [_input_facts(graph, i) for i in graph.inputs],
        "outputs": [
            {"name": o.name, "shape": list(o.shape), "type": str(graph.tensors[o.tensor].itype),
             "host": [h.op for h in o.host_ops]} for o in graph.outputs
        ],
        "operators": dict(Counter(n.op for n in graph.nodes)),
        "macs_per_frame": sum(c.macs for c in costs),
        "weights": sum(c.weights for c in costs),
        "weight_bits": sum(c.weight_bits for c in costs),
        "widest": {"tensor": widest.name, "type": str(widest.itype)} if widest else None,
        "backends": backends,
        "notes": list(graph.notes),
    }  # fmt: skip
    if json:
        _print_json(facts)
        return
    _print_facts(facts)


def _input_facts(graph: Any, i: Any) -> dict[str, Any]:
    tensor = graph.tensors[i.tensor]
    host = None
    if i.quantize is not None:
        host = f"scale {float(i.quantize.scale):.6g}, zero point {i.quantize.zero_point}, {i.quantize.rounding}"
    return {"name": i.name, "shape": list(i.shape), "type": str(tensor.itype), "host_quantizes": host}


def _print_facts(facts: dict[str, Any]) -> None:
    console = Console(highlight=False)
    for i in facts["inputs"]:
        host = f", the host quantizes: {i['host_quantizes']}" if i["host_quantizes"] else ""
        console.print(f"input   {i['name']} {i['shape']} {i['type']}{host}", markup=False)
    for o in facts["outputs"]:
        host = f", the host computes {', '.join(o['host'])}" if o["host"] else ""
        console.print(f"output  {o['name']} {o['shape']} {o['type']}{host}", markup=False)
    console.print("nodes   " + ", ".join(f"{n} {op}" for op, n in facts["operators"].items()), markup=False)
    console.print(
        f"work    {facts['macs_per_frame']:,} MACs per frame, {facts['weights']:,} weights "
        f"({facts['weight_bits'] / 8 / 1024:.1f} KiB)"
    )
    if facts["widest"]:
        console.print(f"widest  {facts['widest']['type']} ({facts['widest']['tensor']})", markup=False)
    for note in facts["notes"]:
        console.print(f"note    {note}", markup=False)
    for name, reasons in facts["backends"].items():
        console.print(f"backend {name}: " + ("takes the model" if not reasons else "refuses it"), markup=False)
        for reason in reasons:
            console.print(f"          {reason}", markup=False)


# compile ------------------------------------------------------------------------------------------------------------


def compile_model(
    model: Path, out: Path, board: str, backend: str, config: Path | None, options: Sequence[str],
    golden: Sequence[str], shapes: Sequence[str], force: bool, json: bool,
) -> None:  # fmt: skip
    """Compile a model into a bundle."""
    from bitwright import flow

    values = backend_options(config, options)
    vectors = None
    if golden:
        from bitwright.compile.frontend import import_model

        names = [i.name for i in import_model(model, parse_shapes(shapes)).inputs]
        vectors = load_arrays(golden, names, "--golden")
    console = Console(stderr=True)

    def build(step: Any) -> dict[str, Any]:
        return flow.compile_model(
            model, out, board=board, backend=backend, options=values, shapes=parse_shapes(shapes), golden=vectors,
            force=force, step=step,
        )  # fmt: skip

    with host_errors():
        if json:
            manifest = build(lambda _: None)
        else:
            with console.status("compiling") as status:
                manifest = build(lambda text: status.update(text))
    if json:
        _print_json({"bundle": str(out), **{k: manifest[k] for k in ("board", "part", "backend", "estimate", "notes")}})
        return
    estimate = manifest["estimate"]
    print(f"{out}: bundle for {manifest['board']} ({manifest['part']}), backend {manifest['backend']}")
    if backend == "engine":
        print(
            f"  {estimate['macs_per_frame']:,} MACs per frame, {estimate['cycles']:,} cycles, {estimate['fps']:.1f} "
            f"frames/s at {estimate['clock_mhz']:g} MHz, configuration {estimate['config']} ({estimate['kind']})"
        )
    elif backend == "finn":
        print(
            f"  {estimate['macs_per_frame']:,} MACs per frame, {estimate['cycles']:,} cycles "
            f"({estimate['slowest_layer']}), {estimate['fps']:.1f} frames/s at {estimate['clock_mhz']:g} MHz "
            f"({estimate['kind']})"
        )
        for name, (need, there) in estimate["short"].items():
            print(f"  does not fit: {need:,} {name} are needed at least, the board has {there:,}")
    else:
        print(
            f"  {estimate['macs_per_frame']:,} MACs per frame, {estimate['weights']:,} weights, "
            f"{estimate['parallel_multiplications']:,} multiplications in parallel (analytical, no HLS run)"
        )
    print(f"  next: bitwright verify {out}")


# simulate, run ------------------------------------------------------------------------------------------------------


def integers_of_files(bundle: Bundle, inputs: Sequence[str]) -> tuple[dict[str, NDArray[np.int64]], bool]:
    """Integers by tensor name from the user's files, else the golden ones; whether they are golden."""
    arrays = load_arrays(inputs, [p.name for p in bundle.inputs], "--input")
    if not arrays:
        return bundle.golden()[0], True
    return {p.tensor: p.to_tensor(to_integers(p, arrays[p.name])).astype(np.int64) for p in bundle.inputs}, False


def simulate(
    folder: Path, engine: str, inputs: Sequence[str], outputs: Sequence[str], raw: bool, force: bool, json: bool,
    stall_seed: int | None = None,
) -> None:  # fmt: skip
    """Run one engine."""
    from bitwright.engine_runs import simulate_bundle
    from bitwright.engines import require, run_engine

    with host_errors():
        bundle = load_bundle(folder)
        x, _ = integers_of_files(bundle, inputs)
        figures: list[dict[str, Any]] = []
        with progress_bar(engine, json) as progress:
            if engine == "rtl":
                require(engine, bundle)
                q, figures = simulate_bundle(bundle, x, progress, stall_seed)
            else:
                q = run_engine(engine, bundle, x, progress)
        y = {p.name: from_integers(p, q[p.tensor], raw) for p in bundle.outputs}
    report_outputs(engine, y, outputs, force, json, figures)


def report_outputs(
    engine: str, y: dict[str, NDArray[Any]], outputs: Sequence[str], force: bool, json: bool,
    figures: Sequence[dict[str, Any]] = (),
) -> None:  # fmt: skip
    from bitwright.cli.engine import print_figures

    written = save_arrays(y, outputs, force)
    if json:
        facts = {n: {"shape": list(v.shape), "dtype": str(v.dtype), "file": written.get(n)} for n, v in y.items()}
        _print_json({"engine": engine, "outputs": facts} | ({"frames": list(figures)} if figures else {}))
        return
    if figures:
        print_figures(figures[0])
    for name, values in y.items():
        place = f" -> {written[name]}" if name in written else ""
        print(f"{engine}: {name} {list(values.shape)} {values.dtype}{place}")
        if not written:
            with np.printoptions(threshold=40, edgeitems=3, precision=5, suppress=True):
                print(values)


# verify -------------------------------------------------------------------------------------------------------------


def verify(folder: Path, inputs: Sequence[str], json: bool, layers: bool = False) -> int:
    """Compare all engines; 1 when any differs."""
    from bitwright.cli.engine import verify_layers
    from bitwright.engines import verify as verify_engines

    with host_errors():
        bundle = load_bundle(folder)
        x, golden = integers_of_files(bundle, inputs)
        if not len(next(iter(x.values()))):
            raise UsageError("--input holds no frames; give at least one")
        if layers:
            return verify_layers(bundle, x, json)
        expected = bundle.golden()[1] if golden else None
        with progress_bar("verify", json) as bar:
            results = verify_engines(bundle, x, expected, lambda engine, done, total: bar(done, total))
    failed = any(r.different for r in results)
    if json:
        _print_json({"bundle": str(folder), "equal": not failed, "engines": [r.as_dict() for r in results]})
        return int(failed)
    table = Table(title=f"{folder}: engines against the reference, by equality", title_justify="left")
    for column in ("engine", "frames", "values", "different", "seconds", ""):
        table.add_column(column, justify="left" if column in ("engine", "") else "right")
    for r in results:
        if r.skipped:
            table.add_row(r.engine, "", "", "", "", f"[yellow]not run[/]: {r.skipped}")
            continue
        verdict = f"[red]{r.first}[/]" if r.different else "[green]equal[/]"
        if r.engine == "reference" and not r.different:
            verdict = "[green]equal to the golden vectors[/]" if expected is not None else "defines the truth"
        table.add_row(r.engine, str(r.frames), f"{r.values:,}", f"{r.different:,}", f"{r.seconds:.2f}", verdict)
    Console().print(table)
    return int(failed)
