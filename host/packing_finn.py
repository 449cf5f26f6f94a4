# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The bytes of FINN's DMA buffers.

FINN cuts a tensor, last axis fastest, into stream words of a fixed number of elements (PE or SIMD of the layer at that
end). In a word the first element lies in the lowest bits, each takes exactly ``bits`` bits, the word is padded with
zeros to whole bytes and stored little endian. That is finnpy_to_packed_bytearray of FINN
(src/finn/util/data_packing.py) with both of its reversals, as FINN's driver calls it; finn-base's copy of that function
is the oracle of the tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.host.errors import BundleError, InputError


@dataclass(frozen=True)
class FinnWord:
    """One word of a FINN stream.

    Attributes:
        bits: of an element, 1 to 64. signed: two's complement.
        elements: in one word.
        bipolar: elements are -1 and +1, stored as 0 and 1; bits is 1 then.
    """

    bits: int
    signed: bool
    elements: int
    bipolar: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 64 or self.elements < 1 or (self.bipolar and self.bits != 1):
            raise BundleError(
                f"FINN words of {self.elements} elements of {self.bits} bits{', bipolar,' if self.bipolar else ''} are "
                "not possible: 1 to 64 bits and at least one element; bipolar ones have 1 bit"
            )

    @property
    def bytes(self) -> int:
        """Bytes of one word."""
        return -(-self.bits * self.elements // 8)

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest element."""
        if self.bipolar:
            return -1, 1
        return (-(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1) if self.signed else (0, (1 << self.bits) - 1)

    def size(self, values: int) -> int:
        """Bytes that so many values take. Raises InputError when they do not fill whole words."""
        words, rest = divmod(values, self.elements)
        if rest:
            raise InputError(f"{values} values do not fill words of {self.elements}")
        return words * self.bytes

    def pack(self, q: NDArray[Any]) -> NDArray[np.uint8]:
        """Integers in tensor order, any shape, to the buffer's bytes (one axis). Raises InputError."""
        self.size(q.size)
        if q.size:
            least, most = self.limits
            lo, hi = int(q.min()), int(q.max())
            if lo < least or hi > most or (self.bipolar and bool((q == 0).any())):
                kind = (
                    "bipolar values"
                    if self.bipolar
                    else f"{'' if self.signed else 'unsigned '}{self.bits}-bit integers"
                )
                raise InputError(f"values {lo}..{hi} are no {kind}")
        words = np.ascontiguousarray(q).reshape(-1, self.elements)
        if self.bipolar:
            words = words > 0
        if self.bits in (8, 16, 32, 64):
            return words.astype(f"<{'i' if self.signed else 'u'}{self.bits // 8}").view(np.uint8).reshape(-1)
        per_byte = 8 // self.bits if 8 % self.bits == 0 else 0
        if per_byte and self.elements % per_byte == 0:  # elements do not straddle bytes
            parts = words.astype(np.uint8).reshape(-1, per_byte) & np.uint8((1 << self.bits) - 1)
            packed = parts[:, 0].copy()
            for k in range(1, per_byte):
                packed |= parts[:, k] << np.uint8(k * self.bits)
            return packed
        places = np.arange(self.bits, dtype=np.uint64)
        bits = (words.astype(np.int64).view(np.uint64)[..., None] >> places) & np.uint64(1)
        flat = bits.astype(np.uint8).reshape(len(words), self.elements * self.bits)
        return np.packbits(flat, axis=1, bitorder="little").reshape(-1)

    def unpack(self, data: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.int64]:
        """The buffer's bytes to int64 of ``shape``. Raises InputError when the sizes do not fit."""
        count = int(np.prod(shape, dtype=np.int64))
        if data.size != self.size(count):
            raise InputError(f"{data.size} bytes are not {count} values: {self.size(count)} bytes are expected")
        raw = np.ascontiguousarray(data).reshape(-1)
        if self.bits in (8, 16, 32, 64):
            kind = "i" if self.signed else "u"
            return raw.view(f"<{kind}{self.bits // 8}").astype(np.int64).reshape(shape)
        per_byte = 8 // self.bits if 8 % self.bits == 0 else 0
        if per_byte and self.elements % per_byte == 0:
            places = np.arange(per_byte, dtype=np.uint8) * np.uint8(self.bits)
            values = ((raw[:, None] >> places) & np.uint8((1 << self.bits) - 1)).astype(np.int64)
        else:
            bits = np.unpackbits(
                raw.reshape(-1, self.bytes), axis=1, bitorder="little", count=self.bits * self.elements
            )
            weights = np.left_shift(np.uint64(1), np.arange(self.bits, dtype=np.uint64))
            values = (bits.reshape(-1, self.bits).astype(np.uint64) * weights).sum(axis=1).view(np.int64)
        if self.bipolar:
            values = 2 * values - 1
        elif self.signed:
            half = np.int64(1 << (self.bits - 1))
            values = (values ^ half) - half
        return np.asarray(values, np.int64).reshape(shape)
