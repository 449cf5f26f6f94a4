# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Training, resuming and export with torch and Brevitas: `make test-qat`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from bitwright.errors import BitwrightError, ModelError, VerificationError

pytestmark = pytest.mark.qat

torch = pytest.importorskip("torch")
pytest.importorskip("brevitas")

from bitwright.quant.augment import warp  # noqa: E402
from bitwright.quant.export import export, to_qonnx  # noqa: E402
from bitwright.quant.layers import FloatLayers, copy_float_weights  # noqa: E402
from bitwright.quant.models import build  # noqa: E402
from bitwright.quant.quant_layers import QuantLayers  # noqa: E402
from bitwright.quant.recipe import EXPORTERS, Exporter, Recipe, load_recipe, parse_recipe  # noqa: E402
from bitwright.quant.run import run  # noqa: E402
from bitwright.quant.tasks import build_task  # noqa: E402
from bitwright.quant.train import EpochReport, Trained, restore, train  # noqa: E402
from bitwright.quant.verify import compare_with_brevitas  # noqa: E402
from bitwright.zoo import entry  # noqa: E402

PROGRAM = str(Path(sys.executable).parent / "bitwright")
NAMES = ("classifier", "autoencoder")


def tiny(name: str, **changes: Any) -> Recipe:
    data = load_recipe(entry(f"digits-{name}").recipe).model_dump() | changes
    data["threads"] = 1  # networks as small as these gain nothing from more, and tests run side by side
    data["float_training"]["epochs"] = data["qat"]["epochs"] = 2
    if name == "classifier":
        data["model"] |= {"stem": 4, "channels": [8, 8], "strides": [2, 1]}
    else:
        data["model"]["hidden"] = [16, 4]
    return parse_recipe(data, name)


@pytest.fixture(scope="module", params=NAMES)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train(tiny(request.param), tmp_path_factory.mktemp("run") / "c.pt")


def weights(model: Any) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in model.state_dict().items()}


def test_same_recipe_same_weights(trained: Trained, tmp_path: Path) -> None:
    again = train(trained.recipe, tmp_path / "c.pt")
    assert weights(again.model) == weights(trained.model) and again.metrics == trained.metrics


def test_another_seed_gives_other_weights(trained: Trained, tmp_path: Path) -> None:
    other = train(trained.recipe.model_copy(update={"seed": 2}), tmp_path / "c.pt")
    assert weights(other.model) != weights(trained.model)


class _Stop(Exception):
    pass


@pytest.mark.parametrize("stop_at", [("float", 1), ("float", 2), ("qat", 1), ("qat", 2)])
def test_resumed_run_equals_uninterrupted_run(trained: Trained, tmp_path: Path, stop_at: tuple[str, int]) -> None:
    def stop(report: EpochReport) -> None:
        if (report.phase, report.epoch) == stop_at:
            raise _Stop

    with pytest.raises(_Stop):
        train(trained.recipe, tmp_path / "c.pt", report=stop)
    resumed = train(trained.recipe, tmp_path / "c.pt", resume=True)
    assert weights(resumed.model) == weights(trained.model) and resumed.metrics == trained.metrics


def test_checkpoint_of_another_recipe_is_refused(tmp_path: Path) -> None:
    recipe = tiny("autoencoder")
    train(recipe, tmp_path / "c.pt")
    with pytest.raises(ModelError, match="recipe that differs in seed"):
        train(recipe.model_copy(update={"seed": 7}), tmp_path / "c.pt", resume=True)
    (tmp_path / "c.pt").write_bytes((tmp_path / "c.pt").read_bytes()[:1000])
    with pytest.raises(ModelError, match="not a checkpoint of bitwright, or damaged"):
        train(recipe, tmp_path / "c.pt", resume=True)
    with pytest.raises(ModelError, match="no checkpoint to resume from"):
        train(recipe, tmp_path / "none.pt", resume=True)


def test_unfinished_run_is_not_exported(tmp_path: Path) -> None:
    def stop(report: EpochReport) -> None:
        if (report.phase, report.epoch) == ("qat", 1):
            raise _Stop

    recipe = tiny("autoencoder")
    with pytest.raises(_Stop):
        train(recipe, tmp_path / "c.pt", report=stop)
    with pytest.raises(ModelError, match="phase 'qat' stands at epoch 1; finish it with --resume"):
        restore(tmp_path / "c.pt")


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_export_is_one_verified_file(trained: Trained, tmp_path: Path, exporter: Exporter) -> None:
    images = trained.task.test(0, 120)
    content, result = export(trained.model, images, exporter, "tiny", tmp_path / "m.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"] and (tmp_path / "m.onnx").read_bytes() == content
    assert result.images == 120 and result.explained == result.different <= 3
    model = onnx.load(str(tmp_path / "m.onnx"), load_external_data=False)
    assert model.ir_version <= 10 and model.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1
    assert all(t.data_location == onnx.TensorProto.DEFAULT for t in model.graph.initializer)


def test_wrong_export_is_caught_and_nothing_is_written(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = trained.task.test(0, 20)
    proto = to_qonnx(trained.model, images.shape[1:], "torchscript", "tiny")
    target = max(proto.graph.initializer, key=lambda t: int(np.prod(t.dims)))
    target.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(target), target.name))
    with pytest.raises(VerificationError, match=r"gives another output than Brevitas .* steps apart"):
        compare_with_brevitas(proto, trained.model, images, "m.onnx")
    monkeypatch.setattr("bitwright.quant.export.to_qonnx", lambda *_: proto)
    with pytest.raises(VerificationError):
        export(trained.model, images, "torchscript", "tiny", tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_qat_starts_from_the_float_weights() -> None:
    recipe = tiny("classifier")
    source, target = build(recipe, FloatLayers()), build(recipe, QuantLayers(recipe.quantization))
    copy_float_weights(source, target)
    copied = target.state_dict()
    for name, tensor in source.state_dict().items():
        assert torch.equal(copied[name], tensor), name
    other = build(tiny("autoencoder"), FloatLayers())
    with pytest.raises(RuntimeError, match="not the same network"):
        copy_float_weights(other, target)


def test_validation_images_are_taken_from_training() -> None:
    whole, part = build_task(tiny("classifier")), build_task(tiny("classifier", validation=0.2))
    kept: list[np.ndarray] = []

    def run_network(x: np.ndarray) -> tuple[np.ndarray, ...]:
        kept.append(x)
        return (np.zeros((len(x), 10), np.float32),)

    assert whole.validation_loss(run_network) is None and not kept
    assert part.validation_loss(run_network) == pytest.approx(np.log(10))
    (validation,) = kept
    assert len(validation) == round(0.2 * whole.train_size)
    both = sorted(x.tobytes() for x in np.concatenate([part.clean(0, part.train_size), validation]))
    assert both == sorted(x.tobytes() for x in whole.clean(0, whole.train_size))


def test_augmentation_follows_the_generator_and_can_be_off() -> None:
    settings = load_recipe(entry("digits-classifier").recipe).augmentation
    images = torch.rand(4, 1, 8, 8)
    a, b, c = (warp(images, settings, torch.Generator().manual_seed(s))[1] for s in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c) and a.shape == images.shape
    off = type(settings)()
    assert all(torch.equal(x, images) for x in warp(images, off, torch.Generator()))
    noisy, clean = warp(images, type(settings)(noise=0.1), torch.Generator().manual_seed(1))
    assert torch.equal(clean, images) and not torch.equal(noisy, images) and noisy.min() >= 0 and noisy.max() <= 1


def test_results_are_not_overwritten(tmp_path: Path) -> None:
    recipe = tiny("autoencoder")
    first = run(recipe, tmp_path)
    assert json.loads((tmp_path / "metrics.json").read_text()) == first
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    for options in ({}, {"resume": True}):
        with pytest.raises(BitwrightError, match=r"exists and is not overwritten; --force replaces it"):
            run(recipe, tmp_path, **options)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    assert run(recipe, tmp_path, force=True)["sha256"] == first["sha256"]


def test_interrupt_and_resume_on_the_command_line(tmp_path: Path) -> None:
    recipe = entry("digits-autoencoder").recipe.read_text().replace("epochs = 100", "epochs = 2")
    (tmp_path / "r.toml").write_text(recipe.replace("epochs = 200", "epochs = 40"))
    out = tmp_path / "out"
    command = [PROGRAM, "train", str(tmp_path / "r.toml"), "-o", str(out)]
    process = subprocess.Popen(
        [*command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that starts the tests in the background has them, and what they start, ignore the interrupt.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while not (out / "checkpoint.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130 and "--resume continues" in stderr and "Traceback" not in stderr
    assert sorted(p.name for p in out.iterdir()) == ["checkpoint.pt"]
    again = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert "--resume continues the interrupted run" in json.loads(again.stdout)["error"]["message"]
    done = subprocess.run([*command, "--resume", "--json"], capture_output=True, text=True, check=True)
    first = json.loads(done.stdout)
    assert first == json.loads((out / "metrics.json").read_text())
    command = [PROGRAM, "export", str(out / "checkpoint.pt"), "-o", str(tmp_path / "m.onnx")]
    exported = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    assert json.loads(exported.stdout)["sha256"] == first["sha256"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 2 and "m.onnx: exists and is not overwritten" in refused.stderr
    refused = subprocess.run([*command, "--force", "--exporter", "tf"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2 and "--exporter: must be one of torchscript, dynamo, got 'tf'" in refused.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_retraining_gives_the_committed_figures(name: str, tmp_path: Path) -> None:
    """On the machine and versions of metrics.json the run is bit-identical; elsewhere within a point."""
    committed = entry(f"digits-{name}")
    result = run(load_recipe(committed.recipe), tmp_path)
    for phase in ("float", "qat"):
        assert abs(result[phase][result["metric"]] - committed.metrics[phase][result["metric"]]) <= 0.01
