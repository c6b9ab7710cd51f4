"""The table of shortcuts, and the best of them under the tables of models."""

from __future__ import annotations

import pandas as pd
import pytest
from support.measured import CONTRASTIVE

from ssl_ood.common.errors import UserError
from ssl_ood.evaluation.shortcuts.rows import write_shortcuts
from ssl_ood.report.make import Files, make_table

BEST = "Best shortcut of the images (needs no learning)"
OF_FILES = "Best shortcut of the files (needs no learning)"
TWO = ["cifar100", "svhn"]


class Cues:
    """Files of shortcuts with known values."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()

    def write(self, home, values, run=None, seed=0, study="natural"):
        """values: {(cue, way): {OOD set or group: AUROC, or a status}}."""
        rows = []
        for (cue, way), by_set in values.items():
            for name, value in by_set.items():
                row = {"score": cue, "way": way, "dataset": name, "metric": "auroc",
                       "direction": ""}  # fmt: skip
                if isinstance(value, str):
                    rows.append(row | {"status": value})
                    continue
                rows.append(row | {"value": value, "low": value - 0.02, "high": value + 0.02,
                                   "over": "images", "n_in": 100, "n_out": 50,
                                   "direction": "larger"})  # fmt: skip
        run = run or f"{study}-{home}"
        path = self.folder / f"{run}.parquet"
        identity = {"run": run, "study": study, "in_distribution": home, "seed": seed}
        write_shortcuts(rows, identity, {}, path)
        return path


@pytest.fixture
def cues(tmp_path):
    return Cues(tmp_path / "shortcuts")


@pytest.fixture
def table(reported, tmp_path):
    """Makes a table: csv rows and the lines of its markdown by their first words."""

    def make(of, name, files, told, **options):
        spec = of.spec(name, **options) | {"shortcuts": told}
        path = tmp_path / "out" / name
        make_table(spec, Files(of.write(), reported=reported, shortcuts=files), path)
        text = path.with_suffix(".md").read_text()
        lines = [line for line in text.splitlines() if line.startswith("|")]
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
        return pd.read_csv(path.with_suffix(".csv")), cells, text

    return make


def told(home, ood=TWO, run=None, **more):
    return {"run": run or f"natural-{home}", "in_distribution": home, "ood": list(ood)} | more


NATURAL = {
    ("contrast", "either"): {"cifar100": 0.97, "svhn": 0.70, "average": 0.835},
    ("contrast", "from_median"): {"cifar100": 0.60, "svhn": 0.65, "average": 0.625},
    ("pixel_knn", "distance"): {"cifar100": 0.40, "svhn": 0.99, "average": 0.695},
    ("sex", "rarity"): dict.fromkeys([*TWO, "average"], "not_applicable"),
}


def with_models(study):
    study.fill("cifar10", "none", auroc={"cifar100": 0.90, "svhn": 0.80}, ood=TWO)
    study.fill("cifar10", "rot_imgn", auroc={"cifar100": 0.95, "svhn": 0.85}, ood=TWO)
    return study


def test_where_ood_sets_are_rows_the_best_shortcut_is_a_last_column(study, cues, table):
    files = [cues.write("cifar10", NATURAL)]
    rows, cells, text = table(with_models(study), "table_negative_sampling", files,
                              [told("cifar10")], in_distribution=["cifar10"])  # fmt: skip
    assert cells[0][-1] == BEST
    by_set = {row[0]: row[1:] for row in cells}
    # Never bold, though it beats the best of the row.
    assert by_set["CIFAR-100"] == ["90.00", "**95.00**", "97.00 (contrast)"]
    assert by_set["SVHN"] == ["80.00", "**85.00**", "99.00 (pixel 10-NN)"]
    # One cue for all sets of an average, not the best of each.
    assert by_set["Average"][-1] == "83.50 (contrast)"
    assert "chosen by the test AUROC itself, so that it is too high" in text
    own = rows[rows.system == "shortcut"].set_index("dataset")
    assert (own.status == "shortcut").all() and own.strategy.isna().all()
    assert own.score.to_dict() == {"cifar100": "contrast", "svhn": "pixel_knn",
                                   "average": "contrast"}  # fmt: skip
    assert own.measured["svhn"] == 99 and own.low["svhn"] == pytest.approx(97)
    others = rows[rows.system == "ours"]
    assert (others.status == "measured").all() and len(others) == 6


def test_where_ood_sets_are_columns_it_is_a_last_row(medical, cues, table):
    sets = ["rsna_opacity", "rsna_not_normal"]
    for split in range(2):
        medical.trained("rsna_contrastive", "rsna", seed=split,
                        aurocs={"mahalanobis": {"rsna_opacity": 0.78, "rsna_not_normal": 0.70,
                                                "pooled": 0.73}})  # fmt: skip
    files, entries = [], []
    for split, knn in enumerate((0.60, 0.62)):
        run = f"rsna_contrastive-rsna-seed{split}"
        values = {("view_position", "rarity"): {sets[0]: 0.79 + split / 100, sets[1]: 0.66,
                                                "pooled": 0.71},
                  ("pixel_knn", "distance"): {sets[0]: knn, sets[1]: knn + 0.08,
                                              "pooled": 0.65}}  # fmt: skip
        files.append(cues.write("rsna", values, run, split, "rsna_contrastive"))
        entries.append(told("rsna", sets, run))
    rows, cells, _ = table(medical, CONTRASTIVE, files, entries, in_distribution=["rsna"],
                           repeats="train/test splits")  # fmt: skip
    assert cells[-2] == [BEST, "0.610 ± 0.014 (pixel 10-NN)", "0.690 ± 0.014 (pixel 10-NN)",
                         "0.650 ± 0.000 (pixel 10-NN)"]  # fmt: skip
    assert cells[-1] == [OF_FILES, "0.795 ± 0.007 (view position)", "0.660 ± 0.000 (view position)",
                         "0.710 ± 0.000 (view position)"]  # fmt: skip
    (row,) = rows[(rows.status == "shortcut") & (rows.dataset == "rsna_opacity")
                  & (rows.score == "view_position")].to_dict("records")  # fmt: skip
    assert row["measured"] == pytest.approx(0.795)
    assert row["n"] == 2 and row["over"] == "train/test splits"


@pytest.mark.parametrize("name", ["table_ood_auroc", "table_quality", "table_shifts_medical"])
def test_other_forms_show_it_too_and_their_own_cells_stay(study, cues, table, name):
    files = [cues.write("cifar10", NATURAL)]
    with_models(study)
    rows, cells, _ = table(study, name, files, [told("cifar10")], in_distribution=["cifar10"])
    bare, bare_cells, _ = table(study, name, files, [], in_distribution=["cifar10"])
    best = [row for row in cells if BEST in row[:2]] or [row[-1:] for row in cells[2:]]
    assert any("(contrast)" in cell for row in best for cell in row)
    assert not any("shortcut" in str(cell) for row in bare_cells for cell in row)
    own = rows[rows.status != "shortcut"].reset_index(drop=True)
    pd.testing.assert_frame_equal(own[bare.columns], bare, check_dtype=False)
    bold = [cell for row in cells for cell in row if cell.startswith("**")]
    assert bold == [cell for row in bare_cells for cell in row if cell.startswith("**")]


def test_label_efficiency_and_the_ablations_show_it(medical, cues, table):
    pair = ["rsna_labelled_abnormal"]
    for variant in ("random+labels_100", "random+labels_all"):
        medical.trained("label_efficiency", "rsna_labelled", variant=variant,
                        aurocs={"logit": 0.8}, batch_size=64)  # fmt: skip
    values = {("view_position", "rarity"): {pair[0]: 0.71}}
    files = [cues.write("rsna_labelled", values, study="label_efficiency")]
    entry = told("rsna_labelled", pair, "label_efficiency-rsna_labelled")
    _, cells, _ = table(medical, "table_label_efficiency", files, [entry], score="logit",
                        scores=["logit"])  # fmt: skip
    assert cells[-2:] == [[BEST, "not run"], [OF_FILES, "71.00 (view position)"]]
    _, cells, _ = table(medical, "table_batch_size", files, [entry], score="logit",
                        scores=["logit"])  # fmt: skip
    assert cells[-1] == [OF_FILES, "0.710 (view position)"]
    assert all("**0.800**" in row for row in cells[2:-2])


def test_a_pair_that_is_not_there_says_so(study, cues, table):
    lost = {("contrast", "either"): {"cifar100": 0.9, "svhn": "no_data", "average": "no_data"}}
    files = [cues.write("cifar10", lost)]
    _, cells, _ = table(with_models(study), "table_negative_sampling", files, [told("cifar10")])
    by_set = {row[0]: row[-1] for row in cells}
    assert by_set["SVHN"] == by_set["Average"] == "no data"
    assert by_set["CIFAR-100"] == "90.00 (contrast)"
    # Nor are its training images: then it has no file.
    rows, cells, _ = table(
        study, "table_negative_sampling", [], [told("cifar10", status="no_data")]
    )
    assert {row[-1] for row in cells[2:]} == {"no data"}
    assert set(rows[rows.system == "shortcut"].status) == {"no_data"}


def test_files_that_should_be_there_and_are_not_are_an_error(study, table):
    with pytest.raises(UserError, match="there are no shortcuts of natural-cifar10: make them"):
        table(with_models(study), "table_negative_sampling", [], [told("cifar10")])


def test_the_table_of_shortcuts_has_every_cue(study, cues, table):
    files = [cues.write("cifar10", NATURAL), cues.write("cifar100", {
        ("contrast", "either"): {"cifar10": 0.55}, ("contrast", "from_median"): {"cifar10": 0.5},
        ("sex", "rarity"): {"cifar10": 0.52},
    })]  # fmt: skip
    rows, cells, text = table(
        study, "table_shortcuts", files, [told("cifar10"), told("cifar100", ["cifar10"])],
        in_distribution=["cifar10", "cifar100"],
    )  # fmt: skip
    assert cells[0] == ["In-distribution", "Cue", "CIFAR-100", "SVHN", "CIFAR-10", "Average"]
    lines = [row for row in cells if row[1] == "contrast"]
    assert lines[0][2:] == ["**97.00** (60.00)", "70.00 (65.00)", "", "**83.50** (62.50)"]
    assert lines[1][2:] == ["", "", "**55.00** (50.00)", ""]
    (knn,) = (row for row in cells if row[1] == "pixel 10-NN" and row[2] == "40.00")
    assert knn[3] == "**99.00**"
    assert [row[1] for row in cells].count("sex") == 1  # of CIFAR-100 alone
    assert "Not applicable, since files are not there or do not say it: sex with CIFAR-10" in text
    assert BEST not in text.split("- ")[0]
    row = rows[(rows.score == "contrast") & (rows.dataset == "svhn") & (rows.way == "either")]
    assert row.iloc[0].direction == "larger" and row.iloc[0].measured == 70
    assert set(rows.status) <= {"shortcut", "not_applicable", "not_run"}
