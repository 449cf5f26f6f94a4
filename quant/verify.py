# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Does an exported file compute what the Brevitas network computes?

Both compute in float32, but torch and onnxruntime add in different orders. Where a value lies within that rounding
error of the middle between two codes, the two can choose different codes, and the difference goes on to the output.
Such a difference is counted and traced to its quantizer; every other one is an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import brevitas.nn as qnn
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from bitwright.errors import VerificationError
from bitwright.quant.forward import run_batch
from bitwright.quant.qonnx_run import QuantizerTrace, run_qonnx, trace_quantizers

#: How far apart two float32 evaluations of one sum may be, in steps of the quantizer behind it. Sums here have at most
#: some hundred terms of magnitude up to 2**8 steps, so the rounding error is near 2**8 * 2**-24 * 2**4 = 2**-12.
MAX_ROUNDING_STEPS = 2.0**-10

#: Samples traced at once: a trace keeps every activation.
_TRACED = 8


@dataclass(frozen=True)
class Comparison:
    """Images compared, images with any different output value, and how many of those a rounding tie explains."""

    images: int
    different: int
    explained: int


def compare_with_brevitas(
    proto: onnx.ModelProto, model: nn.Module, images: NDArray[np.float32], origin: str
) -> Comparison:
    """Execute both on ``images`` (N, ...) and compare every output value by equality.

    Raises:
        VerificationError: an image differs and its first different code is not the rounding of a near-tie.
    """
    model.eval()
    expected = run_batch(model, images)
    got = run_qonnx(proto, images)
    if [g.shape for g in got] != [e.shape for e in expected]:
        raise VerificationError(
            f"{origin}: output shapes must be {[e.shape for e in expected]} as in Brevitas, "
            f"got {[g.shape for g in got]}"
        )
    differs = [(g != e).reshape(len(images), -1).any(axis=1) for g, e in zip(got, expected, strict=True)]
    wrong = np.flatnonzero(np.any(differs, axis=0))
    explained = 0
    for start in range(0, len(wrong), _TRACED):
        part = wrong[start : start + _TRACED]
        reasons = _reasons(proto, model, images[part], origin)
        for index, reason in zip(part, reasons, strict=True):
            if reason is not None:
                raise VerificationError(
                    f"{origin}: image {index} gives another output than Brevitas ({len(wrong)} of {len(images)} images "
                    f"differ): {reason}; try the other exporter"
                )
            explained += 1
    return Comparison(len(images), len(wrong), explained)


def _reasons(proto: onnx.ModelProto, model: nn.Module, images: NDArray[np.float32], origin: str) -> list[str | None]:
    """For each sample what is wrong with it, or None when every difference is the rounding of a near-tie.

    The network is run once more with the file's codes in the place of its own behind every quantizer. So each quantizer
    judges sums of the same codes in both, and an early tie does not hide what comes after it.
    """
    theirs = trace_quantizers(proto, images)
    partners = _partners(theirs, _trace_brevitas(model, images), origin)
    ours = _trace_brevitas(model, images, [trace[2] for trace in partners])
    reasons: list[str | None] = [None] * len(images)
    for number, ((scale, before_a, after_a), (_, before_b, after_b)) in enumerate(zip(partners, ours, strict=True)):
        for k in range(len(images)):
            changed = np.rint(after_a[k] / scale).ravel() != np.rint(after_b[k] / scale).ravel()
            if not changed.any() or reasons[k] is not None:
                continue
            distance = np.abs(before_a[k].astype(np.float64).ravel() - before_b[k].ravel())[changed].max() / scale
            if distance > MAX_ROUNDING_STEPS:
                reasons[k] = f"quantizer {number} sees values that are {distance:.3g} steps apart"
    return reasons


def _partners(theirs: list[QuantizerTrace], ours: list[QuantizerTrace], origin: str) -> list[QuantizerTrace]:
    """For each quantizer of the network, in the order of its calls, the one of the file that stands for it.

    Exporters reorder parallel branches, so partners are found by scale and shape; of several, the one with the most
    codes in common.
    """
    left = list(theirs)
    found = []
    for trace in ours:
        fits = [t for t in left if t[0] == trace[0] and t[2].shape == trace[2].shape]
        if not fits or len(theirs) != len(ours):
            raise VerificationError(
                f"{origin}: outputs differ from Brevitas, and the quantizers of the file are not those of the network: "
                f"{len(theirs)} in the file, {len(ours)} in the network, none left in the file has scale "
                f"{trace[0]:.6g} and shape {trace[2].shape[1:]}"
            )
        best = fits[0] if len(fits) == 1 else min(fits, key=lambda t: int((t[2] != trace[2]).sum()))
        left = [t for t in left if t is not best]
        found.append(best)
    return found


def _trace_brevitas(
    model: nn.Module, images: NDArray[np.float32], forced: list[NDArray[np.float32]] | None = None
) -> list[QuantizerTrace]:
    """As `trace_quantizers`, of the torch network; ``forced`` goes on in the place of each quantizer's result."""
    traces: list[QuantizerTrace] = []

    def record(module: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor | None:
        before = inputs[0].clamp(min=0) if isinstance(module, qnn.QuantReLU) else inputs[0]
        traces.append((float(module.act_quant.scale()), before.numpy(), output.numpy()))
        return None if forced is None else torch.from_numpy(forced[len(traces) - 1])

    kinds = (qnn.QuantIdentity, qnn.QuantReLU)
    hooks = [m.register_forward_hook(record) for m in model.modules() if isinstance(m, kinds)]
    try:
        with torch.no_grad():
            model(torch.from_numpy(images))
    finally:
        for hook in hooks:
            hook.remove()
    return traces
