# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""What a network is for: from an image as a camera gives it to boxes or a class, as training and its scores do it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.host.bundle import Bundle
from bitwright.host.decode import centernet, ssd
from bitwright.host.decode.boxes import Detections
from bitwright.host.errors import BundleError, InputError
from bitwright.host.resize import resize

DECODERS = ("centernet", "ssd", "classify")


@dataclass(frozen=True)
class Classified:
    """The classes of an image, best first: int64 labels (n,), float32 scores (n,)."""

    labels: NDArray[np.int64]
    scores: NDArray[np.float32]


class ImageTask:
    """Images uint8 (H, W, 3), red first, of any size.

    The image is stretched to the network's input (resize.py) and divided by 255, as in training. All of that and the
    quantization of the input is one table of 256 integers.
    """

    def __init__(self, bundle: Bundle, facts: Mapping[str, Any]) -> None:
        """Args: facts: `task` of the manifest. Raises BundleError."""
        self._decoder = str(facts.get("decoder"))
        self._threshold = float(facts.get("threshold", 0.0))
        self._stride = int(facts.get("stride", 4))
        if self._decoder not in DECODERS:
            raise BundleError(
                f"{bundle.root}: task.decoder is {self._decoder!r}, this runtime has {', '.join(DECODERS)}"
            )
        port = bundle.inputs[0]
        if len(bundle.inputs) != 1 or len(port.shape) != 3 or port.shape[0] != 3 or port.quantizer is None:
            raise BundleError(f"{bundle.root}: a task needs one input image (3, H, W) of real numbers")
        self._port = port
        self._table = port.quantizer(np.arange(256, dtype=np.float32) / np.float32(255))

    @staticmethod
    def takes(frame: Any) -> bool:
        """Whether a frame is an image, and not a model input."""
        return isinstance(frame, np.ndarray) and frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3

    def integers(self, image: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """Integers of one frame by tensor, in tensor layout. Raises InputError."""
        if not image.size:
            raise InputError(f"image: shape is {image.shape}, it has no pixels")
        _, height, width = self._port.shape
        q = self._table[resize(image, height, width)].transpose(2, 0, 1)
        return {self._port.tensor: self._port.to_tensor(q[None])}

    def result(self, outputs: Mapping[str, NDArray[Any]], image: NDArray[np.uint8]) -> Detections | Classified:
        """What the outputs of one frame, by name in model order, (1, *shape), say of the image, in its pixels."""
        values = list(outputs.values())
        if self._decoder == "classify":
            order = np.argsort(-values[0][0].reshape(-1), kind="stable")
            logits = values[0][0].reshape(-1).astype(np.float64)
            powers = np.exp(logits - logits.max())
            return Classified(order.astype(np.int64), (powers / powers.sum())[order].astype(np.float32))
        _, height, width = self._port.shape
        if self._decoder == "ssd":
            (found,) = ssd.detect(values, width, max(self._threshold, 0.01))
        else:
            (found,) = centernet.decode(*values, stride=self._stride, threshold=self._threshold)
        return found.scaled(image.shape[1] / width, image.shape[0] / height)


def task_of(bundle: Bundle) -> ImageTask | None:
    """The task that the manifest names, if it names one."""
    facts = bundle.manifest.get("task")
    return ImageTask(bundle, facts) if facts else None
