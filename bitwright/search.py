# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Bits of every layer's weights against accuracy: the outer loop around the folding search, with Optuna.

A trial narrows the weights of the finished integer network (compile/explore/requantize.py), measures the accuracy, and
searches the best hardware for it. Trials run in processes of this machine or on a Dask cluster; the study lies in a
file or a database and can be continued.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from bitwright.accuracy import Requirement, Scoring, score
from bitwright.boards import Board
from bitwright.compile.explore.auto import explore, explore_all, rank
from bitwright.compile.explore.found import Found, Goal
from bitwright.compile.explore.requantize import LEAST_BITS, candidates, requantize_weights
from bitwright.compile.ir import Graph
from bitwright.compile.ir.ops.base import weight_width
from bitwright.errors import BitwrightError, ToolMissingError

#: Of Optuna's sampler.
SEED = 2026
#: Weight of the share of the board beside the figure of the goal, which decides between equal ones only.
TIE = 1e-6


class SearchError(BitwrightError):
    """The search cannot run as asked, or found nothing that meets the requirement."""


@dataclass(frozen=True)
class Task:
    """What every trial has in common; it travels to the workers."""

    graph: Graph
    board: Board
    backend: str
    options: Mapping[str, Mapping[str, Any]]
    goal: Goal
    scoring: Scoring

    def signature(self) -> str:
        """Of everything that a trial's result depends on."""
        found = hashlib.sha256(
            repr((self.board, self.backend, sorted(self.options.items()), self.goal, self.scoring.metric,
                  self.scoring.command)).encode()
        )  # fmt: skip
        arrays = [*self.scoring.inputs.values(), self.scoring.labels]
        for node in self.graph.nodes:
            found.update(f"{node.op} {node.name} {node.inputs}".encode())
            arrays += [getattr(node, f.name) for f in fields(node)]
        for value in arrays:
            found.update(
                np.ascontiguousarray(value).tobytes() if isinstance(value, np.ndarray) else repr(value).encode()
            )
        return found.hexdigest()[:16]


@dataclass(frozen=True)
class Trial:
    """One set of bits.

    Attributes:
        bits: by layer. accuracy: of the metric. weight_bits: of all weights together.
        backend: of the best hardware. figure: of the goal, smaller is better; None when nothing fits, see ``reason``.
        fps, energy_nj, usage: of the best hardware.
    """

    number: int
    bits: dict[str, int]
    accuracy: float
    weight_bits: int
    backend: str
    figure: float | None
    fps: float | None
    energy_nj: float | None
    usage: dict[str, list[int] | None] | None
    reason: str


def run_trial(task: Task, number: int, bits: dict[str, int]) -> Trial:
    """Measure and search; runs in a worker."""
    graph = requantize_weights(task.graph, bits)
    accuracy = score(graph, bits, task.scoring)
    found = best(task, graph)[0]
    stored = stored_bits(graph)
    e = found.estimate
    _, first, share = rank(found, task.board, task.goal)
    # Of equally good ones the smaller design is better, then the one of fewer bits.
    figure = first + abs(first) * TIE * (share + TIE * stored / stored_bits(task.graph)) if e else None
    fps, energy, usage = (e.fps, e.energy_nj, e.usage.as_dict()) if e else (None, None, None)
    return Trial(number, bits, accuracy, stored, found.backend, figure, fps, energy, usage, found.reason)


def stored_bits(graph: Graph) -> int:
    """Bits of all weights."""
    return sum(n.weight.size * weight_width(n.weight) for n in graph.nodes if hasattr(n, "weight"))


def best(task: Task, graph: Graph) -> list[Found]:
    """The best design of the backend that is asked for, or of each, the winner first."""
    if task.backend == "auto":
        return explore_all(graph, task.board, task.options, task.goal)
    return [explore(graph, task.board, task.backend, task.options.get(task.backend, {}), task.goal)]


@contextmanager
def workers(count: int, dask: str) -> Iterator[Executor]:
    """Processes of this machine, or a Dask cluster at an address."""
    if not dask:
        with ProcessPoolExecutor(max_workers=count) as pool:
            yield pool
        return
    try:
        from distributed import Client
    except ImportError:
        raise ToolMissingError("--dask needs dask.distributed: pip install 'bitwright[explore]'") from None
    try:
        client = Client(dask, timeout="10s")
    except (OSError, ValueError, TimeoutError) as error:
        raise SearchError(f"--dask {dask}: no scheduler answers there: {error}") from None
    with client:
        yield client.get_executor(pure=False)


def search(
    task: Task,
    trials: int,
    storage: str | None,
    pool: Executor,
    parallel: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Trial]:
    """Run trials until there are ``trials`` of them; those in the storage count.

    Args:
        storage: a database URL, or the path of an SQLite file; None: in memory.
        parallel: trials at a time.

    Returns:
        all completed trials, those of earlier runs too. Raises SearchError, ToolMissingError.
    """
    try:
        import optuna
    except ImportError:
        raise ToolMissingError("searching bits needs Optuna: pip install 'bitwright[explore]'") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    known = candidates(task.graph)
    if not known:
        raise SearchError(f"{task.graph.name}: there is no layer whose weights can be narrowed")
    url = storage if storage is None or "://" in storage else f"sqlite:///{storage}"
    study = optuna.create_study(
        storage=url,
        study_name="bitwright",
        load_if_exists=True,
        directions=["maximize", "minimize"],
        sampler=optuna.samplers.TPESampler(seed=SEED),
    )
    signature = task.signature()
    stored = study.user_attrs.get("signature")
    if stored not in (None, signature):
        raise SearchError(f"{storage}: it holds a search of another model, board, goal or data; choose another file")
    if stored is None:
        study.set_user_attr("signature", signature)
        for bits in range(max(known.values()), LEAST_BITS - 1, -1):  # uniform widths first
            study.enqueue_trial({n: min(bits, width) for n, width in known.items()})
    spaces = {n: optuna.distributions.IntDistribution(min(LEAST_BITS, width), width) for n, width in known.items()}
    finished = sum("result" in t.user_attrs for t in study.trials)
    running: dict[Future[Trial], Any] = {}
    progress(finished, trials)
    while finished < trials or running:
        while len(running) < parallel and finished + len(running) < trials:
            asked = study.ask(spaces)
            running[pool.submit(run_trial, task, asked.number, dict(asked.params))] = asked
        ready, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in ready:
            asked = running.pop(future)
            try:
                trial = future.result()
            except BitwrightError:
                study.tell(asked, state=optuna.trial.TrialState.FAIL)
                raise
            # The whole result goes with the trial, for later runs and reports.
            asked.set_user_attr("result", json.dumps(asdict(trial)))
            if trial.figure is None:
                study.tell(asked, state=optuna.trial.TrialState.PRUNED)
            else:
                study.tell(asked, [trial.accuracy, trial.figure])
            finished += 1
            progress(finished, trials)
    return [Trial(**json.loads(t.user_attrs["result"])) for t in study.trials if "result" in t.user_attrs]


def pareto(trials: list[Trial]) -> list[Trial]:
    """Trials that no other one beats in accuracy and hardware, the most accurate first; one of equal ones."""
    kept: list[Trial] = []
    fitting = [(t.figure, t) for t in trials if t.figure is not None]
    least = float("inf")
    for figure, t in sorted(fitting, key=lambda f: (-f[1].accuracy, f[0], f[1].weight_bits)):
        if figure < least:
            kept, least = [*kept, t], figure
    return kept


def pick(trials: list[Trial], requirement: Requirement | None) -> Trial:
    """The best hardware that meets the requirement; without one the most accurate. Raises SearchError."""
    front = pareto(trials)
    if not front:
        raise SearchError(f"none of {len(trials)} trials fits the board: {trials[0].reason if trials else ''}")
    if requirement is None:
        return front[0]
    good = [t for t in front if t.accuracy >= requirement.least]
    if not good:
        raise SearchError(
            f"no trial reaches {requirement.metric} >= {requirement.least:g}; the best has {front[0].accuracy:g}. "
            "Lower the requirement, run more trials, or train with narrow weights (QAT) instead of requantizing "
            "afterwards"
        )
    return good[-1]
