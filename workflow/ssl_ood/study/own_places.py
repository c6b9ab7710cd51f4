"""Where the images of a study of own images lie, and what its datasets are called."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from ssl_ood.common.errors import UserError
from ssl_ood.common.paths import expanded
from ssl_ood.datasets.local import ARCHIVES

NAME = re.compile(r"[a-z][a-z0-9_]*")


def path_of(value: str, place: str) -> str | None:
    """The whole path that a value of the config means; None for a dataset of the catalogue, which
    is a bare word that is nothing on this disk."""
    path = Path(expanded(value, place)).absolute()
    return None if NAME.fullmatch(value) and not path.exists() else str(path)


def stem(path: str) -> str:
    """The last part of a path, without the ending of an archive."""
    name = os.path.basename(path)
    for ending in sorted(ARCHIVES, key=len, reverse=True):
        if name.lower().endswith(ending):
            return name[: -len(ending)] or "images"
    return name or "images"


def named(values: Iterable[str], place: str) -> dict[str, str]:
    """The whole paths, each by a name of its own."""
    places: dict[str, str] = {}
    for value in values:
        path = str(Path(expanded(value, place)).absolute())
        places[_free(stem(path), places)] = path
    return places


def set_names(study: str, values: Iterable[str], place: str) -> dict[str, str]:
    """The datasets of OOD sets by their values: those of the catalogue keep their names, others are
    called after the study and the last part of their path."""
    names: dict[str, str] = {}
    for value in values:
        path = path_of(value, place)
        word = "" if path is None else re.sub(r"[^a-z0-9]+", "_", stem(path).lower()).strip("_")
        name = value if path is None else f"{study}_{word or 'set'}"
        names[value] = _free(name, names.values())
    return names


def refuse_shared(path: str, places: Mapping[str, str], place: str) -> None:
    """Raises UserError for images that would be normal and tested against, or made negatives of."""
    own = os.path.realpath(path)
    for other in places.values():
        whole = os.path.realpath(other)
        if os.path.commonpath([own, whole]) in (own, whole):
            raise UserError(
                f"{place}: {path} and the images in {other} share files, so that the same images "
                "would be normal and not: name folders apart."
            )


def _free(name: str, taken: Iterable[str]) -> str:
    """The name, or the first of NAME_2, NAME_3, ... that is not taken."""
    taken, number, free = set(taken), 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free
