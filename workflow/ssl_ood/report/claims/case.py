"""What a check of a claim may look at (`Case`), what it says (`Finding`), and how it is judged.

Differences are taken within a seed, so that what a seed does to both sides cancels. A verdict rests
on an interval: over seeds (Student) where there are several, else over the images of one run, for
two models over the same images (DeLong). Where the interval leaves it open, the claim is undecided.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_ood.common.errors import UserError
from ssl_ood.common.vocabulary import AVERAGE, NO_NEGATIVES
from ssl_ood.datasets.packed import open_packed
from ssl_ood.report.claims.verdicts import Finding, NotMeasurable
from ssl_ood.report.paired import Of, difference
from ssl_ood.report.results import Measurement, Results, Summary, summarise

COUNTED = ("occupied_soft_classes", "mean_entropy", "entropy_of_mean", "log_k")  # no shares
LABELS = "labels"  # in the note of a reported method that uses labels
# The datasets of chapter 7; the option `roles` of a target says which of its own stand for them.
ROLES = {"rsna": "RSNA", "hyper_kvasir": "Hyper-Kvasir", "lag": "LAG"}


@dataclass(frozen=True)
class Case:
    """What a check may look at. reported: the thesis's number where it is one and may be shown."""

    results: Results
    reported: float | None

    @property
    def home(self) -> str:
        """The in-distribution dataset of the claims: the one with the most strategies."""
        return self.homes[0]

    @property
    def second(self) -> str:
        """The other in-distribution dataset."""
        if len(self.homes) < 2:
            raise NotMeasurable("there is no second in-distribution dataset")
        return self.homes[1]

    @property
    def homes(self) -> list[str]:
        """In-distribution datasets, those with most strategies first."""
        homes = self.results.in_distributions()
        return sorted(homes, key=lambda home: -len(self.results.strategies(home)))

    @property
    def near(self) -> str:
        return self._option("near")

    @property
    def far(self) -> str:
        return self._option("far")

    def _option(self, name: str) -> str:
        value = getattr(self.results.options, name)
        if value is None:
            raise UserError(f"{self.results.spec['name']}: its claims need {name}: add an OOD set.")
        return value

    @property
    def average(self) -> str:
        """The average over OOD sets that a claim on the average means: without photographs."""
        return self.results.averages(self.home)[-1]

    def role(self, name: str) -> str:
        """The in-distribution dataset that stands for one of the thesis's; see `ROLES`."""
        dataset = getattr(self.results.options.roles, name)
        if dataset is None:
            raise NotMeasurable(f"no dataset has the role of {ROLES[name]}")
        return dataset

    def fill(self, words: str) -> str:
        """`words` with {near}, {far}, {home}, {average}, roles and strategies by their titles."""
        return words.format_map(_Names(self))

    def named(self, name: str) -> str:
        """How a name in braces is printed."""
        if name == "average":
            everything = self.average == AVERAGE
            return "the OOD sets" + ("" if everything else " (photographs left out)")
        if name in ("near", "far", "home"):
            return self.dataset(getattr(self, name))
        if name in ROLES:
            dataset = getattr(self.results.options.roles, name)
            return self.dataset(dataset) if dataset else "another dataset"
        return self.title(name)

    def title(self, strategy: str) -> str:
        return self.results.title("strategies", strategy)

    def dataset(self, name: str) -> str:
        """The title of a dataset."""
        return self.results.title("datasets", name)

    def by_seed(self, strategy: str, *, home: str = "", **selection: Any) -> dict[int, Measurement]:
        """Measurements by seed; NotMeasurable where there are none."""
        measurements = self.results.by_seed(home or self.home, strategy, **selection)
        if not measurements:
            where = f" on {self.dataset(home)}" if home else ""
            raise NotMeasurable(f"no run of {self.title(strategy)}{where} has been measured")
        return measurements

    def mean(self, strategy: str, **selection: Any) -> float:
        measurements = self.by_seed(strategy, **selection)
        return sum(m.value for m in measurements.values()) / len(measurements)

    def best(self, strategies: Iterable[str], **selection: Any) -> str:
        """The strategy of the largest mean."""
        return max(strategies, key=lambda strategy: self.mean(strategy, **selection))

    def difference(self, one: str, other: str, **selection: Any) -> Summary:
        """Summary of `one` minus `other` within each seed: in points, or as the metric is counted.

        Of a single seed the interval is over the images that both have scored, where there is one.
        """
        a, b = self.by_seed(one, **selection), self.by_seed(other, **selection)
        if not a.keys() & b.keys():
            raise NotMeasurable(f"{self.title(one)} and {self.title(other)} have no seed in common")
        return self.between(a, b, **selection)

    def between(
        self, a: dict[int, Measurement], b: dict[int, Measurement], **selection: Any
    ) -> Summary:
        """See `difference`: of two models' measurements by seed, which have a seed in common.

        scores: the two scores, where they are not the same.
        """
        metric, ood = selection.get("metric", "auroc"), selection.get("ood", "")
        one, other = selection.get("scores") or [selection.get("score", "")] * 2
        of = Of(metric, ood, one), Of(metric, ood, other)
        return difference(self.results, a, b, of, 1.0 if metric in COUNTED else 100.0)

    def contrast(self, strategy: str, one: str, other: str) -> Summary:
        """Summary in points: AUROC of a strategy against OOD set `one` minus that against `other`.

        Of a single seed the interval is over images, where their scores are there.
        """
        a, b = (self.by_seed(strategy, ood=ood) for ood in (one, other))
        return difference(self.results, a, b, (Of(ood=one), Of(ood=other)), 100.0)

    def margin(self, strategy: str, other: float, **selection: Any) -> Summary:
        """Summary in points of a strategy minus `other`, a value in percent."""
        points = [
            Measurement(m.run, m.seed, *(100 * x - other for x in (m.value, m.low, m.high)))
            for m in self.by_seed(strategy, **selection).values()
        ]
        return summarise(points, self.results.confidence)

    def other_methods(
        self, artefact: str, home: str, ood: str, *, with_labels: bool = True
    ) -> list[float]:
        """Reported values, in percent, of other methods, those that use labels among them or not.

        artefact: the table of the thesis that has them.
        """
        values = [
            entry.in_unit("percent")
            for key, entry in self.results.reported.items()
            if (key.artefact, key.in_distribution, key.dataset) == (artefact, home, ood)
            and not key.ours
            and (with_labels or LABELS not in entry.note)
        ]
        if not values:
            raise NotMeasurable("other methods have reported values for the thesis's data only")
        return values

    def images(self, *datasets: str) -> list[NDArray[np.uint8]]:
        """The test images of datasets; NotMeasurable where they are not there."""
        packed = {p.meta["dataset"]: p for p in map(open_packed, self.results.images)}
        for name in datasets:
            if name not in packed:
                raise NotMeasurable(f"the images of {self.dataset(name)} are not there")
        return [packed[name].prove("images.npy").images for name in datasets]

    def with_negatives(self) -> list[str]:
        """The strategies that draw negatives."""
        return [s for s in self.results.strategies(self.home) if s != NO_NEGATIVES]


class _Names(dict):
    """Looks a name up only when the words have it: a study need not have all of them."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.case = case

    def __missing__(self, name: str) -> str:
        return self.case.named(name)


Check = Callable[[Case], Finding]
CHECKS: dict[str, tuple[Check, str]] = {}


def claim(name: str, words: str) -> Callable[[Check], Check]:
    """Registers a check under the id of its row; `words` say the claim without numbers."""

    def register(check: Check) -> Check:
        CHECKS[name] = (check, words)
        return check

    return register


def seeds_ahead(case: Case, one: str, other: str, **selection: Any) -> str:
    """`ahead in 3 of 3 seeds`; nothing for a single seed."""
    a, b = case.by_seed(one, **selection), case.by_seed(other, **selection)
    both = sorted(set(a) & set(b))
    if len(both) < 2:
        return ""
    return f"ahead in {sum(a[s].value > b[s].value for s in both)} of {len(both)} seeds"
