"""A person's own images: read from folders and archives, split by patient, looked at for a plan."""

from __future__ import annotations

import os
import shutil
import tarfile
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.dicoms import dicom
from support.own_images import write_pictures, zipped

from ssl_ood.common.errors import UserError
from ssl_ood.datasets import scan as scanning
from ssl_ood.datasets.catalogue import from_dict
from ssl_ood.datasets.fetch import fetch
from ssl_ood.datasets.local import _listed, listing_of
from ssl_ood.datasets.own_split import PARTS, split_by_group
from ssl_ood.datasets.pack import pack
from ssl_ood.datasets.packed import open_packed
from ssl_ood.datasets.scan import scan
from ssl_ood.datasets.splits import write_split

SHARES = {"train": 0.7, "calibration": 0.15, "test": 0.15}


@pytest.fixture
def packed(tmp_path):
    """A function: packs the parts of places, by default all images; gives (label, pixels) by
    name."""

    def make(*places, parts=(None,), size=8, **options):
        splits = {part or "all": {"options": {"part": part}} for part in parts}
        archives = [{"file": place.name.partition(".")[0], "path": str(place)} for place in places]
        entry = {
            "title": "Own", "kind": "own", "access": "local", "reader": "own_images",
            "options": {"shares": SHARES, "seed": 0, **options}, "archives": archives,
            "splits": splits,
        }  # fmt: skip
        dataset = from_dict("own", entry)
        manifest = fetch(dataset, tmp_path / "downloads")
        found = {}
        for part in splits:
            folder = tmp_path / "data" / "own" / f"{part}-{size}px"
            pack(dataset, part, size, manifest, folder, workers=1)
            images = open_packed(folder)
            rows = zip(images.labels.tolist(), images.images, strict=True)
            found[part] = dict(zip(images.files, rows, strict=True))
        return dataset, found

    return make


def names(found):
    return {part: set(rows) for part, rows in found.items()}


# ---- reading


def test_a_folder_a_zip_and_a_tar_of_the_same_images_are_the_same_set(tmp_path, packed):
    folder = tmp_path / "films"
    write_pictures(folder / "cat" / "old", 4)
    write_pictures(folder / "dog", 3, seed=1)
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(b"")
    with tarfile.open(tmp_path / "films.tar.gz", "w:gz") as archive:
        archive.add(folder, "films")
    places = [folder, zipped(folder, tmp_path / "films.zip"), tmp_path / "films.tar.gz"]
    found = []
    for place in places:
        rows = packed(place)[1]["all"]
        found.append({name.removeprefix("films/"): row for name, row in rows.items()})
        shutil.rmtree(tmp_path / "data")
    assert len(found[0]) == 7
    expected = {f"cat/old/im{i:03d}.png": 0 for i in range(4)}
    expected |= {f"dog/im{i:03d}.png": 1 for i in range(3)}
    assert {name: label for name, (label, _) in found[0].items()} == expected
    for other in found[1:]:
        assert other.keys() == found[0].keys()
        for name, (label, pixels) in other.items():
            assert label == found[0][name][0] and (pixels == found[0][name][1]).all()


def test_two_folders_are_two_classes_and_files_of_one_name_stay_apart(tmp_path, packed):
    places = [write_pictures(tmp_path / n, 3, seed=i) for i, n in enumerate(["dog", "cat"])]
    rows = packed(*places)[1]["all"]
    expected = {f"cat/im{i:03d}.png": 0 for i in range(3)}
    expected |= {f"dog/im{i:03d}.png": 1 for i in range(3)}
    assert {name: label for name, (label, _) in rows.items()} == expected


@pytest.mark.parametrize(
    ("files", "options"),
    [
        (["a.png", "b.png"], {}),  # no folder
        (["one/a.png", "one/b.png"], {}),  # one folder
        (["one/a.png", "b.png"], {}),  # an image in none
        (["one/a.png", "two/b.png"], {"labels": "none"}),
        (["p1/a.png", "p1/b.png", "p2/c.png"], {"patients": {"pattern": r"^(p\d)/"}}),
    ],
)
def test_without_folders_that_tell_classes_there_are_no_labels(tmp_path, packed, files, options):
    for i, file in enumerate(files):
        write_pictures(tmp_path / "films", 1, seed=i, name=file)
    rows = packed(tmp_path / "films", **options)[1]["all"]
    assert {label for label, _ in rows.values()} == {-1} and len(rows) == len(files)


def test_dicom_files_without_an_ending_are_read_and_other_files_are_not(tmp_path, packed):
    folder = tmp_path / "study"
    folder.mkdir()
    for name in ("IM0001", "1.2.840.113619.2", "image.dcm"):
        (folder / name).write_bytes(dicom(np.full((9, 7), 80, np.uint8)))
    (folder / "README").write_text("no DICOM")
    (folder / "report.pdf").write_bytes(b"%PDF")
    rows = packed(folder)[1]["all"]
    assert set(rows) == {"IM0001", "1.2.840.113619.2", "image.dcm"}


# ---- the split


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=3, max_size=40),
    seed=st.integers(0, 99),
    train=st.floats(0.1, 0.8),
)
def test_no_group_is_on_two_sides_and_no_side_is_empty(sizes, seed, train):
    shares = {"train": train, "calibration": (1 - train) / 2, "test": (1 - train) / 2}
    groups = np.repeat(np.arange(len(sizes)), sizes)
    order = np.random.default_rng(seed).permutation(len(groups))
    whose = [f"patient {g}" for g in groups[order]]
    parts = split_by_group(whose, groups[order], shares, seed)
    for group in range(len(sizes)):
        assert len(set(parts[groups[order] == group])) == 1
    counts = np.bincount(parts, minlength=3)
    assert counts.min() > 0
    if len(sizes) >= 20:
        expected = len(groups) * np.array([shares[part] for part in PARTS])
        # A cut is off by the images of a group, and a side that was empty was given one.
        assert np.abs(counts - expected).max() <= 2 * max(sizes)
    again = split_by_group(whose[::-1], groups[order][::-1], shares, seed)
    assert (again[::-1] == parts).all()  # whatever the order of the listing


def test_an_image_more_leaves_the_others_on_their_sides():
    whose = [f"im{i}" for i in range(400)]
    before = split_by_group(whose, np.arange(400), SHARES, 0)
    after = split_by_group([*whose, "new"], np.arange(401), SHARES, 0)
    assert (before != after[:400]).sum() <= 2
    assert (split_by_group(whose, np.arange(400), SHARES, 1) != before).mean() > 0.2


def test_patients_and_copies_are_on_one_side_and_the_proof_is_written(tmp_path, packed):
    """A patient of two images, and a third whose file is a copy of one of the first's."""
    folder = write_pictures(tmp_path / "films", 60, name="{:03d}_a.png")
    write_pictures(folder, 60, seed=1, name="{:03d}_b.png")
    shutil.copy(folder / "003_a.png", folder / "007_c.png")
    dataset, found = packed(folder, parts=PARTS, patients={"pattern": r"^(\d+)_"})
    sides = names(found)
    assert sum(map(len, sides.values())) == 121 and len(set.union(*sides.values())) == 121
    assert {part: round(len(s) / 121, 1) for part, s in sides.items()} == {
        "train": 0.7, "calibration": 0.1, "test": 0.1,
    }  # fmt: skip
    side = {name: part for part, s in sides.items() for name in s}
    for i in range(60):
        assert side[f"{i:03d}_a.png"] == side[f"{i:03d}_b.png"]
    assert side["007_c.png"] == side["003_a.png"] == side["007_a.png"]
    told = write_split(
        {"own": dataset}, tmp_path / "data", "own/train", "own/test", 8, tmp_path / "split.json"
    )
    assert told["train"]["patients"] + told["test"]["patients"] <= 60


def test_a_table_names_the_patients(tmp_path, packed):
    folder = write_pictures(tmp_path / "films", 40)
    rows = [f"im{i:03d}.png,p{i % 13}\n" for i in range(40)]
    table = tmp_path / "patients.csv"
    table.write_text("file,who\n" + "".join(rows), encoding="utf-8")
    told = {"csv": str(table), "image": "file", "patient": "who"}
    dataset, found = packed(folder, parts=PARTS, patients=told)
    whose = {part: {dataset.group_of(name) for name in rows} for part, rows in found.items()}
    assert whose["train"] & whose["test"] == whose["train"] & whose["calibration"] == set()
    assert len(set.union(*whose.values())) == 13


def test_fewer_groups_than_sides_are_refused(tmp_path, packed):
    folder = write_pictures(tmp_path / "films", 10, name="{:01d}/a.png")
    message = "10 images in 1 group.s. cannot be split into training, calibration and test"
    with pytest.raises(UserError, match=message):
        packed(folder, parts=PARTS, patients={"pattern": "^()"})


# ---- a changed folder is seen


def test_the_state_of_a_folder_follows_every_file(tmp_path):
    folder = write_pictures(tmp_path / "films", 5, name="a/im{}.png")

    def state():
        _listed.cache_clear()
        return listing_of(folder).state

    seen = [state(), state()]
    assert seen[0] == seen[1]
    (folder / "a" / "im1.png").rename(folder / "a" / "im9.png")
    seen.append(state())
    content = (folder / "a" / "im2.png").read_bytes()
    time.sleep(0.01)
    (folder / "a" / "im2.png").write_bytes(content[:-1] + b"x")  # of the same size
    seen.append(state())
    (folder / "a" / "im2.png").unlink()
    seen.append(state())
    assert len(set(seen)) == 4
    (folder / ".DS_Store").write_bytes(b"x")
    assert state() == seen[-1]
    os.symlink(folder / "a" / "im3.png", folder / "link.png")
    files = [name for name, _, _ in listing_of(folder).files]
    _listed.cache_clear()
    assert [name for name, _, _ in listing_of(folder).files] == [*files, "link.png"]


# ---- a look at the images


def test_a_look_says_what_the_images_are(tmp_path):
    folder = write_pictures(tmp_path / "films", 9, size=(40, 64))
    write_pictures(folder, 4, size=(100, 160), name="large{}.png")
    found = scan({"films": str(folder)})
    assert (found.images, found.looked_at, found.side, found.aspect) == (13, 13, 40, 1.6)
    assert not (found.square or found.grey or found.dicom) and found.unreadable == 0
    assert found.mean == pytest.approx((0.5, 0.5, 0.5), abs=0.02)


def test_the_statistics_are_those_of_the_pixels(tmp_path):
    folder = write_pictures(tmp_path / "films", 20, size=(64, 64))
    pixels = np.stack([np.asarray(Image.open(p)) for p in sorted(folder.iterdir())]) / 255
    found = scan({"films": str(folder)})
    assert found.mean == pytest.approx(tuple(pixels.mean((0, 1, 2))), abs=0.006)
    assert found.std == pytest.approx(tuple(pixels.std((0, 1, 2))), abs=0.006)


def test_grey_pictures_in_three_channels_are_grey(tmp_path):
    folder = write_pictures(tmp_path / "films", 6, grey=True)
    for path in folder.iterdir():
        Image.open(path).convert("RGB").save(path.with_suffix(".bmp"))
        path.unlink()
    assert scan({"films": str(folder)}).grey


def test_what_cannot_be_read_is_counted_and_nothing_but_that_is_refused(tmp_path):
    folder = write_pictures(tmp_path / "films", 5)
    (folder / "torn.png").write_bytes((folder / "im000.png").read_bytes()[:20])
    found = scan({"films": str(folder)})
    assert (found.images, found.unreadable) == (6, 1) and found.reason.startswith("torn.png: ")
    for path in folder.glob("im*"):
        path.unlink()
    _listed.cache_clear()
    with pytest.raises(UserError, match="none of 1 images that were looked at can be read"):
        scan({"films": str(folder)})


def test_what_was_seen_is_kept_until_the_folder_changes(tmp_path, monkeypatch):
    folder, kept = write_pictures(tmp_path / "films", 6), tmp_path / "kept"
    first = scan({"films": str(folder)}, kept)
    calls = []
    real = scanning._scan
    monkeypatch.setattr(scanning, "_scan", lambda listings: calls.append(1) or real(listings))
    _listed.cache_clear()
    assert scan({"films": str(folder)}, kept) == first and not calls
    write_pictures(folder, 1, seed=5, name="new.png")
    _listed.cache_clear()
    assert scan({"films": str(folder)}, kept).images == 7 and calls
    (next(kept.iterdir())).write_text("{")
    assert scan({"films": str(folder)}, kept).images == 7
