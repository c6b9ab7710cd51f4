"""What is compared without a model: an in-distribution dataset with its OOD sets, as packed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from ssl_ood.datasets.names import CROP, PackedSet


@dataclass(frozen=True)
class Pairs:
    """The pairs of an in-distribution dataset and each of its OOD sets, those beside left out.

    seed: that which chooses the splits of its images; None where they are the same for all.
    """

    study: str
    in_distribution: str
    seed: int | None
    train: PackedSet
    test: PackedSet
    ood: tuple[PackedSet, ...]
    confidence: float

    @property
    def name(self) -> str:
        """Of its files in results/shortcuts."""
        split = "" if self.seed is None else f"-seed{self.seed}"
        return f"{self.study}-{self.in_distribution}{split}"

    @property
    def sets(self) -> tuple[PackedSet, ...]:
        return (self.train, self.test, *self.ood)

    def summary(self) -> dict[str, Any]:
        """What tables need to know of them."""
        return {
            "run": self.name,
            "in_distribution": self.in_distribution,
            "ood": [s.dataset for s in self.ood],
        }

    def config(self, photographs: Collection[str], gaps: Collection[str]) -> dict[str, Any]:
        """The content of shortcuts/NAME.json.

        photographs: the datasets that are cut from photographs; gaps: the paths of packed sets that
        are not there.
        """
        ood = [
            {
                "dataset": s.dataset,
                "split": s.split,
                "photographs": s.dataset in photographs,
                "available": s.path not in gaps,
            }
            for s in self.ood
        ]
        return {
            "run": self.name,
            "study": self.study,
            "in_distribution": self.in_distribution,
            "seed": self.seed or 0,
            "size": self.train.size,
            **({} if self.train.fit == CROP else {"fit": self.train.fit}),
            "train_split": self.train.split,
            "test_split": self.test.split,
            "ood": ood,
            "confidence": self.confidence,
        }
