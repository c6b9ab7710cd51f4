"""Cues of the packed images: what a histogram, a compressor and the nearest pixels see."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ssl_ood.common.registry import register

if TYPE_CHECKING:
    from torch import Tensor

LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as for "grey" everywhere here
K = 10  # neighbours of the nearest pixels
PIXELS = 32  # larger images are scaled to this side for their nearest pixels
BLOCK_BYTES = 64 << 20  # of images that are worked on at a time
Images = NDArray[np.uint8]
Values = NDArray[np.float64]


def blocks(images: Images) -> list[slice]:
    """The places of images (N, S, S, 3) in blocks of bounded size."""
    size = max(1, min(1024, BLOCK_BYTES // max(images[0].nbytes, 1)))
    return [slice(first, first + size) for first in range(0, len(images), size)]


@register(
    "cue",
    "brightness",
    title="brightness",
    notes="mean luma of the packed image",
    needs={"images"},
)
def brightness(images: Images) -> Values:
    """Mean luma of each image, 0 to 255."""
    return (images.mean((1, 2)) @ LUMA).astype(np.float64)


@register(
    "cue",
    "contrast",
    title="contrast",
    notes="standard deviation of the luma over the pixels",
    needs={"images"},
)
def contrast(images: Images) -> Values:
    """Standard deviation of the luma over the pixels of each image, 0 to 127.5."""
    return (images @ LUMA).std((1, 2))


@register(
    "cue",
    "edge_energy",
    title="edge energy",
    notes="mean squared difference of the luma of neighbouring pixels, across and down",
    needs={"images"},
)
def edge_energy(images: Images) -> Values:
    """Mean of the squared steps of luma across and down, in squared grey levels."""
    luma = images @ LUMA
    return sum(np.square(np.diff(luma, axis=axis)).mean((1, 2)) for axis in (1, 2))


@register(
    "cue",
    "png_bytes",
    title="size as PNG",
    notes="bytes of the packed image as a PNG, a grey one with one channel",
    needs={"images"},
)
def png_bytes(images: Images) -> Values:
    """Bytes of each image, losslessly compressed by Pillow at its usual level."""
    from PIL import Image

    sizes = []
    for image in images:
        grey = (image == image[..., :1]).all()
        file = io.BytesIO()
        Image.fromarray(image[..., 0] if grey else image).save(file, "PNG", compress_level=6)
        sizes.append(file.tell())
    return np.array(sizes, np.float64)


@register(
    "cue",
    "colour_distance",
    title="colour",
    notes="Mahalanobis distance of the image's mean colour from those of the training images, one "
    "grey level squared added to their variances",
    needs={"images", "train"},
)
def colour_distance(train: Images) -> Callable[[Images], Values]:
    """Mahalanobis distance of mean colours, by mean and covariance of the training images' own.

    Without the grey level squared, that of rounding and more, the covariance of grey training
    images had no inverse, and colour were nothing.
    """

    def colours(images: Images) -> Values:
        return np.concatenate([images[part].mean((1, 2)) for part in blocks(images)])

    own = colours(train)
    mean, deviations = own.mean(0), own - own.mean(0)
    inverse = np.linalg.inv(deviations.T @ deviations / len(own) + np.eye(3))

    def distance(images: Images) -> Values:
        apart = colours(images) - mean
        return np.sqrt(np.einsum("ni,ij,nj->n", apart, inverse, apart))

    return distance


@register(
    "cue",
    "pixel_knn",
    title=f"pixel {K}-NN",
    notes=f"Euclidean distance of the raw pixels to the {K}th nearest training image, larger "
    f"images scaled to {PIXELS} pixels by their mean over areas",
    needs={"images", "train"},
)
def pixel_knn(train: Images) -> Callable[[Images], Values]:
    """Distance to the tenth nearest training image (to the last one, of fewer), grey levels."""
    from ssl_ood.measures.knn import nearest_distances

    reference = pixels(train)
    centre = reference.mean(0)  # smaller squares leave more digits for their differences
    reference -= centre
    k = min(K, len(train))
    return lambda images: nearest_distances(pixels(images) - centre, reference, k)[:, -1].numpy()


@register(
    "cue",
    "pixel_cosine",
    title=f"pixel {K}-NN, cosine",
    notes=f"1 - the mean cosine similarity of the raw pixels to the {K} most similar training "
    "images, so that brightness counts for nothing; scaled as for the distance",
    needs={"images", "train"},
)
def pixel_cosine(train: Images) -> Callable[[Images], Values]:
    """1 - the mean cosine similarity to the ten most similar training images, 0 to 1.

    Of unit vectors 1 - cos is half the squared distance, which loses no digits near 0.
    """
    from torch.nn.functional import normalize

    from ssl_ood.measures.knn import nearest_distances

    reference, k = normalize(pixels(train), dim=1), min(K, len(train))

    def distance(images: Images) -> Values:
        apart = nearest_distances(normalize(pixels(images), dim=1), reference, k)
        return apart.square().mean(1).numpy() / 2

    return distance


def pixels(images: Images) -> Tensor:
    """(N, d) float32 in one piece: 12 kB for each image, at most."""
    import torch

    rows = np.empty((len(images), small(images[:1]).shape[1]), np.float32)
    for part in blocks(images):
        rows[part] = small(images[part])
    return torch.from_numpy(rows)


def small(images: Images) -> NDArray[np.float32]:
    """(n, d) float32 pixels of images (n, S, S, 3), scaled to PIXELS where they are larger."""
    if images.shape[1] > PIXELS:
        import torch

        planes = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float()
        planes = torch.nn.functional.interpolate(planes, (PIXELS, PIXELS), mode="area")
        images = planes.permute(0, 2, 3, 1).numpy()
    return images.reshape(len(images), -1).astype(np.float32)
