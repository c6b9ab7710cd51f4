"""Readers of RSNA and CheXpert (Hyper-Kvasir and LAG are plain image folders)."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ssl_ood.common.csv_files import rows_of_text
from ssl_ood.common.errors import UserError
from ssl_ood.common.registry import register
from ssl_ood.datasets.archives import find, members
from ssl_ood.datasets.readers import NO_LABEL, Item, Paths, Source
from ssl_ood.datasets.text import text_of

RSNA_CLASSES = "stage_2_detailed_class_info.csv"
RSNA_LABELS = "stage_2_train_labels.csv"


@register(
    "reader",
    "rsna",
    title="RSNA pneumonia",
    notes="DICOM files in a zip, labelled by its detailed class table.",
)
def rsna(paths: Paths, options: Mapping[str, Any], scratch: Path) -> Source:
    """RSNA pneumonia: one DICOM file per patient. The class is read from the detailed table and
    checked against the labels.

    Both tables repeat the row of a patient for every box; Target of the labels is 1 for
    "Lung Opacity" and for nothing else.
    """
    path, classes = paths.only, options["classes"]
    number = {name: i for i, name in enumerate(classes)}
    tables = find(path, [RSNA_CLASSES, RSNA_LABELS])
    label: dict[str, int] = {}
    for row in _rows(path, RSNA_CLASSES, tables, ("patientId", "class")):
        if row["class"] not in number:
            raise UserError(
                f"{path}: {RSNA_CLASSES} knows a class {row['class']!r}, the catalogue only "
                f"{', '.join(classes)}."
            )
        if label.setdefault(row["patientId"], number[row["class"]]) != number[row["class"]]:
            raise UserError(f"{path}: {RSNA_CLASSES} gives patient {row['patientId']} two classes.")
    for row in _rows(path, RSNA_LABELS, tables, ("patientId", "Target")):
        patient, opacity = row["patientId"], number["Lung Opacity"]
        if (row["Target"] == "1") != (label.get(patient) == opacity):
            raise UserError(
                f"{path}: {RSNA_CLASSES} and {RSNA_LABELS} do not agree about patient {patient}."
            )

    def is_film(name: str) -> bool:
        return "stage_2_train_images/" in name and name.lower().endswith(".dcm")

    def items() -> Iterator[Item]:
        seen: set[str] = set()
        for member in members(path, is_film):
            patient = posixpath.splitext(posixpath.basename(member.name))[0]
            if patient not in label:
                raise UserError(f"{path} holds {member.name}, of which {RSNA_CLASSES} is silent.")
            _once(path, patient, seen)
            yield Item(patient, label[patient], member.data)

    return Source(items(), list(classes))


@register(
    "reader",
    "chexpert",
    title="CheXpert",
    notes="Frontal X-rays of the small version, listed in train.csv.",
)
def chexpert(paths: Paths, options: Mapping[str, Any], scratch: Path) -> Source:
    """CheXpert (small): the images that a csv lists, without labels; `frontal_only` is an option.

    The csv gives each image its Path, from CheXpert-v1.0-small/ on, and Frontal/Lateral.
    """
    path, table = paths.only, options["csv"]
    rows = _rows(path, table, find(path, [table]), ("Path", "Frontal/Lateral"))
    chosen = {
        _from_split(row["Path"])
        for row in rows
        if row["Frontal/Lateral"] == "Frontal" or not options.get("frontal_only")
    }

    def items() -> Iterator[Item]:
        seen: set[str] = set()
        for member in members(path, lambda n: _from_split(n) in chosen):
            name = _from_split(member.name)
            _once(path, name, seen)
            yield Item(name, NO_LABEL, member.data)
        if left := chosen - seen:
            raise UserError(
                f"{path} lacks {len(left):,} of the images that {table} lists, "
                f"for example {min(left)}: it is incomplete."
            )

    return Source(items())


def _rows(
    path: Path, name: str, files: Mapping[str, bytes], columns: tuple[str, ...]
) -> list[dict[str, str]]:
    """The rows of a csv in an archive; raises UserError for a column that is not there."""
    return rows_of_text(text_of(path, name, files), f"{path}: {name}", columns)


def _once(path: Path, name: str, seen: set[str]) -> None:
    """Remembers the image; raises UserError if it was there before."""
    if name in seen:
        raise UserError(
            f"{path} holds {name} twice, in different folders: remove the copies, they would count "
            "as further images."
        )
    seen.add(name)


def _from_split(name: str) -> str:
    """train/patient1/study1/view1_frontal.jpg of any longer name: zips differ in the top folder."""
    parts = name.split("/")
    return "/".join(parts[-4:])
