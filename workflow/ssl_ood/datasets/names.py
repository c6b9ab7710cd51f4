"""Names and places of packed sets; light, for whoever plans."""

from __future__ import annotations

from dataclasses import dataclass

FITS = CROP, SQUASH = "crop", "squash"  # how an image that is not square becomes so
AT = "@"  # in the name of an OOD set that is packed at a size of its own, such as lsun@256


@dataclass(frozen=True)
class PackedSet:
    """Images of a dataset's split at a size in pixels; `name` is its label in features and scores.

    fit: CROP takes the middle of an image that is not square, SQUASH all of it. own_size: it is
    tested beside the one of the study's size, and its name says so.
    """

    dataset: str
    split: str
    size: int
    fit: str = CROP
    own_size: bool = False

    @property
    def called(self) -> str:
        """What measurements call the set: by its dataset, with the size if that is its own."""
        return f"{self.dataset}{AT}{self.size}" if self.own_size else self.dataset

    @property
    def name(self) -> str:
        return f"{self.dataset}-{self.split}" + (f"{AT}{self.size}" if self.own_size else "")

    @property
    def path(self) -> str:
        """Folder below results_dir/data."""
        return packed_path(self.dataset, self.split, self.size, self.fit)


def packed_path(dataset: str, split: str, size: int, fit: str = CROP) -> str:
    """Folder of a packed set below results_dir/data."""
    return f"{dataset}/{split}-{size}px" + ("" if fit == CROP else f"-{fit}")


def at_size(name: str) -> tuple[str, int | None]:
    """The dataset and the size, where it has one of its own, of an OOD set: lsun@256, or lsun.

    Raises ValueError for what follows the @ and is not a number of pixels.
    """
    dataset, at, size = name.partition(AT)
    if at and not (size.isascii() and size.isdigit() and int(size) >= 8):
        raise ValueError(f"{size!r} is not a size in pixels: write {dataset}{AT}256, for instance")
    return dataset, int(size) if at else None
