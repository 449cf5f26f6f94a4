# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Several settings of one network on one device: frame by frame the best of those that fit the latency budget.

After R. Xu et al., "ApproxNet: Content and Contention-Aware Video Object Classification System for Embedded Clients",
arXiv:1909.02068: accuracy of every setting is known beforehand, latency is predicted from a profile and corrected by
what the last frames took, because other work on the board (memory traffic, processor) slows all settings alike.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bitwright.host.accelerator import Accelerator
from bitwright.host.bundle import Bundle, load_bundle
from bitwright.host.devices.base import Device, open_device
from bitwright.host.devices.sim import SimulatedDevice
from bitwright.host.errors import InputError

#: Weight of the newest frame in the load of all settings, in what one setting differs from it, and in the spread.
LOAD_MEMORY, OWN_MEMORY, SPREAD_MEMORY = 0.3, 0.1, 0.2
#: A setting is expected to take longer than predicted by so many mean deviations (of logarithms).
CAUTION = 2.0
#: Decisions that are kept.
REMEMBERED = 100_000


@dataclass(frozen=True)
class Decision:
    """One frame: what was chosen, what was predicted, what it took (seconds, on the device's clock).

    Attributes:
        fits: no setting was expected to be fast enough when False; the fastest was taken then.
        load: how much slower than in its profile the network ran, as known before the frame.
    """

    setting: str
    budget: float
    predicted: float
    took: float
    fits: bool
    load: float

    @property
    def missed(self) -> bool:
        """It took longer than the budget."""
        return self.took > self.budget


@dataclass(frozen=True)
class Report:
    """What an adaptive accelerator did.

    Attributes:
        frames: in all; missed: over their budget; hopeless: no setting was expected to fit.
        chosen: frames by setting. quality: mean of the settings' qualities over the frames.
        latency: seconds, percentiles 50, 90 and 99.
    """

    frames: int
    missed: int
    hopeless: int
    chosen: dict[str, int]
    quality: float
    latency: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class AdaptiveAccelerator:
    """Chooses among settings of an adaptive network.

    With the engine all settings are programs for the same bitstream: changing costs a dozen register writes.

    Example:
        settings = {"r32_exit0": ("small.bundle", 0.71), "r64_exit2": ("large.bundle", 0.83)}
        with AdaptiveAccelerator.load(settings, budget=0.004) as net:
            for y in net.stream(frames):
                ...
            print(net.report())
    """

    def __init__(self, settings: Mapping[str, tuple[Accelerator, float]], budget: float) -> None:
        """Args: settings: accelerator on the common device and quality (larger is better), by name.
        budget: seconds for a frame.

        The profile is taken here: every setting runs its first golden frame three times.
        """
        if not settings or budget <= 0:
            raise InputError(f"adaptive: {len(settings)} settings and a budget of {budget} s; give some, and time")
        self._nets = {name: net for name, (net, _) in settings.items()}
        self._quality = {name: quality for name, (_, quality) in settings.items()}
        self.budget = budget
        self.decisions: deque[Decision] = deque(maxlen=REMEMBERED)
        self._lock = threading.Lock()
        # Expected time = profile * exp(load + own + CAUTION * spread): work beside the network slows all settings, but
        # not all by the same factor.
        self._load, self._spread = 0.0, 0.0
        self._own = dict.fromkeys(self._nets, 0.0)
        self.profile = {name: self._measured(net) for name, net in self._nets.items()}

    @classmethod
    def load(
        cls,
        settings: Mapping[str, tuple[str | Path | Bundle, float]],
        budget: float,
        device: str = "auto",
        **options: Any,
    ) -> AdaptiveAccelerator:
        """Bundles with their qualities on one device; the first one's bitstream is loaded. Raises HostError."""
        bundles = {
            name: (source if isinstance(source, Bundle) else load_bundle(source), quality)
            for name, (source, quality) in settings.items()
        }
        if not bundles:
            raise InputError("adaptive: no settings were given")
        opened: Device = open_device(next(iter(bundles.values()))[0], device, **options)
        nets: dict[str, tuple[Accelerator, float]] = {}
        try:
            for name, (bundle, quality) in bundles.items():
                if isinstance(opened, SimulatedDevice):
                    opened.expect(bundle)
                nets[name] = (Accelerator(bundle, opened), quality)
            return cls(nets, budget)
        except BaseException:
            for net, _ in nets.values():
                net.close()
            raise

    def __enter__(self) -> AdaptiveAccelerator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free buffers and device."""
        for net in self._nets.values():
            net.close()

    def run(self, frames: Mapping[str, Any] | Any, budget: float | None = None) -> Any:
        """One frame by the best setting that is expected to fit.

        Args:
            frames: by setting, where settings take inputs of different shapes, else one for all; a batch of one, or an
                image for bundles with a task.
            budget: seconds for this frame; that of the accelerator when left out.
        """
        limit = self.budget if budget is None else budget
        with self._lock:
            name, fits, predicted = self._choose(limit)
            net, load = self._nets[name], math.exp(self._load)
            frame = frames[name] if isinstance(frames, Mapping) and name in frames else frames
            start = net.device.now()
            y = net.run(frame)
            took = net.device.now() - start
            error = math.log(took / self.profile[name]) - self._load - self._own[name]
            self._spread += SPREAD_MEMORY * (abs(error) - self._spread)
            self._load += LOAD_MEMORY * error
            self._own[name] += OWN_MEMORY * error
            self.decisions.append(Decision(name, limit, predicted, took, fits, load))
        return y

    def stream(self, frames: Iterable[Any], budget: float | None = None) -> Iterator[Any]:
        """`run` for every frame; the choice needs the time of the frame before, so frames do not overlap."""
        for frame in frames:
            yield self.run(frame, budget)

    def report(self) -> Report:
        """What was done, over the last `REMEMBERED` frames."""
        chosen = {name: sum(d.setting == name for d in self.decisions) for name in self._nets}
        took = [d.took for d in self.decisions]
        count = len(took)
        return Report(
            count, sum(d.missed for d in self.decisions), sum(not d.fits for d in self.decisions), chosen,
            sum(self._quality[n] * k for n, k in chosen.items()) / count if count else 0.0,
            {f"p{q}": float(np.percentile(took, q)) for q in (50, 90, 99)} if count else {},
        )  # fmt: skip

    def _choose(self, limit: float) -> tuple[str, bool, float]:
        """Setting, whether it is expected to fit, and its expected time."""
        slow = self._load + CAUTION * self._spread
        expected = {n: seconds * math.exp(slow + self._own[n]) for n, seconds in self.profile.items()}
        able = [name for name, seconds in expected.items() if seconds <= limit]
        if able:
            name = max(able, key=lambda n: (self._quality[n], -expected[n]))
        else:
            name = min(expected, key=lambda n: expected[n])
        return name, bool(able), expected[name]

    @staticmethod
    def _measured(net: Accelerator) -> float:
        """Median seconds of the first golden frame."""
        first = {name: x[:1] for name, x in net.bundle.golden()[0].items()}
        times = []
        for _ in range(3):
            start = net.device.now()
            net.run_integers(first)
            times.append(net.device.now() - start)
        return float(np.median(times))
