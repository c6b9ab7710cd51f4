"""The demo's medical part: areas that do not touch, lesions where they are said to be."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from ssl_ood.common.errors import UserError
from ssl_ood.datasets.demo.lesions import KINDS, draw
from ssl_ood.datasets.fetch import fetch
from ssl_ood.datasets.installed import installed_file
from ssl_ood.datasets.pack import pack
from ssl_ood.datasets.packed import open_packed
from ssl_ood.datasets.readers import open_split
from ssl_ood.datasets.splits import write_split

SIZE = 32
COUNTS = {
    "demo_retina": {"train": 700, "test": 220, "train_0": 700, "test_0": 220, "train_1": 700,
                    "test_1": 220},
    "demo_retina_opacity": {"test": 220},
    "demo_retina_spots": {"test": 220},
    "demo_retina_labelled": {"train": 800, "test": 400, "test_normal": 200},
    "demo_retina_labelled_abnormal": {"test": 200},
    "demo_retina_auxiliary": {"train": 600},
    "demo_tissue": {"train": 700, "test": 220},
    "demo_tissue_polyp": {"test": 220},
    "demo_tissue_auxiliary": {"train": 600},
    "demo_colour_photographs": {"train": 1000},
}  # fmt: skip
SETS = [(name, split) for name, splits in COUNTS.items() for split in splits]
AREAS = {  # sets of one picture that must have no pixel in common
    "retina": [
        [("demo_retina", "train"), ("demo_retina_labelled", "train")],
        [("demo_retina", "test"), ("demo_retina_opacity", "test"), ("demo_retina_spots", "test"),
         ("demo_retina_labelled", "test"), ("demo_retina_labelled_abnormal", "test")],
        [("demo_retina_auxiliary", "train")],
    ],
    "second split": [[("demo_retina", "train_1")],
                     [("demo_retina", "test_1"), ("demo_retina_opacity", "test"),
                      ("demo_retina_spots", "test")],
                     [("demo_retina_auxiliary", "train")]],
    "tissue": [[("demo_tissue", "train")],
               [("demo_tissue", "test"), ("demo_tissue_polyp", "test")],
               [("demo_tissue_auxiliary", "train")]],
}  # fmt: skip


@pytest.fixture(scope="module")
def packed(catalogue, tmp_path_factory):
    """All sets, packed, by (dataset, split); their folder as `packed.root`."""
    root = tmp_path_factory.mktemp("medical")

    class Sets(dict):
        pass

    sets = Sets()
    sets.root = root
    for name, split in SETS:
        folder = root / name / f"{split}-{SIZE}px"
        pack(catalogue[name], split, SIZE, fetch(catalogue[name], root / "d"), folder, workers=1)
        sets[name, split] = open_packed(folder)
    return sets


def window(file):
    """left, top, side of a crop, by its name."""
    place = file.split("/")[2].split("-")[0]
    left, rest = place.split(",")
    return (int(left), *map(int, rest.split("+")))


@pytest.mark.parametrize(("name", "split"), SETS)
def test_each_set_is_in_colour_varied_and_of_the_promised_size(catalogue, packed, name, split):
    found = packed[name, split]
    assert len(found) == COUNTS[name][split] == catalogue[name].splits[split].count
    assert (found.images[..., 0] != found.images[..., 2]).any(), "grey"
    assert found.images.std(axis=(1, 2)).min() > 0.5, "a blank image"
    pixels = found.images.reshape(len(found), -1)
    assert len(np.unique(pixels, axis=0)) > 0.97 * len(found)
    assert len(set(found.files)) == len(found)


@pytest.mark.parametrize("picture", AREAS)
def test_training_testing_and_auxiliary_areas_do_not_touch(packed, picture):
    def box(group):
        places = np.array([window(file) for key in group for file in packed[key].files])
        left, top, side = places.T
        return left.min(), top.min(), (left + side).max(), (top + side).max()

    for one, other in combinations(map(box, AREAS[picture]), 2):
        apart = (one[2] <= other[0], other[2] <= one[0], one[3] <= other[1], other[3] <= one[1])
        assert any(apart), (one, other)


def test_a_normal_crop_is_the_part_of_the_picture_that_its_name_says(packed):
    found = packed["demo_retina_labelled", "test_normal"]
    picture = Image.open(installed_file("skimage/data/retina.jpg", "scikit-image"))
    for i in (0, 7):
        left, top, side = window(found.files[i])
        crop = picture.crop((left, top, left + side, top + side))
        expected = np.asarray(crop.resize((SIZE, SIZE), Image.BICUBIC))
        np.testing.assert_array_equal(found.images[i], expected)


@pytest.mark.parametrize(
    "key", [("demo_retina_opacity", "test"), ("demo_retina_spots", "test"),
            ("demo_tissue_polyp", "test"), ("demo_retina_labelled_abnormal", "test")],
)  # fmt: skip
def test_every_abnormal_crop_has_a_lesion_that_leaves_most_of_it(packed, key):
    found = packed[key]
    file = "ihc.png" if "tissue" in key[0] else "retina.jpg"
    picture = Image.open(installed_file(f"skimage/data/{file}", "scikit-image"))
    assert set(found.labels) == {1} and found.meta["classes"] == ["normal", "lesion"]
    for name, image in zip(found.files, found.images, strict=True):
        left, top, side = window(name)
        crop = picture.crop((left, top, left + side, top + side)).resize((SIZE, SIZE), 3)
        change = np.abs(image.astype(int) - np.asarray(crop.convert("RGB"))).max(axis=-1)
        assert change.max() > 15, f"{name}: nothing is seen"
        assert (change > 8).mean() < 0.35, f"{name}: too much is hidden"


def test_the_labelled_set_is_half_normal_and_its_parts_are_the_whole(packed):
    whole = packed["demo_retina_labelled", "test"]
    normal = packed["demo_retina_labelled", "test_normal"]
    abnormal = packed["demo_retina_labelled_abnormal", "test"]
    assert sorted(normal.files + abnormal.files) == sorted(whole.files)
    assert normal.files == [f for f, y in zip(whole.files, whole.labels, strict=True) if y == 0]
    kinds = [file.rsplit("-", 1)[1] for file in packed["demo_retina_labelled", "train"].files]
    assert {k: kinds.count(k) for k in set(kinds)} == {"normal": 400, "opacity": 200, "spots": 200}


def test_a_split_list_can_be_written_of_them(catalogue, packed, tmp_path):
    trained = ["demo_retina/train_0", "demo_retina_labelled/train", "demo_retina/train_1"]
    tested = ["demo_retina/test_0", "demo_retina_labelled_abnormal/test", "demo_retina/test_1"]
    for train, test in zip(trained, tested, strict=True):
        write_split(catalogue, packed.root, train, test, SIZE, tmp_path / "list.json")


def test_the_first_split_is_the_only_one_of_chapter_7_and_the_second_is_another(packed):
    for side in ("train", "test"):
        one, same, other = (packed["demo_retina", side + end] for end in ("", "_0", "_1"))
        np.testing.assert_array_equal(one.images, same.images)
        assert not set(one.files) & set(other.files)


@pytest.mark.parametrize("kind", KINDS)
def test_a_lesion_depends_on_its_random_numbers_alone(kind):
    crop = np.full((60, 80, 3), (200, 90, 60), np.uint8)
    one, again, other = (draw(kind, crop, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any() and one.dtype == np.uint8 and one.shape == crop.shape
    assert (crop == (200, 90, 60)).all(), "the crop itself was painted"
    edges = np.concatenate([one[0], one[-1], one[:, 0], one[:, -1]])
    assert np.abs(edges.astype(int) - (200, 90, 60)).max() < 60, "cut off by an edge"


def test_an_unknown_lesion_is_said():
    with pytest.raises(UserError, match=r"a lesion 'wart': there is none, only opacity, spots"):
        draw("wart", np.zeros((9, 9, 3), np.uint8), np.random.default_rng(0))


def test_every_set_says_that_nothing_medical_follows(catalogue):
    for name in COUNTS:
        notes = " ".join(catalogue[name].notes)
        if name != "demo_colour_photographs":
            assert "drawn by a program" in notes and "Nothing medical follows" in notes
            assert "One picture of one" in notes


def test_old_sets_of_crops_have_not_changed(catalogue, tmp_path):
    """Without an area and lesions the crops are those of before there were any."""
    manifest = fetch(catalogue["retina"], tmp_path / "d")
    names = [i.name for i in open_split(catalogue["retina"], "test", manifest, tmp_path).items]
    assert names[:2] == ["retina/0/434,239+236", "retina/1/552,187+234"] and len(names) == 500
