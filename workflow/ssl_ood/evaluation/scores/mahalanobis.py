"""The Mahalanobis score of equations 5.2 and 7.1.

Ours rather than scikit-learn's EmpiricalCovariance: solved by Cholesky in float64 on the features'
device, where that one inverts the covariance. The tests hold it against SciPy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ssl_ood.common.errors import UserError
from ssl_ood.common.registry import register

if TYPE_CHECKING:
    from torch import Tensor

SMALLEST_RIDGE = 1e-10  # of the mean variance; features carry float32 rounding, about 1e-7
MAHALANOBIS_BLOCK = 1024  # test images
CONDITION = 1e13  # of a covariance, past which float64 solves nothing


@register(
    "score",
    "mahalanobis",
    title="Mahalanobis",
    notes="squared distance to the training features (equations 5.2 and 7.1)",
    needs={"features"},
    distance=True,  # of which a figure shows the logarithm
)
def mahalanobis(test: Tensor, train: Tensor) -> Tensor:
    """Equation 7.1 on L2-normalised features: (f - mean)^T covariance^-1 (f - mean), (N,) float64.

    Mean and covariance (over M - 1) are those of the training features. Solved by Cholesky in
    float64, for any d and M >= 2; see `covariance_factor` for singular covariances.
    """
    import torch
    import torch.nn.functional as F

    if len(train) < 2:
        raise UserError("The Mahalanobis score needs at least 2 training images for a covariance.")
    train = F.normalize(train, dim=1).double()
    mean = train.mean(0)
    factor = covariance_factor(train - mean)
    out = torch.empty(len(test), dtype=torch.float64, device=test.device)
    for rows in torch.arange(len(test), device=test.device).split(MAHALANOBIS_BLOCK):
        centred = F.normalize(test[rows], dim=1).double() - mean
        white = torch.linalg.solve_triangular(factor, centred.T, upper=False)
        out[rows] = white.square().sum(0)
    return out


def covariance_factor(centred: Tensor) -> Tensor:
    """Lower Cholesky factor of the covariance of centred (M, d) float64 features.

    Where the covariance is singular (d >= M, or constant directions) the smallest ridge of 1e-10,
    1e-9, ... times the mean variance that makes it well-posed is added to its diagonal, else none.
    """
    import torch

    n, d = centred.shape
    covariance = centred.T @ centred / (n - 1)
    scale = float(covariance.diagonal().mean())
    if scale == 0:
        raise UserError("All training features are equal: the Mahalanobis score has no covariance.")
    diagonal = covariance.diagonal().clone()
    for ridge in [0.0] * (n > d) + [SMALLEST_RIDGE * 10**i for i in range(10)]:
        covariance.diagonal().copy_(diagonal + ridge * scale)
        factor, failed = torch.linalg.cholesky_ex(covariance)
        pivots = factor.diagonal()
        if not failed and float(pivots.max() / pivots.min()) ** 2 < CONDITION:
            return factor
    raise AssertionError("a covariance with a ridge of its own size is positive definite")
