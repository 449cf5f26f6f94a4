# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Recipes and the command line in front of them: no torch needed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bitwright.errors import ToolMissingError
from bitwright.quant import missing
from bitwright.quant.recipe import RecipeError, load_recipe

ZOO = Path(__file__).resolve().parents[2] / "zoo"
PROGRAM = str(Path(sys.executable).parent / "bitwright")
GOOD = (ZOO / "digits-classifier" / "recipe.toml").read_text()


def check(tmp_path: Path, text: str) -> str:
    """The message for a recipe, without the path in front of it."""
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize("path", sorted(ZOO.glob("*/recipe.toml")), ids=lambda path: path.parent.name)
def test_committed_recipes_are_valid(path: Path) -> None:
    assert load_recipe(path).name == path.parent.name


@pytest.mark.parametrize("path", sorted((ZOO.parent / "examples").glob("*/*.toml")), ids=lambda path: path.stem)
def test_example_recipes_are_valid(path: Path) -> None:
    assert load_recipe(path).name


def test_recipes_are_changed_on_the_command_line(tmp_path: Path) -> None:
    path = ZOO / "digits-classifier" / "recipe.toml"
    changed = load_recipe(path, ["qat.epochs=3", "model.channels=[4, 4, 4]", "about.licence=mine"])
    assert changed.qat.epochs == 3 and changed.model.channels == [4, 4, 4] and changed.about.licence == "mine"  # type: ignore[union-attr]
    for wrong, message in (
        ("qat.epochs", "must be key=value"),
        ("seed.x=3", "'seed' is a value, not a table"),
        ("qat.epoch=3", r"qat\.epoch: unknown key; did you mean 'epochs'\?"),
    ):
        with pytest.raises(RecipeError, match=message):
            load_recipe(path, [wrong])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("act_bits = 8", "act_bit = 8", "quantization.act_bit: unknown key; did you mean 'act_bits'?"),
        ("stem = 24", "stemm = 24", "model.stemm: unknown key; did you mean 'stem'?"),
        ("seed = 1", "sed = 1", "seed: missing; add it"),
        ("act_bits = 8", "zzzz = 8", "quantization.zzzz: unknown key; remove it"),
        ("\nweight_bits = 4", "\nweight_bits = 1", "weight_bits: input should be greater than or equal to 2, got 1"),
        ('name = "separable_classifier"', 'name = "resnet"', "model.name: must be one of"),
        ('name = "separable_classifier"', "", "model.name: missing; add it"),
        ("strides = [2, 1, 1]", "strides = [2, 1]", "model: channels and strides must be of one length, got 3 and 2"),
        ("strides = [2, 1, 1]", "strides = [2, 3, 1]", "model.strides.1: input should be 1 or 2, got 3"),
        ("input_max = 1.0625", "input_max = nan", "quantization.input_max: input should be"),
        ("seed = 1", "seed = -1", "seed: input should be greater than or equal to 0, got -1"),
        ("seed = 1", "seed = [", "not a TOML file: "),
    ],
)
def test_bad_field_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    assert message in check(tmp_path, GOOD.replace(old, new, 1))


def test_every_wrong_field_is_reported(tmp_path: Path) -> None:
    text = GOOD.replace("act_bits = 8", "act_bits = 9").replace("stem = 24", "stem = 0")
    message = check(tmp_path, text)
    assert message.startswith("2 wrong fields:") and "model.stem" in message and "quantization.act_bits" in message


def test_unreadable_recipes(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"none\.toml: cannot read the recipe: No such file"):
        load_recipe(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="not a TOML file"):
        load_recipe(tmp_path / "binary.toml")


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missing, "NEEDED", {"json": "json", "no_such_module_here": "some-package"})
    with pytest.raises(ToolMissingError, match=r"training needs some-package, .*pip install 'bitwright\[qat\]'"):
        missing.require_qat()


def test_command_line_without_torch(tmp_path: Path) -> None:
    """A folder of broken stand-ins hides torch: help and recipe errors must not touch it."""
    (tmp_path / "torch.py").write_text("raise ImportError('torch must not be imported here')")
    (tmp_path / "brevitas.py").write_text("raise ImportError('brevitas must not be imported here')")
    (tmp_path / "bad.toml").write_text("x = 1")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [PROGRAM, *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    for words in ((), ("train",), ("export",), ("evaluate",), ("models",)):
        assert call(*words, "--help").returncode == 0
    assert "digits-classifier" in call("models").stdout
    bad = call("train", str(tmp_path / "bad.toml"), "-o", str(tmp_path / "out"))
    assert bad.returncode == 2 and "Traceback" not in bad.stderr
    assert bad.stderr.startswith(f"bitwright: {tmp_path / 'bad.toml'}: ") and "x: unknown key" in bad.stderr
    assert not (tmp_path / "out").exists()
