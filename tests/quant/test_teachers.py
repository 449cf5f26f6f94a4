# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Where weights and targets can come from: torchvision's files, another run's float network, a float teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.qat

torch = pytest.importorskip("torch")
pytest.importorskip("brevitas")

from bitwright.errors import ModelError  # noqa: E402
from bitwright.quant.layers import FloatLayers  # noqa: E402
from bitwright.quant.models import build  # noqa: E402
from bitwright.quant.pretrained import DEVIATION, MEAN, load_pretrained  # noqa: E402
from bitwright.quant.recipe import Recipe, parse_recipe  # noqa: E402
from bitwright.quant.train import train  # noqa: E402

DIGITS = {"name": "separable_classifier", "stem": 4, "channels": [8, 8], "strides": [2, 1]}


def recipe(model: dict[str, Any], task: str = "digits_classification", **changes: Any) -> Recipe:
    phase = {"epochs": 2, "batch_size": 64}
    tables = {"task": {"name": task}, "model": model, "float_training": phase, "qat": phase}
    if task == "detection":
        tables["task"]["format"] = "voc"
    return parse_recipe({"name": "tiny", "seed": 3, "threads": 1, **tables, **changes}, "tiny")


def network(model: dict[str, Any]) -> Any:
    return build(recipe(model, "detection"), FloatLayers()).eval()


def renamed(model: Any, ours: tuple[str, ...], theirs: tuple[str, ...]) -> dict[str, Any]:
    """The backbone under names such as torchvision's: only their first part and their order matter."""
    state = {}
    for k, (name, values) in enumerate(model.state_dict().items()):
        part = next((t for o, t in zip(ours, theirs, strict=True) if name.startswith(o)), None)
        if part is not None:
            state[f"{part}{k}.{name.rsplit('.', 1)[1]}"] = values
    return state


@pytest.mark.parametrize(
    ("model", "ours", "theirs"),
    [
        ({"name": "mobilenet", "width": 0.25, "resolution": 64, "classes": 5}, ("backbone.",), ("features.",)),
        ({"name": "ssdlite", "width": 0.25, "resolution": 64, "classes": 3}, ("backbone.",), ("features.",)),
        (
            {"name": "codenet", "resolution": 64, "classes": 3},
            ("stem.", "stages.0.", "stages.1.", "stages.2.", "top."),
            ("conv1.", "stage2.", "stage3.", "stage4.", "conv5."),
        ),
    ],
)
def test_weights_of_torchvision(
    model: dict[str, Any], ours: tuple[str, ...], theirs: tuple[str, ...], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    source, target = network(model), network(model)
    for module in source.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean)
    torch.save(renamed(source, ours, theirs) | {"classifier.1.weight": torch.zeros(2, 2)}, tmp_path / "w.pth")
    assert load_pretrained(tmp_path / "w.pth", target) > 50
    x = torch.rand(2, 3, 64, 64)
    shape = (1, 3, 1, 1)
    normal = (x - torch.tensor(MEAN).reshape(shape)) / torch.tensor(DEVIATION).reshape(shape)
    stem = (lambda m: m.backbone.stem) if "backbone." in ours else (lambda m: m.stem)
    inner = (slice(None), slice(None), slice(1, -1), slice(1, -1))  # the border is padded with another colour
    torch.testing.assert_close(stem(target)(x)[inner], stem(source)(normal)[inner], rtol=1e-4, atol=1e-4)
    own = {
        k: v
        for k, v in target.state_dict().items()
        if k.startswith(ours) and not k.startswith(("stem", "backbone.stem"))
    }
    assert all(torch.equal(v, source.state_dict()[k]) for k, v in own.items())


def test_wrong_weights_are_named(tmp_path: Path) -> None:
    model = network({"name": "mobilenet", "width": 0.25, "resolution": 64, "classes": 5})
    wide = network({"name": "mobilenet", "width": 0.5, "resolution": 64, "classes": 5})
    with pytest.raises(ModelError, match="no such file of weights"):
        load_pretrained(tmp_path / "none.pth", model)
    torch.save({"fc.weight": torch.zeros(2)}, tmp_path / "fc.pth")
    with pytest.raises(ModelError, match=r"holds no weights for this model; .* the file has fc\.weight"):
        load_pretrained(tmp_path / "fc.pth", model)
    torch.save(renamed(wide, ("backbone.",), ("features.",)), tmp_path / "wide.pth")
    with pytest.raises(ModelError, match="another width"):
        load_pretrained(tmp_path / "wide.pth", model)
    (tmp_path / "text.pth").write_text("weights")
    with pytest.raises(ModelError, match="cannot be read as weights"):
        load_pretrained(tmp_path / "text.pth", model)


def test_float_weights_of_another_run(tmp_path: Path) -> None:
    first = train(recipe(DIGITS), tmp_path / "a.pt")
    wide = recipe(DIGITS, quantization={"weight_bits": 8})
    second = train(wide, tmp_path / "b.pt", float_from=tmp_path / "a.pt")
    assert second.metrics["float"] == first.metrics["float"]
    assert [h["phase"] for h in second.history] == ["qat", "qat"]
    with pytest.raises(ModelError, match="holds another model"):
        train(recipe(DIGITS | {"stem": 6}), tmp_path / "c.pt", float_from=tmp_path / "a.pt")


def test_distillation_changes_the_quantized_network_only(tmp_path: Path) -> None:
    plain = train(recipe(DIGITS), tmp_path / "a.pt")
    taught = recipe(DIGITS, distillation={"weight": 0.5})
    first, again = train(taught, tmp_path / "b.pt"), train(taught, tmp_path / "c.pt")
    assert first.metrics["float"] == plain.metrics["float"]
    states = [t.model.state_dict() for t in (plain, first, again)]
    assert any(not torch.equal(states[0][k], states[1][k]) for k in states[0])
    assert all(torch.equal(states[1][k], states[2][k]) for k in states[1])
    other = recipe(DIGITS | {"stem": 6}, distillation={"weight": 1.0, "teacher": str(tmp_path / "a.pt")})
    assert np.isfinite(train(other, tmp_path / "d.pt").metrics["qat"]["accuracy"])
