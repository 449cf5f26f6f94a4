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
from bitwright.quant.qonnx_run import QuantizerTrace, run_qonnx, trace_quantizers

#: How far apart two float32 evaluations of one sum may be, in steps of the quantizer behind it. Sums here have at most
#: some hundred terms of magnitude up to 2**8 steps, so the rounding error is near 2**8 * 2**-24 * 2**4 = 2**-12.
MAX_ROUNDING_STEPS = 2.0**-10


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
    with torch.no_grad():
        expected = model(torch.from_numpy(images)).numpy()
    got = run_qonnx(proto, images)
    if got.shape != expected.shape:
        raise VerificationError(f"{origin}: output shape must be {expected.shape} as in Brevitas, got {got.shape}")
    wrong = np.flatnonzero((got != expected).reshape(len(images), -1).any(axis=1))
    explained = 0
    if len(wrong):
        theirs = trace_quantizers(proto, images[wrong])
        ours = _trace_brevitas(model, images[wrong])
        if [t[0] for t in theirs] != [t[0] for t in ours]:
            raise VerificationError(
                f"{origin}: {len(wrong)} of {len(images)} outputs differ from Brevitas, and the quantizers of the file "
                f"are not those of the network: {len(theirs)} in the file, {len(ours)} in the network"
            )
        for k, index in enumerate(wrong):
            reason = _first_difference(k, theirs, ours)
            if reason is not None:
                raise VerificationError(
                    f"{origin}: image {index} gives another output than Brevitas ({len(wrong)} of {len(images)} images "
                    f"differ): {reason}; try the other exporter"
                )
            explained += 1
    return Comparison(len(images), len(wrong), explained)


def _first_difference(k: int, theirs: list[QuantizerTrace], ours: list[QuantizerTrace]) -> str | None:
    """Why sample ``k`` differs, or None when its first different code comes from rounding of equal sums."""
    for number, ((scale, before_a, after_a), (_, before_b, after_b)) in enumerate(zip(theirs, ours, strict=True)):
        changed = np.rint(after_a[k] / scale).ravel() != np.rint(after_b[k] / scale).ravel()
        if changed.any():
            distance = np.abs(before_a[k].astype(np.float64).ravel() - before_b[k].ravel())[changed].max() / scale
            if distance <= MAX_ROUNDING_STEPS:
                return None
            return f"quantizer {number} sees values that are {distance:.3g} steps apart"
    return "all codes are equal, but their real values are not"


def _trace_brevitas(model: nn.Module, images: NDArray[np.float32]) -> list[QuantizerTrace]:
    """As `trace_quantizers`, of the torch network."""
    traces: list[QuantizerTrace] = []

    def record(module: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        before = inputs[0].clamp(min=0) if isinstance(module, qnn.QuantReLU) else inputs[0]
        traces.append((float(module.act_quant.scale()), before.numpy(), output.numpy()))

    kinds = (qnn.QuantIdentity, qnn.QuantReLU)
    hooks = [m.register_forward_hook(record) for m in model.modules() if isinstance(m, kinds)]
    try:
        with torch.no_grad():
            model(torch.from_numpy(images))
    finally:
        for hook in hooks:
            hook.remove()
    return traces
