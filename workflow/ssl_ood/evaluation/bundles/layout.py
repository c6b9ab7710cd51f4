"""What a bundle holds, and where it lies in a results folder.

Its members are named as in a results folder (`runs/RUN/model.safetensors`), but for three, which
stand at the top of the zip and belong into the folder of the run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from ssl_ood.study.bundled import MARK, SHORTCUTS

MANIFEST, CARD, PROTOCOL = "manifest.json", "README.md", "protocol.csv"
FORMAT, VERSION = "ssl_ood bundle", 1
TOP = {MANIFEST: MARK, CARD: CARD, PROTOCOL: PROTOCOL}  # names in the zip and in runs/RUN
RUN_FILES = ("config.json", "train.json", "model.safetensors", "log.jsonl")
RUN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*", re.ASCII)
_ARRAY = r"[A-Za-z0-9_][A-Za-z0-9_.@-]*\.(?:npy|json)"
# What a bundle holds of images only when that is asked for: a file for each set, and its proof.
OF_IMAGES = FEATURES, THUMBNAILS, NAMES = "features", "thumbnails", "names"
# What needs no learning of the images of a run, where that was measured; whose it is: `shortcuts`.
_OF_PAIRS = re.compile(rf"{SHORTCUTS}/{RUN.pattern}\.(?:json|parquet)", re.ASCII)


def required(run: str) -> tuple[str, ...]:
    """The members that every bundle has, in the order in which they depend on each other."""
    return (
        *(f"runs/{run}/{name}" for name in RUN_FILES),
        f"evaluation/{run}.json",
        f"scores/{run}.parquet",
        f"measurements/{run}.parquet",
    )


def in_order(names: Iterable[str]) -> list[str]:
    """The members as they follow each other in a bundle: the manifest, the card, the others."""
    return sorted(names, key=lambda name: (name != MANIFEST, name != CARD, name))


def is_member(name: str, run: str) -> bool:
    """Whether a bundle of the run may have a member of that name."""
    if name in TOP or name in required(run) or _OF_PAIRS.fullmatch(name):
        return True
    folder, _, rest = name.partition(f"/{run}/")
    if folder not in OF_IMAGES or not re.fullmatch(_ARRAY, rest, re.ASCII):
        return False
    return folder != NAMES or rest.endswith(".json")


def place_of(name: str, run: str) -> str:
    """Where a member lies below a results folder."""
    return f"runs/{run}/{TOP[name]}" if name in TOP else name


def files_of(opened: Path, run: str) -> Iterator[Path]:
    """The files in the folder of an opened bundle, as of a results folder; its mark comes last."""
    names = list(required(run))
    for folder in (SHORTCUTS, *(f"{folder}/{run}" for folder in OF_IMAGES)):
        names += [str(p.relative_to(opened)) for p in sorted((opened / folder).glob("*"))]
    names += [place_of(name, run) for name in reversed(TOP)]
    yield from (path for name in names if (path := opened / name).is_file())
