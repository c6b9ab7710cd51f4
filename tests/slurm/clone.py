"""A copy of the project in which Snakemake runs, here or on the test cluster."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cluster import no_accounting

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
PATIENCE = 1200  # seconds; a busy machine takes a quarter of that
PARTS = ("Snakefile", "config.yaml", "workflow", "profiles", "resources", "slurm", "envs", "tests")
STUDY = ("profiles/demo/study.yaml", "tests/tiny_study.yaml", "tests/slurm/study.yaml")
SLURM = ("--profile", "slurm", "--latency-wait", "20")
LOCAL = ("--cores", "2")
TABLES = tuple(
    f"table_{name}"
    for name in ("ood_auroc", "negative_sampling", "quality", "hyperparameters", "claims")
)


@dataclass(frozen=True)
class Clone:
    """The project in `folder`; results are in its `results`."""

    folder: Path

    def start(
        self,
        targets: tuple[str, ...],
        *arguments: str,
        study: tuple[str, ...] = STUDY,
        site: Mapping[str, str] = {},
    ) -> subprocess.Popen:
        """Starts a Snakemake; what it says is in `log`. site: variables of the environment."""
        command = [
            sys.executable, str(HERE / "impatient_snakemake.py"), *targets, *arguments,
            "--configfile", *study, "--config", f"downloads_dir={ROOT / 'downloads'}",
        ]  # fmt: skip
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        environment["SSL_OOD_DEVICE"] = "cpu"  # the cluster's GPUs are pretended
        if no_accounting():
            environment["SSL_OOD_STATUS"] = "squeue"
        environment |= site
        with open(self.folder / "log", "ab") as log:
            return subprocess.Popen(
                command, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def finish(
        self, targets: tuple[str, ...], *arguments: str, study: tuple[str, ...] = STUDY
    ) -> None:
        """Runs a Snakemake to its end; fails with its log."""
        process = self.start(targets, *arguments, study=study)
        try:
            code = process.wait(PATIENCE)
            assert code == 0, f"{self.log}\nSnakemake ended with {code}"
        finally:
            end(process)

    def copy(self, folder: Path) -> Clone:
        """Another clone with the same packed sets, but nothing trained."""
        trained = {"runs", "checkpoints", "progress", "features", "scores", "measurements"}
        trained |= {"tables", "logs", "benchmarks"}
        results = str(self.results())

        def ignore(place: str, names: list[str]) -> set[str]:
            within = trained if place == results else {"log", "locks", "incomplete"}
            return within & set(names)

        shutil.copytree(self.folder, folder, ignore=ignore)
        return Clone(folder)

    @property
    def log(self) -> str:
        """What its Snakemakes said."""
        return (self.folder / "log").read_text()

    def results(self, *parts: str) -> Path:
        """A path in the results."""
        return self.folder.joinpath("results", "demo", *parts)


@dataclass(frozen=True)
class SlurmTraining:
    """The training of one run through a clone's Snakemake on the cluster."""

    clone: Clone
    run: str

    @property
    def weights(self) -> Path:
        """What it ends with."""
        return self.clone.results("runs", self.run, "model.safetensors")

    @property
    def log(self) -> str:
        """What all attempts said."""
        path = self.clone.results("checkpoints", self.run, "attempts.log")
        return path.read_text() if path.exists() else ""

    def start(self, study: tuple[str, ...]) -> subprocess.Popen:
        """Starts the Snakemake."""
        return self.clone.start(self.targets, *SLURM, study=study)

    @property
    def targets(self) -> tuple[str]:
        """What Snakemake is asked for."""
        return (str(self.weights.relative_to(self.clone.folder)),)

    def holder(self) -> tuple[int, str]:
        """(process, SLURM job) that train the run now, or trained it last."""
        lock = self.clone.results("checkpoints", self.run, "lock")
        while not (match := re.match(r"process (\d+) .*SLURM job (\d+)", lock.read_text())):
            time.sleep(0.01)  # it is being written
        return int(match[1]), match[2]

    def newest_step(self) -> int:
        """Of its checkpoints."""
        folder = self.clone.results("checkpoints", self.run)
        return max((int(p.stem.removeprefix("step_")) for p in folder.glob("*.json")), default=0)

    def wait_for_step(self, step: int, snakemake: subprocess.Popen) -> None:
        """Waits until a checkpoint after so many steps is written."""
        wait(lambda: self.newest_step() >= step, self.clone, snakemake)


def wait(condition, clone: Clone, process: subprocess.Popen) -> None:
    """Waits until the condition holds, as long as the process runs."""
    until = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, clone.log
        assert time.monotonic() < until, clone.log
        time.sleep(0.05)


def end(process: subprocess.Popen) -> None:
    """Kills the process and what it started, if it still runs."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def make_clone(folder: Path) -> Clone:
    """Copies what git would give; nothing that was made."""
    folder.mkdir(parents=True)
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=ignore)
        else:
            shutil.copy2(source, folder / part)
    return Clone(folder)
