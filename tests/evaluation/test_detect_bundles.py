"""New images against a bundle: the scores are those of the run's own folder, to the last bit."""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from support.detecting import finished, write_images
from support.dicoms import dicom

import ssl_ood as package
from ssl_ood.common.errors import UserError
from ssl_ood.common.files import read_json, write_json
from ssl_ood.evaluation.bundles.extras import Wishes
from ssl_ood.evaluation.bundles.make import make_bundle
from ssl_ood.evaluation.bundles.sources import Catalogue
from ssl_ood.evaluation.detect.detect import Wanted, detect

GREY = {"mode": "L", "range": [0, 3000]}


@pytest.fixture(scope="module", params=[None, GREY], ids=["usual", "grey of a range"])
def whole(request, tmp_path_factory):
    """A run; its evaluation names how the images are decoded, where that is not as usual."""
    run = finished(tmp_path_factory.mktemp("whole"))
    if request.param is not None:
        path = run.results / "evaluation" / f"{run.run}.json"
        write_json(path, read_json(path) | {"decoding": request.param})
    return run


@pytest.fixture(scope="module")
def new(tmp_path_factory):
    """Colours, greys, and a DICOM file of 12 bits, which a range makes other pixels of."""
    folder = tmp_path_factory.mktemp("new")
    write_images(folder, 12, seed=5)
    pixels = np.random.default_rng(0).integers(0, 4096, (24, 24), dtype=np.uint16)
    (folder / "scan.dcm").write_bytes(dicom(pixels, bits=12))
    return folder


def bundled(run, path, **wishes):
    """The bundle of a run as the only thing that is left of it."""
    make_bundle(run.results, run.run, path, Catalogue(), Wishes(**wishes))
    return path


def found(model, new, output, **wanted):
    """The folder of what was detected; names and pictures of the training images for its page."""
    shown = []
    wanted = Wanted(new, output, workers=1, **wanted)
    detect(
        model,
        wanted,
        lambda: torch.device("cpu"),
        lambda told: shown.extend((told.train.names, told.train.pictures)),
    )
    return output, shown


@pytest.mark.parametrize("score", [None, "cosine_tau@0.04", "mahalanobis"])
def test_from_python_the_scores_are_the_same_to_the_last_bit(whole, new, tmp_path, score):
    path = bundled(whole, tmp_path / "run.zip", features=True)
    model, ours = package.load(path, score), package.load(whole.folder, score)
    assert model.files.decoding == ours.files.decoding
    images = sorted(p for p in new.rglob("*") if p.is_file())
    scores = model.score(images)
    assert scores.tobytes() == ours.score(images).tobytes() and len(set(scores)) > 10
    assert model.p_values(scores).tobytes() == ours.p_values(scores).tobytes()
    picture = Image.open(images[0])
    assert model.score([picture]).tobytes() == ours.score([picture]).tobytes()


def test_the_calibration_is_the_one_that_came_along(whole, tmp_path):
    model = package.load(bundled(whole, tmp_path / "run.zip", features=True))
    kept = pq.read_table(whole.results / "scores" / f"{whole.run}.parquet").to_pandas()
    expected = kept[kept["role"] == "test"]["cosine_tau@0.040"]
    assert model.calibration.scores.tolist() == sorted(expected) and len(expected) == 70


def test_the_command_writes_the_same_files_where_all_was_asked_for(whole, new, tmp_path):
    path = bundled(whole, tmp_path / "run.zip", features=True, thumbnails=True, names=True)
    (theirs, shown), (ours, _) = (
        found(model, new, tmp_path / name) for name, model in (("a", path), ("b", whole.folder))
    )
    for name in ("detected.csv", "detected.json", "detected.parquet", "unreadable.csv"):
        assert (theirs / name).read_bytes() == (ours / name).read_bytes()
    assert (theirs / "detected.csv").read_text().count("\n") == 14
    images = np.load(whole.results / "data/toy/train-16px/images.npy")
    np.testing.assert_array_equal(shown[1], images)
    assert shown[0] == (whole.results / "data/toy/train-16px/files.txt").read_text().splitlines()


def test_names_and_pictures_are_there_only_where_they_were_asked_for(whole, new, tmp_path):
    path = bundled(whole, tmp_path / "run.zip", features=True)
    (theirs, shown), (ours, _) = (
        found(model, new, tmp_path / name) for name, model in (("a", path), ("b", whole.folder))
    )
    assert shown == [None, None]
    rows = [list(csv.DictReader((f / "detected.csv").open(newline=""))) for f in (theirs, ours)]
    for a, b in zip(*rows, strict=True):
        named = {key for key in a if key.startswith("nearest") and key.endswith("_name")}
        assert len(named) == 3 and not any(a[key] for key in named) and all(b[k] for k in named)
        assert all(a[key] == b[key] for key in a.keys() - named)


def test_without_features_it_says_how_they_come_along(whole, new, tmp_path):
    path = bundled(whole, tmp_path / "run.zip", names=True)
    with pytest.raises(UserError, match="made with --with-features") as said:
        package.load(path)
    assert "\n" not in str(said.value) and "/" not in str(said.value)
    with pytest.raises(UserError, match="made with --with-features"):
        found(path, new, tmp_path / "out")
    assert not (tmp_path / "out" / "detected.csv").exists()


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"maps": True}, "--maps needs the packed images of the run.* not here"),
        ({"score": "mahalanobis_classes"}, "labels of the training images, and .* not here"),
    ],
)
def test_what_needs_the_images_is_refused_without_a_word_of_where_it_was_unpacked(
    whole, new, tmp_path, wanted, said
):
    path = bundled(whole, tmp_path / "run.zip", features=True)
    with pytest.raises(UserError, match=said) as caught:
        found(path, new, tmp_path / "out", **wanted)
    assert "ssl_ood-bundle-" not in str(caught.value) and "\n" not in str(caught.value)


def test_a_run_that_does_not_say_how_its_images_are_decoded_is_not_bundled(whole, tmp_path):
    """Their metadata, which says it, does not come along; the scores would be others."""
    shutil.copytree(whole.results, tmp_path / "results")
    run = type(whole)(tmp_path / "results", whole.images, whole.run)
    task, meta = (
        run.results / "evaluation" / f"{run.run}.json",
        run.results / "data/toy/train-16px/meta.json",
    )
    write_json(task, {k: v for k, v in read_json(task).items() if k != "decoding"})
    write_json(meta, read_json(meta) | {"mode": "L"})
    with pytest.raises(UserError, match="does not say how its images are decoded"):
        bundled(run, tmp_path / "run.zip", features=True)
