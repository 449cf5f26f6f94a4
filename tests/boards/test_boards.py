# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Board files: the shipped ones load, users add their own, mistakes are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from bitwright.boards import BoardError, board_names, load_board
from bitwright.boards.loader import FOLDER


@pytest.mark.parametrize("name", board_names())
def test_shipped_boards(name: str) -> None:
    board = load_board(name)
    assert board.name == name and board.part.startswith("xc") and board.sources
    assert not board.verified, "nothing ran on hardware yet"


def mine(folder: Path, **changes: str) -> None:
    text = (FOLDER / "pynq-z2.toml").read_text().replace('name = "pynq-z2"', 'name = "mine"', 1)
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "mine.toml").write_text(text)


def test_a_folder_of_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITWRIGHT_BOARDS", str(tmp_path))
    mine(tmp_path)
    assert load_board("mine").part == load_board("pynq-z2").part and "mine" in board_names()


def test_unknown_board() -> None:
    with pytest.raises(BoardError, match="did you mean pynq-z2 or pynq-z1"):
        load_board("pynq_z2")
    with pytest.raises(BoardError, match="there are aup-zu3, kv260, pynq-z1, pynq-z2"):
        load_board("zzzzzz")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dsp = 220": "dsp = -1"}, r"mine\.toml: resources\.dsp = -1: .*greater than or equal to 0"),
        ({"clock_mhz = 100.0": "clok_mhz = 100.0"}, r"mine\.toml: clo"),
        ({'"zynq-7000"': '"spartan"'}, r"family = 'spartan'"),
        ({"[memory]": "[memory"}, "not valid TOML"),
        ({'name = "mine"': 'name = "yours"'}, "must be the file's name, 'mine'"),
    ],
)
def test_broken_files(changes: dict[str, str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITWRIGHT_BOARDS", str(tmp_path))
    mine(tmp_path, **changes)
    with pytest.raises(BoardError, match=message):
        load_board("mine")


def test_the_folder_must_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITWRIGHT_BOARDS", str(tmp_path / "no"))
    with pytest.raises(BoardError, match="not a folder"):
        board_names()
