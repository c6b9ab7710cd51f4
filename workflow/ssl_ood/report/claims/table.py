"""table_claims and the like: what a chapter says in words, what was measured, and a verdict.

The chapters are the target's option `claims`. A claim is a row of resources/reported/claims_*.csv
and the function of the same id in `CHECKS`. The thesis's own words and numbers are shown only where
its data are evaluated; elsewhere a claim is put in terms of roles, and one that rests on a number
cannot be measured.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from pydantic import Field

from ssl_ood.common.errors import UserError, unknown
from ssl_ood.common.registry import register
from ssl_ood.common.settings import Many, Settings
from ssl_ood.common.vocabulary import SEEDS
from ssl_ood.report.claims import (  # noqa: F401, they fill CHECKS
    chapter_2,
    chapter_4,
    chapter_5,
    chapter_6,
    chapter_7,
    hyperparameters,
    quality,
)
from ssl_ood.report.claims.case import CHECKS, Case
from ssl_ood.report.claims.verdicts import (
    FAILS,
    HOLDS,
    UNDECIDED,
    UNKNOWN,
    Finding,
    NotMeasurable,
)
from ssl_ood.report.layout import Cell, Table
from ssl_ood.report.options import Scored
from ssl_ood.report.reported import reported_claims
from ssl_ood.report.results import Results
from ssl_ood.report.table_parts import score_words
from ssl_ood.report.writers import number, signed

VERDICTS = (HOLDS, FAILS, UNDECIDED, UNKNOWN)


def check_claims(results: Results) -> list[dict[str, Any]]:
    """A record for every claim of the chapter: id, where, claim, measurement, verdict, reason."""
    named, reported_dir = results.options.claims, results.reported_dir
    rows = [row for row in reported_claims(reported_dir) if chapter_of(row) in chapters(named)]
    only = results.options.only or [row["id"] for row in rows]
    for name in only:
        if name not in CHECKS:
            raise unknown(name, CHECKS, "claim", f"the option only of {results.spec['name']}")
    rows = [row for row in rows if row["id"] in only]
    if not rows:
        raise UserError(
            f"{reported_dir} has no claim of {named}: correct the option claims of "
            f"{results.spec['name']}, or reported_dir in the config."
        )
    records = []
    for row in rows:
        if row["id"] not in CHECKS:
            raise UserError(
                f"The claim {row['id']!r} of {reported_dir} has no check: add a function of that "
                "id to a module of ssl_ood/report/claims."
            )
        check, words = CHECKS[row["id"]]
        shows = results.spec["show_reported"]
        case = Case(results, float(row["value"]) if shows and _is_number(row["value"]) else None)
        try:
            finding = check(case)
        except NotMeasurable as why:
            finding = Finding(UNKNOWN, why.text, why.reason, why.summary)
        summary = finding.summary
        record = {
            "id": row["id"],
            "where": row["where"],
            "claim": row["claim"] if shows else case.fill(words),
            "verdict": finding.verdict,
            "measured": finding.text
            or (describe(summary, row["unit"], results.repeats) if summary else ""),
            "reason": finding.reason,
            "value": summary and summary.mean,
            "low": summary and summary.low,
            "high": summary and summary.high,
            "n": summary.n if summary else None,
            "unit": row["unit"],
            "reported": row["value"] if shows else "",
            "runs": ";".join(summary.runs) if summary else "",
        }
        records.append(record)
    return records


def chapters(named: str) -> range:
    """The chapters of the option `claims`: 6 of `section 6`, 1 to 4 of `section 1-4`."""
    first, _, last = named.removeprefix("section ").partition("-")
    return range(int(first), int(last or first) + 1)


def chapter_of(row: dict[str, str]) -> int:
    """The chapter that makes a claim: that of the first section which its row names."""
    match = re.search(r"section (\d)", row["where"])
    if match is None:
        raise UserError(f"The claim {row['id']!r} names no section: add it to its column where.")
    return int(match[1])


def describe(summary, unit: str, repeats: str = SEEDS) -> str:
    """`+4.80 points [4.10, 5.50] over 3 seeds`, or `... over images (1 seed)`."""
    show = signed if unit in ("points", "sign") else number
    words = {"percent": " %", "points": " points", "sign": " points"}.get(unit, "")
    text = f"{show(summary.mean)}{words}"
    where = f"over {summary.n} {repeats}" if summary.over == SEEDS else "over images (1 seed)"
    if math.isnan(summary.low):
        return f"{text} (1 seed)"
    return f"{text} [{number(summary.low)}, {number(summary.high)}] {where}"


class Roles(Settings):
    """In-distribution datasets of the study that stand for those of chapter 7."""

    rsna: str | None = Field(None, description="for RSNA")
    hyper_kvasir: str | None = Field(None, description="for Hyper-Kvasir")
    lag: str | None = Field(None, description="for LAG")


class ClaimsOptions(Scored):
    """Options of the table of claims."""

    claims: Annotated[str, Field(pattern="^section [1-9](-[1-9])?$")] = Field(
        description="where the thesis makes them: `section 6`, or of several chapters `section 1-4`"
    )
    only: Many[str] = Field((), description="of these claims, by their ids; without it all")
    near: str | None = Field(None, description="an OOD set that is like the in-distribution set")
    far: str | None = Field(None, description="an OOD set that is not")
    roles: Roles = Field(Roles(), description="datasets that stand for those of chapter 7")


@register(
    "table",
    "claims",
    title="Claims",
    section="claims",
    notes="What a chapter of the thesis says in words, what was measured, and a verdict.",
    needs={"measurements", "scores", "tested_images"},
    settings=ClaimsOptions,
    version=3,
    baselines=True,
)
def claims_table(results: Results) -> Table:
    """Every claim of the chapter, its measurement and a verdict."""
    records = check_claims(results)
    named = chapters(results.options.claims)
    chapter = f"chapter {named[0]}" if len(named) == 1 else f"chapters {named[0]} to {named[-1]}"
    shows = results.spec["show_reported"]
    header = ["Claim", "Where"] + ["Thesis"] * shows + ["Measured", "Verdict", "Why"]
    rows = []
    for index, record in enumerate(records):
        thesis = record["reported"].replace("-", "−")
        unit = {"percent": " %", "points": " points", "sets": " sets"}.get(record["unit"], "")
        rows.append(
            [
                Cell(record["claim"]),
                Cell(record["where"]),
                *[Cell(thesis + unit)] * shows,
                Cell(record["measured"] or "not measured", of=(index,)),
                Cell(record["verdict"], bold=record["verdict"] != UNKNOWN),
                Cell(record["reason"]),
            ]
        )
    counts = {v: sum(r["verdict"] == v for r in records) for v in VERDICTS}
    caption = (
        f"The claims of {chapter} in words: {counts[HOLDS]} hold, {counts[FAILS]} do not, "
        f"{counts[UNDECIDED]} are undecided, {counts[UNKNOWN]} cannot be measured with these data; "
        f"{score_words(results)}."
    )
    level = f"{100 * results.confidence:g} %"
    notes = [
        f"Intervals are {level} Student intervals of the mean over seeds; of one seed, over its "
        "images, for two models over the same images (DeLong's covariance), which says nothing of "
        "another training.",
        "A claim holds, or does not, where the interval says so, and is undecided where it does "
        "not; the last column says why.",
    ]
    if results.repeats != SEEDS:
        notes.append(
            "Splits of the same images overlap, so that intervals over them are somewhat narrow."
        )
    if any(_is_number(record["reported"]) for record in records):
        notes.append(
            "A number of the thesis holds where the interval contains it or the measurement is "
            "within 1 point of it, of a gain within half of it at most; a gain also where it is "
            "larger."
        )
    text = len(header)
    wide = {1: "5.5cm", 2: "2.5cm", text - 2: "4cm", text - 1: "2cm", text: "5cm"}
    return Table(
        results.spec["name"],
        caption,
        header,
        rows,
        records,
        [],
        False,
        frozenset(),
        notes,
        text_columns=text,
        wide=wide,
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
