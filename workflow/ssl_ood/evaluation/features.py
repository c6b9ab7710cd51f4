"""Features of a trained run for its train, test and OOD sets, by the network that it kept.

    ssl_ood features --config results/runs/RUN/config.json \\
        --weights results/runs/RUN/model.safetensors --data results/data \\
        --ood svhn/test lsun/test --output results/features/RUN/index.json

One job a run, one file a set. A set whose weights and images are those of the last time is not
extracted again, so a new OOD set costs its own images only.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ssl_ood.common.errors import UserError
from ssl_ood.common.files import atomic_path, read_json, write_json
from ssl_ood.common.log import say
from ssl_ood.common.registry import lookup
from ssl_ood.common.vocabulary import VERSIONS
from ssl_ood.datasets.packed import Packed, open_packed
from ssl_ood.methods.base import Model, load_model, read_run
from ssl_ood.views.images import Images

BATCH = {"cpu": 64, "cuda": 4096}  # images at a time at most; on CUDA halved until they fit
BATCH_BYTES = 256 << 20  # of their pixels: the host holds several such blocks while it reads ahead


@torch.inference_mode()
def extract(
    model: Model, images: np.ndarray, device: torch.device, precision: str = "float32"
) -> np.ndarray:
    """Features (N, d), float32 on the host, of (N, S, S, 3) uint8 images.

    precision: of the network's products, "float32" or "bfloat16". Images go through the network in
    batches that are halved where memory runs out, while a thread reads those that come next; the
    size of a batch changes nothing but rounding. Raises UserError where one image is too much.
    """
    source = Images(images, device, resident=0)
    size = max(1, min(BATCH[device.type], BATCH_BYTES // images[0].nbytes))
    low, features = 0, []
    while low < len(images):
        rows = np.arange(low, min(low + size, len(images)))
        block = source.take(rows)
        source.expect(np.arange(rows[-1] + 1, min(rows[-1] + 1 + size, len(images))))
        try:
            # The views before the autocast: in bfloat16 they would lose three of their eight bits.
            views = model.views(block)
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
                found = model.features(views)
        except torch.OutOfMemoryError:
            if size == 1:
                raise UserError(
                    "The device has too little memory for the features of a single image: take "
                    "a larger device."
                ) from None
            size = (size + 1) // 2
            say(f"out of memory: {size} images at a time from here on")
            continue
        features.append(found.float().cpu())
        low += len(rows)
    return torch.cat(features).numpy()


@torch.inference_mode()
def probabilities_of(model: Model, features: np.ndarray, device: torch.device) -> Tensor:
    """The teacher's probabilities (N, K) of the soft-classes, on the host, from features (N, d)."""
    blocks = torch.from_numpy(features).split(BATCH[device.type])
    return torch.cat([model.soft_classes(block.to(device)).cpu() for block in blocks])


def soft_classes(probabilities: Tensor) -> tuple[np.ndarray, dict]:
    """Mean teacher probability (K,) of every soft-class over images (N, K), and its summary.

    A soft-class is occupied where this is above the average over the K soft-classes, 1 / K
    (figure 2 of the paper of chapter 6). Entropies in nats.
    """
    mean = probabilities.double().mean(0)
    classes = len(mean)
    entropies = torch.special.entr(probabilities).sum(-1)
    return mean.numpy(), {
        "occupied": int((mean > 1 / classes).sum()),
        "entropy_of_mean": torch.special.entr(mean).sum().item(),
        "mean_entropy": entropies.double().mean().item(),
        "log_k": float(np.log(classes)),
        "soft_classes": classes,
    }


def extract_sets(
    config: dict,
    weights: Path,
    data: Path,
    ood: list[str],
    output: Path,
    device: torch.device,
    precision: str = "float32",
) -> None:
    """Writes the features of all sets beside `output`, an index of them.

    ood: "dataset/split" of every OOD set; train and test sets are those of the config. precision:
    see `extract`.
    """
    model = load_model(read_run(config), weights, device)
    own = config["in_distribution"]
    wanted = [(role, f"{own}/{config[f'{role}_split']}") for role in ("train", "test")]
    wanted += [("ood", name) for name in ood]
    index = {}
    for role, name in wanted:
        dataset, split = name.split("/")
        folder = data / f"{name}-{config['size']}px"
        packed = open_packed(folder)
        path = output.parent / f"{dataset}-{split}.npy"
        fresh = _extract_set(model, packed, path, device, precision)
        say(f"{dataset}-{split}: {len(packed.images)} images" + ("" if fresh else ", as before"))
        if role == "test":
            _write_soft_classes(model, path, device)
        index[f"{dataset}-{split}"] = {
            "dataset": dataset,
            "split": split,
            "role": role,
            "features": path.name,
            "labels": os.path.relpath(folder / "labels.npy", output.parent),
            "count": len(packed.images),
        }
    write_json(output, index)


def _extract_set(model: Model, packed: Packed, path: Path, device, precision: str) -> bool:
    """Extracts one set unless that has been done; whether it did."""
    stamp = {
        "weights": model.sha256,
        "images": packed.meta["images_sha256"],
        "precision": precision,
        "code_version": VERSIONS["features"],
    }
    stamp_path = path.with_suffix(".json")
    if path.exists() and stamp_path.exists() and read_json(stamp_path) == stamp:
        return False
    stamp_path.unlink(missing_ok=True)
    _save(path, extract(model, packed.images, device, precision))
    write_json(stamp_path, stamp)
    return True


def _write_soft_classes(model: Model, features: Path, device: torch.device) -> None:
    """Writes the soft-classes of a set beside its features; nothing is in them where the method
    has none, for they are outputs of the rule."""
    mean, summary = np.empty(0), {}
    if "soft_classes" in lookup("method", model.settings.method).more["offers"]:
        mean, summary = soft_classes(probabilities_of(model, np.load(features), device))
    path = features.with_name("soft_classes.json")
    _save(path.with_suffix(".npy"), mean)
    write_json(path, summary)


def _save(path: Path, array: np.ndarray) -> None:
    with atomic_path(path) as partial, open(partial, "wb") as file:
        np.save(file, array)
