"""Published pre-trained weights: their catalogue entries, and the way to a backbone's safetensors.

The entries are in the section `weights` of the catalogue. The Snakefile reads them too, so torch
is imported only where a file is converted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_ood.common.errors import UserError, reason
from ssl_ood.common.proofs import save_tensors
from ssl_ood.datasets.catalogue import Archive, archives_of, plain, read_catalogue
from ssl_ood.datasets.impostors import LOOKED_AT, impostor


@dataclass(frozen=True)
class Weights:
    """Weights of a timm `backbone` in a checkpoint: its parameters are named `prefix` + their name.

    What is called `prefix` + `head` is the head, which is left out. It is fetched as a dataset is.
    """

    name: str
    title: str
    access: str
    archives: tuple[Archive, ...]
    backbone: str
    prefix: str
    head: str
    how_to_get: str | None = None
    licence: str | None = None
    citation: str | None = None
    notes: tuple[str, ...] = ()
    debian_package: Mapping[str, str] | None = None

    @property
    def store(self) -> str:
        """The folder of its archives."""
        return self.name

    @property
    def free(self) -> bool:
        """Whether it can be had without a login, a registration or a request."""
        return self.access == "free"

    def to_dict(self) -> dict[str, Any]:
        """The entry as JSON-able data, equal for equal entries: a rule's parameter."""
        return plain(self)


def load_weights(path: str | Path, validate: bool = True) -> dict[str, Weights]:
    """The pre-trained weights of the catalogue at `path`. Raises UserError for a faulty file."""
    return weights_of(read_catalogue(path, validate).get("weights", {}))


def weights_of(entries: Mapping[str, Any]) -> dict[str, Weights]:
    """The weights of catalogue entries."""
    return {name: from_dict(name, entry) for name, entry in entries.items()}


def from_dict(name: str, entry: Mapping[str, Any]) -> Weights:
    """Weights from a catalogue entry."""
    data = {**entry, "archives": archives_of(entry), "notes": tuple(entry.get("notes", ()))}
    return Weights(name=name, **data)


def convert(weights: Weights, manifest: Mapping[str, Any], output: Path) -> dict[str, str]:
    """Writes the backbone of a published checkpoint to `output`, a safetensors file.

    Returns its metadata: {weights, backbone, source, sha256}, source an address or a file's name.
    The keys are those of `timm.create_model(weights.backbone, num_classes=0)`, of which every
    float tensor must be there, in its shape; the head and counters are left out. `manifest` is what
    fetch has written. Nothing but tensors is read from the file: no code in it is run.
    Raises UserError for a file that is no such checkpoint.
    """
    (archive,) = manifest["archives"]
    path = Path(archive["path"])
    state = _state_dict(path)
    tensors = {
        key.removeprefix(weights.prefix): value
        for key, value in state.items()
        if key.startswith(weights.prefix)
        and not key.startswith(weights.prefix + weights.head)
        and value.is_floating_point()
    }
    # Before anything is made of them: a forged tensor of a few bytes may claim any shape.
    _check_backbone(tensors, weights, path)
    tensors = {key: value.float().contiguous() for key, value in tensors.items()}
    metadata = {
        "weights": weights.name,
        "backbone": weights.backbone,
        "source": next(iter(weights.archives[0].urls), archive["file"]),
        "sha256": archive["sha256"],
    }
    save_tensors(tensors, output, metadata)
    return metadata


def _state_dict(path: Path) -> dict[str, Any]:
    """The tensors of a PyTorch checkpoint by name: itself, or what it holds as `state_dict`."""
    import torch

    if not path.is_file():
        raise UserError(f"{path} is no longer there: fetch it again.")
    with open(path, "rb") as file:
        other = impostor(file.read(LOOKED_AT))
    if other is not None:
        raise UserError(
            f"{path} is not a PyTorch checkpoint of tensors (it is {other}): remove it and fetch "
            "it again."
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises whatever a foreign file makes it trip over
        raise UserError(
            f"{path} is not a PyTorch checkpoint of tensors ({reason(error)}): remove it and "
            "fetch it again."
        ) from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {type(content).__name__}, not tensors by name.")
    named = {key: value for key, value in content.items() if isinstance(key, str)}
    return {key: value for key, value in named.items() if isinstance(value, torch.Tensor)}


def _check_backbone(tensors: Mapping[str, Any], weights: Weights, path: Path) -> None:
    """Raises UserError unless these are the float tensors of the backbone, in their shapes."""
    import timm
    import torch

    with torch.device("meta"):  # shapes only
        model = timm.create_model(weights.backbone, num_classes=0)
    expected = {k: tuple(v.shape) for k, v in model.state_dict().items() if v.is_floating_point()}
    shapes = {key: tuple(value.shape) for key, value in tensors.items()}
    wrong = [
        *(f"it lacks {weights.prefix}{key}" for key in expected if key not in shapes),
        *(f"{weights.prefix}{key} is unknown" for key in shapes if key not in expected),
        *(
            f"{weights.prefix}{key} is {shapes[key]}, not {shape}"
            for key, shape in expected.items()
            if shapes.get(key, shape) != shape
        ),
    ]
    if wrong:
        more = f" and {len(wrong) - 1} more such differences" if len(wrong) > 1 else ""
        raise UserError(
            f"{path} is no {weights.backbone} as the catalogue describes {weights.name}: "
            f"{wrong[0]}{more}. Fetch it again, or correct the entry."
        )
