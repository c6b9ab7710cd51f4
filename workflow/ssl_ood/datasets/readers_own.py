"""The reader of a person's own images: folders, zips and tars of pictures and DICOM files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from ssl_ood.common.errors import UserError
from ssl_ood.common.registry import register
from ssl_ood.datasets.own_members import own_members
from ssl_ood.datasets.own_split import PARTS, split_by_group
from ssl_ood.datasets.patients import patients_of
from ssl_ood.datasets.readers import NO_LABEL, Item, Paths, Source
from ssl_ood.datasets.same_content import Groups
from ssl_ood.datasets.text import printable


@register(
    "reader",
    "own_images",
    title="own images",
    notes="Pictures and DICOM files of folders and archives; labels from sub-folders.",
)
def own_images(paths: Paths, options: Mapping[str, Any], scratch: Path) -> Source:
    """All images of one or several folders or archives, or one part of a seeded split of them.

    `labels: folders` takes the outermost folders that tell images apart for classes, if every image
    lies in one and they are not the patients; `none` gives no labels. `patients`: see `patients`.
    `part`, one of `PARTS`, with `shares` and `seed`: see `own_split`. Of several places the names
    of the images begin with that of the place.
    """
    part, patients_file = options.get("part"), options.get("patients")
    if part is None and options.get("labels") == "none":
        return Source(Item(m.name, NO_LABEL, m.data) for m in own_members(paths))
    patients = None if patients_file is None else patients_of(patients_file)
    names, groups, whose = [], Groups(), []
    for member in own_members(paths):
        patient = None if patients is None else patients(member.name)
        names.append(member.name)
        whose.append(member.name if patient is None else patient)
        groups.add(patient, None if part is None else member.data)
    classes, labels = ([], None) if options.get("labels") == "none" else _classes(names, whose)
    keep, facts = None, {}
    if part is not None:
        chosen = split_by_group(whose, groups.numbers(), options["shares"], options["seed"])
        keep = chosen == PARTS.index(part)
        facts = {"chosen_from": [len(names)], "copies": groups.copies}

    def items() -> Iterator[Item]:
        for place, (name, member) in enumerate(zip_longest(names, own_members(paths))):
            if member is None or name != member.name:
                raise UserError(
                    f"{', '.join(map(str, paths.values()))} changed while it was read: run the "
                    "workflow again."
                )
            if keep is None or keep[place]:
                label = NO_LABEL if labels is None else labels[place]
                yield Item(name, label, member.data)

    return Source(items(), [printable(name) for name in classes] or None, facts)


def _classes(names: Sequence[str], whose: Sequence[str]) -> tuple[list[str], list[int] | None]:
    """The classes and the label of every image, by the outermost folders that tell images apart.

    None where some image lies in no such folder, there is but one, or folders and patients are the
    same.
    """
    folders = [name.split("/")[:-1] for name in names]
    depth = 0
    while all(len(f) > depth for f in folders) and len({f[depth] for f in folders}) == 1:
        depth += 1
    if not folders or not all(len(f) > depth for f in folders):
        return [], None
    folder_names = [f[depth] for f in folders]
    classes = sorted(set(folder_names))
    pairs = len(set(zip(folder_names, whose, strict=True)))
    if pairs == len(classes) == len(set(whose)):
        return [], None
    number = {name: i for i, name in enumerate(classes)}
    return classes, [number[name] for name in folder_names]
