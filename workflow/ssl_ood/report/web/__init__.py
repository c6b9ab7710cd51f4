"""What the pages for a browser share: one file each, that needs nothing else and asks nobody."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

FOLDER = Path(__file__).parent
# What a page may load: its own style, script and pictures, and nothing over a network.
POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'"
)


def part(name: str) -> str:
    """The text of a file of this folder, such as base.css or sort.js."""
    return (FOLDER / name).read_text(encoding="utf-8")


def data_address(image: Image, form: str, **options: object) -> str:
    """A picture as an address that holds it: data:image/FORM;base64,... options: of its format."""
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return f"data:image/{form};base64,{base64.b64encode(stream.getvalue()).decode()}"
