"""Bootstrap your own latent: equations 2 and 3 of Grill et al. (2020)."""

from __future__ import annotations

from torch import Tensor

from ssl_ood.methods.simsiam.loss import symmetric


def byol_loss(predicted: tuple[Tensor, Tensor], targets: tuple[Tensor, Tensor]) -> Tensor:
    """|q1 - z2|^2 + |q2 - z1|^2 of unit vectors, a mean over images: 0 to 8.

    predicted: (N, d) of the two views by the online network; targets: theirs by the target network.
    Since |q - z|^2 = 2 - 2 cos(q, z), it is 4 - 2 cos(q1, z2) - 2 cos(q2, z1).
    """
    return 4 + 4 * symmetric(predicted, targets)
