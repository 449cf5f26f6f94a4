# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The host runtime: needs numpy and the standard library only, so that it runs on the board."""

from bitwright.host.accelerator import Accelerator
from bitwright.host.adaptive import AdaptiveAccelerator
from bitwright.host.bundle import Bundle, load_bundle
from bitwright.host.decode.boxes import Detections
from bitwright.host.errors import BundleError, DeviceError, HostError, InputError
from bitwright.host.task import Classified

__all__ = [
    "Accelerator", "AdaptiveAccelerator", "Bundle", "BundleError", "Classified", "Detections", "DeviceError",
    "HostError", "InputError", "load_bundle",
]  # fmt: skip
