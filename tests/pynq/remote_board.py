# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""A board with the PYNQ.remote server, simulated: pynq's gRPC services in front of a simulated board."""

from __future__ import annotations

import itertools
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from pynq.remote import (
    buffer_pb2,
    buffer_pb2_grpc,
    mmio_pb2,
    mmio_pb2_grpc,
    remote_device_pb2,
    remote_device_pb2_grpc,
)

from bitwright.boards import load_board
from bitwright.compile.build.hwh import read_address_map
from bitwright.host import Bundle
from bitwright.overlay import architecture
from bitwright.sim.board import SimulatedBoard
from bitwright.sim.board.clock import ACCESS
from bitwright.sim.board.ps import WINDOWS, PlainRegisters

PORT = 7967
FIRMWARE = "/lib/firmware/"


class RemoteBoard:
    """Serves on 127.0.0.1.

    Attributes:
        files: of the board, as far as anyone asked. sent: names of bitstreams that came over the network.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.board = SimulatedBoard.with_bundle(bundle)
        arch = architecture(bundle)
        self.files = {
            "/proc/version": f"Linux {arch}".encode(), "/proc/meminfo": b"MemFree: 1 kB\nCmaFree: 1024 kB\n",
            "/sys/class/fpga_manager/fpga0/state": b"operating", "/sys/class/fpga_manager/fpga0/flags": b"0",
        }  # fmt: skip
        self.sent: list[str] = []
        handoff = bundle.artifact("hwh")
        assert handoff is not None and load_board(bundle.manifest["board"])
        blocks = iter(self.board.blocks.values())
        self.windows: list[tuple[int, int, Any]] = [
            (low, high - low + 1, next(blocks) if "axi_intc" not in vlnv else PlainRegisters({}))
            for vlnv, low, high in read_address_map(handoff).values()
        ]
        self.windows += [(base, size, PlainRegisters(v)) for base, (size, v) in WINDOWS[arch].items()]
        self.others = PlainRegisters({})
        self.buffers: dict[str, Any] = {}
        self.names = (str(k) for k in itertools.count(1))
        self.mmios: dict[str, int] = {}
        self.server = grpc.server(futures.ThreadPoolExecutor(4))
        remote_device_pb2_grpc.add_RemoteDeviceServicer_to_server(_Files(self), self.server)
        mmio_pb2_grpc.add_MmioServicer_to_server(_Registers(self), self.server)
        buffer_pb2_grpc.add_RemoteBufferServicer_to_server(_Buffers(self), self.server)
        self.server.add_insecure_port(f"127.0.0.1:{PORT}")

    def __enter__(self) -> RemoteBoard:
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop(None).wait()

    def find(self, address: int) -> tuple[Any, int]:
        """Registers and offset behind an address; other ones keep what is written."""
        for base, size, window in self.windows:
            if base <= address < base + size:
                return window, address - base
        return self.others, address


class _Files(remote_device_pb2_grpc.RemoteDeviceServicer):
    def __init__(self, owner: RemoteBoard) -> None:
        self.owner = owner

    def existsfile(self, request: Any, context: Any) -> Any:
        return remote_device_pb2.ExistsFileResponse(exists=request.file_path in self.owner.files)

    def readfile(self, request: Any, context: Any) -> Any:
        yield remote_device_pb2.ReadFileResponse(data=self.owner.files[request.file_path])

    def writefile(self, requests: Any, context: Any) -> Any:
        name, data = "", b""
        for part in requests:
            name, data = part.file_path, data + part.data
        self.owner.files[name] = data
        if name.startswith(FIRMWARE):
            self.owner.sent.append(Path(name).name)
        if name.endswith("fpga0/firmware"):
            assert FIRMWARE + data.decode() in self.owner.files, "no such bitstream on the board"
            self.owner.board.reload()
        return remote_device_pb2.WriteFileResponse()

    def set_bitstream_attrs(self, request: Any, context: Any) -> Any:
        return remote_device_pb2.SetBitstreamAttrsResponse(status=True)


class _Registers(mmio_pb2_grpc.MmioServicer):
    def __init__(self, owner: RemoteBoard) -> None:
        self.owner = owner

    def get_mmio(self, request: Any, context: Any) -> Any:
        name = next(self.owner.names)
        self.owner.mmios[name] = request.base_addr
        return mmio_pb2.GetMmioResponse(status=True, mmio_id=name)

    def read(self, request: Any, context: Any) -> Any:
        window, offset = self.owner.find(self.owner.mmios[request.mmio_id] + request.offset)
        self.owner.board.clock.advance(100 * ACCESS)
        value = window.read(offset)
        field = mmio_pb2.ReadResponse.DESCRIPTOR.fields_by_name["data"]
        if field.type == field.TYPE_INT32:  # until pynq 4
            value -= value >> 31 << 32
        return mmio_pb2.ReadResponse(status=True, data=value)

    def write(self, request: Any, context: Any) -> Any:
        window, offset = self.owner.find(self.owner.mmios[request.mmio_id] + request.offset)
        self.owner.board.clock.advance(100 * ACCESS)
        for k, value in enumerate(np.frombuffer(request.data, "<u4").tolist()):
            window.write(offset + 4 * k, value)
        return mmio_pb2.WriteResponse(status=True)


class _Buffers(buffer_pb2_grpc.RemoteBufferServicer):
    def __init__(self, owner: RemoteBoard) -> None:
        self.owner = owner

    def allocate(self, request: Any, context: Any) -> Any:
        try:
            made = self.owner.board.allocate(request.size)
        except MemoryError as error:
            return buffer_pb2.AllocateResponse(msg=str(error))
        name = next(self.owner.names)
        self.owner.buffers[name] = made
        return buffer_pb2.AllocateResponse(buffer_id=name)

    def write(self, requests: Any, context: Any) -> Any:
        at = 0
        for part in requests:
            view = self.owner.buffers[part.buffer_id].view
            view[at : at + len(part.data)] = np.frombuffer(part.data, np.uint8)
            at += len(part.data)
        return buffer_pb2.BufferWriteResponse()

    def read(self, request: Any, context: Any) -> Any:
        yield buffer_pb2.BufferReadResponse(data=self.owner.buffers[request.buffer_id].view.tobytes())

    def flush(self, request: Any, context: Any) -> Any:
        self.owner.buffers[request.buffer_id].flush()
        return buffer_pb2.FlushResponse()

    def invalidate(self, request: Any, context: Any) -> Any:
        self.owner.buffers[request.buffer_id].invalidate()
        return buffer_pb2.InvalidateResponse()

    def physical_address(self, request: Any, context: Any) -> Any:
        return buffer_pb2.AddressResponse(address=self.owner.buffers[request.buffer_id].physical_address)

    def cacheable(self, request: Any, context: Any) -> Any:
        return buffer_pb2.CacheableResponse(cacheable=True)

    def freebuffer(self, request: Any, context: Any) -> Any:
        self.owner.buffers.pop(request.buffer_id).free()
        return buffer_pb2.FreeBufferResponse()
