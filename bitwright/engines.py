# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The engines that can run a compiled model. All of them must give the same integers."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bitwright.compile.ir import Graph
from bitwright.compile.ir.serialize import load_graph
from bitwright.compile.ir.types import IntArray
from bitwright.errors import BitwrightError, ToolMissingError
from bitwright.host.bundle import Bundle

Integers = Mapping[str, IntArray]
Progress = Callable[[int, int], None] | None


@dataclass(frozen=True)
class Engine:
    """One way to run a bundle.

    Attributes:
        name: as on the command line.
        missing: why the engine cannot run here, or None.
        run: integers in, integers out, by tensor name, (frames, *shape).
    """

    name: str
    missing: Callable[[Bundle], str | None]
    run: Callable[[Bundle, Graph, Integers, Progress], dict[str, IntArray]]


def _always(bundle: Bundle) -> str | None:
    return None


def _reference(bundle: Bundle, graph: Graph, inputs: Integers, progress: Progress) -> dict[str, IntArray]:
    from bitwright.sim import reference

    frames = len(next(iter(inputs.values())))
    parts = []
    for start in range(0, frames, 64):  # bounds the memory of intermediate tensors
        parts.append(reference.run(graph, {n: x[start : start + 64] for n, x in inputs.items()}))
        if progress:
            progress(min(start + 64, frames), frames)
    return {n: np.concatenate([p[n] for p in parts]) for n in parts[0]}


def _fast(bundle: Bundle, graph: Graph, inputs: Integers, progress: Progress) -> dict[str, IntArray]:
    from bitwright.sim.fast import FastSimulator

    return FastSimulator(graph).run(inputs, progress=progress)


def _other_backend(bundle: Bundle, backend: str, lacks: str) -> str | None:
    made_by = bundle.manifest["backend"]
    return None if made_by == backend else f"the backend {made_by} {lacks}"


def _csim_missing(bundle: Bundle) -> str | None:
    other = _other_backend(bundle, "hls4ml", "has no C++ simulation")
    return other or (None if shutil.which("g++") else "g++ is not installed")


def _csim(bundle: Bundle, graph: Graph, inputs: Integers, progress: Progress) -> dict[str, IntArray]:
    from bitwright.compile.backends.hls4ml.csim import run_csim

    assert bundle.project is not None
    return run_csim(bundle.project, graph, inputs, progress)


def _finn_missing(bundle: Bundle) -> str | None:
    return _other_backend(bundle, "finn", "makes no model for FINN")


def _finn(bundle: Bundle, graph: Graph, inputs: Integers, progress: Progress) -> dict[str, IntArray]:
    from bitwright.compile.backends.finn.reader import run_model

    assert bundle.project is not None
    return run_model(bundle.project, graph, inputs)


def _program_missing(bundle: Bundle) -> str | None:
    return _other_backend(bundle, "engine", "makes no program for the engine")


def _program(bundle: Bundle, graph: Graph, inputs: Integers, progress: Progress) -> dict[str, IntArray]:
    from bitwright.engine_runs import run_program

    assert bundle.project is not None
    return run_program(bundle.project, inputs, progress)


def _rtl_missing(bundle: Bundle) -> str | None:
    from bitwright.sim.rtl.build import compiler, verilator_root

    missing = _program_missing(bundle)
    if missing:
        return missing
    try:
        verilator_root()
        compiler()
    except ToolMissingError as error:
        return str(error)
    return None


def _rtl(bundle: Bundle, graph: Graph, inputs: Integers, progress: Progress) -> dict[str, IntArray]:
    from bitwright.engine_runs import simulate_bundle

    return simulate_bundle(bundle, inputs, progress)[0]


def _board_missing(bundle: Bundle) -> str | None:
    kind = bundle.manifest["transport"]["kind"]
    if kind == "axi_dma" and (len(bundle.inputs) != 1 or len(bundle.outputs) != 1):
        return "the AXI DMA transport has one stream each way"
    return None


def _board(bundle: Bundle, graph: Graph, inputs: Integers, progress: Progress) -> dict[str, IntArray]:
    from bitwright.host import Accelerator

    with Accelerator.load(bundle, device="sim") as net:
        return net.run_integers(inputs, progress)


ENGINES = {
    e.name: e
    for e in (
        Engine("reference", _always, _reference),
        Engine("fast", _always, _fast),
        Engine("csim", _csim_missing, _csim),
        Engine("finn", _finn_missing, _finn),
        Engine("program", _program_missing, _program),
        Engine("rtl", _rtl_missing, _rtl),
        Engine("board-sim", _board_missing, _board),
    )
}


@dataclass(frozen=True)
class Comparison:
    """An engine against the reference.

    Attributes:
        engine: its name.
        frames, values: how many were compared.
        different: values that differ.
        seconds: run time, set-up and compilation included.
        skipped: why it did not run, or None.
        first: place and values of the first difference.
    """

    engine: str
    frames: int = 0
    values: int = 0
    different: int = 0
    seconds: float = 0.0
    skipped: str | None = None
    first: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dict(vars(self))


def run_engine(name: str, bundle: Bundle, inputs: Integers, progress: Progress = None) -> dict[str, IntArray]:
    """Run one engine. Raises ToolMissingError when it cannot run here."""
    return require(name, bundle).run(bundle, load_graph(bundle.program), inputs, progress)


def require(name: str, bundle: Bundle) -> Engine:
    """An engine that can run the bundle here. Raises ToolMissingError."""
    engine = ENGINES[name]
    missing = engine.missing(bundle)
    if missing:
        raise ToolMissingError(f"engine {name}: {missing}")
    return engine


def verify(bundle: Bundle, inputs: Integers, expected: Integers | None, progress: Any = None) -> list[Comparison]:
    """Run every engine at hand on the same integers and compare with the reference, by equality.

    Args:
        expected: golden outputs; compared with the reference first, when given.
        progress: called with (engine, frames done, frames in all).
    """
    import time

    graph = load_graph(bundle.program)
    results: list[Comparison] = []
    truth: dict[str, IntArray] = {}
    for engine in ENGINES.values():
        missing = engine.missing(bundle)
        if missing:
            results.append(Comparison(engine.name, skipped=missing))
            continue

        def told(done: int, of: int, name: str = engine.name) -> None:
            if progress:
                progress(name, done, of)

        start = time.perf_counter()
        try:
            got = engine.run(bundle, graph, inputs, told)
        except (ToolMissingError, ImportError) as error:
            results.append(Comparison(engine.name, skipped=str(error)))
            continue
        except BitwrightError as error:
            results.append(Comparison(engine.name, different=1, first=str(error)))
            continue
        seconds = time.perf_counter() - start
        if engine.name == "reference":
            truth = got
            want: Integers = expected if expected is not None else got
        else:
            want = truth
        results.append(_compare(engine.name, got, want, seconds))
    return results


def _compare(name: str, got: Integers, want: Integers, seconds: float) -> Comparison:
    different, values, first = 0, 0, None
    frames = len(next(iter(want.values())))
    for tensor, expected in want.items():
        values += expected.size
        wrong = np.argwhere(got[tensor] != expected) if got[tensor].shape == expected.shape else None
        if wrong is None:
            different += expected.size
            first = first or f"{tensor}: shape {got[tensor].shape}, expected {expected.shape}"
        elif len(wrong):
            different += len(wrong)
            at = tuple(int(i) for i in wrong[0])
            first = first or f"{tensor}{list(at)} is {got[tensor][at]}, expected {expected[at]}"
    return Comparison(name, frames, values, different, seconds, None, first)
