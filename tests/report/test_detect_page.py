"""The page of `ssl_ood detect`: whole by itself, small, and in a real browser where one is."""

from __future__ import annotations

import base64
import functools
import getpass
import io
import re
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.browser import Page, in_a_browser, refuse_other_addresses
from support.detecting import finished, scene
from support.situations import ssl_ood

from ssl_ood.evaluation.detect.detect import Wanted, detect
from ssl_ood.report.detect.distribution import distribution
from ssl_ood.report.detect.page import write_page
from ssl_ood.report.detect.pictures import overlay, picture

HOSTILE = "<img src=x onerror=alert(1)> & \"quotes\" 'ü'.png"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The page of 70 images, of one with a hostile name and of one that cannot be read."""
    folder = tmp_path_factory.mktemp("page")
    run = finished(folder)
    new = folder / "new images"
    shutil.copytree(run.images / "test", new)
    scene(np.random.default_rng(5), 30, 30).save(new / HOSTILE)
    (new / "bad.png").write_bytes(b"%PDF")
    output = folder / "out"
    about = detect(
        run.folder, Wanted(new, output, thumbnails=12, workers=1), lambda: torch.device("cpu"),
        lambda detection: write_page(detection, output),
    )  # fmt: skip
    return run, about, output


def test_the_page_needs_nothing_else(made):
    page = Page(made[2] / "detected.html")
    refuse_other_addresses(page)
    assert {a["href"][0] for a in page.all("a")} == {"#"}


def test_each_anomaly_stands_beside_its_nearest_training_images(made):
    run, _, output = made
    page = Page(output / "detected.html")
    pictures = page.all("img")
    assert len(pictures) == 12 * 4
    train = np.load(run.results / "data/toy/train-16px/images.npy")
    names = (run.results / "data/toy/train-16px/files.txt").read_text().splitlines()
    for i, image in enumerate(pictures):
        shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(image["src"].split(",")[1]))))
        if i % 4:
            assert np.array_equal(shown, train[names.index(image["alt"])])
    assert all(image["alt"] for image in pictures)


def test_names_are_text_whatever_they_are(made):
    page = Page(made[2] / "detected.html")
    assert HOSTILE in page.text
    assert not any("onerror" in attributes for _, attributes in page.tags)


def test_the_page_says_what_was_run_and_what_it_is_not(made):
    run, about, output = made
    text = Page(output / "detected.html").text
    alarms = about["false_alarms"]
    for said in (
        "not a medical device", run.run, about["weights_sha256"], "cosine_tau@0.040", "new images",
        "70 calibration images", "a rate of 5.0%",
        "No p-value is below 0.01408", f"{alarms['low']} to {alarms['high']}",
        f"{about['flagged']} of 71 images", "bad.png: is a PDF", "71 read, 1 unreadable",
    ):  # fmt: skip
        assert said in text, said


def test_nothing_tells_of_this_machine_or_its_user(made):
    _run, _, output = made
    private = [str(output.parent), str(Path.home()) + "/", socket.gethostname()]
    private += [getpass.getuser()] * (getpass.getuser() not in ("root", "runner"))
    for path in output.iterdir():
        content = path.read_bytes().decode("utf-8", "replace")
        content = re.sub('base64,[^"]*', "", content)  # pixels, where any two letters may stand
        for word in private:
            found = re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", content, re.ASCII)
            assert found is None, (path.name, word)


def test_a_run_without_its_images_shows_names_or_numbers(made, tmp_path):
    run = made[0]
    shutil.copytree(run.results, tmp_path / "results")
    shutil.rmtree(tmp_path / "results" / "data")
    folder = tmp_path / "results" / "runs" / run.run
    output = tmp_path / "out"
    wanted = Wanted(run.images / "test" / "a", output, thumbnails=3, workers=1)
    device = functools.partial(torch.device, "cpu")
    detect(folder, wanted, device, lambda detection: write_page(detection, output))
    page = Page(output / "detected.html")
    assert len(page.all("img")) == 3 and len(re.findall(r"training image \d+", page.source)) > 9


def test_a_picture_is_exact_up_to_64_pixels_and_small_beyond():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (64, 64, 3), np.uint8)
    content = base64.b64decode(picture(pixels).split(",")[1])
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(content))), pixels)
    large = picture(rng.integers(0, 256, (512, 512, 3), np.uint8))
    assert large.startswith("data:image/jpeg") and len(large) < 40_000


def test_an_overlay_is_clear_where_it_is_cold():
    address = overlay(np.array([[0.0, 1.0], [0.0, 1.0]], np.float32), (0.0, 1.0), 8)
    alpha = np.asarray(Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))))[..., 3]
    assert alpha[:, 0].max() == 0 and alpha[:, -1].min() == round(0.75 * 255)
    assert (np.diff(alpha.astype(int), axis=1) >= 0).all()


@pytest.mark.parametrize("logarithm", [False, True])
def test_a_distribution_of_equal_and_of_extreme_scores_is_drawn(logarithm):
    for scores in (np.ones(5), np.array([1e-9, 1e9]), np.array([2.0])):
        svg = distribution(np.ones(3), scores, 1.0, "score <x>", logarithm)
        assert "nan" not in svg and "inf" not in svg and "&lt;x&gt;" in svg
        ticks = re.findall(r'y="240"[^>]*>([^<]*)<', svg)
        assert len(set(ticks)) == 5, ticks
        xs = [float(x) for x in re.findall(r'x[12]="([\d.]+)"', svg)]
        assert xs and all(0 <= x <= 720 for x in xs)


# ---- in a browser

STEPS = """
  const body = document.querySelector("#images").tBodies[0];
  const column = (i) => [...body.rows].map((row) => row.cells[i].dataset.value);
  const press = (i) => document.querySelectorAll("#images th button")[i].click();
  told.first = column(0);
  press(2); told.up = column(2);
  press(2); told.down = column(2);
  told.sorted = document.querySelectorAll("#images th")[2].getAttribute("aria-sort");
  const filter = document.querySelector("#filter");
  filter.value = "onerror"; filter.dispatchEvent(new Event("input"));
  told.left = [...body.rows].filter((row) => !row.hidden).length;
  told.said = document.querySelector("#said").textContent;
"""


@pytest.mark.parametrize("width", [1280, 390])
def test_in_a_browser_it_sorts_filters_and_shows_every_image(made, tmp_path, width):
    told = in_a_browser(made[2] / "detected.html", width, STEPS, tmp_path)
    assert told["faults"] == []
    assert told["first"] == [str(i) for i in range(1, 72)]
    up = [float(value) for value in told["up"]]
    assert up == sorted(up) and len(set(up)) > 60
    assert [float(value) for value in told["down"]] == sorted(up, reverse=True)
    assert told["sorted"] == "descending"
    assert (told["left"], told["said"]) == (1, "1 of 71 rows")
    assert (told["broken"], told["images"]) == (0, 48)
    assert told["wide"] <= 0  # nothing sticks out: only the table scrolls


# ---- as typed


def test_the_command_line_ends_with_the_page(made, tmp_path):
    run = made[0]
    said = ssl_ood(
        "detect", run.folder, run.images / "test", "--device", "cpu", folder=tmp_path, timeout=600
    )
    assert (said.code, said.out) == (0, "detected-test/detected.html\n"), said.err
    assert "images are flagged by cosine_tau@0.040 at a rate of false alarms of 5.0%" in said.err
    assert re.search(r"ready after \d+\.\d s", said.err)
    assert {p.name for p in (tmp_path / "detected-test").iterdir()} == {
        "detected.csv", "detected.html", "detected.json", "detected.parquet", "unreadable.csv",
    }  # fmt: skip
