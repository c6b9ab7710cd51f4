"""Trains one run: self-distillation with negatives (chapter 6).

    ssl_ood train --config results/runs/RUN/config.json --data results/data \\
        --output results/runs/RUN --checkpoints results/checkpoints/RUN

A run that was killed resumes from its last checkpoint and ends with the same weights: every draw is
a function of the seed and the step (`streams`), so a checkpoint is weights, optimiser and a number.
"""

from __future__ import annotations

import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ssl_ood import checkpoints, dino, schedules
from ssl_ood.backbones import Network, build_network, view_specs
from ssl_ood.distributed import any_process, average, process_group, world
from ssl_ood.experiments import packed_path
from ssl_ood.images import Images, epoch_order, load_images
from ssl_ood.monitor import check_learning
from ssl_ood.negatives import Negatives
from ssl_ood.provenance import save_run
from ssl_ood.streams import stream, torch_seed
from ssl_ood.views import draw, render
from ssl_ood.watch import write_progress

PROGRESS_SECONDS = 1.0
INTERRUPTED = 143  # exit code after SIGTERM: the job may run again and resumes


@dataclass
class Training:
    """Everything that changes while a run trains."""

    config: dict
    student: Network
    teacher: Network
    optimizer: torch.optim.Optimizer
    centre: Tensor
    sums: Tensor  # loss, positive, negative, teacher entropy, steps: since the epoch began
    mean_probability: Tensor  # (K,) sum of the teacher's batch means since the epoch began
    step: int = 0
    seconds: float = 0.0
    resumed_at: list[int] = field(default_factory=list)
    history: list[dict] = field(default_factory=list)

    def state(self) -> dict:
        """What a checkpoint holds."""
        return {
            "student": self.student.state_dict(),
            "teacher": self.teacher.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "centre": self.centre,
            "sums": self.sums,
            "mean_probability": self.mean_probability,
            "step": self.step,
            "seconds": self.seconds,
            "resumed_at": self.resumed_at,
            "history": self.history,
        }

    def restore(self, state: dict) -> None:
        """Continues from what `state` gave."""
        for module in ("student", "teacher", "optimizer"):
            getattr(self, module).load_state_dict(state[module])
        for tensor in ("centre", "sums", "mean_probability"):
            getattr(self, tensor).copy_(state[tensor])
        self.step, self.seconds, self.history = state["step"], state["seconds"], state["history"]
        self.resumed_at = [*state["resumed_at"], self.step]


@dataclass(frozen=True)
class Schedule:
    """The values of every step (lr, weight decay, momentum) and epoch (teacher temperature)."""

    lr: np.ndarray
    weight_decay: np.ndarray
    momentum: np.ndarray
    temperature: np.ndarray
    steps_per_epoch: int

    @property
    def steps(self) -> int:
        return len(self.lr)


def make_schedule(training: dict, images: int) -> Schedule:
    """The schedule of a training on `images` images; the last, smaller batch of an epoch is left
    out, the rate follows the linear rule lr_base * batch / 256."""
    batch, epochs = training["batch_size"], training["epochs"]
    per_epoch = images // batch
    steps, warmup = epochs * per_epoch, training["warmup_epochs"] * per_epoch
    peak = training["lr_base"] * batch / 256
    return Schedule(
        lr=schedules.warmup_cosine(peak, training["lr_min"], warmup, steps),
        weight_decay=schedules.cosine(*training["weight_decay"], steps),
        momentum=schedules.cosine(*training["teacher_momentum"], steps),
        temperature=schedules.linear(*training["teacher_temperature"], epochs),
        steps_per_epoch=per_epoch,
    )


def make_training(config: dict, device: torch.device) -> Training:
    """Student and teacher with the same weights, drawn from the run's seed on the CPU."""
    torch.manual_seed(torch_seed(config["seed"], "weights"))
    student = build_network(config)
    teacher = build_network(config, drop_path=0.0)
    teacher.load_state_dict(student.state_dict())
    teacher.requires_grad_(False)
    student.to(device)
    teacher.to(device)
    optimizer = torch.optim.AdamW(dino.parameter_groups(student), lr=0.0, fused=True)
    classes = config["head"]["out"]
    return Training(
        config,
        student,
        teacher,
        optimizer,
        centre=torch.zeros(classes, device=device),
        sums=torch.zeros(5, device=device),
        mean_probability=torch.zeros(classes, device=device),
    )


def make_views(
    images: Tensor, config: dict, kind: str, step: int, rows: slice
) -> tuple[list[Tensor], list[Tensor]]:
    """Global and local views of the images in `rows`, lists of (len(rows), 3, S, S).

    kind: "positive" or "negative". Parameters are drawn for the whole batch, whichever rows are
    asked, so that micro-batches and processes together give the views of one large batch.
    """
    specs = view_specs(config["views"])
    n_global, n_local = config["views"][kind]
    names = [f"global_{1 + i % 2}" for i in range(n_global)] + ["local"] * n_local
    rng = stream(config["seed"], "views", kind, step)
    height, width = images.shape[1:3]
    views = []
    for name in names:
        parameters = draw(specs[name], len(images), height, width, rng)
        views.append(render(images[rows], parameters.rows(rows), specs[name]))
    return views[:n_global], views[n_global:]


def loss_of(
    run: Training, positives: Tensor, negatives: Tensor | None, rows: slice, temperature: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Total loss (equation 5) of some rows of the batch.

    Returns loss, (positive, negative) losses, teacher logits' mean (K,), teacher probabilities.
    """
    config, training = run.config, run.config["training"]
    device_type = run.centre.device.type
    n_rows = rows.stop - rows.start
    big, small = make_views(positives, config, "positive", run.step, rows)
    n_big, n_small = len(big), len(small)
    with torch.autocast(device_type, torch.bfloat16, enabled=device_type == "cuda"):
        with torch.no_grad():
            (logits,) = run.teacher([torch.cat(big)])
        if negatives is not None:
            negative_big, negative_small = make_views(negatives, config, "negative", run.step, rows)
            big, small = big + negative_big, small + negative_small
        outputs = run.student([torch.cat(views) for views in (big, small) if views])
    by_view = [out.view(-1, n_rows, out.shape[-1]) for out in outputs]
    student = torch.cat([by_view[0][:n_big], *[out[:n_small] for out in by_view[1:]]])
    teacher = dino.teacher_probabilities(logits, run.centre, temperature).view(
        n_big, n_rows, -1
    )
    positive = dino.positive_loss(student, teacher, training["student_temperature"])
    negative = torch.zeros_like(positive)
    if negatives is not None:
        pushed = torch.cat([by_view[0][n_big:], *[out[n_small:] for out in by_view[1:]]])
        negative = dino.negative_loss(pushed, training["student_temperature"])
    loss = positive + training["lambda"] * negative
    return loss, torch.stack([positive, negative]).detach(), logits.float().mean(0), teacher


def train_step(
    run: Training, schedule: Schedule, positives: Tensor, negatives: Tensor | None, micro: int
) -> None:
    """One optimiser step on a batch, in micro-batches of at most `micro` images a process."""
    config, step = run.config["training"], run.step
    epoch = step // schedule.steps_per_epoch
    for group in run.optimizer.param_groups:
        group["lr"] = float(schedule.lr[step])
        if group.get("decay"):
            group["weight_decay"] = float(schedule.weight_decay[step])
    run.optimizer.zero_grad(set_to_none=True)
    rank, processes = world()
    torch.manual_seed(torch_seed(run.config["seed"], "drop_path", step, rank))
    mine = len(positives) // processes
    start, stop = rank * mine, (rank + 1) * mine
    logit_mean = torch.zeros_like(run.centre)
    for low in range(start, stop, micro):
        rows = slice(low, min(low + micro, stop))
        share = (rows.stop - rows.start) / mine
        temperature = float(schedule.temperature[epoch])
        loss, parts, mean, teacher = loss_of(run, positives, negatives, rows, temperature)
        (loss * share).backward()
        with torch.no_grad():
            logit_mean += share * mean
            entropy = dino.entropy(teacher).mean()
            run.sums += share * torch.stack(
                [loss.detach(), *parts, entropy, torch.ones_like(entropy)]
            )
            run.mean_probability += share * teacher.mean((0, 1))
    parameters = list(run.student.parameters())
    average([p.grad for p in parameters] + [logit_mean])
    dino.clip_gradients(parameters, config["clip_grad"])
    if epoch < config["freeze_last_layer_epochs"]:
        run.student.head.prototypes.grad = None
    run.optimizer.step()
    dino.update_centre(run.centre, logit_mean, config["centre_momentum"])
    dino.update_teacher(run.teacher.parameters(), parameters, float(schedule.momentum[step]))
    run.step += 1


def finish_epoch(run: Training, schedule: Schedule) -> dict:
    """The means of the epoch that just ended, as a line of the log; begins the next."""
    average([run.sums, run.mean_probability])
    loss, positive, negative, entropy, steps = run.sums.tolist()
    spread = dino.entropy(run.mean_probability / max(steps, 1)).item()
    line = {
        "epoch": run.step // schedule.steps_per_epoch,
        "loss": loss / steps,
        "positive": positive / steps,
        "negative": negative / steps,
        "teacher_entropy": entropy / steps,
        "entropy_of_mean": spread,
        "log_k": float(np.log(len(run.centre))),
        "lr": float(schedule.lr[run.step - 1]),
        "seconds": run.seconds,
    }
    run.sums.zero_()
    run.mean_probability.zero_()
    return line


def train(
    config: dict,
    data: Path,
    output: Path,
    checkpoint_folder: Path,
    *,
    progress: Path | None = None,
    device: torch.device,
    checkpoint_minutes: float = 10.0,
    micro_batch: int | None = None,
) -> None:
    """Trains the run of `config` on the packed sets below `data`; writes the teacher to `output`.

    Raises UserError where the data do not fit or the training fails to learn; leaves with code 143
    after SIGTERM, a checkpoint written.
    """
    leader = world()[0] == 0
    with process_group(device):
        if not leader:
            _run(config, data, output, checkpoint_folder, None, device, 1e9, micro_batch)
            return
        with checkpoints.exclusive(checkpoint_folder):
            _run(
                config, data, output, checkpoint_folder, progress, device,
                checkpoint_minutes, micro_batch,
            )  # fmt: skip
            checkpoints.clear(checkpoint_folder)


def _run(config, data, output, folder, progress, device, checkpoint_minutes, micro_batch) -> None:
    leader = world()[0] == 0
    images, sources = _open_sources(config, data, device)
    positives, negative_source = images
    batch, size = config["training"]["batch_size"], len(positives)
    schedule = make_schedule(config["training"], size)
    run = make_training(config, device)
    _resume(run, folder, schedule, leader, device)
    stop = _stop_on_sigterm()
    saved = told = time.monotonic()
    began, first = saved, run.step
    seconds_before = run.seconds
    while run.step < schedule.steps:
        epoch, position = divmod(run.step, schedule.steps_per_epoch)
        order = epoch_order(
            config["seed"], "positives", epoch, schedule.steps_per_epoch * batch, size
        )
        chosen = positives.take(order[position * batch : (position + 1) * batch])
        pushed = None
        if negative_source is not None:
            pushed = negative_source.batch(run.step, schedule.steps_per_epoch, batch)
        train_step(run, schedule, chosen, pushed, micro_batch or batch)
        now = time.monotonic()
        run.seconds = seconds_before + now - began
        if run.step % schedule.steps_per_epoch == 0:
            run.history.append(finish_epoch(run, schedule))
            check_learning(run.history, config)
            if leader:
                _say(run, schedule, batch, first, began)
        if leader and progress and now - told > PROGRESS_SECONDS:
            _tell(progress, run, schedule, batch, first, began)
            told = now
        interrupted = any_process(stop["signal"], device)
        if leader and (interrupted or now - saved > 60 * checkpoint_minutes):
            if not bool(torch.isfinite(run.sums).all()):
                check_learning([*run.history, {"loss": float("nan"), "epoch": epoch + 1}], config)
            checkpoints.save(folder, run.step, run.state(), config)
            saved = now
        if interrupted:
            print(f"stopped by a signal at step {run.step}; it resumes there", file=sys.stderr)
            raise SystemExit(INTERRUPTED)
    if leader:
        save_run(run, schedule, sources, output, device)
        if progress:
            progress.unlink(missing_ok=True)


def _open_sources(config: dict, data: Path, device: torch.device):
    """((positive images, negatives or None), metadata of every packed set by folder)."""
    sources: dict[str, dict] = {}
    opened: dict[str, Images] = {}

    def images_of(dataset: str, split: str) -> Images:
        path = packed_path(dataset, split, config["size"])
        if path not in opened:
            opened[path], sources[path] = load_images(data / path, device)
        return opened[path]

    positives = images_of(config["in_distribution"], config["train_split"])
    pairs = [
        (images_of(pair["source"], pair["split"]), pair["shift"]) for pair in config["negatives"]
    ]
    negatives = Negatives(pairs, config["seed"]) if pairs and config["training"]["lambda"] else None
    return (positives, negatives), sources


def _resume(run: Training, folder: Path, schedule: Schedule, leader: bool, device) -> None:
    state = checkpoints.load(folder, run.config, device)
    if state is not None:
        run.restore(state)
    if leader:
        epoch = run.step / max(schedule.steps_per_epoch, 1)
        why = "from scratch: there is no checkpoint" if state is None else f"at epoch {epoch:.2f}"
        print(f"{run.config['run']}: {schedule.steps} steps, starts {why}", file=sys.stderr)


def _stop_on_sigterm() -> dict[str, bool]:
    stop = {"signal": False}

    def remember(*_: object) -> None:
        stop["signal"] = True

    signal.signal(signal.SIGTERM, remember)
    return stop


def _rates(run: Training, schedule: Schedule, batch: int, first: int, began: float):
    rate = (run.step - first) / max(time.monotonic() - began, 1e-9)
    return batch * rate, (schedule.steps - run.step) / max(rate, 1e-9)


def _tell(path: Path, run: Training, schedule: Schedule, batch: int, first: int, began: float):
    speed, left = _rates(run, schedule, batch, first, began)
    loss, *_, steps = run.sums.tolist()
    write_progress(
        path,
        run=run.config["run"],
        stage="train",
        step=run.step,
        steps=schedule.steps,
        epoch=run.step // schedule.steps_per_epoch,
        epochs=len(schedule.temperature),
        loss=loss / steps if steps else run.history[-1]["loss"],
        images_per_second=speed,
        eta_seconds=left,
    )


def _say(run: Training, schedule: Schedule, batch: int, first: int, began: float) -> None:
    line = run.history[-1]
    speed, left = _rates(run, schedule, batch, first, began)
    print(
        f"epoch {line['epoch']}/{len(schedule.temperature)}  loss {line['loss']:.4f} "
        f"(positive {line['positive']:.4f}, negative {line['negative']:.4f})  "
        f"entropy of an output {line['teacher_entropy']:.2f}, of the mean output "
        f"{line['entropy_of_mean']:.2f}, log K {line['log_k']:.2f}  "
        f"{speed:.0f} images/s  {left / 60:.1f} min left",
        file=sys.stderr,
        flush=True,
    )
