"""Table 1.1: bits per dimension under a flow, of which some OOD sets need fewer; and what is made
of it as a score: the likelihood, and its ratio to a background model's (equation 2.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from numpy.typing import NDArray
from pydantic import Field

from ssl_ood.common.errors import UserError
from ssl_ood.common.registry import register
from ssl_ood.common.vocabulary import BASE, NO_NEGATIVES
from ssl_ood.measures import metrics
from ssl_ood.report.cells import BESIDE, value
from ssl_ood.report.grid import Column, Grid, Row
from ssl_ood.report.layout import Cell, Table
from ssl_ood.report.options import Beside
from ssl_ood.report.records import Record, measure
from ssl_ood.report.results import Measurement, Results, Summary, summarise
from ssl_ood.report.table_parts import titles_of_homes
from ssl_ood.report.writers import MISSING

SCORE = "bits_per_dimension"
BITS, RATIO = "bits_per_dimension", "auroc_of_ratio"  # metrics of this table, beside auroc
TRAIN, TEST = "train", "test"


class LikelihoodOptions(Beside):
    """Options of the table of likelihoods."""

    background: str | None = Field(
        None, description="the variant that is the background model of the likelihood ratio"
    )
    quoted: str | None = Field(
        None, description="the method that the reported values are of, such as glow"
    )


@register(
    "table",
    "likelihood",
    title="Likelihoods",
    notes="Bits per dimension of the training, test and OOD images under a generative model, and "
    "the AUROC of the likelihood and of its ratio to a background model's (table 1.1, equation "
    "2.1).",
    needs={"measurements", "scores"},
    settings=LikelihoodOptions,
)
def likelihood_table(results: Results) -> Table:
    """One row per set; the training images are those that the sensitivity score holds out."""
    if SCORE not in results.scores:
        raise UserError(
            f"{results.spec['name']}: its study does not compute {SCORE}: add it to "
            "evaluation.scores of the study."
        )
    flows = _Found(results)
    pieces = BESIDE if results.reported else {"measured": value}
    columns = [
        Column("Bits per dimension", {"metric": BITS, "unit": "bits"}, "", pieces, best=False),
        _of_ood("of the likelihood", "auroc"),
    ]
    if results.options.background:
        columns.append(_of_ood("of the ratio", RATIO))
    grid = Grid(results, list(_rows(results)), columns, measure=flows.record)
    return grid.table(
        f"Likelihood as an anomaly score; in-distribution: {titles_of_homes(results)}.",
        ["Images"],
        [
            "Fewer bits: more likely. An AUROC below 50 %: the OOD images are the likelier ones.",
            "Training images: those that the sensitivity score sets aside, all of them trained on.",
        ],
        best="",
        groups_in_markdown=True,
        over_images="of a mean: Student; of an AUROC: DeLong",
    )


def _of_ood(title: str, metric: str) -> Column:
    """A column that has nothing for in-distribution images."""

    def piece(records: Sequence[Record]) -> Cell:
        return value(records) if records else Cell(MISSING)

    return Column("AUROC (%)", {"metric": metric}, "", {title: piece}, best=False)


def _rows(results: Results) -> Iterator[Row]:
    for home in results.in_distributions():
        title = results.title("datasets", home)
        for part in (TRAIN, TEST):
            yield Row([f"{title}, {part}"], {"in_distribution": home, "dataset": f"{home}_{part}"})
        for ood in results.ood_sets(home):
            words = [results.title("datasets", ood)]
            yield Row(words, {"in_distribution": home, "dataset": f"{ood}_{TEST}"})


@dataclass(frozen=True)
class _Found:
    """What the score files of the runs say, one image at a time."""

    results: Results

    @cached_property
    def bits(self) -> dict[tuple[str, str, int], dict[str, NDArray]]:
        """Bits per dimension of every set, by (in-distribution, variant, seed)."""
        from ssl_ood.evaluation.score_files import read_scores

        values = {}
        for run in self.results.spec["runs"]:
            if run["run"] not in self.results.scores_of:
                continue
            table = read_scores(self.results.scores_of[run["run"]], run["run"])
            bits, role, home = table[SCORE], table["role"], run["in_distribution"]
            sets = {
                f"{home}_{TRAIN}": bits[role == "sensitivity_held_out"],
                f"{home}_{TEST}": bits[role == "test"],
            }
            for ood in run["ood"]:
                sets[f"{ood}_{TEST}"] = bits[(role == "ood") & (table["dataset"] == ood)]
            values[home, run["variant"], run["seed"]] = sets
        return values

    def record(
        self, results: Results, in_distribution: str, dataset: str, metric: str, unit: str = ""
    ) -> Record | None:
        """A cell: nothing where an AUROC of in-distribution images is asked for."""
        inside = dataset in (f"{in_distribution}_{TRAIN}", f"{in_distribution}_{TEST}")
        if inside and metric != BITS:
            return None
        summary = self._summary(in_distribution, dataset, metric)
        record = measure(
            results,
            in_distribution,
            NO_NEGATIVES,
            dataset=dataset,
            metric=metric,
            score=SCORE,
            unit=unit or "percent",
            summary=summary,
            quoted=results.options.quoted or "",
        )
        if not summary and not inside:  # as the AUROC of the set says: no data, not run
            ood = dataset.removesuffix(f"_{TEST}")
            record["status"] = results.status(in_distribution, NO_NEGATIVES, ood=ood, score=SCORE)
        return record

    def _summary(self, home: str, dataset: str, metric: str) -> Summary | None:
        confidence = self.results.confidence
        of: dict[str, Callable[..., Any]] = {
            BITS: lambda own, _: metrics.t_interval(own[dataset], confidence),
            "auroc": lambda own, _: metrics.auroc_interval(
                own[f"{home}_{TEST}"], own[dataset], confidence
            ),
            RATIO: lambda own, other: metrics.auroc_interval(
                *(own[name] - other[name] for name in (f"{home}_{TEST}", dataset)), confidence
            ),
        }
        measured = []
        for run in self.results.spec["runs"]:
            key = home, BASE, run["seed"]
            if (run["in_distribution"], run["variant"]) != key[:2] or key not in self.bits:
                continue
            own = self.bits[key]
            other = self.bits.get((home, self.results.options.background, run["seed"]))
            if not len(own.get(dataset, ())) or (metric == RATIO and other is None):
                continue
            measured.append(Measurement(run["run"], run["seed"], *of[metric](own, other)))
        return summarise(measured, confidence)
