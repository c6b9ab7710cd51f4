"""Pictures of every mode, odd sides, several frames, cut short, or none at all."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from support.packing import folder_toy, packed_here
from support.situations import encoded, in_folders, noise

from ssl_ood.common.errors import UserError
from ssl_ood.datasets.decode import Undecodable, to_square

BLOCKS = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
PICTURE = Image.fromarray(np.kron(BLOCKS, np.ones((16, 16, 1), np.uint8)))
WHOLE = np.asarray(PICTURE)


def with_alpha(alpha: int) -> Image.Image:
    image = PICTURE.convert("RGBA")
    image.putalpha(alpha)
    return image


def palette() -> Image.Image:
    return PICTURE.convert("P", palette=Image.Palette.ADAPTIVE)


@pytest.mark.parametrize("content", [
    encoded(PICTURE), encoded(PICTURE, "BMP"), encoded(PICTURE, "TIFF"),
    encoded(PICTURE, "TIFF", compression="tiff_lzw"), encoded(PICTURE, "WEBP", lossless=True),
    encoded(palette()), encoded(palette(), "GIF"),
    encoded(palette(), transparency=bytes(range(16))),
    encoded(palette(), transparency=3), encoded(palette(), "GIF", transparency=3),
    encoded(with_alpha(255)), encoded(with_alpha(0)), encoded(with_alpha(7), "TIFF"),
    encoded(with_alpha(1), "WEBP", lossless=True, exact=True),
    encoded(PICTURE, transparency=tuple(map(int, WHOLE[0, 0]))),
])  # fmt: skip
def test_colours_are_as_stored_whatever_is_transparent(content, recwarn):
    np.testing.assert_array_equal(to_square(content, 64), WHOLE)
    assert not recwarn.list


@pytest.mark.parametrize("content", [
    encoded(PICTURE, "JPEG", quality=95, subsampling=0),
    encoded(PICTURE, "JPEG", quality=95, progressive=True, subsampling=0),
    encoded(PICTURE.convert("CMYK"), "JPEG", quality=95), encoded(PICTURE.convert("CMYK"), "TIFF"),
], ids=["baseline", "progressive", "CMYK", "CMYK in TIFF"])  # fmt: skip
def test_colours_of_lossy_formats_are_near(content):
    assert np.abs(to_square(content, 64).astype(int) - WHOLE).mean() < 2


@pytest.mark.parametrize("mode", ["L", "LA", "1"])
def test_grey_has_three_equal_channels(mode):
    image = PICTURE.convert(mode)
    expected = np.asarray(image.convert("L"))
    for grey in (True, False):
        got = to_square(encoded(image), 64, grey=grey)
        np.testing.assert_array_equal(got, np.repeat(expected[:, :, None], 3, axis=2))


@pytest.mark.parametrize("sides", [(1, 1), (1, 500), (500, 1), (2, 3), (16, 4000)])
def test_odd_sides(sides, rng):
    image = rng.integers(0, 256, (*sides, 3), np.uint8)
    for fit in ("crop", "squash"):
        pixels = to_square(encoded(image), 16, fit=fit)
        np.testing.assert_array_equal(pixels, to_square(image, 16, fit=fit))
        assert sides != (1, 1) or (pixels == image).all()


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF", "progressive"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.95])
def test_what_is_cut_short_is_refused(form, share):
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (96, 96, 3), np.uint8))
    whole = (
        encoded(image, "JPEG", progressive=True) if form == "progressive" else encoded(image, form)
    )
    with pytest.raises(Undecodable) as caught:
        to_square(whole[: int(share * len(whole))], 32)
    assert "\n" not in str(caught.value) and " at 0x" not in str(caught.value)


@pytest.mark.parametrize(("content", "text"), [
    (b"", r"is empty \(0 bytes\)"),
    (b"<!DOCTYPE html><html>", "is a web page and not the file itself"),
    (b"\n <HTML><body>", "is a web page and not the file itself"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", "pointer of Git-LFS"),
    (b"%!PS-Adobe-3.0 EPSF-3.0", "is PostScript"), (b"<svg xmlns=''/>", "is SVG"),
    (b"<?xml version='1.0'?><!DOCTYPE svg PUBLIC>", "is XML"),
    (b"no picture", "cannot identify the kind of picture: it begins with b'no picture'"),
    (bytes(1000), "cannot identify the kind of picture"),
])  # fmt: skip
def test_what_is_no_picture_is_named(content, text):
    with pytest.raises(Undecodable, match=text):
        to_square(content, 16)


def test_the_ending_of_a_name_means_little(tmp_path, rng):
    image = noise(rng, 16)
    toy, root = folder_toy(tmp_path)
    files = {"a/0.JPG": "PNG", "a/1.Png": "TIFF", "a/2.TIFF": "GIF", "a/3.jpeg": "BMP"}
    in_folders(root, {name: encoded(image, form) for name, form in files.items()})
    packed = packed_here(toy)
    assert packed.files == list(files)
    np.testing.assert_array_equal(packed.images, np.repeat(packed.images[:1], 4, axis=0))


@pytest.mark.parametrize("form", ["GIF", "TIFF", "WEBP", "PNG", "MPO"])
def test_of_several_pictures_the_first_is_taken_and_said(tmp_path, capsys, form, rng):
    first, second = Image.fromarray(noise(rng, 16)), Image.fromarray(noise(rng, 16))
    options = {"lossless": True} if form == "WEBP" else {}
    content = encoded(first, form, save_all=True, append_images=[second], **options)
    toy, root = folder_toy(tmp_path)
    in_folders(root, {"a/0.jpg": content, "a/1.png": encoded(first)})
    packed = packed_here(toy)
    assert packed.meta["remarks"] == {
        "hold several pictures, of which the first is taken": {"images": 1, "first": ["a/0.jpg"]}
    }
    assert "1 image(s) hold several pictures" in capsys.readouterr().err
    tolerance = 40 if form == "MPO" else 0  # a JPEG of noise
    assert np.abs(packed.images[0].astype(int) - packed.images[1]).mean() <= tolerance


def test_files_that_are_none_stop_the_packing_and_are_the_same_twice(tmp_path, rng):
    toy, root = folder_toy(tmp_path)
    in_folders(
        root, {"k/0.png": encoded(noise(rng)), "k/1.jpg": b"", "k/2.png": encoded(noise(rng))}
    )
    with pytest.raises(UserError, match=r"1 image.s. cannot be decoded.*: k/1.jpg: is empty"):
        packed_here(toy)
    metas = [packed_here(toy, share=0.5).meta for _ in range(2)]
    assert metas[0] == metas[1] and metas[0]["corrupt"] == ["k/1.jpg: is empty (0 bytes)"]


def test_pictures_of_kinds_that_are_not_read_are_said(tmp_path, capsys, rng):
    toy, root = folder_toy(tmp_path)
    in_folders(root, {"a/0.png": encoded(noise(rng)), "a/1.heic": b"x", "a/2.heic": b"x",
                      "a/readme.txt": b"x"})  # fmt: skip
    assert packed_here(toy).meta["passed_over"] == {"files of a kind that is not read (.heic)": 2}
    assert "2 files of a kind that is not read (.heic)" in capsys.readouterr().err


def test_no_decoding_at_a_part_of_the_size():
    """Of any size, a JPEG gives the levels of the same pixels in a lossless file."""
    stream = io.BytesIO()
    PICTURE.resize((1200, 900), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=92)
    pixels = np.asarray(Image.open(io.BytesIO(stream.getvalue())))
    for size in (8, 32, 224):
        np.testing.assert_array_equal(to_square(stream.getvalue(), size), to_square(pixels, size))
        np.testing.assert_array_equal(to_square(encoded(pixels), size), to_square(pixels, size))
