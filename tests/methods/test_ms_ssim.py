"""Multi-scale structural similarity against slow versions in NumPy, SciPy and scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity
from support.similar import slow_ms_ssim

from ssl_ood.methods.igd.ssim import ms_ssim, ssim

SCALES = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333]  # of the paper that introduced it


def a_pair(side: int, seed: int, noise: float = 0.1, images: int = 2) -> np.ndarray:
    """Smooth images and noisy copies, (2, N, 3, S, S) in 0..1."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(size=(images, 3, side, side)).cumsum(2).cumsum(3)
    low, high = steps.min((2, 3), keepdims=True), steps.max((2, 3), keepdims=True)
    one = (steps - low) / (high - low)
    return np.stack([one, np.clip(one + noise * rng.normal(size=one.shape), 0, 1)])


@pytest.mark.parametrize(
    ("side", "window", "scales"),
    [(176, 11, SCALES), (32, 3, [0.0516, 0.3295, 0.3463, 0.2726]), (16, 3, [0.4, 0.6])],
)
def test_ms_ssim_is_the_slow_one(side, window, scales):
    pair = a_pair(side, seed=side)
    found = ms_ssim(*torch.from_numpy(pair), window, scales, 1.0)
    for i, value in enumerate(found):
        slow = [slow_ms_ssim(*pair[:, i, c], window, scales, 1.0) for c in range(3)]
        assert value.item() == pytest.approx(np.mean(slow), rel=1e-10)


def test_one_scale_is_scikit_images_ssim():
    pair = a_pair(40, seed=1)
    found, _ = ssim(*torch.from_numpy(pair), 11, 1.0)
    for i in range(2):
        for colour in range(3):
            expected = structural_similarity(
                *pair[:, i, colour], gaussian_weights=True, sigma=1.5, win_size=11,
                use_sample_covariance=False, data_range=1.0,
            )  # fmt: skip
            assert found[i, colour].item() == pytest.approx(expected, rel=1e-9)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.floats(0.01, 0.3), st.floats(0.5, 5))
def test_alike_is_1_and_both_are_treated_alike(seed, noise, extent):
    one, other = torch.from_numpy(a_pair(16, seed, noise)) * extent
    rest = 3, [0.4, 0.6], extent
    np.testing.assert_allclose(ms_ssim(one, one, *rest), 1, rtol=1e-12)
    np.testing.assert_allclose(ms_ssim(one, other, *rest), ms_ssim(other, one, *rest), rtol=1e-9)
    assert (ms_ssim(one, other, *rest) < 1).all()


def test_opposite_images_are_not_alike_and_have_a_gradient():
    """The structure of a negative is below 0, of which no power is taken."""
    one = torch.from_numpy(a_pair(16, seed=3)[0])
    negative = (1 - one).requires_grad_()
    found = ms_ssim(one, negative, 3, [0.4, 0.6], 1.0)
    assert (found < 0.05).all()
    found.sum().backward()
    assert torch.isfinite(negative.grad).all()
