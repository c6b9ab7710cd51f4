"""What each choice is worth: differences to the base and their intervals, computed by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ssl_ood.common.registry import lookup
from ssl_ood.evaluation.score_files import write_scores
from ssl_ood.report.make import Files, make_table
from ssl_ood.report.paired import Of, difference, paired_difference
from ssl_ood.report.results import Measurement, load_results
from ssl_ood.study.protocol import read_protocol

NEAR, FAR = "cifar100", "texture"
BESIDE = ["cifar100@256", "texture@256", "texture_test1"]
LABELS = [0, 1, 1]
# Of each model the scores by role or OOD set, and the votes; three test images, few of the others.
BASE = {
    "test": [1, 2, 3], NEAR: [2, 4], FAR: [2, 2], "cifar100@256": [2, 4], "texture@256": [2, 4],
    "texture_test1": [4], "sensitivity_held_out": [1, 2], "sensitivity_test": [1.5, 3],
    "votes": [0, 0, 1], "majority": [1, 0, 1],
}  # fmt: skip
OTHER = BASE | {
    NEAR: [4, 5], FAR: [4, 5], "sensitivity_test": [3, 4], "votes": [0, 1, 1],
    # Beside sets count in no average: these would pull it down.
    "cifar100@256": [0, 0], "texture@256": [0, 0], "texture_test1": [0],
}  # fmt: skip


def share_above(ins, outs):
    """The AUROC by its definition."""
    return np.mean([(out > x) + 0.5 * (out == x) for x in ins for out in outs])


def scored(folder, run, model):
    """Writes the scores of every image of a run."""
    parts = [("test", "cifar10", model["test"])]
    parts += [("ood", name, model[name]) for name in (NEAR, FAR, *BESIDE)]
    parts += [(r, "cifar10", model[r]) for r in ("sensitivity_held_out", "sensitivity_test")]
    columns = {name: [] for name in ("role", "dataset", "index", "cosine_tau@0.040")}
    for role, dataset, scores in parts:
        columns["role"] += [role] * len(scores)
        columns["dataset"] += [dataset] * len(scores)
        columns["index"] += range(len(scores))
        columns["cosine_tau@0.040"] += [float(score) for score in scores]
    table = {name: np.array(values) for name, values in columns.items()}
    missing = [-1] * (len(table["role"]) - 3)
    table |= {"set": table["dataset"], "label": np.array(LABELS + missing)}
    for name, votes in (("knn_label", "votes"), ("knn_majority_label", "majority")):
        table[name] = np.array(model[votes] + missing)
    write_scores(table, folder / f"{run}.parquet", {"run": run, "inputs": {}})


def measured(study, folder, model, strategy="rot_imgn", variant="base", seed=0):
    """A run whose measurements are those of its images."""
    run = study.run("cifar10", strategy, seed, variant, [NEAR, FAR])
    study.runs[-1]["beside"] = BESIDE
    shown = {"score": "cosine_tau", "tau": 0.04}
    aurocs = {name: share_above(model["test"], model[name]) for name in (NEAR, FAR, *BESIDE)}
    for name, value in (aurocs | {"average": (aurocs[NEAR] + aurocs[FAR]) / 2}).items():
        study.add(run, "auroc", value, ood=name, **shown)
    held, again = model["sensitivity_held_out"], model["sensitivity_test"]
    study.add(run, "sensitivity", share_above(held, again), **shown)
    study.add(run, "knn_accuracy", np.mean(np.equal(model["votes"], LABELS)))
    study.add(run, "knn_accuracy_majority", np.mean(np.equal(model["majority"], LABELS)))
    scored(folder, run, model)
    return run


@pytest.fixture
def scores(tmp_path):
    folder = tmp_path / "scores"
    folder.mkdir()
    return folder


@pytest.fixture
def readings(study, scores, reported, tmp_path):
    """Makes the table of a study: its csv, and the cells of its markdown by row."""

    def make(**options):
        spec = study.spec("table_protocol", show_reported=False, near=NEAR, **options)
        spec |= {"form": "readings"}
        files = Files(study.write(), sorted(scores.glob("*.parquet")), reported=reported)
        make_table(spec, files, tmp_path / "t")
        text = (tmp_path / "t.md").read_text()
        lines = [line for line in text.splitlines() if line.startswith("| ")]
        cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
        return pd.read_csv(tmp_path / "t.csv"), cells, text

    return make


def test_a_reading_is_compared_with_the_base_on_the_same_images(study, scores, readings):
    measured(study, scores, BASE)
    measured(study, scores, OTHER, variant="local_scale_dino")
    frame, cells, text = readings()
    base, other = cells[2], cells[3]
    assert base == ["", "Base", "62.50", "", "75.00", "", "66.67", "", "75.00", ""]
    # By image, of the average: in-distribution 0, 0.375, 0.75 (variance 0.140625), near 0.5, 0
    # (0.125), far 0.5, 0.5 (0): 0.140625 / 3 + 0.125 / 2 / 4 = 0.0625, whose root is 0.25.
    # Near alone: 0, 0.25, 0.5 and 0.5, 0: 0.0625 / 3 + 0.125 / 2 = 1/12. Votes: 0, 1, 0: 1/9.
    # Sensitivity: 0, 0.5 and 0.5, 0: 0.125 / 2 + 0.125 / 2 = 1/8. All times 1.959964.
    assert other == [
        "local_scale", "local_scale_dino", "100.00", "+37.50 [−11.50, 86.50]",
        "100.00", "+25.00 [−31.58, 81.58]", "100.00", "+33.33 [−32.00, 98.67]",
        "100.00", "+25.00 [−44.30, 94.30]",
    ]  # fmt: skip
    row = frame[(frame["variant"] == "local_scale_dino") & (frame["metric"] == "sensitivity")]
    (row,) = row.to_dict("records")
    assert (row["choice"], row["against"], row["change_over"]) == (
        "local_scale", "base", "images, paired",
    )  # fmt: skip
    half = 100 * 1.959964 * np.sqrt(1 / 8)
    assert row["change_low"] == pytest.approx(25 - half, abs=1e-4)
    assert row["runs"] == "natural-cifar10-rot_imgn-local_scale_dino-seed0"
    assert "One seed" in text and "there are 9 differences" in text


def test_second_evaluations_are_of_the_same_model(study, scores, readings):
    measured(study, scores, BASE)
    measured(study, scores, OTHER, variant="local_scale_dino")
    frame, cells, text = readings()
    rows = [row[:4] for row in cells[4:] if row[2]]
    # The same images: 0, 0.25, 0.5 and 0, 0.5: 1/12. Their mean with those that stay the same:
    # 0, 0.125, 0.25 and 0.125 / 2 / 4: 1/48. Other images: 0, 0.5, 1, one image (0.25) and 0, 0:
    # 0.25 / 3 + 0.25 = 1/3.
    assert rows == [
        ["fit_ood", "CIFAR-100", "75.00", ""],
        ["fit_ood", "CIFAR-100, straight to 256 px", "75.00", "+0.00 [0.00, 0.00]"],
        ["fit_ood", "Texture", "50.00", ""],
        ["fit_ood", "Texture, straight to 256 px", "75.00", "+25.00 [−31.58, 81.58]"],
        ["fit_ood", "Mean of these 2: ours", "62.50", ""],
        ["fit_ood", "the other", "75.00", "+12.50 [−15.79, 40.79]"],
        ["texture", "Texture", "50.00", ""],
        ["texture", "texture_test1", "100.00", "+50.00 [−63.16, 163.16]"],
    ]
    votes = [row[:2] + row[6:8] for row in cells[-2:]]
    assert votes == [
        ["knn", "Weighted vote", "66.67", ""],
        ["knn", "Majority of the neighbours", "33.33", "−33.33 [−98.67, 32.00]"],
    ]
    mean = frame[frame["dataset"] == "cifar100@256 texture@256"].iloc[0]
    assert mean["against"] == "cifar100 texture" and mean["measured"] == pytest.approx(75)
    assert "Second evaluations are of the base" in text


def test_of_several_seeds_the_interval_is_over_those_that_both_have(study, scores, readings):
    for seed, lead in enumerate((0.01, 0.02, 0.03)):
        for variant, value in (("base", 0.5), ("warmup_10", 0.5 + lead)):
            study.fill("cifar10", "none", seed, auroc=value, knn=value, variant=variant,
                       ood=[NEAR, FAR])  # fmt: skip
    study.fill("cifar10", "none", 3, auroc=0.9, ood=[NEAR, FAR])
    frame, cells, _ = readings()
    # The mean of 1, 2, 3 points; 4.302653 (Student, 2 degrees of freedom) / sqrt(3) is 2.484138.
    assert cells[3][:4] == ["warmup", "warmup_10", "52.00 ± 1.00", "+2.00 [−0.48, 4.48]"]
    row = frame[(frame["variant"] == "warmup_10") & (frame["dataset"] == "average")].iloc[0]
    assert (row["change_over"], row["change_n"], row["n"]) == ("seeds", 3, 3)
    assert row["change_high"] == pytest.approx(2 + 2.484138, abs=1e-5)


def test_a_difference_that_is_sure_is_bold(study, scores, readings):
    for seed in (0, 1, 2):
        for variant, value in (("base", 0.5), ("warmup_10", 0.6 + seed / 1000)):
            study.fill("cifar10", "none", seed, auroc=value, variant=variant, ood=[NEAR, FAR])
    _, cells, _ = readings()
    assert cells[3][3] == "**+10.10** [9.85, 10.35]"
    assert cells[3][7] == "+0.00 [0.00, 0.00]"


def test_rows_follow_the_file_of_choices(study, scores, readings):
    """In its order, many choices at once counted, what belongs to none last and without a name."""
    for variant in ("mine", "as_written", "norm_last_layer", "as_written_batch", "base"):
        study.fill("cifar10", "rot_imgn", auroc=0.9, variant=variant, ood=[NEAR, FAR])
    frame, cells, _ = readings(second_evaluations=["none"])
    count = sum("as_written" in choice.variants for choice in read_protocol())
    assert [row[:2] for row in cells[1:]] == [
        ["Rot. ImgN", ""], ["", "Base"], [f"{count} choices at once", "as_written"],
        ["batch, learning_rate", "as_written_batch"], ["last_layer", "norm_last_layer"],
        ["", "mine"],
    ]  # fmt: skip
    assert set(frame[frame["variant"] == "as_written_batch"]["choice"]) == {"batch learning_rate"}


def test_what_was_not_measured_has_its_reason_and_no_difference(study, scores, readings):
    measured(study, scores, BASE)
    run = measured(study, scores, OTHER, variant="warmup_10")
    study.without(run, "no_data")
    frame, cells, _ = readings(second_evaluations=[])
    assert cells[3] == ["warmup", "warmup_10", *["no data", ""] * 4]
    assert frame[frame["variant"] == "warmup_10"]["change"].isna().all()


def test_without_the_scores_of_images_there_is_no_interval(study, scores, readings):
    measured(study, scores, BASE)
    measured(study, scores, OTHER, variant="warmup_10")
    for path in scores.glob("*.parquet"):
        path.unlink()
    frame, cells, _ = readings()
    assert cells[3][2:4] == ["100.00", "+37.50"]
    assert frame["change_over"].isna().all()


def test_a_pair_that_has_nothing_in_common_has_no_interval(study, scores, reported):
    one, other = (measured(study, scores, m, variant=v) for m, v in ((BASE, "base"), (OTHER, "b")))
    spec = study.spec("table_protocol", show_reported=False, near=NEAR) | {"form": "readings"}
    results = load_results(spec, study.write(), reported, sorted(scores.glob("*.parquet")))
    pairs = [
        ((one, Of(ood=NEAR)), (other, Of(ood=FAR))),  # other models, other images
        ((one, Of(ood=NEAR)), (one, Of(ood="svhn"))),  # a set that is not scored
        ((one, Of("knn_accuracy")), (one, Of("sensitivity"))),
        ((one, Of("log_k")), (other, Of("log_k"))),
    ]
    assert [paired_difference(results, *pair) for pair in pairs] == [None] * len(pairs)
    seeds = [{s: Measurement("r", s, 0.5, 0.4, 0.6)} for s in (0, 1)]
    assert difference(results, *seeds, (Of(), Of())) is None


def test_the_form_says_what_it_needs_and_compares():
    entry = lookup("table", "readings")
    assert entry.more["against"] == "base"
    assert entry.needs == {"measurements", "scores", "beside"}
