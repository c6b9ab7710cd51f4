"""Synthetic measurements of many runs, with known values."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from ssl_ood.evaluation.measurements import as_frame, write_measurements
from ssl_ood.report.make import Files, make_table
from ssl_ood.report.reported import NOTES

REPORTED = Path(__file__).parents[2] / "resources" / "reported"
TAUS = [0.02, 0.04, 0.06]
STRATEGIES = {
    "none": [],
    "imgn": [{"source": "imagenet"}],
    "rot_imgn": [{"source": "imagenet", "shift": "rot90"}],
    "rot360_imgn": [{"source": "imagenet", "shift": "rot360"}],
    "dti": [{"source": "dti"}],
    "perm16_imgn": [{"source": "imagenet", "shift": "perm16"}],
    "perm4_imgn": [{"source": "imagenet", "shift": "perm4"}],
    "rot_dti": [{"source": "dti", "shift": "rot90"}],
    "pixperm_imgn": [{"source": "imagenet", "shift": "pixel_shuffle"}],
    "rot_indist": [{"source": "in_distribution", "shift": "rot90"}],
    "combined": [
        {"source": "in_distribution", "shift": "rot90"},
        {"source": "imagenet", "shift": "rot90"},
    ],
}
TITLES = {
    "none": "None (DINO)", "imgn": "ImgN", "rot_imgn": "Rot. ImgN", "rot360_imgn": "Rot. 360 ImgN",
    "dti": "DTI", "perm16_imgn": "Perm-16 ImgN", "perm4_imgn": "Perm-4 ImgN",
    "rot_dti": "Rot. DTI", "pixperm_imgn": "Pix. Perm.", "rot_indist": "Rot. In-Dist.",
    "combined": "Combined",
}  # fmt: skip
OOD = ["cifar100", "svhn", "imagenet30", "tinyimagenet", "lsun", "stl10", "places365", "texture"]
# Mean AUROC over the OOD sets by strategy, in the thesis's order of merit.
GOODNESS = {
    "none": 0.8947, "imgn": 0.9166, "rot_imgn": 0.9429, "rot360_imgn": 0.9009, "dti": 0.9334,
    "perm16_imgn": 0.8959, "perm4_imgn": 0.8754, "rot_dti": 0.9489, "pixperm_imgn": 0.8887,
    "rot_indist": 0.9196, "combined": 0.9502,
}  # fmt: skip


CONTRASTIVE = "table_rsna_contrastive"
# Where the form has another name than the table or figure.
FORMS = {
    CONTRASTIVE: "methods", "table_rsna": "methods", "table_medical": "methods",
    "table_claims_medical": "claims", "figure_views_rsna": "views",
}  # fmt: skip


class Study:
    """Runs with settable values; `write` makes their metrics files."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.runs, self.rows, self.identities = folder, [], {}, {}

    def run(self, home, strategy, seed=0, variant="base", ood=OOD, weight=1.0, study="natural",
            **training):  # fmt: skip
        name = f"{study}-{home}-{strategy}-{variant}-seed{seed}"
        if name not in self.rows:
            identity = {
                "run": name, "study": study, "in_distribution": home, "method": "dino",
                "strategy": strategy, "variant": variant, "seed": seed,
            }  # fmt: skip
            self.runs.append(
                identity | {"ood": list(ood), "training": {"lambda": weight} | training}
            )
            self.rows[name], self.identities[name] = [], identity
        return name

    def add(self, name, metric, value, ood="", score="", tau="", half=0.01):
        row = {"metric": metric, "value": float(value), "dataset": ood, "score": score}
        row |= {"low": value - half, "high": value + half, "over": "images"}
        if tau != "":
            row["temperature"] = float(tau)
        self.rows[name].append(row)

    def without(self, name, status):
        """Takes the numbers of a run away and says why."""
        nothing = dict.fromkeys(("value", "low", "high"), float("nan")) | {"status": status}
        self.rows[name] = [row | nothing for row in self.rows[name]]

    def fill(self, home="cifar10", strategy="none", seed=0, *, auroc, photographs=(), knn=0.9,
             sensitivity=0.5, occupied=100, variant="base", ood=OOD, weight=1.0):  # fmt: skip
        """A run whose every metric is there. auroc: a value, or one by OOD set."""
        name = self.run(home, strategy, seed, variant, ood, weight)
        values = {o: auroc[o] if isinstance(auroc, dict) else auroc for o in ood}
        groups = {"average": list(ood)}
        if photographs:
            groups["average_without_photographs"] = [o for o in ood if o not in photographs]
        for tau in TAUS:
            shown = {"score": "cosine_tau", "tau": tau}
            offset = -abs(tau - 0.04) / 10  # sensitivity and AUROC are largest at 0.04
            for o, value in values.items():
                self.add(name, "auroc", value + offset, ood=o, **shown)
            for group, names in groups.items():
                mean = sum(values[o] for o in names) / len(names)
                self.add(name, "auroc", mean + offset, ood=group, **shown)
            self.add(name, "sensitivity", sensitivity + offset, **shown)
        self.add(name, "knn_accuracy", knn)
        self.add(name, "knn_accuracy_majority", knn - 0.01)
        self.add(name, "occupied_soft_classes", occupied)
        self.add(name, "occupied_soft_classes_train", occupied + 20)
        for metric, value in (("entropy_of_mean", 5.5), ("mean_entropy", 1.5), ("log_k", 6.2)):
            self.add(name, metric, value)
        return name

    def thesis(self, seeds=(0, 1, 2), ood=OOD, photographs=()):
        """All strategies on cifar10 and two on cifar100, ordered as in the thesis."""
        for seed in seeds:
            wobble = 0.002 * (seed - 1)
            for i, (strategy, mean) in enumerate(GOODNESS.items()):
                jitter = wobble + 0.0004 * ((i * 7 + seed * 3) % 5 - 2)
                values = {o: min(0.999, mean + jitter + 0.01 * (k - 4) / 4)
                          for k, o in enumerate(ood)}  # fmt: skip
                self.fill(
                    "cifar10", strategy, seed, auroc=values, ood=ood, photographs=photographs,
                    knn=0.932 + (mean - 0.8947) / 3 + jitter, sensitivity=0.3 + mean / 5 + jitter,
                    occupied=round(1500 * (1.2 - mean)) - 90 * (strategy == "rot_indist"),
                    weight=0.0 if strategy == "none" else 1.0,
                )  # fmt: skip
            for strategy in ("rot_imgn", "combined"):
                other = ["cifar10", *ood[1:]]
                self.fill("cifar100", strategy, seed, auroc=0.8 + wobble, ood=other,
                          photographs=photographs)  # fmt: skip
            for variant, weight, sensitivity in (("lambda_0.5", 0.5, 0.45), ("lambda_2", 2, 0.46)):
                self.fill("cifar10", "rot_imgn", seed, auroc=0.93, variant=variant, weight=weight,
                          sensitivity=sensitivity, ood=ood, photographs=photographs)  # fmt: skip
            self.fill("cifar10", "none", seed, auroc=0.6, variant="untrained", knn=0.3,
                      occupied=400, ood=ood, photographs=photographs, weight=0.0)  # fmt: skip
        return self

    def write(self):
        paths = []
        for name, rows in self.rows.items():
            if rows:
                path = self.folder / f"{name}.parquet"
                write_measurements(as_frame(rows, self.identities[name]), path)
                paths.append(path)
        return paths

    def spec(self, name, *, show_reported=True, photographs=(), **options):
        return {
            "name": name,
            "kind": name.split("_")[0],
            "form": FORMS.get(name, name.split("_", 1)[1]),
            "options": {"pooled": True} | options if name == CONTRASTIVE else options,
            "runs": self.runs,
            "titles": {
                "strategies": TITLES,
                "datasets": {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "texture": "Texture",
                             "stl10": "STL10", "svhn": "SVHN"},
            },
            "strategies": STRATEGIES,
            "evaluation": {"tau": 0.04, "taus": TAUS, "knn": 10, "knn_temperature": 0.04,
                           "soft_class_temperature": 0.01, "confidence": 0.95,
                           "scores": ["cosine_tau"]},
            "show_reported": show_reported, "photographs": list(photographs),
        }  # fmt: skip


MEDICAL_TITLES = {
    "strategies": {"none": "None", "rot_both": "Rot.", "rot360_both": "Rot-360",
                   "perm4_both": "Perm-4", "rot_indist": "Rot. in-dist."},
    "variants": {"batch_256": "Batch size 256", "crop_0.4": "Crops of 0.4 and more",
                 "imagenet_con": "ImageNet-Con", "rsna_con": "RSNA-Con", "random": "Random"},
    "datasets": {
        "rsna": "RSNA", "rsna_opacity": "Opacity", "rsna_not_normal": "No opacity",
        "rsna_labelled": "RSNA (labelled)", "rsna_labelled_abnormal": "Abnormal",
        "hyper_kvasir": "Hyper-Kvasir", "hyper_kvasir_polyp": "Polyp", "lag": "LAG",
        "lag_glaucoma": "Glaucoma",
    },
}  # fmt: skip
SHIFTS = {"rot": "rot90", "rot360": "rot360", "perm4": "perm4", "perm16": "perm16",
          "pixperm": "pixel_shuffle"}  # fmt: skip
SOURCES = {"indist": ["in_distribution"], "auxiliary": ["auxiliary"], "outdomain": ["out_domain"],
           "both": ["in_distribution", "auxiliary"]}  # fmt: skip
MEDICAL_STRATEGIES = {"none": []} | {
    f"{shift}_{role}": [{"source": source, "shift": SHIFTS[shift]} for source in sources]
    for shift in SHIFTS
    for role, sources in SOURCES.items()
}
MEDICAL_OOD = {"rsna": ["rsna_opacity", "rsna_not_normal"], "hyper_kvasir": ["hyper_kvasir_polyp"],
               "lag": ["lag_glaucoma"], "rsna_labelled": ["rsna_labelled_abnormal"]}  # fmt: skip


class Medical(Study):
    """Runs of chapters 5 and 7: fewer metrics a run, and other studies."""

    def trained(self, study, home, strategy="none", variant="base", seed=0, *, aurocs=None,
                knn=None, half=0.01, **training):  # fmt: skip
        """A run. aurocs: {score: value, or values of the OOD sets and `pooled`}; half: of the
        interval over images."""
        ood = MEDICAL_OOD[home] if aurocs else []
        name = self.run(home, strategy, seed, variant, ood, study=study, **training)
        for score, values in (aurocs or {}).items():
            values = values if isinstance(values, dict) else {ood[0]: values}
            for where, value in values.items():
                self.add(name, "auroc", value, ood=where, score=score, half=half)
        if knn is not None:
            self.add(name, "knn_accuracy", knn)
        return name

    def spec(self, name, *, scores=("mahalanobis",), knn=1, repeats="seeds", **options):
        spec = super().spec(name, **options)
        evaluation = spec["evaluation"] | {"scores": list(scores), "knn": knn}
        told = {run["strategy"]: MEDICAL_STRATEGIES[run["strategy"]] for run in self.runs}
        return spec | {"titles": MEDICAL_TITLES, "strategies": told, "evaluation": evaluation,
                       "repeats": repeats}  # fmt: skip


@pytest.fixture
def medical(tmp_path):
    folder = tmp_path / "measurements"
    folder.mkdir()
    return Medical(folder)


@pytest.fixture
def study(tmp_path):
    folder = tmp_path / "measurements"
    folder.mkdir()
    return Study(folder)


@pytest.fixture
def reported():
    return REPORTED


@pytest.fixture
def names():
    return SimpleNamespace(strategies=list(STRATEGIES), ood=OOD, goodness=GOODNESS, titles=TITLES)


@pytest.fixture
def marked(reported, tmp_path):
    """The reported files with every number replaced by one that no measurement gives."""
    folder = tmp_path / "marked"
    folder.mkdir()
    for path in reported.glob("*.csv"):
        table = pd.read_csv(path)
        if path.name == NOTES:
            table["note"] = "of 77.77"
        else:
            numbers = pd.to_numeric(table.value, errors="coerce").notna()
            table["value"] = table.value.astype(object).where(~numbers, 77.77)
        table.to_csv(folder / path.name, index=False)
    return folder


@pytest.fixture
def made():
    """Makes a table from all runs of a study: its csv, markdown and LaTeX."""

    def make(study, reported, tmp_path, name, /, **options):
        prefix = tmp_path / "out" / name
        files = Files(study.write(), reported=reported)
        make_table(study.spec(name, **options), files, prefix)
        texts = {s: prefix.with_name(f"{name}.{s}").read_text() for s in ("csv", "md", "tex")}
        return pd.read_csv(prefix.with_name(f"{name}.csv")), texts["md"], texts["tex"]

    return make
