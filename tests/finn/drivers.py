# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The driver that FINN would generate for a project (after src/finn/transformation/fpgadataflow/template_driver.py)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bitwright.compile.backends.finn.finn_types import finn_name
from bitwright.compile.backends.finn.project import STREAMS
from bitwright.compile.ir import IntType
from bitwright.host.packing_finn import FinnWord

DRIVER = """
import argparse
from qonnx.core.datatype import DataType
from driver_base import FINNExampleOverlay

# dictionary describing the I/O of the FINN-generated accelerator
io_shape_dict = {
    # FINN DataType for input and output tensors
    "idt" : [%(idt)s],
    "odt" : [%(odt)s],
    "ishape_normal" : %(ishape_normal)s,
    "oshape_normal" : %(oshape_normal)s,
    "ishape_folded" : %(ishape_folded)s,
    "oshape_folded" : %(oshape_folded)s,
    "ishape_packed" : %(ishape_packed)s,
    "oshape_packed" : %(oshape_packed)s,
    "input_dma_name" : %(input_dma_name)s,
    "output_dma_name" : %(output_dma_name)s,
    "number_of_external_weights": 0,
    "num_inputs" : %(num_inputs)d,
    "num_outputs" : %(num_outputs)d,
}

if __name__ == "__main__":
    pass
"""


def driver_of(project: Path, **changed: Any) -> str:
    """The text of driver.py for a project of ours, of several ends the last first; only words are real.

    changed: idt, odt (a type for all), in_word.
    """
    words = json.loads((project / STREAMS).read_text())
    facts: dict[str, Any] = {}
    for end, name in (("inputs", "input"), ("outputs", "output")):
        letter, streams = end[0], list(reversed(words[end].values()))
        types = [changed.get(f"{letter}dt", finn_name(IntType(s["bits"], s["signed"]))) for s in streams]
        held = [FinnWord(s["bits"], s["signed"], s["elements_per_word"]) for s in streams]
        folded = [changed.get("in_word", w.elements) if end == "inputs" else w.elements for w in held]
        facts |= {
            f"{letter}dt": ", ".join(f"DataType['{t}']" for t in types), f"{letter}shape_normal": [(1, 64)] * len(held),
            f"{letter}shape_folded": [(1, 64, n) for n in folded],
            f"{letter}shape_packed": [(1, 64, w.bytes) for w in held],
            f"{name}_dma_name": [f"{letter}dma{k}" for k in range(len(held))], f"num_{end}": len(held),
        }  # fmt: skip
    return DRIVER % facts


def ends_of(project: Path) -> dict[str, dict[str, str]]:
    """What step_bitwright_ends writes beside that driver."""
    words = json.loads((project / STREAMS).read_text())
    return {end: {t: f"{end[0]}dma{k}" for k, t in enumerate(reversed(words[end]))} for end in ("inputs", "outputs")}
