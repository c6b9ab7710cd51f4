"""Packing: the right pixels, exact statistics, corrupt images, wrong counts, whole sets only."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from ssl_ood.common.errors import UserError
from ssl_ood.common.hashing import sha256_of
from ssl_ood.datasets.catalogue import Archive, Dataset, Split
from ssl_ood.datasets.decode import to_square
from ssl_ood.datasets.fetch import fetch
from ssl_ood.datasets.pack import pack
from ssl_ood.datasets.packed import open_packed


@pytest.fixture
def tarred(tmp_path, make):
    """Packs a tar of the given files, {name: bytes}."""

    def go(files, size=16, count=None, folder="packed", options=None, **more):
        path = make.tar(tmp_path / "a.tar", files)
        dataset = Dataset(
            name="a", title="A", kind="demo", access="free", reader="image_folders", store="a",
            splits={"all": Split(count)}, archives=(Archive("a.tar"),),
            options={"labels": "none", **(options or {})},
        )  # fmt: skip
        manifest = fetch(dataset, tmp_path / "d", [path.parent])
        meta = pack(dataset, "all", size, manifest, tmp_path / folder, workers=1, **more)
        return open_packed(tmp_path / folder), meta

    return go


def photograph(side=(375, 500), seed=0):
    """Edges and grain at all scales, as in a photograph."""
    rng = np.random.default_rng(seed)
    image = np.zeros((*side, 3))
    for octave in range(2, 9):
        small = rng.normal(size=(2**octave, 2**octave, 3))
        for c in range(3):
            layer = Image.fromarray(small[..., c].astype(np.float32)).resize(
                side[::-1], Image.BICUBIC
            )
            image[..., c] += np.asarray(layer) * 2.0 ** -(octave * 0.8)
    image -= image.min()
    return (image / image.max() * 255).astype(np.uint8)


# ---- pixels -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [16, 32, 96])
def test_scaling_is_antialiased_bicubic(size):
    image = photograph((64, 64))
    ours = to_square(image, size)
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    scaled = torch.nn.functional.interpolate(
        tensor, size=(size, size), mode="bicubic", antialias=True, align_corners=False
    )
    reference = scaled[0].permute(1, 2, 0).round().clamp(0, 255).numpy()
    assert np.abs(ours - reference).max() <= 1  # the last rounding


def test_the_middle_is_cut_out_of_an_oblong_picture():
    image = photograph((60, 100))
    scaled = np.asarray(Image.fromarray(image).resize((50, 30), Image.BICUBIC))
    np.testing.assert_array_equal(to_square(image, 30), scaled[:, 10:40])
    tall = np.ascontiguousarray(image.transpose(1, 0, 2))
    np.testing.assert_array_equal(to_square(tall, 30), scaled[:, 10:40].transpose(1, 0, 2))


def test_squash_scales_both_sides():
    image = photograph((60, 100))
    reference = np.asarray(Image.fromarray(image).resize((30, 30), Image.BICUBIC))
    np.testing.assert_array_equal(to_square(image, 30, fit="squash"), reference)


def test_the_study_says_how_images_fit_and_another_fit_is_packed_anew(make, tarred):
    image = photograph((60, 100))
    files = {"a.png": make.encoded(image)}
    cut, _ = tarred(files, size=30)
    np.testing.assert_array_equal(cut.images[0], to_square(image, 30))
    squashed, meta = tarred(files, size=30, fit="squash")  # into the same folder
    reference = np.asarray(Image.fromarray(image).resize((30, 30), Image.BICUBIC))
    np.testing.assert_array_equal(squashed.images[0], reference)
    assert (cut.meta["fit"], meta["fit"]) == ("crop", "squash")
    assert cut.meta["fingerprint"] != meta["fingerprint"]


@pytest.mark.parametrize("side", [(375, 500), (1500, 1333), (4000, 60)])
def test_a_jpeg_is_decoded_in_full(make, side):
    jpeg = make.encoded(photograph(side), "JPEG", quality=90)
    np.testing.assert_array_equal(to_square(jpeg, 32), to_square(make.decoded(jpeg), 32))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1", "I;16", "LA"])
def test_every_kind_of_picture_becomes_three_bytes_a_pixel(make, tmp_path, mode):
    ramp = np.add.outer(np.arange(16), np.arange(16)) * 8
    if mode == "I;16":
        image = Image.fromarray((ramp * 256).astype(np.uint16))
    else:
        image = Image.fromarray(ramp.astype(np.uint8)).convert(mode)
    image.save(tmp_path / "a.tif" if mode == "CMYK" else tmp_path / "a.png")
    content = next(tmp_path.glob("a.*")).read_bytes()
    pixels = to_square(content, 16)
    assert pixels.shape == (16, 16, 3) and pixels.dtype == np.uint8
    if mode not in ("1", "P"):
        assert np.abs(pixels[..., 1].astype(int) - ramp).max() <= (17 if mode == "I;16" else 1)


def test_grey_is_luma_before_scaling(make, tarred):
    image = photograph((40, 40))
    packed, _ = tarred({"a.png": make.encoded(image)}, options={"mode": "L"})
    grey = Image.fromarray(image).convert("L").resize((16, 16), Image.BICUBIC)
    for channel in range(3):
        np.testing.assert_array_equal(packed.images[0, :, :, channel], np.asarray(grey))


# ---- metadata -----------------------------------------------------------------------------------


def test_metadata_is_exact(make, tarred, rng, tmp_path):
    images = rng.integers(0, 256, (70, 16, 16, 3), np.uint8)  # more than a block
    packed, meta = tarred({f"{i:02d}.png": make.encoded(m) for i, m in enumerate(images)}, count=70)
    np.testing.assert_array_equal(packed.images, images)
    np.testing.assert_allclose(meta["channel_mean"], images.mean((0, 1, 2)) / 255, rtol=1e-12)
    np.testing.assert_allclose(meta["channel_std"], images.std((0, 1, 2)) / 255, rtol=1e-12)
    assert meta["images_sha256"] == sha256_of(tmp_path / "packed" / "images.npy")
    assert meta["source"][0]["sha256"] == sha256_of(tmp_path / "a.tar")
    assert (meta["count"], meta["size"], meta["corrupt"]) == (70, 16, [])
    assert packed.files == [f"{i:02d}.png" for i in range(70)]
    assert packed.meta == meta == json.loads((tmp_path / "packed" / "meta.json").read_text())


def test_workers_change_nothing(make, tarred, tmp_path, rng):
    files = {f"{i}.jpg": make.encoded(photograph((50, 60), i), "JPEG") for i in range(150)}
    _, one = tarred(files)
    manifest = {
        "archives": [{"file": "a.tar", "path": str(tmp_path / "a.tar"), **one["source"][0]}]
    }
    dataset = Dataset(
        name="a", title="A", kind="demo", access="free", reader="image_folders", store="a",
        splits={"all": Split(150)}, archives=(Archive("a.tar"),), options={"labels": "none"},
    )  # fmt: skip
    many = pack(dataset, "all", 16, manifest, tmp_path / "many", workers=3)
    assert many["images_sha256"] == one["images_sha256"]
    assert (tmp_path / "many" / "files.txt").read_bytes() == (
        tmp_path / "packed" / "files.txt"
    ).read_bytes()


def test_names_with_line_breaks_stay_one_line(make, tarred):
    image = make.encoded(np.zeros((16, 16, 3), np.uint8))
    packed, _ = tarred({"a\nb.png": image, "c\u2028d.png": image, "\x85.png": image})
    assert packed.files == ["a\\nb.png", "c\u2028d.png", "\x85.png"]


# ---- what is wrong with the images -------------------------------------------------------------


@pytest.fixture
def with_corrupt(make, rng):
    """Twenty images of which two do not decode."""
    good = [make.encoded(m, "JPEG") for m in rng.integers(0, 256, (18, 20, 20, 3), np.uint8)]
    cut = make.encoded(photograph((64, 64)), "JPEG")
    files = {f"{i:02d}.jpg": content for i, content in enumerate(good)}
    return files | {"05b.jpg": cut[: len(cut) // 2], "17b.jpg": b"no picture"}


def test_corrupt_images_stop_the_packing_by_name(with_corrupt, tarred, tmp_path):
    with pytest.raises(UserError) as caught:
        tarred(with_corrupt, count=20)
    text = str(caught.value)
    assert "a all: 2 image(s) cannot be decoded, more than the 0.00% of 20" in text
    assert "05b.jpg: " in text and "17b.jpg: cannot identify" in text
    assert not (tmp_path / "packed").exists()


def test_a_share_of_corrupt_images_may_be_left_out_and_is_named(with_corrupt, tarred):
    packed, meta = tarred(with_corrupt, count=20, max_corrupt_share=0.1)
    assert len(packed) == 18 and [c.split(":")[0] for c in meta["corrupt"]] == [
        "05b.jpg",
        "17b.jpg",
    ]
    assert "05b.jpg" not in packed.files
    with pytest.raises(UserError, match=r"more than the 5.00% of 20"):
        tarred(with_corrupt, count=20, max_corrupt_share=0.05, folder="again")


def test_a_picture_of_absurd_size_is_corrupt(make, tarred):
    bomb = make.encoded(np.zeros((20_000, 20_000), bool), "PNG")
    with pytest.raises(UserError, match=r"bomb.png: Image size .* exceeds limit"):
        tarred({"bomb.png": bomb})


@pytest.mark.parametrize(("count", "has"), [(25, 20), (15, 20)])
def test_a_wrong_count_is_refused(make, tarred, tmp_path, count, has):
    image = make.encoded(np.zeros((16, 16, 3), np.uint8))
    with pytest.raises(
        UserError, match=f"must have {count} images, its archive holds {has}: it is"
    ):
        tarred({f"{i}.png": image for i in range(has)}, count=count)
    assert [p.name for p in tmp_path.iterdir() if "packed" in p.name] == [".packed.lock"]


def test_an_unverified_count_is_reported_and_taken(catalogue, make, tmp_path, capsys):
    path = make.tar(tmp_path / "a.tar", {"a.png": make.encoded(np.zeros((8, 8, 3), np.uint8))})
    dataset = Dataset(
        name="a", title="A", kind="demo", access="free", reader="image_folders", store="a",
        splits={"all": Split(7, verified=False)}, archives=(Archive("a.tar"),),
        options={"labels": "none"},
    )  # fmt: skip
    meta = pack(dataset, "all", 8, fetch(dataset, tmp_path / "d", [path.parent]), tmp_path / "p")
    assert meta["count"] == 1 and meta["expected"] == 7
    assert (
        "must have 7 images, its archive holds 1; that number was never" in capsys.readouterr().err
    )


def test_an_archive_without_an_image_is_refused(tarred):
    with pytest.raises(UserError, match="its archive holds no image"):
        tarred({"readme.txt": b"nothing"})


def test_an_unknown_reader_is_said(catalogue, tmp_path):
    dataset = replace(catalogue["cifar10"], reader="cifa")
    with pytest.raises(UserError, match=r"entry cifar10: unknown reader .cifa."):
        pack(dataset, "test", 32, {"archives": []}, tmp_path / "p")


# ---- reading a packed set ------------------------------------------------------------------------


@pytest.fixture
def packed_folder(make, tarred, tmp_path):
    image = make.encoded(np.zeros((16, 16, 3), np.uint8))
    tarred({f"{i}.png": image for i in range(3)})
    return tmp_path / "packed"


@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "files.txt", "meta.json"])
def test_a_packed_set_without_a_file_is_none(packed_folder, name):
    (packed_folder / name).unlink()
    with pytest.raises(UserError, match=f"is not a packed dataset: {name} is missing"):
        open_packed(packed_folder)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("images.npy", lambda c: c[:-1]),
        ("labels.npy", lambda c: c[:50]),
        ("files.txt", lambda c: c + b"one more\n"),
        ("meta.json", lambda c: c.replace(b'"count": 3', b'"count": 4')),
        ("meta.json", lambda c: c[:20]),
    ],
)
def test_a_packed_set_that_does_not_agree_with_itself_is_none(packed_folder, name, damage):
    path = packed_folder / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=r"is damaged.*Pack it again"):
        open_packed(packed_folder)


def test_a_packed_set_cannot_be_written_to(packed_folder):
    with pytest.raises(ValueError, match="read-only"):
        open_packed(packed_folder).images[0] = 1
