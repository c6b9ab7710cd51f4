"""What benchmarks/gpu.py measures: each part is a function of a `Bench` that yields `Value`s.

All speeds are medians of repetitions, with the least and the greatest; an image of a step is one of
the batch together with its negative.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from compare import against, evaluation, flops
from compare.hardware import matmul_peak
from compare.opponents import OPPONENTS
from compare.ours import Ours, made_up_images
from compare.presets import Preset
from compare.timing import Spread, spread, timed
from ssl_ood.evaluation.scores.cosine import cosine_tau

THESIS_TAUS = (0.02, 0.08)  # equation 6.1's temperatures are chosen from this range
GRAPHS = "reduce-overhead"  # torch.compile's mode with CUDA graphs
PROFILED_STEPS = 3
TOP = 40  # operations of the profile


@dataclass(frozen=True)
class Value:
    """A measured value; unit: what it counts, such as images/s; note: what of."""

    part: str
    value: Spread
    unit: str
    note: str = ""


@dataclass(frozen=True)
class Bench:
    """What is measured: with which preset, on which device, how often; folder: for the files."""

    preset: Preset
    device: torch.device
    repeats: int
    loss_steps: int
    workers: int
    folder: Path

    @cached_property
    def arrays(self) -> list[np.ndarray]:
        size = self.preset.config["size"]
        return [made_up_images(self.preset.images, size, seed) for seed in (0, 1)]

    @cached_property
    def peak(self) -> Spread:
        """Floating-point operations a second of a large product: bfloat16 on CUDA."""
        return spread(matmul_peak(self.device, self.preset.matrix, self.repeats))

    def training(self, **changes: object) -> Ours:
        """A training of ours; changes: to the section `training` of its config."""
        config = self.preset.config
        config = {**config, "training": {**config["training"], **changes}}
        return Ours(replace(self.preset, config=config), self.arrays, self.device)

    def per_second(self, function, items: float) -> Spread:
        """Items a second, after a repetition that is not counted."""
        run = timed(function, self.device)
        return spread([items / run() for _ in range(self.repeats + 1)][1:])


def step(bench: Bench) -> Iterator[Value]:
    """Steps without a compiler: alone on views that are ready, and with the views."""
    yield Value("peak", _scaled(bench.peak, 1e-12), "TFLOP/s", "of a square matrix product")
    ours = bench.training()
    yield from _steps(bench, ours, "step")
    images = bench.preset.batch * bench.preset.steps
    both = bench.per_second(ours.train, images)
    yield Value("step and views", both, "images/s", _views(bench.preset))


def compiled(bench: Bench) -> Iterator[Value]:
    """The same steps with the backbones compiled, with CUDA graphs."""
    ours = bench.training()
    ours.run.method.compile(mode=GRAPHS)
    yield from _steps(bench, ours, "step, compiled")


def profile(bench: Bench) -> Iterator[Value]:
    """The operations that a step spends its time in, in profile.txt; the share of the first."""
    from torch.profiler import ProfilerActivity

    ours = bench.training()
    ours.steps()  # the first step is another one: memory is asked for, kernels are chosen
    cuda = bench.device.type == "cuda"
    kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * cuda
    key = "self_device_time_total" if cuda else "self_cpu_time_total"
    with torch.profiler.profile(activities=kinds) as seen:
        for _ in range(PROFILED_STEPS):
            ours.steps()
    averages = seen.key_averages()
    bench.folder.mkdir(parents=True, exist_ok=True)
    table = averages.table(sort_by=key, row_limit=TOP, max_name_column_width=80)
    (bench.folder / "profile.txt").write_text(table + "\n", encoding="utf-8")
    times = {event.key: getattr(event, key) for event in averages}
    first = max(times, key=times.get)
    share = 100 * times[first] / sum(times.values())
    note = f"of a step's time on the {'device' if cuda else 'processor'} in {first[:60]}"
    yield Value("profile", Spread(share, share, share), "%", note)


def views(bench: Bench) -> Iterator[Value]:
    """Views alone, and how many times as fast as DALI's in threads of the processor."""
    ours = bench.training()
    images = bench.preset.batch * bench.preset.steps
    made = bench.per_second(ours.make_views, images)
    yield Value("views", made, "images/s", _views(bench.preset))
    del ours
    dali = next(opponent for opponent in OPPONENTS if opponent.name == "DALI")
    if dali.version:
        found, _ = against.measure(
            bench.preset, ["DALI"], bench.workers, bench.repeats, bench.device, steps=False
        )
        yield Value("views: DALI", found[0].speed["usual"], "images/s", found[0].note)
        yield Value("views against DALI", found[0].ratio, "times as fast", found[0].note)


def temperatures(bench: Bench) -> Iterator[Value]:
    """Equation 6.1 for all temperatures of the thesis in one pass, against the bare product."""
    preset, rng = bench.preset, np.random.default_rng(0)
    test, train = (
        torch.from_numpy(rng.normal(0.3, 1, (count, preset.dimensions)).astype(np.float32)).to(
            bench.device
        )
        for count in (preset.test, preset.train)
    )
    low, high = THESIS_TAUS
    taus = [tau for tau in preset.evaluation["taus"] if low <= tau <= high]
    sides = [
        timed(lambda: cosine_tau(test, train, taus), bench.device),
        timed(lambda: evaluation.bare_product(test, train), bench.device),
    ]
    pairs = [[run() for run in sides] for _ in range(bench.repeats + 1)][1:]
    times = spread([score / product for score, product in pairs])
    note = f"{len(taus)} temperatures, {len(test):,} test by {len(train):,} training images"
    yield Value("temperatures", times, "times the bare product", note)


def losses(bench: Bench) -> Iterator[Value]:
    """The losses of one training in tf32 and in bfloat16, step by step, in losses.csv."""
    found = {name: _losses(bench, name) for name in ("tf32", "bfloat16")}
    bench.folder.mkdir(parents=True, exist_ok=True)
    lines = ["step,tf32,bfloat16"]
    pairs = zip(found["tf32"], found["bfloat16"], strict=True)
    lines += [f"{number},{one:.9g},{other:.9g}" for number, (one, other) in enumerate(pairs)]
    (bench.folder / "losses.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    last = {name: values[-max(len(values) // 10, 1) :] for name, values in found.items()}
    for name, values in last.items():
        mean = float(values.mean())
        note = f"mean of the last tenth of {bench.loss_steps} steps"
        yield Value(f"loss, {name}", Spread(mean, values.min(), values.max()), "loss", note)
    apart = np.abs(found["bfloat16"] / found["tf32"] - 1)
    value = Spread(float(np.median(apart)), float(apart.min()), float(apart.max()))
    yield Value("loss, bfloat16 against tf32", _scaled(value, 100), "% apart", "step by step")


PARTS = {
    "step": step, "compiled": compiled, "profile": profile, "views": views,
    "temperatures": temperatures, "losses": losses,
}  # fmt: skip


def _steps(bench: Bench, ours: Ours, name: str) -> Iterator[Value]:
    """Images per second of steps on ready views, and the share of the measured peak."""
    preset = bench.preset
    speed = bench.per_second(ours.steps, preset.batch * preset.steps)
    yield Value(name, speed, "images/s", _views(preset))
    share = 100 * flops.training_step(preset.config) / bench.peak.high
    yield Value(f"{name}: share of the peak", _scaled(speed, share), "%", "model FLOPs")


def _losses(bench: Bench, precision: str) -> np.ndarray:
    """The loss of every step; weights, images and views are the same in every precision."""
    ours = bench.training(precision=precision)
    told = []
    for _ in range(bench.loss_steps):
        ours.step(ours.batch())
        told.append(ours.run.sums[0].clone())  # without waiting for the device
        ours.run.sums.zero_()
    return torch.stack(told).double().cpu().numpy()


def _views(preset: Preset) -> str:
    kinds = preset.config["views"]
    (a, b), (c, d) = kinds["positive"], kinds["negative"]
    precision = preset.config["training"]["precision"]
    return f"{a} + {b} and {c} + {d} views, batch {preset.batch} + {preset.batch}, {precision}"


def _scaled(value: Spread, factor: float) -> Spread:
    return Spread(*(factor * number for number in (value.median, value.low, value.high)))
