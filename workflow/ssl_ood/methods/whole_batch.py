"""Methods whose whole batch goes through the network at once, on one device.

Batch normalisation, or a loss that compares images of a batch with each other, sees all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from ssl_ood.methods.settings import Fault, MethodSettings
from ssl_ood.views.spec import ViewSpec


class WholeBatchSettings(MethodSettings):
    """Sections of a method that never splits its batch, and whose views are of one kind."""

    PASSES: ClassVar[float] = 3.0  # see `passes`
    WORK: ClassVar[float] = 1.0  # against self-distillation of 256 pixels, by their operations

    @property
    def shown(self) -> ViewSpec:
        return self.views.spec

    def passes(self, negatives: int) -> float:
        return self.PASSES

    def work(self, negatives: int) -> float:
        return self.WORK

    @property
    def together(self) -> int:
        return self.training.batch_size

    def faults(self, images: int, rows: int) -> Iterator[Fault]:
        yield from super().faults(images, rows)
        batch = self.training.batch_size
        if rows != batch:
            yield (
                "training.batch_size",
                f"{batch} goes through the network as a whole, so that this method runs on one "
                "device: set execution.devices to 1.",
            )
