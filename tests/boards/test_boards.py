# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Board files: the shipped ones load, users add their own, mistakes are named."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from bitwright.boards import BoardError, board_names, load_board
from bitwright.boards.loader import FOLDER
from bitwright.cli import main
from bitwright.hw.config import CONFIGS
from bitwright.hw.resources import DEVICES, Budget, fits

ISSUE = {
    "pynq-z1", "pynq-z2", "arty-z7-20", "zybo-z7-20", "ultra96-v1", "ultra96-v2", "aup-zu3", "zuboard-1cg", "kv260",
    "kr260", "zcu104", "zcu102", "rfsoc4x2", "ulx3s-85f", "ecpix5-85f", "tang-nano-20k",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(ISSUE))
def test_shipped_boards(name: str) -> None:
    board = load_board(name)
    assert not board.verified, "nothing ran on hardware yet"
    prefix, ps = {"zynq-7000": ("xc7z", "ps7"), "zynq-ultrascale": ("xc", "psu")}.get(board.family, ("", "none"))
    assert board.part.startswith(prefix) and board.ps == ps
    # what was not looked up says so, and nothing is taken for measured
    assert not board.source("memory.efficiency").checked and "assumed" in board.source("memory.latency_ns").document
    assert all("from memory" not in s.document and "assumed" not in s.document for s in board.sources if s.checked)
    if board.engine is not None:
        r = board.resources
        family = {"ps7": "xc7", "psu": "xcup", "none": board.family}[ps]
        budget = Budget(name, family, r.dsp, r.bram36, r.lut, r.ff, r.uram)
        assert fits(CONFIGS[board.engine.config], budget), "the engine's configuration fits the board"


def test_boards_and_the_engines_devices_agree() -> None:
    for device in DEVICES.values():
        same = [load_board(n) for n in ISSUE if load_board(n).part.startswith(device.name)]
        assert same, device.name
        for board in same:
            r = board.resources
            assert (r.dsp, r.bram36, r.lut, r.ff, r.uram) == (
                device.dsp, device.bram36, device.lut, device.ff, device.uram,
            )  # fmt: skip


def test_the_crystal_of_the_zybo() -> None:
    assert load_board("zybo-z7-20").clocks.reference_mhz == pytest.approx(100 / 3, abs=1e-5)
    assert load_board("pynq-z2").clocks.reference_mhz == 50


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
    with pytest.raises(BoardError, match="there are arty-z7-20, aup-zu3, ecpix5-85f, kr260"):
        load_board("zzzzzz")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dsp = 220": "dsp = -1"}, r"mine\.toml: resources\.dsp = -1: .*greater than or equal to 0"),
        ({"clock_mhz = 100.0": "clok_mhz = 100.0"}, r"mine\.toml: clock_mhz is missing"),
        ({"verified = false": "verified = false\nclok = 1"}, r"mine\.toml: clok is no field of a board"),
        ({"axi_hp_bits = 64": "axi_hp_bits = 0"}, r"zynq-7000 needs axi_hp_ports, axi_hp_bits and clocks\.pll_mhz"),
        (
            {'"memory.cma"': '"memory.cna"'},
            r"sources\.fields: 'memory\.cna' is no figure of this board",
        ),
        ({'"memory.cma"': '"memory.dram"'}, r"memory\.cma has 0 sources; every figure needs exactly one"),
        ({'"resources"]': '"resources", "axi_hp_bits"]'}, "axi_hp_bits has 2 sources"),
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


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def call(*arguments: str) -> str:
        monkeypatch.setenv("BITWRIGHT_BOARDS", "")
        monkeypatch.setattr(sys, "argv", ["bitwright", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        assert not stop.value.code
        return capsys.readouterr().out

    table = call("boards", "--json")
    found = {b["name"]: b for b in json.loads(table)["boards"]}
    assert set(found) == ISSUE and found["ulx3s-85f"]["ps"] == "none" and found["pynq-z2"]["resources"]["dsp"] == 220
    mine(tmp_path)
    assert "mine" in call("--boards", str(tmp_path), "boards")
    one = json.loads(call("--boards", str(tmp_path), "boards", "mine", "--json"))
    assert one["part"] == "xc7z020clg400-1" and one["sources"][0]["document"]
    monkeypatch.setenv("COLUMNS", "200")
    assert "assumed; nothing was measured on a board" in call("boards", "kv260")


def test_the_folder_must_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITWRIGHT_BOARDS", str(tmp_path / "no"))
    with pytest.raises(BoardError, match="not a folder"):
        board_names()
