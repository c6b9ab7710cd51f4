"""The table of objects against texture: means of the images' decisions, beside the thesis's."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ssl_ood.common.errors import UserError
from ssl_ood.evaluation.score_files import write_scores
from ssl_ood.report.make import Files, make_table

HOME = "imagenet_objects"
RIGHT = {"base": [1, 1, 0.5, 1, 0.5, 1], "imagenet_classifier": [0.5, 0.5, 1, 0, 1, 1]}
TITLES = {"base": "Self-supervised", "imagenet_classifier": "Supervised"}


@pytest.fixture
def made(study, reported, tmp_path):
    """Function of the variants that were evaluated and their scores -> (csv, markdown)."""

    def make(measured=tuple(RIGHT), scores=("right_arrangements",)):
        files = []
        for variant, right in RIGHT.items():
            run = study.run(HOME, "none", 0, variant, ood=[], study="objects_texture")
            if variant not in measured:
                study.runs[-1] |= {"status": "no_data"}
                continue
            study.add(run, "auroc", 0.5, ood="nothing", score="mahalanobis")
            held_out = [0.0, 0.0]  # training images, which say nothing
            count = len(right) + len(held_out)
            columns = {
                "set": np.array(["test"] * len(right) + ["train"] * 2),
                "dataset": np.array([HOME] * count),
                "role": np.array(["test"] * len(right) + ["sensitivity_held_out"] * 2),
                "index": np.arange(count),
                "right_arrangements": np.array([*right, *held_out]),
            }
            none = np.full(count, -1)
            columns |= {n: none for n in ("label", "knn_label", "knn_majority_label")}
            files.append(tmp_path / f"{run}.parquet")
            write_scores(columns, files[-1], {"run": run, "inputs": {}})
        spec = study.spec("table_objects_texture", in_distribution=[HOME], reported="figure_2_8",
                          titles=TITLES)  # fmt: skip
        spec["evaluation"] = spec["evaluation"] | {"scores": [*scores]}
        make_table(spec, Files(study.write(), files, reported=reported), tmp_path / "t")
        return pd.read_csv(tmp_path / "t.csv"), (tmp_path / "t.md").read_text()

    return make


def test_accuracies_are_means_over_test_images(made):
    table, markdown = made()
    rows = table.set_index("variant")
    for variant, reported in (("base", 85), ("imagenet_classifier", 78)):
        row = rows.loc[variant]
        expected = 100 * np.mean(RIGHT[variant])
        assert row.measured == pytest.approx(expected)
        assert row.reported == reported and row.difference == pytest.approx(expected - reported)
        assert row.low < row.measured < row.high
        assert f"| {TITLES[variant]} " in markdown
    assert "no reproduction" in markdown


def test_what_waits_for_its_data_says_so(made):
    table, markdown = made(measured=["base"])
    row = table.set_index("variant").loc["imagenet_classifier"]
    assert (row.status, row.reported) == ("no_data", 78) and np.isnan(row.measured)
    assert "no data" in markdown


def test_a_study_without_the_score_is_refused(made):
    with pytest.raises(UserError, match="does not compute right_arrangements: add it"):
        made(scores=["mahalanobis"])
