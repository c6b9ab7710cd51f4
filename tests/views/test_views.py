"""Views against Pillow and torchvision, operation by operation, and the distributions of draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as tv
from PIL import Image, ImageOps
from scipy import stats
from torchvision.transforms import ColorJitter, InterpolationMode, RandomResizedCrop

from ssl_ood.common.streams import stream
from ssl_ood.methods.dino.method import make_views
from ssl_ood.views import render as views
from ssl_ood.views.render import ViewParameters, ViewSpec, draw, render

BICUBIC = InterpolationMode.BICUBIC
PLAIN = {"jitter_p": 0, "grey_p": 0, "blur_p": 0, "mean": (0, 0, 0), "std": (1, 1, 1)}
# Pillow rounds to 8 bits after each of the two passes. The first rounding error, at most half a
# level, grows by the sum of the absolute weights of the second pass (at most 1.25 for this kernel,
# a bit more where a border cuts it), and the second adds half a level.
PILLOW_LEVELS = 1.25


def random_images(count, size, *, smooth=False, seed=0):
    images = np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    if smooth:
        small = [Image.fromarray(image[:6, :6]) for image in images]
        images = np.stack([np.asarray(im.resize((size, size), Image.BILINEAR)) for im in small])
    return images


def to_floats(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255


def levels(pictures):
    """Pillow pictures as (N, 3, S, S) grey levels."""
    return np.stack([np.asarray(p, np.float64).transpose(2, 0, 1) for p in pictures])


def plain_parameters(count, size, **fields):
    """No crop and none of the operations, but for `fields`."""
    no = np.zeros(count, bool)
    values = {name: no for name in ("flip", "jitter", "grey", "blur", "solarize")}
    values |= {
        "box": np.tile([0, 0, size, size], (count, 1)),
        "factor": np.tile([1.0, 1.0, 1.0, 0.0], (count, 1)),
        "order": np.tile(np.arange(4), (count, 1)),
        "sigma": np.ones(count),
        "warp": np.tile([0.0, 0.0, 0.0, 1.0], (count, 1)),
        "moved": np.empty((count, 0)),
    }
    return ViewParameters(**(values | fields))


# ---- crop, resize, flip --------------------------------------------------------------------------


@pytest.mark.parametrize(("full", "size"), [(32, 64), (32, 32), (32, 16), (64, 24), (40, 31)])
@pytest.mark.parametrize("smooth", [False, True], ids=["noise", "smooth"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_crop_resize_and_flip_equal_pillows(full, size, smooth, interpolation, device):
    images = random_images(40, full, smooth=smooth)
    spec = ViewSpec(size, (0.05, 1.0), interpolation=interpolation, **PLAIN)
    parameters = draw(spec, 40, full, full, stream(0, "test"))
    found = render(torch.from_numpy(images).to(device), parameters, spec).cpu() * 255
    expected = []
    for image, flip, (top, left, height, width) in zip(
        images, parameters.flip, parameters.box.tolist(), strict=True
    ):
        crop = Image.fromarray(image).crop((left, top, left + width, top + height))
        # Pass by pass, across first: newer Pillows begin with the cheaper one, which gives other
        # pixels where the first pass overshoots and is clipped.
        kernel = Image.Resampling[interpolation.upper()]
        crop = crop.resize((size, height), kernel).resize((size, size), kernel)
        expected.append(ImageOps.mirror(crop) if flip else crop)
    assert np.abs(levels(expected) - found.numpy()).max() <= PILLOW_LEVELS
    assert 0 < parameters.flip.sum() < 40


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_resize_without_crop_equals_pillows(interpolation):
    images = torch.from_numpy(random_images(8, 28, smooth=True))
    found = views.resize_plain(images, 16, (0, 0, 0), (1, 1, 1), 1.0, interpolation) * 255
    kernel = Image.Resampling[interpolation.upper()]
    expected = [Image.fromarray(image).resize((16, 16), kernel) for image in images.numpy()]
    assert np.abs(levels(expected) - found.numpy()).max() <= PILLOW_LEVELS


def test_plain_images_of_the_right_size_are_only_normalised():
    images = random_images(3, 16)
    found = views.resize_plain(torch.from_numpy(images), 16, (0.5, 0.4, 0.3), (0.1, 0.2, 0.5))
    expected = tv.normalize(to_floats(images), [0.5, 0.4, 0.3], [0.1, 0.2, 0.5])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_the_whole_image_at_its_own_size_stays_as_it_is():
    images = random_images(5, 16)
    spec = ViewSpec(16, (0.4, 1.0), **PLAIN)
    found = render(torch.from_numpy(images), plain_parameters(5, 16), spec)
    torch.testing.assert_close(found, to_floats(images), rtol=0, atol=1e-6)


def test_the_images_themselves_are_not_changed(device):
    images = torch.from_numpy(random_images(4, 16)).to(device)
    before = images.clone()
    spec = ViewSpec(16, (0.4, 1.0), blur_p=1.0, solarize_p=1.0)
    render(images, draw(spec, 4, 16, 16, stream(0, "test")), spec)
    assert torch.equal(images, before)


# ---- colours, against torchvision on tensors -----------------------------------------------------


def by_image(operation, images, factors):
    pairs = zip(images, factors, strict=True)
    return torch.stack([operation(image, float(factor)) for image, factor in pairs])


@pytest.mark.parametrize(
    ("ours", "theirs", "tolerance"),
    [
        (views.brightness, tv.adjust_brightness, 1e-6),
        # torchvision weighs red by 0.2989, Pillow and we by 0.299: 1e-4 of a red of 1
        (views.contrast, tv.adjust_contrast, 2e-4),
        (views.saturation, tv.adjust_saturation, 2e-4),
    ],
)
def test_colour_factors_equal_torchvisions(ours, theirs, tolerance, device):
    images = to_floats(random_images(12, 9))
    factors = torch.linspace(0.0, 1.9, 12)
    found = ours(images.to(device), factors.to(device)).cpu()
    torch.testing.assert_close(found, by_image(theirs, images, factors), rtol=0, atol=tolerance)


def test_hue_equals_torchvisions(device):
    images = to_floats(random_images(12, 9))
    images[0, :, 0] = 0.25  # grey pixels have no hue
    images[1, 0] = images[1, 1]  # red as bright as green
    shifts = torch.linspace(-0.5, 0.5, 12)
    found = views.hue(images.to(device), shifts.to(device)).cpu()
    # In HSV and back, float32: steps of 1e-6 in the hue are 6e-6 in a channel.
    expected = by_image(tv.adjust_hue, images, shifts)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)


def test_grey_equals_pillows_and_torchvisions():
    images = random_images(6, 9)
    spec = ViewSpec(9, (0.4, 1.0), **(PLAIN | {"grey_p": 1}))
    parameters = plain_parameters(6, 9, grey=np.ones(6, bool))
    found = render(torch.from_numpy(images), parameters, spec)
    expected = tv.rgb_to_grayscale(to_floats(images), num_output_channels=3)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-4)
    pillow = levels([Image.fromarray(image).convert("L").convert("RGB") for image in images])
    assert np.abs(pillow - 255 * found.numpy()).max() <= 0.51  # its 8-bit rounding


@pytest.mark.parametrize("sigma", [0.1, 0.7, 1.3, 2.0])
def test_blur_equals_torchvisions(sigma, device):
    images = to_floats(random_images(3, 20))
    found = views.gaussian_blur(images.to(device), torch.full((3,), sigma, device=device), 6).cpu()
    torch.testing.assert_close(found, tv.gaussian_blur(images, 13, sigma), rtol=0, atol=2e-6)


def test_blur_takes_each_image_by_its_own_sigma_and_small_views_too():
    images = to_floats(random_images(3, 5))  # smaller than the kernel: it is cut to 9 pixels
    sigma = torch.tensor([0.1, 1.0, 2.0])
    found = views.gaussian_blur(images, sigma, 6)
    expected = [tv.gaussian_blur(i, 9, float(s)) for i, s in zip(images, sigma, strict=True)]
    torch.testing.assert_close(found, torch.stack(expected), rtol=0, atol=2e-6)


def test_solarise_equals_torchvisions_and_pillows():
    images = random_images(4, 16)
    found = views.solarize(to_floats(images))
    theirs = tv.solarize(to_floats(images), 128 / 255)
    torch.testing.assert_close(found, theirs, rtol=0, atol=0)
    pillow = levels([ImageOps.solarize(Image.fromarray(image), 128) for image in images])
    np.testing.assert_allclose(found * 255, pillow, atol=1e-4)


def test_jitter_applies_the_four_in_the_order_of_each_image():
    images = random_images(24, 8)
    rng = np.random.default_rng(0)
    order = np.stack([rng.permutation(4) for _ in range(24)])
    factor = np.column_stack([rng.uniform(0.5, 1.5, (24, 3)), rng.uniform(-0.1, 0.1, 24)])
    chosen = np.arange(24) % 3 > 0
    parameters = plain_parameters(24, 8, jitter=chosen, factor=factor, order=order)
    spec = ViewSpec(8, (0.4, 1.0), **(PLAIN | {"jitter_p": 0.5}))
    found = render(torch.from_numpy(images), parameters, spec)
    kinds = (tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation, tv.adjust_hue)
    expected = to_floats(images)
    for i in np.flatnonzero(chosen):
        for kind in order[i]:
            expected[i] = kinds[kind](expected[i], float(factor[i, kind]))
    # The other weight of red (see above), seen through three operations and a hue.
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-3)
    untouched = torch.from_numpy(~chosen)
    torch.testing.assert_close(found[untouched], expected[untouched], rtol=0, atol=1e-6)


def test_the_steps_come_in_dinos_order():
    """Grey, then blur, then solarise, then normalise."""
    images = random_images(3, 16)
    yes = np.ones(3, bool)
    parameters = plain_parameters(3, 16, grey=yes, blur=yes, solarize=yes, sigma=np.full(3, 0.8))
    spec = ViewSpec(16, (0.4, 1.0), mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4), jitter_p=0)
    found = render(torch.from_numpy(images), parameters, spec)
    expected = tv.rgb_to_grayscale(to_floats(images), num_output_channels=3)
    expected = tv.solarize(tv.gaussian_blur(expected, 13, 0.8), 128 / 255)
    expected = tv.normalize(expected, [0.5, 0.4, 0.3], [0.2, 0.3, 0.4])
    different = (found - expected).abs() > 2e-3
    # The other weight of red can bring a pixel to the other side of the threshold: a few of 768.
    assert different.float().mean().item() < 0.005


def through_pillow(image, parameters, i, spec):
    """View i of one image by torchvision's functions on Pillow images, 8 bits after every step."""
    top, left, height, width = parameters.box[i].tolist()
    shape = [spec.size, spec.size]
    picture = tv.resized_crop(Image.fromarray(image), top, left, height, width, shape, BICUBIC)
    if parameters.flip[i]:
        picture = tv.hflip(picture)
    kinds = (tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation, tv.adjust_hue)
    for kind in parameters.order[i] if parameters.jitter[i] else []:
        if spec.jitter[kind]:
            picture = kinds[kind](picture, float(parameters.factor[i, kind]))
    if parameters.grey[i]:
        picture = tv.to_grayscale(picture, 3)
    if parameters.blur[i]:
        picture = tv.gaussian_blur(picture, 13, float(parameters.sigma[i]))
    if parameters.solarize[i]:
        picture = tv.solarize(picture, 128)
    return tv.normalize(tv.to_tensor(picture), spec.mean, spec.std)


@pytest.mark.parametrize(
    ("hue", "solarize_p", "typical", "nearly_all"),
    [
        # Each of up to six steps cuts or rounds to 8 bits, and the next may multiply that by 1.4.
        (0.0, 0.0, 1.5, 3.5),
        # The inverse is continuous at the threshold of half: no pixel jumps by crossing it.
        (0.0, 1.0, 1.5, 3.5),
        # Pillow turns the hue in HSV of 8 bits, where one step is up to 6 of 255 in a channel.
        (0.1, 0.2, 1.5, 6.0),
    ],
    ids=["without hue", "solarised", "with hue"],
)
def test_the_whole_pipeline_gives_the_pictures_of_torchvision_on_pillow(
    hue, solarize_p, typical, nearly_all, device
):
    images = random_images(60, 32, smooth=True)
    spec = ViewSpec(24, (0.4, 1.0), jitter=(0.4, 0.4, 0.2, hue), solarize_p=solarize_p)
    parameters = draw(spec, 60, 32, 32, stream(0, "pipeline"))
    found = render(torch.from_numpy(images).to(device), parameters, spec).cpu()
    expected = torch.stack([through_pillow(im, parameters, i, spec) for i, im in enumerate(images)])
    std = torch.tensor(spec.std).view(1, 3, 1, 1)
    difference = ((found - expected) * std * 255).abs().flatten()
    assert difference.median() <= typical
    assert difference.quantile(0.99) <= nearly_all


# ---- the draws -----------------------------------------------------------------------------------


def same_distribution(ours, theirs):
    """Two samples of one distribution: a test of level 0.001 does not tell them apart."""
    return stats.ks_2samp(ours, theirs).pvalue > 0.001


@pytest.mark.parametrize("scale", [(0.4, 1.0), (0.05, 0.4)])
@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 40)])
def test_boxes_are_distributed_as_torchvisions(scale, height, width):
    torch.manual_seed(0)
    image = torch.zeros(3, height, width)
    theirs = np.array(
        [RandomResizedCrop.get_params(image, scale, (3 / 4, 4 / 3)) for _ in range(4000)]
    )
    ours = draw(ViewSpec(8, scale), 4000, height, width, stream(1, "boxes")).box
    for column in range(4):
        assert same_distribution(ours[:, column], theirs[:, column])
    assert same_distribution(ours[:, 2] * ours[:, 3], theirs[:, 2] * theirs[:, 3])
    assert same_distribution(ours[:, 3] / ours[:, 2], theirs[:, 3] / theirs[:, 2])
    top, left, box_h, box_w = ours.T
    assert (ours >= 0).all()
    assert (top + box_h <= height).all()
    assert (left + box_w <= width).all()


def test_jitter_is_distributed_as_torchvisions():
    torch.manual_seed(0)
    ranges = ((0.6, 1.4), (0.6, 1.4), (0.8, 1.2), (-0.1, 0.1))
    theirs = [ColorJitter.get_params(*ranges) for _ in range(3000)]
    ours = draw(ViewSpec(8, (0.4, 1)), 3000, 32, 32, stream(2, "jitter"))
    for kind in range(4):
        assert same_distribution(ours.factor[:, kind], [t[1 + kind] for t in theirs])
    orders = np.unique(ours.order, axis=0, return_counts=True)
    assert len(orders[0]) == 24  # every order of the four
    assert stats.chisquare(orders[1]).pvalue > 0.001


def test_probabilities_and_sigma_are_as_asked():
    spec = ViewSpec(8, (0.4, 1), flip_p=0.5, jitter_p=0.8, grey_p=0.2, blur_p=0.1, solarize_p=0.3)
    drawn = draw(spec, 20_000, 32, 32, stream(3, "chances"))
    for name, chance in (("flip", 0.5), ("jitter", 0.8), ("grey", 0.2), ("blur", 0.1),
                         ("solarize", 0.3)):  # fmt: skip
        found = stats.binomtest(int(getattr(drawn, name).sum()), 20_000, chance)
        assert found.pvalue > 0.001, name
    assert stats.kstest(drawn.sigma, stats.uniform(0.1, 1.9).cdf).pvalue > 0.001


def test_images_are_drawn_independently_of_each_other():
    """Neither neighbouring images nor the choices of one image go together."""
    drawn = draw(ViewSpec(8, (0.05, 0.4)), 20_000, 32, 32, stream(4, "independence"))
    columns = np.column_stack(
        [drawn.flip, drawn.jitter, drawn.grey, drawn.blur, drawn.sigma, drawn.factor,
         drawn.box[:, 2] * drawn.box[:, 3]]
    ).astype(float)  # fmt: skip
    for column in columns.T:
        assert abs(np.corrcoef(column[:-1], column[1:])[0, 1]) < 0.025  # 3.5 standard errors
    among = np.corrcoef(columns.T) - np.eye(columns.shape[1])
    assert np.abs(among).max() < 0.025


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(20, 20, (0, 0, 20, 20)), (40, 12, (12, 0, 16, 12)), (12, 40, (0, 12, 12, 16))],
)
def test_a_crop_that_never_fits_is_the_middle_one(height, width, expected):
    torch.manual_seed(0)
    spec = ViewSpec(8, (3.0, 4.0))  # larger than the image: no try fits
    drawn = draw(spec, 5, height, width, stream(0, "middle"))
    assert drawn.box.tolist() == [list(expected)] * 5
    theirs = RandomResizedCrop.get_params(torch.zeros(3, height, width), (3, 4), (3 / 4, 4 / 3))
    assert tuple(theirs) == expected


@pytest.mark.parametrize("rows", [slice(0, 3), slice(3, 10), slice(4, 5)])
def test_views_of_some_rows_are_those_of_the_whole_batch(rows, device):
    images = torch.from_numpy(random_images(10, 16)).to(device)
    spec = ViewSpec(12, (0.3, 1.0), blur_p=0.5, solarize_p=0.5, grey_p=0.5)
    parameters = draw(spec, 10, 16, 16, stream(5, "rows"))
    whole = render(images, parameters, spec)
    part = render(images[rows], parameters.rows(rows), spec)
    # The same float32 sums; the batched products may add up in another order.
    torch.testing.assert_close(part, whole[rows], rtol=0, atol=1e-5)


def test_several_views_in_one_pass_are_those_made_one_by_one(device):
    images = torch.from_numpy(random_images(10, 16)).to(device)
    spec = ViewSpec(12, (0.3, 1.0), solarize_p=0.5, rotation=20.0, shift=0.1)
    rng = stream(6, "together")
    parameters = [draw(spec, 10, 16, 16, rng) for _ in range(3)]
    together = render(images, ViewParameters.joined(parameters), spec)
    for view, each in zip(together.split(10), parameters, strict=True):
        torch.testing.assert_close(view, render(images, each, spec), rtol=0, atol=1e-5)


def test_draws_are_the_same_for_the_same_stream_and_others_for_another():
    spec = ViewSpec(8, (0.4, 1.0))
    first, again = (draw(spec, 6, 32, 32, stream(0, "views", 7)) for _ in range(2))
    other = draw(spec, 6, 32, 32, stream(0, "views", 8))
    for name, values in vars(first).items():
        np.testing.assert_array_equal(values, getattr(again, name))
    assert not np.array_equal(first.factor, other.factor)


# ---- one rotation for all positive views ---------------------------------------------------------


def test_all_positive_views_of_an_image_share_one_rotation(tiny):
    """Section 3.3 of the paper of chapter 7. Every view of a rotated image is a view, with the
    same parameters, of the image rotated by 90, 180 or 270 degrees; negatives stay upright."""
    plain = {"flip_p": 0.0, "jitter_p": 0.0, "grey_p": 0.0, "blur_p": [0, 0, 0], "solarize_p": 0.0}
    config, upright = tiny(views={**plain, "rotate_positives": True}), tiny(views=plain)
    images = torch.from_numpy(random_images(8, 16))
    rows = slice(2, 7)
    found = make_views(images, config, "positive", 3, rows)
    turned = [
        make_views(torch.rot90(images, turn, (1, 2)), upright, "positive", 3, rows)
        for turn in range(4)
    ]
    chosen = []
    for i in range(5):
        fits = [
            all(
                torch.equal(view[i], other[i])
                for kind, others in zip(found, candidate, strict=True)
                for view, other in zip(kind, others, strict=True)
            )
            for candidate in turned
        ]
        assert sum(fits) == 1
        chosen.append(fits.index(True))
    assert 0 not in chosen
    assert len(set(chosen)) > 1
    again = make_views(images, config, "negative", 3, rows)
    expected = make_views(images, upright, "negative", 3, rows)
    for found, others in zip(again, expected, strict=True):
        assert all(map(torch.equal, found, others))
