"""Speed on a GPU, in at most 25 minutes: ViT-S/16, views of 256 and 128 pixels, batch 128 + 128.

    python3 -m venv --system-site-packages gpu      # keeps the machine's own torch
    gpu/bin/pip install timm safetensors pydantic psutil pyyaml
    gpu/bin/python benchmarks/gpu.py --keep
    gpu/bin/python benchmarks/gpu.py --preset tiny --device cpu     # tries the script itself

Measures the training step alone and with its views, its share of the best matrix product, the same
compiled with CUDA graphs, where the time goes (profile.txt), views against DALI if it is installed,
all temperatures of equation 6.1 against the bare product, and the losses in tf32 and bfloat16 over
500 steps (losses.csv). A part that would begin after the time is over is named and left out. With
--keep the rows are in docs/measured/gpu.csv, which docs/speed.md shows.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import os
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))

from compare import presets
from compare.hardware import describe
from compare.on_gpu import PARTS, Bench, Value

MEASURED = Path(__file__).resolve().parents[1] / "docs" / "measured" / "gpu.csv"
COLUMNS = (
    "part", "value", "low", "high", "unit", "note", "preset", "device", "torch", "commit", "date",
)  # fmt: skip
NO_CUDA = (
    "gpu.py: torch sees no CUDA device here, so nothing was run "
    "(--preset tiny --device cpu tries the script itself)."
)
OLD_TORCH = "gpu.py: torch {} is too old to choose the precision of products: take 2.9 or newer."


def main(arguments: list[str] | None = None) -> int:
    """Parses the command line, measures part by part, prints and writes; the exit code."""
    options = parse(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        print(NO_CUDA)
        return 0
    if not hasattr(torch.backends.cuda.matmul, "fp32_precision"):
        print(OLD_TORCH.format(torch.__version__), file=sys.stderr)
        return 2
    device = torch.device(options.device)
    preset = presets.load(options.preset)
    where = describe(device)
    print(f"{where['device']}, torch {where['torch']}, preset {preset.name}", flush=True)
    bench = Bench(
        preset, device, options.repeats, options.loss_steps, options.workers, options.output
    )
    mark = {
        "preset": preset.name, "device": where["device"], "torch": where["torch"],
        "commit": short_commit(), "date": datetime.date.today().isoformat(),
    }  # fmt: skip
    rows: list[dict[str, str]] = []
    until = time.monotonic() + 60 * options.minutes
    for name in options.parts:
        if time.monotonic() > until:
            print(f"{name}: not run, the {options.minutes:g} minutes are over")
            continue
        for value in PARTS[name](bench):
            rows.append(row(value) | mark)
            print("{part}: {value} ({low} to {high}) {unit}  {note}".format(**rows[-1]), flush=True)
            write(rows, options.output / "gpu.csv")  # what is there stays if a later part ends
    if options.keep:
        write(rows, MEASURED)
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--preset", choices=("thesis", "tiny"), default="thesis")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--minutes", type=float, default=25.0, help="no part begins after them")
    parser.add_argument("--repeats", type=int, default=5, help="of each part (default 5)")
    parser.add_argument("--loss-steps", type=int, default=500, help="in each precision")
    parser.add_argument(
        "--workers", type=int, default=len(os.sched_getaffinity(0)), help="threads of DALI"
    )
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks/gpu"))
    parser.add_argument("--keep", action="store_true", help="write docs/measured/gpu.csv")
    options = parser.parse_args(arguments)
    if min(options.repeats, options.loss_steps, options.workers) < 1:
        parser.error("--repeats, --loss-steps and --workers must be at least 1")
    if options.keep and options.device == "cpu":
        parser.error("--keep is for --device cuda: docs/measured/gpu.csv is of GPUs")
    return options


def row(value: Value) -> dict[str, str]:
    """A value as a line of the csv."""
    numbers = (value.value.median, value.value.low, value.value.high)
    shown = dict(zip(("value", "low", "high"), (f"{n:.4g}" for n in numbers), strict=True))
    return {"part": value.part, **shown, "unit": value.unit, "note": value.note}


def read(path: Path = MEASURED) -> list[dict[str, str]]:
    """The rows that are kept; none where nothing was measured."""
    if not path.exists():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write(rows: list[dict[str, str]], path: Path) -> None:
    """Replaces the file by these rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def short_commit() -> str:
    """Seven digits of the commit."""
    from ssl_ood.common.commit import commit

    return (commit() or "")[:7]


if __name__ == "__main__":
    sys.exit(main())
