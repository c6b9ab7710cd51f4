"""The thesis-scale study as Snakemake plans it: how many jobs, how fast, what an error says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ssl_ood.study.commands import read_experiments

ROOT = Path(__file__).parents[2]
LIMIT = (
    6  # times the processor time of the dry-run of one rule: how fast the machine is cancels out
)
# Jobs of the whole thesis, of which a seed repeats 84 runs; chapter 5 has five splits whatever the
# seeds: 35 runs more. Chapter 6 packs 21 sets out of 12 datasets, flows 6 more, 2 of them new;
# chapter 5 17 at 512 and 256 pixels; chapter 7 13 more; these two out of 5 datasets. A negative set
# a strategy with any: 12 in chapter 6, 22 in chapter 7. The claims of chapter 7 rest on figure 7.2
# too, so that the tables alone need every run. What needs no learning is measured once for each
# in-distribution dataset of a study, and each split of chapter 5. Splits that are proved to be
# some: 2 pairs in chapter 6, 2 of flows, 5 x 3 + 1 + 2 in chapter 5, 3 + 2 + 2 in chapter 7.
RUN_RULES = ("evaluate",)
DATA_RULES = {"fetch_dataset": 19, "pack_dataset": 57, "fetch_weights": 2, "convert_weights": 2,
              "write_split": 29}  # fmt: skip


@pytest.fixture(scope="module")
def one_rule(tmp_path_factory) -> float:
    """Seconds of the processor that the dry-run of a Snakefile with one rule takes here."""
    folder = tmp_path_factory.mktemp("one_rule")
    (folder / "Snakefile").write_text('rule all:\n    output: "x"\n    shell: "touch {output}"\n')
    command = [sys.executable, "-m", "snakemake", "-n", "--quiet", "rules", "-d", str(folder)]
    took = []
    for _ in range(2):  # the first one may still compile what it imports
        begin = os.times().children_user
        subprocess.run([*command, "-s", str(folder / "Snakefile")], check=True, capture_output=True)
        took.append(os.times().children_user - begin)
    return min(took)


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_jobs_of_the_thesis_are_the_least_possible(
    snakemake, planned, one_rule, tmp_path, seeds
):
    begin = os.times().children_user
    said = snakemake(
        "all_tables", "-n", "--quiet", "rules", "--config", f"results_dir={tmp_path}",
        f"seeds={list(range(seeds))}", "strict=true",
    )  # fmt: skip
    assert said.returncode == 0, said.stdout
    runs = 84 * seeds + 35
    expected = DATA_RULES | dict.fromkeys([*RUN_RULES, "train"], runs)
    expected |= {"build_negatives": 34, "shortcuts": 11, "table": 25, "all_tables": 1}
    assert planned(said.stdout) == expected | {"total": sum(expected.values())}
    used = os.times().children_user - begin
    print(f"dry-run of {sum(expected.values())} jobs: {used:.1f} s of the processor, "
          f"{used / one_rule:.1f} times that of one rule")  # fmt: skip
    assert used < LIMIT * one_rule


def test_all_has_every_table_and_figure(snakemake, planned, thesis, tmp_path):
    said = snakemake(
        "all", "-n", "--quiet", "rules", "--config", f"results_dir={tmp_path}", "strict=true"
    )
    assert said.returncode == 0, said.stdout
    jobs = planned(said.stdout)
    assert jobs["train"] == 119
    assert all(jobs[rule] == 119 for rule in RUN_RULES)
    assert jobs["build_negatives"] == 34
    assert jobs["table"] == len(thesis["tables"]) - 7 == 25  # seven are optional
    assert jobs["shortcuts"] == 11
    assert jobs["figure"] == len(thesis["figures"]) == 12


def test_the_full_demo_trains_none_of_the_demo_s_models_again():
    plans = []
    for layer in ("short", "full"):
        files = ["config.yaml", "profiles/demo/study.yaml", f"profiles/demo/{layer}.yaml"]
        targets = read_experiments([ROOT / file for file in files]).usual
        plans.append({run.id: run.training_config for target in targets for run in target.runs})
    demo, full = plans
    # Of the full one 13 are of chapter 4, and 17 of what other tables compare with.
    assert (len(demo), len(full)) == (13, 83)
    assert all(full[run] == config for run, config in demo.items())


@pytest.mark.parametrize(
    ("profile", "trainings", "tables"), [("demo", 13, 13), ("demo-full", 83, 30)]
)
def test_the_demos_have_profiles(snakemake, planned, tmp_path, profile, trainings, tables):
    said = snakemake(
        "all", "-n", "--quiet", "rules", "--profile", f"profiles/{profile}",
        "--config", f"results_dir={tmp_path}",
    )  # fmt: skip
    assert said.returncode == 0, said.stdout
    jobs = planned(said.stdout)
    assert (jobs["train"], jobs["evaluate"], jobs["table"]) == (trainings, trainings, tables)


def test_every_table_and_figure_is_a_target_of_its_name(snakemake, thesis):
    said = snakemake("--list-rules").stdout.split()
    assert {*thesis["tables"], *thesis["figures"], "all", "all_tables", "all_figures"} <= set(said)


@pytest.mark.parametrize(
    ("target", "trainings"),
    [
        ("table_hyperparameters", 7),
        ("table_claims_basics", 13),  # a flow among them
        ("figure_sensitivity", 10),
        ("figure_negatives", 0),
        ("figure_color_histograms", 0),
        ("table_rsna_contrastive", 11),  # a classifier among them
        ("figure_score_distributions", 1),
        ("table_pretraining", 2),
        ("table_medical", 2),
        ("figure_negative_sources", 11),
        ("table_claims_medical", 25),
        ("table_scores_medical", 25),
        ("table_claims_pretext", 2),
        ("table_protocol", 23),  # 17 of its own
        ("table_pretext", 13),
        ("table_ood_mtl", 6),  # four of its own study
        ("table_medical_compared", 12),  # two of its own study
        ("table_shortcuts", 0),
    ],
)
def test_one_target_alone_plans_its_own_runs(snakemake, planned, tmp_path, target, trainings):
    said = snakemake(
        target, "-n", "--quiet", "rules", "--config", f"results_dir={tmp_path}", "strict=true"
    )
    assert said.returncode == 0, said.stdout
    jobs = planned(said.stdout)
    assert jobs[target] == 1
    assert jobs.get("train", 0) == jobs.get("evaluate", 0) == trainings


@pytest.mark.parametrize("target", ["figure_label_efficiency", "table_label_efficiency"])
def test_a_target_plans_the_runs_that_its_runs_start_from(snakemake, planned, tmp_path, target):
    said = snakemake(
        target, "-n", "--quiet", "rules", "--config", f"results_dir={tmp_path}", "strict=true"
    )
    assert said.returncode == 0, said.stdout
    jobs = planned(said.stdout)
    assert jobs["train"] == 24 + 2
    assert jobs["evaluate"] == 24  # the pre-trained are not scored
    assert jobs["convert_weights"] == 2


def test_the_training_of_a_run_waits_for_what_it_starts_from(snakemake, tmp_path):
    """Its weights are an input, with the proof of its split."""
    run = "label_efficiency-rsna_labelled-none-rsna_con+labels_100-seed0"
    first = "rsna_pretraining-rsna_labelled-none-scratch-seed0"
    said = snakemake(
        f"{tmp_path}/runs/{run}/model.safetensors",
        "-n",
        "--config",
        f"results_dir={tmp_path}",
        "strict=true",
    )
    assert said.returncode == 0, said.stdout
    jobs = re.findall(
        r"^rule train:\n    input: (.*)\n    output: (\S+),", said.stdout, re.MULTILINE
    )
    inputs = {output.split("/")[-2]: files for files, output in jobs}
    assert set(inputs) == {run, first}
    assert f"{tmp_path}/runs/{first}/model.safetensors" in inputs[run]
    folder = f"{tmp_path}/splits/rsna_labelled-train"
    assert f"{folder}/rsna_labelled-test_normal-256px.json" in inputs[run]
    assert f"{folder}/rsna_labelled_abnormal-test-256px.json" in inputs[run]
    assert f"{folder}/rsna_labelled-test-512px.json" in inputs[first]


def test_planning_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "import yaml\n"
        "from ssl_ood.declarations import declare_everything\n"
        "from ssl_ood.study.read import read_study\n"
        "declare_everything()\n"
        "config = yaml.safe_load(Path('config.yaml').read_text())\n"
        "assert len(read_study(config).runs) == 119 + 17 + 13 + 10 + 2 + 2 + 10\n"
        "heavy = {'torch', 'torchvision', 'timm', 'scipy', 'pandas', 'matplotlib', 'sklearn'}\n"
        "print(*sorted(heavy & set(sys.modules)))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, text=True, check=True,
        capture_output=True,
    )  # fmt: skip
    assert done.stdout == "\n"


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("evaluation={scores: [cosine_tua]}",
         "config: evaluation.scores: unknown score 'cosine_tua'; did you mean 'cosine_tau'?"),
        ("seeds=[1,1]", "config: seeds [1, 1] names a seed twice, a duplicate run: name it once."),
        ("tables={table_mine: {study: natural}}",
         "config: tables.table_mine: unknown form of a table 'mine'"),
        ("tables={table_rsna: {score: mahalonobis}}",
         "config: tables.table_rsna.score: unknown score 'mahalonobis'; did you mean "
         "'mahalanobis'?"),
        ("tables={table_rsna: {metric: auroc}}",
         "config: tables.table_rsna (form methods) has an unknown key 'metric'"),
        ("reported_dir=nowhere",
         "config: reported_dir nowhere is not a folder: name the one of the reported values."),
        ("methods={dino: {training: {lr_base: '8,0e-3'}}}",
         "config: methods.dino.training.lr_base is the text '8,0e-3', where a number belongs"),
        ("sedes=[1]", "config: the top level has an unknown key 'sedes'; did you mean 'seeds'?"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_config_ends_with_its_sentence(snakemake, setting, sentence):
    said = snakemake("-n", "--config", setting)
    assert said.returncode == 1
    assert sentence in said.stdout
    assert "Traceback" not in said.stdout
    assert "Job stats" not in said.stdout
