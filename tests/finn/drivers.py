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
    "idt" : [DataType['%(idt)s']],
    "odt" : [DataType['%(odt)s']],
    "ishape_normal" : [(1, 64)],
    "oshape_normal" : [(1, 64)],
    "ishape_folded" : [(1, %(in_words)d, %(in_word)d)],
    "oshape_folded" : [(1, %(out_words)d, %(out_word)d)],
    "ishape_packed" : [(1, %(in_words)d, %(in_bytes)d)],
    "oshape_packed" : [(1, %(out_words)d, %(out_bytes)d)],
    "input_dma_name" : ['idma0'],
    "output_dma_name" : ['odma0'],
    "number_of_external_weights": 0,
    "num_inputs" : 1,
    "num_outputs" : 1,
}

if __name__ == "__main__":
    pass
"""


def driver_of(project: Path, **changed: Any) -> str:
    """The text of driver.py for a project of ours; the shapes but for the words are made up."""
    words = json.loads((project / STREAMS).read_text())
    facts: dict[str, Any] = {}
    for end, letter in (("inputs", "in"), ("outputs", "out")):
        (s,) = words[end].values()
        word = FinnWord(s["bits"], s["signed"], s["elements_per_word"])
        facts |= {f"{letter}_word": word.elements, f"{letter}_words": 64, f"{letter}_bytes": word.bytes}
        facts[f"{letter[0]}dt"] = finn_name(IntType(s["bits"], s["signed"]))
    return DRIVER % {**facts, **changed}
