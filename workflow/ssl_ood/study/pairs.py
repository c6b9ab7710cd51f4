"""What is compared without a model: an in-distribution dataset with its OOD sets, as packed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ssl_ood.datasets.names import CROP, PackedSet
from ssl_ood.methods.settings import RunSettings


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
        return _name(self.study, self.in_distribution, self.seed)

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


def names_for(run: RunSettings) -> tuple[str, str]:
    """What the pairs of a run's images may be called: those of all seeds, or of its own."""
    home = run.study, run.in_distribution
    return _name(*home, None), _name(*home, run.seed)


def is_of(config: Mapping[str, Any], run: RunSettings) -> bool:
    """Whether `config`, of shortcuts/NAME.json, is of what a run is trained and tested on."""
    own = ("study", "in_distribution", "size", "train_split", "test_split")
    same = all(config.get(name) == getattr(run, name) for name in own)
    return same and config.get("fit", CROP) == run.fit


def _name(study: str, in_distribution: str, seed: int | None) -> str:
    return f"{study}-{in_distribution}" + ("" if seed is None else f"-seed{seed}")
