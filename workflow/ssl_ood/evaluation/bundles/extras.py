"""What of a run's images goes into a bundle only when it is asked for: the features of the training
images, small pictures of them, and the names of their files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ssl_ood.common.errors import UserError
from ssl_ood.common.files import read_json, write_json
from ssl_ood.common.hashing import sha256_of
from ssl_ood.evaluation.bundles.layout import FEATURES, NAMES, THUMBNAILS
from ssl_ood.methods.settings import RunSettings

if TYPE_CHECKING:
    import numpy as np

    from ssl_ood.datasets.packed import Packed

SIDE = 64  # pixels of a thumbnail at most


@dataclass(frozen=True)
class Wishes:
    """What was asked for; nothing by default."""

    features: bool = False
    thumbnails: bool = False
    names: bool = False


def extra_members(
    results: Path, settings: RunSettings, weights: str, wishes: Wishes, folder: Path
) -> dict[str, Path]:
    """The members that were asked for; `folder` takes those that are made now.

    weights: the checksum of the run's. Raises UserError where something that was asked for is not
    there, or of other weights.
    """
    members: dict[str, Path] = {}
    if wishes.features:
        members |= _features(results, settings, weights)
    if wishes.thumbnails or wishes.names:
        members |= _of_images(results, settings, wishes, folder)
    return members


def _features(results: Path, settings: RunSettings, weights: str) -> dict[str, Path]:
    run = settings.run
    train = settings.packed(settings.in_distribution, settings.train_split).name
    folder = results / FEATURES / run
    arrays = [folder / f"{train}.npy", *sorted(folder.glob(f"{train}.*.npy"))]
    for path in arrays:
        proof = path.with_suffix(".json")
        if not path.is_file() or not proof.is_file():
            raise UserError(
                f"{run} has no features {path}: make them again with `snakemake --forcerun "
                f"evaluate {results}/measurements/{run}.parquet`, or leave out --with-features."
            )
        recorded = read_json(proof)
        if (recorded["weights"], recorded["sha256"]) != (weights, sha256_of(path)):
            raise UserError(
                f"The features {path} are damaged or of other weights: delete the file, evaluate "
                "the run again, and bundle it then."
            )
    members = {f"{FEATURES}/{run}/{path.name}": path for path in arrays}
    members |= {
        str(Path(n).with_suffix(".json")): p.with_suffix(".json") for n, p in members.items()
    }
    soft = folder / "soft_classes.npy"
    return members | ({f"{FEATURES}/{run}/{soft.name}": soft} if soft.is_file() else {})


def _of_images(
    results: Path, settings: RunSettings, wishes: Wishes, folder: Path
) -> dict[str, Path]:
    import numpy as np

    from ssl_ood.datasets.packed import open_set

    run = settings.run
    chosen = settings.packed(settings.in_distribution, settings.train_split)
    packed = open_set(results / "data", chosen)
    _refuse_others(results, settings, chosen.path, packed)
    folder.mkdir(parents=True, exist_ok=True)
    identity = {"run": run, "images": packed.checksums["images"]}
    members = {}
    if wishes.thumbnails:
        path = folder / f"{chosen.name}.npy"
        with open(path, "wb") as file:
            np.save(file, thumbnails(packed.images))
        proof = folder / f"{chosen.name}.json"
        write_json(proof, identity | {"sha256": sha256_of(path)})
        members |= {f"{THUMBNAILS}/{run}/{p.name}": p for p in (path, proof)}
    if wishes.names:
        path = folder / f"{chosen.name}-names.json"
        write_json(path, identity | {"names": packed.files})
        members[f"{NAMES}/{run}/{chosen.name}.json"] = path
    return members


def _refuse_others(results: Path, settings: RunSettings, name: str, packed: Packed) -> None:
    """Raises UserError where the images that are here are not those that the run was trained on."""
    recorded: Mapping = read_json(results / "runs" / settings.run / "train.json")["datasets"]
    if recorded.get(name) not in (None, packed.checksums["images"]):
        raise UserError(
            f"{packed.path} is not what {settings.run} was trained on: leave out --with-thumbnails "
            "and --with-names, or bring the images back."
        )


def thumbnails(images: np.ndarray) -> np.ndarray:
    """(N, S, S, 3) uint8 images at `SIDE` pixels at most."""
    import numpy as np
    from PIL import Image

    if images.shape[1] <= SIDE:
        return np.asarray(images)
    small = np.empty((len(images), SIDE, SIDE, 3), np.uint8)
    for i, image in enumerate(images):
        small[i] = Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BOX)
    return small
