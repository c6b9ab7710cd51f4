"""A look at a person's images while planning: how many, how large, of what kind.

The files are listed, the headers of at most 256 of them are read and at most 32 of these decoded,
small. Which ones is a function of the names. The result is kept beside the study's other results
under the state of the listing, so that the next plan only lists; what was added, removed or changed
is seen. Light until something has to be read.
"""

from __future__ import annotations

import heapq
import io
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl_ood.common.errors import UserError, reason
from ssl_ood.common.files import read_json, write_json
from ssl_ood.common.hashing import sha256_of_value
from ssl_ood.common.streams import stream_key
from ssl_ood.datasets.archives import Data, FileRef, read
from ssl_ood.datasets.local import Listing, listing_of
from ssl_ood.datasets.own_members import image_members, named_as_image
from ssl_ood.datasets.text import printable

if TYPE_CHECKING:
    from PIL import Image

VERSION = 1  # raised when the same images give another result
HEADERS, DECODED = 256, 32  # images whose header is read; that are decoded
SMALL = 64  # pixels of a side to which they are decoded
LEVELS = 2.0  # of 256, mean difference of the channels of a picture that is grey
SQUARE = 1.02  # longer side by shorter
DIGITS = 2  # of mean and standard deviation: a few images more change nothing


@dataclass(frozen=True)
class Scan:
    """What a look at images says.

    images: their number; looked_at: of those whose header was read; side, aspect: medians of the
    shorter side in pixels and of the longer by the shorter; square: all are, nearly; grey: all have
    equal channels; dicom: all are DICOM; mean, std: of red, green and blue, values from 0 to 1;
    unreadable: how many were not, and why one was not.
    """

    images: int
    looked_at: int
    side: int
    aspect: float
    square: bool
    grey: bool
    dicom: bool
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    unreadable: int = 0
    reason: str = ""


def scan(places: Mapping[str, str], kept: Path | None = None) -> Scan:
    """A look at the images of folders or archives, by their names.

    kept: a folder for what was seen, where there may be one. Raises UserError for a place that is
    not there, without an image, or of whose images none can be read.
    """
    listings = {name: listing_of(path) for name, path in places.items()}
    states = {listing.path: listing.state for listing in listings.values()}
    key = {"version": VERSION, "states": states}
    file = None if kept is None else kept / f"{sha256_of_value(sorted(states))[:16]}.json"
    if file is not None:
        with suppress(OSError, ValueError, KeyError, TypeError):
            known = read_json(file)
            if known["of"] == key:
                return _from(known["scan"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that break a standard but can be read
        result = _scan(list(listings.values()))
    if file is not None:
        with suppress(OSError):  # a folder that only others may write to
            write_json(file, {"of": key, "scan": asdict(result)})
    return result


def names_of(places: Mapping[str, str]) -> list[str]:
    """The names of the images of folders, as the reader gives them; of archives, nothing.

    Files that say nothing of themselves by their name count as images.
    """
    names = []
    for place, path in places.items():
        before = "" if len(places) == 1 else f"{place}/"
        names += [f"{before}{name}" for name, _ in _candidates(listing_of(path))]
    return names


def _candidates(listing: Listing) -> list[tuple[str, int]]:
    """The names and sizes of the files of a folder that are not something else by their name."""
    if not listing.folder:
        return []
    return [(name, size) for name, size, _ in listing.files if named_as_image(name) is not False]


def _from(values: dict[str, Any]) -> Scan:
    return Scan(**{**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])})


def _scan(listings: Sequence[Listing]) -> Scan:
    number = count()  # beside the names, which of several places may be alike
    named = (
        (stream_key(0, "scan", name), next(number), name, data)
        for listing in listings
        for name, data in _members(listing)
    )
    # As they come: an image of a compressed tar is in memory only while it may be chosen.
    chosen = heapq.nsmallest(HEADERS, named)
    images = next(number)
    where = ", ".join(listing.path for listing in listings)
    if not chosen:
        raise UserError(f"{where} holds no image: name a folder, zip or tar of pictures or DICOM.")
    headers, pixels, faults = [], [], []
    for *_, name, data in chosen:
        try:
            header = _header(data)
            if len(pixels) < DECODED:
                pixels.append(_small(data))
            headers.append(header)
        except Exception as error:  # whatever a damaged file makes a decoder trip over
            faults.append(f"{printable(name)}: {reason(error)}")
    if not headers:
        raise UserError(
            f"{where}: none of {len(chosen)} images that were looked at can be read ({faults[0]})."
        )
    return _summary(images, headers, pixels, faults)


def _members(listing: Listing) -> Iterator[tuple[str, Data]]:
    if not listing.folder:
        return ((m.name, m.data) for m in image_members(Path(listing.path)))
    return (
        (name, FileRef(os.path.join(listing.path, name), 0, size))
        for name, size in _candidates(listing)
    )


def _summary(
    images: int,
    headers: Sequence[tuple[int, int, bool]],
    pixels: Sequence[Any],
    faults: Sequence[str],
) -> Scan:
    import numpy as np

    sides = np.array([header[:2] for header in headers])
    ratio = sides.max(1) / sides.min(1)
    values = np.stack(pixels).astype(np.float64) / 255  # (n, SMALL, SMALL, 3)
    spread = np.abs(values - values.mean(-1, keepdims=True)).mean((1, 2, 3)) * 255
    mean, std = values.mean((0, 1, 2)), values.std((0, 1, 2))
    return Scan(
        images=images,
        looked_at=len(headers) + len(faults),
        side=int(np.median(sides.min(1))),
        aspect=round(float(np.median(ratio)), DIGITS),
        square=bool(np.quantile(ratio, 0.9) <= SQUARE),
        grey=bool(spread.max() <= LEVELS),
        dicom=all(header[2] for header in headers),
        mean=tuple(round(float(v), DIGITS) for v in mean),
        std=tuple(max(round(float(v), DIGITS), 0.05) for v in std),
        unreadable=len(faults),
        reason=faults[0] if faults else "",
    )


def _header(data: Data) -> tuple[int, int, bool]:
    """(width, height, whether it is DICOM) of an image."""
    from PIL import Image

    from ssl_ood.datasets.dicom import is_dicom
    from ssl_ood.datasets.pictures import FORMATS

    begins = _first_bytes(data)
    if is_dicom(begins):
        import pydicom

        record = pydicom.dcmread(
            io.BytesIO(read(data)), force=begins[128:132] != b"DICM", stop_before_pixels=True
        )
        if "Columns" not in record or "Rows" not in record:
            raise ValueError("a DICOM file without a picture")
        return int(record.Columns), int(record.Rows), True
    if isinstance(data, FileRef) and data.offset == 0:
        with Image.open(data.path, formats=FORMATS) as image:
            return (*image.size, False)
    with Image.open(io.BytesIO(read(data)), formats=FORMATS) as image:
        return (*image.size, False)


def _first_bytes(data: Data) -> bytes:
    if isinstance(data, FileRef):
        with open(data.path, "rb") as file:
            file.seek(data.offset)
            return file.read(132)
    return read(data)[:132]


def _small(data: Data) -> Any:
    """(SMALL, SMALL, 3) uint8 of an image; a JPEG is decoded at a part of its size."""
    import numpy as np
    from PIL import Image

    from ssl_ood.datasets.dicom import is_dicom, open_dicom
    from ssl_ood.datasets.pictures import open_picture

    content = read(data)
    image: Image.Image
    if is_dicom(content):
        image = open_dicom(content, None)[0]
    elif content[:2] == b"\xff\xd8":
        image = Image.open(io.BytesIO(content))
        image.draft("RGB", (SMALL, SMALL))
    else:
        image = open_picture(content, None)[0]
    small = image.convert("RGB").resize((SMALL, SMALL), Image.Resampling.BOX)
    return np.asarray(small)
