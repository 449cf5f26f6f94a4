# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""MobileNetV3: torchvision's weights, and the way from training to integers with its products. `make test-qat`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

pytestmark = pytest.mark.qat

torch = pytest.importorskip("torch")
pytest.importorskip("brevitas")

from torch import nn  # noqa: E402

from bitwright.compile.backends import load_backend  # noqa: E402
from bitwright.compile.frontend import import_model  # noqa: E402
from bitwright.compile.ir.ops import Multiply  # noqa: E402
from bitwright.errors import ModelError  # noqa: E402
from bitwright.quant import pretrained  # noqa: E402
from bitwright.quant.export import export  # noqa: E402
from bitwright.quant.layers import FloatLayers, copy_float_weights  # noqa: E402
from bitwright.quant.models import build, layer_names, mobilenet_v3  # noqa: E402
from bitwright.quant.pretrained import load_pretrained  # noqa: E402
from bitwright.quant.quant_layers import QuantLayers  # noqa: E402
from bitwright.quant.recipe import EXPORTERS, Exporter, Recipe, parse_recipe  # noqa: E402
from bitwright.quant.train import Trained, train  # noqa: E402
from bitwright.sim import reference  # noqa: E402
from bitwright.sim.fast.simulator import FastSimulator  # noqa: E402

#: A block of each kind: ReLU with gate, ReLU without, hard-swish with gate and with a sum.
TINY_BLOCKS = ((3, 16, 16, True, False, 2), (3, 24, 16, False, False, 1), (5, 24, 24, True, True, 2),
               (5, 48, 24, True, True, 1))  # fmt: skip
TINY = {"name": "mobilenet_v3", "resolution": 16, "small_input": True, "classes": 2, "width": 0.5}


def recipe(model: dict[str, Any], **changes: Any) -> Recipe:
    phase = {"epochs": 6, "batch_size": 8, "learning_rate": 0.005}
    base = {"name": "v3", "seed": 1, "threads": 1, "task": {"name": "classification", "data": "."}, "model": model}
    return parse_recipe(base | {"float_training": phase, "qat": phase} | changes, "v3")


def float_form(model: dict[str, Any]) -> Any:
    return build(recipe(model), FloatLayers()).eval()


# ---- torchvision's names


class Unit(nn.Sequential):
    """Convolution, batch normalization, activation, under torchvision's names."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, groups: int, act: nn.Module) -> None:
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        super().__init__(conv, nn.BatchNorm2d(outputs, eps=0.001), act)


class Excite(nn.Module):
    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(channels, inner, 1), nn.Conv2d(inner, channels, 1)

    def forward(self, x: Any) -> Any:
        y = self.fc2(torch.relu(self.fc1(x.mean((2, 3), keepdim=True))))
        return x * torch.clamp(y / 6 + 0.5, 0, 1)


class Theirs(nn.Module):
    """torchvision's mobilenet_v3 at width 1, from the published table, as far as its names and shapes go.

    Rows: kernel, expansion, output, squeezed channels (0: none), activation, stride.
    """

    SMALL = """3 16 16 8 RE 2|3 72 24 0 RE 2|3 88 24 0 RE 1|5 96 40 24 HS 2|5 240 40 64 HS 1|5 240 40 64 HS 1|
        5 120 48 32 HS 1|5 144 48 40 HS 1|5 288 96 72 HS 2|5 576 96 144 HS 1|5 576 96 144 HS 1"""
    LARGE = """3 16 16 0 RE 1|3 64 24 0 RE 2|3 72 24 0 RE 1|5 72 40 24 RE 2|5 120 40 32 RE 1|5 120 40 32 RE 1|
        3 240 80 0 HS 2|3 200 80 0 HS 1|3 184 80 0 HS 1|3 184 80 0 HS 1|3 480 112 120 HS 1|3 672 112 168 HS 1|
        5 672 160 168 HS 2|5 960 160 240 HS 1|5 960 160 240 HS 1"""

    def __init__(self, size: str) -> None:
        super().__init__()
        table, last, hidden = (self.SMALL, 576, 1024) if size == "small" else (self.LARGE, 960, 1280)
        features: list[nn.Module] = [Unit(3, 16, 3, 2, 1, nn.Hardswish())]
        self.residual, inputs = [False], 16
        for row in table.split("|"):
            kernel, inner, outputs, squeezed, act, stride = (int(v) if v.isdigit() else v for v in row.split())
            kind = nn.Hardswish if act == "HS" else nn.ReLU
            block = nn.Module()
            parts = [Unit(inputs, inner, 1, 1, 1, kind())] if inner != inputs else []
            parts.append(Unit(inner, inner, kernel, stride, inner, kind()))
            parts += [Excite(inner, squeezed)] if squeezed else []
            block.block = nn.Sequential(*parts, Unit(inner, outputs, 1, 1, 1, nn.Identity()))
            self.residual.append(stride == 1 and inputs == outputs)
            features.append(block)
            inputs = outputs
        features.append(Unit(inputs, last, 1, 1, 1, nn.Hardswish()))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(
            nn.Linear(last, hidden), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(hidden, 1000)
        )

    def forward(self, x: Any) -> Any:
        for part, residual in zip(self.features[:-1], self.residual, strict=True):
            y = part.block(x) if hasattr(part, "block") else part(x)
            x = x + y if residual else y
        return self.classifier(self.features[-1](x).mean((2, 3)))


@pytest.mark.parametrize(("size", "tensors", "parameters"), [("small", 208, 2_542_856), ("large", 264, 5_483_032)])
def test_weights_of_torchvision(
    size: str, tensors: int, parameters: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same logits as a network under torchvision's names, once the last layer, which is not taken, is copied."""
    torch.manual_seed(0)
    theirs, ours = Theirs(size).eval(), float_form({"name": "mobilenet_v3", "size": size, "resolution": 64})
    assert sum(p.numel() for p in theirs.parameters()) == sum(p.numel() for p in ours.parameters()) == parameters
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.3)
            nn.init.uniform_(module.running_var, 0.002, 0.02)  # small ones show a wrong epsilon
    torch.save(theirs.state_dict(), tmp_path / "w.pth")
    # The fold of ImageNet's colours is exact but for the border (tests/quant/test_teachers.py): left out here.
    monkeypatch.setattr(pretrained, "MEAN", (0.0, 0.0, 0.0))
    monkeypatch.setattr(pretrained, "DEVIATION", (1.0, 1.0, 1.0))
    assert load_pretrained(tmp_path / "w.pth", ours) == tensors
    ours.classify.load_state_dict(theirs.classifier[3].state_dict())
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        want, got = theirs(x), ours(x)
    assert float(want.std()) > 0.01
    torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-4 * float(want.abs().max()))


def test_weights_of_another_network(tmp_path: Path) -> None:
    torch.save(Theirs("small").state_dict(), tmp_path / "small.pth")
    features = float_form({"name": "mobilenet_v3", "classes": 0, "resolution": 64})
    assert load_pretrained(tmp_path / "small.pth", features) == 206
    for model, message in (
        (
            {"name": "mobilenet_v3", "size": "large"},
            "208 backbone tensors of a MobileNetV3, the model has 264: another",
        ),
        ({"name": "mobilenet_v3", "width": 0.5}, "another width"),
        ({"name": "mobilenet", "version": 2}, "206 backbone tensors of a MobileNetV3, the model has 260: another"),
    ):
        with pytest.raises(ModelError, match=message):
            load_pretrained(tmp_path / "small.pth", float_form(model))


# ---- from training to integers


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures that are brighter on the left or on the right."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for split, count in (("train", 48), ("test", 24)):
        images = rng.integers(0, 140, (count, 16, 16, 3))
        labels = np.arange(count) % 2
        for k, label in enumerate(labels):
            images[k, :, 8 * label : 8 * label + 8] += 90
        np.savez(folder / f"{split}.npz", x=images.astype(np.uint8), y=labels)
    return folder


@pytest.fixture(scope="module", params=["free", "power_of_two"])
def trained(request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    quantization = {
        "weight_bits": 4,
        "scales": request.param,
        "layers": {"backbone.blocks.2.excite.gate": {"act_bits": 5}},
    }
    task = {"name": "classification", "format": "npz", "data": str(data)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(mobilenet_v3.BLOCKS, "small", TINY_BLOCKS)
        patch.setitem(mobilenet_v3.HIDDEN, "small", 32)
        return train(recipe(TINY, task=task, quantization=quantization), tmp_path_factory.mktemp("run") / "c.pt")


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_export_compiles_to_the_same_integers(trained: Trained, exporter: Exporter, tmp_path: Path) -> None:
    assert trained.metrics["qat"]["accuracy"] > 0.9
    images = trained.task.test(0, 24)
    _, found = export(trained.model.eval(), images, exporter, "v3", tmp_path / "m.onnx")
    assert found.images == 24 and found.different == found.explained
    graph = import_model(tmp_path / "m.onnx")
    products = [n for n in graph.nodes if isinstance(n, Multiply)]
    # Three gates of blocks; hard-swish in the stem, twice in each of two blocks, at the end and in the classifier.
    assert len(products) == 3 + 7
    shapes = [sorted(graph.tensors[n].shape for n in p.inputs) for p in products]
    assert sum(a != b for a, b in shapes) == 3
    # Every gate has the width that the recipe gives, and lies around one half, where the hard sigmoid is at 0.
    gates = [graph.tensors[p.inputs[1]] for p in products]
    assert sorted(str(g.itype) for g in gates) == ["uint5", *["uint8"] * 9]
    assert all(g.bounds[0] <= (1 << g.itype.bits) // 2 <= g.bounds[1] for g in gates)
    tensor = graph.tensors[graph.inputs[0].tensor]
    codes = np.random.default_rng(0).integers(0, 256, (3, *tensor.shape))
    codes[0], codes[1] = 0, 255
    want = reference.run(graph, {tensor.name: codes})
    for native in (False, True):
        fast = FastSimulator(graph, threads=1, native=native)
        got = fast.run({tensor.name: codes})
        assert all(np.array_equal(got[n], want[n]) for n in want)
        assert all(step.arithmetic.startswith(("float", "moves", "int16")) for step in fast.plan)
    if trained.recipe.quantization.scales == "free":  # the others round half to even, which has no native kernel
        assert fast.native_refused is None
    hls4ml = load_backend("hls4ml")
    assert not hls4ml.supports(graph, hls4ml.options({})).refused


def test_operators_of_the_file(trained: Trained, tmp_path: Path) -> None:
    """Hard sigmoids leave as ONNX's operator; hard-swish never as one node, which could not be integer."""
    export(trained.model.eval(), trained.task.test(0, 4), "torchscript", "v3", tmp_path / "m.onnx")
    kinds = [n.op_type for n in onnx.load(tmp_path / "m.onnx").graph.node]
    assert kinds.count("HardSigmoid") == 10 and "HardSwish" not in kinds


@pytest.mark.parametrize(("size", "classes"), [("small", 7), ("large", 0)])
def test_quantized_form_has_the_names_of_the_float_form(size: str, classes: int) -> None:
    config = recipe({"name": "mobilenet_v3", "size": size, "resolution": 32, "classes": classes, "width": 0.25})
    source, layers = build(config, FloatLayers()), QuantLayers(config.quantization, layer_names(config))
    target = build(config, layers)
    layers.finish()
    copy_float_weights(source, target)
    with torch.no_grad():
        out = target.eval()(torch.rand(1, 3, 32, 32))
    assert out.shape == (1, classes or source.features)
