"""One attempt at a training: where it resumes and why, its progress, and when it must stop.

A job may be killed at any step, and be told to stop (SIGTERM: preemption, a time limit ahead,
scancel). The next attempt goes on from the last checkpoint, and after the last step from the
result, which stays beside the checkpoints: Snakemake deletes the outputs of a job that it did not
see end, and nothing is trained again for that.
"""

from __future__ import annotations

import contextlib
import json
import signal
import time
from pathlib import Path
from typing import NoReturn

from ssl_ood.common.distributed import StopVote, all_agree, any_process, world
from ssl_ood.common.errors import UserError
from ssl_ood.common.log import say
from ssl_ood.common.progress import describe_probe, write_progress
from ssl_ood.common.slurm import job_id, requeue_if_preempted
from ssl_ood.methods.signs import Finding
from ssl_ood.training import checkpoints
from ssl_ood.training.provenance import device_name
from ssl_ood.training.state import Schedule, Training

PROGRESS_SECONDS = 1.0
LOSS_SECONDS = 10.0  # to read the loss waits for the device
LAST_SECONDS = 60  # a job that was queued again is ended by SLURM within these
INTERRUPTED = 143  # exit code after SIGTERM: the job may run again and resumes
RESULT = "after the last step"
CURVE = 24  # lines of signs that `watch` draws
CLOCK, TOLD = "by the clock", "when it was told to stop"


class Attempt:
    """Keeps the state of `run` in `folder` and tells its progress, from now until it ends.

    identity: all that the weights depend on; a checkpoint of another one is never resumed. Only
    the process of rank 0 writes anything.
    """

    def __init__(
        self,
        run: Training,
        schedule: Schedule,
        folder: Path,
        identity: dict,
        progress: Path | None,
        minutes: float,
    ) -> None:
        self.run, self.schedule, self.folder, self.identity = run, schedule, folder, identity
        self.leader = world()[0] == 0
        self.progress = progress if self.leader else None
        self.minutes = minutes
        self.told_to_stop = False
        self.vote = StopVote(run.votes)
        for number in (signal.SIGTERM, signal.SIGINT):  # a cluster, or Ctrl-C
            signal.signal(number, self._on_signal)
        self._resume()
        self.first, self.seconds_before = run.step, run.seconds
        self.began = self.saved = self.told = time.monotonic()
        self.loss, self.read_loss = None, self.began
        self.warnings: list[str] = []

    def after_step(self) -> bool:
        """Counts the time and tells the progress; True if the training has to stop here."""
        now = time.monotonic()
        self.run.seconds = self.seconds_before + now - self.began
        if self.progress and now - self.told > PROGRESS_SECONDS:
            self._tell()
            self.told = now
        return self.vote.after_step(self.told_to_stop)

    def checkpoint_due(self) -> bool:
        """Whether the last checkpoint is older than it may be."""
        return self.leader and time.monotonic() - self.saved > 60 * self.minutes

    def save(self, why: str = CLOCK) -> None:
        """Writes a checkpoint; a full disk costs that checkpoint, not the training."""
        if not self.leader:
            return
        self.saved = time.monotonic()
        run = self.run
        state, keep = (run.result(), 1) if why == RESULT else (run.state(), checkpoints.KEEP)
        try:
            checkpoints.save(self.folder, run.step, {**state, "why": why}, self.identity, keep)
        except OSError as error:
            self._note(
                f"WARNING: the state at step {run.step} could not be written to {self.folder} "
                f"({error.strerror or error}); the checkpoints before it stay, the training goes on"
            )

    def leave(self) -> NoReturn:
        """Ends the process after a SIGTERM, with a code that lets the job run again."""
        any_process(False, self.run.sums.device)  # torchrun ends all once the first has left
        if self.leader:
            self._note(f"stopped by a signal at step {self.run.step}; it resumes there")
            if requeue_if_preempted():
                self._note("the job was preempted and queued again: waiting for its end")
                time.sleep(LAST_SECONDS)
        raise SystemExit(INTERRUPTED)

    def say_epoch(self) -> None:
        """One line for people about the epoch that ended."""
        if not self.leader:
            return
        line = self.run.history[-1]
        speed, left = self._rates()
        probed = "".join(f"{words}  " for words in describe_probe(self._latest_probe()))
        say(
            f"epoch {line['epoch']}/{self.schedule.epochs}  {self.run.method.describe(line)}  "
            f"{probed}{speed:.0f} images/s  {left / 60:.1f} min left"
        )

    def tell_findings(self, findings: list[Finding]) -> None:
        """Says what goes wrong, once until it no longer does."""
        before, self.warnings = self.warnings, [finding.text for finding in findings]
        if self.leader and len(findings) > len(before):
            for text in self.warnings:
                self._note(f"WARNING: {self.run.settings.run}: {text}")
        elif self.leader and before and not findings:
            say(f"{self.run.settings.run}: it learns again at step {self.run.step}")

    def end(self) -> None:
        """The outputs are written: nothing is left to tell."""
        if self.progress:
            self.progress.unlink(missing_ok=True)

    def _latest_probe(self) -> dict | None:
        """What was seen of the features at this step."""
        probes = self.run.probes
        return probes[-1] if probes and probes[-1]["step"] == self.run.step else None

    def _on_signal(self, *_: object) -> None:
        self.told_to_stop = True

    def _resume(self) -> None:
        run, schedule = self.run, self.schedule
        state = checkpoints.load(self.folder, self.identity, run.sums.device)
        if state is not None:
            run.restore(state)
        if not all_agree(run.step, run.sums.device):
            raise UserError(
                f"{run.settings.run}: the processes of this training read checkpoints of other "
                f"steps than each other (this one {run.step}): the disk of {self.folder} shows old "
                "files; run it again."
            )
        reached, repeated = self._last_words()
        again = max(reached - run.step, 0)
        run.repeated = max(run.repeated, repeated) + again
        if not self.leader:
            return
        epoch = run.step / max(schedule.steps_per_epoch, 1)
        if state is None:
            how = "starts from scratch: there is no checkpoint"
        elif run.step == schedule.steps:
            how = "was trained to the end before; its outputs are written again"
        else:
            how = f"starts at epoch {epoch:.2f} (step {run.step}), saved {state['why']}"
        if again:
            how += f"; the attempt before came to step {reached}, so {again} steps are repeated"
        how += f"; on {device_name(run.sums.device)}"
        if job := job_id():
            how += f", SLURM job {job}"
        self._note(f"{run.settings.run}: {schedule.steps} steps, {how}")

    def _note(self, text: str) -> None:
        """Says it, and keeps it beside the checkpoints: Snakemake empties the log of a new try."""
        say(text)
        log = self.folder / "attempts.log"
        with contextlib.suppress(OSError), open(log, "a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")

    def _last_words(self) -> tuple[int, int]:
        """(step, repeated steps) that the attempt before told last; it may be some steps older."""
        try:
            progress = (
                json.loads(self.progress.read_text(encoding="utf-8")) if self.progress else {}
            )
            if progress.get("identity") == checkpoints.fingerprint(self.identity):
                return int(progress["step"]), int(progress["repeated"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass
        return 0, 0

    def _rates(self) -> tuple[float, float]:
        """(images per second, seconds left) by the mean speed of this attempt."""
        run = self.run
        rate = (run.step - self.first) / max(time.monotonic() - self.began, 1e-9)
        left = (self.schedule.steps - run.step) / max(rate, 1e-9)
        return self.schedule.images(1) * rate, left

    def _tell(self) -> None:
        run, speed_and_left = self.run, self._rates()
        if self.loss is None or self.told - self.read_loss > LOSS_SECONDS:
            loss, *_, steps = run.sums.tolist()
            self.loss = loss / steps if steps else run.history[-1]["loss"]
            self.read_loss = self.told
        write_progress(
            self.progress,
            run=run.settings.run,
            stage="train",
            step=run.step,
            steps=self.schedule.steps,
            epoch=run.step // self.schedule.steps_per_epoch,
            epochs=self.schedule.epochs,
            loss=self.loss,
            images_per_second=speed_and_left[0],
            seconds_left=speed_and_left[1],
            repeated=run.repeated,
            warning=self.warnings[0] if self.warnings else None,
            curve=run.method.curve(run.signs[-CURVE:]),
            probe=run.probes[-1] if run.probes else None,
            identity=checkpoints.fingerprint(self.identity),
        )
