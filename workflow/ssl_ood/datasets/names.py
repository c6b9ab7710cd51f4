"""Names and places of packed sets; light, for whoever plans."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PackedSet:
    """Images of a dataset's split at a size; `name` is its label in features and scores."""

    dataset: str
    split: str
    size: int

    @property
    def name(self) -> str:
        return f"{self.dataset}-{self.split}"

    @property
    def path(self) -> str:
        """Folder below results_dir/data."""
        return packed_path(self.dataset, self.split, self.size)


def packed_path(dataset: str, split: str, size: int) -> str:
    """Folder of a packed set below results_dir/data."""
    return f"{dataset}/{split}-{size}px"
