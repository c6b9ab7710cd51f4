"""Readers of natural-image datasets that are published as encoded images in archives."""

from __future__ import annotations

import posixpath
import tempfile
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ssl_ood.common.errors import UserError
from ssl_ood.common.registry import register
from ssl_ood.datasets.archives import Damaged, FileRef, find, members, tar_of_tars, unpack
from ssl_ood.datasets.lmdb_file import entries
from ssl_ood.datasets.notes import note
from ssl_ood.datasets.own_members import IMAGES, NOT_READ
from ssl_ood.datasets.readers import NO_LABEL, Item, Paths, Source
from ssl_ood.datasets.text import printable, text_of


@register(
    "reader",
    "image_folders",
    title="folders of images",
    notes="Images below a folder of an archive, labelled by their folders.",
)
def image_folders(paths: Paths, options: Mapping[str, Any], scratch: Path) -> Source:
    """Images below `root`, in folders named after their class: DTD, ImageNet30, Hyper-Kvasir, LAG.

    `list` is a text file in the archive with one image below `root` a line; `exclude` names
    folders to pass over; `labels: none` says that the folders are no classes. Without `classes`,
    the classes are the folders in sorted order; with them, an image in none of them is refused,
    or passed over with `others: skip`. Accented letters are compared by what they show, in one
    or in two characters (macOS writes two).
    """
    path, root = paths.only, _composed(options.get("root", ""))
    exclude = set(map(_composed, options.get("exclude", ())))
    listed = None
    if "list" in options:
        lines = text_of(path, options["list"], find(path, [options["list"]])).splitlines()
        listed = {posixpath.join(root, _composed(line.strip())) for line in lines}

    def is_image(name: str) -> bool:
        # The root may lie deeper than the catalogue says: some zip tools add a folder.
        inside = _below(_composed(name), root)
        if inside is None or exclude.intersection(inside.split("/")[:-1]):
            return False
        if name.lower().endswith(NOT_READ):
            note(f"files of a kind that is not read ({posixpath.splitext(name)[1]})", path, name)
        return _is_image(inside) and (listed is None or posixpath.join(root, inside) in listed)

    if options.get("labels") == "none":
        return Source(Item(m.name, NO_LABEL, m.data) for m in members(path, is_image))
    classes = options.get("classes")
    if classes is None:
        classes = sorted({_class(m.name) for m in members(path, is_image)})
        _refuse_twins(path, classes)
    number = {_composed(name): i for i, name in enumerate(classes)}

    def items() -> Iterator[Item]:
        for member in members(path, is_image):
            label = next((number[f] for f in _folders(member.name) if f in number), None)
            if label is None:
                if options.get("others") == "skip":
                    continue
                raise UserError(
                    f"{path}: {printable(member.name)} lies in none of the folders "
                    f"{', '.join(classes)}."
                )
            yield Item(member.name, label, member.data)

    return Source(items(), list(map(printable, classes)))


@register(
    "reader",
    "imagenet",
    title="ImageNet",
    notes="ILSVRC2012: train is a tar of one tar per synset, val a tar of unlabelled images.",
)
def imagenet(paths: Paths, options: Mapping[str, Any], scratch: Path) -> Source:
    """ILSVRC2012: train is a tar of a tar for each synset, val a tar of unlabelled images."""
    path = paths[options["file"]]
    if not options.get("nested"):
        return Source(Item(m.name, NO_LABEL, m.data) for m in members(path, _is_image))
    synsets = sorted(Path(name).stem for name, _ in tar_of_tars(path))
    number = {synset: i for i, synset in enumerate(synsets)}

    def items() -> Iterator[Item]:
        for name, inner in tar_of_tars(path):
            synset = Path(name).stem
            for member in inner:
                if _is_image(member.name):
                    yield Item(f"{synset}/{member.name}", number[synset], member.data)

    return Source(items(), synsets)


@register(
    "reader",
    "tinyimagenet",
    title="TinyImageNet",
    notes="The validation images, labelled by val_annotations.txt.",
)
def tinyimagenet(paths: Paths, options: Mapping[str, Any], scratch: Path) -> Source:
    """TinyImageNet's validation images; labels from val_annotations.txt, by the order of wnids."""
    path = paths.only
    files = find(path, ["wnids.txt", "val/val_annotations.txt"])
    wnids = text_of(path, "wnids.txt", files).split()
    number = {wnid: i for i, wnid in enumerate(wnids)}
    label: dict[str, int] = {}
    for line in text_of(path, "val/val_annotations.txt", files).splitlines():
        columns = line.split("\t")
        if len(columns) < 2 or columns[1] not in number:
            raise UserError(
                f"{path}: val_annotations.txt must have an image and a class of wnids.txt in every "
                f"line, not {line!r}."
            )
        label[columns[0]] = number[columns[1]]

    def items() -> Iterator[Item]:
        for member in members(path, lambda n: "/val/images/" in n and _is_image(n)):
            file = posixpath.basename(member.name)
            yield Item(file, _known(label, file, path, "val_annotations.txt"), member.data)

    return Source(items(), wnids)


@register(
    "reader",
    "places365",
    title="Places365",
    notes="The validation images, labelled by places365_val.txt.",
)
def places365(paths: Paths, options: Mapping[str, Any], scratch: Path) -> Source:
    """Places365's validation images; labels from places365_val.txt in the tar of file lists."""
    path, lists = paths[options["images"]], paths["filelist_places365-standard.tar"]
    files = find(lists, [options["list"], "categories_places365.txt"])
    names = [line.split()[0] for line in _lines(lists, "categories_places365.txt", files)]
    label: dict[str, int] = {}
    for line in _lines(lists, options["list"], files):
        columns = line.split()
        if len(columns) != 2 or not columns[1].isdigit() or int(columns[1]) >= len(names):
            raise UserError(
                f"{lists}: {options['list']} must have an image and the number of a category in "
                f"every line, not {line!r}."
            )
        label[columns[0]] = int(columns[1])

    def items() -> Iterator[Item]:
        for member in members(path, _is_image):
            file = posixpath.basename(member.name)
            yield Item(file, _known(label, file, path, options["list"]), member.data)

    return Source(items(), names)


@register(
    "reader",
    "lsun_lmdb",
    title="LSUN",
    notes="The zipped lmdb of webp images that its authors publish.",
)
def lsun_lmdb(paths: Paths, options: Mapping[str, Any], scratch: Path) -> Source:
    """LSUN as its authors publish it: a zipped lmdb of webp images, keyed by their names."""
    path = paths.only
    folder = path
    if not path.is_dir():  # its pages lie all over the file: it cannot be read inside a zip
        folder = Path(tempfile.mkdtemp(dir=scratch))
        unpack(path, folder)
    files = members(folder, lambda name: posixpath.basename(name) == "data.mdb")
    database = next((Path(m.data.path) for m in files if isinstance(m.data, FileRef)), None)
    if database is None:
        raise UserError(f"{path} holds no data.mdb: it is not LSUN's lmdb.")

    def items() -> Iterator[Item]:
        try:
            for key, place in entries(database):
                yield Item(key.decode("utf-8", "replace"), NO_LABEL, place)
        except Damaged as error:
            raise UserError(
                f"{path} is damaged ({error}): remove it and fetch it again."
            ) from error

    return Source(items())


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGES)


def _composed(name: str) -> str:
    """The name with every accented letter as one character, as most systems write it."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _refuse_twins(path: Path, classes: Iterable[str]) -> None:
    """Raises UserError for classes whose names differ in nothing but case."""
    alike = defaultdict(list)
    for name in classes:
        alike[name.casefold()].append(name)
    for names in alike.values():
        if len(names) > 1:
            raise UserError(
                f"{path} holds the folders {' and '.join(names)}, which differ in case only: name "
                "them alike if they are one class, or list the `classes` in the catalogue."
            )


def _below(name: str, root: str) -> str | None:
    """The part of the name after `root`, wherever in the name it lies; None if it does not."""
    if not root:
        return name
    at = f"/{name}".find(f"/{root}/")
    return None if at < 0 else name[at + len(root) + 1 :]


def _folders(name: str) -> list[str]:
    """The folders of a name, the innermost first."""
    return _composed(name).split("/")[-2::-1]


def _class(name: str) -> str:
    return (_folders(name) or [""])[0]


def _known(label: Mapping[str, int], file: str, path: Path, table: str) -> int:
    if file not in label:
        raise UserError(f"{path} holds {file}, of which {table} says nothing.")
    return label[file]


def _lines(path: Path, name: str, files: Mapping[str, bytes]) -> list[str]:
    return [line for line in text_of(path, name, files).splitlines() if line.strip()]
