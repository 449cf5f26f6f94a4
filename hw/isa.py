# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The engine's instruction set: one table of fields, from which programs are packed and hw/rtl/bw_isa.svh is written.

An instruction is 512 bits, sixteen little-endian 32-bit words. Meaning of every field: docs/engine.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bitwright.errors import BackendError

#: Raised when the meaning of an instruction changes; the engine refuses a program of another version.
ISA_VERSION = 2
#: First word of a program ("BWE1").
PROGRAM_MAGIC = 0x31455742
#: Bytes of an instruction, and of the header of a program.
INSTRUCTION_BYTES = 64
#: Highest byte of the first word of every instruction.
MARKER = 0xB1

UNITS = ("LD", "ST", "PW", "DW")
OPCODES = {"LD": 1, "ST": 2, "PW": 3, "DW": 4, "END": 15}
#: Where LD writes: activations, and the memories of the two compute units.
DESTINATIONS = ("AM", "PW_WEIGHT", "PW_CONST", "PW_TABLE", "DW_WEIGHT", "DW_CONST", "DW_TABLE")
#: Register pairs (base, size) that program, weights and tensors are addressed by.
REGIONS = ("PROGRAM", "WORK", "INPUT", "OUTPUT")
DW_MODES = ("CONV", "MAX", "ADD", "DEFORM_SQUARE", "DEFORM_FREE")
#: Pixels of one instruction with ARGMAX, at most, and labels.
ARGMAX_PIXELS, ARGMAX_LABELS = 1024, 256
#: Shift of the requantizers by code.
SHIFTS = (16, 24, 32, 40)
#: Limits of the requantizer: operand, multiplier, addend, sum (signed bits each).
ACC_BITS, MULTIPLIER_BITS, ADDEND_BITS, SUM_BITS = 27, 32, 56, 60


@dataclass(frozen=True)
class Field:
    """Bits lsb .. lsb + width - 1 of an instruction."""

    lsb: int
    width: int
    signed: bool = False

    @property
    def lo(self) -> int:
        """Least value."""
        return -(1 << (self.width - 1)) if self.signed else 0

    @property
    def hi(self) -> int:
        """Greatest value."""
        return (1 << (self.width - self.signed)) - 1


def _at(word: int, low: int, width: int, signed: bool = False) -> Field:
    return Field(32 * word + low, width, signed)


_COMMON = {
    "OPCODE": _at(0, 0, 4),
    "MARKER": _at(0, 24, 8),
    "WAIT_LD": _at(1, 0, 16),
    "WAIT_ST": _at(1, 16, 16),
    "WAIT_PW": _at(2, 0, 16),
    "WAIT_DW": _at(2, 16, 16),
}
_MOVE = {
    "DEST": _at(3, 0, 3),
    "REGION": _at(3, 8, 2),
    "OFFSET": _at(4, 0, 32),
    "ADDRESS": _at(5, 0, 16),
    "BEATS": _at(6, 0, 16),
    "ROWS": _at(6, 16, 16),
    "DRAM_STRIDE": _at(7, 0, 32),
    "LOCAL_STRIDE": _at(8, 0, 16),
}
_COMPUTE = {
    "PLANES": _at(3, 0, 8),
    "STRIDE_Y": _at(3, 24, 4),
    "STRIDE_X": _at(3, 28, 4),
    "OH": _at(4, 0, 11),
    "OW": _at(4, 11, 11),
    "DILATION_Y": _at(4, 22, 5),
    "DILATION_X": _at(4, 27, 5),
    "H": _at(5, 0, 12),
    "W": _at(5, 12, 12),
    "UP_Y": _at(5, 24, 2),
    "UP_X": _at(5, 26, 2),
    "ACT_SIGNED": _at(5, 28, 1),
    "IY0": _at(6, 0, 16, True),
    "IX0": _at(6, 16, 16, True),
    "IN_PITCH": _at(7, 0, 16),
    "OUT_PITCH": _at(7, 16, 16),
    "IN_TABLE": _at(8, 0, 16),
    "OUT_TABLE": _at(8, 16, 16),
    "WEIGHT_BASE": _at(9, 0, 16),
    "CONST_BASE": _at(9, 16, 16),
    "ZERO_POINT": _at(10, 0, 9, True),
    "SHIFT": _at(10, 16, 2),
    "HALF_EVEN": _at(10, 18, 1),
    "WRAP": _at(10, 19, 1),
    "LO": _at(11, 0, 10, True),
    "HI": _at(11, 16, 10, True),
    "IN_OFFSET": _at(12, 0, 16),
    "OUT_OFFSET": _at(12, 16, 16),
}
_PW = {"SUBS": _at(3, 8, 8), "KH": _at(3, 16, 4), "KW": _at(3, 20, 4), "W8": _at(10, 20, 1),
       "SUM": _at(10, 21, 1), "SECOND_SIGNED": _at(10, 22, 1)}  # fmt: skip
_DW = {
    "MODE": _at(3, 8, 3),
    "KH": _at(13, 0, 8),
    "KW": _at(13, 8, 8),
    "KT": _at(13, 16, 8),
    "WIDE": _at(13, 24, 1),
    "ARGMAX": _at(13, 25, 1),
    "OPERAND_TABLE": _at(14, 0, 16),
    "OPERAND_PITCH": _at(14, 16, 16),
    "OPERAND_OFFSET": _at(15, 0, 16),
    "OPERAND_SIGNED": _at(15, 16, 1),
    "OFFSET_LANE": _at(15, 17, 4),
    "OUT_STEP_Y": _at(15, 22, 5),
    "OUT_STEP_X": _at(15, 27, 5),
}

#: Fields of every opcode.
FIELDS: dict[str, dict[str, Field]] = {
    "LD": _COMMON | _MOVE,
    "ST": _COMMON | _MOVE,
    "PW": _COMMON | _COMPUTE | _PW,
    "DW": _COMMON | _COMPUTE | _DW,
    "END": _COMMON,
}


def encode(opcode: str, **values: int) -> bytes:
    """One instruction of 64 bytes. Raises BackendError naming the field, its range and the value."""
    fields = FIELDS[opcode]
    word = OPCODES[opcode] << fields["OPCODE"].lsb | MARKER << fields["MARKER"].lsb
    for name, value in values.items():
        field = fields[name]
        if not field.lo <= value <= field.hi:
            raise BackendError(f"engine instruction {opcode}: {name} must be {field.lo} to {field.hi}, got {value}")
        word |= (int(value) & ((1 << field.width) - 1)) << field.lsb
    return word.to_bytes(INSTRUCTION_BYTES, "little")


def decode(data: bytes) -> tuple[str, dict[str, int]]:
    """The inverse of `encode`. Raises BackendError when the marker or the opcode is wrong."""
    word = int.from_bytes(data, "little")

    def take(field: Field) -> int:
        value = word >> field.lsb & ((1 << field.width) - 1)
        return value - (1 << field.width) if field.signed and value > field.hi else value

    code = take(_COMMON["OPCODE"])
    names = {v: k for k, v in OPCODES.items()}
    if take(_COMMON["MARKER"]) != MARKER or code not in names:
        raise BackendError(f"not an engine instruction: first word is {word & 0xFFFFFFFF:#010x}")
    return names[code], {name: take(f) for name, f in FIELDS[names[code]].items() if name not in ("OPCODE", "MARKER")}


def header(config_hash: int, instructions: int) -> bytes:
    """The 64 bytes in front of a program."""
    words = np.zeros(INSTRUCTION_BYTES // 4, "<u4")
    words[:4] = PROGRAM_MAGIC, ISA_VERSION, config_hash, instructions
    return words.tobytes()


def svh() -> str:
    """Text of hw/rtl/bw_isa.svh: position (_L) and width (_W) of every field, opcodes and codes."""
    lines = [
        "// SPDX-FileCopyrightText: 2026 The bitwright authors",
        "// SPDX-License-Identifier: Apache-2.0",
        "// Written by `python -m bitwright.hw.isa`; a test compares it with isa.py.",
        "`ifndef BW_ISA_SVH",
        "`define BW_ISA_SVH",
        f"`define BW_ISA_VERSION 32'd{ISA_VERSION}",
        f"`define BW_PROGRAM_MAGIC 32'h{PROGRAM_MAGIC:08X}",
        f"`define BW_MARKER 8'h{MARKER:02X}",
    ]
    lines += [f"`define BW_OP_{name} 4'd{code}" for name, code in OPCODES.items()]
    lines += [f"`define BW_DEST_{name} 3'd{code}" for code, name in enumerate(DESTINATIONS)]
    lines += [f"`define BW_DW_{name} 3'd{code}" for code, name in enumerate(DW_MODES)]
    for prefix, fields in (("I", _COMMON), ("MV", _MOVE), ("C", _COMPUTE), ("PW", _PW), ("DW", _DW)):
        lines += [f"`define BW_{prefix}_{name} {f.lsb} +: {f.width}" for name, f in fields.items()]
    return "\n".join([*lines, "`endif", ""])


if __name__ == "__main__":
    print(svh(), end="")
