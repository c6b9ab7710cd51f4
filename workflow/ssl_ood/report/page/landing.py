"""The page's first screen: what was asked and found, what was measured on what, what is missing and
what that would take, what it has cost, and of which commit it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ssl_ood.common.vocabulary import UNTRAINED
from ssl_ood.report.claims.verdicts import FAILS, HOLDS, UNDECIDED, UNKNOWN
from ssl_ood.report.layout import Cell, Table
from ssl_ood.report.page.content import ShownTable
from ssl_ood.study.costs import device_hours, speeds, to_train, trained_for
from ssl_ood.study.gaps import Gaps, find_gaps
from ssl_ood.study.runs import Experiments, Target, shown_runs

MOST_FINDINGS = 8
ASKED = (
    "Can a network that was trained without a single label tell which images are unlike those that "
    "it was trained on? The thesis Self-Supervised Representation Learning for Anomaly Detection "
    "(Nima Rafiee) answers with self-distillation that is also shown negative samples: other or "
    "shifted images, which the network learns to tell apart. The measure is the AUROC of an "
    "anomaly score, test images against out-of-distribution (OOD) images."
)
ASKED_OWN = (
    "Which images are unlike the normal images that a network was trained on, without a label? The "
    "sensitivity score chooses among the trained networks without an anomalous image; thresholds "
    "are set on normal images that no network was trained on."
)
OTHER_DATA = (
    "The data are not those of the thesis, so that none of its numbers stands beside, and nothing "
    "follows for its datasets."
)
NOT_MEDICAL = "This is not a medical device, and no decision about a person may rest on it."


@dataclass(frozen=True)
class Finding:
    """A claim with its verdict; table, row: where it stands."""

    claim: str
    verdict: str
    measured: str
    table: str
    row: int


@dataclass(frozen=True)
class Missing:
    """words: what is missing, and how to get it; price: what waits for it, in words."""

    words: str
    price: str


def asked(experiments: Experiments, made: Sequence[Target]) -> list[str]:
    """The question of the study, in sentences."""
    studies = experiments.config.studies
    if not any(studies[target.settings.study].chapter for target in made):
        return [ASKED_OWN]
    return [ASKED] + ([] if experiments.config.show_reported else [OTHER_DATA])


def findings(tables: Iterable[ShownTable]) -> tuple[list[Finding], dict[str, int]]:
    """The claims on which there is a verdict, and how many there are of each verdict."""
    counts: Counter[str] = Counter()
    decided = []
    for shown in tables:
        for row, record in enumerate(shown.table.records):
            counts[record["verdict"]] += 1
            if record["verdict"] in (HOLDS, FAILS):
                measured = " ".join(record["measured"].split())
                decided.append(
                    Finding(record["claim"], record["verdict"], measured, shown.table.name, row)
                )
    order = (HOLDS, FAILS, UNDECIDED, UNKNOWN)
    return decided[:MOST_FINDINGS], {verdict: counts[verdict] for verdict in order}


def measured_on(experiments: Experiments, made: Sequence[Target], trained: set[str]) -> Table:
    """One row per in-distribution dataset of a study: its images, OOD sets and trainings."""
    groups: dict[tuple[str, str], list[Any]] = {}
    for run in shown_runs(made):
        if run.variant != UNTRAINED:
            groups.setdefault((run.study, run.in_distribution), []).append(run)
    rows = []
    for (study, home), runs in groups.items():
        chapter = experiments.config.studies[study].chapter
        outs = dict.fromkeys(s for run in runs for s in run.ood)
        seeds = len({run.seed for run in runs})
        rows.append(
            [
                Cell(experiments.datasets[home].title),
                Cell(str(chapter or "—")),
                Cell(f"{study}: {', '.join(sorted({run.method for run in runs}))}"),
                Cell(", ".join(dict.fromkeys(experiments.datasets[s.dataset].title for s in outs))),
                Cell(f"{experiments.count(runs[0].train):,}" if runs else ""),
                Cell(f"{runs[0].train.size}"),
                Cell(f"{sum(run.id in trained for run in runs)}"),
                Cell(str(len(runs))),
                Cell(str(seeds)),
            ]
        )
    header = ["Trained on", "Chapter", "Study and method", "Tested against"]
    header += ["Images", "Pixels", "Trained", "Of", "Seeds or splits"]
    caption = "What was measured on what."
    return Table("measured", caption, header, rows, [], text_columns=4, wide={3: "4cm", 4: "5cm"})


def missing(
    experiments: Experiments, made: Sequence[Target], unmade: Sequence[Target]
) -> list[Missing]:
    """Data that are not there, tables and figures that were not made, and what each would take."""
    gaps, known = find_gaps(experiments), speeds(experiments)
    unit = "GPU hours" if experiments.config.execution.devices else "CPU hours"
    hours = {r.id: device_hours(experiments, r, known) for r in experiments.runs.values()}
    wanted = [target for target in (*made, *unmade) if not target.optional]
    found = [gap for target in wanted for gap in gaps.of(target, beside=True)]
    lines = []
    for gap in dict.fromkeys(found):
        train, test = gaps.waiting(gap, shown_runs(wanted))
        spent = sum(hours[run.id] for run in train)
        price = f"{len(train)} trainings ({spent:,.3g} {unit}) and {len(test)} evaluations wait"
        lines.append(Missing(gap.sentence(), price))
    for target in unmade:
        lines.append(_not_made(target, experiments, gaps, hours, unit))
    return lines


def _not_made(
    target: Target, experiments: Experiments, gaps: Gaps, hours: dict[str, float], unit: str
) -> Missing:
    left = to_train(experiments, gaps.runs(trained_for([target])))
    spent = sum(hours[run.id] for run in left)
    optional = "optional, and " if target.optional else ""
    price = f"{len(left)} trainings ({spent:,.3g} {unit})" if left else "no training"
    return Missing(f"{target.name} is {optional}not made: `snakemake {target.name}`.", price)


def cost(costs: Table | None) -> str:
    """The last line of the costs, in a sentence; empty where nothing was counted."""
    if costs is None or not costs.rows:
        return ""
    last = dict(zip(costs.header, (cell.value for cell in costs.rows[-1]), strict=True))
    return (
        f"{last['trained']} trainings in {_hours(last['training hours'])} and their evaluation in "
        f"{_hours(last['evaluation hours'])}, on {last['devices'] or 'no device'}."
    )


def _hours(text: str) -> str:
    hours = float(text)
    return f"{60 * hours:.1f} minutes" if hours < 2 else f"{hours:,.1f} hours"
