"""What the situations share: a catalogue of one dataset, its archives, stages as typed."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

ROOT = Path(__file__).parents[2]
DEMO = ("--configfile", "profiles/demo/study.yaml", "tests/tiny_study.yaml")
STUDY_FILES = (
    "Snakefile", "config.yaml", "config", "workflow", "profiles", "resources", "slurm", "envs",
    "tests/tiny_study.yaml",
)  # fmt: skip


@dataclass(frozen=True)
class Said:
    """How a command ended and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return (self.out + self.err).strip()

    @property
    def is_a_sentence(self) -> bool:
        """It was refused, in words instead of a traceback."""
        return self.code != 0 and bool(self.text) and "Traceback (most recent" not in self.text


def environment(changes: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """That of a stage; changes: variables to set, or to take away with None."""
    merged = {**os.environ, "PYTHONPATH": str(ROOT / "workflow"), "OMP_NUM_THREADS": "1"}
    merged.update(changes or {})
    return {name: value for name, value in merged.items() if value is not None}


def run(command: list[str], folder: Path, env: Mapping[str, str], timeout: float) -> Said:
    done = subprocess.run(
        command, cwd=folder, env=env, text=True, errors="replace", capture_output=True,
        timeout=timeout,
    )  # fmt: skip
    return Said(done.returncode, done.stdout, done.stderr)


def ssl_ood(
    *args: object,
    folder: Path,
    env: Mapping[str, str | None] | None = None,
    timeout: float = 120,
) -> Said:
    """`ssl_ood ARGS`, typed in `folder`."""
    command = [sys.executable, "-m", "ssl_ood", *map(str, args)]
    return run(command, folder, environment(env), timeout)


def snakemake(
    *args: object,
    folder: Path,
    env: Mapping[str, str | None] | None = None,
    timeout: float = 300,
) -> Said:
    """`snakemake ARGS --cores 1`, typed in `folder`."""
    variables = environment({"PYTHONPATH": None, **(env or {})})
    command = [sys.executable, "-m", "snakemake", *map(str, args), "--nocolor", "--cores", "1"]
    return run(command, folder, variables, timeout)


def study_copy(to: Path) -> Path:
    """The files of the clone that a run needs, in the folder `to`."""
    for name in STUDY_FILES:
        source, target = ROOT / name, to / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(source, target, ignore=ignored)
        else:
            shutil.copy(source, target)
    return to


@dataclass
class Toy:
    """A dataset of one archive, `toy.zip` or the folder `toy` below `archives`."""

    folder: Path
    file: str = "toy.zip"
    reader: str = "image_folders"

    def __post_init__(self) -> None:
        self.archives = self.folder / "archives"
        self.archives.mkdir(parents=True, exist_ok=True)

    def catalogue(self, **changes: Any) -> Path:
        """Its entry in a catalogue of its own; changes: keys of the entry."""
        archive = {"file": self.file}
        if not Path(self.file).suffix:
            archive["folder"] = True
        entry = {
            "title": "Toy", "kind": "medical", "access": "request", "licence": None,
            "citation": None, "how_to_get": "ask", "reader": self.reader, "options": {},
            "archives": [archive | changes.pop("archive", {})],
            "splits": {"train": {"count": None}},
        }  # fmt: skip
        path = self.folder / "catalogue.yaml"
        path.write_text(yaml.safe_dump({"datasets": {"toy": entry | changes}}), encoding="utf-8")
        return path

    def pack(
        self,
        split: str = "train",
        size: int = 16,
        *,
        env: Mapping[str, str | None] | None = None,
        **changes: Any,
    ) -> tuple[Said, Path]:
        """`fetch` and `pack` of a split; what was said last, and the folder of the packed set."""
        catalogue, manifest = self.catalogue(**changes), self.folder / "manifest.json"
        packed = self.folder / f"packed-{split}"
        shutil.rmtree(packed, ignore_errors=True)
        fetched = ssl_ood(
            "fetch", "toy", "--catalogue", catalogue, "--downloads", self.folder / "downloads",
            "--archive-dirs", self.archives, "--manifest", manifest, folder=self.folder, env=env,
        )  # fmt: skip
        if fetched.code:
            return fetched, packed
        return ssl_ood(
            "pack", "toy", "--catalogue", catalogue, "--split", split, "--size", size,
            "--manifest", manifest, "--output", packed, "--workers", 1, folder=self.folder,
            env=env,
        ), packed  # fmt: skip


def encoded(image: Image.Image | np.ndarray, form: str = "PNG", **options: Any) -> bytes:
    """An image, or an array of one, as the bytes of a file."""
    stream = io.BytesIO()
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(stream, form, **options)
    return stream.getvalue()


def noise(rng: np.random.Generator, side: int = 24) -> np.ndarray:
    """(side, side) uint8, every grey as likely as the next."""
    return rng.integers(0, 256, (side, side), np.uint8)


def zipped(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, files: Mapping[str, bytes], mode: str = "w", **options: Any) -> Path:
    with tarfile.open(path, mode, **options) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def in_folders(root: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root
