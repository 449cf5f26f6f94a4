# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Several programs on one engine, and the choice among them by a latency budget."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitwright import flow
from bitwright.host import AdaptiveAccelerator, InputError
from tests.support import ModelBuilder

QUALITY = {"small": 0.6, "middle": 0.8, "large": 0.9}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, float]]:
    """Three networks with the same input and more and more layers, as the exits of one network are."""
    folder = tmp_path_factory.mktemp("adaptive")
    found = {}
    for depth, name in zip((1, 3, 6), QUALITY, strict=True):
        rng = np.random.default_rng(5)
        b = ModelBuilder()
        y = b.quant(b.input(["N", 8, 16, 16]), 0.05)
        for k in range(depth):
            w = b.quant_const(rng.normal(size=(8, 8, 3, 3)), 0.2)
            y = b.quant(b.node("Conv", y, w, pads=[1, 1, 1, 1]), 0.1 * (k + 1))
        flow.compile_model(b.save(folder / f"{name}.onnx", y), folder / name, board="ultra96-v2", backend="engine")
        found[name] = (folder / name, QUALITY[name])
    return found


def load(settings: dict[str, tuple[Path, float]], budget: float, **options: Any) -> AdaptiveAccelerator:
    return AdaptiveAccelerator.load(settings, budget, device="sim", **options)


def frames(count: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).normal(size=(count, 1, 8, 16, 16)).astype(np.float32)


@pytest.mark.parametrize("engine", ["program", pytest.param("rtl", marks=pytest.mark.rtl)])
def test_settings_take_turns_on_one_engine(settings: dict[str, tuple[Path, float]], engine: str) -> None:
    """Whatever ran before, every setting computes its own golden outputs."""
    with load(settings, 1.0, engine=engine) as net:
        assert net.profile["small"] < net.profile["middle"] < net.profile["large"]
        for name in ("large", "small", "middle", "large"):
            net._nets[name].self_test()


def test_the_best_setting_within_the_budget(settings: dict[str, tuple[Path, float]]) -> None:
    with load(settings, 1.0) as net:
        x = frames(4)
        for name, seconds in net.profile.items():
            y = net.run(x[0], budget=1.05 * seconds)
            assert net.decisions[-1].setting == name and not net.decisions[-1].missed
            np.testing.assert_array_equal(y, net._nets[name].run(x[0]))
        net.run(x[0], budget=0.5 * net.profile["small"])
        last = net.decisions[-1]
        assert (last.setting, last.fits, last.missed) == ("small", False, True)
        report = net.report()
        assert report.frames == 4 and report.missed == report.hopeless == 1
        assert report.chosen == {"small": 2, "middle": 1, "large": 1}
        assert report.quality == pytest.approx((2 * 0.6 + 0.8 + 0.9) / 4)
        assert report.as_dict()["latency"]["p50"] <= report.latency["p99"]


def test_load_on_the_board_moves_the_choice_and_its_end_moves_it_back(
    settings: dict[str, tuple[Path, float]],
) -> None:
    with load(settings, 1.0) as net:
        budget = 1.1 * net.profile["large"]
        x = frames(1)[0]
        for _ in net.stream([x] * 5, budget):
            pass
        assert {d.setting for d in net.decisions} == {"large"}
        logic = next(iter(net._nets.values())).device.board.logic
        logic._hz /= 2.5  # other work takes the memory
        for _ in range(50):
            net.run(x, budget)
        later = list(net.decisions)[-10:]
        assert {d.setting for d in later} <= {"small", "middle"}
        assert sum(d.missed for d in later) <= 1  # now and then a better setting is tried again
        logic._hz *= 2.5
        for _ in range(60):
            net.run(x, budget)
        assert net.decisions[-1].setting == "large"


def test_inputs_by_setting(settings: dict[str, tuple[Path, float]]) -> None:
    with load(settings, 1.0) as net:
        x = frames(2)
        y = net.run({"large": x[1], "small": x[0], "middle": x[0]})
        np.testing.assert_array_equal(y, net._nets["large"].run(x[1]))


def test_what_makes_no_sense_is_refused(settings: dict[str, tuple[Path, float]]) -> None:
    with pytest.raises(InputError, match="no settings"):
        AdaptiveAccelerator.load({}, 1.0, device="sim")
    with pytest.raises(InputError, match="a budget of 0"):
        load(settings, 0.0)
