"""From the archives to the tables of chapter 6, through Snakemake, as config.yaml has them."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from sklearn.metrics import roc_auc_score
from small_archives import AUXILIARY, SPLITS, TESTED, TRAIN, write_auxiliary
from small_study import ROOT, markdown_rows, planned, rows_of
from thesis_chapters import (
    ARCHIVES,
    NEGATIVES_OF_CHAPTER_7,
    PROOFS,
    RUNS_OF_CHAPTER_5,
    RUNS_OF_CHAPTER_7,
    SETS,
    WEIGHTS,
)
from writers import decoded, encoded

pytestmark = pytest.mark.thesis

FAR = ["svhn", "imagenet30", "tinyimagenet", "lsun", "stl10", "places365", "texture"]
OOD = {"cifar10": ["cifar100", *FAR], "cifar100": ["cifar10", *FAR]}  # rows of tables 6.1 and 6.2
BESIDE = ["lsun_resize", "texture_test1", *(name for name in FAR if name != "svhn")]
LARGE = 256  # pixels of those that have the name of another OOD set
OTHERS = ["Geometric", "SSD", "CSI", "MTL"]  # columns of table 6.1
OURS = ["rot_imgn", "combined"]
# Columns of table 6.2, figure 6.3 and figure 2 of the paper.
SAMPLING = ["none", "imgn", "rot_imgn", "rot360_imgn", "dti", "perm16_imgn", "perm4_imgn",
            "rot_dti", "pixperm_imgn", "rot_indist"]  # fmt: skip
NEGATIVES = [("cifar10", s) for s in [*SAMPLING[1:], "combined"]] + [("cifar100", s) for s in OURS]
TABLES = ["ood_auroc", "negative_sampling", "quality", "hyperparameters", "claims",
          "claims_basics"]  # fmt: skip
FIGURES = ["sensitivity", "occupied_soft_classes", "negatives", "views", "color_histograms"]
ON_CIFAR10 = 11 + 1 + 2  # strategies, the untrained network, two other lambdas
RUNS = ON_CIFAR10 + 2 + 2  # on CIFAR100 two strategies and two other lambdas
DATASETS = len({*OOD["cifar10"], *OOD["cifar100"], "imagenet", "dti", "lsun_resize"})
ALL_RUNS = RUNS + RUNS_OF_CHAPTER_5 + RUNS_OF_CHAPTER_7
JOBS = {
    "fetch_dataset": DATASETS + len(ARCHIVES),
    "fetch_weights": len(WEIGHTS),
    "convert_weights": len(WEIGHTS),
    # CIFAR10 and CIFAR100 to train on, and to test; test1 of Texture; six sets at a second size
    "pack_dataset": DATASETS + 2 + 1 + 6 + len(SETS),
    "write_split": 2 + len(PROOFS),
    "build_negatives": len(NEGATIVES) + len(NEGATIVES_OF_CHAPTER_7),
    **dict.fromkeys(["train", "evaluate"], ALL_RUNS),
    # Of the thesis's 11 but 2 splits.
    "shortcuts": 8,
    "table": 23,
    "figure": 10,
    "write_costs": 1,
    "all": 1,
}


def reported(table):
    (path,) = (ROOT / "resources" / "reported").glob(f"{table}_*.csv")
    return {(r["train"], r["ood"], r["method"]): float(r["value"]) for r in rows_of(path)}


def test_every_job_ran_once(finished):
    jobs = planned(finished.log)
    assert jobs == JOBS | {"total": sum(JOBS.values())}
    assert f"{jobs['total']} of {jobs['total']} steps (100%) done" in finished.log
    done = re.findall(r"^(?:local)?rule (\w+):", finished.log, re.MULTILINE)
    assert {rule: done.count(rule) for rule in set(done)} == JOBS


def test_every_set_has_the_images_of_its_archive(finished):
    sizes = {("cifar10", "train"): TRAIN, ("cifar100", "train"): TRAIN}
    sizes |= {("imagenet", "train"): AUXILIARY, ("dti", "train"): AUXILIARY}
    tested = {*OOD["cifar10"], *OOD["cifar100"], *BESIDE}
    sizes |= {(name, SPLITS.get(name, "test")): TESTED[name] for name in tested}
    expected = {f"{name}/{split}-32px-squash": (n, 32) for (name, split), n in sizes.items()}
    large = [name for name in BESIDE if name in FAR]
    splits = [f"{name}/{SPLITS.get(name, 'test')}" for name in large]
    expected |= {
        f"{split}-{LARGE}px-squash": (TESTED[name], LARGE)
        for name, split in zip(large, splits, strict=True)
    }
    expected |= {f"{name}-32px": (count, 32) for name, count in SETS.items()}
    data = finished.study.results("data")
    assert {"/".join(p.parts[-3:-1]) for p in data.glob("*/*/meta.json")} == expected.keys()
    for name, (count, side) in expected.items():
        folder = data / name
        assert np.load(folder / "images.npy", mmap_mode="r").shape == (count, side, side, 3)
        assert json.loads((folder / "meta.json").read_text())["count"] == count


def test_table_6_1_has_every_cell(finished):
    table = finished.study.results("tables", "table_ood_auroc")
    rows = {(r["in_distribution"], r["dataset"], r["strategy"] or r["system"]): r
            for r in rows_of(table.with_suffix(".csv"))}  # fmt: skip
    thesis = reported("table_6_1")
    assert set(rows) == set(thesis)
    assert {key[:2] for key in rows} == {(home, ood) for home in OOD for ood in OOD[home]}
    assert {key[2] for key in rows} == {*OTHERS, *OURS}
    for key, row in rows.items():
        assert float(row["reported"]) == thesis[key]
        if key[2] in OURS:
            measured = float(row["measured"])
            assert 0 <= measured <= 100 and row["n"] == "1"
            assert float(row["difference"]) == pytest.approx(measured - thesis[key])
    printed = markdown_rows(table.with_suffix(".md"))
    width = 2 + len(OTHERS) + 3 * len(OURS)
    # and the best shortcuts, of the images and of the files
    assert len(printed) == 16 and {len(row) for row in printed} == {width + 2}
    gaps = {(r["in_distribution"], r["dataset"]) for r in rows.values()}
    missing = [(*key, other) for key in gaps for other in OTHERS if (*key, other) not in thesis]
    assert sum(row.count("—") for row in printed) == len(missing) == 10
    assert not any("—" in row[2 + len(OTHERS) :] for row in printed), "a cell of ours is missing"


def test_table_6_2_has_every_cell(finished):
    table = finished.study.results("tables", "table_negative_sampling")
    rows = {(r["dataset"], r["strategy"]): r for r in rows_of(table.with_suffix(".csv"))}
    thesis = reported("table_6_2")
    assert set(rows) == {(o, s) for o in [*OOD["cifar10"], "average"] for s in SAMPLING}
    for (ood, strategy), row in rows.items():
        value, printed = float(row["measured"]), thesis["cifar10", ood, strategy]
        assert float(row["reported"]) == printed
        assert float(row["difference"]) == pytest.approx(value - printed)
    for strategy in SAMPLING:
        values = [float(rows[ood, strategy]["measured"]) for ood in OOD["cifar10"]]
        assert float(rows["average", strategy]["measured"]) == pytest.approx(np.mean(values))
    columns = {s: tuple(rows[o, s]["measured"] for o in OOD["cifar10"]) for s in SAMPLING}
    assert len(set(columns.values())) == len(SAMPLING), "two strategies have the same numbers"
    printed = markdown_rows(table.with_suffix(".md"))
    titles = ["CIFAR-100", "SVHN", "ImageNet30", "TinyImageNet", "LSUN", "STL-10",
              "Places365", "Texture (DTD)", "Average"]  # fmt: skip
    assert [row[0] for row in printed[::2]] == titles
    assert all(len(row) == 1 + len(SAMPLING) + 2 and "—" not in row for row in printed)
    assert all(re.search(r"\d \(.*\d\)", cell) for row in printed[1::2] for cell in row[1:-2])
    assert all(re.search(r"\d \(.*\w\)", cell) for row in printed[::2] for cell in row[-2:])


def test_a_shared_run_has_the_same_number_in_both_tables(finished):
    tables = [rows_of(finished.study.results("tables", f"table_{t}.csv")) for t in TABLES[:2]]
    one, other = (
        {(r["dataset"], r["runs"]): r["measured"] for r in t if r["runs"]} for t in tables
    )
    assert len(one.keys() & other.keys()) == 8  # Rot. ImgN on CIFAR10
    assert all(one[key] == other[key] for key in one.keys() & other.keys())


@pytest.mark.parametrize("home", OOD)
def test_a_cell_is_the_auroc_of_the_features(finished, home):
    """Equation 6.1, again, from what lies on the disk."""
    folder = finished.study.results("features", f"natural-{home}-rot_imgn-base-seed0")

    def features(name, split="test"):
        rows = np.load(folder / f"{name}-{SPLITS.get(name, split)}.npy").astype(float)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    reference, own = features(home, "train"), features(home)

    def scores(images):
        return -np.exp(images @ reference.T / 0.04).mean(axis=1)

    table = rows_of(finished.study.results("tables", "table_ood_auroc.csv"))
    measured = {r["dataset"]: float(r["measured"]) for r in table
                if (r["in_distribution"], r["strategy"]) == (home, "rot_imgn")}  # fmt: skip
    assert list(measured) == OOD[home]
    for name in OOD[home]:
        out = features(name)
        assert len(out) == TESTED[name]
        truth = np.repeat([0, 1], [len(own), len(out)])
        value = 100 * roc_auc_score(truth, np.concatenate([scores(own), scores(out)]))
        # In float32 two images may change places, which is one pair of all.
        assert measured[name] == pytest.approx(value, abs=200 / len(own) / len(out))


@pytest.mark.parametrize("table", TABLES)
def test_tables_exist_in_three_formats(finished, table):
    path = finished.study.results("tables", f"table_{table}.csv")
    assert rows_of(path)
    assert markdown_rows(path.with_suffix(".md"))
    assert r"\toprule" in path.with_suffix(".tex").read_text(encoding="utf-8")


@pytest.mark.parametrize("table", ["quality", "hyperparameters"])
def test_these_tables_have_every_cell(finished, table):
    rows = rows_of(finished.study.results("tables", f"table_{table}.csv"))
    assert all(np.isfinite(float(row["measured"])) for row in rows)
    runs = {run for row in rows for run in row["runs"].split(";")}
    assert len(runs) == {"quality": 12, "hyperparameters": 7}[table]


@pytest.mark.parametrize("figure", FIGURES)
def test_figures_exist_in_three_formats(finished, figure):
    path = finished.study.results("figures", f"figure_{figure}.png")
    with Image.open(path) as picture:
        assert picture.width > 500
    assert path.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    assert rows_of(path.with_suffix(".csv"))


@pytest.mark.parametrize(("figure", "panels"), [("sensitivity", 4), ("occupied_soft_classes", 1)])
def test_a_scatter_plot_has_a_point_a_strategy(finished, figure, panels):
    rows = rows_of(finished.study.results("figures", f"figure_{figure}.csv"))
    found: dict[str, list[str]] = {}
    for row in rows:
        assert np.isfinite([float(row["x"]), float(row["y"])]).all()
        found.setdefault(row["panel"], []).append(row["strategy"])
    assert len(found) == panels and all(points == SAMPLING for points in found.values())
    assert (
        {row["dataset"] for row in rows} == {"cifar100", "texture"} if panels == 4 else {"cifar100"}
    )


def test_archives_are_used_in_place(finished):
    manifests = [json.loads(p.read_text()) for p in finished.study.results("archives").iterdir()]
    assert len(manifests) == DATASETS + len(ARCHIVES) + len(WEIGHTS)
    entries = {a["file"]: a for manifest in manifests for a in manifest["archives"]}
    folder = finished.study.archives
    assert all(a["path"] == str((folder / name).resolve()) for name, a in entries.items())
    verified = {name for name, archive in entries.items() if archive["verified"]}
    unknown = {"one_class_test.tar", "test_lmdb.zip", *ARCHIVES.values(), *WEIGHTS.values()}
    assert entries.keys() - verified == unknown, "the catalogue knows no whole checksum of these"
    copies = finished.study.clone.joinpath("downloads").rglob("*")
    assert not {file.name for file in copies} & set(entries)


def test_every_negative_set_was_checked(finished):
    folders = finished.study.results("negatives")
    assert {f.name for f in folders.iterdir()} == {
        *(f"natural-{h}-{s}" for h, s in NEGATIVES),
        *(f"medical-{h}-{s}" for h, s in NEGATIVES_OF_CHAPTER_7),
    }
    strategies = yaml.safe_load((ROOT / "config.yaml").read_text())["strategies"]
    for home, strategy in NEGATIVES:
        folder = folders / f"natural-{home}-{strategy}"
        pairs = json.loads((folder / "manifest.json").read_text())["negatives"]
        assert [pair["shift"] for pair in pairs] == [p.get("shift") for p in strategies[strategy]]
        for pair in pairs:
            if pair["source"] == home:
                assert pair["images"] == TRAIN
                continue
            assert pair["images"] == AUXILIARY
            tested = {n: TESTED[n.split("/")[0]] for n in pair["also_in_test_sets"]}
            names = {f"{n}/{SPLITS.get(n, 'test')}" for n in [home, *OOD[home], *BESIDE]}
            assert set(tested) == names
            for name, found in pair["also_in_test_sets"].items():
                assert (found["images"], found["identical"]) == (tested[name], 0)
        with Image.open(folder / "contact_sheet.png") as sheet:
            assert min(sheet.size) > 8 * 32


def test_nothing_is_left_to_do(finished, tmp_path):
    code, log = finished.study.copy(tmp_path / "study").snakemake("all")
    assert code == 0 and "Nothing to be done" in log, log


def with_cifar10(entry):
    return {"in_distribution": {"cifar10": entry}}


def test_a_new_ood_set_trains_nothing_again(finished, tmp_path):
    study = finished.study.copy(tmp_path / "study")
    home = {"ood": [*OOD["cifar10"], "tinyimagenet_odin"]}
    study.write_config(lambda o: o["studies"].update(natural=with_cifar10(home)))
    code, log = study.snakemake("all", "--dry-run")
    assert code == 0, log
    jobs = planned(log)
    assert "train" not in jobs, log
    assert jobs["fetch_dataset"] == jobs["pack_dataset"] == 1
    assert jobs["evaluate"] == ON_CIFAR10
    run = "natural-cifar10-rot_imgn-base-seed0"
    before = study.results("runs", run, "model.safetensors").stat().st_mtime_ns
    code, log = study.snakemake(f"results/measurements/{run}.parquet")
    assert code == 0, log
    assert study.results("runs", run, "model.safetensors").stat().st_mtime_ns == before
    said = study.results("logs", "evaluate", f"{run}.log").read_text()
    assert said.count("as before") == 2 + len(OOD["cifar10"]) + len(BESIDE)
    measured = pd.read_parquet(study.results("measurements", f"{run}.parquet"))
    assert (measured.dataset == "tinyimagenet_odin").any() and measured.value.notna().all()


def test_tested_images_among_the_negatives_are_caught(finished, tmp_path):
    """An identical one ends the workflow with a sentence; one compressed again is counted."""
    study = finished.study.copy(tmp_path / "study")
    data = study.results("data")
    leaked = np.load(data / "svhn" / "test-32px-squash" / "images.npy")[3]
    seen = np.load(data / "lsun" / "test-32px-squash" / "images.npy")[5]
    large = np.asarray(Image.fromarray(seen).resize((90, 90), Image.BICUBIC))
    again = decoded(encoded(large, "JPEG", quality=60))
    write_auxiliary(study.archives, imagenet=[again], dti=[leaked])
    study.write_config()
    folder = study.results("negatives", "natural-cifar10-imgn")
    code, log = study.snakemake("results/negatives/natural-cifar10-imgn/manifest.json")
    assert code == 0, log
    (pair,) = json.loads((folder / "manifest.json").read_text())["negatives"]
    near = {name: found["near"] for name, found in pair["also_in_test_sets"].items()}
    assert near == dict.fromkeys(near, 0) | {"lsun/test": 1}
    ((mine, theirs),) = pair["also_in_test_sets"]["lsun/test"]["examples"]
    assert mine == "n00/n00_0.JPEG" and theirs == f"{5:040x}"
    code, log = study.snakemake(
        "results/negatives/natural-cifar10-dti/manifest.json", "--show-failed-logs"
    )
    assert code == 1
    assert (
        "The negatives dti hold images that models are tested on (1 of dti in svhn/test): take "
        "them out of the auxiliary dataset." in log
    )


def test_where_the_config_is_strict_nothing_starts_without_restricted_archives(fresh):
    fresh.write_config(lambda o: o.update(strict=True))
    names = ["ILSVRC2012_img_train.tar", "one_class_test.tar", ARCHIVES["rsna"]]
    for name in names:
        (fresh.archives / name).rename(fresh.folder / name)
    code, log = fresh.snakemake("all", "--dry-run")
    assert code == 0 and planned(log) == JOBS | {"total": sum(JOBS.values())}, log
    code, log = fresh.snakemake("all")
    assert code == 1
    assert log.count("cannot be downloaded without a person and are missing:") == 1
    assert re.search(r"\n +imagenet: ILSVRC2012_img_train.tar. Register at image-net.org", log)
    assert re.search(r"\n +rsna: rsna-pneumonia-detection-challenge.zip. Log in at Kaggle", log)
    assert all(log.count(name) == 1 for name in names), "an archive is asked for twice"
    assert re.search(r"\n +imagenet30: one_class_test.tar. The README of the CSI repository", log)
    assert f"into downloads/DATASET or one of: {fresh.archives}." in log
    assert not re.search(r"^(local)?rule \w+:", log, re.MULTILINE), "a job was started"
    assert not list(fresh.results().rglob("*.json"))
    # An archive that only one split needs is asked for with that split.
    home = {"ood": [*OOD["cifar10"], "imagenet"]}
    fresh.write_config(
        lambda o: o["studies"].update(natural=with_cifar10(home)) or o.update(strict=True)
    )
    code, log = fresh.snakemake("all")
    assert code == 1 and "imagenet: ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar." in log, log
    # What needs none of them is made all the same.
    code, log = fresh.snakemake("results/data/cifar10/test-32px-squash/meta.json")
    assert code == 0, log
