"""The figures of chapters 5 and 7: their data, and what they say of it."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.stats import gaussian_kde

from ssl_ood.common.errors import UserError
from ssl_ood.common.proofs import write_rows
from ssl_ood.report import commands as report_commands
from ssl_ood.report.figures.scores import density
from ssl_ood.report.make import Files, make_figure

NOTHING = Files()


def drawn(medical, tmp_path, name, files=NOTHING, folder=None, **options):
    prefix = tmp_path / "out" / name
    files = replace(files, measurements=medical.write(), reported=folder)
    make_figure(medical.spec(name, **options), files, prefix)
    assert prefix.with_name(f"{name}.pdf").read_bytes()[:5] == b"%PDF-"
    assert prefix.with_name(f"{name}.png").read_bytes()[1:4] == b"PNG"
    return pd.read_csv(prefix.with_name(f"{name}.csv"))


def fine_tunings(medical, seeds=(0,)):
    for name, value in (("imagenet_con", 0.84), ("random", 0.70)):
        for labels, gain in (("100", 0.0), ("1000", 0.05), ("all", 0.1)):
            for seed in seeds:
                medical.trained("label_efficiency", "rsna_labelled", seed=seed,
                                variant=f"{name}+labels_{labels}",
                                aurocs={"logit": value + gain + seed / 100})  # fmt: skip


def test_label_efficiency_has_every_point_and_the_reported_ones(medical, reported, tmp_path):
    fine_tunings(medical)
    data = drawn(medical, tmp_path, "figure_label_efficiency", folder=reported,
                 scores=["logit"], reported="isbi_fig_3")  # fmt: skip
    found = data.set_index(["initialisation", "labels"])
    told = found.reported.dropna()
    assert told.to_dict() == {("imagenet_con", "100"): 82.97, ("imagenet_con", "all"): 94.4}
    assert len(found) == 6
    assert found.loc[("imagenet_con", "1000")].measured == pytest.approx(89)
    assert found.loc[("random", "all")].low == pytest.approx(79)


def test_a_figure_of_nothing_measured_says_so(medical, tmp_path):
    medical.run("rsna_labelled", "none", variant="random+labels_100", ood=["x"], study="l")
    medical.runs[-1]["status"] = "no_data"
    with pytest.raises(UserError, match="figure_label_efficiency"):
        drawn(medical, tmp_path, "figure_label_efficiency", scores=["logit"])
    with pytest.raises(UserError, match="negatives"):
        drawn(medical, tmp_path, "figure_negative_sources")
    with pytest.raises(UserError, match="--scores"):
        drawn(medical, tmp_path, "figure_score_distributions")


def test_negative_sources_go_to_the_panels_that_compare_them(medical, tmp_path):
    sources = {"rsna": ["indist", "auxiliary", "both", "outdomain"], "lag": ["indist", "both"]}
    for home, roles in sources.items():
        for i, role in enumerate(roles):
            for seed in (0, 1, 2):
                value = {"lag": 0.8, "rsna": 0.9}[home] + i / 100 + seed / 1000
                medical.trained("medical", home, f"rot_{role}", seed=seed,
                                aurocs={"mahalanobis": value})  # fmt: skip
    strategies = {home: [f"rot_{role}" for role in roles] for home, roles in sources.items()}
    data = drawn(medical, tmp_path, "figure_negative_sources", strategies=strategies)
    left = data[data.panel == "Source of the negatives"]
    right = data[data.panel == "Domain of the auxiliary images"]
    assert set(left.source) == {"in_distribution", "auxiliary", "both"}
    assert set(right.source) == {"auxiliary", "out_domain"}
    assert set(right.in_distribution) == {"rsna"}
    both = left[(left.source == "both") & (left.in_distribution == "rsna")].iloc[0]
    assert both.measured == pytest.approx(0.921) and both.unit == "fraction"
    assert both.high == pytest.approx(0.921 + 4.302653 * 0.001 / 3**0.5, abs=1e-6)


def test_one_dataset_without_other_domains_has_one_panel(medical, tmp_path):
    for role in ("indist", "auxiliary", "both"):
        medical.trained("medical", "lag", f"rot_{role}", aurocs={"mahalanobis": 0.8})
    data = drawn(medical, tmp_path, "figure_negative_sources")
    assert set(data.panel) == {"Source of the negatives"} and len(data) == 3


def scored(medical, seeds=(0,)):
    """Runs with scores files beside their metrics."""
    rng, paths = np.random.default_rng(0), []
    for seed in seeds:
        name = medical.trained("rsna_contrastive", "rsna", seed=seed, aurocs={"mahalanobis": 0.9})
        parts = [
            ("test", "rsna", 50, 0.0),
            ("ood", "rsna_opacity", 70, 0.8),
            ("ood", "rsna_not_normal", 90, 0.4),
            ("sensitivity_test", "rsna", 50, 3.0),
        ]
        table = pd.concat(
            pd.DataFrame({"role": role, "dataset": dataset, "label": -1,
                          "mahalanobis": 100 * rng.lognormal(shift, 0.3, n)})
            for role, dataset, n, shift in parts
        )  # fmt: skip
        folder = medical.folder.with_name("scores")
        folder.mkdir(exist_ok=True)
        paths.append(folder / f"{name}.parquet")
        write_rows(pa.Table.from_pandas(table, preserve_index=False), paths[-1], {"run": name})
    return paths


def test_score_distributions_are_densities_of_the_right_images(medical, tmp_path):
    files = scored(medical, seeds=(0, 1))
    data = drawn(medical, tmp_path, "figure_score_distributions", Files(scores=files))
    assert set(data.run) == {path.stem for path in files}
    counts = data.groupby("set").n.unique().map(list).to_dict()
    assert counts == {"rsna": [50], "rsna_opacity": [70], "rsna_not_normal": [90]}
    assert data.x.nunique() == 400 and (data.per == "decade").all()  # one axis for all
    for _, curve in data.groupby(["run", "set"]):
        area = np.trapezoid(curve.density, np.log10(curve.x))
        assert area == pytest.approx(1, abs=0.03)


def test_scores_of_other_runs_are_left_out(medical, tmp_path):
    (path,) = scored(medical)
    other = path.with_name("another-run.parquet")
    other.write_bytes(path.read_bytes())
    data = drawn(medical, tmp_path, "figure_score_distributions", Files(scores=[other, path]))
    assert set(data.run) == {path.stem}


def test_a_score_that_is_not_in_the_file_is_named(medical, tmp_path):
    files = scored(medical)
    with pytest.raises(UserError, match="cosine_max"):
        drawn(medical, tmp_path, "figure_score_distributions", Files(scores=files),
              score="cosine_max")  # fmt: skip


def test_the_density_is_scipy_s_with_the_same_bandwidth():
    values = np.random.default_rng(0).normal(2, 0.5, 300)
    grid = np.linspace(0, 4, 50)
    low, high = np.quantile(values, [0.25, 0.75])
    width = 0.9 * min(values.std(ddof=1), (high - low) / 1.34) * 300**-0.2
    expected = gaussian_kde(values, bw_method=width / values.std(ddof=1))(grid)
    np.testing.assert_allclose(density(values, grid), expected, rtol=1e-9)


def test_equal_scores_have_a_density_too():
    grid = np.linspace(0, 1, 11)
    assert np.isfinite(density(np.full(5, 0.5), grid)).all()


def test_the_command_line_draws_from_scores(medical, tmp_path):
    files = scored(medical)
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps(medical.spec("figure_score_distributions")))
    parser = argparse.ArgumentParser()
    report_commands.add_parsers(parser.add_subparsers())
    options = parser.parse_args(
        ["figure", "--spec", str(spec), "--measurements",
         *map(str, medical.write()), "--scores", *map(str, files), "--output", str(tmp_path / "f")]
    )  # fmt: skip
    options.run(options)
    assert (tmp_path / "f.png").exists()
