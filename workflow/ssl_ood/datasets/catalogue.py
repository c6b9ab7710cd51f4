"""The dataset catalogue: what each dataset is, where its archives come from, what its splits hold.

The data are in `resources/datasets.yaml`, checked against `schemas/datasets.schema.yaml`. This
module is all that the Snakefile needs of the datasets, so it imports nothing heavy.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ssl_ood.common.errors import UserError, reason
from ssl_ood.common.files import parse_yaml
from ssl_ood.common.paths import expanded
from ssl_ood.datasets.patients import patients_of

DIGITS = {"md5": 32, "sha256": 64}
LOCAL = "local"  # the access to what lies on this disk and is not fetched
SCHEMA = Path(__file__).resolve().parents[2] / "schemas" / "datasets.schema.yaml"


@dataclass(frozen=True)
class Archive:
    """One file (or, with `folder`, one folder) that a dataset is read from.

    `path`: where it lies on this disk; None: under its name `file` in one of the known folders.

    A checksum may be a prefix, where no more of it is published: it is compared as far as it goes.
    `also` are further accepted checksums, `{"sha256": ..., "why": ...}`, of the same content in
    another wrapping. Without any checksum the archive is unverified: its SHA-256 is recorded.
    """

    file: str
    bytes: int | None = None
    md5: str | None = None
    sha256: str | None = None
    also: tuple[dict[str, str], ...] = ()
    urls: tuple[str, ...] = ()
    folder: bool = False
    optional: bool = False
    package: str | None = None
    path: str | None = None

    @property
    def verified(self) -> bool:
        """Whether there is a checksum to compare with, whole or a prefix."""
        return self.md5 is not None or self.sha256 is not None

    @property
    def only_prefix(self) -> str | None:
        """What is compared, such as "the first 8 digits of md5", where no checksum is whole."""
        known = {"sha256": self.sha256, "md5": self.md5}
        known = {kind: value for kind, value in known.items() if value is not None}
        if not known or any(len(value) == DIGITS[kind] for kind, value in known.items()):
            return None
        return " and ".join(f"the first {len(v)} digits of {kind}" for kind, v in known.items())


@dataclass(frozen=True)
class Split:
    """A split: the number of images it must have (None: unknown) and how it is read.

    `about`: how many they are expected to be, for plans, where no number is known. `verified` is
    False where the count is what a publication or a forum says, not seen by us: another count is
    then reported, not refused.
    """

    count: int | None = None
    verified: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)
    about: int | None = None


@dataclass(frozen=True)
class Dataset:
    """A catalogue entry. `store` names the folder of its archives: the parent's for a derived set.

    `photographs` marks OOD sets cut from natural photographs, which is what the demo's auxiliary
    images are cut from too: they are left out of the honest average over OOD sets. `group` is a
    regular expression whose first bracket is the patient in an image's name.
    """

    name: str
    title: str
    kind: str
    access: str
    reader: str
    splits: Mapping[str, Split]
    archives: tuple[Archive, ...]
    store: str
    how_to_get: str | None = None
    licence: str | None = None
    citation: str | None = None
    debian_package: Mapping[str, str] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] | None = None
    train_split: str | None = None
    test_split: str | None = None
    group: str | None = None
    photographs: bool = False
    notes: tuple[str, ...] = ()
    derive: Mapping[str, Any] | None = None

    @property
    def free(self) -> bool:
        """Whether it can be had without a login, a registration or a request."""
        return self.access in ("free", "package")

    @property
    def verified(self) -> bool:
        """Whether every archive has a checksum to compare with (package files come checked)."""
        return all(a.verified or a.package for a in self.archives)

    def split(self, name: str) -> Split:
        """The split of that name; raises UserError that lists the splits there are."""
        if name not in self.splits:
            raise UserError(
                f"Dataset {self.name} has no split {name!r}: its splits are "
                f"{', '.join(self.splits)}."
            )
        return self.splits[name]

    @property
    def grouped(self) -> bool:
        """Whether names tell patients."""
        return self.group is not None or "patients" in self.options

    def group_of(self, name: str) -> str | None:
        """The patient that the image of that name shows; None where names do not say."""
        if "patients" in self.options:
            return patients_of(self.options["patients"])(name)
        if self.group is None:
            return None
        match = re.search(self.group, name)
        if match is None:
            raise UserError(
                f"The catalogue's `group` of {self.name} ({self.group}) finds no patient in the "
                f"name {name}: correct it."
            )
        return match[1]

    def read_for(self, splits: Iterable[Split]) -> Dataset:
        """The dataset with the optional archives that these splits are read from made necessary.

        The splits are its own or those of sets derived from it.
        """
        named = {str(v) for split in splits for v in split.options.values()}
        archives = (replace(a, optional=a.optional and a.file not in named) for a in self.archives)
        return replace(self, archives=tuple(archives))

    def to_dict(self) -> dict[str, Any]:
        """The entry as JSON-able data, equal for equal entries: a rule's parameter."""
        return plain(self)


def load_catalogue(path: str | Path, validate: bool = True) -> dict[str, Dataset]:
    """The catalogue at `path`, derived sets resolved. Raises UserError for a faulty file.

    `validate=False` skips the JSON schema (40 ms) where the file was checked before.
    """
    return datasets_of(read_catalogue(path, validate)["datasets"], str(path))


def datasets_of(entries: Mapping[str, Any], place: str) -> dict[str, Dataset]:
    """The datasets of catalogue entries, derived sets resolved; place: where the entries stand."""
    catalogue = {n: from_dict(n, e) for n, e in entries.items() if "derive" not in e}
    for name, entry in entries.items():
        if "derive" in entry:
            catalogue[name] = _derived(name, entry, catalogue, place)
    return {name: catalogue[name] for name in entries}


def read_catalogue(path: str | Path, validate: bool = True) -> dict[str, Any]:
    """The content of the file, `{datasets, weights}`. Raises UserError for a faulty file."""
    import yaml

    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"The dataset catalogue {path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise UserError(
            f"The dataset catalogue {path} is not text in UTF-8 ({reason(error)}): restore it."
        ) from error
    try:
        data = parse_yaml(text)
    except yaml.YAMLError as error:
        text = " ".join(str(error).split())
        raise UserError(f"The dataset catalogue {path} is not valid YAML: {text}.") from error
    if validate:
        check_schema(data, path)
        both = data["datasets"].keys() & data.get("weights", {}).keys()
        if both:
            raise UserError(
                f"The dataset catalogue {path} has the name {min(both)} twice, as a dataset and as "
                "weights: rename one."
            )
        _anchor(data["datasets"], path)
    return data


def _anchor(entries: Mapping[str, Any], path: Path) -> None:
    """Makes the paths of local archives whole, which may be relative to their catalogue."""
    for name, entry in entries.items():
        for archive in entry.get("archives", ()):
            if "path" in archive:
                whole = expanded(archive["path"], f"{path}: the path of {name}")
                archive["path"] = str(path.parent.absolute() / whole)


def get(catalogue: Mapping[str, Dataset], name: str) -> Dataset:
    """The entry of that name; raises UserError that suggests the nearest name."""
    if name in catalogue:
        return catalogue[name]
    near = difflib.get_close_matches(name, catalogue, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else f" It holds: {', '.join(catalogue)}."
    raise UserError(f"The catalogue has no dataset {name!r}.{hint}")


def from_dict(name: str, entry: Mapping[str, Any]) -> Dataset:
    """A Dataset from a catalogue entry, or back from `Dataset.to_dict`."""
    data = {k: v for k, v in entry.items() if k != "name"}
    data.setdefault("store", name)
    if data["access"] == LOCAL:
        data.setdefault("licence", None)
        data.setdefault("citation", None)
        paths = ", ".join(a["path"] for a in data["archives"])
        data.setdefault("how_to_get", f"Bring it back to {paths}, or correct its path")
    data["archives"] = archives_of(entry)
    data["splits"] = {s: Split(**(o or {})) for s, o in data["splits"].items()}
    data["notes"] = tuple(data.get("notes", ()))
    if data.get("classes") is not None:
        data["classes"] = tuple(data["classes"])
    for role in ("train_split", "test_split"):
        default = role.removesuffix("_split")
        data.setdefault(role, default if default in data["splits"] else None)
    return Dataset(name=name, **data)


def archives_of(entry: Mapping[str, Any]) -> tuple[Archive, ...]:
    """The archives of a catalogue entry; a local one is named, where it is not, after its path."""
    return tuple(
        Archive(
            **{
                **a,
                "file": a.get("file") or Path(a["path"]).name,
                "also": tuple(a.get("also", ())),
                "urls": tuple(a.get("urls", ())),
            }
        )
        for a in entry.get("archives", ())
    )


def check_schema(data: Any, path: Path | str) -> None:
    """Raises UserError that names the first place where the catalogue breaks its schema."""
    import jsonschema

    schema = parse_yaml(SCHEMA.read_text(encoding="utf-8"))
    error = jsonschema.exceptions.best_match(
        jsonschema.Draft202012Validator(schema).iter_errors(data)
    )
    if error is not None:
        place = ".".join(map(str, error.absolute_path)) or "the top level"
        raise UserError(f"The dataset catalogue {path} is wrong at {place}: {error.message}.")


def _derived(
    name: str, entry: Mapping[str, Any], catalogue: Mapping[str, Dataset], path: str
) -> Dataset:
    """A subset of another dataset: its archives and reader, its own selection of images.

    The splits are the parent's under other names (`splits`), or seeded parts of them (`limit`).
    """
    derive = entry["derive"]
    if derive["from"] not in catalogue:
        raise UserError(
            f"The dataset catalogue {path} derives {name} from {derive['from']!r}, which is "
            "not an entry of its own (a derived set cannot be derived from another)."
        )
    parent = catalogue[derive["from"]]
    if "splits" in derive:
        splits = {own: parent.split(source) for own, source in derive["splits"].items()}
        test_split = "test"
    else:
        splits = {}
        for split_name, limit in derive["limit"].items():
            select = {"seed": derive.get("seed", 0), "stop": limit}
            if "classes" in derive:
                select["classes"] = derive["classes"]
            if split_name in derive.get("of", {}):
                select["of"] = derive["of"][split_name]
            options = {**parent.split(split_name).options, "select": select}
            splits[split_name] = Split(limit, True, options)
        test_split = parent.test_split
    options = {**parent.options, **({"mode": derive["mode"]} if "mode" in derive else {})}
    own = {k: v for k, v in entry.items() if k not in ("derive", "notes")}
    return replace(
        parent,
        name=name,
        splits=splits,
        options=options,
        derive=dict(derive),
        train_split="train" if "train" in splits else None,
        test_split=test_split if test_split in splits else None,
        notes=(*entry.get("notes", ()), *parent.notes),
        **own,
    )


def plain(entry: Any) -> dict[str, Any]:
    """A catalogue entry (a dataclass) as JSON-able data; what only own images have, only there."""
    data = _plain(asdict(entry))
    for key, parts in (("path", data["archives"]), ("about", data.get("splits", {}).values())):
        for part in parts:
            if part[key] is None:
                del part[key]
    return data


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value
