# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""A frame server: an accelerator over HTTP, with the standard library alone (docs/run.md).

    GET  /        what the network takes and gives, JSON
    GET  /stats   requests, frames, errors, latency percentiles, hardware counters, JSON
    POST /run     body: one array as .npy, or several by name as .npz; answer: .npz with the outputs by name, or JSON
                  for an image (task); ?raw=1 gives integers
    POST /integers  body: .npz with the integers of the inputs by tensor; answer: the same of the outputs. This is what
                  device="served" of another machine sends (devices/served.py).

Requests wait for the accelerator in a queue of limited length; beyond it they are told to come back (503, Retry-After).
There is no encryption and no login: bind it to an address that only friends can reach.
"""

from __future__ import annotations

import io
import json
import threading
import time
import zipfile
import zlib
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from numpy.typing import NDArray

from bitwright.host.accelerator import Accelerator
from bitwright.host.decode.boxes import Detections
from bitwright.host.errors import HostError, InputError
from bitwright.host.task import Classified, ImageTask
from bitwright.host.tensors import narrowest

#: Requests that may wait for the accelerator, and the longest body in bytes.
QUEUE, LONGEST = 16, 256 << 20
#: Latencies that the percentiles are taken from.
REMEMBERED = 1000


PATHS = "there are GET /, GET /stats, POST /run and POST /integers"


def _arrays(body: bytes) -> NDArray[Any] | dict[str, NDArray[Any]]:
    """An .npy, or an .npz by name. Raises InputError."""
    try:
        found = np.load(io.BytesIO(body), allow_pickle=False)
        return found if isinstance(found, np.ndarray) else {name: found[name] for name in found.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"the body is no array in .npy format, nor an .npz of some: {error}") from None


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
            "task": bundle.manifest.get("task"), "identity": bundle.identity,
            "inputs": [
                {"name": p.name, "shape": list(p.shape), "real": p.quantizer is not None,
                 "type": p.itype, "lo": p.lo, "hi": p.hi}
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
            found["wait"] = self.net.transport.waiter.facts()
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
            self._fail(404, f"{path}: {PATHS}")

    def do_POST(self) -> None:
        address = urlsplit(self.path)
        length = self.headers.get("Content-Length", "")
        if address.path not in ("/run", "/integers"):
            return self._fail(404, f"{address.path}: {PATHS}")
        if not length.isdecimal() or int(length) > LONGEST:
            return self._fail(413, f"Content-Length is {length or 'missing'}; give a body of at most {LONGEST} bytes")
        body = self.rfile.read(int(length))
        if not self.server.room.acquire(blocking=False):
            self.server.count(turned_away=1)
            return self._fail(503, "too many requests are waiting; come back later", retry=True)
        start = time.perf_counter()
        try:
            x = _arrays(body)
            if address.path == "/run":
                self._run(x, parse_qs(address.query).get("raw", ["0"])[-1] == "1")
            else:
                self._integers(x)
            self.server.count(time.perf_counter() - start)
        except InputError as error:
            self._fail(400, str(error))
        except HostError as error:  # the accelerator was reset; the next request may do better
            self._fail(500, str(error))
        finally:
            self.server.room.release()
        return None

    def _run(self, x: NDArray[Any] | dict[str, NDArray[Any]], raw: bool) -> None:
        image = self.server.net.task is not None and ImageTask.takes(x)
        y = self.server.net.run(x, raw=raw)
        first = next(iter(x.values())) if isinstance(x, dict) else x
        self.server.count(requests=1, frames=1 if image else len(first))
        if isinstance(y, Detections | Classified):
            return self._json(200, {name: getattr(y, name).tolist() for name in vars(y)})
        if not isinstance(y, dict):
            y = {self.server.net.bundle.outputs[0].name: y}
        return self._archive(y)

    def _integers(self, x: NDArray[Any] | dict[str, NDArray[Any]]) -> None:
        if not isinstance(x, dict):
            raise InputError("the body is one array; send an .npz with the integers by tensor")
        y = self.server.net.run_integers(x)
        self.server.count(requests=1, frames=len(next(iter(x.values()))))
        self._archive({n: v.astype(narrowest(int(v.min()), int(v.max()))) if v.size else v for n, v in y.items()})

    def _archive(self, arrays: dict[str, Any]) -> None:
        out = io.BytesIO()
        np.savez(out, **arrays)
        self._send(200, "application/zip", out.getvalue())

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
