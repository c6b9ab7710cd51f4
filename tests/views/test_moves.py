"""Shifts of views: where in the augmentation they come, what is drawn for which view; plugins."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from ssl_ood.common import registry
from ssl_ood.common.errors import UserError
from ssl_ood.common.streams import stream
from ssl_ood.methods.dino.views import make_views
from ssl_ood.views.moves import _move_pixels, _turn, moves_of, place_of
from ssl_ood.views.render import draw, render
from ssl_ood.views.shifts import shift_of
from ssl_ood.views.spec import ViewSpec
from ssl_ood.views.warps import affine

BUILT_IN = ("rot90", "rot360", "perm4", "perm16", "pixel_shuffle")
CROP = ViewSpec(16, (0.4, 1.0), blur_p=0.5, solarize_p=0.5, mean=(0, 0, 0), std=(1, 1, 1))
PLAIN = {"flip_p": 0.0, "jitter_p": 0.0, "grey_p": 0.0, "blur_p": [0, 0, 0], "solarize_p": 0.0}


def images_of(count, size=16, seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8))


@pytest.fixture
def declared(monkeypatch):
    """A function: declares a shift of whole images, as a plugin does, for one test."""

    def declare(function, **options):
        monkeypatch.setattr(registry, "_ENTRIES", {**registry._ENTRIES, "shift": dict(SHIFTS)})
        registry.register("shift", "mine", title="Mine", **options)(function)

    return declare


SHIFTS = registry._ENTRIES["shift"]


# ---- what is drawn -------------------------------------------------------------------------------


def test_quarters_and_orders_are_drawn_uniformly():
    turns = moves_of("rot90").draw(6000, stream(0, "x"), True)[:, 0]
    assert sorted(set(turns)) == [1, 2, 3]  # never the identity, whatever is asked
    assert stats.chisquare(np.bincount(turns)[1:]).pvalue > 0.001
    for may_stay, kinds in ((True, 24), (False, 23)):
        orders = moves_of("perm4").draw(400 * kinds, stream(0, "x"), may_stay)
        found, counts = np.unique(orders, axis=0, return_counts=True)
        assert len(found) == kinds
        assert ([0, 1, 2, 3] in found.tolist()) == may_stay
        assert stats.chisquare(counts).pvalue > 0.001


def test_every_patch_of_16_comes_to_every_place_equally_often():
    orders = moves_of("perm16").draw(8000, stream(1, "x"), True)
    assert (np.sort(orders, axis=1) == np.arange(16)).all()
    for place in orders.T:
        assert stats.chisquare(np.bincount(place, minlength=16)).pvalue > 1e-4


def test_angles_are_uniform():
    angles = moves_of("rot360").draw(4000, stream(0, "x"), True)[:, 0]
    assert stats.kstest(angles, stats.uniform(0, 360).cdf).pvalue > 0.001


def test_every_order_of_few_pixels_is_equally_likely():
    keys = moves_of("pixel_shuffle").draw(4800, stream(0, "x"), True)
    pixels = torch.arange(4.0).view(1, 1, 2, 2).expand(4800, 3, 2, 2)
    moved = _move_pixels(pixels, keys)
    assert torch.equal(moved[:, 0], moved[:, 2])  # the channels of a pixel together
    found, counts = np.unique(moved[:, 0].flatten(1).numpy(), axis=0, return_counts=True)
    assert len(found) == 24
    assert stats.chisquare(counts).pvalue > 0.001


# ---- where they come -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_shifted_view_is_the_other_view_shifted_at_its_place(name, device):
    """Rotations of the crop, whose colours then change alike; permutations of the finished view."""
    spec = replace(CROP, shifting=name, may_stay=True)
    images = images_of(12).to(device)
    parameters = draw(spec, 12, 16, 16, stream(0, "views"))
    found = render(images, parameters, spec).cpu()
    plain = replace(spec, shifting=None)
    if name == "rot90":
        crops = render(images, parameters, replace(plain, jitter_p=0, grey_p=0, blur_p=0)).cpu()
        assert crops.shape == found.shape
        whole = render(images, parameters, plain).cpu()
        # Colours, blur and solarising do not know up from down: to turn before or after is one.
        expected = torch.stack(
            [
                torch.rot90(v, int(t), (1, 2))
                for v, t in zip(whole, parameters.moved[:, 0], strict=True)
            ]
        )
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    elif name == "rot360":
        assert place_of(name) == "crop"
        black = (found == 0).all(dim=1).float().mean((1, 2))
        assert black.max() < 0.25  # the corners, and after a blur or solarising fewer
        assert not torch.equal(found, render(images, parameters, plain).cpu())
    else:
        expected = moves_of(name).make(render(images, parameters, plain).cpu(), parameters.moved)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_the_corners_of_a_turned_crop_are_black_before_the_colours_change():
    """After solarising they are white: the shift came first."""
    spec = ViewSpec(
        16, None, flip_p=0, jitter_p=0, grey_p=0, blur_p=0, mean=(0, 0, 0), std=(1, 1, 1)
    )
    spec = replace(spec, shifting="rot360")
    white = torch.full((6, 16, 16, 3), 255, dtype=torch.uint8)
    parameters = draw(spec, 6, 16, 16, stream(0, "x"))
    parameters = replace(parameters, moved=np.full((6, 1), 45.0))
    view = render(white, parameters, spec)
    assert view[:, :, 0, 0].max() == 0 and view[:, :, 8, 8].min() == 1
    assert set(view.unique().tolist()) == {0.0, 1.0}  # nearest neighbour
    angle = torch.full((6,), 45.0)
    expected = affine(torch.ones(6, 3, 16, 16), angle, torch.zeros(6, 2), torch.ones(6))
    assert torch.equal(view, expected)


def test_a_quarter_is_counter_clockwise_as_of_images():
    images = images_of(4, 6)
    turns = np.array([[1], [2], [3], [1]])
    found = _turn(images.permute(0, 3, 1, 2), turns)
    for image, view, turn in zip(images, found, turns[:, 0], strict=True):
        np.testing.assert_array_equal(view.permute(1, 2, 0), np.rot90(image, turn))


# ---- which view gets which draw ------------------------------------------------------------------


def quarters_of(views, upright):
    """(V, N) quarter turns by which views (V, N, 3, S, S) differ from the upright ones."""
    turned = [torch.rot90(upright, turn, (3, 4)) for turn in range(4)]
    same = torch.stack([(views - t).abs().amax((2, 3, 4)) < 1e-5 for t in turned])
    assert (same.sum(0) == 1).all()
    return same.float().argmax(0)


def test_every_view_of_an_image_is_turned_by_itself(tiny):
    config = tiny(views={**PLAIN, "negative": [1, 4]})
    images = images_of(40)
    rows = slice(0, 40)
    found = make_views(images, config, "negative", 3, rows, ["rot90"] * 40)
    upright = make_views(images, config, "negative", 3, rows)
    turns = torch.cat([quarters_of(*pair) for pair in zip(found, upright, strict=True)])
    assert turns.shape == (5, 40)
    assert turns.min() == 1  # never the identity
    alike = (turns[0] == turns[1:]).float().mean()
    assert 0.2 < alike < 0.47  # a third, 160 pairs
    again = make_views(images, config, "negative", 4, rows, ["rot90"] * 40)
    assert not torch.equal(again[0], found[0])


@pytest.mark.parametrize("name", [*BUILT_IN, "mine"])
def test_micro_batches_get_the_shifts_of_the_whole_batch(tiny, declared, name, device):
    declared(lambda images, rng: images.roll(int(rng.integers(1, 8)), 1))
    config, images = tiny(), images_of(9).to(device)
    whole = make_views(images, config, "negative", 2, slice(0, 9), [name] * 9)
    for rows in (slice(0, 4), slice(4, 9), slice(8, 9)):
        part = make_views(images, config, "negative", 2, rows, [name] * 9)
        for found, expected in zip(part, whole, strict=True):
            # Two products in another order; a plugin sees them rounded to 8 bits.
            atol = 1e-5 if name != "mine" else 2 / 255 / 0.25
            torch.testing.assert_close(found, expected[:, rows], rtol=0, atol=atol)


@pytest.mark.parametrize("shifts", [["rot90", None] * 4, [None] * 3 + ["perm4"] * 5])
def test_the_images_of_a_batch_may_be_shifted_in_different_ways(tiny, shifts):
    """Each gets its own, whichever rows are asked; those without one are upright views."""
    config, images = tiny(views=PLAIN), images_of(8)
    whole = make_views(images, config, "negative", 0, slice(0, 8), shifts)
    for rows in (slice(0, 8), slice(2, 7), slice(3, 4), slice(0, 1)):
        part = make_views(images, config, "negative", 0, rows, shifts)
        for found, expected in zip(part, whole, strict=True):
            torch.testing.assert_close(found, expected[:, rows], rtol=0, atol=1e-5)
    moved = torch.tensor([bool(shift) for shift in shifts])
    config = tiny(views={**PLAIN, "global_scale": [1.0, 1.0], "negative": [1, 0]})
    views, _ = make_views(images, config, "negative", 0, slice(0, 8), shifts)
    expected = (images.permute(0, 3, 1, 2) / 255 - 0.5) / 0.25
    same = (views[0] - expected).abs().amax((1, 2, 3)) < 1e-5
    assert same[~moved].all()
    assert not same[moved].any()


# ---- plugins -------------------------------------------------------------------------------------


def roll(images, rng):
    """A shift as a plugin declares it: a function of whole images."""
    assert images.dtype == torch.uint8 and images.shape[-1] == 3 and images.is_contiguous()
    return images.roll(int(rng.integers(1, 8)), 1)


@pytest.mark.parametrize(("options", "place"), [({}, "crop"), ({"after": "colours"}, "colours")])
def test_a_function_of_images_shifts_views_at_its_place(declared, options, place):
    declared(roll, **options)
    assert place_of("mine") == place
    images = images_of(6)
    spec = replace(CROP, jitter_p=0, grey_p=0, blur_p=0, solarize_p=1, shifting="mine")
    parameters = draw(spec, 6, 16, 16, stream(0, "x"))
    found = render(images, parameters, spec)
    upright = render(images, parameters, replace(spec, shifting=None))
    distance = [(found - upright.roll(by, 2)).abs().amax((1, 2, 3)) for by in range(1, 8)]
    # Solarising is continuous at its threshold: half a grey level of rounding stays one.
    nearest = torch.stack(distance).min(0)
    assert nearest.values.max() < 1.01 / 255
    assert len(set(nearest.indices.tolist())) > 1  # every view with a generator of its own
    assert shift_of("mine") is roll  # of whole images as before


def test_a_place_that_there_is_not_is_one_sentence(declared):
    declared(roll, after="blur")
    with pytest.raises(UserError) as error:
        place_of("mine")
    assert str(error.value) == (
        "The shift mine is declared with after='blur': write crop or colours."
    )


@pytest.mark.parametrize(
    ("place", "keys"), [("image", ["size"]), ("view", ["views.global_size", "views.local_size"])]
)
def test_what_a_shift_cannot_cut_is_said_before_a_training(tiny, declared, place, keys):
    declared(roll, parts=3)
    pairs = [{"source": "photos", "split": "train", "shift": "mine"}]
    settings = tiny(negatives=pairs, views={"shift_place": place})
    faults = dict(settings.faults(24))
    assert list(faults) == keys
    assert faults[keys[0]] == (
        "16 cannot be cut into the 3 x 3 equal patches of the shift mine of strategy rot_photos: "
        "choose a size that 3 divides."
    )
    if place == "view":  # local views that negatives do not have need not be cut
        only = tiny(negatives=pairs, views={"shift_place": place, "negative": [1, 0]})
        assert [key for key, _ in only.faults(24)] == keys[:1]
    assert not list(tiny(negatives=pairs, training={"lambda": 0.0}).faults(24))


# ---- the coin ------------------------------------------------------------------------------------


def test_a_negative_is_augmented_as_either_global_view_by_a_fair_coin(tiny):
    (spec,), _ = tiny(views={"negative": [1, 1]}).views.pipelines("negative")
    drawn = draw(spec, 20_000, 16, 16, stream(0, "coin"))
    for name, chance in (("blur", 0.55), ("solarize", 0.1), ("flip", 0.5)):
        found = stats.binomtest(int(getattr(drawn, name).sum()), 20_000, chance)
        assert found.pvalue > 0.001, name
    both = (drawn.solarize & drawn.blur).mean()
    assert both == pytest.approx(0.5 * 0.2 * 0.1, abs=0.003)
    (first,), _ = tiny(views={"negative_global": "first"}).views.pipelines("negative")
    drawn = draw(first, 2000, 16, 16, stream(0, "coin"))
    assert drawn.blur.all() and not drawn.solarize.any()


def test_positives_know_no_coin_and_no_shift(tiny):
    views = tiny().views
    names = ["global_1", "global_2"]
    assert views.pipelines("positive") == (
        [views.specs[name] for name in names], [views.specs["local"]] * 2
    )  # fmt: skip


# ---- blur ----------------------------------------------------------------------------------------


def test_sigma_and_radius_follow_the_size_of_the_global_views(tiny):
    views = tiny(views={"blur_scaled": True, "global_size": 256, "local_size": 128}).views
    for spec in views.specs.values():
        assert spec.blur_sigma == pytest.approx((0.1 * 256 / 224, 2.0 * 256 / 224))
    spec = views.specs["local"]
    sigma = draw(spec, 4000, 16, 16, stream(0, "x")).sigma
    low, high = spec.blur_sigma
    assert stats.kstest(sigma, stats.uniform(low, high - low).cdf).pvalue > 0.001
    assert tiny(views={"blur_sigma": [0.5, 3.0]}).views.specs["global_1"].blur_sigma == (0.5, 3.0)
