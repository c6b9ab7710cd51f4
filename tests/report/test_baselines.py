"""Methods of other studies beside those of a table, and likelihoods."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from ssl_ood.evaluation.score_files import write_scores
from ssl_ood.report.make import Files, make_table

OOD = ["cifar100", "svhn"]


def cells(markdown: str, start: str) -> list[str]:
    (line,) = (x for x in markdown.splitlines() if f" {start} " in x[:40])
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.fixture
def with_csi(study, reported, tmp_path):
    """Ours and two seeds of CSI's study; function of statuses and options -> (csv, markdown)."""
    study.fill("cifar10", "rot_imgn", 0, auroc={"cifar100": 0.92, "svhn": 0.99}, ood=OOD)

    def made(status=None, score=None, **options):
        rivals, own = [], list(study.runs)
        for seed in (0, 1):
            name = study.run("cifar10", "none", seed, ood=OOD, study="natural_csi")
            if not study.rows[name] and status is None:
                for ood, value in (("cifar100", 0.88 + seed / 50), ("svhn", 0.97)):
                    study.add(name, "auroc", value, ood=ood, score="csi")
                    study.add(name, "auroc", 0.5, ood=ood, score="cosine_max")
            run = study.runs.pop() | {"method": "csi"}
            rivals.append(run | ({"status": status} if status else {}))
        study.runs = own
        spec = study.spec("table_ood_auroc", in_distribution=["cifar10"], reported="table_6_1")
        evaluation = spec["evaluation"] | {"scores": ["csi", "cosine_max"]}
        told = {"score": score, "evaluation": evaluation, "runs": rivals}
        spec["baselines"] = {options.get("name", "CSI"): told}
        make_table(spec, Files(study.write(), reported=reported), tmp_path / "t")
        return pd.read_csv(tmp_path / "t.csv"), (tmp_path / "t.md").read_text()

    return made


def test_another_method_is_measured_beside_what_is_reported_of_it(with_csi):
    table, markdown = with_csi()
    row = table.set_index(["system", "dataset"]).loc[("CSI", "cifar100")]
    assert row.measured == pytest.approx(89.0) and row.n == 2 and row.status == "measured"
    assert row.reported == 89.20 and row.difference == pytest.approx(-0.2)
    assert (row.method, row.score) == ("csi", "csi")
    assert row.runs == "natural_csi-cifar10-none-base-seed0;natural_csi-cifar10-none-base-seed1"
    header = cells(markdown, "OOD set")
    line = dict(zip(header, cells(markdown, "CIFAR-100"), strict=True))
    assert line["CSI measured"] == "89.00 ± 1.41" and line["CSI reported"] == "89.20"
    assert line["CSI Δ"] == "−0.20" and line["Reported SSD"] == "90.63"
    assert table.set_index("system").loc["SSD"].measured.isna().all()


def test_the_runs_of_another_study_are_none_of_ours(with_csi):
    """Both have strategy none of CIFAR-10: the numbers do not mix."""
    table, _ = with_csi()
    ours = table[table.system == "ours"]
    assert set(ours.strategy) == {"rot_imgn"} and set(ours.n) == {1}


def test_a_chosen_score_and_a_method_that_nothing_is_reported_of(with_csi):
    table, markdown = with_csi(score="cosine_max", name="Mine")
    row = table.set_index(["system", "dataset"]).loc[("Mine", "svhn")]
    assert row.measured == 50 and row.score == "cosine_max" and np.isnan(row.reported)
    assert "Mine measured" in markdown and "Mine reported" not in markdown


def test_a_method_that_waits_for_its_data_says_so(with_csi):
    table, markdown = with_csi(status="no_data")
    row = table.set_index(["system", "dataset"]).loc[("CSI", "svhn")]
    assert np.isnan(row.measured) and row.status == "no_data" and row.reported == 99.80
    assert "no data" in markdown


def test_a_row_of_another_method_is_measured_with_what_is_reported_below(
    medical, reported, tmp_path
):
    """Table 5.2: UAE on the splits of ours, the score of its own study."""
    values = {"rsna_opacity": 0.935, "rsna_not_normal": 0.82, "pooled": 0.86}
    ours = medical.trained("rsna_contrastive", "rsna", aurocs={"mahalanobis": values})
    theirs = {"rsna_opacity": 0.86, "rsna_not_normal": 0.77, "pooled": 0.81}
    scored = {"uncertain_error": theirs, "squared_error": dict.fromkeys(theirs, 0.6)}
    medical.trained("rsna_uae", "rsna", aurocs=scored)
    own, rival = ([r for r in medical.runs if (r["run"] == ours) == mine] for mine in (True, False))
    spec = medical.spec("table_rsna_contrastive", reported="table_5_2") | {"runs": own}
    evaluation = spec["evaluation"] | {"scores": ["uncertain_error", "squared_error"]}
    rival = [run | {"method": "uae"} for run in rival]
    spec["baselines"] = {
        name: {"score": score, "evaluation": evaluation, "runs": rival}
        for name, score in (("UAE", None), ("Autoencoder", "squared_error"))
    }
    make_table(spec, Files(medical.write(), reported=reported), tmp_path / "t")
    table, lines = pd.read_csv(tmp_path / "t.csv"), (tmp_path / "t.md").read_text().splitlines()
    (place,) = (i for i, line in enumerate(lines) if line.startswith("| UAE "))
    assert cells("\n".join(lines), "UAE")[1:] == ["0.860", "0.770", "0.810"]
    assert "0.890 (−0.030)" in lines[place + 1] and "0.830 (−0.020)" in lines[place + 1]
    assert cells("\n".join(lines), "Autoencoder")[1:] == ["0.600"] * 3
    row = table.set_index(["system", "dataset"]).loc[("UAE", "pooled")]
    assert (row.method, row.score, row.measured) == ("uae", "uncertain_error", 0.81)


def test_a_classifier_of_another_set_stands_in_the_row_of_its_kind(medical, reported, tmp_path):
    """Table 5.2: a classifier with labels, whose normal and abnormal films are a set of its own."""
    values = {"rsna_opacity": 0.935, "rsna_not_normal": 0.82, "pooled": 0.86}
    ours = medical.trained("rsna_contrastive", "rsna", aurocs={"mahalanobis": values})
    theirs = medical.trained(
        "label_efficiency", "rsna_labelled", variant="imagenet_classifier+labels_all",
        aurocs={"logit": 0.955},
    )  # fmt: skip
    own, rival = ([r for r in medical.runs if (r["run"] == ours) == mine] for mine in (True, False))
    spec = medical.spec("table_rsna_contrastive", reported="table_5_2") | {"runs": own}
    stands_for = {
        "in_distribution": {"rsna": "rsna_labelled"},
        "ood": {"pooled": "rsna_labelled_abnormal"},
    }
    spec["baselines"] = {
        name: {
            "score": None,
            "evaluation": spec["evaluation"] | {"scores": ["logit"]},
            "runs": [run | {"method": "finetune"} for run in rival],
            "stands_for": stands_for,
        }
        for name in ("Automated Abnormality Classification", "Mine")
    }
    make_table(spec, Files(medical.write(), reported=reported), tmp_path / "t")
    table, markdown = pd.read_csv(tmp_path / "t.csv"), (tmp_path / "t.md").read_text()
    lines = markdown.splitlines()
    named = [line.strip("|").split("|")[0].strip(" *") for line in lines if line.startswith("| ")]
    labels, none = (
        named.index("With labels"),
        named.index("Without labels, trained on normal images"),
    )
    for name in ("Automated Abnormality Classification", "Mine"):
        rows = table.set_index(["system", "dataset"]).loc[name]
        assert rows.loc["pooled"].measured == 0.955 and rows.loc["pooled"].runs == theirs
        assert np.isnan(rows.loc["rsna_opacity"].measured)
        assert labels < named.index(name) < none
        assert (
            f"{name} is measured on RSNA (labelled) in place of RSNA, Abnormal in place of All."
            in markdown
        )
    row = table.set_index(["system", "dataset"]).loc[
        ("Automated Abnormality Classification", "pooled")
    ]
    assert row.reported == 0.949 and row.difference == pytest.approx(0.006)
    assert "ConVIRT" in markdown and "quoted only: it is trained with the reports" in markdown


@pytest.mark.parametrize(
    ("method", "words"),
    [("alpha_gan", "built from an abstract: Mine"), ("cavga", "built from memory: Mine"),
     ("uae", None)],
)  # fmt: skip
def test_a_table_says_which_methods_are_no_reproduction(medical, reported, tmp_path, method, words):
    ours = medical.trained("rsna_contrastive", "rsna", aurocs={"mahalanobis": {"pooled": 0.8}})
    medical.trained("another", "rsna", aurocs={"absolute_error": {"pooled": 0.7}})
    own, rival = ([r for r in medical.runs if (r["run"] == ours) == mine] for mine in (True, False))
    spec = medical.spec("table_rsna_contrastive") | {"runs": own}
    evaluation = spec["evaluation"] | {"scores": ["absolute_error"]}
    runs = [run | {"method": method} for run in rival]
    spec["baselines"] = {"Mine": {"score": None, "evaluation": evaluation, "runs": runs}}
    make_table(spec, Files(medical.write(), reported=reported), tmp_path / "t")
    page = (tmp_path / "t.md").read_text()
    assert cells(page, "Mine")
    assert ("no reproduction" in page) == (words is not None)
    assert words is None or f"Measured, but no reproduction: {words}." in page


@pytest.fixture
def flows(study, reported, tmp_path):
    """Two seeds of a flow and of its background model, with the bits of every image."""
    rng = np.random.default_rng(0)
    bits, files = {}, []
    for seed in (0, 1):
        for variant, shift in (("base", 0.0), ("background", 0.5)):
            run = study.run("fashion_mnist", "none", seed, variant, ood=["mnist"])
            study.add(run, "auroc", 0.1, ood="mnist", score="bits_per_dimension")
            sets = {
                "train": 2.8 + shift + 0.1 * rng.normal(size=20),
                "test": 3.0 + shift + 0.1 * rng.normal(size=30),
                "mnist": 1.9 + 2 * shift + 0.4 * rng.normal(size=40),
            }
            bits[run] = sets
            roles = {"train": "sensitivity_held_out", "test": "test", "mnist": "ood"}
            columns = {
                "set": np.concatenate([[name] * len(v) for name, v in sets.items()]),
                "dataset": np.concatenate(
                    [[name if name == "mnist" else "fashion_mnist"] * len(v)
                     for name, v in sets.items()]),
                "role": np.concatenate([[roles[name]] * len(v) for name, v in sets.items()]),
                "index": np.concatenate([np.arange(len(v)) for v in sets.values()]),
                "bits_per_dimension": np.concatenate(list(sets.values())),
            }  # fmt: skip
            none = np.full(90, -1)
            columns |= {n: none for n in ("label", "knn_label", "knn_majority_label")}
            path = tmp_path / f"{run}.parquet"
            write_scores(columns, path, {"run": run, "inputs": {}})
            files.append(path)
    spec = study.spec(
        "table_likelihood",
        in_distribution=["fashion_mnist"],
        background="background",
        reported="table_1_1",
        quoted="glow",
    )
    spec["evaluation"]["scores"] = ["bits_per_dimension"]
    make_table(spec, Files(study.write(), files, reported=reported), tmp_path / "t")
    return bits, pd.read_csv(tmp_path / "t.csv"), (tmp_path / "t.md").read_text()


def test_bits_and_their_auroc_are_those_of_the_images(flows):
    bits, table, markdown = flows
    own = [bits[f"natural-fashion_mnist-none-base-seed{seed}"] for seed in (0, 1)]
    other = [bits[f"natural-fashion_mnist-none-background-seed{seed}"] for seed in (0, 1)]
    rows = table.set_index(["dataset", "metric"])
    for name, key, printed in (
        ("fashion_mnist_train", "train", 2.902),
        ("fashion_mnist_test", "test", 2.958),
        ("mnist_test", "mnist", 1.833),
    ):
        row = rows.loc[(name, "bits_per_dimension")]
        assert row.measured == pytest.approx(np.mean([sets[key].mean() for sets in own]))
        assert row.reported == printed and row.unit == "bits"
    truth = np.repeat([0, 1], [30, 40])

    def area(*per_seed):
        return 100 * np.mean([roc_auc_score(truth, np.concatenate(values)) for values in per_seed])

    likelihood = area(*([s["test"], s["mnist"]] for s in own))
    assert rows.loc[("mnist_test", "auroc")].measured == pytest.approx(likelihood)
    ratio = area(
        *([s["test"] - b["test"], s["mnist"] - b["mnist"]] for s, b in zip(own, other, strict=True))
    )
    assert rows.loc[("mnist_test", "auroc_of_ratio")].measured == pytest.approx(ratio)
    assert likelihood < 50  # fewer bits for MNIST: what table 1.1 is about
    assert "fashion_mnist, train" in markdown and "1.833" in markdown


def test_in_distribution_images_have_no_auroc(flows):
    _, table, markdown = flows
    assert set(table[table.metric != "bits_per_dimension"].dataset) == {"mnist_test"}
    (line,) = (x for x in markdown.splitlines() if "fashion_mnist, test" in x)
    assert line.count("—") == 2 and "not run" not in markdown
