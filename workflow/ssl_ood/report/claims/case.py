"""What a check of a claim may look at (`Case`), what it says (`Finding`), and how it is judged.

Differences are taken within a seed, so that what a seed does to both sides cancels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from ssl_ood.common.vocabulary import AVERAGE, NO_NEGATIVES
from ssl_ood.report.results import Measurement, Results, Summary, summarise

TOLERANCE = 1.0  # points: a measured number this near to the thesis's agrees with it
ON_PAR = 1.0  # points: a difference this small is "on par"
LABELS = "labels"  # in the note of a reported method that uses labels
# The datasets of chapter 7; the option `roles` of a target says which of its own stand for them.
ROLES = {"rsna": "RSNA", "hyper_kvasir": "Hyper-Kvasir", "lag": "LAG"}


class Finding(NamedTuple):
    """Whether a claim holds; the measurement in words (empty: told from the summary); why."""

    holds: bool
    text: str
    reason: str
    summary: Summary | None = None


class NotMeasurable(Exception):
    """Says in a few words what is missing; `summary` and `text` are what was measured anyway."""

    def __init__(self, reason: str, summary: Summary | None = None, text: str = "") -> None:
        super().__init__(reason)
        self.reason, self.summary, self.text = reason, summary, text


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
        return self.results.options["near"]

    @property
    def far(self) -> str:
        return self.results.options["far"]

    @property
    def average(self) -> str:
        """The average over OOD sets that a claim on the average means: without photographs."""
        return self.results.averages(self.home)[-1]

    def role(self, name: str) -> str:
        """The in-distribution dataset that stands for one of the thesis's; see `ROLES`."""
        found = self.results.options.get("roles", {}).get(name)
        if found is None:
            raise NotMeasurable(f"no dataset has the role of {ROLES[name]}")
        return found

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
            dataset = self.results.options.get("roles", {}).get(name)
            return self.dataset(dataset) if dataset else "another dataset"
        return self.title(name)

    def title(self, strategy: str) -> str:
        return self.results.title("strategies", strategy)

    def dataset(self, name: str) -> str:
        """The title of a dataset."""
        return self.results.title("datasets", name)

    def by_seed(self, strategy: str, *, home: str = "", **what: Any) -> dict[int, Measurement]:
        """Measurements by seed; NotMeasurable where there are none."""
        found = self.results.by_seed(home or self.home, strategy, **what)
        if not found:
            where = f" on {self.dataset(home)}" if home else ""
            raise NotMeasurable(f"no run of {self.title(strategy)}{where} has been measured")
        return found

    def mean(self, strategy: str, **what: Any) -> float:
        found = self.by_seed(strategy, **what)
        return sum(m.value for m in found.values()) / len(found)

    def best(self, strategies: Iterable[str], **what: Any) -> str:
        """The strategy of the largest mean."""
        return max(strategies, key=lambda strategy: self.mean(strategy, **what))

    def difference(self, one: str, other: str, **what: Any) -> Summary:
        """Summary in points of `one` minus `other` within each seed."""
        a, b = self.by_seed(one, **what), self.by_seed(other, **what)
        pairs = [
            Measurement(
                f"{a[seed].run};{b[seed].run}",
                seed,
                100 * (a[seed].value - b[seed].value),
                float("nan"),
                float("nan"),
            )
            for seed in a
            if seed in b
        ]
        if not pairs:
            raise NotMeasurable(f"{self.title(one)} and {self.title(other)} have no seed in common")
        return summarise(pairs, self.results.confidence)

    def margin(self, strategy: str, other: float, **what: Any) -> Summary:
        """Summary in points of a strategy minus `other`, a value in percent."""
        points = [
            Measurement(m.run, m.seed, *(100 * x - other for x in (m.value, m.low, m.high)))
            for m in self.by_seed(strategy, **what).values()
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


def judged(summary: Summary, reported: float | None, more: str = "") -> Finding:
    """A difference that should be positive and, where the thesis's number counts, reach it."""
    reasons = [more] if more else []
    holds = summary.mean > 0
    if not holds:
        other = "there is no difference" if summary.mean == 0 else "it has the other sign"
        reasons.append(other)
    if summary.n > 1 and summary.low <= 0 <= summary.high:
        reasons.append("the interval over seeds includes 0")
    if reported is not None:
        agreed, words = agrees(summary, reported)
        larger = summary.mean > reported
        holds = holds and (agreed or larger)
        words += " (larger)" if larger and not agreed else ""
        reasons.append(words)
    return Finding(holds, "", "; ".join(reasons), summary)


def agrees(summary: Summary, reported: float) -> tuple[bool, str]:
    """Whether a measured number is the thesis's, within its interval or `TOLERANCE`; why."""
    if summary.n > 1 and summary.low <= reported <= summary.high:
        return True, "the thesis's number lies in the interval"
    if abs(summary.mean - reported) <= TOLERANCE:
        return True, "within 1 point of the thesis's number"
    return False, "more than 1 point from the thesis's number"


def seeds_ahead(case: Case, one: str, other: str, **what: Any) -> str:
    """`ahead in 3 of 3 seeds`; nothing for a single seed."""
    a, b = case.by_seed(one, **what), case.by_seed(other, **what)
    both = sorted(set(a) & set(b))
    if len(both) < 2:
        return ""
    return f"ahead in {sum(a[s].value > b[s].value for s in both)} of {len(both)} seeds"
