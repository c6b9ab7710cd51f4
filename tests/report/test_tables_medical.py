"""The tables of chapters 5 and 7 from synthetic metrics with known cells."""

from __future__ import annotations

import csv
import re

import pytest

BOTH = ["mahalanobis", "cosine_max"]
SPLITS = "train/test splits"


def rows_of(markdown, start):
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in markdown.splitlines()
        if line.startswith(f"| {start} ")
    ]


def row_of(markdown, start):
    (row,) = rows_of(markdown, start)
    return row


def three_splits(medical, **variants):
    """Runs of rsna_contrastive; AUROCs against opacity are value - 0.01, value, value + 0.01."""
    for variant, (value, batch) in variants.items():
        for seed in range(3):
            found = value + (seed - 1) / 100
            aurocs = {"rsna_opacity": found, "rsna_not_normal": found - 0.1,
                      "average": found - 0.05, "pooled": found - 0.07}  # fmt: skip
            medical.trained("rsna_contrastive", "rsna", variant=variant.replace("__", "."),
                            seed=seed, aurocs={"mahalanobis": aurocs}, knn=0.8,
                            batch_size=batch)  # fmt: skip
    return medical


def test_table_5_2_has_ours_below_the_other_methods(made, medical, reported, tmp_path):
    three_splits(medical, base=(0.935, 128))
    table, markdown, tex = made(medical, reported, tmp_path, "table_rsna_contrastive",
                                repeats=SPLITS, reported="table_5_2")  # fmt: skip
    assert row_of(markdown, "Ours") == [
        "Ours", "**0.935** ± 0.010", "**0.835** ± 0.010", "**0.865** ± 0.010",
    ]  # fmt: skip
    assert row_of(markdown, "  reported (Δ)") == [
        "reported (Δ)", "0.940 (−0.005)", "0.828 (+0.007)", "0.866 (−0.001)",
    ]  # fmt: skip
    classifier = row_of(markdown, "Automated Abnormality Classification")
    assert classifier[1:] == ["0.980", "—", "0.949"]  # with labels: best, but not in bold
    assert markdown.index("With labels") < markdown.index("ConVIRT") < markdown.index("UAE")
    cell = table.set_index(["strategy", "dataset"]).loc[("none", "pooled")]
    assert (cell.unit, cell.score, cell.over) == ("fraction", "mahalanobis", SPLITS)
    assert cell.measured == pytest.approx(0.865) and cell.reported == 0.866
    assert cell.difference == pytest.approx(-0.001)
    assert cell.low == pytest.approx(0.865 - 4.302653 * 0.01 / 3**0.5, abs=1e-6)
    assert "over 3 train/test splits" in markdown and "union of the OOD sets" in markdown
    assert tex.count(r"\midrule") == 3  # below the header, without labels, ours


def test_bold_goes_to_a_reported_method_that_is_better(made, medical, reported, tmp_path):
    three_splits(medical, base=(0.80, 128))
    _, markdown, _ = made(medical, reported, tmp_path, "table_rsna_contrastive", repeats=SPLITS,
                          reported="table_5_2")  # fmt: skip
    assert row_of(markdown, "UAE")[1:3] == ["**0.890**", "**0.780**"]
    assert row_of(markdown, "GAN one-class")[1:] == ["0.802", "—", "**0.841**"]
    assert "**" not in " ".join(row_of(markdown, "Ours"))


def test_batch_sizes_are_the_ones_of_the_runs(made, medical, reported, tmp_path):
    three_splits(medical, base=(0.935, 128), batch_64=(0.90, 64), batch_256=(0.93, 256))
    table, markdown, _ = made(medical, reported, tmp_path, "table_batch_size", repeats=SPLITS,
                              reported="isbi_table_3")  # fmt: skip
    rows = [row_of(markdown, size) for size in ("256", "128", "64")]
    assert [row[:4] for row in rows] == [
        ["256", "0.930 ± 0.010", "0.926", "+0.004"],
        ["128", "**0.935** ± 0.010", "0.940", "−0.005"],
        ["64", "0.900 ± 0.010", "0.916", "−0.016"],
    ]
    assert rows[1][4:] == ["**0.835** ± 0.010", "**0.865** ± 0.010"]  # no column of reported
    found = table[table.dataset == "rsna_opacity"].set_index("variant")
    assert found.loc["batch_64"].reported == 0.916
    assert found.loc["batch_64"].difference == pytest.approx(-0.016)


def test_augmentations_end_with_the_base_which_another_table_reports(
    made, medical, reported, tmp_path
):
    three_splits(medical, base=(0.935, 128), crop_0__4=(0.931, 128), jitter_0__25=(0.94, 128))
    _, markdown, _ = made(medical, reported, tmp_path, "table_augmentation", repeats=SPLITS,
                          reported=["isbi_table_4", "isbi_table_3"],
                          titles={"jitter_0.25": "Weaker jitter"})  # fmt: skip
    body = [line for line in markdown.splitlines() if line.startswith("|")][2:]
    assert [line.split("|")[1].strip() for line in body] == [
        "Crops of 0.4 and more", "Weaker jitter", "Base",
    ]  # fmt: skip
    assert row_of(markdown, "Base")[2] == "0.940"
    assert row_of(markdown, "Weaker jitter")[1:4] == ["**0.940** ± 0.010", "0.926", "+0.014"]


def test_pretraining_is_in_percent_with_wilson_intervals(made, medical, reported, tmp_path):
    medical.trained("rsna_pretraining", "rsna_labelled", knn=0.7801)
    medical.trained("rsna_pretraining", "rsna_labelled", variant="scratch", knn=0.75)
    table, markdown, _ = made(medical, reported, tmp_path, "table_pretraining",
                              reported="isbi_text")  # fmt: skip
    assert row_of(markdown, "Base") == ["Base", "**78.01**", "79.01", "−1.00"]
    assert row_of(markdown, "scratch") == ["scratch", "75.00", "—", "—"]
    assert "1-NN accuracy (%)" in markdown and "(Wilson)" in markdown
    cell = table.set_index("variant").loc["base"]
    assert (cell.metric, cell.unit, cell.reported) == ("knn_accuracy", "percent", 79.01)


def test_label_efficiency_counts_labels_down_the_rows(made, medical, reported, tmp_path):
    for name, value in (("random", 0.70), ("imagenet_con", 0.84)):
        for labels in ("all", "1000", "100"):
            gain = {"100": 0, "1000": 0.05, "all": 0.10}[labels]
            variant = f"{name}+labels_{labels}"
            if variant != "random+labels_1000":
                medical.trained("label_efficiency", "rsna_labelled", variant=variant,
                                aurocs={"logit": value + gain})  # fmt: skip
    table, markdown, tex = made(medical, reported, tmp_path, "table_label_efficiency",
                                scores=["logit"], reported="isbi_fig_3")  # fmt: skip
    body = [line for line in markdown.splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in body[0].strip("|").split("|")] == [
        "Labelled images", "Random", "ImageNet-Con",
    ]  # fmt: skip
    assert [line.split("|")[1].strip() for line in body[2:]] == [
        "100", "reported (Δ)", "1,000", "all", "reported (Δ)",
    ]  # fmt: skip
    assert row_of(markdown, "100") == ["100", "70.00", "**84.00**"]
    assert row_of(markdown, "1,000") == ["1,000", "not run", "**89.00**"]
    assert "82.97 (+1.03)" in markdown and "94.40 (−0.40)" in markdown
    cell = table.set_index("variant").loc["imagenet_con+labels_all"]
    assert (cell.initialisation, cell.labels, cell.score) == ("imagenet_con", "all", "logit")
    assert cell.measured == pytest.approx(94) and cell.reported == 94.4
    assert r"\multicolumn{2}{c}{Initialisation}" in tex


def medical_runs(medical, homes=("rsna", "lag", "hyper_kvasir"), seeds=(0,)):
    """Mahalanobis 0.90 and cosine 0.80 without negatives, a little more with each shift."""
    for home in homes:
        for i, strategy in enumerate(("none", "rot_both", "rot360_both", "perm4_both")):
            if (home, strategy) == ("hyper_kvasir", "rot360_both"):
                continue
            for seed in seeds:
                value = 0.90 + 0.01 * i + 0.001 * seed
                ood = ["rsna_opacity", "rsna_not_normal"] if home == "rsna" else [
                    "lag_glaucoma" if home == "lag" else "hyper_kvasir_polyp"]  # fmt: skip
                aurocs = {score: {o: value - less - 0.2 * j for j, o in enumerate(ood)}
                          for score, less in (("mahalanobis", 0), ("cosine_max", 0.1))}  # fmt: skip
                medical.trained("medical", home, strategy, seed=seed, aurocs=aurocs)
    return medical


def test_table_7_3_has_both_scores_in_a_cell(made, medical, reported, tmp_path):
    medical_runs(medical)
    homes = ["hyper_kvasir", "rsna", "lag"]
    table, markdown, _ = made(medical, reported, tmp_path, "table_shifts_medical", scores=BOTH,
                              in_distribution=homes, reported="table_7_3")  # fmt: skip
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0][2:] == ["None", "Rot.", "Rot-360", "Perm-4"]  # though the first has no Rot-360
    polyp, below, deltas = cells[2:5]
    assert polyp == ["Hyper-Kvasir", "Polyp", "0.900 (0.800)", "0.910 (0.810)", "not run",
                     "**0.930** (0.830)"]  # fmt: skip
    assert below[1:] == ["reported", "0.974 (0.875)", "0.989 (0.915)", "—", "0.996 (0.994)"]
    assert deltas[2] == "−0.074 (−0.075)" and deltas[4] == "—"
    assert [row[1] for row in cells[5:]] == ["Opacity", "reported", "Δ", "No opacity", "Glaucoma",
                                             "reported", "Δ"]  # fmt: skip
    found = table.set_index(["in_distribution", "dataset", "strategy", "score"])
    cell = found.loc[("lag", "lag_glaucoma", "rot_both", "cosine_max")]
    assert cell.measured == pytest.approx(0.81) and cell.reported == 0.879
    assert cell.difference == pytest.approx(-0.069)
    assert len(found) == 2 * (4 + 4 + 4 + 3)  # no row for what is not run


def test_table_7_3_of_several_seeds_has_spreads(made, medical, reported, tmp_path):
    medical_runs(medical, ["lag"], seeds=(0, 1, 2))
    _, markdown, _ = made(medical, reported, tmp_path, "table_shifts_medical", scores=BOTH,
                          show_reported=False)  # fmt: skip
    assert row_of(markdown, "LAG")[2] == "0.901 ± 0.001 (0.801 ± 0.001)"
    assert "reported" not in markdown and "Δ" not in markdown


def test_a_shift_that_failed_is_a_missing_cell(made, medical, reported, tmp_path):
    medical_runs(medical, ["lag"])
    failed = "medical-lag-rot_both-base-seed0"
    medical.rows[failed].clear()
    next(run for run in medical.runs if run["run"] == failed)["status"] = "no_weights"
    table, markdown, _ = made(medical, reported, tmp_path, "table_shifts_medical", scores=BOTH,
                              reported="table_7_3")  # fmt: skip
    assert row_of(markdown, "LAG")[3] == "no weights"
    assert "0.849 (0.879)" in markdown  # the thesis's value stays
    assert table[table.strategy == "rot_both"].measured.isna().all()


def test_table_7_1_compares_both_scores_with_other_methods(made, medical, reported, tmp_path):
    medical_runs(medical, ["rsna"])
    medical.runs = [run for run in medical.runs if run["strategy"] == "rot_both"]
    _, markdown, _ = made(medical, reported, tmp_path, "table_rsna", scores=BOTH,
                          strategies=["rot_both"], reported="table_7_1")  # fmt: skip
    assert row_of(markdown, "Ours, Mahalanobis") == ["Ours, Mahalanobis", "0.910", "0.710"]
    assert row_of(markdown, "Ours, cosine") == ["Ours, cosine", "0.810", "0.610"]
    assert row_of(markdown, "Contrastive (chapter 5)")[1:] == ["**0.940**", "**0.828**"]
    below = rows_of(markdown, "  reported (Δ)")
    assert below[0][1:] == ["0.941 (−0.031)", "0.841 (−0.131)"]
    assert below[1][1:] == ["0.764 (+0.046)", "0.714 (−0.104)"]
    assert "Negatives of ours: Rot. on RSNA." in markdown


def test_table_7_2_takes_each_dataset_s_own_strategy(made, medical, reported, tmp_path):
    medical_runs(medical, ["hyper_kvasir", "lag"])
    chosen = {"hyper_kvasir": ["perm4_both"], "lag": ["rot_both"]}
    medical.runs = [r for r in medical.runs if r["strategy"] in chosen[r["in_distribution"]]]
    table, markdown, tex = made(medical, reported, tmp_path, "table_medical", scores=BOTH,
                                strategies=chosen, reported="table_7_2")  # fmt: skip
    assert row_of(markdown, "Ours, Mahalanobis")[1:] == ["0.930", "**0.910**"]
    assert row_of(markdown, "CCD")[1:] == ["**0.972**", "0.874"]
    assert "Hyper-Kvasir Polyp" in markdown and r"\multicolumn{1}{c}{LAG}" in tex
    found = table.dropna(subset=["measured"]).set_index(["system", "strategy", "score"])
    assert found.loc[("ours", "perm4_both", "mahalanobis")].reported == 0.996
    assert found.loc[("ours", "rot_both", "cosine_max")].reported == 0.879


TABLES = {
    "table_rsna_contrastive": "table_5_2", "table_batch_size": "isbi_table_3",
    "table_augmentation": "isbi_table_4", "table_pretraining": "isbi_text",
    "table_label_efficiency": "isbi_fig_3", "table_rsna": "table_7_1",
    "table_medical": "table_7_2", "table_shifts_medical": "table_7_3",
}  # fmt: skip


@pytest.fixture
def small(medical):
    """One run of each kind, as in a demo: one dataset, one strategy, one seed."""

    def runs(name):
        if name == "table_label_efficiency":
            medical.trained("label_efficiency", "rsna_labelled", variant="imagenet_con+labels_100",
                            aurocs={"logit": 0.8})  # fmt: skip
            return ["logit"]
        if name == "table_pretraining":
            medical.trained("rsna_pretraining", "rsna_labelled", knn=0.7)
            return ["mahalanobis"]
        home = "lag" if name == "table_medical" else "rsna"
        strategy = "none" if name in list(TABLES)[:3] else "rot_both"
        where = "lag_glaucoma" if home == "lag" else "rsna_opacity"
        medical.trained("any", home, strategy, batch_size=64, aurocs={
            score: {where: 0.9, "pooled": 0.8} for score in BOTH})  # fmt: skip
        return BOTH

    return runs  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_no_reported_value_where_none_is_to_be_shown(made, medical, small, marked, tmp_path, name):
    options = {"scores": small(name), "reported": TABLES[name]}
    table, markdown, tex = made(medical, marked, tmp_path, name, show_reported=False, **options)
    assert "77.77" not in markdown + tex + table.to_csv()
    assert "eported" not in markdown + tex and "Δ" not in markdown
    assert table.reported.isna().all() and table.measured.notna().any()
    if name not in ("table_batch_size", "table_augmentation"):  # has no batch size of the base
        _, markdown, tex = made(medical, marked, tmp_path, name, show_reported=True, **options)
        assert re.search("77.77|7777", markdown) and re.search("77.77|7777", tex)


@pytest.mark.parametrize("name", TABLES)
def test_the_csv_has_what_is_printed(made, medical, small, reported, tmp_path, name):
    options = {"scores": small(name), "reported": TABLES[name]}
    table, markdown, _ = made(medical, reported, tmp_path, name, **options)
    lines = [line for line in markdown.splitlines() if line.startswith("|")][2:]
    printed = {n.replace("−", "-") for line in lines for n in re.findall(r"[+−]?\d+\.\d+", line)}
    digits = {"fraction": 3, "percent": 2}
    told = set()
    for row in table.itertuples():
        for value, sign in ((row.measured, ""), (row.reported, ""), (row.difference, "+")):
            told.add(f"{value:{sign}.{digits[row.unit]}f}")
    assert printed and printed <= told


@pytest.mark.parametrize("name", TABLES)
def test_every_row_has_every_column(made, medical, small, reported, tmp_path, name):
    options = {"scores": small(name), "reported": TABLES[name]}
    _, markdown, tex = made(medical, reported, tmp_path, name, **options)
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
    body = tex[tex.index(r"\toprule") : tex.index(r"\bottomrule")].split(r"\midrule", 1)[1]
    counts = {len(re.findall(r"(?<!\\)&", x)) for x in body.splitlines() if x.endswith(r"\\")}
    assert len(counts) == 1
    with open(tmp_path / "out" / f"{name}.csv", newline="") as file:
        assert all(None not in row.values() for row in csv.DictReader(file))
