"""The thesis-scale study as Snakemake plans it: how many jobs, how fast, what an error says."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIMIT = 10  # seconds for a dry-run on an idle machine of 2 cores
# Jobs of all_tables: 16 runs a seed; 13 packed sets out of 11 datasets; a negative set for each
# strategy with negatives, 10 of cifar10 and 2 of cifar100; 5 tables.
RUN_RULES = ("write_run_config", "write_evaluation_config", "train", "extract_features", "score",
             "metrics")  # fmt: skip
TABLES = {"fetch_dataset": 11, "pack_dataset": 13, "build_negatives": 12, "write_spec": 5,
          "table": 5, "all_tables": 1}  # fmt: skip


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_jobs_of_the_thesis_are_the_least_possible(snakemake, planned, tmp_path, seeds):
    begin = time.process_time(), time.monotonic(), os.times().children_user
    said = snakemake(
        "all_tables", "-n", "--quiet", "rules", "--config", f"results_dir={tmp_path}",
        f"seeds={list(range(seeds))}",
    )  # fmt: skip
    assert said.returncode == 0, said.stdout
    expected = TABLES | dict.fromkeys(RUN_RULES, 16 * seeds)
    assert planned(said.stdout) == expected | {"total": sum(expected.values())}
    # Processor time: how busy the machine is does not matter.
    used = os.times().children_user - begin[2]
    print(f"dry-run of {sum(expected.values())} jobs: {time.monotonic() - begin[1]:.1f} s, of the "
          f"processor {used:.1f} s")  # fmt: skip
    assert used < LIMIT


def test_all_has_every_table_and_figure(snakemake, planned, thesis, tmp_path):
    said = snakemake("all", "-n", "--quiet", "rules", "--config", f"results_dir={tmp_path}")
    assert said.returncode == 0, said.stdout
    jobs = planned(said.stdout)
    assert jobs["train"] == 16
    assert jobs["table"] == len(thesis["tables"]) == 5
    pictures = jobs["figure"] + jobs["picture"] + jobs["color_histograms"]
    assert pictures == len(thesis["figures"]) == 5


def test_every_table_and_figure_is_a_target_of_its_name(snakemake, thesis):
    said = snakemake("--list-rules").stdout.split()
    assert {*thesis["tables"], *thesis["figures"], "all", "all_tables", "all_figures"} <= set(said)


@pytest.mark.parametrize(
    ("target", "trainings"),
    [
        ("table_hyperparameters", 4),
        ("figure_sensitivity", 10),
        ("figure_negatives", 0),
        ("figure_color_histograms", 0),
    ],
)
def test_one_target_alone_plans_its_own_runs(snakemake, planned, tmp_path, target, trainings):
    said = snakemake(target, "-n", "--quiet", "rules", "--config", f"results_dir={tmp_path}")
    assert said.returncode == 0, said.stdout
    jobs = planned(said.stdout)
    assert jobs[target] == 1
    assert jobs.get("train", 0) == jobs.get("extract_features", 0) == trainings


def test_planning_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "import yaml\n"
        "from ssl_ood.study import read_study\n"
        "config = yaml.safe_load(Path('config.yaml').read_text())\n"
        "assert len(read_study(config).runs) == 97\n"
        "heavy = {'torch', 'torchvision', 'timm', 'numpy', 'pandas', 'matplotlib', 'sklearn'}\n"
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
        ("sedes=[1]", "config: the top level has an unknown key 'sedes'; did you mean 'seeds'?"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_config_ends_with_its_sentence(snakemake, setting, sentence):
    said = snakemake("-n", "--config", setting)
    assert said.returncode == 1
    assert sentence in said.stdout
    assert "Traceback" not in said.stdout
