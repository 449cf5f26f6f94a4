# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""A simulated Zynq board: processor caches, contiguous DRAM, and programmable logic with the design of a bundle.

It takes the place of registers and buffers only; the host runtime above it is the one that runs on a board.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bitwright.boards import Board, load_board
from bitwright.compile.ir.serialize import load_graph
from bitwright.errors import SimulationError
from bitwright.hw.variants import configuration
from bitwright.sim import reference
from bitwright.sim.board.clock import ACCESS, Clock
from bitwright.sim.board.dma import DMA_FAULTS, DmaModel
from bitwright.sim.board.engine import ENGINE_FAULTS, ProgramEngine, RtlBoardEngine
from bitwright.sim.board.finn import FINN_FAULTS, FinnModel
from bitwright.sim.board.interrupts import INTERRUPT_FAULTS, InterruptLine
from bitwright.sim.board.kernel import AcceleratorKernel, Network
from bitwright.sim.board.memory import CachedBuffer, Dram

FAULTS = (*DMA_FAULTS, *ENGINE_FAULTS, *FINN_FAULTS, *INTERRUPT_FAULTS)


class Logic(Protocol):
    """What answers at the addresses of the design."""

    def read(self, offset: int) -> int: ...

    def write(self, offset: int, value: int) -> None: ...


class Model(Protocol):
    """A whole design."""

    @property
    def irqs(self) -> Mapping[str, bool]:
        """Levels of interrupt pins by name."""
        ...

    def state(self) -> str:
        """What it does or waits for, in words."""
        ...

    def power_up(self) -> None: ...

    def advance(self, seconds: float) -> None: ...


class _Registers:
    """Registers behind the interconnect: every access takes time."""

    def __init__(self, logic: Logic, clock: Clock) -> None:
        self._logic, self._clock = logic, clock

    def read(self, offset: int) -> int:
        self._clock.advance(ACCESS)
        return self._logic.read(offset)

    def write(self, offset: int, value: int) -> None:
        self._clock.advance(ACCESS)
        self._logic.write(offset, value)


class SimulatedBoard:
    """The device that `Accelerator.load(bundle, device="sim")` opens.

    Attributes:
        dram: contiguous memory; `dram.flip_bit` damages it. clock: simulated time.
        faults: names of FAULTS that are there now; `inject` and `heal` change it.
        blocks: what the design has: 'axi_dma', 'engine', or FINN's DMA cores (idma0, odma0). logic: the whole model.
        ip: registers of the blocks, whose accesses take time. interrupts: of all of them, for a program that sleeps.
    """

    def __init__(self, blocks: Mapping[str, Logic], logic: Model, dram: Dram, faults: set[str]) -> None:
        self.clock = Clock()
        self.dram = dram
        self.faults = faults
        self.logic = logic
        self.blocks = blocks
        self.ip = {kind: _Registers(block, self.clock) for kind, block in blocks.items()}
        self.interrupts = InterruptLine(self.clock, lambda: any(logic.irqs.values()), faults)
        self.clock.listen(logic.advance)

    @classmethod
    def with_bundle(
        cls,
        bundle: Any,
        network: Network | None = None,
        *,
        engine: str = "program",
        config: str | None = None,
        cma: int | None = None,
        faults: Iterable[str] = (),
        seed: int = 0,
        stall_seed: int | None = None,
    ) -> SimulatedBoard:
        """A board of the bundle's kind with the bundle's design in it.

        Args:
            bundle: a bitwright.host.bundle.Bundle.
            network: integers by tensor name in and out, in place of the bundle's integer graph (not for the engine).
            engine: 'program' executes engine programs by their definition; 'rtl' simulates the hardware itself.
            config: name of the configuration of the engine that is loaded; that of the bundle when left out.
            cma: bytes of contiguous memory; when left out those of the board, all of its memory if no Linux runs there.
            faults: names of FAULTS.
            seed: of the random burst lengths of the AXI DMA. stall_seed: of random stalls on the RTL's AXI channels.

        Raises SimulationError for an unknown name, ToolMissingError when the RTL cannot be simulated here.
        """
        board = load_board(bundle.manifest["board"])
        size = (board.memory.cma or board.memory.dram) if cma is None else cma
        present = _checked(faults)
        kind = bundle.manifest["transport"]["kind"]
        if kind == "finn":
            dram, shapes = Dram(size), {p.tensor: p.tensor_shape for p in (*bundle.inputs, *bundle.outputs)}
            rate = float(bundle.manifest["estimate"].get("fps") or 1000.0)
            finn = FinnModel(dram, network or _network(bundle), bundle.finn_ends(), shapes, rate, present)
            return cls(finn.cores, finn, dram, present)
        if kind != "engine":
            dram = Dram(size)
            kernel = AcceleratorKernel(network or _network(bundle), bundle.inputs[0], bundle.outputs[0])
            dma = DmaModel(dram, kernel, seed, faults=present)
            return cls({"axi_dma": dma}, dma, dram, present)
        name = config or json.loads((bundle.project / "program.json").read_text(encoding="utf-8"))["config"]
        hz = 1e6 * float(bundle.manifest["clock_mhz"])
        if engine == "rtl":
            rtl = RtlBoardEngine(configuration(name), size, hz, _bus(board, hz), present, stall_seed)
            return cls({"engine": rtl}, rtl, rtl.dram, present)
        if engine != "program":
            raise SimulationError(f"simulated board: engine is {engine!r}; there are 'program' and 'rtl'")
        dram = Dram(size)
        model = ProgramEngine(configuration(name), dram, hz, present)
        made = cls({"engine": model}, model, dram, present)
        made.expect(bundle)
        return made

    def inject(self, *faults: str) -> None:
        """Let faults appear. Raises SimulationError for an unknown name."""
        self.faults |= _checked(faults)

    def heal(self) -> None:
        """Take all faults away; the state that they have caused stays."""
        self.faults.clear()

    def expect(self, bundle: Any) -> None:
        """Let frames of a bundle's engine program take the cycles of its estimate; the RTL takes what it takes."""
        if isinstance(self.logic, ProgramEngine):
            code = (bundle.project / "program.bin").read_bytes()
            self.logic.cycles[zlib.crc32(code)] = int(bundle.manifest["estimate"]["cycles"])

    def reload(self) -> None:
        """The bitstream is loaded again."""
        self.logic.power_up()

    def allocate(self, nbytes: int) -> CachedBuffer:
        """A buffer as pynq.allocate gives it. Raises MemoryError."""
        return CachedBuffer(self.dram, nbytes)


def _checked(faults: Iterable[str]) -> set[str]:
    unknown = sorted(set(faults) - set(FAULTS))
    if unknown:
        raise SimulationError(f"simulated board: unknown faults {unknown}; there are {', '.join(FAULTS)}")
    return set(faults)


def _network(bundle: Any) -> Network:
    graph = load_graph(bundle.program)

    def network(x: Mapping[str, NDArray[np.int64]]) -> Mapping[str, NDArray[np.int64]]:
        return reference.run(graph, x)

    return network


def _bus(board: Board, hz: float) -> tuple[int, int]:
    """Latency in cycles and beats of 16 bytes in 256 cycles, after the board's file."""
    memory = board.memory
    beats = 16 * memory.bytes_per_second * memory.efficiency / hz
    return round(memory.latency_ns * hz / 1e9), max(1, min(256, int(beats)))
