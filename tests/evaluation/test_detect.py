"""New images against a run, as `ssl_ood detect` and `ssl_ood.load` score them."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from support.detecting import finished
from support.dicoms import dicom

import ssl_ood as package
from ssl_ood.common.errors import UserError
from ssl_ood.common.files import read_json, write_json
from ssl_ood.evaluation.detect.detect import Wanted, detect
from ssl_ood.evaluation.detect.detector import Detector
from ssl_ood.evaluation.detect.files import COLUMNS
from ssl_ood.evaluation.detect.run_files import choose_score, opened_run
from ssl_ood.evaluation.detect.scan import rechunked
from ssl_ood.evaluation.detect.source import Unreadable, images_of
from ssl_ood.evaluation.score_files import read_scores

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return finished(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def run(whole, tmp_path):
    """A copy of the finished run, whose files a test may change."""
    shutil.copytree(whole.results, tmp_path / "results")
    return type(whole)(tmp_path / "results", whole.images, whole.run)


def scored(run, folder, output, **wanted):
    """What was run, the rows of the csv, and what the page is made of."""
    shown = []
    wanted = Wanted(folder, output, workers=1, **wanted)
    about = detect(run.folder, wanted, lambda: CPU, shown.append)
    with open(output / "detected.csv", encoding="utf-8", newline="") as file:
        return about, list(csv.DictReader(file)), shown[0]


@pytest.mark.parametrize("fit", ["crop", "squash"])
def test_features_of_the_original_files_are_those_that_evaluate_kept_to_the_last_bit(
    whole, tmp_path, fit
):
    """Also with a damaged file between them: the groups of a pass of the network are the same."""
    run = whole if fit == "crop" else finished(tmp_path / "squash", fit=fit)
    shutil.copytree(run.images / "test", tmp_path / "new")
    (tmp_path / "new" / "a" / "0001x.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    with opened_run(run.folder) as files:
        detector = Detector(files, choose_score(files, None))
    unreadable = Unreadable()
    blocks = images_of(tmp_path / "new", files.decoding, unreadable, 1)
    chunks = list(rechunked(blocks, detector.batch, 4 * detector.batch))
    features = np.concatenate([detector.features(pixels) for _, pixels, _ in chunks])
    kept = np.load(run.features / "toy-test.npy")
    assert unreadable.count == 1 and len(chunks) > 1
    assert features.tobytes() == kept.tobytes()
    packed = np.load(
        run.results
        / "data"
        / "toy"
        / f"test-16px{'' if fit == 'crop' else '-squash'}"
        / "images.npy"
    )
    assert np.concatenate([pixels for _, pixels, _ in chunks]).tobytes() == packed.tobytes()


def test_rows_are_what_a_slow_reference_makes_of_the_features(whole, tmp_path):
    about, rows, _ = scored(whole, whole.images / "test", tmp_path)
    table = read_scores(whole.results / "scores" / f"{whole.run}.parquet")
    known = table["cosine_tau@0.040"][table["role"] == "test"]
    names = sorted(
        p.relative_to(whole.images / "test").as_posix()
        for p in (whole.images / "test").rglob("*.png")
    )
    assert [row["name"] for row in rows] == names
    scores = np.array([float(row["score"]) for row in rows])
    np.testing.assert_allclose(scores, known, atol=1e-4)
    assert [float(row["p"]) for row in rows] == [(1 + (known >= s).sum()) / 71 for s in scores]
    assert [int(row["rank"]) for row in rows] == [1 + int((scores > s).sum()) for s in scores]
    third = np.sort(known)[::-1][2]  # floor(0.05 * 71) = 3
    assert [row["flagged"] for row in rows] == ["true" if s > third else "false" for s in scores]
    alarms = about["false_alarms"]
    assert (alarms["rank_of_threshold"], alarms["threshold"]) == (3, third)
    unit = [
        f / np.linalg.norm(f, axis=1, keepdims=True)
        for f in (
            np.load(whole.features / f"toy-{split}.npy").astype(float)
            for split in ("test", "train")
        )
    ]
    cosines = unit[0] @ unit[1].T
    for row, own in zip(rows, cosines, strict=True):
        best = np.sort(own)[::-1][:3]
        found = [float(row[f"nearest_{i}_similarity"]) for i in (1, 2, 3)]
        np.testing.assert_allclose(found, best, atol=1e-6)
        index = int(row["nearest_1"])
        assert own[index] == pytest.approx(best[0], abs=1e-6)
    trained_on = (whole.results / "data/toy/train-16px/files.txt").read_text().splitlines()
    assert all(row["nearest_2_name"] == trained_on[int(row["nearest_2"])] for row in rows)


def test_the_parquet_file_has_the_columns_of_the_csv_and_tells_what_they_are(whole, tmp_path):
    about, rows, _ = scored(whole, whole.images / "test", tmp_path)
    table = pq.read_table(tmp_path / "detected.parquet")
    assert table.column_names == list(COLUMNS) == list(rows[0])
    assert table["score"].to_pylist() == [float(row["score"]) for row in rows]
    assert table["flagged"].to_pylist() == [row["flagged"] == "true" for row in rows]
    described = {f.name: f.metadata[b"description"].decode() for f in table.schema}
    assert described == COLUMNS
    assert read_json(tmp_path / "detected.json") == about
    assert {p.name for p in tmp_path.iterdir()} == {
        "detected.csv", "detected.parquet", "detected.json", "unreadable.csv",
    }  # fmt: skip


def test_from_python_in_three_lines(whole, tmp_path):
    _, rows, _ = scored(whole, whole.images / "test", tmp_path)
    model = package.load(whole.folder)
    paths = [whole.images / "test" / row["name"] for row in rows]
    scores = model.score(paths)
    assert scores.tolist() == [float(row["score"]) for row in rows]
    pictures = [Image.open(path) for path in paths[:3]]
    mixed = [pictures[0], np.asarray(pictures[1]), str(paths[2]), paths[3].read_bytes()]
    np.testing.assert_allclose(model.score(mixed), scores[:4], rtol=1e-6)
    assert model.p_values(scores).tolist() == [float(row["p"]) for row in rows]
    assert model.flagged(scores).tolist() == [row["flagged"] == "true" for row in rows]
    assert model.score([]).shape == (0,)
    with pytest.raises(UserError, match=r"image 0 cannot be read \(an array of float64"):
        model.score([np.zeros((4, 4))])
    with pytest.raises(UserError, match=r"nowhere.png cannot be read \(No such file"):
        model.score([tmp_path / "nowhere.png"])


def test_a_folder_a_zip_and_a_tar_of_it_give_the_same_rows(whole, tmp_path):
    folder = whole.images / "test"
    _, expected, _ = scored(whole, folder, tmp_path / "folder")
    names = [row["name"] for row in expected]
    with zipfile.ZipFile(tmp_path / "new.zip", "w") as archive:
        for name in names:
            archive.write(folder / name, name)
    for file, mode in (("new.tar", "w"), ("new.tar.gz", "w:gz")):
        with tarfile.open(tmp_path / file, mode) as archive:
            for name in names:
                archive.add(folder / name, name)
    for file, capital in (("new.zip", "NEW.ZIP"), ("new.tar.gz", "NEW.TAR.GZ")):
        shutil.copy(tmp_path / file, tmp_path / capital)
    for file in ("new.zip", "new.tar", "new.tar.gz", "NEW.ZIP", "NEW.TAR.GZ"):
        assert scored(whole, tmp_path / file, tmp_path / "out")[1] == expected, file
    _, one, _ = scored(whole, folder / names[4], tmp_path / "out")
    assert [row["name"] for row in one] == ["0008.png"]
    assert float(one[0]["score"]) == pytest.approx(float(expected[4]["score"]), rel=1e-6)


def test_what_cannot_be_read_is_listed_and_what_is_no_image_is_counted(whole, tmp_path):
    new = tmp_path / "new"
    shutil.copytree(whole.images / "test" / "a", new / "sub")
    pixels = np.arange(600, dtype=np.uint8).reshape(20, 30)
    (new / "1.2.840.1").write_bytes(dicom(pixels))
    (new / "IM0001").write_bytes(dicom(pixels))
    (new / "cut.png").write_bytes((whole.images / "test/a/0002.png").read_bytes()[:90])
    (new / "empty.jpg").touch()
    (new / "phone.HEIC").write_bytes(b"x")
    (new / "page.png").write_text("<!DOCTYPE html><html>sign in</html>")
    for name in ("README", "notes.txt", "labels.csv"):
        (new / name).write_text("no image")
    (new / ".hidden.png").touch()
    (new / "lost.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(new / "pipe.png")
    os.fsencode(new)
    with open(os.fsencode(new) + b"/caf\xe9.png", "wb") as file:
        file.write((whole.images / "test/a/0002.png").read_bytes())
    about, rows, shown = scored(whole, new, tmp_path / "out")
    names = [row["name"] for row in rows]
    assert {"1.2.840.1", "IM0001", r"caf\xe9.png", "sub/0002.png"} <= set(names)
    assert len(names) == 38 == about["images"] and about["other_files"] == 3
    told = list(csv.reader(io.StringIO((tmp_path / "out/unreadable.csv").read_text())))
    assert told[0] == ["name", "reason"]
    reasons = dict(told[1:])
    assert reasons.keys() == {
        "cut.png", "empty.jpg", "phone.HEIC", "page.png", "lost.png", "pipe.png",
    }  # fmt: skip
    assert reasons["empty.jpg"] == "is empty (0 bytes)"
    assert reasons["phone.HEIC"] == "is of a kind that is not read (.heic)"
    assert reasons["lost.png"] == "a link that leads nowhere"
    assert reasons["pipe.png"] == "no file but a pipe"
    assert about["unreadable"] == 6 == shown.unreadable.count
    assert not any(str(tmp_path) in why for why in reasons.values())


def test_the_most_anomalous_images_are_kept_to_be_shown(whole, tmp_path):
    _, rows, shown = scored(whole, whole.images / "test", tmp_path, thumbnails=5)
    assert [row["rank"] for row in shown.found.rows] == list(range(1, 71))
    kept = shown.found.shown
    packed = np.load(whole.results / "data/toy/test-16px/images.npy")
    assert [rows[one.index]["rank"] for one in kept] == ["1", "2", "3", "4", "5"]
    assert all(np.array_equal(one.pixels, packed[one.index]) for one in kept)


def test_scores_by_name_and_by_temperature(whole, tmp_path):
    for score, column in (("mahalanobis", "mahalanobis"), ("cosine_tau@0.1", "cosine_tau@0.100")):
        about, rows, _ = scored(whole, whole.images / "test", tmp_path, score=score)
        assert about["score"] == column and about["score_because"] == "it was asked for"
        assert len({row["score"] for row in rows}) > 60
        # The same images: each has one calibration score beside its own.
        ranks = np.array([[float(row["p"]) * 71 - 1, int(row["rank"])] for row in rows])
        assert np.abs(ranks[:, 0] - ranks[:, 1]).max() <= 2
    for score, said in (
        ("cosine_tua", "did you mean 'cosine_tau'"), ("cosine_tau@x", "not a temperature"),
        ("mahalanobis@0.1", "has no temperature"), ("cosine_tau@-1", "above 0"),
        ("logit", "logit"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=said):
            scored(whole, whole.images / "test", tmp_path / "no", score=score)


def test_a_calibration_split_goes_before_the_test_split(run, tmp_path):
    path = run.results / "evaluation" / f"{run.run}.json"
    write_json(path, {**read_json(path), "calibration_split": "train"})
    about, _, shown = scored(run, run.images / "test", tmp_path / "out")
    assert about["calibration"] == {"set": "toy-train", "images": 80, "role": "calibration"}
    train = np.load(run.features / "toy-train.npy")
    own = package.load(run.folder)._of_features(train)
    assert shown.calibration.tolist() == sorted(own.tolist())


def test_images_are_decoded_as_those_of_the_training(run, tmp_path):
    path = run.results / "evaluation" / f"{run.run}.json"
    write_json(path, {**read_json(path), "decoding": {"mode": "L", "range": [0, 1000]}})
    with opened_run(run.folder) as files:
        assert (files.decoding.grey, files.decoding.scale) == (True, (0.0, 1000.0))
    meta = run.results / "data/toy/train-16px/meta.json"
    write_json(path, {k: v for k, v in read_json(path).items() if k != "decoding"})
    write_json(meta, {**read_json(meta), "mode": "L"})
    with opened_run(run.folder) as files:
        assert files.decoding.grey and files.decoding.scale is None


def test_without_features_of_the_training_images_it_says_what_is_missing(run, tmp_path):
    for path in run.features.glob("toy-train.*"):
        path.unlink()
    with pytest.raises(UserError, match=r"without the features .* cosine_tau needs"):
        package.load(run.folder)


def test_damage_and_mistakes_are_one_sentence(run, tmp_path):
    new = run.images / "test"

    def refused(said, folder=new, **wanted):
        with pytest.raises(UserError, match=said):
            scored(run, folder, tmp_path / "out", **wanted)
        assert not (tmp_path / "out" / "detected.csv").exists()

    refused("There is no ", tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    refused("holds no image", tmp_path / "empty")
    (tmp_path / "empty" / "x.png").write_bytes(b"%PDF-1.4")
    refused("None of the 1 images .* x.png, is a PDF", tmp_path / "empty")
    (tmp_path / "x.7z").touch()
    refused("an archive that is read here", tmp_path / "x.7z")
    (tmp_path / "x.zip").write_bytes(b"PK\x03\x04 and no more")
    refused("truncated or damaged", tmp_path / "x.zip")
    refused("too few for a false-alarm rate of 0.01", false_alarms=0.01)
    refused("not between 0 and 1", false_alarms=5)
    with pytest.raises(UserError, match="is not a trained run"):
        package.load(tmp_path)
    features = run.features / "toy-train.npy"
    content = bytearray(features.read_bytes())
    content[-1] ^= 1
    features.write_bytes(content)
    refused("are damaged or not those of")
    scores = run.results / "scores" / f"{run.run}.parquet"
    scores.write_bytes(scores.read_bytes()[:-9])
    shutil.copytree(run.results / "features", tmp_path / "f", dirs_exist_ok=True)
    with pytest.raises(UserError, match="damaged"):
        package.load(run.folder)
    (run.results / "evaluation" / f"{run.run}.json").unlink()
    with contextlib.chdir(run.results.parent):
        path = f"{run.results.name}/measurements/{run.run}.parquet"
        refused(f"was not evaluated.* `snakemake --cores 1 {path}`, with the --configfile")
    weights = run.folder / "model.safetensors"
    weights.unlink()
    refused("is not a trained run")


def test_chunks_are_whole_groups_and_no_image_is_lost():
    rng = np.random.default_rng(0)
    sizes = rng.integers(0, 9, 40)
    images = rng.integers(0, 256, (sizes.sum(), 2, 2, 3), np.uint8)
    ends = np.cumsum(sizes)
    names = [str(i) for i in range(len(images))]
    blocks = (
        (names[e - n : e], images[e - n : e], int(n) + 1) for e, n in zip(ends, sizes, strict=True)
    )
    chunks = list(rechunked(blocks, 4, 16))
    assert [len(pixels) for _, pixels, _ in chunks][:4] == [4, 8, 16, 16]
    assert [len(p) % 4 for _, p, _ in chunks[:-1]] == [0] * (len(chunks) - 1)
    assert [name for n, _, _ in chunks for name in n] == names
    assert np.array_equal(np.concatenate([p for _, p, _ in chunks]), images)
    assert sum(count for _, _, count in chunks) == sizes.sum() + 40


def test_the_unreadable_files_of_a_folder_do_not_pile_up():
    told = []
    unreadable = Unreadable(lambda name, why: told.append(name), most=3)
    for i in range(10):
        unreadable.add(f"{i}\n", "why")
    assert (unreadable.count, len(unreadable.first), len(told)) == (10, 3, 10)
    assert told[0] == "0\\n"


def test_the_folder_of_a_run_may_be_named_from_within_it(whole, monkeypatch):
    monkeypatch.chdir(whole.folder)
    with opened_run(Path(".")) as files:
        assert files.run == whole.run and files.results == whole.results


def test_the_documentation_has_the_columns_as_they_are():
    text = (Path(__file__).parents[2] / "docs" / "detect.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert rows == [f"| `{name}` | {meaning} |" for name, meaning in COLUMNS.items()]
