"""Trains one run: self-distillation with negatives (chapter 6).

    ssl_ood train --config results/runs/RUN/config.json --data results/data \\
        --output results/runs/RUN --checkpoints results/checkpoints/RUN

A run that was killed resumes from its last checkpoint and ends with the same weights: every draw is
a function of the seed and the step (`streams`), so a checkpoint is weights, optimiser and a number.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ssl_ood import attempts, checkpoints, dino, schedules
from ssl_ood.backbones import Network, build_network, view_specs
from ssl_ood.distributed import average, process_group, world
from ssl_ood.errors import UserError
from ssl_ood.experiments import VERSIONS, packed_path
from ssl_ood.images import Images, epoch_order, load_images
from ssl_ood.monitor import check_learning
from ssl_ood.negatives import Negatives
from ssl_ood.provenance import save_run
from ssl_ood.streams import stream, torch_seed
from ssl_ood.views import draw, render


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
    repeated: int = 0  # steps that were done again after an attempt was killed
    resumed_at: list[int] = field(default_factory=list)
    history: list[dict] = field(default_factory=list)

    def state(self) -> dict:
        """What a checkpoint holds."""
        return {
            **self.result(),
            "student": self.student.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "sums": self.sums,
            "mean_probability": self.mean_probability,
        }

    def result(self) -> dict:
        """What is left of it after the last step."""
        return {
            "teacher": self.teacher.state_dict(),
            "centre": self.centre,
            "step": self.step,
            "seconds": self.seconds,
            "repeated": self.repeated,
            "resumed_at": self.resumed_at,
            "history": self.history,
        }

    def restore(self, state: dict) -> None:
        """Continues from what `state` gave, or stands again at the end from what `result` gave."""
        for module in {"student", "teacher", "optimizer"} & state.keys():
            getattr(self, module).load_state_dict(state[module])
        for tensor in {"centre", "sums", "mean_probability"} & state.keys():
            getattr(self, tensor).copy_(state[tensor])
        for number in ("step", "seconds", "repeated", "history"):
            setattr(self, number, state[number])
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
    # All views before the autocast: in bfloat16 they would lose three of their eight bits.
    big, small = make_views(positives, config, "positive", run.step, rows)
    n_big, n_small = len(big), len(small)
    if negatives is not None:
        negative_big, negative_small = make_views(negatives, config, "negative", run.step, rows)
        big, small = big + negative_big, small + negative_small
    with torch.autocast(device_type, torch.bfloat16, enabled=device_type == "cuda"):
        with torch.no_grad():
            (logits,) = run.teacher([torch.cat(big[:n_big])])
        outputs = run.student([torch.cat(views) for views in (big, small) if views])
    by_view = [out.view(-1, n_rows, out.shape[-1]) for out in outputs]
    student = torch.cat([by_view[0][:n_big], *[out[:n_small] for out in by_view[1:]]])
    teacher = dino.teacher_probabilities(logits, run.centre, temperature).view(n_big, n_rows, -1)
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
    wait_minutes: float = 0.0,
    micro_batch: int | None = None,
) -> None:
    """Trains the run of `config` on the packed sets below `data`; writes the teacher to `output`.

    Raises UserError where the data do not fit, the training fails to learn, or another process
    still trains this run after `wait_minutes`; leaves with code 143 after SIGTERM, a checkpoint
    written.
    """
    # The lock comes first: joining is where the other processes wait until the leader has it.
    leader = world()[0] == 0
    with (
        checkpoints.exclusive(checkpoint_folder, wait_minutes) if leader else nullcontext(),
        process_group(device, wait_minutes),
    ):
        _run(
            config, data, output, checkpoint_folder, progress, device,
            checkpoint_minutes, micro_batch,
        )  # fmt: skip


def _run(config, data, output, folder, progress, device, checkpoint_minutes, micro_batch) -> None:
    (positives, negatives), sources = _open_sources(config, data, device)
    batch, size = config["training"]["batch_size"], len(positives)
    _check_batch(config, size)
    schedule = make_schedule(config["training"], size)
    run = make_training(config, device)
    identity = {"config": config, "data": _checksums(sources), "code": VERSIONS["train"]}
    attempt = attempts.Attempt(run, schedule, folder, identity, progress, checkpoint_minutes)
    while run.step < schedule.steps:
        epoch, position = divmod(run.step, schedule.steps_per_epoch)
        order = epoch_order(
            config["seed"], "positives", epoch, schedule.steps_per_epoch * batch, size
        )
        chosen = positives.take(order[position * batch : (position + 1) * batch])
        pushed = None
        if negatives is not None:
            pushed = negatives.batch(run.step, schedule.steps_per_epoch, batch)
        train_step(run, schedule, chosen, pushed, micro_batch or batch)
        stop = attempt.after_step()
        if run.step % schedule.steps_per_epoch == 0:
            run.history.append(finish_epoch(run, schedule))
            check_learning(run.history, config)
            attempt.say_epoch()
        if stop or attempt.checkpoint_due():
            _check_finite(run, epoch + 1)
            attempt.save(attempts.TOLD if stop else attempts.CLOCK)
        if stop:
            attempt.leave()
    if attempt.leader:
        _check_finite(run, config["training"]["epochs"])
        attempt.save(attempts.RESULT)
        save_run(run, schedule, sources, output, device)
        attempt.end()


def _checksums(sources: dict[str, dict]) -> dict[str, str]:
    return {name: meta["images_sha256"] for name, meta in sources.items()}


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


def _check_batch(config: dict, images: int) -> None:
    """Raises UserError for a batch that cannot be filled or shared out equally."""
    name, training, pairs = config["run"], config["training"], config["negatives"]
    batch, (_, processes) = training["batch_size"], world()
    if training["epochs"] and batch > images:
        raise UserError(
            f"{name}: training.batch_size {batch} is larger than the {images} images of "
            f"{config['in_distribution']}: lower it."
        )
    if batch % processes:
        raise UserError(
            f"{name}: training.batch_size {batch} cannot be shared out equally to {processes} "
            "devices: change one of the two."
        )
    if batch < len(pairs):
        raise UserError(
            f"{name}: training.batch_size {batch} is smaller than the number of (source, shift) "
            f"pairs of strategy {config['strategy']}, {len(pairs)}: raise it."
        )


def _check_finite(run: Training, epoch: int) -> None:
    """Raises UserError where a loss or a weight is not finite: such a state is never kept.

    A gradient can overflow while the loss is still finite, so the loss alone does not tell.
    """
    norms = torch._foreach_norm([p.detach() for p in run.student.parameters()])
    if not bool(torch.isfinite(torch.stack([run.sums.sum(), *norms])).all()):
        check_learning([*run.history, {"loss": float("nan"), "epoch": epoch}], run.config)
