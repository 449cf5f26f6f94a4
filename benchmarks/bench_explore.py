# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The folding search against the slowest-first baseline, on networks of the zoo and on MobileNetV2.

    python -m benchmarks.bench_explore [--json FILE] [MODEL ...]

Prints the table of docs/explore.md: best design of every backend on two boards, baseline, CPU seconds of the search.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from bitwright.boards import load_board
from bitwright.compile.backends import backend_names
from bitwright.compile.explore.auto import BACKENDS, explore
from bitwright.compile.explore.found import Goal
from bitwright.compile.frontend import import_model
from bitwright.engine_bench import model_file

MODELS = ("digits-classifier", "digits-autoencoder", "codenet-bccd", "mobilenet_v2_224")
BOARDS = ("pynq-z2", "zcu104")


def rows(models: list[str]) -> list[dict[str, Any]]:
    """One row for each model, board, backend and goal."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name in models:
            graph = import_model(model_file(name, Path(folder)))
            for board in map(load_board, BOARDS):
                for backend in (b for b in BACKENDS if b in backend_names()):
                    begin = time.process_time()
                    best = explore(graph, board, backend, {}, Goal())
                    seconds = time.process_time() - begin
                    row = {"model": name, "board": board.name, "backend": backend, "seconds": seconds}
                    e, c, b = best.estimate, best.certificate, best.baseline or {}
                    if e is None:
                        found.append(row | {"reason": best.reason})
                        continue
                    found.append(
                        row | {"fps": e.fps, "cycles": e.interval, "optimal": c["optimal"], "gap": c["gap"],
                               "method": c["method"], "baseline_cycles": b.get("interval_cycles")}
                    )  # fmt: skip
    return found


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=list(MODELS), help="files, or names of the zoo and its structures")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    arguments = parser.parse_args()
    table = rows(arguments.models)
    print("| network | board | backend | frames/s | cycles | slowest first | decided by | CPU s |")
    print("|---|---|---|---|---|---|---|---|")
    for r in table:
        place = f"| {r['model']} | {r['board']} | {r['backend']} "
        if "reason" in r:
            print(f"{place}| - | {r['reason']} | | | {r['seconds']:.1f} |")
            continue
        baseline = (
            f"{r['baseline_cycles']:,}" if r["baseline_cycles"] else ("-" if r["backend"] == "engine" else "none")
        )
        print(f"{place}| {r['fps']:,.1f} | {r['cycles']:,} | {baseline} | {r['method']} | {r['seconds']:.1f} |")
    if arguments.json:
        arguments.json.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
