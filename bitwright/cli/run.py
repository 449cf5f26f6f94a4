# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Commands that use the host runtime: run, self test, benchmark, frame server."""

from __future__ import annotations

import json as json_module
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bitwright.cli.commands import host_errors, integers_of_files, progress_bar, report_outputs
from bitwright.cli.files import UsageError
from bitwright.host import Accelerator, load_bundle
from bitwright.host.convert import from_integers


def load(folder: Path, device: str, engine: str) -> Accelerator:
    """A bundle on a device. engine: what is behind the simulated board's registers, 'program' or 'rtl'."""
    bundle = load_bundle(folder)
    if engine == "rtl" and (device == "pynq" or bundle.manifest["transport"]["kind"] != "engine"):
        raise UsageError("--engine rtl: only bundles of the engine on the simulated board (--device sim)")
    options: dict[str, Any] = {"engine": engine} if engine == "rtl" else {}
    return Accelerator.load(bundle, device="sim" if options else device, **options)


def run(
    folder: Path, device: str, engine: str, inputs: Sequence[str], outputs: Sequence[str], raw: bool, force: bool,
    json: bool,
) -> None:  # fmt: skip
    """Run the host runtime."""
    with host_errors(), load(folder, device, engine) as net:
        x, _ = integers_of_files(net.bundle, inputs)
        with progress_bar(net.device.name, json) as progress:
            q = net.run_integers(x, progress)
        y = {p.name: from_integers(p, q[p.tensor], raw) for p in net.bundle.outputs}
        name = net.device.name
    report_outputs(f"device {name}", y, outputs, force, json)


def self_test(folder: Path, device: str, engine: str, json: bool) -> None:
    """Golden vectors, by equality."""
    with host_errors(), load(folder, device, engine) as net:
        net.self_test()
        frames, name = net.bundle.manifest["golden"]["frames"], net.device.name
    if json:
        print(json_module.dumps({"engine": f"device {name}", "frames": frames, "equal": True}))
    else:
        print(f"device {name}: {frames} golden frames, every integer equal")


def benchmark(folder: Path, device: str, engine: str, frames: int, json: bool) -> None:
    """Times of every stage."""
    with host_errors(), load(folder, device, engine) as net:
        found = net.benchmark(frames)
    print(json_module.dumps(found.as_dict()) if json else found)


def serve(folder: Path, device: str, host: str, port: int, queue: int) -> None:
    """Serve frames until interrupted."""
    from bitwright.host.server import FrameServer

    with host_errors(), load(folder, device, "program") as net:
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
