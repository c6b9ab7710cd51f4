"""Trains one run, by whatever method its config names (`methods`).

    ssl_ood train --config results/runs/RUN/config.json --data results/data \\
        --output results/runs/RUN --checkpoints results/checkpoints/RUN

A run that was killed resumes from its last checkpoint and ends with the same weights: every draw is
a function of the seed and the step (`streams`), so a checkpoint is weights, optimiser and a number.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import torch

from ssl_ood.common.distributed import average, process_group, world
from ssl_ood.common.errors import UserError
from ssl_ood.common.hashing import sha256_of
from ssl_ood.common.streams import torch_seed
from ssl_ood.methods.base import Batch, Moment, Turn, method_of
from ssl_ood.methods.precision import products
from ssl_ood.methods.settings import RunSettings
from ssl_ood.methods.trained import prove_initial
from ssl_ood.methods.updates import clip_gradients
from ssl_ood.training import attempts, checkpoints
from ssl_ood.training.micro_batches import MicroBatches
from ssl_ood.training.monitor import Monitor, check_finite, read_signs
from ssl_ood.training.probe import Probe, ProbePlan
from ssl_ood.training.provenance import save_run
from ssl_ood.training.sources import Sources, open_sources
from ssl_ood.training.state import Schedule, Training, make_schedule


def make_training(
    settings: RunSettings, device: torch.device, initial: Path | None = None
) -> Training:
    """A training at its first step; weights are drawn from the run's seed on the CPU.

    initial: safetensors file that the backbone starts from instead.
    """
    torch.manual_seed(torch_seed(settings.seed, "weights"))
    method = method_of(settings)(settings, device, initial)
    sums = torch.zeros(2 + len(method.PARTS), device=device)
    votes = torch.zeros(1, device=device)
    return Training(settings, method, sums, recent=sums.clone(), votes=votes)


def train_step(run: Training, schedule: Schedule, batch: Batch, micro: int | MicroBatches) -> None:
    """One step on a batch, in micro-batches of at most `micro` images per process: an update in
    every turn of the method.

    Without a synchronisation with the host: what the step gives is read when it is asked for.
    """
    method, step = run.method, run.step
    moment = schedule.moment(step)
    for turn in method.turns():
        for group in turn.optimizer.param_groups:
            group["lr"] = float(schedule.lr[step]) * group.get("rate", 1.0)
            if group.get("decay"):
                group["weight_decay"] = float(schedule.weight_decay[step])
        _gradients(run, turn, batch, moment, micro)
        parameters = list(turn.network.parameters())
        shared = [p.grad for p in parameters if p.grad is not None] + method.shared()
        average([*shared, run.votes])
        clip_gradients(parameters, run.settings.training.clip_grad)
        method.before_update(moment)
        turn.optimizer.step()
    method.end_step(moment)
    run.step += 1


def _gradients(
    run: Training, turn: Turn, batch: Batch, moment: Moment, micro: int | MicroBatches
) -> None:
    """Forward and backward passes of a turn, in the precision that the config names; again in
    smaller micro-batches where memory runs out and `micro` may choose them."""

    def passes(size: int) -> None:
        with products(run.settings.training.precision):
            _passes(run, turn, batch, moment, size)

    if isinstance(micro, int):
        passes(micro)
        return
    method = run.method
    gathered = [run.sums, *method.shared_in_epoch(), run.recent, *method.shared_in_window()]
    before = [tensor.clone() for tensor in gathered] if micro.auto else []

    def undo() -> None:
        for tensor, value in zip(gathered, before, strict=True):
            tensor.copy_(value)

    micro.smallest = method.rows_at_a_time(len(batch) // world()[1], 1)
    micro.settle(passes, undo)


def _passes(run: Training, turn: Turn, batch: Batch, moment: Moment, micro: int) -> None:
    method = run.method
    turn.optimizer.zero_grad(set_to_none=True)
    rank, processes = world()
    # For the dropout that a backbone may have; the methods draw all else from streams of their own.
    torch.manual_seed(torch_seed(run.settings.seed, "dropout", moment.step, rank))
    own_rows = len(batch) // processes
    start, stop = rank * own_rows, (rank + 1) * own_rows
    at_a_time = method.rows_at_a_time(own_rows, micro)
    method.begin_step(batch, slice(start, stop), moment)
    for low in range(start, stop, at_a_time):
        rows = slice(low, min(low + at_a_time, stop))
        share = (rows.stop - rows.start) / own_rows
        loss, parts = turn.loss(batch, rows, moment)
        (loss * share).backward()
        with torch.no_grad():
            parts_and_one = share * torch.cat([loss.detach()[None], parts])
            for sums in (run.sums, run.recent):
                sums[turn.place : turn.place + len(parts_and_one)] += parts_and_one
                if turn.place == 0:
                    sums[-1] += share  # of a step


def finish_epoch(run: Training, schedule: Schedule) -> dict:
    """The means of the epoch that just ended, as a line of the log; begins the next."""
    average([run.sums, *run.method.shared_in_epoch()])
    loss, *parts, steps = run.sums.tolist()
    line = {
        "kind": "epoch",
        "step": run.step,
        "epoch": run.step // schedule.steps_per_epoch,
        "loss": loss / steps,
        **{name: value / steps for name, value in zip(run.method.PARTS, parts, strict=True)},
        **run.method.epoch_line(round(steps)),
        "lr": float(schedule.lr[run.step - 1]),
        "seconds": run.seconds,
    }
    run.sums.zero_()
    return line


def train(
    settings: RunSettings,
    data: Path,
    output: Path,
    checkpoint_folder: Path,
    *,
    initial: Path | None = None,
    progress: Path | None = None,
    device: torch.device,
    checkpoint_minutes: float = 10.0,
    wait_minutes: float = 0.0,
    micro_batch: int | str | None = None,
    compiled: bool = False,
    probe: ProbePlan | None = None,
) -> None:
    """Trains the run of `settings` on the packed sets below `data`; writes the model to `output`.

    initial: safetensors file with the weights that the backbone starts from, if any. micro_batch:
    images that a device works on at a time, or "auto". compiled: whether the networks' passes go
    through torch.compile. probe: how often the features are looked at on the way; without it never.
    Raises UserError where the data do not fit, the training fails to learn,
    or another process still trains this run after `wait_minutes`; leaves with code 143 after
    SIGTERM, a checkpoint written.
    """
    # The lock comes first: joining is where the other processes wait until the leader has it.
    leader = world()[0] == 0
    with (
        checkpoints.exclusive(checkpoint_folder, wait_minutes) if leader else nullcontext(),
        process_group(device, wait_minutes),
    ):
        sources = open_sources(settings, data, device)
        _check(settings, len(sources))
        run = make_training(settings, device, initial)
        schedule = make_schedule(settings, len(sources), keeps_rest=run.method.keeps_rest)
        if compiled:
            run.method.compile()
        identity = {
            "config": settings.to_dict(),
            "data": sources.checksums,
            "code": settings.code,
        }
        if initial is not None:
            prove_initial(initial, settings)
            identity["initial"] = sha256_of(initial)
        attempt = attempts.Attempt(
            run, schedule, checkpoint_folder, identity, progress, checkpoint_minutes
        )
        prober = Probe(run, schedule, sources, data, probe) if probe and attempt.leader else None
        _train_steps(run, schedule, sources, attempt, micro_batch, prober)
        if attempt.leader:
            _check_weights(run, schedule)
            sources.prove()  # that they did not change under the training
            attempt.save(attempts.RESULT)
            save_run(run, schedule, sources.packed, output, device, identity.get("initial"))
            attempt.end()


def _train_steps(
    run: Training,
    schedule: Schedule,
    sources: Sources,
    attempt: attempts.Attempt,
    micro_batch: int | str | None,
    probe: Probe | None,
) -> None:
    """Runs the remaining steps and writes checkpoints; returns early when asked to stop."""
    batch_size = run.settings.training.batch_size
    micro = MicroBatches(micro_batch, batch_size, run.sums.device)
    monitor = Monitor(run, schedule)
    if probe:
        probe.after_step()  # of what it starts from
    while run.step < schedule.steps:
        batch = sources.batch(run.step, schedule.steps_per_epoch, batch_size)
        train_step(run, schedule, batch, micro)
        stop = attempt.after_step()
        if monitor.due(run.step):
            run.signs.append(read_signs(run, schedule))
            attempt.tell_findings(monitor.after(run.signs))
        if run.step % schedule.steps_per_epoch == 0:
            run.history.append(finish_epoch(run, schedule))
            check_finite(run.history[-1], run.settings.run)
            if probe:
                probe.after_step()
            attempt.say_epoch()
        if stop or attempt.checkpoint_due():
            sources.prove(if_touched=True)  # what came of other images is never kept
            _check_weights(run, schedule)
            attempt.save(attempts.TOLD if stop else attempts.CLOCK)
        if stop:
            attempt.leave()


def _check(settings: RunSettings, images: int) -> None:
    """Raises UserError for settings that do not fit so many images and these processes."""
    for key, rest in settings.faults(images, world()[1]):
        raise UserError(f"{settings.run}: {key} {rest}")


def _check_weights(run: Training, schedule: Schedule) -> None:
    """Raises UserError where a loss or a weight is not finite: such a state is never kept.

    A gradient can overflow while the loss is still finite, so the loss alone does not tell.
    """
    norms = torch._foreach_norm([p.detach() for p in run.method.trained.parameters()])
    if not bool(torch.isfinite(torch.stack([run.sums.sum(), *norms])).all()):
        epoch = min(run.step // max(schedule.steps_per_epoch, 1) + 1, schedule.epochs)
        check_finite({"loss": float("nan"), "epoch": epoch}, run.settings.run)
