"""Cues of the source files (`datasets.facts`): how an image was stored, and whom it shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from ssl_ood.common.registry import declare

# Fact, title of its cue, what it is.
FACTS = (
    ("bytes", "file size", "bytes of the source file"),
    ("format", "file format", "format of the source file"),
    ("width", "width", "pixels across of the picture as stored"),
    ("height", "height", "pixels down of the picture as stored"),
    ("view_position", "view position", "ViewPosition of the DICOM header"),
    ("age", "age", "PatientAge of the DICOM header"),
    ("sex", "sex", "PatientSex of the DICOM header"),
)


def _of(fact: str) -> Callable[[Mapping[str, NDArray]], NDArray[np.generic]]:
    return lambda facts: facts[fact]


for _fact, _title, _notes in FACTS:
    declare(
        "cue",
        f"file_{_fact}" if _fact in ("bytes", "format") else _fact,
        _of(_fact),
        title=_title,
        notes=_notes,
        needs={"facts"},
        module=__name__,
    )
