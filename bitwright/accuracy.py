# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""How good an integer network is on frames that the user gives, measured with the fast simulator."""

from __future__ import annotations

import re
import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.compile.ir import Graph
from bitwright.compile.ir.types import IntArray
from bitwright.errors import BitwrightError
from bitwright.flow import integers_of, real_output
from bitwright.sim.fast import FastSimulator

#: Metrics of our own, all better when larger.
METRICS = {
    "top1": "share of frames whose largest output is the label",
    "agreement": "share of frames with the same largest output as the unchanged network",
    "snr": "decibels of the unchanged network's outputs over the change",
}


class AccuracyError(BitwrightError):
    """The accuracy cannot be measured as asked."""


@dataclass(frozen=True)
class Requirement:
    """METRIC>=VALUE."""

    metric: str
    least: float

    @staticmethod
    def parse(text: str) -> Requirement:
        """Raises AccuracyError with the form that is expected."""
        match = re.fullmatch(r"\s*([A-Za-z][\w.-]*)\s*>=\s*([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)\s*", text)
        if match is None:
            raise AccuracyError(f"--accuracy {text}: METRIC>=VALUE is expected, such as top1>=0.95")
        return Requirement(match[1], float(match[2]))


@dataclass(frozen=True)
class Scoring:
    """What is measured, ready to be sent to another process.

    Attributes:
        metric: of METRICS, or any name where a command measures it.
        inputs: integers of every input tensor. labels: of top1.
        outputs: of the unchanged network, by name, as real numbers (agreement, snr).
        command: run for each network instead; {config} is a TOML file with its ``weight_bits``. The last line that it
            prints is the figure.
    """

    metric: str
    inputs: Mapping[str, IntArray] = field(default_factory=dict)
    labels: NDArray[Any] | None = None
    outputs: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    command: str = ""


def scoring(
    graph: Graph, metric: str, arrays: Mapping[str, NDArray[Any]], labels: NDArray[Any] | None, command: str
) -> Scoring:
    """Check what the user gave. Raises AccuracyError.

    Args:
        arrays: model inputs by name, batch first.
    """
    if command:
        if "{config}" not in command:
            raise AccuracyError(f"--evaluate {command!r}: {{config}} must stand where the file with weight_bits goes")
        return Scoring(metric, command=command)
    if metric not in METRICS:
        known = "; ".join(f"{n}: {t}" for n, t in METRICS.items())
        raise AccuracyError(
            f"the metric {metric!r} is unknown; there are {known}; or measure it with --evaluate COMMAND"
        )
    if not arrays:
        raise AccuracyError(f"{metric} needs frames: give --data [NAME=]x.npy")
    counts = {n: len(a) for n, a in arrays.items()}
    if len(set(counts.values())) != 1 or min(counts.values()) < 1:
        raise AccuracyError(f"--data: every input needs the same number of frames, at least one; got {counts}")
    frames = next(iter(counts.values()))
    if metric == "top1":
        if labels is None:
            raise AccuracyError("top1 needs --labels y.npy, one integer a frame")
        if labels.shape != (frames,) or labels.dtype.kind not in "iu":
            raise AccuracyError(
                f"--labels: {frames} integers are expected, one a frame; got {labels.dtype} {list(labels.shape)}"
            )
    inputs = {i.tensor: integers_of(graph, i, arrays[i.name]) for i in graph.inputs}
    made = Scoring(metric, inputs, labels)
    return Scoring(metric, inputs, labels, {} if metric == "top1" else _outputs(graph, made))


def score(graph: Graph, bits: Mapping[str, int], how: Scoring) -> float:
    """The metric of a network whose weights have these bits. Raises AccuracyError."""
    if how.command:
        return _ask(how.command, bits)
    real = _outputs(graph, how)
    name = graph.outputs[0].name
    if how.metric == "top1":
        assert how.labels is not None
        return float((_classes(real[name]) == how.labels).mean())
    if how.metric == "agreement":
        return float((_classes(real[name]) == _classes(how.outputs[name])).mean())
    noise = sum(float(((real[n] - how.outputs[n]) ** 2).sum()) for n in real)
    signal = sum(float((how.outputs[n] ** 2).sum()) for n in real)
    return 10 * float(np.log10(max(signal, 1e-300) / max(noise, signal * 1e-20, 1e-300)))


def _outputs(graph: Graph, how: Scoring) -> dict[str, NDArray[Any]]:
    got = FastSimulator(graph, threads=1).run(how.inputs)
    return {o.name: np.asarray(real_output(graph, o, got[o.tensor]), np.float64) for o in graph.outputs}


def _classes(y: NDArray[Any]) -> NDArray[Any]:
    return y if y.ndim == 1 else np.asarray(y.reshape(len(y), -1).argmax(axis=1))


def _ask(command: str, bits: Mapping[str, int]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bits.toml"
        path.write_text("[weight_bits]\n" + "".join(f'"{n}" = {b}\n' for n, b in bits.items()), encoding="utf-8")
        words = [w.replace("{config}", str(path)) for w in shlex.split(command)]
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=False)
        except OSError as error:
            raise AccuracyError(f"--evaluate: {words[0]} cannot be run: {error.strerror}") from None
    lines = done.stdout.strip().splitlines()
    if done.returncode != 0 or not lines:
        last = (done.stderr.strip() or done.stdout.strip() or "it printed nothing").splitlines()[-1]
        raise AccuracyError(f"--evaluate: {command!r} ended with code {done.returncode}: {last}")
    try:
        return float(lines[-1])
    except ValueError:
        raise AccuracyError(f"--evaluate: the last line of {command!r} must be a number, got {lines[-1]!r}") from None
