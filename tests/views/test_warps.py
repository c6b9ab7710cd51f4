"""Rotation, shift and zoom against torchvision's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms
from torchvision.transforms.functional import InterpolationMode, affine

from ssl_ood.common.streams import stream
from ssl_ood.methods.settings import Crops
from ssl_ood.views.render import draw, render, resize_plain
from ssl_ood.views.warps import affine as batched

CONTRASTIVE = {
    "size": 24, "interpolation": "bilinear", "scale": [0.08, 1.0], "rotation": 20,
    "flip_p": 0.5, "jitter": [0.4, 0.4, 0.0, 0.0], "mean": [0.0] * 3, "std": [1.0] * 3,
}  # fmt: skip
FINETUNING = {
    "size": 28, "interpolation": "bilinear", "resize": 32, "rotation": 15, "shift": 0.1,
    "zoom": [0.9, 1.1], "flip_p": 0.5, "jitter": [0.3, 0.3, 0.0, 0.0],
    "mean": [0.0] * 3, "std": [1.0] * 3,
}  # fmt: skip


def smooth(count, size):
    rng = np.random.default_rng(1)
    small = torch.from_numpy(rng.random((count, 3, 5, 5), dtype=np.float32))
    return torch.nn.functional.interpolate(small, size, mode="bicubic").clamp(0, 1)


@pytest.mark.parametrize(
    ("angle", "shift", "zoom"),
    [
        ([0, 0, 0], [[0, 0]] * 3, [1, 1, 1]),
        ([20, -13.5, 180], [[0, 0]] * 3, [1, 1, 1]),
        ([0, 0, 0], [[3, 0], [0, -2], [-1, 4]], [1, 1, 1]),
        ([0, 0, 0], [[0, 0]] * 3, [0.9, 1.1, 1.5]),
        ([15, -7, 90], [[2, -3], [1, 1], [0, 5]], [0.9, 1.1, 1.0]),
    ],
)
def test_every_image_is_warped_as_torchvision_does_it_alone(angle, shift, zoom):
    images = smooth(3, 32)
    numbers = (torch.tensor(values, dtype=torch.float32) for values in (angle, shift, zoom))
    found = batched(images, *numbers)
    for i in range(3):
        expected = affine(
            images[i], float(angle[i]), list(shift[i]), float(zoom[i]), [0.0, 0.0],
            interpolation=InterpolationMode.NEAREST,
        )  # fmt: skip
        differs = (found[i] - expected).abs().amax(0) > 1e-6
        # Where a source point lies half-way between two pixels, rounding decides.
        assert differs.float().mean() < 0.01


def test_an_image_that_is_not_warped_stays_exactly_as_it_is():
    images = smooth(2, 17)
    still = batched(images, torch.zeros(2), torch.zeros(2, 2), torch.ones(2))
    assert torch.equal(still, images)


def test_what_comes_from_outside_is_black():
    white = torch.ones(1, 3, 20, 20)
    moved = batched(white, torch.zeros(1), torch.tensor([[5.0, 0.0]]), torch.ones(1))
    assert moved[..., :5].max() == 0
    assert moved[..., 5:].min() == 1


@pytest.mark.parametrize("views", [CONTRASTIVE, FINETUNING], ids=["contrastive", "fine-tuning"])
def test_the_drawn_amounts_are_uniform_over_what_the_config_says(views):
    warp = draw(Crops.model_validate(views).spec, 4000, 64, 64, stream(0, "test")).warp
    angle, right, down, zoom = warp.T
    assert np.abs(angle).max() <= views["rotation"]
    assert angle.std() == pytest.approx(views["rotation"] / 3**0.5, rel=0.03)
    reach = views.get("shift", 0) * views["size"]
    assert max(np.abs(right).max(), np.abs(down).max()) <= round(reach)
    assert (right == np.rint(right)).all()
    low, high = views.get("zoom", (1, 1))
    assert low <= zoom.min() <= zoom.max() <= high
    assert zoom.mean() == pytest.approx((low + high) / 2, abs=0.01)


@pytest.mark.parametrize("views", [CONTRASTIVE, FINETUNING], ids=["contrastive", "fine-tuning"])
def test_views_have_the_distribution_of_the_papers_transforms(views):
    """Tables 2 and 5, as their PyTorch snippets: mean and spread of pixels over many draws."""
    pixels = (smooth(1, 32) * 255).round().byte()[0].permute(1, 2, 0).numpy()
    jitter = transforms.ColorJitter(*views["jitter"])
    flip = transforms.RandomHorizontalFlip(0.5)
    if "scale" in views:
        steps = [
            transforms.RandomResizedCrop(views["size"], tuple(views["scale"])),
            transforms.RandomRotation(views["rotation"]), flip, jitter,
        ]  # fmt: skip
    else:
        warp = transforms.RandomAffine(15, translate=(0.1, 0.1), scale=(0.9, 1.1))
        steps = [transforms.Resize(32), transforms.CenterCrop(views["size"]), flip, jitter, warp]
    torch.manual_seed(0)
    usual = transforms.Compose([*steps, transforms.ToTensor()])
    expected = torch.stack([usual(Image.fromarray(pixels)) for _ in range(1500)])
    batch = torch.from_numpy(pixels)[None].expand(1500, -1, -1, -1).contiguous()
    spec = Crops.model_validate(views).spec
    found = render(batch, draw(spec, 1500, 32, 32, stream(0, "views")), spec)
    assert found.shape == expected.shape
    torch.testing.assert_close(found.mean(0), expected.mean(0), rtol=0, atol=0.03)
    torch.testing.assert_close(found.std(0), expected.std(0), rtol=0, atol=0.03)
    black = [(views == 0).float().mean().item() for views in (found, expected)]
    assert black[0] == pytest.approx(black[1], abs=0.01)


def test_the_view_for_evaluation_is_the_middle_after_the_resize():
    pixels = (smooth(1, 32) * 255).round().byte()[0].permute(1, 2, 0).numpy()
    usual = transforms.Compose([transforms.Resize(32), transforms.CenterCrop(28)])
    expected = np.asarray(usual(Image.fromarray(pixels)))
    found = resize_plain(torch.from_numpy(pixels)[None], 28, [0.0] * 3, [1.0] * 3, 28 / 32)
    np.testing.assert_allclose(found[0].permute(1, 2, 0).numpy() * 255, expected, atol=1e-3)
