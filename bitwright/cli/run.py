# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Commands that use the host runtime: run, self test, benchmark, frame server."""

from __future__ import annotations

import json as json_module
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitwright.cli.commands import host_errors, integers_of_files, progress_bar, report_outputs
from bitwright.cli.files import UsageError
from bitwright.host import Accelerator, load_bundle
from bitwright.host.convert import from_integers

#: Devices that need an address: the runtime's name of it, and an example.
ADDRESSES = {
    "remote": ("address", "192.168.2.99"), "served": ("address", "http://192.168.2.99:8080"),
    "uart": ("port", "/dev/ttyUSB0"),
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Where to run.

    Attributes:
        device: of `host.devices.base.DEVICES`. address: of a board that is connected, for ADDRESSES.
        wait: of `host.waiting.WAITS`. engine: what is behind the simulated board's registers, 'program' or 'rtl'.
    """

    device: str
    address: str | None
    wait: str
    engine: str = "program"

    def load(self, folder: Path) -> Accelerator:
        """A bundle there. Raises UsageError for options that exclude each other."""
        bundle = load_bundle(folder)
        options: dict[str, Any] = {}
        device = self.device
        if self.engine == "rtl":
            if device not in ("auto", "sim") or bundle.manifest["transport"]["kind"] != "engine":
                raise UsageError("--engine rtl: only bundles of the engine on the simulated board (--device sim)")
            device, options = "sim", {"engine": "rtl"}
        if device in ADDRESSES:
            name, example = ADDRESSES[device]
            if self.address is None:
                raise UsageError(f"--device {device}: say where the board is: --address {example}")
            options[name] = self.address
        elif self.address is not None:
            raise UsageError(f"--address {self.address}: only with --device {' or '.join(ADDRESSES)}")
        return Accelerator.load(bundle, device, wait=self.wait, **options)


def run(
    folder: Path, place: Place, inputs: Sequence[str], outputs: Sequence[str], raw: bool, force: bool, json: bool
) -> None:
    """Run the host runtime."""
    with host_errors(), place.load(folder) as net:
        x, _ = integers_of_files(net.bundle, inputs)
        with progress_bar(net.device.name, json) as progress:
            q = net.run_integers(x, progress)
        y = {p.name: from_integers(p, q[p.tensor], raw) for p in net.bundle.outputs}
        name = net.device.name
    report_outputs(f"device {name}", y, outputs, force, json)


def self_test(folder: Path, place: Place, json: bool) -> None:
    """Golden vectors, by equality."""
    with host_errors(), place.load(folder) as net:
        net.self_test()
        frames, name = net.bundle.manifest["golden"]["frames"], net.device.name
    if json:
        print(json_module.dumps({"engine": f"device {name}", "frames": frames, "equal": True}))
    else:
        print(f"device {name}: {frames} golden frames, every integer equal")


def benchmark(folder: Path, place: Place, frames: int, json: bool) -> None:
    """Times of every stage."""
    with host_errors(), place.load(folder) as net:
        found = net.benchmark(frames)
    print(json_module.dumps(found.as_dict()) if json else found)


def serve(folder: Path, place: Place, host: str, port: int, queue: int) -> None:
    """Serve frames until interrupted."""
    from bitwright.host.server import FrameServer

    with host_errors(), place.load(folder) as net:
        try:
            server = FrameServer(net, (host, port), queue)
        except OSError as error:
            raise UsageError(f"--host {host} --port {port}: {error.strerror}; choose another") from None
        with server:
            where = f"http://{host}:{server.server_address[1]}/"
            print(
                f"{folder}: serving on {where} (device {net.device.name}); no encryption, no login; Ctrl-C ends it",
                flush=True,
            )
            # What a service manager sends ends it as an interrupt does.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                print("stopped")
