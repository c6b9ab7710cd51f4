"""Objects against texture as a method of the trainer (section 2.2.6, figures 2.7 and 2.8).

Of the paper only the abstract could be read (arXiv:2004.02331), and that its images are cut into
4 x 4 tiles. An adversarially trained network fills the seams there; here they are blended, in whole
images and in scrambled ones alike, so that a blended seam tells nothing.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_ood.common.streams import stream
from ssl_ood.methods.backbones import build_backbone
from ssl_ood.methods.base import Batch, Model, Moment
from ssl_ood.methods.objects.scramble import blended, scrambled
from ssl_ood.methods.objects.settings import ObjectsSettings
from ssl_ood.methods.one_network import OneNetwork, WithClasses
from ssl_ood.methods.settings import RunSettings
from ssl_ood.methods.sgd import make_sgd
from ssl_ood.views.shifts import permutations

WHOLE, SCRAMBLED = 0, 1  # the classes


@dataclass(frozen=True)
class Arranged(Model):
    """A frozen network with a linear layer of two classes."""

    def embed(self, name: str, images: Tensor) -> Tensor:
        """How much more scrambled than whole (N, 2) an image looks: as it is, and scrambled.

        The order of its tiles is a function of the image's pixels.
        """
        views, settings = self.views(images), self.settings
        tiles, band = settings.views.tiles, settings.views.band
        digests = [zlib.crc32(image.tobytes()) for image in images.cpu().numpy()]
        order = np.concatenate([
            permutations(1, tiles**2, stream(settings.seed, "arrangement", digest))
            for digest in digests
        ])  # fmt: skip
        both = blended(views, tiles, band), scrambled(views, order, band)
        logits = [self.network(seen) for seen in both]
        return torch.stack([x[:, SCRAMBLED] - x[:, WHOLE] for x in logits], dim=1)


class Objects(OneNetwork):
    """Cross-entropy of two classes; the backbone stays as it is."""

    PARTS = ("accuracy",)
    MODEL = Arranged

    def __init__(
        self, settings: RunSettings, device: torch.device, initial: Path | None = None
    ) -> None:
        super().__init__(settings, device, initial)
        self.network.backbone.requires_grad_(False).eval()

    @classmethod
    def build(cls, settings: ObjectsSettings) -> nn.Module:
        return WithClasses(build_backbone(settings.backbone, settings.views.size), classes=2)

    def make_optimizer(self) -> torch.optim.Optimizer:
        return make_sgd(self.network.head, self.settings.training)

    def loss(self, batch: Batch, rows: slice, moment: Moment) -> tuple[Tensor, Tensor]:
        """Of every image and of a scrambled copy; the part is the share of right decisions."""
        views, shown = self.views_of(batch, rows, "view", moment.step), self.settings.views
        rng = stream(self.settings.seed, "arrangements", moment.step)
        order = permutations(len(batch), shown.tiles**2, rng)[rows]
        both = torch.cat([
            blended(views, shown.tiles, shown.band), scrambled(views, order, shown.band)
        ])  # fmt: skip
        with self.autocast():
            with torch.no_grad():
                features = self.network.features(both)
            logits = self.network.head(features).float()
        classes = torch.arange(2, device=self.device).repeat_interleave(len(views))
        right = (logits.detach().argmax(1) == classes).float().mean()
        return F.cross_entropy(logits, classes), right[None]

    def probed(self) -> None:
        """Nothing: its features do not change."""

    def describe(self, line: dict[str, float]) -> str:
        return f"loss {line['loss']:.4f}  accuracy {line['accuracy']:.1%}"
