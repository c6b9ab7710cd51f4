"""Figures exist in every format, their csv files have the right data."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from support.packed import write_packed

from ssl_ood.common.errors import UserError
from ssl_ood.measures.colours import color_distribution
from ssl_ood.report.figures.images import plot_image_grid
from ssl_ood.report.figures.style import strategy_styles
from ssl_ood.report.make import Files, make_figure

ROLES = {"near": "cifar100", "far": "texture", "in_distribution": ["cifar10"]}


def drawn(study, tmp_path, name, **options):
    prefix = tmp_path / "out" / name
    make_figure(study.spec(name, **(ROLES | options)), Files(study.write()), prefix)
    assert prefix.with_name(f"{name}.pdf").read_bytes()[:5] == b"%PDF-"
    assert prefix.with_name(f"{name}.png").read_bytes()[1:4] == b"PNG"
    return pd.read_csv(prefix.with_name(f"{name}.csv"))


def test_sensitivity_figure_has_a_point_a_strategy_in_four_panels(study, tmp_path, names):
    study.thesis()
    data = drawn(study, tmp_path, "figure_sensitivity")
    assert len(data) == 4 * 11 and (data.n == 3).all()
    for _, panel in data.groupby("panel"):
        assert set(panel.strategy) == set(names.strategies)
        assert panel.spearman.iloc[0] == pytest.approx(spearmanr(panel.x, panel.y).statistic)
    point = data[(data.metric == "knn_accuracy") & (data.dataset == "cifar100")].set_index(
        "strategy"
    )
    values = [float(row["value"]) for run, rows in study.rows.items() for row in rows
              if "cifar10-none-base" in run and row["metric"] == "knn_accuracy"]  # fmt: skip
    assert point.loc["none"].x == pytest.approx(100 * np.mean(values))
    assert point.loc["none"].x_spread == pytest.approx(100 * np.std(values, ddof=1))


def test_figures_of_one_seed_have_no_error_bars(study, tmp_path):
    study.thesis(seeds=[0])
    data = drawn(study, tmp_path, "figure_sensitivity")
    assert data.x_spread.isna().all() and (data.n == 1).all()


def test_occupied_soft_classes_figure(study, tmp_path):
    study.thesis()
    data = drawn(study, tmp_path, "figure_occupied_soft_classes").set_index("strategy")
    assert len(data) == 11
    assert data.loc["rot_indist"].x == round(1500 * (1.2 - 0.9196)) - 90


def test_a_figure_with_nothing_measured_says_so(study, tmp_path):
    study.run("cifar10", "none")
    study.runs[-1]["status"] = "no_data"
    with pytest.raises(UserError, match="knn_accuracy"):
        drawn(study, tmp_path, "figure_sensitivity")


def test_an_unknown_figure_is_named(study, tmp_path):
    with pytest.raises(UserError, match="unknown form of a figure 'nothing'"):
        make_figure(study.spec("figure_nothing"), Files(), tmp_path / "f")


def test_the_same_metrics_give_the_same_figure_files(study, tmp_path):
    study.thesis(seeds=[0])
    drawn(study, tmp_path, "figure_occupied_soft_classes")
    files = sorted((tmp_path / "out").iterdir())
    first = [f.read_bytes() for f in files]
    drawn(study, tmp_path, "figure_occupied_soft_classes")
    assert [f.read_bytes() for f in files] == first


def test_the_person_s_settings_of_matplotlib_change_no_figure(study, tmp_path):
    study.thesis(seeds=[0])
    drawn(study, tmp_path, "figure_occupied_soft_classes")
    ours = {path.suffix: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    settings = tmp_path / "matplotlibrc"
    settings.write_text("text.usetex: true\nfont.size: 20\nbackend: TkAgg\nsavefig.bbox: tight\n")
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps(study.spec("figure_occupied_soft_classes", **ROLES)))
    command = [sys.executable, "-m", "ssl_ood", "figure", "--spec", spec, "--measurements"]
    command += [*study.write(), "--output", tmp_path / "theirs"]
    environment = os.environ | {"MPLBACKEND": "nonsense", "MATPLOTLIBRC": str(settings)}
    subprocess.run(command, check=True, env=environment)
    assert set(ours) == {".csv", ".pdf", ".png"}
    assert ours == {path.suffix: path.read_bytes() for path in tmp_path.glob("theirs.*")}


def test_drawing_leaves_the_person_s_settings_as_they_were(study, tmp_path):
    import matplotlib

    study.thesis(seeds=[0])
    with matplotlib.rc_context({"font.size": 13, "axes.grid": False}):
        before = dict(matplotlib.rcParams)
        drawn(study, tmp_path, "figure_occupied_soft_classes")
        assert dict(matplotlib.rcParams) == before


def test_color_histograms_are_the_shares_of_pixels(study, tmp_path):
    rng = np.random.default_rng(0)
    folders = []
    for name, high in (("cifar10", 256), ("cifar100", 128)):
        images = rng.integers(0, high, (20, 8, 8, 3), dtype=np.uint8)
        folders.append(write_packed(tmp_path / name, images, dataset=name))
    spec = study.spec("figure_color_histograms")
    make_figure(spec, Files(images=folders), tmp_path / "f")
    data = pd.read_csv(tmp_path / "f.csv")
    assert len(data) == 2 * 3 * 256
    green = data[(data.dataset == "CIFAR-100") & (data.channel == "green")].share
    np.testing.assert_allclose(green, np.bincount(images[..., 1].ravel(), minlength=256) / 1280)
    assert green[128:].sum() == 0 and green.sum() == pytest.approx(1)


def test_grey_sets_have_one_histogram(study, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), dtype=np.uint8).repeat(3, 3)
    folder = write_packed(tmp_path / "grey", images, dataset="cifar10")
    make_figure(study.spec("figure_color_histograms"), Files(images=[folder]), tmp_path / "f")
    assert set(pd.read_csv(tmp_path / "f.csv").channel) == {"grey"}


def test_color_distribution_sums_to_one():
    images = np.full((3, 4, 4, 3), 7, dtype=np.uint8)
    distribution = color_distribution(images)
    assert distribution.shape == (3, 256) and (distribution[:, 7] == 1).all()


def test_image_grid_shows_the_pixels_it_is_given(tmp_path):
    import matplotlib.image as mpimg

    red = np.zeros((3, 8, 8, 3), dtype=np.uint8)
    red[..., 0] = 255
    green = np.zeros((2, 4, 4, 3), dtype=np.uint8)
    green[..., 1] = 255
    plot_image_grid([("red", red), ("green", green)], tmp_path / "g", "A title")
    pixels = mpimg.imread(tmp_path / "g.png")[..., :3]
    area_red = (pixels == [1, 0, 0]).all(-1).sum()
    area_green = (pixels == [0, 1, 0]).all(-1).sum()
    assert area_red / area_green == pytest.approx(3 / 2, rel=0.05)  # equal cells, 3 and 2 of them
    assert list(pd.read_csv(tmp_path / "g.csv").images) == [3, 2]


def test_an_empty_row_of_images_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="without images"):
        plot_image_grid([("none", np.zeros((0, 4, 4, 3), np.uint8))], tmp_path / "g")


def test_every_strategy_looks_different(names, study):
    pairs = study.spec("figure_sensitivity")["strategies"]
    for told in (pairs, None):
        styles = strategy_styles(names.strategies, told)
        assert len(set(styles.values())) == len(names.strategies)
    styles = strategy_styles(names.strategies, pairs)
    assert styles["rot_imgn"].marker == styles["rot_dti"].marker
    assert styles["rot_imgn"].colour == styles["imgn"].colour != styles["dti"].colour
