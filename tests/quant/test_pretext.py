# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Pretext tasks: determinism, labels, geometry pixel by pixel, and the contrastive loss against a double loop."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.qat

torch = pytest.importorskip("torch")

from bitwright.quant.one_class.pretext import (  # noqa: E402
    contrastive_loss,
    cutpaste,
    cutpaste_3way,
    cutpaste_scar,
    distribution_augmentation,
    labelled,
    rotations,
    two_views,
)

DRAWING: dict[str, Any] = {
    "cutpaste": cutpaste,
    "scar": cutpaste_scar,
    "3way": lambda x, g: cutpaste_3way(x, g)[0],
    "views": lambda x, g: torch.cat(two_views(x, g)),
}


def seeded(seed: int = 0) -> Any:
    return torch.Generator().manual_seed(seed)


def images(count: int, channels: int = 3, height: int = 32, width: int = 32, seed: int = 0) -> Any:
    return torch.rand(count, channels, height, width, generator=seeded(seed))


def numbered(count: int, height: int, width: int) -> Any:
    """Images in which every pixel's value tells its place: place / (H * W)."""
    values = torch.arange(height * width, dtype=torch.float64) / (height * width)
    return values.reshape(1, 1, height, width).repeat(count, 1, 1, 1)


@pytest.mark.parametrize("name", DRAWING)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 40)])
def test_the_generator_decides_everything(name: str, shape: tuple[int, int, int]) -> None:
    x = images(6, *shape)
    before = x.clone()
    generator = seeded(1)
    first, second = DRAWING[name](x, generator), DRAWING[name](x, generator)
    torch.manual_seed(12345)
    state = torch.random.get_rng_state()
    again = DRAWING[name](x, seeded(1))
    assert torch.equal(torch.random.get_rng_state(), state), "the global generator was used"
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert torch.equal(x, before)
    assert first.dtype == torch.float32 and first.shape[1:] == x.shape[1:]
    assert first.min() >= 0 and first.max() <= 1


def test_rotations_by_index() -> None:
    x = images(3, 2, 5, 5)
    turned, labels = rotations(x)
    assert turned.shape == (12, 2, 5, 5)
    assert labels.tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3 and labels.dtype == torch.int64
    y, i = 1, 3
    for k in range(4):
        assert torch.equal(turned[3 * k : 3 * k + 3, :, y, i], x[:, :, 1, 3])
        y, i = 4 - i, y  # counter-clockwise: the right column becomes the top row
    assert torch.equal(turned[3:6], torch.from_numpy(np.rot90(x.numpy(), 1, (2, 3)).copy()))
    assert torch.equal(distribution_augmentation(x), turned)
    with pytest.raises(ValueError, match="square images, got 5 x 6"):
        rotations(images(1, 1, 5, 6))


def test_labelled_takes_groups_of_any_size() -> None:
    x = images(5, 1, 8, 8)
    both, labels = labelled(x[:2], x[2:])
    assert torch.equal(both, x) and labels.tolist() == [0, 0, 1, 1, 1]


@given(st.integers(8, 40), st.integers(8, 40), st.integers(0, 2**32))
@settings(deadline=None, max_examples=25, derandomize=True)
def test_cutpaste_moves_one_rectangle_within_the_bounds(height: int, width: int, seed: int) -> None:
    x = numbered(12, height, width)
    out = cutpaste(x, seeded(seed), jitter=0)
    for image, original in zip(out[:, 0].numpy(), x[:, 0].numpy(), strict=True):
        ys, xs = np.nonzero(image != original)
        rows, columns = slice(ys.min(), ys.max() + 1), slice(xs.min(), xs.max() + 1)
        patch = image[rows, columns]
        assert len(ys) == patch.size, "what changed is no rectangle"
        # The upper left pixel tells where it was cut; all the others must come along.
        y, i = divmod(round(patch[0, 0] * height * width), width)
        assert np.array_equal(patch, original[y : y + patch.shape[0], i : i + patch.shape[1]])
        assert 0.02 <= patch.size / (height * width) <= 0.15


def test_cutpaste_areas_aspects_and_places_spread_over_their_ranges() -> None:
    side, count = 128, 600
    out, original = cutpaste(numbered(count, side, side), seeded(3), jitter=0)[:, 0], numbered(1, side, side)[0, 0]
    shares, aspects, tops = [], [], []
    for image in out:
        ys, xs = torch.nonzero(image != original, as_tuple=True)
        shares.append(len(ys) / side**2)
        aspects.append(float((xs.max() - xs.min() + 1) / (ys.max() - ys.min() + 1)))
        tops.append(int(ys.min()))
    assert 0.02 <= min(shares) < 0.025 and 0.145 < max(shares) <= 0.15
    assert np.mean(shares) == pytest.approx(0.085, abs=0.005)
    # One pixel of rounding on a short side moves the aspect by a few percent.
    assert 0.27 < min(aspects) < 0.35 and 3 < max(aspects) < 3.6
    assert np.mean(np.log(aspects)) == pytest.approx(0, abs=0.1)
    assert min(tops) < 3 and max(tops) > side * 0.8


def test_cutpaste_never_pastes_onto_the_place_it_cut_from() -> None:
    x = numbered(3000, 8, 8)
    assert (cutpaste(x, seeded(4), jitter=0) != x).flatten(1).any(1).all()
    assert (cutpaste_scar(x, seeded(4), jitter=0) != x).flatten(1).any(1).all()


def test_jitter_changes_the_colour_of_the_patch_only() -> None:
    x = images(200, 3, 16, 16) * 0.5 + 0.25
    for paste in (cutpaste, cutpaste_scar):
        plain, coloured = (paste(x, seeded(5), jitter=jitter) for jitter in (0, 0.1))
        moved = (plain != x).any(1, keepdim=True)
        assert torch.equal(torch.where(moved, x, coloured), torch.where(moved, x, plain))
        difference = (coloured - plain).abs()[moved.expand_as(x)]
        assert 0 < difference.mean() < 0.1 and difference.max() < 0.25


@pytest.mark.parametrize("side", [8, 32, 256])
def test_scars_are_rotated_rectangles_of_the_given_size(side: int) -> None:
    count = 40 if side == 256 else 300
    x = numbered(count, side, side)
    out = cutpaste_scar(x, seeded(6), jitter=0)
    scale, areas, flat = side / 256, [], numbered(1, side, side)[0, 0]
    most = max(16 * scale, 1) * max(25 * scale, 3)
    for image in out[:, 0]:
        ys, xs = torch.nonzero(image != flat, as_tuple=True)
        sources = (image[ys, xs] * side * side).round().long()
        sy, sx = sources // side, sources % side
        areas.append(len(ys))
        extent = math.hypot(max(16 * scale, 1), max(25 * scale, 3)) + 1
        assert ys.max() - ys.min() <= extent and xs.max() - xs.min() <= extent
        # A rotation keeps distances, nearest neighbours up to the rounding of the two ends.
        pasted = torch.hypot((ys - ys[0]).double(), (xs - xs[0]).double())
        cut = torch.hypot((sy - sy[0]).double(), (sx - sx[0]).double())
        assert (pasted - cut).abs().max() <= math.sqrt(2)
        # The cut rectangle stands upright: at most 16 across and 25 down at 256 pixels.
        assert sx.max() - sx.min() <= max(16 * scale, 1) + 1 and sy.max() - sy.min() <= max(25 * scale, 3) + 1
    assert max(areas) <= most * 1.15 + 4 and min(areas) >= 1
    if side == 256:
        assert np.mean(areas) == pytest.approx(9 * 17.5, rel=0.25)


def test_an_upright_scar_keeps_every_pixel() -> None:
    x = numbered(50, 64, 64)
    out = cutpaste_scar(x, seeded(7), width=(20, 20), length=(60, 60), degrees=0, jitter=0)
    for image in out[:, 0].numpy():
        ys, xs = np.nonzero(image != x[0, 0].numpy())
        # 5 x 15 pixels at 64, around a pixel's centre; those on the edge count.
        assert (ys.max() - ys.min() + 1, xs.max() - xs.min() + 1) == (15, 5)
        steps = np.unique(np.round((image - x[0, 0].numpy())[ys, xs] * 4096))
        assert len(steps) == 1
    with pytest.raises(ValueError, match="does not fit an image side of 64 pixels"):
        cutpaste_scar(x, seeded(0), length=(300, 300))


def test_three_way_labels_and_order() -> None:
    x = images(4)
    out, labels = cutpaste_3way(x, seeded(8))
    assert out.shape == (12, 3, 32, 32) and labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    generator = seeded(8)
    expected = torch.cat((x, cutpaste(x, generator), cutpaste_scar(x, generator)))
    assert torch.equal(out, expected)


def test_bad_images_are_refused() -> None:
    for bad in (images(2)[0], images(2, 1, 7, 9), (images(2) * 255).to(torch.uint8)):
        for paste in (cutpaste, cutpaste_scar):
            with pytest.raises(ValueError, match="sides of 8 pixels or more, got"):
                paste(bad, seeded())
    with pytest.raises(ValueError, match="area below 1"):
        cutpaste(images(2), seeded(), area=(0.3, 0.2))
    with pytest.raises(ValueError, match="crop must be"):
        two_views(images(2), seeded(), crop=(0.5, 1.5))


def test_a_flat_image_has_flat_views() -> None:
    flat = torch.full((4, 3, 16, 20), 0.5)
    for view in two_views(flat, seeded(9), jitter=0, grey=0):
        torch.testing.assert_close(view, flat)


def test_views_crop_resize_and_flip() -> None:
    """On ramps bilinear resizing is exact: the slope tells the crop's size and whether it is flipped."""
    side, count = 64, 400
    ramp = (torch.arange(side) + 0.5) / side
    x = torch.stack((ramp[None].expand(side, -1), ramp[:, None].expand(-1, side)))[None].repeat(count, 1, 1, 1)
    view, _ = two_views(x, seeded(10), jitter=0, grey=0)
    inner = view[:, :, 8:-8, 8:-8]
    across, down = inner[:, 0].diff(dim=2) * side, inner[:, 1].diff(dim=1) * side
    wide, tall = across.flatten(1).median(1).values, down.flatten(1).median(1).values
    assert (tall > 0).all()
    assert 0.4 < (wide < 0).float().mean() < 0.6
    area = wide.abs() * tall
    assert area.min() > 0.49 and area.max() < 1.001 and area.max() - area.min() > 0.4
    assert (wide.abs() / tall).min() > 0.74 and (wide.abs() / tall).max() < 1.35
    middles = torch.stack((inner[:, 0].mean((1, 2)), inner[:, 1].mean((1, 2))))
    room = torch.stack(((1 - wide.abs()) / 2, (1 - tall) / 2))
    assert ((middles - 0.5).abs() <= room + 0.01).all()
    assert (middles - 0.5).abs().max() > 0.05
    straight, _ = two_views(x, seeded(10), jitter=0, grey=0, flip=False)
    assert (straight[:, 0, :, 8:-8].diff(dim=2) > -1e-6).all()


def test_views_turn_grey_at_the_given_rate() -> None:
    x = images(500, 3, 8, 8)
    for rate in (0, 0.2, 1):
        view, _ = two_views(x, seeded(11), grey=rate)
        equal = (view == view[:, :1]).flatten(1).all(1).float().mean().item()
        assert equal == pytest.approx(rate, abs=0.05)


def test_distribution_augmentation_makes_rotations_into_negatives() -> None:
    x = images(3, 1, 8, 8)
    instances = distribution_augmentation(x)
    assert len(instances) == 12
    za, zb = (view.flatten(1) for view in two_views(instances, seeded(12)))
    assert contrastive_loss(za, zb).item() == pytest.approx(naive_loss(za, zb, 0.2), rel=1e-5)


def naive_loss(za: Any, zb: Any, temperature: float) -> float:
    """NT-Xent from its definition: numerator the other view, denominator every embedding but the own one."""
    z = [v / np.linalg.norm(v) for v in np.concatenate((za.double().numpy(), zb.double().numpy()))]
    count, total = len(z) // 2, 0.0
    for i in range(2 * count):
        positive = math.exp(float(z[i] @ z[i + count if i < count else i - count]) / temperature)
        others = sum(math.exp(float(z[i] @ z[k]) / temperature) for k in range(2 * count) if k != i)
        total -= math.log(positive / others)
    return total / (2 * count)


@given(st.integers(2, 7), st.integers(1, 6), st.floats(0.05, 5), st.integers(0, 2**32))
@settings(deadline=None, max_examples=30, derandomize=True)
def test_contrastive_loss_against_the_double_loop(count: int, width: int, temperature: float, seed: int) -> None:
    generator = seeded(seed)
    za, zb = (torch.randn(count, width, dtype=torch.float64, generator=generator) * 3 for _ in range(2))
    got = contrastive_loss(za, zb, temperature)
    assert got.item() == pytest.approx(naive_loss(za, zb, temperature), rel=1e-9)
    assert contrastive_loss(zb, za * 7, temperature).item() == pytest.approx(got.item(), rel=1e-9)


def test_contrastive_loss_falls_when_it_is_followed() -> None:
    za = torch.randn(8, 4, generator=seeded(13)).requires_grad_()
    zb = torch.randn(8, 4, generator=seeded(14)).requires_grad_()
    optimiser = torch.optim.SGD((za, zb), lr=1)
    losses = []
    for _ in range(60):
        optimiser.zero_grad()
        loss: Any = contrastive_loss(za, zb, 0.2)
        loss.backward()
        assert torch.isfinite(za.grad).all()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    cosine = torch.nn.functional.cosine_similarity(za, zb)
    assert cosine.min() > 0.8


def test_contrastive_loss_refuses_what_it_cannot_use() -> None:
    z = torch.ones(4, 3)
    for pair in ((z, z[:3]), (z[:1], z[:1]), (z[0], z[0])):
        with pytest.raises(ValueError, match="two views of 2 or more instances"):
            contrastive_loss(*pair)
    with pytest.raises(ValueError, match="temperature must be above 0, got 0"):
        contrastive_loss(z, z, 0)
