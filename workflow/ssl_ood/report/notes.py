"""What is to be known of the values that the thesis prints, under the tables that show them.

The rows of resources/reported/notes.csv: of other methods' numbers, what they really are; of the
thesis's own, where they contradict each other or how they were chosen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from ssl_ood.common.rows import checked_rows
from ssl_ood.report.records import artefacts
from ssl_ood.report.reported import NOTES
from ssl_ood.report.results import Results
from ssl_ood.report.table_parts import listed


def reported_notes(results: Results) -> list[str]:
    """The notes of a table: those of the artefacts of its option `reported`, and of its datasets.

    None where no value of the thesis is shown, or the folder of reported values has no notes.
    """
    path = results.reported_dir / NOTES
    if not results.spec["show_reported"] or not artefacts(results) or not path.is_file():
        return []
    homes = results.in_distributions()
    notes = [note for note in read_notes(path) if _concerns(note, artefacts(results), homes)]
    return list(dict.fromkeys(_sentence(note, results) for note in notes))


def read_notes(path: Path) -> list[dict[str, str]]:
    """The rows, as workflow/schemas/notes.schema.yaml has them. Raises UserError for a faulty
    file."""
    return checked_rows(path, "notes.schema.yaml")


def _concerns(note: Mapping[str, str], shown: Iterable[str], homes: Iterable[str]) -> bool:
    return note["artefact"] in shown and note["train"] in ("", *homes)


def _sentence(note: Mapping[str, str], results: Results) -> str:
    """`SSD, CIFAR10 against SVHN: its note (source).`"""
    methods = [name.strip() for name in note["method"].split(",") if name.strip()]
    who = listed(results.title("strategies", name) for name in methods)  # a system has its name
    where = results.title("datasets", note["train"]) if note["train"] else ""
    if note["ood"]:
        against = listed(results.title("datasets", name) for name in note["ood"].split())
        where += f" against {against}"
    place = ", ".join(filter(None, [who, where]))
    text = f"{place}: {note['note']}" if place else note["note"][0].upper() + note["note"][1:]
    return f"Thesis. {text} ({note['source']})."
