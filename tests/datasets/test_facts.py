"""What files say beside their pixels: kept by packing, checked, and nothing else of a header."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from support.dicoms import dicom
from support.packed import write_packed
from support.packing import folder_toy, packed_here

from ssl_ood.common.errors import UserError
from ssl_ood.datasets.decode import Decoding
from ssl_ood.datasets.decoding import decode_block
from ssl_ood.datasets.facts import Facts, read_facts
from ssl_ood.datasets.packed import open_packed

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (20, 30), np.uint8)


@pytest.fixture
def mixed(tmp_path):
    """A folder with a PNG, a JPEG and two DICOM files, packed; and its files by name."""
    toy, root = folder_toy(tmp_path)
    Image.fromarray(GREY).save(root / "a.png")
    Image.fromarray(np.dstack([GREY.T] * 3)).save(root / "b.jpg", quality=80)
    tags = {"ViewPosition": "AP", "PatientAge": "058Y", "PatientSex": "F"}
    named = {"PatientName": "Doe^Jane", "PatientID": "secret", "StudyDate": "20200101"}
    (root / "c.dcm").write_bytes(dicom(GREY, **tags, **named))
    (root / "d.dcm").write_bytes(dicom(GREY))
    return packed_here(toy, size=8, options={"labels": "none"}), {
        path.name: path for path in root.iterdir()
    }


def test_every_image_has_the_facts_of_its_file(mixed):
    packed, files = mixed
    assert packed.files == ["a.png", "b.jpg", "c.dcm", "d.dcm"]
    facts = packed.facts
    assert facts["bytes"].tolist() == [files[name].stat().st_size for name in packed.files]
    assert facts["format"].tolist() == ["PNG", "JPEG", "DICOM", "DICOM"]
    assert facts["width"].tolist() == [30, 20, 30, 30]
    assert facts["height"].tolist() == [20, 30, 20, 20]
    assert facts["view_position"].tolist() == ["", "", "AP", ""]
    assert facts["sex"].tolist() == ["", "", "F", ""]
    np.testing.assert_array_equal(facts["age"], [np.nan, np.nan, 58, np.nan])
    assert set(facts) == set(Facts._fields)


def test_nothing_else_of_the_patient_is_kept(mixed):
    packed, _ = mixed
    kept = b"".join(p.read_bytes() for p in packed.path.iterdir() if p.suffix != ".npy")
    assert not any(word in kept for word in (b"Doe", b"Jane", b"secret", b"20200101"))


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"PatientAge": "43"}, {"age": 43}),  # without a unit, as RSNA has it
        ({"PatientAge": "006M"}, {"age": 0.5}),
        ({"PatientAge": "007D"}, {"age": 0.02}),
        ({"PatientAge": "old"}, {}),
        ({"PatientSex": "f "}, {"sex": "F"}),
        ({"PatientSex": "Jane Doe"}, {}),
        ({"ViewPosition": "Doe, Jane"}, {}),  # no code string
        ({"ViewPosition": "ll"}, {"view_position": "LL"}),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # of pydicom: values that break the standard
def test_a_tag_is_kept_where_it_is_the_word_that_it_should_be(tags, expected):
    content = dicom(GREY, **tags)
    told = Decoding(8).apply(content)[2]
    assert told == Facts(len(content), "DICOM", 30, 20, **expected)


def test_a_real_dicom_file():
    with open(get_testdata_file("CT_small.dcm"), "rb") as file:
        content = file.read()
    _, bad, _, (told,) = decode_block([content], Decoding(8, scale=(-1000.0, 1000.0)))
    assert not bad
    assert told == Facts(len(content), "DICOM", 128, 128, age=0.0, sex="O")


def test_pixels_out_of_an_array_have_sides_alone():
    assert Decoding(8).apply(GREY)[2] == Facts(width=30, height=20)
    assert Facts(width=30, height=20).line() == ",,30,20,,,\n"


def test_the_facts_skip_images_that_cannot_be_decoded():
    pixels, bad, _, told = decode_block([GREY, b"%!PS-Adobe", GREY.T], Decoding(8))
    assert list(bad) == [1] and len(pixels) == 2
    assert [fact.width for fact in told] == [30, 20]


def test_altered_or_missing_facts_are_refused(mixed):
    packed, _ = mixed
    path = packed.path / "facts.csv"
    path.write_text(path.read_text().replace("AP", "PA"))
    with pytest.raises(UserError, match=r"facts\.csv is not what was packed"):
        packed.prove()
    with pytest.raises(UserError, match=r"facts\.csv is not what was packed"):
        packed.prove_if_touched()
    path.unlink()
    with pytest.raises(UserError, match=r"facts\.csv is missing"):
        open_packed(packed.path)


def test_a_set_of_an_older_version_is_read_without_facts(tmp_path):
    folder = write_packed(tmp_path / "old", RNG.integers(0, 256, (3, 8, 8, 3), np.uint8))
    assert "facts_sha256" not in json.loads((folder / "meta.json").read_text())
    packed = open_packed(folder).prove()
    assert packed.facts is None and len(packed) == 3


def test_a_file_that_is_no_table_of_facts_is_a_sentence(tmp_path):
    (tmp_path / "facts.csv").write_text("bytes,format\n1,PNG\n")
    with pytest.raises(UserError, match="has no column 'width'"):
        read_facts(tmp_path / "facts.csv")
