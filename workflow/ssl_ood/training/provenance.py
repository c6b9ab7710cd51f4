"""What a finished run leaves: the model's weights and where they come from."""

from __future__ import annotations

import json
import platform
import resource
import sys
from pathlib import Path

import torch

from ssl_ood.common.commit import commit, version
from ssl_ood.common.distributed import world
from ssl_ood.common.files import write_json, write_text
from ssl_ood.common.hashing import sha256_of
from ssl_ood.common.proofs import save_tensors, sealed
from ssl_ood.datasets.packed import Packed


def save_run(
    run,
    schedule,
    sources: dict[str, Packed],
    output: Path,
    device: torch.device,
    initial: str | None,
) -> None:
    """Writes model.safetensors, log.jsonl and, last, train.json to `output`.

    initial: SHA-256 of the weights that the training started from, None where they were drawn.
    """
    state = run.method.model_state()
    weights = {name: value.contiguous().cpu() for name, value in state.items()}
    path = output / "model.safetensors"
    save_tensors(weights, path, {"config": json.dumps(run.settings.to_dict())})
    log = output / "log.jsonl"
    write_text(log, "".join(json.dumps(line) + "\n" for line in run.lines()))
    images = schedule.images(run.step)
    write_json(
        output / "train.json",
        sealed(
            {
                "run": run.settings.run,
                "steps": run.step,
                "steps_per_epoch": schedule.steps_per_epoch,
                "seconds": run.seconds,
                "images_per_second": images / run.seconds if run.seconds else None,
                "resumed_at_steps": run.resumed_at,
                "repeated_steps": run.repeated,
                "devices": world()[1],
                "log_sha256": sha256_of(log),
                "probe_seconds": run.probe_seconds,
                "last_epoch": run.history[-1] if run.history else None,
                "weights_sha256": sha256_of(path),
                "initial_sha256": initial,
                "datasets": {name: packed.checksums["images"] for name, packed in sources.items()},
                "labels": {name: packed.checksums["labels"] for name, packed in sources.items()},
                "parameters": sum(p.numel() for p in run.method.trained.parameters()),
                **machine(device),
            }
        ),
    )


MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes that getrusage counts in


def device_name(device: torch.device) -> str:
    """What to call the device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return platform.processor() or "cpu"


def machine(device: torch.device) -> dict:
    """Device, versions and peak memory of this process."""
    import timm

    cuda = device.type == "cuda"
    return {
        "device": device_name(device),
        "host_peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_UNIT,
        "device_peak_bytes": torch.cuda.max_memory_allocated(device) if cuda else None,
        "threads": torch.get_num_threads(),
        "versions": {
            "ssl_ood": version(),
            "commit": commit(),
            "torch": torch.__version__,
            "timm": timm.__version__,
            "python": platform.python_version(),
        },
    }
