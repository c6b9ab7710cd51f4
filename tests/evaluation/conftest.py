"""Synthetic metrics of many runs, with known values."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace

import pytest

from ssl_ood.evaluate import COLUMNS

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


class Study:
    """Runs with settable values; `write` makes their metrics files."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.runs, self.rows = folder, [], {}

    def run(self, home, strategy, seed=0, variant="base", ood=OOD, weight=1.0):
        name = f"natural-{home}-{strategy}-{variant}-seed{seed}"
        if name not in self.rows:
            identity = {
                "run": name, "study": "natural", "in_distribution": home, "method": "dino",
                "strategy": strategy, "variant": variant, "seed": seed,
            }  # fmt: skip
            self.runs.append(identity | {"ood": list(ood), "training": {"lambda": weight}})
            self.rows[name] = []
        return name

    def add(self, name, metric, value, ood="", score="", tau=""):
        identity = next(r for r in self.runs if r["run"] == name)
        row = dict.fromkeys(COLUMNS, "") | {k: identity[k] for k in COLUMNS[:7]}
        row |= {"metric": metric, "value": repr(float(value)), "ood": ood, "score": score}
        row |= {"tau": tau, "ci_low": value - 0.01, "ci_high": value + 0.01}
        self.rows[name].append(row)

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
        self.add(name, "knn_accuracy_weighted", knn + 0.01)
        self.add(name, "occupied_soft_classes", occupied)
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
                path = self.folder / f"{name}.csv"
                with open(path, "w", newline="") as file:
                    writer = csv.DictWriter(file, COLUMNS)
                    writer.writeheader()
                    writer.writerows(rows)
                paths.append(path)
        return paths

    def spec(self, name, *, show_reported=True, photographs=(), **options):
        return {
            "name": name, "kind": name.split("_")[0], "options": options, "runs": self.runs,
            "titles": {
                "strategies": TITLES,
                "datasets": {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "texture": "Texture",
                             "stl10": "STL10", "svhn": "SVHN"},
            },
            "strategies": STRATEGIES,
            "evaluation": {"tau": 0.04, "taus": TAUS, "knn": 10, "confidence": 0.95,
                           "scores": ["cosine_tau"]},
            "show_reported": show_reported, "photographs": list(photographs),
        }  # fmt: skip


@pytest.fixture
def study(tmp_path):
    folder = tmp_path / "metrics"
    folder.mkdir()
    return Study(folder)


@pytest.fixture
def reported():
    return REPORTED


@pytest.fixture
def names():
    return SimpleNamespace(strategies=list(STRATEGIES), ood=OOD, goodness=GOODNESS, titles=TITLES)
