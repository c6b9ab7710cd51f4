"""Speed: this project beside the usual way, in one process, on a CPU or a GPU.

    python benchmarks/speed.py                    # cpu: small, under 4 minutes on 2 cores
    python benchmarks/speed.py --preset thesis    # ViT-S/16, views of 256 and 128 pixels, batch 256
    python benchmarks/speed.py --parts opponents --clock processor    # on a machine that is shared

The usual way is the DINO reference's, written for the comparison: torchvision transforms on Pillow
images in DataLoader workers, the same views, network and losses in eager mode; scikit-learn and
NumPy for the evaluation. Opponents are other libraries that make the same views, those of
envs/opponents.txt that are installed. The two sides take turns, at least five times each; what is
printed is the median and, in brackets, the least and the greatest. Writes speed.json and the figure
speed.png, speed.pdf. docs/speed.md says what the figures mean.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))

from compare import against, evaluation, kept, presets, training
from compare.hardware import describe
from compare.opponents import OPPONENTS
from compare.timing import CLOCKS, Comparison, number, use_clock

PARTS = ("training", "evaluation", "opponents")


def main(arguments: list[str] | None = None) -> None:
    """Parses the command line, measures, prints, writes."""
    options = parse(arguments)
    device = torch.device(options.device)
    if options.threads:
        torch.set_num_threads(options.threads)
    preset = presets.load(options.preset)
    use_clock(options.clock)
    parts, reached, against_product, opponents = [], {}, {}, {}
    if "training" in options.parts:
        found, reached = training.measure(
            preset, options.workers, options.repeats, device, options.compile
        )
        parts += found
    if "evaluation" in options.parts:
        found, against_product = evaluation.measure(preset, options.repeats, device)
        parts += found
    if "opponents" in options.parts:
        found, opponents = against.measure(
            preset, options.opponents, options.workers, options.repeats, device, options.clock,
            steps=not options.views_alone,
        )  # fmt: skip
        parts += found
    result = {
        "environment": {
            **describe(device),
            "workers": options.workers,
            "compile": options.compile,
            "clock": options.clock,
            "load": os.getloadavg(),
        },
        "preset": vars(preset),
        "repeats": options.repeats,
        "parts": [part.record() for part in parts],
        **reached,
        **against_product,
        "opponents": opponents,
    }
    show(parts, result)
    write(parts, result, options.output)
    if options.keep:
        kept.keep(parts, result)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    cores = len(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--preset", choices=("cpu", "thesis"), default="cpu")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--repeats", type=int, default=5, help="of either side (default 5)")
    parser.add_argument("--threads", type=int, help="of PyTorch (default: its own choice)")
    parser.add_argument("--workers", type=int, default=cores, help="of the usual way's DataLoader")
    parser.add_argument(
        "--compile",
        nargs="?",
        const="default",
        metavar="MODE",
        help="let torch.compile make our networks' passes; a mode such as reduce-overhead (CUDA "
        "graphs) or max-autotune-no-cudagraphs",
    )
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=list(PARTS),
    )  # fmt: skip
    names = [opponent.name for opponent in OPPONENTS]
    parser.add_argument("--opponents", nargs="+", choices=names, default=names)
    parser.add_argument(
        "--views-alone", action="store_true", help="of opponents no step on their views"
    )
    parser.add_argument(
        "--clock",
        choices=CLOCKS,
        default=CLOCKS[0],
        help="processor: seconds that both sides use of a processor, their workers' among them, "
        "for a machine that others use, too (default: wall)",
    )
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks/speed"))
    parser.add_argument(
        "--keep", action="store_true", help="in docs/measured/speed.csv, which docs/speed.md shows"
    )
    options = parser.parse_args(arguments)
    if options.repeats < 1 or options.workers < 1:
        parser.error("--repeats and --workers must be at least 1")
    if options.clock == "processor" and options.device != "cpu":
        parser.error("--clock processor is for --device cpu: a GPU's work is not the processor's")
    return options


def show(parts: list[Comparison], result: dict) -> None:
    """The table on stdout."""
    where = result["environment"]
    print(f"{where['device']}: {where['cores']} cores, {where['threads']} threads, "
          f"{where['workers']} workers of the usual way; torch {where['torch']}; clock: "
          f"{where['clock']}; load of the machine {where['load'][0]:.1f}")  # fmt: skip
    for name, state in result["opponents"].items():
        print(f"{name}: {state}")
    for part in parts:
        print(f"{part.part} ({part.note})")
        for side, speed in part.speed.items():
            print(f"  {side:<6} {speed} {part.unit} a second")
        print(f"  ratio  {part.ratio}")
    for name, times in result.get("times_of_the_bare_product", {}).items():
        print(f"{name}: {number(times)} times as long as the bare matrix product")
    if "share_of_peak" in result:
        peak = result["matmul_flops"]["high"] / 1e12
        print(f"measured peak of a matrix product: {number(peak)} TFLOP/s")
        for side, share in result["share_of_peak"].items():
            gigabytes = result["peak_memory_bytes"][side] / 2**30
            print(f"  {side:<6} step reaches {share:.0%} of it; peak memory {gigabytes:.2f} GiB")


def write(parts: list[Comparison], result: dict, folder: Path) -> None:
    """speed.json and the figure in `folder`."""
    from compare.plot import draw

    from ssl_ood.report.figures.style import house_style

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "speed.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    where = result["environment"]
    threads = "" if where["kind"] == "cuda" else f", {where['threads']} threads"
    title = f"{where['device']}{threads}, preset {result['preset']['name']}"
    with house_style():
        draw(parts, title, folder / "speed")
    print(f"written to {folder}/speed.json, .png, .pdf")


if __name__ == "__main__":
    main()
