"""Features of a trained run for its train, test and OOD sets, by the network that it kept.

    ssl_ood features --config results/runs/RUN/config.json \\
        --weights results/runs/RUN/model.safetensors --data results/data \\
        --ood svhn/test lsun/test --output results/features/RUN/index.json

One job a run, one file a set. A set whose weights and images are those of the last time is not
extracted again, so a new OOD set costs its own images only.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ssl_ood.backbones import build_network
from ssl_ood.datasets.packed import Packed, open_packed
from ssl_ood.dino import entropy, teacher_probabilities
from ssl_ood.experiments import VERSIONS
from ssl_ood.files import atomic_path, read_json, sha256_of, write_json
from ssl_ood.views import middle_share, resize_plain


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
        from ssl_ood.method_moco import Encoder

        network = Encoder(config)
    else:
        from ssl_ood.method_finetune import Classifier

        network = Classifier(config)
    network.load_state_dict(state)
    network.to(device).eval()
    return Model(network, config, sha256_of(weights), centre, temperature)


def whole_views(model: Model, images: Tensor) -> Tensor:
    """(N, S, S, 3) uint8 images as the model sees them in evaluation: whole, not augmented."""
    views = model.config["views"]
    if "global_size" in views:
        size, crop = views["global_size"], 1.0
    else:
        size, crop = views["size"], middle_share(views)
    return resize_plain(images, size, views["mean"], views["std"], crop)


@torch.inference_mode()
def extract(model: Model, images: np.ndarray, device: torch.device, batch: int = 256):
    """(features (N, d), logits (N, K) or None), float32 host arrays, of (N, S, S, 3) uint8 images.

    Logits are those of a teacher's soft-classes.
    """
    features, logits = [], []
    for low in range(0, len(images), batch):
        block = torch.from_numpy(np.array(images[low : low + batch])).to(device)
        found = model.network.features(whole_views(model, block)).float()
        features.append(found.cpu())
        if model.centre is not None:
            logits.append(model.network.head(found).cpu())
    return torch.cat(features).numpy(), torch.cat(logits).numpy() if logits else None


@torch.inference_mode()
def logits_of(model: Model, features: np.ndarray, device: torch.device, batch: int = 256):
    """The logits (N, K) that `extract` gives together with these features (N, d)."""
    blocks = torch.from_numpy(features).split(batch)
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
    config: dict, weights: Path, data: Path, ood: list[str], output: Path, device: torch.device
) -> None:
    """Writes the features of all sets beside `output`, an index of them.

    ood: "dataset/split" of every OOD set; train and test sets are those of the config.
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
        fresh = _extract_set(model, packed, path, role == "test", device)
        print(
            f"{dataset}-{split}: {len(packed.images)} images" + ("" if fresh else ", as before"),
            file=sys.stderr,
            flush=True,
        )
        index[f"{dataset}-{split}"] = {
            "dataset": dataset,
            "split": split,
            "role": role,
            "features": path.name,
            "labels": os.path.relpath(folder / "labels.npy", output.parent),
            "count": len(packed.images),
        }
    write_json(output, index)


def _extract_set(model: Model, packed: Packed, path: Path, with_classes: bool, device) -> bool:
    """Extracts one set unless that has been done; whether it did."""
    stamp = {
        "weights": model.sha256,
        "images": packed.meta["images_sha256"],
        "code_version": VERSIONS["features"],
    }
    stamp_path = path.with_suffix(".json")
    classes_path = path.with_name("soft_classes.json")
    complete = path.exists() and stamp_path.exists()
    fresh = not (complete and read_json(stamp_path) == stamp)
    if fresh:
        stamp_path.unlink(missing_ok=True)
        features, logits = extract(model, packed.images, device)
        _save(path, features)
        write_json(stamp_path, stamp)
    elif with_classes and model.centre is not None:
        # Snakemake removes its outputs before a job, these too: the features give them back.
        logits = logits_of(model, np.load(path), device)
    if with_classes:
        mean, summary = np.empty(0), {}  # the rule's outputs, also of a method without soft-classes
        if model.centre is not None:
            mean, summary = soft_classes(logits, model.centre, model.temperature)
        _save(classes_path.with_suffix(".npy"), mean)
        write_json(classes_path, summary)
    return fresh


def _save(path: Path, array: np.ndarray) -> None:
    with atomic_path(path) as partial, open(partial, "wb") as file:
        np.save(file, array)
