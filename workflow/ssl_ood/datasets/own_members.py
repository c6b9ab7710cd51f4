"""Which files of folders and archives are images: by their names, or where these say nothing, by
their content. Apart from the readers, since plans look, too."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from pathlib import Path

from ssl_ood.datasets.archives import Damaged, Data, FileRef, Member, ZipRef, members
from ssl_ood.datasets.archives.content import blocks
from ssl_ood.datasets.dicom import is_dicom
from ssl_ood.datasets.notes import note

IMAGES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".dcm",
    ".dicom",
)  # fmt: skip
# Pictures all the same, of which a person should know that they are not read.
NOT_READ = (
    ".heic", ".heif", ".avif", ".jp2", ".j2k", ".jxl", ".svg", ".psd", ".dng", ".cr2", ".nef",
    ".exr", ".hdr", ".pgm", ".ppm", ".nii", ".nii.gz", ".mha", ".nrrd",
)  # fmt: skip
LOOKED_AT = 132  # bytes in which DICOM says what it is


def own_members(paths: Mapping[str, Path]) -> Iterator[Member]:
    """The images of several places in a fixed order; names of several begin with the place's."""
    for place, path in paths.items():
        for member in image_members(path):
            name = member.name if len(paths) == 1 else f"{place}/{member.name}"
            yield Member(name, member.data)


def image_members(path: Path) -> Iterator[Member]:
    """The files of a folder or archive that are pictures or DICOM by their name, or, where it says
    nothing, by their content."""

    def wanted(name: str) -> bool:
        if name.lower().endswith(NOT_READ):
            note(f"files of a kind that is not read ({posixpath.splitext(name)[1]})", path, name)
        return named_as_image(name) is not False

    for member in members(path, wanted):
        if named_as_image(member.name) or is_dicom(_beginning(member.data)):
            yield member


def named_as_image(name: str) -> bool | None:
    """Whether a file is an image by its name; None where that says nothing, as of DICOM files that
    are named IM0001 or by their UID."""
    lower = name.lower()
    if lower.endswith(IMAGES):
        return True
    suffix = posixpath.splitext(lower)[1]
    return None if suffix[1:].isdigit() or not suffix else False


def _beginning(data: Data) -> bytes:
    if isinstance(data, FileRef | ZipRef):
        try:
            return next(blocks(data), b"")[:LOOKED_AT]
        except Damaged:
            return b""
    return data[:LOOKED_AT]
