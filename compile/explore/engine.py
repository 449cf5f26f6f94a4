# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Which configuration of the engine runs a network best on a board.

For Zynq one of the named configurations; on an ECP5 its parameters are searched (variants.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bitwright.boards import Board
from bitwright.compile.backends.engine.backend import EngineOptions, clock
from bitwright.compile.backends.engine.compiler import compile_graph, lower
from bitwright.compile.backends.engine.pack import ArrayLayer
from bitwright.compile.build.yowasp import memory_bytes
from bitwright.compile.estimate import RESOURCES, Estimate
from bitwright.compile.estimate.budget import budget
from bitwright.compile.estimate.energy import energy_nj
from bitwright.compile.estimate.engine import estimate as estimate_of
from bitwright.compile.estimate.engine import shell_usage, usage_of
from bitwright.compile.explore import variants
from bitwright.compile.explore.found import Found, Goal, lacking, words
from bitwright.compile.explore.problem import Problem, Vector
from bitwright.compile.ir import Graph
from bitwright.errors import BackendError
from bitwright.hw.config import CONFIGS, LANES, EngineConfig
from bitwright.hw.resources import SHELL_BYTES
from bitwright.hw.variants import configuration

#: Families of the closed form, by that of the board.
FAMILIES = {"zynq-7000": "xc7", "zynq-ultrascale": "xcup", "ecp5": "ecp5"}


@dataclass
class _Trials:
    """What was compiled for a network on a board, and what that said."""

    graph: Graph
    board: Board
    goal: Goal
    mhz: float
    family: str
    done: dict[str, Estimate | None] = field(default_factory=dict)
    refused: str = ""

    def need(self, config: EngineConfig) -> Vector:
        """What the chip must have: the engine, and around it, on a board without a processor, the serial shell."""
        usage = usage_of(config, self.family)
        return (usage if self.board.ps != "none" else usage + shell_usage()).vector(self.goal.risk)

    def share(self, config: EngineConfig) -> float:
        """What a configuration costs: the sum of its shares of the board."""
        return Problem((), RESOURCES, budget(self.board), (0,) * len(RESOURCES)).share(self.need(config))

    def fits(self, config: EngineConfig) -> bool:
        return not lacking(self.need(config), self.board)

    def bound(self, config: EngineConfig) -> int | None:
        """See `least_work`; None when the configuration refuses the network, or nothing could hold its weights."""
        try:
            cycles, stored = least_work(self.graph, config)
            self._hold("its weights alone", stored)
            return cycles
        except BackendError as error:
            self.refused = str(error)
            return None

    def _hold(self, what: str, need: int) -> None:
        """Raises BackendError when the memory of a board without a processor is too small."""
        if self.board.ps == "none" and need > SHELL_BYTES:
            raise BackendError(
                f"{what} take {need:,} bytes; behind the engine of a board without a processor there are "
                f"{SHELL_BYTES:,} (docs/uart.md)"
            )

    def run(self, config: EngineConfig) -> Estimate | None:
        """Compiled and timed; None when it is refused or needs more memory than there is."""
        if config.name in self.done:
            return self.done[config.name]
        found = None
        try:
            program = compile_graph(self.graph, config).program
            self._hold("program and tensors", memory_bytes(program))
            found = estimate_of(self.graph, program, config, self.board, self.mhz)
        except BackendError as error:
            self.refused = str(error)
        self.done[config.name] = found
        return found

    def rank(self, config: EngineConfig) -> tuple[float, ...] | None:
        """Smaller is better; None: it does not run, or misses the rate."""
        e = self.run(config)
        if e is None or (self.goal.kind == "fps" and e.fps < self.goal.fps):
            return None
        share = self.share(config)
        ranks = {"max-fps": (e.interval, share), "fps": (share, e.interval), "energy": (e.energy_nj, share)}
        return ranks[self.goal.kind]

    def best(self, bounds: dict[str, int], configs: Iterable[EngineConfig]) -> EngineConfig | None:
        """The best, the most promising first; what cannot be faster than the best so far is left out."""
        chosen: tuple[tuple[float, ...], EngineConfig] | None = None
        for config in sorted(configs, key=lambda c: (bounds[c.name], self.share(c))):
            if chosen is not None and self.goal.kind == "max-fps" and bounds[config.name] >= chosen[0][0]:
                continue
            rank = self.rank(config)
            if rank is not None and (chosen is None or rank < chosen[0]):
                chosen = rank, config
        return chosen[1] if chosen else None


def search(graph: Graph, board: Board, options: EngineOptions, goal: Goal) -> Found:
    """The best configuration that fits the board (the one that the options name, if they do).

    Every candidate is compiled for and timed, the most promising first; one whose least work already takes longer
    than the best so far is left out. The bound is the least work of the widest configuration that fits.
    """
    family = FAMILIES.get(board.family)
    if family is None:
        reason = f"explore knows no chip of the family {board.family} with the engine on it"
        return Found("engine", board.name, None, reason=reason)
    trials = _Trials(graph, board, goal, clock(board, options), family)
    searched = family == "ecp5" and not options.config
    if options.config:
        asked = [configuration(options.config)]
    elif searched:
        asked = variants.least("ecp5")
    else:
        asked = list(CONFIGS.values())
    asked = [c for c in asked if _made_for(c, board)]
    fitting = [c for c in asked if trials.fits(c)]
    if not fitting:
        if not asked:
            return Found("engine", board.name, None, reason="no configuration is made for this device")
        least = min(asked, key=trials.share)
        short = lacking(trials.need(least), board)
        return Found(
            "engine", board.name, None, reason=f"the smallest configuration, {least.name}: {words(short)}",
            shortfall=short,
        )  # fmt: skip
    if searched:
        fitting = [variants.largest(c, trials.fits) for c in fitting]
    bounds = {c.name: b for c in fitting if (b := trials.bound(c)) is not None}
    config = trials.best(bounds, [c for c in fitting if c.name in bounds])
    if config is None:
        reason = trials.refused
        too_slow = [e.fps for e in trials.done.values() if e is not None]
        if too_slow:
            reason = f"{goal.fps:g} frames/s are not reached by any configuration that fits; {max(too_slow):,.1f} are"
        return Found("engine", board.name, None, reason=reason)
    if searched:
        config = _shrunk(trials, config, [c for c in fitting if c.name in bounds])
    found = trials.run(config)
    assert found is not None
    bound = min(bounds.values())
    certificate: dict[str, Any] = {
        "optimal": True, "measure": "configuration", "value": found.interval, "bound": bound,
        "gap": found.interval / bound - 1 if goal.kind == "max-fps" else 0.0,
        "proof": f"the best of the configurations that fit ({', '.join(c.name for c in fitting)}); no schedule on them "
                 f"takes less than {bound:,} cycles",
        "method": "all tried", "risk": goal.risk,
    }  # fmt: skip
    if searched:
        certificate |= _searched(trials, config, bound, asked)
    chosen = {k: v for k, v in options.model_dump(exclude_defaults=True).items() if k != "config"}
    return Found("engine", board.name, found, chosen | {"config": config.name}, certificate)


def _shrunk(trials: _Trials, best: EngineConfig, fitting: list[EngineConfig]) -> EngineConfig:
    """Memories halved as long as the rank improves; by cost, every choice of units is a start."""
    starts = [best] if trials.goal.kind == "max-fps" else [c for c in fitting if trials.rank(c) is not None]
    ends = []
    for config in starts:
        while True:
            ranks = {c: r for c in variants.smaller(config) if (r := trials.rank(c)) is not None}
            now = trials.rank(config)
            nearest = min(ranks, key=lambda c: (ranks[c], c.name), default=None)
            if nearest is None or now is None or ranks[nearest] >= now:
                break
            config = nearest
        ends.append(config)
    return min(ends, key=lambda c: trials.rank(c) or (float("inf"),))


def _searched(trials: _Trials, config: EngineConfig, bound: int, asked: list[EngineConfig]) -> dict[str, Any]:
    """The certificate of a search over parameters: bounds hold for all variants, what was found is by descent."""
    found = trials.run(config)
    assert found is not None
    tried = f"{len(trials.done)} variants compiled, with the serial shell on the chip"
    if trials.goal.kind == "max-fps":
        value, least, said = float(found.interval), float(bound), f"no schedule takes less than {bound:,} cycles"
    elif trials.goal.kind == "fps":
        value, least = trials.share(config), min(map(trials.share, asked))
        said = f"no variant costs less than {least:.4f} of the board"
    else:
        value, least = found.energy_nj, energy_nj(found.macs, found.macs, 0, 0)
        said = f"multiplications of 1 bit and their sums alone take {least:,.0f} nJ"
    measure = "cycles between frames" if trials.goal.kind == "max-fps" else "configuration"
    return {
        "optimal": value <= least, "measure": measure,
        "value": value, "bound": least, "gap": value / least - 1, "proof": f"{tried}; {said}", "method": "descent",
    }  # fmt: skip


def least_work(graph: Graph, config: EngineConfig) -> tuple[int, int]:
    """Cycles that the busiest unit needs at least: steps of the two compute units, beats of the array's weights; and
    the bytes of these weights.

    Raises BackendError naming what the configuration refuses.
    """
    network, packed, refused = lower(graph, config)
    if refused:
        lines = "; ".join(f"{node} ({op}): {reason}" for node, op, reason in refused)
        raise BackendError(f"the engine refuses {len(refused)} nodes of {graph.name}: {lines}")
    array = channels = beats = 0
    for number, layer in enumerate(network.layers):
        p = packed[number]
        stored = network.stored[layer.output]
        positions = stored.shape[0] * stored.shape[1]
        if isinstance(p, ArrayLayer):
            array += p.subs * p.steps * positions
            beats += p.beats
        else:
            # Upsampling by taps has positions with fewer taps than it has weights for.
            channels += len(p.words) * positions * (1 if layer.kind == "up" else max(p.steps, 1))
    return max(array, channels, beats, 1), beats * LANES


def _made_for(config: EngineConfig, board: Board) -> bool:
    """Programs do not depend on the device, but UltraRAM and multipliers of 18 bits only make sense on some."""
    return not (config.am_ultra and not board.resources.uram) and bool(config.mul18) == (board.family == "ecp5")
