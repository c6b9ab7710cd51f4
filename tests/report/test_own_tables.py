"""Tables of a study without OOD data: thresholds against slow counts, the strategy chosen."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest

from ssl_ood.evaluation.measure import OODSet, measure
from ssl_ood.evaluation.measurements import as_frame, write_measurements
from ssl_ood.evaluation.score_files import write_scores
from ssl_ood.report.make import Files, make_table

STRATEGIES = {"none": 0.0, "rot_indist": 0.4, "perm4_indist": 0.2}
EVALUATION = {
    "precision": "float32", "scores": ["cosine_max"], "tau": 0.04, "taus": [0.04], "knn": 0,
    "knn_temperature": 0.04, "soft_class_temperature": 0.01, "confidence": 0.95,
    "sensitivity": {"max_share": 0.2},
}  # fmt: skip
COUNTS = {"test": 60, "ood": 40, "calibration": 99, "sensitivity_held_out": 30,
          "sensitivity_test": 60}  # fmt: skip


@pytest.fixture
def table(tmp_path):
    """A function: makes a table of the three strategies; gives its csv rows and markdown."""

    def make(form, ood=("ill",), calibrated=True, seeds=(0,), **options):
        runs, files, scores = [], [], {}
        for seed in seeds:
            for strategy, shift in STRATEGIES.items():
                run = f"mine-mine-{strategy}-base-seed{seed}"
                identity = {
                    "run": run, "study": "mine", "in_distribution": "mine", "method": "dino",
                    "strategy": strategy, "variant": "base", "seed": seed,
                }  # fmt: skip
                rows = _scores(shift, seed, ood, calibrated)
                write_scores(rows, tmp_path / "scores" / f"{run}.parquet", {"run": run})
                sets = [OODSet(name, "test") for name in ood]
                frame = as_frame(measure(rows, sets, 0.95), identity)
                write_measurements(frame, tmp_path / "measurements" / f"{run}.parquet")
                files.append(run)
                scores[strategy, seed] = rows
                training = {"lambda": 1.0}
                runs.append({**identity, "ood": list(ood), "beside": [], "training": training})
        spec = {
            "configs": [], "name": f"table_mine_{form}", "kind": "table", "form": form,
            "options": {"in_distribution": ["mine"], "strategies": list(STRATEGIES), **options},
            "runs": runs, "titles": {"datasets": {"mine": "Films", "ill": "Ill"}},
            "strategies": {s: [] for s in STRATEGIES}, "evaluation": EVALUATION,
            "repeats": "seeds", "train_counts": {"mine": 100}, "show_reported": False,
            "photographs": [],
        }  # fmt: skip
        places = [
            [tmp_path / f / f"{r}.parquet" for r in files] for f in ("measurements", "scores")
        ]
        make_table(spec, Files(*places), tmp_path / "out")
        with open(tmp_path / "out.csv", encoding="utf-8") as file:
            found = list(csv.DictReader(file))
        return found, (tmp_path / "out.md").read_text(encoding="utf-8"), scores

    return make


def _scores(shift, seed, ood, calibrated):
    """The columns of a scores file; shift: of the OOD images and of what sensitivity compares."""
    rng = np.random.default_rng([seed, round(10 * shift)])
    counts = {
        r: n
        for r, n in COUNTS.items()
        if (r != "ood" or ood) and (calibrated or r != "calibration")
    }
    role = np.repeat(list(counts), list(counts.values()))
    values = rng.standard_normal(len(role))
    values[(role == "ood") | (role == "sensitivity_test")] += 3 * shift
    number = np.full(len(role), -1)
    return {
        "set": role, "dataset": np.where(role == "ood", "ill", "mine"), "role": role,
        "index": np.arange(len(role)), "label": number, "knn_label": number,
        "knn_majority_label": number, "cosine_max": values,
    }  # fmt: skip


def test_thresholds_are_the_kth_largest_calibration_score_and_flag_what_is_above(table):
    rows, text, scores = table("thresholds", rates=[0.01, 0.05, 0.1])
    assert len(rows) == 3 * 3 * 3
    for row in rows:
        found = scores[row["strategy"], 0]
        role, values = found["role"], found["cosine_max"]
        ranked = sorted(values[role == "calibration"], reverse=True)
        threshold = ranked[round(100 * float(row["rate"])) - 1]  # 99 + 1 calibration images
        if row["metric"] == "threshold":
            assert float(row["measured"]) == pytest.approx(threshold)
            continue
        chosen = values[role == ("ood" if row["dataset"] else "test")]
        expected = 100 * sum(value > threshold for value in chosen) / len(chosen)
        assert float(row["measured"]) == pytest.approx(expected)
        assert float(row["low"]) <= expected <= float(row["high"])
    assert "Set on 99 calibration images, which are neither trained on nor tested" in text
    assert "5 %" in text and "Flagged" in text


def test_without_ood_and_a_calibration_set_the_test_images_give_the_thresholds(table):
    rows, text, scores = table("thresholds", ood=(), calibrated=False, rates=[0.05])
    assert {row["metric"] for row in rows} == {"threshold", "flagged"} and len(rows) == 6
    values = scores["none", 0]["cosine_max"][scores["none", 0]["role"] == "test"]
    row = next(r for r in rows if (r["strategy"], r["metric"]) == ("none", "threshold"))
    assert float(row["measured"]) == pytest.approx(sorted(values)[-3])  # 0.05 x 61
    assert "Set on the 60 test images, since the study names no calibration split" in text


def test_a_rate_that_is_too_small_for_the_calibration_set_has_no_threshold(table):
    rows, text, _ = table("thresholds", rates=[0.001])
    assert {row["measured"] for row in rows} == {""}
    assert "not applicable" in text


def test_the_strategy_of_the_largest_sensitivity_is_marked(table):
    rows, text, _ = table("strategies", seeds=(0, 1))
    sensitivity = {
        r["strategy"]: float(r["measured"]) for r in rows if r["metric"] == "sensitivity"
    }
    best = max(sensitivity, key=sensitivity.get)
    assert {r["strategy"] for r in rows if r["chosen"] == "True"} == {best} == {"rot_indist"}
    line = next(line for line in text.splitlines() if "√" in line)
    assert "rot_indist" in line and f"**{sensitivity[best]:.2f}**" in line
    assert {r["metric"] for r in rows} == {"sensitivity", "auroc"}
    assert not math.isnan(sensitivity["none"]) and "±" in text
    runs = [f"mine-mine-rot_indist-base-seed{seed}" for seed in (0, 1)]
    assert f"Trained as chosen: {', '.join(runs)}." in text


def test_without_ood_the_strategies_have_a_sensitivity_alone(table):
    rows, text, _ = table("strategies", ood=())
    assert {r["metric"] for r in rows} == {"sensitivity"} and "AUROC" not in text
    assert " to " in text
