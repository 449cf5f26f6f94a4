# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The command line as a user meets it: the main job, and bad input with one clear line and exit code 2 each."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from bitwright.cli import main
from tests.support import ModelBuilder

PROGRAM = Path(sys.executable).parent / "bitwright"


class Result:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """Run the command line in this process."""

    def call(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["bitwright", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return call


def small_model(folder: Path, batch: object = "N", opset: int = 17, scale: float = 0.1) -> Path:
    b = ModelBuilder(opset=opset)
    x = b.quant(b.input([batch, 6]), scale, 0.0, 8)
    w = b.quant_const(np.random.default_rng(0).normal(size=(6, 3)), 0.2)
    return b.save(folder / "m.onnx", b.quant(b.node("MatMul", x, w), 0.05, 0.0, 8))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    done = subprocess.run(
        [PROGRAM, "compile", small_model(folder), "-o", folder / "out", "--option", "tool=vitis", "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["board"] == "pynq-z2"
    return folder / "out"


def test_help_is_quick() -> None:
    """By the processor's time, which is the time it takes on a machine that does nothing else."""

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    best = 9.0
    for _ in range(5):
        start = used()
        subprocess.run([PROGRAM, "--help"], capture_output=True, check=True)
        best = min(best, used() - start)
    assert best < 0.3, f"bitwright --help takes {best:.2f} s"


def test_the_main_job(bundle: Path, tmp_path: Path, cli) -> None:
    verdict = cli("verify", bundle, "--json")
    facts = json.loads(verdict.out)
    assert verdict.code == 0 and facts["equal"]
    ran = {e["engine"] for e in facts["engines"] if e["skipped"] is None}
    assert ran == {"reference", "fast", "csim", "board-sim"}
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32))
    outputs = []
    for engine in ("reference", "fast", "csim"):
        target = tmp_path / f"{engine}.npy"
        result = cli("simulate", bundle, "--engine", engine, "--input", tmp_path / "x.npy", "--output", target)
        assert result.code == 0, result.err
        outputs.append(np.load(target))
    assert (
        cli("run", bundle, "--device", "sim", "--input", tmp_path / "x.npy", "--output", tmp_path / "b.npy").code == 0
    )
    outputs.append(np.load(tmp_path / "b.npy"))
    assert outputs[0].shape == (5, 3) and all(np.array_equal(outputs[0], y) for y in outputs[1:])
    assert cli("verify", bundle, "--input", tmp_path / "x.npy").code == 0


def test_verify_finds_a_difference(bundle: Path, cli) -> None:
    weights = next(p for p in (bundle / "project" / "firmware" / "weights").glob("w*.h"))
    text = weights.read_text()
    start = text.index("{") + 1
    end = text.index(",", start)
    weights.write_text(text[:start] + str(int(text[start:end]) + 1) + text[end:])
    try:
        result = cli("verify", bundle, "--json")
        engines = {e["engine"]: e for e in json.loads(result.out)["engines"]}
        assert result.code == 1 and engines["csim"]["different"] > 0 and engines["fast"]["different"] == 0
    finally:
        weights.write_text(text)


def test_check_and_doctor(tmp_path: Path, cli) -> None:
    facts = json.loads(cli("check", small_model(tmp_path), "--json").out)
    assert facts["supported"] and facts["backends"]["hls4ml"] == [] and facts["macs_per_frame"] == 18
    assert "takes the model" in cli("check", small_model(tmp_path)).out
    tools = {t["name"] for t in json.loads(cli("doctor", "--json").out)["tools"]}
    assert {"numpy", "g++", "pynq", "vivado"} <= tools
    assert cli("doctor").code == 0


# Bad models ---------------------------------------------------------------------------------------------------------


def refused(result: Result, *words: str) -> None:
    assert result.code == 2
    assert "Traceback" not in result.err + result.out
    lines = result.err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("bitwright: "), result.err
    for word in words:
        assert word in lines[0], lines[0]


def test_missing_file(tmp_path: Path, cli) -> None:
    refused(cli("check", tmp_path / "no.onnx"), "no.onnx", "no such file")


def test_truncated_file(tmp_path: Path, cli) -> None:
    path = small_model(tmp_path)
    path.write_bytes(path.read_bytes()[:-40])
    refused(cli("check", path), "m.onnx", "cut short")


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n" * 50, b"{}", bytes(range(7, 250, 3))])
def test_not_onnx(content: bytes, tmp_path: Path, cli) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    refused(cli("check", tmp_path / "m.onnx"), "m.onnx")


def test_a_folder(tmp_path: Path, cli) -> None:
    refused(cli("check", tmp_path), "is a folder")


def test_dynamic_shape(tmp_path: Path, cli) -> None:
    b = ModelBuilder()
    x = b.quant(b.input(["N", 3, "height", 8]), 0.1)
    path = b.save(tmp_path / "m.onnx", b.quant(b.node("Relu", x), 0.1, 0.0, 4))
    refused(cli("check", path), "dynamic shape", "--shape x=1,3,height,8")
    assert cli("check", path, "--shape", "x=1,3,8,8").code == 0
    refused(cli("check", path, "--shape", "x=1,4,8,8"), "does not fit")
    refused(cli("check", path, "--shape", "y=1,3,8,8", "--shape", "x=1,3,8,8"), "--shape names ['y']")
    refused(cli("check", path, "--shape", "x=1,a"), "positive integers")


def test_missing_external_data(tmp_path: Path, cli) -> None:
    model = onnx.load(small_model(tmp_path))
    onnx.save(model, tmp_path / "e.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    assert cli("check", tmp_path / "e.onnx").code == 0
    data = (tmp_path / "w.bin").read_bytes()
    (tmp_path / "w.bin").write_bytes(data[: len(data) // 2])
    refused(cli("check", tmp_path / "e.onnx"), "w.bin", "cut short")
    (tmp_path / "w.bin").unlink()
    refused(cli("check", tmp_path / "e.onnx"), "w.bin", "not beside the model")


@pytest.mark.parametrize(
    ("scale", "word"), [(float("nan"), "nan"), (0.0, "must be positive"), (-0.1, "must be positive")]
)
def test_bad_scale(scale: float, word: str, tmp_path: Path, cli) -> None:
    refused(cli("check", small_model(tmp_path, scale=scale)), "Quant_0", "the scale", word)


@pytest.mark.parametrize("opset", [9, 24])
def test_unsupported_opset(opset: int, tmp_path: Path, cli) -> None:
    refused(cli("check", small_model(tmp_path, opset=opset)), f"opset {opset}", "11 to 22")


def test_model_beyond_a_protobuf(tmp_path: Path, cli) -> None:
    path = tmp_path / "big.onnx"
    with path.open("wb") as stream:  # sparse: takes no disk space
        stream.truncate(2**31 + 100)
    refused(cli("check", path), "big.onnx", "external data")


def test_every_offending_node_is_listed(tmp_path: Path, cli) -> None:
    b = ModelBuilder()
    x = b.quant(b.input([1, 4, 8, 8]), 0.1)
    y = b.quant(b.node("Tanh", x), 0.1)
    z = b.node("Conv", x, b.const(np.random.default_rng(0).normal(size=(2, 4, 3, 3))))
    path = b.save(tmp_path / "m.onnx", y, z)
    result = cli("check", path)
    assert result.code == 2 and "2 nodes" in result.err
    assert "Tanh_1 (Tanh)" in result.err and "weights are float" in result.err
    problems = json.loads(cli("check", path, "--json").out)["problems"]
    assert [p["operator"] for p in problems] == ["Tanh", "Conv"]


def test_float_input_without_quantizer(tmp_path: Path, cli) -> None:
    b = ModelBuilder()
    y = b.node("MatMul", b.input([1, 6]), b.quant_const(np.ones((6, 3)), 0.2))
    refused(cli("check", b.save(tmp_path / "m.onnx", y)), "float model input x", "put a quantizer before it")


def test_graph_with_a_dangling_input(tmp_path: Path, cli) -> None:
    node = helper.make_node("Relu", ["nowhere"], ["y"])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])
    model = helper.make_model(helper.make_graph([node], "g", [x], [y]), opset_imports=[helper.make_opsetid("", 17)])
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    refused(cli("check", tmp_path / "m.onnx"), "nowhere", "written by nothing")


# Bad targets, options and data ----------------------------------------------------------------------------------------


def test_nothing_of_the_user_is_overwritten(tmp_path: Path, bundle: Path, cli) -> None:
    model, out = small_model(tmp_path), tmp_path / "mine"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    refused(cli("compile", model, "-o", out, "--force"), "not a bundle")
    assert (out / "thesis.txt").read_text() == "years of work"
    refused(cli("compile", model, "-o", bundle), "--force")
    refused(cli("compile", model, "-o", tmp_path / "no" / "out"), "does not exist")
    refused(cli("compile", model, "-o", model), "is a file")
    (tmp_path / "y.npy").write_bytes(b"mine")
    refused(cli("simulate", bundle, "--output", tmp_path / "y.npy"), "exists already")
    assert (tmp_path / "y.npy").read_bytes() == b"mine"


@pytest.mark.parametrize(("code", "text"), [(errno.ENOSPC, "No space left"), (errno.EACCES, "Permission denied")])
def test_disk_full_and_no_permission(
    code: int, text: str, tmp_path: Path, cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bitwright.compile import bundle as writer

    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(writer, "save_graph", fail)
    refused(cli("compile", small_model(tmp_path), "-o", tmp_path / "out"), "out", text)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.onnx"], "something half-written was left"


def test_no_permission_on_the_folder(tmp_path: Path, cli) -> None:
    if os.geteuid() == 0:
        target = Path("/proc/bitwright-out")  # even root cannot write there
    else:
        (tmp_path / "locked").mkdir(mode=0o500)
        target = tmp_path / "locked" / "out"
    refused(cli("compile", small_model(tmp_path), "-o", target), str(target), "cannot be written")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--board", "pynq-z3"), ("pynq-z3", "did you mean pynq-z2 or pynq-z1?")),
        (("--backend", "hls4m"), ("did you mean hls4ml?",)),
        (("--option", "reuse_facto=4"), ("reuse_facto", "did you mean reuse_factor?")),
        (("--option", "reuse_factor=0"), ("reuse_factor", "0")),
        (("--option", "layers.Mat.reuse_factor=2"), ("layers.Mat", "no such layer")),
        (("--config", "no.toml"), ("no.toml", "no such file")),
        (("--golden", "no.npy"), ("no.npy", "no such file")),
    ],
)
def test_bad_compile_options(arguments: tuple[str, ...], words: tuple[str, ...], tmp_path: Path, cli) -> None:
    refused(cli("compile", small_model(tmp_path), "-o", tmp_path / "out", *arguments), *words)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.zeros((2, 7), np.float32), ("x", "(2, 7)", "expected")),
        (np.zeros((2, 6), complex), ("complex128", "expected")),
        (np.full((2, 6), np.inf, np.float32), ("inf",)),
        (np.zeros((0, 6), np.float32), ("no frames",)),
    ],
)
def test_bad_input_data(x: np.ndarray, words: tuple[str, ...], bundle: Path, tmp_path: Path, cli) -> None:
    np.save(tmp_path / "x.npy", x)
    refused(cli("verify", bundle, "--input", tmp_path / "x.npy"), *words)


def test_values_out_of_range(tmp_path: Path, cli) -> None:
    b = ModelBuilder()
    x = b.node("DequantizeLinear", b.input([1, 4], elem=TensorProto.UINT8), b.const(0.1))
    path = b.save(tmp_path / "m.onnx", b.quant(x, 0.2))
    assert cli("compile", path, "-o", tmp_path / "out").code == 0
    np.save(tmp_path / "x.npy", np.full((1, 4), 256))
    refused(cli("simulate", tmp_path / "out", "--input", tmp_path / "x.npy"), "256", "0..255")
    np.save(tmp_path / "x.npy", np.full((1, 4), 1.5))
    refused(
        cli("simulate", tmp_path / "out", "--input", tmp_path / "x.npy"), "float64", "integers of type UINT8 (0..255)"
    )


def test_input_files_that_are_no_arrays(tmp_path: Path, bundle: Path, cli) -> None:
    (tmp_path / "x.npy").write_bytes(b"hello")
    refused(cli("verify", bundle, "--input", tmp_path / "x.npy"), "not a readable .npy")
    refused(cli("verify", bundle, "--input", f"z={tmp_path / 'x.npy'}"), "'z' is not one of")
    refused(cli("run", tmp_path, "--device", "sim"), "not a bundle")


def test_errors_for_machines(tmp_path: Path, cli) -> None:
    result = cli("check", tmp_path / "no.onnx", "--json")
    assert result.code == 2 and "no such file" in json.loads(result.out)["error"]["message"]
