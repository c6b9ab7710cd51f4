"""From the archives to the tables and figures of chapters 5 and 7, as config.yaml has them."""

from __future__ import annotations

import hashlib
import json
from itertools import product

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from PIL import Image
from safetensors.numpy import load_file
from sklearn.metrics import roc_auc_score
from small_study import markdown_rows, planned, rows_of
from thesis_chapters import AUXILIARY, LABELS, OOD, PROOFS, SETS, STARTS, STRATEGIES, WEIGHTS

pytestmark = pytest.mark.thesis

TABLES = ["rsna_contrastive", "batch_size", "augmentation", "pretraining", "label_efficiency",
          "rsna", "medical", "shifts_medical", "claims_medical"]  # fmt: skip
FIGURES = ["score_distributions", "label_efficiency", "negative_sources"]
PRETRAINING = "rsna_pretraining-rsna_labelled-none-{}-seed0"
TUNING = "label_efficiency-rsna_labelled-none-{}+{}-seed0"


def scores_of(finished, run):
    return pq.read_table(finished.study.results("scores", f"{run}.parquet")).to_pandas()


def auroc(table, score, sets):
    """Of the in-distribution test images against the images of these OOD sets, scikit-learn's."""
    test, out = table[table.role == "test"], table[table.role == "ood"]
    out = out[out.dataset.isin(sets)]
    truth = np.repeat([0, 1], [len(test), len(out)])
    return roc_auc_score(truth, np.concatenate([test[score], out[score]]))


def measured(finished, table):
    """The rows of a table that are of runs."""
    rows = rows_of(finished.study.results("tables", f"table_{table}.csv"))
    return [row for row in rows if row["runs"]]


@pytest.mark.parametrize(
    "table", ["rsna_contrastive", "batch_size", "augmentation", "rsna", "medical",
              "shifts_medical", "label_efficiency"]
)  # fmt: skip
def test_every_cell_is_the_auroc_of_the_scores(finished, table):
    rows = [row for row in measured(finished, table) if row["metric"] == "auroc"]
    assert rows
    for row in rows:
        home = row["in_distribution"]
        sets = OOD.get(home, ["rsna_labelled_abnormal"])
        if row["dataset"] not in ("pooled", "average"):
            sets = [row["dataset"]]
        assert row["dataset"] != "average"
        values = [auroc(scores_of(finished, r), row["score"], sets) for r in row["runs"].split(";")]
        unit = {"percent": 100, "fraction": 1}[row["unit"]]
        assert float(row["measured"]) == pytest.approx(unit * np.mean(values), abs=1e-6), row
        assert int(row["n"]) == len(values)


def test_table_5_2_has_every_set_and_their_union_over_the_splits(finished):
    rows = measured(finished, "rsna_contrastive")
    assert {row["dataset"] for row in rows} == {*OOD["rsna"], "pooled"}
    for row in rows:
        assert [run[-5:] for run in row["runs"].split(";")] == ["seed0", "seed1"]
        assert row["over"] == "train/test splits"
    table = markdown_rows(finished.study.results("tables", "table_rsna_contrastive.md"))
    assert any("0.9" in cell for row in table for cell in row)  # reported by others


def test_the_ablations_have_a_row_a_variant(finished):
    found = {t: {row["variant"] for row in measured(finished, t)}
             for t in ("batch_size", "augmentation")}  # fmt: skip
    assert found == {
        "batch_size": {"batch_256", "base", "batch_64"}, "augmentation": {"crop_0.4", "base"},
    }  # fmt: skip


def test_the_accuracy_of_the_nearest_neighbour_is_that_of_the_features(finished):
    rows = {row["variant"]: row for row in measured(finished, "pretraining")}
    assert set(rows) >= {"base", "scratch"}
    data = finished.study.results("data", "rsna_labelled")
    labels = {s: np.load(data / f"{s}-32px" / "labels.npy") for s in ("train", "test")}
    for variant in ("base", "scratch"):
        folder = finished.study.results("features", PRETRAINING.format(variant))
        unit = {}
        for split in labels:
            features = np.load(folder / f"rsna_labelled-{split}.npy").astype(float)
            unit[split] = features / np.linalg.norm(features, axis=1, keepdims=True)
        nearest = (unit["test"] @ unit["train"].T).argmax(axis=1)
        right = (labels["train"][nearest] == labels["test"]).mean()
        found = float(rows[variant]["measured"])
        assert found == pytest.approx(100 * right, abs=100.1 / len(labels["test"]))


def test_table_7_3_has_every_shift_on_every_dataset(finished):
    rows = measured(finished, "shifts_medical")
    found = {(r["in_distribution"], r["strategy"], r["dataset"])
             for r in rows if r["dataset"] != "average"}  # fmt: skip
    shifts = {"rsna": ["none", "rot_both", "perm4_both"], "lag": ["none", "rot_both"],
              "hyper_kvasir": ["none", "perm4_both"]}  # fmt: skip
    assert found == {(h, s, o) for h in shifts for s, o in product(shifts[h], OOD[h])}


@pytest.mark.parametrize("table", TABLES)
def test_tables_exist_in_three_formats(finished, table):
    path = finished.study.results("tables", f"table_{table}.csv")
    assert rows_of(path) and markdown_rows(path.with_suffix(".md"))
    assert r"\toprule" in path.with_suffix(".tex").read_text(encoding="utf-8")


@pytest.mark.parametrize("figure", FIGURES)
def test_figures_exist_in_three_formats(finished, figure):
    path = finished.study.results("figures", f"figure_{figure}.png")
    with Image.open(path) as picture:
        assert picture.width > 500
    assert path.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    assert rows_of(path.with_suffix(".csv"))


def test_where_negatives_come_from_is_shown_for_every_dataset(finished):
    rows = rows_of(finished.study.results("figures", "figure_negative_sources.csv"))
    runs = {run for row in rows for run in row["runs"].split(";")}
    shift = {"rsna": "rot", "lag": "rot", "hyper_kvasir": "perm4"}
    assert runs == {
        f"medical-{home}-{s}-base-seed0" for home in STRATEGIES for s in STRATEGIES[home]
        if s != "none" and s.startswith(shift[home])
    }  # fmt: skip


# ---- splits


def test_no_image_is_on_both_sides(finished):
    """The lists on the disk, which are of the packed sets."""
    folder = finished.study.results("splits")
    found = {}
    for path in folder.glob("*/*.json"):
        listed = json.loads(path.read_text())
        found[listed["train"]["set"], listed["test"]["set"]] = listed
    natural = {("cifar10/train", "cifar10/test"), ("cifar100/train", "cifar100/test")}
    assert set(found) == {*PROOFS, *natural}
    for pair in PROOFS:
        sides = [found[pair][side] for side in ("train", "test")]
        assert [side["images"] for side in sides] == [SETS[name] for name in pair]
        one, other = (set(side["files"]) for side in sides)
        assert not one & other and len(one) == SETS[pair[0]]
        for side in sides:
            name, split = side["set"].split("/")
            packed = finished.study.results("data", name, f"{split}-32px", "files.txt")
            assert packed.read_text().split("\n")[:-1] == side["files"]
    assert found["rsna/train_0", "rsna/test_0"]["train"]["patients"] == SETS["rsna/train_0"]
    parts = [set(found[f"rsna/train_{i}", f"rsna/test_{i}"]["test"]["files"]) for i in (0, 1)]
    assert parts[0] != parts[1], "two seeds have the same split"


def test_a_patient_on_both_sides_ends_before_any_training(finished, tmp_path):
    """A split of the catalogue that takes some films twice."""
    study = finished.study.copy(tmp_path / "study")
    study.write_config()
    path = study.folder / "datasets.yaml"
    catalogue = yaml.safe_load(path.read_text())
    split = catalogue["datasets"]["rsna"]["splits"]["test_1"]
    split["options"]["select"]["start"] -= 2
    split["count"] += 2
    path.write_text(yaml.safe_dump(catalogue), encoding="utf-8")
    run = "rsna_contrastive-rsna-none-base-seed1"
    before = study.results("runs", run, "model.safetensors").stat().st_mtime_ns
    code, log = study.snakemake(
        f"results/runs/{run}/model.safetensors", "--force", "--show-failed-logs"
    )
    assert code == 1
    assert "2 image(s) are in rsna/train_1 and in rsna/test_1 too" in log
    assert "correct the splits in the catalogue before anything is trained." in log
    assert "\nrule train:" not in log
    assert study.results("runs", run, "model.safetensors").stat().st_mtime_ns == before


# ---- negatives


def test_negatives_come_from_the_sets_that_the_study_names(finished):
    for home, strategies in STRATEGIES.items():
        sources = {"indist": [home], "auxiliary": [AUXILIARY[home]],
                   "both": [home, AUXILIARY[home]], "outdomain": ["imagenet_100k"]}  # fmt: skip
        for strategy in strategies[1:]:
            path = finished.study.results("negatives", f"medical-{home}-{strategy}")
            pairs = json.loads((path / "manifest.json").read_text())["negatives"]
            assert [p["source"] for p in pairs] == sources[strategy.split("_")[1]]
            splits = {"chexpert": "frontal"}
            sizes = [SETS[f"{p['source']}/{splits.get(p['source'], 'train')}"] for p in pairs]
            assert [p["images"] for p in pairs] == sizes


# ---- what a training starts from


def test_fine_tunings_start_from_the_weights_that_they_name(finished):
    files = {
        "imagenet_con": ("runs", PRETRAINING.format("base"), "model.safetensors"),
        "rsna_con": ("runs", PRETRAINING.format("scratch"), "model.safetensors"),
        "imagenet_classifier": ("weights", "resnet50_imagenet.safetensors"),
    }
    tuned = {TUNING.format(start, labels): start for start, labels in product(STARTS, LABELS)}
    first = {PRETRAINING.format("base"): ("weights", "moco_v2_imagenet.safetensors"),
             PRETRAINING.format("scratch"): None}  # fmt: skip
    for run, file in (first | {run: files.get(start) for run, start in tuned.items()}).items():
        told = json.loads(finished.study.results("runs", run, "train.json").read_text())
        assert told["initial_sha256"] == (sha256(finished.study.results(*file)) if file else None)


def test_published_weights_are_those_of_the_archive(finished):
    """The backbone's, under the names of timm; a start is where the training starts."""
    published = torch.load(finished.study.archives / WEIGHTS["resnet50_imagenet"])
    converted = load_file(finished.study.results("weights", "resnet50_imagenet.safetensors"))
    names = {k for k, v in published.items() if v.is_floating_point() and not k.startswith("fc.")}
    assert set(converted) == names
    assert all(torch.equal(torch.from_numpy(converted[n]), published[n]) for n in names)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_edited_pretraining_trains_again_what_starts_from_it(finished, tmp_path):
    study = finished.study.copy(tmp_path / "study")

    def edit(overlay):
        overlay["variants"]["scratch"] = {"training": {"initial": "random", "epochs": 1}}

    study.write_config(edit)
    code, log = study.snakemake("all", "--dry-run")
    assert code == 0, log
    jobs = planned(log)
    assert jobs["train"] == jobs["evaluate"] == 1 + len(LABELS), log
    again = {TUNING.format("rsna_con", labels) for labels in LABELS}
    again.add(PRETRAINING.format("scratch"))
    trained = {line.split("/")[-2] for line in log.splitlines()
               if line.startswith("    output: results/runs/") and "log.jsonl" in line
               for line in [line.split(",")[0]]}  # fmt: skip
    assert trained == again


def test_an_edited_title_computes_nothing_but_pages(finished, tmp_path):
    study = finished.study.copy(tmp_path / "study")
    study.write_config(lambda overlay: overlay.update(titles={"variants": {"random": "Nothing"}}))
    code, log = study.snakemake("all", "--dry-run")
    assert code == 0, log
    rules = set(planned(log)) - {"total", "all"}
    assert rules <= {"table", "figure", "write_costs"}
