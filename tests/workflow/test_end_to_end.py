"""The whole workflow on tiny models: everything is made once, and an edit makes only its own."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
import yaml
from golden.cells import FINGERPRINT, GOLDEN, KERNELS, cells_of
from sklearn.metrics import roc_auc_score
from support.browser import Page, refuse_other_addresses
from support.configs import ROOT

pytestmark = pytest.mark.e2e
LAYERS = ["profiles/demo/study.yaml", "tests/tiny_study.yaml"]
STRATEGIES = ["none", "imgn", "rot_imgn", "rot_indist"]
NATURAL = {
    *(f"natural-fashion_low-{s}-base-seed0" for s in [*STRATEGIES, "combined"]),
    "natural-fashion_low-none-untrained-seed0",
    "natural-fashion_low-rot_imgn-lambda_0.3-seed0",
    *(f"natural-fashion_high-{s}-base-seed0" for s in ("rot_imgn", "combined")),
}
CONTRASTIVE = {
    *(f"rsna_contrastive-demo_retina-none-base-seed{split}" for split in (0, 1)),
    "rsna_contrastive-demo_retina-none-crop_0.4-seed0",
    "rsna_pretraining-demo_retina_labelled-none-base-seed0",
}
FINETUNED = {
    f"label_efficiency-demo_retina_labelled-none-{start}+labels_32-seed0"
    for start in ("rsna_con", "random")
}
MEDICAL = {
    *(f"medical-demo_retina-{s}-base-seed0" for s in ("none", "rot_both", "rot_indist")),
    "medical-demo_tissue-perm4_both-base-seed0",
}
FLOWS = {"likelihood-fashion_low-none-base-seed0"}
RUNS = NATURAL | CONTRASTIVE | FINETUNED | MEDICAL | FLOWS
# Not made by `all`: optional tables, a flow of colour images, of which the demo has none, and what
# tiny_study.yaml leaves out.
LEFT_OUT = {
    "table_protocol", "table_pretext", "table_claims_pretext", "table_scores_medical",
    "table_medical_compared", "table_ood_mtl", "table_rsna_compared", "table_objects_texture",
    "table_likelihood_colour", "figure_likelihood_colour",
}  # fmt: skip
STEPS = dict.fromkeys(NATURAL, 2 * (4000 // 250)) | {"natural-fashion_low-none-untrained-seed0": 0}
STEPS |= dict.fromkeys(CONTRASTIVE, 700 // 32) | dict.fromkeys(FINETUNED, 32 // 16)
STEPS |= dict.fromkeys(MEDICAL, 700 // 100) | dict.fromkeys(FLOWS, 4000 // 200)
STEPS["rsna_pretraining-demo_retina_labelled-none-base-seed0"] = 800 // 32


class Study:
    """A finished run of the workflow in a folder of its own, and further runs over it."""

    def __init__(self, folder: Path, snakemake, planned):
        # A name that is a command to a shell that sees it unquoted.
        self.results = folder / 'it\'s "the" *results* & more; (ä) $(touch seen) `touch seen` 5%'
        self.downloads = folder / "down loads"
        self.folder = folder
        self.clone = {path for path in ROOT.iterdir() if path.name != ".snakemake"}
        self.edits = folder / "edit.yaml"
        self._snakemake, self._planned = snakemake, planned

    def run(self, *arguments, edit=None):
        self.edits.write_text(yaml.safe_dump(edit or {}))
        return self._snakemake(
            *arguments, "--cores", 2, "--configfile", *LAYERS, self.edits,
            "--config", f"results_dir={self.results}", f"downloads_dir={self.downloads}",
        )  # fmt: skip

    def plan(self, edit=None):
        """Jobs by rule that `all` would run after an edit of the config."""
        said = self.run("all", "-n", "--quiet", "rules", edit=edit)
        assert said.returncode == 0, said.stdout
        return self._planned(said.stdout)

    def trainings(self, edit):
        """The runs that would be trained after an edit."""
        said = self.run("all", "-n", edit=edit).stdout.splitlines()
        rules = [i for i, line in enumerate(said) if line == "rule train:"]
        blocks = ["\n".join(said[i : i + 12]) for i in rules]
        return {b.split("wildcards: run=")[1].split()[0] for b in blocks}


@pytest.fixture(scope="module")
def study(tmp_path_factory, snakemake, planned):
    study = Study(tmp_path_factory.mktemp("study"), snakemake, planned)
    done = study.run("all")
    assert done.returncode == 0, done.stdout[-6000:]
    return study


def read_csv(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def runs_of(study):
    return sorted(path.name for path in (study.results / "runs").iterdir())


def test_every_table_and_figure_is_there_in_every_format(study, thesis):
    for section, suffixes in (("tables", "csv md tex html json"), ("figures", "pdf png csv")):
        names = thesis[section].keys() - LEFT_OUT
        expected = {f"{name}.{suffix}" for name in names for suffix in suffixes.split()}
        assert {path.name for path in (study.results / section).iterdir()} == expected
        assert all((study.results / section / name).stat().st_size > 50 for name in expected)


def test_nothing_is_written_elsewhere(study):
    """The name of the results folder is a command to a shell that sees it unquoted."""
    made = {path.name for path in study.folder.iterdir()}
    assert made <= {study.results.name, study.downloads.name, study.edits.name}
    assert {path for path in ROOT.iterdir() if path.name != ".snakemake"} == study.clone
    assert not [path for path in study.folder.rglob("*") if path.name == "seen"]


def test_every_trained_run_has_weights_features_scores_and_metrics(study):
    trained = {path.parent.name for path in study.results.glob("runs/*/model.safetensors")}
    assert trained == RUNS
    for run in trained:
        summary = json.loads((study.results / "runs" / run / "train.json").read_text())
        assert summary["steps"] == STEPS[run], run
        width = 1 if run in FINETUNED | FLOWS else 8 if run in CONTRASTIVE else 32
        files = list((study.results / "features" / run).glob("*-*.npy"))
        assert len(files) >= 2
        for path in files:
            found = np.load(path)
            assert found.shape[1] == width and len(found) > 20
            assert np.isfinite(found).all()
        measured = pd.read_parquet(study.results / "measurements" / f"{run}.parquet")
        assert set(measured["run"]) == {run} and (measured["status"] == "measured").all()


def test_every_cell_is_what_it_was_to_the_last_digit(study):
    """tests/golden/cells.py says what the file is and when it may change."""
    command = [sys.executable, GOLDEN.with_name("cells.py"), "--kernels"]
    here = subprocess.run(
        command, env=os.environ | KERNELS, check=True, text=True, capture_output=True
    )
    if here.stdout.strip() != FINGERPRINT:
        pytest.skip("the kernels of this machine round differently from those of the golden cells")
    assert cells_of(study.results) == read_csv(GOLDEN)


def test_tables_agree_with_scikit_learn_on_the_scores(study):
    """Each measured AUROC, from the parquet of its run; and the averages from these."""
    checked, found = 0, {}
    for row in read_csv(study.results / "tables" / "table_negative_sampling.csv"):
        if not row["runs"] or row["metric"] != "auroc" or row["dataset"].startswith("average"):
            continue
        scores = pd.read_parquet(study.results / "scores" / f"{row['runs']}.parquet")
        column = f"cosine_tau@{float(row['temperature']):.3f}"
        inside = scores.loc[scores["role"] == "test", column]
        of_set = (scores["role"] == "ood") & (scores["dataset"] == row["dataset"])
        outside = scores.loc[of_set, column]
        truth = np.repeat([0, 1], [len(inside), len(outside)])
        expected = roc_auc_score(truth, np.concatenate([inside, outside]))
        assert float(row["measured"]) == pytest.approx(100 * expected, abs=1e-9)
        found.setdefault(row["strategy"], []).append(100 * expected)
        checked += 1
    assert checked == len(STRATEGIES) * 3
    averages = [row for row in read_csv(study.results / "tables" / "table_negative_sampling.csv")
                if row["runs"] and row["dataset"] == "average"]  # fmt: skip
    assert len(averages) == len(STRATEGIES)
    for row in averages:
        assert float(row["measured"]) == pytest.approx(np.mean(found[row["strategy"]]), abs=1e-9)


def test_scores_agree_with_the_features(study):
    """Equation 6.1 at tau = 0.04 from the feature files, in float64."""
    run = "natural-fashion_low-rot_imgn-base-seed0"
    folder = study.results / "features" / run
    train, ood = (np.load(folder / f"{name}.npy").astype(np.float64)
                  for name in ("fashion_low-train", "textures-test"))  # fmt: skip
    train, ood = (f / np.linalg.norm(f, axis=1, keepdims=True) for f in (train, ood))
    expected = -np.log(np.exp((ood @ train.T - 1) / 0.04).mean(axis=1)) - 1 / 0.04
    scores = pd.read_parquet(study.results / "scores" / f"{run}.parquet")
    found = scores.loc[(scores["role"] == "ood") & (scores["dataset"] == "textures")]
    found = found.sort_values("index")["cosine_tau@0.040"]
    # Features are float32: a cosine is known to 1e-7, which the temperature makes 3e-6.
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_no_reported_value_is_shown_where_the_data_are_not_the_thesis_s(study):
    for row in read_csv(study.results / "tables" / "table_negative_sampling.csv"):
        assert row["reported"] == row["difference"] == ""


def test_the_checks_of_the_negatives_found_nothing(study):
    manifests = list(study.results.glob("negatives/*/manifest.json"))
    assert manifests
    for path in manifests:
        manifest = json.loads(path.read_text())
        for pair in manifest["negatives"]:
            assert all(leak["identical"] == 0 for leak in pair["also_in_test_sets"].values())
        assert (path.parent / "contact_sheet.png").stat().st_size > 1000


def test_a_second_run_has_nothing_to_do(study):
    assert "Nothing to be done" in study.run("all", "-n").stdout


def test_an_edited_strategy_trains_its_own_run_only(study):
    edit = {"strategies": {"imgn": [{"source": "snapshots", "shift": "perm4"}]}}
    assert study.trainings(edit) == {"natural-fashion_low-imgn-base-seed0"}
    jobs = study.plan(edit)
    for rule in ("train", "evaluate", "build_negatives"):
        assert jobs[rule] == 1, rule
    assert jobs["pack_dataset"] == 1  # the snapshots were not used before


def test_a_new_ood_set_trains_nothing(study):
    edit = {"studies": {"natural": {"in_distribution": {
        "fashion_low": {"ood": ["fashion_high", "digits8x8", "textures", "tissue"]},
    }}}}  # fmt: skip
    jobs = study.plan(edit)
    assert "train" not in jobs
    assert jobs["pack_dataset"] == 1
    assert jobs["evaluate"] == 7  # of fashion_low


def test_another_score_or_temperature_extracts_nothing_again(study):
    jobs = study.plan({"evaluation": {"scores": ["cosine_tau", "cosine_max"]}})
    assert {"train", "pack_dataset"} & jobs.keys() == set()
    # A study that names its own scores keeps them.
    assert jobs["evaluate"] == len(NATURAL)
    assert study.plan({"evaluation": {"taus": [0.03, 0.04]}})["evaluate"] == len(RUNS)


def test_another_title_or_way_to_run_computes_nothing_again(study):
    jobs = study.plan({"titles": {"strategies": {"none": "Nothing"}}})
    assert {"train", "evaluate"} & jobs.keys() == set()
    said = study.run("all", "-n", edit={"execution": {"micro_batch": 16, "checkpoint_minutes": 3}})
    assert "Nothing to be done" in said.stdout


def test_a_new_seed_trains_its_own_runs_only(study):
    jobs = study.plan({"seeds": [0, 1]})
    # The seeds of the contrastive tables are their splits.
    again = len(RUNS) - len(CONTRASTIVE) + 1
    assert jobs["train"] == jobs["evaluate"] == again
    assert "pack_dataset" not in jobs


def test_the_report_is_made_of_all_and_each_number_leads_somewhere(study, thesis):
    done = study.run("report")
    assert done.returncode == 0, done.stdout[-3000:]
    path = study.results / "report.html"
    page = Page(path)
    refuse_other_addresses(page)
    assert path.stat().st_size < 10_000_000
    for name in {*thesis["tables"], *thesis["figures"]} - LEFT_OUT:
        assert f' id="{name}"' in page.source, name
    files = [a["href"] for a in page.all("a") if not a["href"].startswith(("#", "data:"))]
    assert all((study.results / unquote(file)).is_file() for file in files)
    assert {f"run-{run}" for run in NATURAL} <= {a.get("id") for a in page.all("details")}
    assert len(page.all("rect")) >= 10  # of the graph of the jobs
    cells = [row for row in page.all("a") if row["href"].startswith("#table_quality-")]
    assert len(cells) > 20


def test_snakemake_s_own_report_has_every_table_and_figure(study, tmp_path, thesis):
    page = tmp_path / "report.html"
    done = study.run("all", "--report", page)
    assert done.returncode == 0, done.stdout[-3000:]
    text = page.read_text(encoding="utf-8")
    for name in {*thesis["tables"], *thesis["figures"]} - LEFT_OUT:
        assert name in text, name
