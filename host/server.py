# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""A frame server: an accelerator over HTTP, with the standard library alone (docs/run.md).

    GET  /        what the network takes and gives, JSON
    GET  /stats   requests, frames, errors, latency percentiles, hardware counters, JSON
    POST /run     body: one array as .npy; answer: .npz with the outputs by name, or JSON for an image (task)
                  ?raw=1 gives integers

Requests wait for the accelerator in a queue of limited length; beyond it they are told to come back (503, Retry-After).
There is no encryption and no login: bind it to an address that only friends can reach.
"""

from __future__ import annotations

import io
import json
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

from bitwright.host.accelerator import Accelerator
from bitwright.host.decode.boxes import Detections
from bitwright.host.errors import HostError, InputError
from bitwright.host.task import Classified, ImageTask

#: Requests that may wait for the accelerator, and the longest body in bytes.
QUEUE, LONGEST = 16, 256 << 20
#: Latencies that the percentiles are taken from.
REMEMBERED = 1000


class FrameServer(ThreadingHTTPServer):
    """Serves one accelerator. `serve_forever` runs until `shutdown`.

    Args:
        address: (host, port); port 0 takes a free one, see `server_address`.
        queue: requests that may be inside at a time.
    """

    daemon_threads = True

    def __init__(self, net: Accelerator, address: tuple[str, int], queue: int = QUEUE) -> None:
        self.net = net
        self.room = threading.BoundedSemaphore(queue)
        self._lock = threading.Lock()
        self._counts = {"requests": 0, "frames": 0, "errors": 0, "turned_away": 0}
        self._seconds: deque[float] = deque(maxlen=REMEMBERED)
        super().__init__(address, _Handler)

    def count(self, seconds: float | None = None, **more: int) -> None:
        """Add to the statistics."""
        with self._lock:
            for name, number in more.items():
                self._counts[name] += number
            if seconds is not None:
                self._seconds.append(seconds)

    def facts(self) -> dict[str, Any]:
        """What clients must know."""
        bundle = self.net.bundle
        return {
            "name": bundle.manifest.get("name"), "board": bundle.manifest["board"], "device": self.net.device.name,
            "task": bundle.manifest.get("task"),
            "inputs": [
                {"name": p.name, "shape": list(p.shape), "real": p.quantizer is not None, "lo": p.lo, "hi": p.hi}
                for p in bundle.inputs
            ],
            "outputs": [{"name": p.name, "shape": list(p.shape)} for p in bundle.outputs],
        }  # fmt: skip

    def stats(self) -> dict[str, Any]:
        """Counts so far and latencies of the last requests in milliseconds."""
        with self._lock:
            found: dict[str, Any] = dict(self._counts)
            seconds = np.asarray(self._seconds)
        if seconds.size:
            found["latency_ms"] = {f"p{q}": 1e3 * float(np.percentile(seconds, q)) for q in (50, 90, 99)}
        with self.net.lock:
            found["counters"] = self.net.transport.counters()
        return found


class _Handler(BaseHTTPRequestHandler):
    server: FrameServer
    protocol_version = "HTTP/1.1"
    server_version = "bitwright"
    timeout = 60  # seconds for a client that stops talking

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/":
            self._json(200, self.server.facts())
        elif path == "/stats":
            self._json(200, self.server.stats())
        else:
            self._fail(404, f"{path}: there are GET /, GET /stats and POST /run")

    def do_POST(self) -> None:
        address = urlsplit(self.path)
        length = self.headers.get("Content-Length", "")
        if address.path != "/run":
            return self._fail(404, f"{address.path}: there are GET /, GET /stats and POST /run")
        if not length.isdecimal() or int(length) > LONGEST:
            return self._fail(413, f"Content-Length is {length or 'missing'}; give a body of at most {LONGEST} bytes")
        body = self.rfile.read(int(length))
        if not self.server.room.acquire(blocking=False):
            self.server.count(turned_away=1)
            return self._fail(503, "too many requests are waiting; come back later", retry=True)
        start = time.perf_counter()
        try:
            self._answer(body, parse_qs(address.query).get("raw", ["0"])[-1] == "1")
            self.server.count(time.perf_counter() - start)
        except InputError as error:
            self._fail(400, str(error))
        except HostError as error:  # the accelerator was reset; the next request may do better
            self._fail(500, str(error))
        finally:
            self.server.room.release()
        return None

    def _answer(self, body: bytes, raw: bool) -> None:
        try:
            x = np.load(io.BytesIO(body), allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise InputError(f"the body is no array in .npy format: {error}") from None
        if not isinstance(x, np.ndarray):
            raise InputError("the body is an .npz archive; send one array as .npy")
        image = self.server.net.task is not None and ImageTask.takes(x)
        y = self.server.net.run(x, raw=raw)
        self.server.count(requests=1, frames=1 if image else len(x))
        if isinstance(y, Detections | Classified):
            return self._json(200, {name: getattr(y, name).tolist() for name in vars(y)})
        if not isinstance(y, dict):
            y = {self.server.net.bundle.outputs[0].name: y}
        out = io.BytesIO()
        np.savez(out, **y)
        return self._send(200, "application/zip", out.getvalue())

    def _fail(self, code: int, message: str, retry: bool = False) -> None:
        self.server.count(errors=1)
        self.close_connection = True  # the body may not have been read
        self._json(code, {"error": message}, {"Retry-After": "1"} if retry else {})

    def _json(self, code: int, value: Any, headers: dict[str, str] | None = None) -> None:
        self._send(code, "application/json", json.dumps(value).encode(), headers)

    def _send(self, code: int, kind: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Statistics instead of a line for each request."""
