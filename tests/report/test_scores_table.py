"""Two scores of the same models: their AUROCs, the difference and its interval over images."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from ssl_ood.common.errors import UserError
from ssl_ood.evaluation.score_files import write_scores
from ssl_ood.measures.metrics import auroc_interval
from ssl_ood.report.make import Files, make_table

BOTH = ["mahalanobis", "cosine_max"]


@pytest.fixture
def made(medical, reported, tmp_path):
    """A function: how far OOD images lie from normal ones by each score, by strategy -> (the scores
    of the images by strategy, csv, markdown)."""

    def make(scores=BOTH, seeds=(0,), **shifts):
        rng, files, images = np.random.default_rng(0), [], {}
        for strategy, shift in shifts.items():
            for seed in seeds:
                inside, outside = rng.normal(size=(2, 300))
                noise = 0.1 * rng.normal(size=(2, 600))
                found = {
                    score: np.concatenate([inside, outside + by]) + e
                    for score, by, e in zip(BOTH, shift, noise, strict=True)
                }
                aurocs = {
                    score: roc_auc_score(np.repeat([0, 1], 300), v) for score, v in found.items()
                }
                run = medical.trained("medical", "lag", strategy, seed=seed, aurocs=aurocs)
                images[run] = found
                columns = {
                    "set": np.repeat(["lag/test", "lag_glaucoma/test"], 300),
                    "dataset": np.repeat(["lag", "lag_glaucoma"], 300),
                    "role": np.repeat(["test", "ood"], 300),
                    "index": np.tile(np.arange(300), 2),
                    **found,
                    **{n: np.full(600, -1) for n in ("label", "knn_label", "knn_majority_label")},
                }
                path = tmp_path / f"{run}.parquet"
                write_scores(columns, path, {"run": run, "inputs": {}})
                files.append(path)
        spec = medical.spec("table_scores_medical", scores=scores, reported="table_7_3")
        spec |= {"form": "scores"}
        make_table(spec, Files(medical.write(), files, reported=reported), tmp_path / "t")
        return images, pd.read_csv(tmp_path / "t.csv"), (tmp_path / "t.md").read_text()

    return make


def test_each_pair_has_both_scores_and_their_difference_over_the_same_images(made):
    images, table, markdown = made(none=(1.0, 0.5), rot_both=(0.8, 0.8), perm4_both=(0.3, 1.2))
    leads = table[table.against == "cosine_max"].set_index("strategy")
    truth = np.repeat([0, 1], 300)
    for strategy in ("none", "rot_both", "perm4_both"):
        found = images[f"medical-lag-{strategy}-base-seed0"]
        md, cs = (100 * roc_auc_score(truth, found[score]) for score in BOTH)
        row = leads.loc[strategy]
        assert row.change == pytest.approx(md - cs) and row.change_over == "images, paired"
        assert row.change_low < row.change < row.change_high
        # Narrower than that of two models over other images: scores of one image go together.
        wide = auroc_interval(found["mahalanobis"][:300], found["mahalanobis"][300:], 0.95)
        assert row.change_high - row.change_low < 100 * (wide.high - wide.low)
        shown = table[(table.strategy == strategy) & table.against.isna()].set_index("score")
        assert shown.measured.tolist() == pytest.approx([md, cs])
    assert leads.loc["none"].change_low > 0 and leads.loc["perm4_both"].change_high < 0
    tally = "Of 3 pairs of an OOD set and a strategy Mahalanobis leads in 1, cosine in 1; open: 1."
    assert tally in markdown
    shown = table[(table.strategy == "rot_both") & table.against.isna()].set_index("score")
    assert shown.reported.tolist() == pytest.approx([84.9, 87.9])  # table 7.3, in percent


def test_over_seeds_the_interval_is_students(made):
    _, table, markdown = made(seeds=(0, 1, 2), none=(1.0, 0.5))
    (row,) = table[table.against == "cosine_max"].itertuples()
    assert row.change_over == "seeds" and row.change_low > 0
    assert "Mahalanobis leads in 1" in markdown


def test_a_study_with_one_score_is_refused(made):
    with pytest.raises(UserError, match="it compares two scores, and its study has one"):
        made(scores=["mahalanobis"], none=(1.0, 0.5))
