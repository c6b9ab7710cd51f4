"""Studies of own images, expanded into ordinary studies while the config is read.

`studies: {mine: {images: ~/films/normal, ood: [~/films/ill]}}` becomes the datasets `mine` and
`mine_ill`, an ordinary study, and its tables and figures; what follows knows of nothing else.
Settings come from a look at the images (`datasets.scan`) and from presets, and a sentence says
which.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_ood.common.errors import UserError
from ssl_ood.common.paths import expanded
from ssl_ood.common.settings import read_settings
from ssl_ood.datasets.own_split import PARTS
from ssl_ood.datasets.patients import patients_of
from ssl_ood.datasets.scan import Scan, names_of, scan
from ssl_ood.study.layers import merge
from ssl_ood.study.own_places import NAME, named, path_of, refuse_shared, set_names, stem
from ssl_ood.study.own_settings import OwnStudy, PatientTable
from ssl_ood.study.own_targets import STRATEGIES, TITLES, WITH_AUXILIARY, targets_of
from ssl_ood.study.presets import choose, presets

IMAGES = "images"  # the key that tells such a study from others
FEWEST = 30  # images: fewer say nothing, on whichever side
SCANS = "scans"  # folder of the results for what was seen of the images
BEGINNINGS = ("table_", "figure_", "chapter_")  # of targets that are named otherwise
RULES = frozenset(  # of the workflow: a study is a target, too
    {
        *("all", "all_tables", "all_figures", "datasets", "fetch_dataset", "pack_dataset"),
        *("write_split", "fetch_weights", "convert_weights", "build_negatives", "train"),
        *("evaluate", "shortcuts", "table", "figure", "plan", "costs", "write_costs"),
        *("report", "write_report"),
    }
)
KINDS = {"colour": "colour", "grey": "grey", "medical": "grey DICOM"}


@dataclass(frozen=True)
class Expanded:
    """config: every study an ordinary one; own: those of own images; remarks: what was chosen."""

    config: dict[str, Any]
    own: tuple[str, ...]
    remarks: tuple[str, ...]


def expand_own(config: dict[str, Any]) -> Expanded:
    """The plain config with every study of own images expanded.

    Raises UserError for images that cannot be had or split, and settings that cannot be meant.
    """
    own, remarks = own_images_in(config), []
    for name in own:
        place, values = f"config: studies.{name}", config["studies"][name]
        if not NAME.fullmatch(name):
            raise UserError(
                f"{place}: a study of own images names datasets, tables and figures: write its "
                "name in small letters, digits and _, with a letter first."
            )
        if name in RULES or name.startswith(BEGINNINGS):
            raise UserError(
                f"{place}: `snakemake {name}` makes something else already: rename the study."
            )
        layer, remark = _Study(name, read_settings(OwnStudy, values, place), config).expanded()
        others = {other: study for other, study in config["studies"].items() if other != name}
        config = {**config, "studies": {**others, **layer["studies"]}}
        config["datasets"] = {**(config.get("datasets") or {}), **layer["datasets"]}
        for key in ("tables", "figures", "titles"):  # what the config says goes before
            config[key] = merge(layer[key], config.get(key) or {})
        remarks.append(remark)
    return Expanded(config, tuple(own), tuple(remarks))


def own_images_in(config: dict[str, Any]) -> list[str]:
    """The names of the studies of own images in a plain config."""
    studies = config.get("studies")
    all_of_them = studies.items() if isinstance(studies, dict) else ()
    return [name for name, study in all_of_them if isinstance(study, dict) and IMAGES in study]


def refuse_twins(own: Iterable[str], config: dict[str, Any], replaced: Mapping[str, str]) -> None:
    """Raises UserError where a dataset of such a study has the name of another; replaced: of the
    catalogues, the names whose entries gave way to those of the config."""
    for name in own:
        for dataset in config["datasets"]:
            if dataset in replaced and (dataset == name or dataset.startswith(f"{name}_")):
                raise UserError(
                    f"config: studies.{name} makes a dataset {dataset}, and the catalogue has one "
                    "of this name: rename the study."
                )


class _Study:
    """One study and what it becomes."""

    def __init__(self, name: str, study: OwnStudy, config: dict[str, Any]) -> None:
        self.name, self.study, self.config = name, study, config
        self.place = f"config: studies.{name}"
        self.places = named(study.images, f"{self.place}.{IMAGES}")
        self.seen = self._scan(self.places, IMAGES)
        if self.seen.images < FEWEST:
            raise UserError(
                f"{self.place}.images: {', '.join(self.places.values())} holds "
                f"{self.seen.images} image(s), and fewer than {FEWEST} cannot be split into "
                "training, calibration and test: name a folder with more."
            )
        self._check_groups()
        train = round(study.split.train * self.seen.images)
        asked = study.override.get("training", {})
        self.chosen = choose(self.seen, self._preset(), study.size, study.fit, train, asked)

    def expanded(self) -> tuple[dict[str, Any], str]:
        """The layer of the config, and the sentence on what was chosen."""
        name, study = self.name, self.study
        ood = set_names(name, study.ood, f"{self.place}.ood")
        datasets = {name: self._own_dataset()}
        for value, dataset in ood.items():
            if (path := path_of(value, f"{self.place}.ood")) is not None:
                datasets[dataset] = self._other_dataset(path, "ood", "test")
        entry = {"ood": list(ood.values()), "calibration_split": "calibration"}
        if study.auxiliary is not None:
            entry["auxiliary"] = study.auxiliary
            if (path := path_of(study.auxiliary, f"{self.place}.auxiliary")) is not None:
                entry["auxiliary"] = f"{name}_auxiliary"
                datasets[entry["auxiliary"]] = self._other_dataset(path, "auxiliary", "train")
        override = merge(self.chosen.settings, study.override)
        ordinary = {
            "method": presets().method,
            "size": self.chosen.size,
            "fit": self.chosen.fit,
            "override": override,
            "evaluation": dict(study.evaluation),
            "in_distribution": {name: entry},
        }
        strategies = study.strategies or STRATEGIES + WITH_AUXILIARY * bool(study.auxiliary)
        layer = {
            "datasets": datasets,
            "studies": {name: ordinary},
            "titles": {"strategies": TITLES},
            **targets_of(name, strategies, bool(ood)),
        }
        return layer, self._sentence(override["training"])

    def _preset(self) -> str:
        execution = self.config.get("execution")
        devices = execution.get("devices") if isinstance(execution, dict) else None
        return self.study.preset or ("small" if devices == 0 else "full")

    def _scan(self, places: dict[str, str], key: str) -> Scan:
        kept = Path(str(self.config.get("results_dir", "results"))) / SCANS
        try:
            return scan(places, kept)
        except UserError as error:
            raise UserError(f"{self.place}.{key}: {error}") from None

    def _check_groups(self) -> None:
        """Refuses a pattern or table that says nothing of an image, before anything is planned."""
        source = self._patients()
        if source is None:
            return
        try:
            patient = patients_of(source)
            groups = {patient(name) for name in names_of(self.places)}
        except UserError as error:
            raise UserError(f"{self.place}.group: {error}") from None
        if 0 < len(groups) < len(PARTS):
            raise UserError(
                f"{self.place}.group: all images are of {len(groups)} group(s), and a group is "
                f"never on two sides: {len(PARTS)} are the fewest for training, calibration and "
                "test."
            )

    def _patients(self) -> dict[str, str] | None:
        group = self.study.group
        if isinstance(group, PatientTable):
            path = str(Path(expanded(group.csv, f"{self.place}.group.csv")).absolute())
            return {"csv": path, "image": group.image, "patient": group.patient}
        return None if group is None else {"pattern": group}

    def _own_dataset(self) -> dict[str, Any]:
        study, images = self.study, self.seen.images
        shares = study.split.model_dump(include=set(PARTS))
        options = self._options() | {"labels": study.labels}
        options |= {"shares": shares, "seed": study.split.seed}
        if (source := self._patients()) is not None:
            options["patients"] = source
        splits = {
            part: {"about": max(round(shares[part] * images), 1), "options": {"part": part}}
            for part in PARTS
        }
        return _entry(study.title or self.name, self.places, options, splits)

    def _other_dataset(self, path: str, key: str, split: str) -> dict[str, Any]:
        refuse_shared(path, self.places, f"{self.place}.{key}")
        places = {stem(path): path}
        about = self._scan(places, key).images
        options = self._options() | {"labels": "none"}
        return _entry(stem(path), places, options, {split: {"about": about}})

    def _options(self) -> dict[str, Any]:
        """Sets are compared in grey where the normal images are: else colour would tell them."""
        options: dict[str, Any] = {} if self.chosen.kind == "colour" else {"mode": "L"}
        return options if self.study.range is None else options | {"range": [*self.study.range]}

    def _fate(self) -> str:
        """What becomes of images that cannot be read."""
        allowed = self.config.get("max_corrupt_share")
        share = self.seen.unreadable / self.seen.looked_at
        if isinstance(allowed, int | float) and share <= allowed:
            return f"such images are left out, up to a share of {allowed:g} (max_corrupt_share)"
        enough = min(math.ceil(20 * share + 1) / 20, 1)  # the sets' shares are not the same
        return (
            "the packing will stop at them, unless you take them away or write "
            f"`max_corrupt_share: {enough:g}`, by which they are left out"
        )

    def _sentence(self, training: dict[str, Any]) -> str:
        seen, chosen = self.seen, self.chosen
        longer = f"{seen.aspect:g} times as long as wide"
        shape = "square" if seen.square else longer if seen.aspect > 1 else "of several shapes"
        why = {"small": "execution.devices is 0", "full": "execution.devices is not 0"}
        preset = chosen.preset + ("" if self.study.preset else f" ({why[chosen.preset]})")
        words = (
            f"Study {self.name}: {seen.images:,} {KINDS[chosen.kind]} images, the "
            f"{seen.looked_at} looked at {shape}, their median shorter side {seen.side} pixels: "
            f"size {chosen.size}, fit {chosen.fit}, preset {preset}, views for {chosen.kind} "
            f"images, {training['epochs']} epochs in batches of {training['batch_size']} (size, "
            f"fit, preset and override of studies.{self.name} set them otherwise)."
        )
        if seen.unreadable:
            words += (
                f" {seen.unreadable} of those looked at cannot be read ({seen.reason}): "
                f"{self._fate()}."
            )
        return words


def _entry(
    title: str, places: Mapping[str, str], options: dict[str, Any], splits: dict[str, Any]
) -> dict[str, Any]:
    """An entry of the catalogue."""
    return {
        "title": title,
        "kind": "own",
        "access": "local",
        "reader": "own_images",
        "options": options,
        "archives": [{"file": name, "path": path} for name, path in places.items()],
        "splits": splits,
    }
