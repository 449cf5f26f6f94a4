# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Predicted against reported: the model of hls4ml's layers on published synthesis reports, and on boards.

    python -m benchmarks.bench_estimates [--json FILE]

Prints the tables of docs/estimates.md from the recorded points (tests/estimate/points.json says where each is from).
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bitwright.compile.estimate.hls4ml.kernel import (
    LATENCY_FF,
    LATENCY_LUT,
    RESOURCE_ERROR,
    WINDOW_EXTRA,
    Choice,
    Kernel,
    choose,
)
from bitwright.compile.estimate.pipeline import Step, latency

POINTS = Path(__file__).resolve().parent.parent / "tests" / "estimate" / "points.json"
#: MLPerf Tiny submissions on the PYNQ-Z2: frames per second as measured, one frame at a time; clock of the block design
#: from the submitted hardware description (100 MHz). Layers: windows, reads, n_in, n_out, asked reuse factor, kernel
#: rows, stride, rows of the output.
MLPERF = {
    "RN07, v0.7": (36.596, ((1024, 1024, 3, 32, 16384, 1, 1, 32), (1024, 1225, 512, 4, 16384, 4, 1, 32),
                            (1024, 1225, 64, 32, 16384, 4, 1, 32), (64, 1024, 512, 32, 16384, 4, 4, 8),
                            (64, 121, 512, 32, 16384, 4, 1, 8), (1, 64, 2048, 10, 16384, 0, 1, 1))),
    "RN08, v1.0": (130.834, ((1024, 1024, 3, 32, 16384, 1, 1, 32), (1024, 1225, 512, 4, 512, 4, 1, 32),
                             (1024, 1225, 64, 32, 512, 4, 1, 32), (64, 1024, 512, 32, 512, 4, 4, 8),
                             (64, 121, 512, 32, 4096, 4, 1, 8), (1, 64, 2048, 10, 16384, 0, 1, 1))),
}  # fmt: skip


def load() -> dict[str, Any]:
    """The recorded points."""
    return dict(json.loads(POINTS.read_text(encoding="utf-8")))


def kernel_of(point: dict[str, Any]) -> Kernel:
    """The layer of a point."""
    return Kernel(**point["kernel"] | {"products": tuple(point["kernel"]["products"])})


def worst_cycles(kernel: Kernel, choice: Choice) -> int:
    """What HLS reports as the longest latency: every position of the padded input completes a window."""
    if kernel.is_dense:
        return choice.cycles
    return kernel.reads * (choice.reuse + WINDOW_EXTRA)


def predict(point: dict[str, Any]) -> dict[str, float]:
    """The figures that the point reports, predicted."""
    kernel = kernel_of(point)
    choice = choose(kernel, point["strategy"], point["reuse"])
    usage = choice.usage
    nonzero, two, more = kernel.products
    terms = (nonzero * kernel.acc_bits, two * kernel.acc_bits, more)
    values: dict[str, float] = {
        "dsp": usage.dsp.high, "bram18": usage.bram18.high, "synth_bram18": usage.bram18.low,
        "lut": usage.lut.high / RESOURCE_ERROR[1] if point["strategy"] == "resource" else 0.0,
        "ff": usage.ff.high / RESOURCE_ERROR[1] if point["strategy"] == "resource" else 0.0,
        "hls_lut": sum(c * n for c, n in zip(LATENCY_LUT, terms, strict=True)),
        "hls_ff": sum(c * n for c, n in zip(LATENCY_FF, terms, strict=True)),
        "worst_cycles": worst_cycles(kernel, choice),
        "interval": choice.cycles if not kernel.stream else kernel.reads * choice.reuse + WINDOW_EXTRA,
    }  # fmt: skip
    return {name: values[name] for name in point["reported"]}


def ratios(points: Iterable[dict[str, Any]]) -> dict[tuple[str, bool, str], list[float]]:
    """Predicted / reported by source, held out or not, and figure; 1 where both are 0."""
    found: dict[tuple[str, bool, str], list[float]] = defaultdict(list)
    for point in points:
        for name, value in predict(point).items():
            reported = point["reported"][name]
            ratio = value / reported if reported else (1.0 if value == 0 else math.inf)
            found[point["source"], point["held_out"], name].append(ratio)
    return found


def mlperf_cycles(layers: tuple[tuple[int, ...], ...]) -> int:
    """Latency of one frame, without the copy of the frame."""
    steps = []
    for k, (windows, reads, n_in, n_out, asked, height, stride, rows) in enumerate(layers):
        size = (n_in, n_out, windows, reads, 0 if height == 0 else 1, max(height - 1, 0), 1)
        kernel = Kernel(*size, 8, 9, 17, False, True, (0, 0, 0))
        cycles = choose(kernel, "resource", asked).cycles
        pad = (height - 1) // 2 if stride == 1 else 0
        reach = (stride, height - 1 - pad) if height else None
        steps.append(Step((f"t{k}",), f"t{k + 1}", rows, cycles, reach))
    return latency(steps)


def summary() -> dict[str, Any]:
    """Spread of predicted / reported of every source and figure; MLPerf boards."""
    points = load()["points"]
    rows = [
        {"source": source, "held_out": held, "figure": name, "points": len(r), "least": min(r), "most": max(r),
         "exact": sum(abs(v - 1) < 1e-9 for v in r)}
        for (source, held, name), r in sorted(ratios(points).items())
    ]  # fmt: skip
    boards = []
    for name, (fps, layers) in MLPERF.items():
        predicted, reported = mlperf_cycles(layers), 100e6 / fps
        boards.append({"net": name, "predicted": predicted, "reported": round(reported), "ratio": predicted / reported})
    return {"rows": rows, "boards": boards}


def _point_row(point: dict[str, Any]) -> str:
    predicted, reported = predict(point), point["reported"]

    def cell(*names: str) -> str:
        return next((f"{predicted[n]:,.0f} / {reported[n]:,}" for n in names if n in reported), "")

    columns = (("worst_cycles", "interval"), ("dsp",), ("bram18",), ("lut", "hls_lut"), ("ff", "hls_ff"))
    cells = " | ".join(cell(*names) for names in columns)
    return f"| {point['source']} | {point['layer']} | {point['strategy']}, {point['reuse']} | {cells} |"


def main() -> None:
    """Print the tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    parser.add_argument("--points", action="store_true", help="print every point instead")
    arguments = parser.parse_args()
    if arguments.points:
        for held in (False, True):
            print(f"\n{'Held out' if held else 'Used for the constants'} (predicted / reported):\n")
            print("| source | layer | strategy, reuse | cycles | DSP | BRAM18 | LUT | FF |")
            print("|---|---|---|---|---|---|---|---|")
            for point in load()["points"]:
                if point["held_out"] == held:
                    print(_point_row(point))
        return
    figures = summary()
    print("| source | held out | figure | points | exact | predicted / reported |\n|---|---|---|---|---|---|")
    for row in figures["rows"]:
        held = "yes" if row["held_out"] else ""
        print(
            f"| {row['source']} | {held} | {row['figure']} | {row['points']} | {row['exact']} | "
            f"{row['least']:.2f} to {row['most']:.2f} |"
        )
    print("\n| board | predicted cycles | reported cycles | ratio |\n|---|---|---|---|")
    for b in figures["boards"]:
        print(f"| {b['net']} | {b['predicted']:,} | {b['reported']:,} | {b['ratio']:.2f} |")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
