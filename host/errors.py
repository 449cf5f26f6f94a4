# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Errors of the host runtime. They stand alone: the host package runs on boards without the rest of bitwright."""

from __future__ import annotations


class HostError(Exception):
    """Base class; messages name the thing, the rule, the value and what to do."""


class BundleError(HostError):
    """The bundle is damaged, of another schema, or does not fit the device."""


class InputError(HostError):
    """Data given to the accelerator have the wrong name, shape, type or range."""


class DeviceError(HostError):
    """The device is missing, or its hardware reports an error or does not answer."""
