"""Runs that came here as a bundle (`ssl_ood unbundle`) and count as made.

Such a run is marked by the manifest of its bundle, runs/RUN/bundle.json.
"""

from __future__ import annotations

from pathlib import Path

MARK = "bundle.json"


def mark_of(results: Path, run: str) -> Path:
    """The file that says of a run that it came as a bundle: the bundle's manifest."""
    return results / "runs" / run / MARK
