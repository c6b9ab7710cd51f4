"""Methods whose whole batch goes through the network at once, on one device.

Batch normalisation, or a loss that compares images of a batch with each other, sees all of them.
"""

from __future__ import annotations

from collections.abc import Iterator

from ssl_ood.methods.settings import Fault, MethodSettings


class WholeBatchSettings(MethodSettings):
    """Sections of a method that never splits its batch."""

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
