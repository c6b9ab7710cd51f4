"""DICOM as hospitals and data sets have them, not only as RSNA's competition has."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import uid
from pydicom.data import get_testdata_file
from support.dicoms import by_the_standard, dicom
from support.packing import folder_toy, packed_here
from support.situations import encoded, in_folders

from ssl_ood.common.errors import UserError
from ssl_ood.datasets import dicom as dicom_module
from ssl_ood.datasets.decode import DecoderMissing, Decoding, Undecodable, to_square

RAMP = np.tile(np.linspace(0, 255, 64), (64, 1)).astype(np.uint8)
DEEP = RAMP.astype(np.uint16) << 4


def grey(content: bytes, **options) -> np.ndarray:
    """(64, 64) uint8."""
    return to_square(content, 64, **options)[..., 0]


@given(
    signed=st.booleans(),
    bits=st.integers(2, 16),
    spare=st.integers(0, 14),
    slope=st.sampled_from([1, 0.5, -10, 3]),
    intercept=st.sampled_from([0, -1024, 2048.5]),
    window=st.sampled_from(
        [None, (40, 400, "LINEAR"), (2048, 4096, "LINEAR"), (3, 1, "LINEAR"),
         (10, 33, "LINEAR_EXACT"), (5, 7, "SIGMOID")]
    ),
    inverted=st.booleans(),
    seed=st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_grey_levels_are_those_of_the_standard(
    signed, bits, spare, slope, intercept, window, inverted, seed
):
    """Numbers of any bits, with rubbish in the bits that are not stored."""
    tags = {
        "BitsStored": bits, "HighBit": min(bits - 1 + spare, 15),
        "PixelRepresentation": int(signed and window is not None),
        "RescaleSlope": slope, "RescaleIntercept": intercept,
        "PhotometricInterpretation": "MONOCHROME1" if inverted else "MONOCHROME2",
    }  # fmt: skip
    if window is not None:
        tags |= {"WindowCenter": window[0], "WindowWidth": window[1], "VOILUTFunction": window[2]}
    pixels = np.random.default_rng(seed).integers(0, 2**16, (8, 8), np.uint16)
    expected = np.vectorize(lambda number: by_the_standard(number, tags))(pixels.astype(int))
    levels = to_square(dicom(pixels, **tags), 8)[..., 0]
    # The last digit of a level may be rounded the other way.
    assert np.abs(levels.astype(int) - expected).max() <= 1


def test_a_window_is_what_pydicom_makes_of_it():
    """MR_small, a film of a real scanner; a lookup table; several windows, of which the first."""
    for name in ("MR_small.dcm", "examples_overlay.dcm"):
        record = pydicom.dcmread(get_testdata_file(name, download=False))
        levels = to_square(_bytes(record), 64, fit="squash") if "WindowCenter" in record else None
        assert levels is not None, name
        shown = pydicom.pixels.apply_voi_lut(
            pydicom.pixels.apply_modality_lut(record.pixel_array, record), record, prefer_lut=False
        )
        low, high = _output_range(record)
        expected = np.round((shown - low) / (high - low) * 255).astype(np.uint8)
        whole = Decoding(64, fit="squash").apply(np.ascontiguousarray(expected))[0]
        assert np.abs(levels.astype(int) - whole).max() <= 1
    several = dicom(DEEP, WindowCenter=[2048, 1], WindowWidth=[4096, 2])
    np.testing.assert_array_equal(
        grey(several), grey(dicom(DEEP, WindowCenter=2048, WindowWidth=4096))
    )


def _output_range(record: pydicom.Dataset) -> tuple[float, float]:
    """What pydicom spreads a window over: the numbers that the stored bits can hold."""
    bits = record.BitsStored
    ends = (
        (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        if record.PixelRepresentation
        else (0, 2**bits - 1)
    )
    slope, intercept = record.get("RescaleSlope", 1), record.get("RescaleIntercept", 0)
    return tuple(slope * end + intercept for end in ends)


def _bytes(record: pydicom.Dataset) -> bytes:
    stream = io.BytesIO()
    record.save_as(stream)
    return stream.getvalue()


def test_lookup_tables_come_before_windows():
    table = pydicom.Dataset()
    table.LUTDescriptor = [256, 0, 8]
    table.LUTData = np.arange(255, -1, -1, dtype=np.uint16).tobytes()
    table["LUTData"].VR = "OW"
    content = dicom(RAMP, VOILUTSequence=[table], WindowCenter=1, WindowWidth=2)
    np.testing.assert_array_equal(grey(content), 255 - RAMP)
    modality = pydicom.Dataset()
    modality.LUTDescriptor, modality.ModalityLUTType = [256, 0, 16], "US"
    modality.LUTData = (np.arange(256, dtype=np.uint16)[::-1] * 257).tobytes()
    modality["LUTData"].VR = "OW"
    np.testing.assert_array_equal(grey(dicom(RAMP, ModalityLUTSequence=[modality])), 255 - RAMP)


def test_enhanced_files_keep_window_and_slope_in_their_groups():
    values, window, shared = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
    values.RescaleSlope, values.RescaleIntercept = -1, 4095
    window.WindowCenter, window.WindowWidth = 2048, 4096
    shared.PixelValueTransformationSequence = [values]
    shared.FrameVOILUTSequence = [window]
    content = dicom(DEEP, SharedFunctionalGroupsSequence=[shared], NumberOfFrames=1)
    plain = dicom(DEEP, RescaleSlope=-1, RescaleIntercept=4095, WindowCenter=2048, WindowWidth=4096)
    np.testing.assert_array_equal(grey(content), grey(plain))
    assert grey(content)[0, 0] > 250 > grey(content)[0, -1]


def test_signed_pixels_without_a_window_need_a_range():
    hounsfield = dicom(RAMP.astype(np.int16) * 8 - 1024, RescaleSlope=1, RescaleIntercept=0)
    with pytest.raises(Undecodable, match=r"signed pixels without a window.*declare the"):
        to_square(hounsfield, 64)
    levels = grey(hounsfield, scale=(-1024, 1016))
    assert np.abs(levels.astype(int) - RAMP).max() <= 1
    windowed = dicom(RAMP, WindowCenter=1, WindowWidth=2)
    np.testing.assert_array_equal(grey(windowed, scale=(0, 255)), RAMP)  # before the window


@pytest.mark.parametrize("name", [
    "JPGExtended.dcm", "JPEG2000.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm",
    "MR_small_implicit.dcm", "SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_small_odd.dcm",
    "SC_rgb_rle_16bit.dcm",
    "SC_ybr_full_422_uncompressed.dcm", "examples_palette.dcm", "examples_rgb_color.dcm",
    "examples_jpeg2k.dcm", "SC_rgb_jls_lossy_line.dcm",
])  # fmt: skip
def test_films_of_pydicom_can_be_read(name):
    path = get_testdata_file(name, download=False)
    with open(path, "rb") as file:
        content = file.read()
    signed = name in ("JPGExtended.dcm", "JPEG2000.dcm")
    pixels = to_square(content, 32, scale=(-10, 200) if signed else None)
    assert pixels.shape == (32, 32, 3) and pixels.std() > 3


def test_every_file_of_pydicom_is_read_or_refused_in_one_line(capfd):
    """Of all that it ships: plans, reports, doses, damaged ones."""
    read = 0
    for path in sorted(
        Path(get_testdata_file("CT_small.dcm", download=False)).parent.glob("*.dcm")
    ):
        try:
            to_square(path.read_bytes(), 16)
            read += 1
        except Undecodable as error:
            assert "\n" not in str(error) and not isinstance(error, DecoderMissing), path
    assert read >= 35
    assert "Traceback" not in capfd.readouterr().err


def test_the_same_picture_in_every_packing():
    """MR_small is shipped in seven of them, without loss."""
    same = ["", "_RLE", "_bigendian", "_expb", "_implicit", "_jp2klossless", "_jpeg_ls_lossless"]
    pictures = []
    for kind in same:
        path = get_testdata_file(f"MR_small{kind}.dcm", download=False)
        with open(path, "rb") as file:
            pictures.append(to_square(file.read(), 64))
    for kind, picture in zip(same[1:], pictures[1:], strict=True):
        np.testing.assert_array_equal(picture, pictures[0], err_msg=kind)


def test_colour():
    colours = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    np.testing.assert_array_equal(to_square(dicom(colours), 16), colours)
    deep = colours.astype(np.uint16) * 257
    np.testing.assert_array_equal(to_square(dicom(deep), 16), colours)
    palette = {
        f"{c}PaletteColorLookupTable{what}": value
        for k, c in enumerate(("Red", "Green", "Blue"))
        for what, value in (("Descriptor", [256, 0, 16]),
                            ("Data", (np.roll(np.arange(256, dtype=np.uint16), k) * 257).tobytes()))
    }  # fmt: skip
    content = dicom(RAMP, PhotometricInterpretation="PALETTE COLOR", **palette)
    expected = np.stack([np.roll(np.arange(256), k)[RAMP] for k in range(3)], axis=-1)
    np.testing.assert_array_equal(to_square(content, 64), expected)


@pytest.mark.parametrize("syntax", [
    uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian,
])  # fmt: skip
def test_a_file_without_preamble_is_read(syntax):
    np.testing.assert_array_equal(grey(dicom(RAMP)[132:]), RAMP)
    record = pydicom.dcmread(io.BytesIO(dicom(RAMP, SOPClassUID="1.2")))
    stream = io.BytesIO()  # nor with the group that says how it is written
    pydicom.dcmwrite(
        stream, pydicom.Dataset(record), implicit_vr=syntax == uid.ImplicitVRLittleEndian,
        little_endian=syntax != uid.ExplicitVRBigEndian,
    )  # fmt: skip
    np.testing.assert_array_equal(grey(stream.getvalue()), RAMP)


JPEG = encoded(RAMP, "JPEG")


@pytest.mark.parametrize(("content", "message"), [
    (dicom(RAMP, PixelData=None), "no readable DICOM .*[Pp]ixel"),
    (dicom(RAMP)[:-500], "no readable DICOM"),
    (dicom(RAMP, uid.JPEGBaseline8Bit, JPEG)[:-400], "no readable DICOM"),
    (dicom(RAMP, uid.JPEGLosslessSV1, b"\xff\xd8\xff\xc3" + bytes(60)), "no readable DICOM"),
    (dicom(RAMP, uid.MPEG2MPML, b"video"), "MPEG2.* not supported"),
    (dicom(RAMP, NumberOfFrames=4, Rows=16), "a DICOM of 4 frames, not one picture"),
    (dicom(RAMP, Rows=65535, Columns=65535), "declares 65,535 x 65,535 x 1 pixels"),
    (dicom(RAMP, WindowCenter=5, WindowWidth=0), "a window of width 0"),
    (dicom(RAMP, RescaleSlope=0, RescaleIntercept=0), "a rescale slope of 0"),
    (dicom(RAMP, PhotometricInterpretation="PALETTE COLOR"), "no readable DICOM"),
])  # fmt: skip
def test_what_is_no_picture_is_refused_in_a_sentence(content, message):
    with pytest.raises(Undecodable, match=message) as caught:
        to_square(content, 16)
    assert "\n" not in str(caught.value)


def test_a_missing_decoder_is_told_apart_from_damage(monkeypatch, tmp_path):
    """12-bit JPEG needs pylibjpeg: without it the files are whole, and none may be left out."""
    with open(get_testdata_file("JPGExtended.dcm", download=False), "rb") as file:
        content = file.read()
    decoder = pydicom.pixels.get_decoder(uid.JPEGExtended12Bit)
    monkeypatch.setattr(decoder, "_available", {})
    monkeypatch.setattr(decoder, "_unavailable", {"pylibjpeg": ("pylibjpeg>=2.0",)})
    with pytest.raises(DecoderMissing, match="decoder is not installed: install pylibjpeg"):
        to_square(content, 16)
    toy, root = folder_toy(tmp_path)
    in_folders(root, {"a/0.dcm": dicom(RAMP), "a/1.dcm": content})
    with pytest.raises(UserError, match=r"toy train: a/1.dcm is a DICOM packed as JPEG Extended"):
        packed_here(toy, share=0.9)


def test_a_deflated_file_swells_only_so_far(monkeypatch):
    plain = dicom(RAMP)
    start = 144 + int.from_bytes(plain[140:144], "little")
    record = pydicom.dcmread(io.BytesIO(plain))
    record.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    np.testing.assert_array_equal(grey(_bytes(record)), RAMP)
    head = _bytes(record)[: start + 3]
    start = 144 + int.from_bytes(head[140:144], "little")
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    monkeypatch.setattr(dicom_module, "MOST_INFLATED", 1 << 20)
    bomb = head[:start] + packer.compress(bytes(2 << 20)) + packer.flush()
    with pytest.raises(Undecodable, match="expands to over 1,048,576 bytes"):
        to_square(bomb, 16)


def test_a_film_that_uses_little_of_the_range_is_said(tmp_path, capsys):
    """12-bit numbers whose file claims 16: a sixteenth of the range, from black to nearly black."""
    toy, root = folder_toy(tmp_path)
    in_folders(root, {"a/dark.dcm": dicom(DEEP), "a/plain.dcm": dicom(RAMP)})
    packed = packed_here(toy)
    (remark,) = packed.meta["remarks"]
    assert "less than a tenth of the grey levels" in remark
    assert packed.meta["remarks"][remark] == {"images": 1, "first": ["a/dark.dcm"]}
    assert "1 image(s) use less than a tenth" in capsys.readouterr().err
    declared = packed_here(toy, options={"range": [0, 4095]})
    assert declared.meta["remarks"] == {} or "a/plain.dcm" in str(declared.meta["remarks"])
    assert declared.images[0].max() > 240


def test_jpeg_2000_and_12_bit_agree_with_the_plain_file():
    stream = io.BytesIO()
    Image.fromarray(RAMP).save(stream, "JPEG2000", no_jp2=True)
    np.testing.assert_array_equal(grey(dicom(RAMP, uid.JPEG2000Lossless, stream.getvalue())), RAMP)
    assert np.abs(grey(dicom(RAMP, uid.JPEGBaseline8Bit, JPEG)).astype(int) - RAMP).mean() < 3
