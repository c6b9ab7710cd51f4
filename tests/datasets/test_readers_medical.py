"""The medical datasets: small archives in their true formats, fetched, verified, packed."""

from __future__ import annotations

import numpy as np
import pytest
from writers_medical import RSNA_CLASSES as CLASSES
from writers_medical import chexpert, dicom, hyper_kvasir_unlabelled, rsna

from ssl_ood.common.errors import UserError


def test_rsna(mirror, small, through, make, rng):
    pixels = rng.integers(0, 256, (6, 64, 64), np.uint8)
    films = {f"p{i}": dicom(film) for i, film in enumerate(pixels)}
    classes = {f"p{i}": CLASSES[i % 3] for i in range(6)}
    rsna(mirror.folder, films, classes)
    dataset = small("rsna", mirror.folder, all=6, normal=2, opacity=2, abnormal=4)
    packed = through(dataset, "all", 64, workers=2)
    np.testing.assert_array_equal(packed.images, np.repeat(pixels[..., None], 3, axis=-1))
    assert packed.labels.tolist() == [0, 1, 2, 0, 1, 2] and packed.files[4] == "p4"
    assert through(dataset, "normal", 64).files == ["p0", "p3"]
    assert through(dataset, "opacity", 64).labels.tolist() == [2, 2]
    assert through(dataset, "abnormal", 64).files == ["p1", "p2", "p4", "p5"]


def test_rsna_train_and_test_share_no_film(mirror, small, through, make):
    films = {f"p{i}": dicom(np.full((16, 16), i, np.uint8)) for i in range(12)}
    rsna(mirror.folder, films, {p: CLASSES[0] for p in films})
    parts = {
        "train": {"count": 9, "select": {"classes": [0], "seed": 0, "stop": 9}},
        "test": {"count": 3, "select": {"classes": [0], "seed": 0, "start": 9, "stop": 12}},
    }
    dataset = small("rsna", mirror.folder, **parts)
    train, test = through(dataset, "train", 16), through(dataset, "test", 16)
    assert sorted(train.files + test.files) == sorted(films)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, lambda x: x),
        ({"jpeg": True}, None),
        ({"inverted": True}, lambda x: 255 - x),
        ({"bits": 12}, lambda x: np.round(x / 4095 * 255)),
    ],
)
def test_dicom_pixels(mirror, small, through, make, options, expected):
    ramp = np.add.outer(np.arange(64), np.arange(64))
    deep = options.get("bits") == 12
    pixels = (ramp * 32).astype(np.uint16) if deep else ramp.astype(np.uint8)
    rsna(mirror.folder, {"p": dicom(pixels, **options)}, {"p": CLASSES[0]})
    packed = through(small("rsna", mirror.folder, all=1), "all", 64)
    if expected is None:  # lossy
        assert np.abs(packed.images[0, :, :, 0].astype(int) - pixels).max() <= 4
    else:
        np.testing.assert_array_equal(packed.images[0, :, :, 2], expected(pixels))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"head": "patientId,klass"}, "has no column 'class', only patientId, klass"),
        ({"classes": {"p": "Unsure"}}, "knows a class 'Unsure'"),
        ({"targets": {"p": 1}}, "do not agree about patient p"),
        (
            {"classes": {"q": CLASSES[0]}},
            "p.dcm, of which stage_2_detailed_class_info.csv is silent",
        ),
        ({"films": {"p": b"no dicom"}}, "1 image.s. cannot be decoded, .*: p: cannot identify"),
        ({"films": {"p": bytes(128) + b"DICM" + b"junk"}}, "p: no readable DICOM"),
    ],
)
def test_rsna_archives_that_are_wrong_are_said(mirror, small, through, make, change, message):
    films = {"p": dicom(np.zeros((8, 8), np.uint8))}
    rsna(mirror.folder, **{"films": films, "classes": {"p": CLASSES[0]}, **change})
    with pytest.raises(UserError, match=message):
        through(small("rsna", mirror.folder, all=1), "all", 8)


def test_chexpert_all_and_frontal_only(mirror, small, through, make, rng):
    images = rng.integers(0, 256, (6, 32, 32), np.uint8)
    chexpert(mirror.folder, images)
    dataset = small("chexpert", mirror.folder, train=6, frontal=3)
    packed = through(dataset, "train", 32)
    np.testing.assert_array_equal(packed.images[..., 0], images)
    assert set(packed.labels) == {-1}
    frontal = through(dataset, "frontal", 32)
    np.testing.assert_array_equal(frontal.images[..., 0], images[::2])
    assert frontal.files[0] == "train/patient00000/study1/view1_frontal.jpg"


def test_a_chexpert_that_is_wrong_is_said(mirror, small, through, make, rng):
    images = rng.integers(0, 256, (4, 8, 8), np.uint8)
    chexpert(mirror.folder, images, head="Path,Sex,Age,View")
    with pytest.raises(
        UserError, match=r"train.csv has no column 'Frontal/Lateral', only Path, Sex"
    ):
        through(small("chexpert", mirror.folder, train=4), "train", 8)
    chexpert(mirror.folder, images, lost=(1, 2))
    with pytest.raises(
        UserError, match=r"lacks 2 of the images that train.csv lists, for example train/pat"
    ):
        through(small("chexpert", mirror.folder, train=4), "train", 8)


def test_hyper_kvasir(mirror, small, through, make, rng):
    root = "labeled-images/lower-gi-tract"
    places = {
        f"{root}/anatomical-landmarks/cecum": 0,
        f"{root}/anatomical-landmarks/ileum": 1,
        f"{root}/quality-of-mucosal-views/bbps-2-3": 2,
        f"{root}/pathological-findings/polyps": 3,
        f"{root}/pathological-findings/hemorrhoids": None,
        "labeled-images/upper-gi-tract/anatomical-landmarks/pylorus": None,
    }
    files = {"labeled-images/image-labels.csv": b"Video file,Organ,Finding,Classification\n"}
    images, labels = [], []
    for folder, label in places.items():
        for i in range(5):
            image = rng.integers(0, 256, (20, 20, 3), np.uint8)
            files[f"{folder}/{folder[-4:]}{i}.jpg"] = make.encoded(image)
            if label is not None:
                images.append(image)
                labels.append(label)
    make.zipped(mirror.folder / "hyper-kvasir-labeled-images.zip", files)
    train = {"count": 12, "select": {"classes": [0, 1, 2], "seed": 0, "stop": 12}}
    test = {"count": 3, "select": {"classes": [0, 1, 2], "seed": 0, "start": 12, "stop": 15}}
    polyp = {"count": 5, "select": {"classes": [3], "seed": 0, "stop": 5}}
    dataset = small(
        "hyper_kvasir", mirror.folder, mirror.url, normal=15, train=train, test=test, polyp=polyp
    )
    normal = through(dataset, "normal", 20)
    np.testing.assert_array_equal(normal.images, images[:15])
    assert normal.labels.tolist() == labels[:15] and normal.meta["classes"][2] == "bbps-2-3"
    polyps = through(dataset, "polyp", 20)
    np.testing.assert_array_equal(polyps.images, images[15:])
    parts = through(dataset, "train", 20).files + through(dataset, "test", 20).files
    assert sorted(parts) == sorted(normal.files)


def test_hyper_kvasir_unlabelled(mirror, small, through, make, rng):
    images = rng.integers(0, 256, (5, 16, 16, 3), np.uint8)
    hyper_kvasir_unlabelled(mirror.folder, images)
    packed = through(
        small("hyper_kvasir_unlabelled", mirror.folder, mirror.url, train=5), "train", 16
    )
    np.testing.assert_array_equal(packed.images, images)


def test_lag_is_a_folder(mirror, small, through, make, rng):
    images = rng.integers(0, 256, (5, 16, 16, 3), np.uint8)
    for i, image in enumerate(images):
        folder = mirror.folder / "LAG" / ("non_glaucoma" if i < 3 else "suspicious_glaucoma")
        for kind, content in (("image", make.encoded(image)), ("attention_map", b"of the eye")):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            (folder / kind / f"{i}.jpg").write_bytes(content)
    part = {"count": 2, "select": {"classes": [0], "seed": 0, "stop": 2}}
    dataset = small("lag", mirror.folder, normal=3, glaucoma=2, train=part)
    normal, glaucoma = through(dataset, "normal", 16), through(dataset, "glaucoma", 16)
    np.testing.assert_array_equal(normal.images, images[:3])
    np.testing.assert_array_equal(glaucoma.images, images[3:])
    assert glaucoma.labels.tolist() == [1, 1]
    assert set(through(dataset, "train", 16).files) < set(normal.files)


def test_a_lag_folder_with_other_names_is_said(mirror, small, through, make):
    (mirror.folder / "LAG" / "healthy").mkdir(parents=True)
    (mirror.folder / "LAG" / "healthy" / "1.jpg").write_bytes(b"")
    with pytest.raises(
        UserError, match=r"healthy/1.jpg lies in none of the folders non_glaucoma, s"
    ):
        through(small("lag", mirror.folder, normal=1), "normal", 16)
