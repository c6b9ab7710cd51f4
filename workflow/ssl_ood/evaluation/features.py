"""Features of a trained run for its train, test and OOD sets, by the network that it kept.

    ssl_ood features --config results/runs/RUN/config.json \\
        --weights results/runs/RUN/model.safetensors --data results/data \\
        --ood svhn/test lsun/test --output results/features/RUN/index.json

One job a run, one file a set. A set whose weights and images are those of the last time is not
extracted again, so a new OOD set costs its own images only.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ssl_ood.common.errors import UserError
from ssl_ood.common.files import atomic_path, read_json, sha256_of, write_json
from ssl_ood.common.log import say
from ssl_ood.common.vocabulary import VERSIONS
from ssl_ood.datasets.packed import Packed, open_packed
from ssl_ood.methods.backbones import build_network
from ssl_ood.methods.dino.loss import entropy, teacher_probabilities
from ssl_ood.views.images import Images
from ssl_ood.views.render import middle_share, resize_plain

BATCH = {"cpu": 64, "cuda": 4096}  # images at a time at most; on CUDA halved until they fit
BATCH_BYTES = 256 << 20  # of their pixels: the host holds several such blocks while it reads ahead


@dataclass(frozen=True)
class Model:
    """A trained network in evaluation mode; its `features` are what the scores use.

    A teacher of self-distillation has a centre (K,) and a final temperature, too: its head sorts
    images into soft-classes. The other methods have none.
    """

    network: nn.Module
    config: dict
    sha256: str
    centre: Tensor | None = None
    temperature: float | None = None


def load_model(config: dict, weights: Path, device: torch.device) -> Model:
    """The model of a run config from its safetensors file, in evaluation mode."""
    from safetensors.torch import load_file

    state = load_file(weights)
    method, centre, temperature = config["method"], None, None
    if method == "dino":
        centre = state.pop("centre").to(device)
        temperature = config["training"]["teacher_temperature"][1]
        network = build_network(config, drop_path=0.0)
    elif method == "moco":
        from ssl_ood.methods.moco.method import Encoder

        network = Encoder(config)
    else:
        from ssl_ood.methods.finetune.method import Classifier

        network = Classifier(config)
    network.load_state_dict(state)
    network.to(device).eval()
    return Model(network, config, sha256_of(weights), centre, temperature)


def whole_views(model: Model, images: Tensor) -> Tensor:
    """(N, S, S, 3) uint8 images as the model sees them in evaluation: whole, not augmented."""
    views = model.config["views"]
    if "global_size" in views:
        return resize_plain(images, views["global_size"], views["mean"], views["std"])
    part = middle_share(views), views["interpolation"]
    return resize_plain(images, views["size"], views["mean"], views["std"], *part)


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
            views = whole_views(model, block)
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
                found = model.network.features(views)
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
def logits_of(model: Model, features: np.ndarray, device: torch.device) -> np.ndarray:
    """Logits (N, K) of the teacher's soft-classes, float32, from features (N, d)."""
    blocks = torch.from_numpy(features).split(BATCH[device.type])
    return torch.cat([model.network.head(b.to(device)).cpu() for b in blocks]).numpy()


def soft_classes(logits: np.ndarray, centre: Tensor, temperature: float) -> tuple[np.ndarray, dict]:
    """Mean teacher probability (K,) of every soft-class over images, and its summary.

    A soft-class is occupied where this is above the average over the K soft-classes, 1 / K
    (figure 2 of the paper of chapter 6). Entropies in nats.
    """
    probabilities = teacher_probabilities(torch.from_numpy(logits), centre.cpu(), temperature)
    mean = probabilities.double().mean(0)
    classes = len(mean)
    return mean.numpy(), {
        "occupied": int((mean > 1 / classes).sum()),
        "entropy_of_mean": entropy(mean).item(),
        "mean_entropy": entropy(probabilities).double().mean().item(),
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
    model = load_model(config, weights, device)
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
    if model.centre is not None:
        logits = logits_of(model, np.load(features), device)
        mean, summary = soft_classes(logits, model.centre, model.temperature)
    path = features.with_name("soft_classes.json")
    _save(path.with_suffix(".npy"), mean)
    write_json(path, summary)


def _save(path: Path, array: np.ndarray) -> None:
    with atomic_path(path) as partial, open(partial, "wb") as file:
        np.save(file, array)
