# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""What the hardware-friendly forms of deformable convolution cost in accuracy and save in memory access.

Trains the same small CoDeNet nine times, on digit scenes or on BCCD, one row for each operator of the up-stages: the
eight rows of CoDeNet's ablation (arXiv:2006.08357v1, table 1) and rounded offsets, which the paper does not ablate.
The paper's rows start from a backbone that ImageNet has trained; these start from the backbone of a tenth network, with
depthwise 3x3 windows, that was trained on the same pictures before: from random weights some rows begin to learn dozens
of epochs after others, and the table would show that. Float networks, so that nothing but the operator changes. Needs
the extra ``qat``: `make bench-deform [BCCD=FOLDER]`.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bitwright.quant.recipe import Recipe, parse_recipe

#: Title and [model.deformable] of each row.
ROWS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("3x3", {"enabled": False, "depthwise": False}),
    ("3x3 depthwise", {"enabled": False}),
    ("5x5 depthwise", {"enabled": False, "kernel": 5}),
    ("7x7 depthwise", {"enabled": False, "kernel": 7}),
    ("9x9 depthwise", {"enabled": False, "kernel": 9}),
    ("deformable, depthwise", {"square": False, "bounds": [], "rounded": False}),
    ("+ bounded", {"square": False, "bounds": [-8, 7], "rounded": False}),
    ("+ square", {"square": True, "bounds": [0, 7], "rounded": False}),
    ("+ rounded", {"square": True, "bounds": [0, 7], "rounded": True}),
)


#: The network whose backbone all rows start from.
START = {"enabled": False}


def recipe(deformable: dict[str, Any], epochs: int, options: argparse.Namespace) -> Recipe:
    """One row: everything but the operator is the same."""
    phase = {"batch_size": 8, "learning_rate": 1.5e-3, "optimiser": "adamw", "weight_decay": 1e-2, "clip_norm": 10.0}
    if options.bccd is not None:
        task = {"name": "detection", "format": "voc", "on_bad_sample": "skip"}
        task |= {"data": str(options.bccd), "train_split": "trainval", "test_split": "test"}
    else:
        task = {"name": "detection", "format": "digit_scenes"}
        task |= {"train_images": options.images, "test_images": options.test_images}
    return parse_recipe(
        {
            "name": "ablation",
            "seed": options.seed,
            "threads": options.threads,
            "task": task,
            "model": {
                "name": "codenet",
                "configuration": "a",
                "backbone": "0.5x",
                "resolution": options.resolution,
                "classes": 10 if options.bccd is None else 3,
                "up_channels": [64, 64, 64],
                "head_channels": 32,
                "deformable": deformable,
            },
            "augmentation": {"scale": 0.2, "shift_pixels": 8, "colour": 0.2},
            "float_training": phase | {"epochs": epochs, "warmup_epochs": 2},
            "qat": phase | {"epochs": 0},
        },
        "bench_deform",
    )


def accesses(deformable: dict[str, Any], resolution: int) -> dict[str, Any]:
    """Reads whose address depends on the input, and rows that a line buffer must hold, over the three up-stages.

    One read is one position of the map with all its channels. A tap of an interpolated window reads four of them, a
    rounded one reads one; an ordinary convolution reads none at an address that depends on the input.
    """
    sides = [resolution // 32, resolution // 16, resolution // 8]
    if not deformable.get("enabled", True):
        return {"irregular_reads": 0, "rows": [min(deformable.get("kernel", 3), side) for side in sides]}
    each = 9 * (1 if deformable["rounded"] else 4)
    bounds = deformable["bounds"]
    if not bounds:
        rows = sides
    else:
        # Square: taps move outwards by up to the bound on both sides. Free: by the bounds, around the tap.
        up, down = (bounds[1], bounds[1]) if deformable["square"] else (-bounds[0], bounds[1])
        rows = [min(up + down + 3, side) for side in sides]
    return {"irregular_reads": sum(each * side * side for side in sides), "rows": rows}


def measure(title: str, deformable: dict[str, Any], backbone: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Train and score one row, once for each seed."""
    import torch

    from bitwright.quant.count import count
    from bitwright.quant.layers import FloatLayers
    from bitwright.quant.models import build, input_shape
    from bitwright.quant.train import train_float

    chosen = recipe(deformable, options.epochs, options)
    started = time.perf_counter()
    scores = []
    for seed in range(options.seed, options.seed + options.seeds):
        with tempfile.TemporaryDirectory() as folder:
            seeded = chosen.model_copy(update={"seed": seed})
            scores.append(train_float(seeded, Path(folder) / "checkpoint.pt", backbone=backbone))
    seconds = time.perf_counter() - started
    with torch.device("meta"):
        layers = count(build(chosen, FloatLayers()), input_shape(chosen))
    operator = [layer for layer in layers if ".window" in layer.name or ".offsets" in layer.name]
    return {
        "operator": title,
        "ap50": [figures["ap50"] for figures in scores],
        "coco_ap": [figures["coco_ap"] for figures in scores],
        "macs": sum(layer.macs for layer in layers),
        "operator_macs": sum(layer.macs for layer in operator),
        "weights": sum(layer.weights for layer in layers),
        "seconds": seconds,
        **accesses(deformable, options.resolution),
    }


def shown(values: list[float]) -> str:
    """Percent; of several seeds mean and standard deviation."""
    mean = 100 * statistics.fmean(values)
    return f"{mean:.1f}" if len(values) == 1 else f"{mean:.1f} ± {100 * statistics.pstdev(values):.1f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--bccd", type=Path, help="folder of BCCD in the layout of Pascal VOC, instead of digit scenes")
    parser.add_argument("--images", type=int, default=1000, help="digit scenes to train on")
    parser.add_argument("--test-images", type=int, default=300, help="digit scenes to test on")
    parser.add_argument("--start-epochs", type=int, default=70, help="of the network that gives the backbone")
    parser.add_argument("--epochs", type=int, default=25, help="of each row")
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--seed", type=int, default=1, help="the first")
    parser.add_argument("--seeds", type=int, default=2, help="trainings of each row; mean and deviation are shown")
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0 takes all cores")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    from bitwright.quant.train import train_float

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        backbone = Path(folder) / "start.pt"
        start = train_float(recipe(START, options.start_epochs, options), backbone)
        print(f"network that gives the backbone: AP50 {start['ap50']:.4f}", file=sys.stderr, flush=True)
        for title, deformable in ROWS:
            rows.append(measure(title, deformable, backbone, options))
            print(
                f"{title}: AP50 {shown(rows[-1]['ap50'])} in {rows[-1]['seconds']:.0f} s", file=sys.stderr, flush=True
            )
    data = f"{options.images} digit scenes" if options.bccd is None else "BCCD"
    seeds = f"seeds {options.seed} to {options.seed + options.seeds - 1}"
    table = Table(
        title=f"CoDeNet 0.5x at {options.resolution} px on {data}, {options.epochs} epochs from a backbone of "
        f"{options.start_epochs}, {seeds}, float, {platform.machine()}",
        title_justify="left",
    )
    for column in ("up-stage operator", "AP50", "COCO AP", "MACs", "of the operator", "irregular reads", "buffer rows"):
        table.add_column(column, justify="left" if column == "up-stage operator" else "right")
    for r in rows:
        table.add_row(
            r["operator"], shown(r["ap50"]), shown(r["coco_ap"]), f"{r['macs'] / 1e6:.2f} M",
            f"{r['operator_macs'] / 1e6:.2f} M", f"{r['irregular_reads']:,}", "/".join(map(str, r["rows"])),
        )  # fmt: skip
    Console().print(table)
    if options.json:
        options.json.write_text(
            json.dumps(
                {
                    "options": {k: v for k, v in vars(options).items() if k not in ("json", "bccd")} | {"data": data},
                    "start_ap50": start["ap50"],
                    "rows": rows,
                },
                indent=2,
            )
            + "\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
