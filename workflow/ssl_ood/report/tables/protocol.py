"""The table of choices that the thesis leaves open, from resources/protocol.csv; needs no run."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict

from ssl_ood.common.registry import register
from ssl_ood.common.settings import Settings
from ssl_ood.report.layout import Cell, Table
from ssl_ood.report.results import Results
from ssl_ood.study.protocol import read_protocol

SURE = ("certain", "inferred", "open", "none")
HEADER = ["Choice", "Of", "Thesis", "Where", "Authors' code", "Sure", "Ours", "Other", "Why"]
# Columns of sentences, from 1, with their widths in LaTeX.
WIDE = {2: "2.5cm", 3: "3.5cm", 4: "2cm", 5: "4.5cm", 7: "3cm", 8: "2cm", 9: "4.5cm"}


@register(
    "table",
    "protocol",
    title="Choices",
    section="protocol",
    notes="What the thesis does not say: the authors' code, our default and why, choice by choice.",
    needs=(),
    settings=Settings,
)
def protocol_table(results: Results) -> Table:
    """Every choice of chapters 5 to 7 on which the thesis is silent or unclear."""
    choices = read_protocol()
    rows, rules, before = [], set(), ""
    for i, choice in enumerate(choices):
        if i and choice.chapters != before:
            rules.add(i)
        before = choice.chapters
        ours = f"{choice.ours} ({choice.setting})" if choice.setting else choice.ours
        words = [choice.id, choice.scope, choice.thesis, choice.said_at, choice.authors]
        words += [choice.sure, ours, ", ".join(choice.readings), choice.why]
        rows.append([Cell(word) for word in words])
    counts = Counter(choice.sure for choice in choices)
    tally = ", ".join(f"{counts[sure]} {sure}" for sure in SURE)
    return Table(
        results.spec["name"],
        f"{len(choices)} choices on which the thesis is silent or unclear; what the authors' code "
        f"did: {tally}.",
        HEADER,
        rows,
        [asdict(choice) for choice in choices],
        rules=frozenset(rules),
        notes=[
            "Ours is the project's default; a study laid over config.yaml may say otherwise.",
            "certain: flags or code of every version; inferred: from them; open: versions "
            "disagree, or it is unknown which one the numbers came from; none: there is no code.",
        ],
        text_columns=len(HEADER),
        wide=WIDE,
    )
