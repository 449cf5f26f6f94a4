# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""FINN's DMA words: against a definition in plain Python integers, and against finn-base where it is installed."""

from __future__ import annotations

import importlib.util
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitwright.host.errors import BundleError, InputError
from bitwright.host.packing_finn import FinnWord

REQUIRED = "BITWRIGHT_REQUIRE_FINN_BASE"


def _words(max_bits: int = 24) -> st.SearchStrategy[FinnWord]:
    plain = st.builds(FinnWord, st.integers(1, max_bits), st.booleans(), st.integers(1, 40))
    return plain | st.builds(FinnWord, st.just(1), st.just(True), st.integers(1, 40), st.just(True))


def _values(word: FinnWord, words: int, seed: int) -> np.ndarray:
    lo, hi = word.limits
    q = np.random.default_rng(seed).integers(lo, hi, (words, word.elements), endpoint=True)
    return np.where(q > 0, 1, -1) if word.bipolar else q


def _defined(word: FinnWord, q: np.ndarray) -> bytes:
    """The format in Python's integers."""
    out = b""
    for row in q.tolist():
        total = 0
        for k, v in enumerate(row):
            stored = (v + 1) // 2 if word.bipolar else v % (1 << word.bits)
            total |= stored << (k * word.bits)
        out += total.to_bytes(word.bytes, "little")
    return out


@settings(deadline=None, derandomize=True, max_examples=200)
@given(_words(), st.integers(0, 5), st.integers(0, 1 << 30))
def test_words_are_those_of_the_definition(word: FinnWord, words: int, seed: int) -> None:
    q = _values(word, words, seed)
    data = word.pack(q)
    assert data.tobytes() == _defined(word, q) and data.size == word.size(q.size)
    assert np.array_equal(word.unpack(data, q.shape), q)


@pytest.mark.parametrize("bits", [32, 48, 63, 64])
@pytest.mark.parametrize("signed", [False, True])
def test_wide_elements(bits: int, signed: bool) -> None:
    word = FinnWord(bits, signed, 3)
    lo, hi = word.limits
    top = min(hi, (1 << 63) - 1)  # int64 is what comes back
    q = np.asarray([[lo, top, 1], [0, top - 1, lo + 1]], np.int64)
    assert np.array_equal(word.unpack(word.pack(q), q.shape), q)
    assert word.pack(q).tobytes() == _defined(word, q)


@pytest.mark.parametrize(
    ("word", "q", "message"),
    [
        (FinnWord(4, False, 2), [3, 16], r"values 3\.\.16 are no unsigned 4-bit integers"),
        (FinnWord(4, True, 2), [-9, 0], r"values -9\.\.0 are no 4-bit integers"),
        (FinnWord(1, True, 2, True), [0, 1], "are no bipolar values"),
        (FinnWord(8, True, 3), [1, 2], "2 values do not fill words of 3"),
    ],
)
def test_bad_values_are_refused(word: FinnWord, q: list[int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        word.pack(np.asarray(q))


def test_bad_words_and_sizes_are_refused() -> None:
    with pytest.raises(BundleError, match="not possible"):
        FinnWord(2, True, 4, True)
    with pytest.raises(InputError, match="3 bytes are not 4 values: 2 bytes are expected"):
        FinnWord(4, False, 2).unpack(np.zeros(3, np.uint8), (4,))


@pytest.mark.skipif(
    importlib.util.find_spec("finn") is None and REQUIRED not in os.environ,
    reason="finn-base is not installed here; `make test-finn-base` runs this in an environment of its own",
)
@settings(deadline=None, derandomize=True, max_examples=300)
@given(_words(8), st.integers(1, 4), st.integers(0, 1 << 30))
def test_words_are_those_of_finn_base(word: FinnWord, words: int, seed: int) -> None:
    from finn.core.datatype import DataType
    from finn.util.data_packing import finnpy_to_packed_bytearray, packed_bytearray_to_finnpy

    if word.bipolar:
        kind = DataType["BIPOLAR"]
    elif word.bits == 1:
        if word.signed:  # finn-base has no signed type of one bit
            return
        kind = DataType["BINARY"]
    else:
        kind = DataType[f"{'' if word.signed else 'U'}INT{word.bits}"]
    q = _values(word, words, seed)
    theirs = finnpy_to_packed_bytearray(q.astype(np.float32), kind, reverse_inner=True, reverse_endian=True)
    assert np.array_equal(word.pack(q), theirs.reshape(-1))
    back = packed_bytearray_to_finnpy(theirs, kind, q.shape, reverse_inner=True, reverse_endian=True)
    assert np.array_equal(word.unpack(theirs.reshape(-1), q.shape), back.astype(np.int64))
