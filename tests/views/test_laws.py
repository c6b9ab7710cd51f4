"""The laws of the views: what is drawn for positives and negatives is what the protocol says.

Against a slow version, one image and one operation at a time by Pillow and torchvision, which
shares no line with ours; and no low-level cue tells an unshifted negative from a positive.
"""

from __future__ import annotations

import random
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from sklearn.datasets import load_sample_images
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torchvision import transforms

from ssl_ood.methods.dino.views import make_views

COUNT = 1000  # views that are compared
SIDE, SIZE = 32, {"global": 32, "local": 16}
SCALE = {"global": (0.4, 1.0), "local": (0.15, 0.4)}
SIGMA = (0.7 * 32 / 224, 14.0 * 32 / 224)  # of all views, scaled to global ones of 32 pixels
BLUR_P, SOLARIZE_P = {"first": 1.0, "second": 0.1, "local": 0.5}, {"second": 0.2}
QUARTERS = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)
SHIFTS = (None, "rot90", "rot360", "perm4", "perm16", "pixel_shuffle")
VIEWS = {
    "global_size": 32, "local_size": 16, "local_scale": [0.15, 0.4],
    "blur_sigma": [0.7, 14.0], "blur_scaled": True,
    "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0],
}  # fmt: skip


@cache
def photographs(count, seed=0):
    """(count, 32, 32, 3) uint8 pieces of two photographs, in which up is not down."""
    rng = np.random.default_rng(seed)
    pictures = [Image.fromarray(image) for image in load_sample_images().images]
    pieces = []
    for i in range(count):
        picture, side = pictures[i % 2], int(rng.integers(64, 256))
        left, top = (int(rng.integers(0, full - side)) for full in picture.size)
        piece = picture.crop((left, top, left + side, top + side))
        pieces.append(np.asarray(piece.resize((SIDE, SIDE), Image.Resampling.BOX)))
    return np.stack(pieces)


# ---- the slow version ----------------------------------------------------------------------------


def permuted(pixels, parts):
    """The square patches of pixels (S, S, 3) in a random order."""
    side = len(pixels) // parts
    places = [(i, j) for i in range(parts) for j in range(parts)]
    patches = [pixels[i * side : (i + 1) * side, j * side : (j + 1) * side] for i, j in places]
    random.shuffle(patches)
    rows = [np.concatenate(patches[i * parts : (i + 1) * parts], axis=1) for i in range(parts)]
    return np.concatenate(rows)


def slow_view(image, size, pipeline, shift):
    """(size, size, 3) uint8; pipeline: first, second, local, or coin for one of the first two."""
    if pipeline == "coin":
        pipeline = random.choice(["first", "second"])
    bicubic = transforms.InterpolationMode.BICUBIC
    view = transforms.RandomResizedCrop(SIZE[size], SCALE[size], interpolation=bicubic)(
        Image.fromarray(image)
    )
    view = transforms.RandomHorizontalFlip(0.5)(view)
    if shift == "rot90":
        view = view.transpose(random.choice(QUARTERS))
    if shift == "rot360":
        view = view.rotate(random.uniform(0, 360))
    if random.random() < 0.8:
        view = transforms.ColorJitter(0.4, 0.4, 0.2, 0.1)(view)
    view = transforms.RandomGrayscale(0.2)(view)
    if random.random() < BLUR_P[pipeline]:
        view = transforms.GaussianBlur(13, SIGMA)(view)
    view = np.asarray(transforms.RandomSolarize(128, SOLARIZE_P.get(pipeline, 0.0))(view))
    if shift in ("perm4", "perm16"):
        view = permuted(view, {"perm4": 2, "perm16": 4}[shift])
    if shift == "pixel_shuffle":
        view = np.random.permutation(view.reshape(-1, 3)).reshape(view.shape)
    return view


@cache
def slow_views(size, pipeline, shift=None):
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    return np.stack([slow_view(image, size, pipeline, shift) for image in photographs(COUNT)])


def our_views(tiny, images, kind, shift=None, seed=0, **views):
    """Global and local views of a training, (V, N, S, S, 3) uint8."""
    config = tiny(seed=seed, views=VIEWS | views)
    batch = torch.from_numpy(images)
    shifts = [shift] * len(images) if kind == "negative" else ()
    made = make_views(batch, config, kind, 0, slice(0, len(images)), shifts)
    return [v.mul(255).round().byte().permute(0, 1, 3, 4, 2).numpy() for v in made]


# ---- what is compared ----------------------------------------------------------------------------


def described(views):
    """(N, features) of views (N, S, S, 3) uint8: moments, a histogram, edges and where they are."""
    pixels = views.astype(np.float64) / 255
    grey = pixels.mean(-1)
    half = grey.shape[1] // 2
    down, right = np.diff(grey, axis=1), np.diff(grey, axis=2)
    bins = [(grey >= low) & (grey < low + 0.125) for low in np.arange(0, 1, 0.125)]
    columns = {
        **{f"mean of channel {c}": pixels[..., c].mean((1, 2)) for c in range(3)},
        **{f"deviation of channel {c}": pixels[..., c].std((1, 2)) for c in range(3)},
        **{f"share of grey level {i}": part.mean((1, 2)) for i, part in enumerate(bins)},
        "saturation": (pixels.max(-1) - pixels.min(-1)).mean((1, 2)),
        "black": (views == 0).all(-1).mean((1, 2)),
        "edges down": np.log1p(1e3 * (down**2).mean((1, 2))),
        "edges right": np.log1p(1e3 * (right**2).mean((1, 2))),
        "edges down less right": (down**2).mean((1, 2)) - (right**2).mean((1, 2)),
        "edges at the middle": (right[:, :, half - 1] ** 2).mean(1),
        "edges beside the middle": (right[:, :, half - 3] ** 2).mean(1),
        "blur": np.log1p(1e3 * laplacian(grey).var((1, 2))),
        "top less bottom": grey[:, :half].mean((1, 2)) - grey[:, half:].mean((1, 2)),
        "left less right": grey[:, :, :half].mean((1, 2)) - grey[:, :, half:].mean((1, 2)),
    }
    return columns


def laplacian(grey):
    """Of (N, S, S), without the border."""
    middle = grey[:, 1:-1, 1:-1]
    beside = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    return beside - 4 * middle


def differences(ours, theirs):
    """The features in which two samples of views differ: their distribution by a test of
    Kolmogorov and Smirnov, their mean and their variance by more than 4 standard errors."""
    found = []
    theirs = described(theirs)
    for name, one in described(ours).items():
        other = theirs[name]
        for power, moment in ((1, "mean"), (2, "variance")):
            a, b = ((x - (x.mean() if power == 2 else 0)) ** power for x in (one, other))
            error = np.sqrt(a.var() / len(a) + b.var() / len(b))
            if abs(a.mean() - b.mean()) > 4 * error + 1e-9:
                found.append(f"{moment} of {name}: {a.mean():.4f}, {b.mean():.4f} +- {error:.4f}")
        p = stats.ks_2samp(one, other, method="asymp").pvalue
        if p < 1e-4:
            found.append(f"distribution of {name}: p = {p:.1e}")
    return found


@pytest.mark.parametrize("number", [0, 1])
def test_positive_global_views_have_the_law_of_the_slow_ones(tiny, number):
    images = photographs(COUNT)
    ours = our_views(tiny, images, "positive")[0][number]
    assert differences(ours, slow_views("global", ("first", "second")[number])) == []


def test_positive_local_views_have_the_law_of_the_slow_ones(tiny):
    images = photographs(COUNT)
    ours = our_views(tiny, images, "positive")[1][1]
    assert differences(ours, slow_views("local", "local")) == []


@pytest.mark.parametrize("size", ["global", "local"])
@pytest.mark.parametrize("shift", SHIFTS)
def test_negative_views_have_the_law_of_the_slow_ones(tiny, shift, size):
    images = photographs(COUNT)
    ours = our_views(tiny, images, "negative", shift)[size == "local"][0]
    pipeline = {"global": "coin", "local": "local"}[size]
    assert differences(ours, slow_views(size, pipeline, shift)) == []


@pytest.mark.parametrize(
    ("kind", "shift", "pipeline", "other"),
    [
        ("positive", None, "coin", None),  # the first of two is always blurred
        ("negative", "rot90", "coin", None),
        ("negative", "perm4", "coin", "perm16"),
        ("negative", "rot360", "coin", "rot90"),
        ("negative", None, "first", None),
    ],
)
def test_another_law_is_seen(tiny, kind, shift, pipeline, other):
    images = photographs(COUNT)
    ours = our_views(tiny, images, kind, shift)[0][0]
    assert differences(ours, slow_views("global", pipeline, other))


# ---- no cue but the shift ------------------------------------------------------------------------


def cues(views):
    """(N, features): blur, edge energy, what solarising leaves, and colours."""
    pixels = views.astype(np.float32) / 255
    grey = pixels.mean(-1)
    edges = np.diff(grey, axis=1) ** 2
    return np.column_stack(
        [
            np.log(1e-5 + laplacian(grey).var((1, 2))),
            np.log(1e-5 + edges.mean((1, 2)) + (np.diff(grey, axis=2) ** 2).mean((1, 2))),
            grey.max((1, 2)),  # at most one half after solarising
            (pixels > 0.51).mean((1, 2, 3)),
            pixels.mean((1, 2)),
            pixels.std((1, 2)),
            (pixels.max(-1) - pixels.min(-1)).mean((1, 2)),
        ]
    )


def told_apart(positives, negatives):
    """AUROC of a linear classifier of cues, trained on the one half of the images and tested on
    the other, and the other way round."""
    x = [cues(views) for views in (positives, negatives)]
    found = []
    for train in (0, 1):
        halves = [np.concatenate([part[half::2] for part in x]) for half in (train, 1 - train)]
        labels = [
            np.repeat([0, 1], [len(part[half::2]) for part in x]) for half in (train, 1 - train)
        ]
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        model.fit(halves[0], labels[0])
        found.append(roc_auc_score(labels[1], model.decision_function(halves[1])))
    return np.mean(found)


def of_both(tiny, seed, **views):
    """4,000 global and 4,000 local views of positives, and as many of negatives of the same
    images without a shift."""
    images = photographs(2000)
    positives = our_views(tiny, images, "positive", seed=seed)
    # An image's two views of one kind lie two apart, so that both are in one half.
    positives = [np.concatenate(list(views)) for views in positives]
    negatives = our_views(tiny, np.concatenate([images] * 2), "negative", seed=seed, **views)
    return positives, [views[0] for views in negatives]


@pytest.mark.parametrize("seed", range(5))
def test_no_low_level_cue_tells_a_negative_from_a_positive(tiny, seed):
    positives, negatives = of_both(tiny, seed)
    for size, (one, other) in zip(SIZE, zip(positives, negatives, strict=True), strict=True):
        assert len(one) == len(other) == 4000
        assert told_apart(one, other) == pytest.approx(0.5, abs=0.02), size


def test_a_negative_that_is_always_blurred_and_never_solarised_is_told_apart(tiny):
    positives, negatives = of_both(tiny, 0, negative_global="first")
    assert told_apart(positives[0], negatives[0]) > 0.6
    assert told_apart(positives[1], negatives[1]) == pytest.approx(0.5, abs=0.02)
