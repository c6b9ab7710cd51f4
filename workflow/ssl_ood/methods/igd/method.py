"""IGD as a method of the trainer (Chen et al., AAAI 2022; table 7.2).

What differs from the authors' code: encoder, decoder and critic make one step of Adam at the same
time (whose rates and momenta theirs has alike for both of its optimisers), where there the critic's
follows; the critic's target is the share of its own image, where there each is compared with those
of the whole batch; the rate falls by a cosine and not by a power of 0.9; batch normalisation in the
decoder is by the batch in training; the critic normalises with one weight for each channel; the
latents' centre and width are estimated from the images that an epoch was trained on, in the first
epoch from those seen so far, where there all are read once more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ssl_ood.common.streams import stream
from ssl_ood.methods.base import Batch, Model, Moment
from ssl_ood.methods.igd import loss as igd
from ssl_ood.methods.igd.network import IgdNetwork
from ssl_ood.methods.igd.settings import IgdSettings
from ssl_ood.methods.one_network import OneNetwork
from ssl_ood.methods.settings import RunSettings
from ssl_ood.methods.updates import parameter_groups
from ssl_ood.views.transfer import to_device

MOST = 0.5  # share of an image's own latents in those interpolated


def rebuilding_error(settings: RunSettings, images: Tensor, rebuilt: Tensor) -> Tensor:
    """The reconstruction error (N,) by the settings of a run."""
    training, views = settings.training, settings.views
    extremes = [((1 - m) / s, -m / s) for m, s in zip(views.mean, views.std, strict=True)]
    extent = max(high for high, _ in extremes) - min(low for _, low in extremes)
    return igd.reconstruction(
        images,
        rebuilt,
        extent,
        weight=training.ssim_weight,
        window=training.ssim_window,
        scales=training.ssim_scales,
    )


@dataclass(frozen=True)
class Described(Model):
    """A trained network of IGD."""

    def embed(self, name: str, images: Tensor) -> Tensor:
        """(N, 2) of each image: its reconstruction error, and its descriptor in 0..1."""
        network, views = self.network, self.views(images)
        latents = network.features(views)
        error = rebuilding_error(self.settings, views, network.images(latents))
        return torch.stack([error, igd.descriptor(latents, network.centre, network.width)], dim=1)


class Igd(OneNetwork):
    """Reconstruction, descriptor, and a critic of interpolated latents."""

    PARTS = ("reconstruction", "descriptor", "fooling", "critic")
    MODEL = Described

    def __init__(self, settings: RunSettings, device: torch.device, initial=None) -> None:
        super().__init__(settings, device, initial)
        # Of the latents of this epoch before this step, and of this step: their sum, that of their
        # squared lengths, their number. A step that is begun anew counts once.
        self.seen = torch.zeros(settings.head.latents + 2, dtype=torch.float64, device=device)
        self.step_sums = torch.zeros_like(self.seen)
        self.epoch = 0

    @classmethod
    def build(cls, settings: IgdSettings) -> nn.Module:
        return IgdNetwork(settings)

    def make_optimizer(self) -> torch.optim.Optimizer:
        """Of all that is not frozen; the critic is not decayed."""
        network = self.network
        others = nn.ModuleList([network.backbone, network.latents, network.decoder])
        critic = {"params": list(network.critic.parameters()), "weight_decay": 0.0}
        groups = [*parameter_groups(others), critic]
        return torch.optim.Adam(groups, lr=0.0, betas=self.settings.training.betas)

    def begin_step(self, batch: Batch, mine: slice, moment: Moment) -> None:
        """Every so many epochs, centre and width are those of the epoch that ended."""
        self.step_sums.zero_()
        if moment.epoch == self.epoch:
            return
        if moment.epoch % self.settings.training.descriptor_epochs == 0:
            self._describe_latents(self.seen)
        self.seen.zero_()
        self.epoch = moment.epoch

    def end_step(self, moment: Moment) -> None:
        self.seen += self.step_sums

    def loss(self, batch: Batch, rows: slice, moment: Moment) -> tuple[Tensor, Tensor]:
        """Reconstruction + descriptor + w fooling + the critic's own loss, each with gradients for
        its own networks alone; the parts are these four."""
        training, network = self.settings.training, self.network
        views = self.views_of(batch, rows, "view", moment.step)
        rng = stream(self.settings.seed, "interpolation", moment.step)
        shares = rng.uniform(0, MOST, (len(batch), 1)).astype("float32")[rows]
        share = to_device(shares, self.device)
        with self.autocast():
            latents = network.features(views).float()
            rebuilt = network.images(latents)
            between = network.images(igd.interpolated(latents, share))
            told = self._critic_as_it_is(between)
            mixed = rebuilt + training.critic_mix * (views - rebuilt)
            of_between = network.critic(between.detach()).float()
            of_mixed = network.critic(mixed.detach()).float()
        self._gather(latents.detach(), moment.epoch)
        terms = (
            rebuilding_error(self.settings, views, rebuilt).mean(),
            igd.descriptor(latents, network.centre, network.width).mean(),
            igd.fooling(told),
            igd.critic_loss(of_between, share[:, 0], of_mixed),
        )
        rebuilding, described, fooling, critic = terms
        parts = torch.stack([term.detach() for term in terms])
        return rebuilding + described + training.interpolation_weight * fooling + critic, parts

    def _critic_as_it_is(self, images: Tensor) -> Tensor:
        """What the critic says (N,), with gradients for the images and none for itself."""
        critic = self.network.critic
        constants = {name: p.detach() for name, p in critic.named_parameters()}
        return functional_call(critic, constants, (images,)).float()

    @torch.no_grad()
    def _gather(self, latents: Tensor, epoch: int) -> None:
        """Adds latents to those of the step; in the first epoch the descriptor follows at once."""
        found = latents.double()
        count = found.new_full((1,), len(found))
        self.step_sums += torch.cat([found.sum(0), (found**2).sum()[None], count])
        if epoch == 0:
            self._describe_latents(self.seen + self.step_sums)

    @torch.no_grad()
    def _describe_latents(self, sums: Tensor) -> None:
        centre, width = igd.estimate(sums[:-2], sums[-2], sums[-1])
        self.network.centre.copy_(centre)
        self.network.width.copy_(width)

    def state(self) -> dict[str, Any]:
        return {"seen": self.seen, "epoch": self.epoch}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        if "seen" in state:
            self.seen.copy_(state["seen"])
            self.epoch = state["epoch"]

    def describe(self, line: dict[str, float]) -> str:
        return (
            f"loss {line['loss']:.4f} (reconstruction {line['reconstruction']:.4f}, descriptor "
            f"{line['descriptor']:.4f}, critic {line['critic']:.4f})"
        )
