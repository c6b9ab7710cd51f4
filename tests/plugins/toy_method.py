"""A method in one file: an autoencoder of pixels."""

from __future__ import annotations

from pydantic import Field

from ssl_ood.common.registry import register
from ssl_ood.common.settings import Count
from ssl_ood.methods.settings import Crops, MethodSettings, Settings
from ssl_ood.views.spec import ViewSpec


class Width(Settings):
    """The one section of its own."""

    features: Count = Field(description="numbers that an image is squeezed through")


class ToySettings(MethodSettings):
    """The sections of `methods.toy`."""

    views: Crops = Field(description="what the network is shown")
    head: Width = Field(description="the code")

    @property
    def shown(self) -> ViewSpec:
        return self.views.spec


@register(
    "method",
    "toy",
    title="Autoencoder",
    notes="mean squared error of the pixels",
    settings=ToySettings,
    source="memory",
    max_devices=1,
    offers=frozenset({"features", "images"}),
)
def toy() -> type:
    """The class, made when the method is used: the file imports nothing heavy before."""
    import torch
    from torch import nn

    from ssl_ood.common.streams import stream
    from ssl_ood.methods.backbones import build_backbone
    from ssl_ood.methods.base import Method
    from ssl_ood.views.render import draw, render

    class Autoencoder(nn.Module):
        def __init__(self, settings):
            super().__init__()
            self.backbone = build_backbone(settings.backbone)
            side = settings.views.size
            self.code = nn.Linear(self.backbone.num_features, settings.head.features)
            self.decoder = nn.Sequential(
                nn.Linear(settings.head.features, 3 * side * side), nn.Unflatten(1, (3, side, side))
            )

        def features(self, views):
            return self.code(self.backbone(views))

        def forward(self, views):
            return self.decoder(self.features(views))

    class Toy(Method):
        def __init__(self, settings, device, initial=None):
            super().__init__(settings, device)
            self.network = self.trained = self.build(settings.options).to(device)
            groups = [{"params": list(self.network.parameters()), "decay": True}]
            self.optimizer = torch.optim.SGD(groups, lr=0.0, momentum=0.9)

        @classmethod
        def build(cls, settings):
            return Autoencoder(settings)

        def loss(self, batch, rows, moment):
            spec = self.settings.views.spec
            rng = stream(self.settings.seed, "views", moment.step)
            parameters = draw(spec, len(batch), *batch.images.shape[1:3], rng)
            views = render(batch.images[rows], parameters.rows(rows), spec)
            return (self.network(views) - views).square().mean(), torch.empty(0)

        def result(self):
            return {"network": self.network.state_dict()}

        def restore(self, state):
            self.network.load_state_dict(state["network"])

        def model_state(self):
            return self.network.state_dict()

    return Toy
