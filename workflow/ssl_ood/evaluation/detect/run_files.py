"""What belongs to the run that new images are scored with. Light: torch is not imported here.

A run is named by its folder, RESULTS/runs/RUN, or by a bundle, which opens as such a folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_ood.common.errors import UserError, unknown
from ssl_ood.common.files import read_json
from ssl_ood.common.registry import Entry, lookup, names
from ssl_ood.common.settings import read_settings
from ssl_ood.datasets.decode import Decoding
from ssl_ood.datasets.names import PackedSet
from ssl_ood.evaluation.score_columns import column_name, split_column
from ssl_ood.methods.settings import RunSettings, read_run
from ssl_ood.study.runs import OF_EVALUATION
from ssl_ood.study.settings import Evaluation

WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class RunFiles:
    """A run in a results folder; calibration: the evaluated set that thresholds are set on.

    calibration_role: what results/scores/RUN.parquet calls the role of that set's rows.
    """

    results: Path
    settings: RunSettings
    evaluation: Evaluation
    calibration: PackedSet
    calibration_role: str
    decoding: Decoding

    @property
    def run(self) -> str:
        return self.settings.run

    @property
    def weights(self) -> Path:
        return self.results / "runs" / self.run / WEIGHTS

    @property
    def train(self) -> PackedSet:
        return self.settings.packed(self.settings.in_distribution, self.settings.train_split)

    @property
    def features(self) -> Path:
        """Folder of the features of the evaluated sets."""
        return self.results / "features" / self.run

    @property
    def scores(self) -> Path:
        return self.results / "scores" / f"{self.run}.parquet"


@dataclass(frozen=True)
class ChosenScore:
    """The score that ranks the images; reason: why it is this one, where nobody asked for it."""

    entry: Entry
    tau: float
    evaluation: Evaluation  # narrowed to this score and temperature
    reason: str

    @property
    def column(self) -> str:
        """Its name in files: `mahalanobis`, `cosine_tau@0.040`."""
        return column_name(
            self.entry.name, self.tau if self.entry.more.get("temperature") else None
        )


@contextmanager
def opened_run(path: Path) -> Iterator[RunFiles]:
    """The run of a folder RESULTS/runs/RUN, or of a bundle, which stays open as long.

    Raises UserError for what is neither, and for a run that was not evaluated.
    """
    path = Path(path)
    if path.is_file() and path.suffix == ".zip":
        from ssl_ood.evaluation.bundles import opened_bundle

        with opened_bundle(path) as (results, run):
            yield read_files(results, run)
        return
    folder = (path.parent if path.name == WEIGHTS else path).absolute()
    if not (folder / WEIGHTS).is_file() or folder.parent.name != "runs":
        raise UserError(
            f"{path} is not a trained run: name the folder of one, results/runs/RUN, or a bundle "
            "of `ssl_ood bundle`."
        )
    yield read_files(folder.parents[1], folder.name)


def read_files(results: Path, run: str) -> RunFiles:
    """The run of a results folder. Raises UserError where it was not evaluated."""
    path = results / "evaluation" / f"{run}.json"
    if not path.is_file():
        # As Snakemake names its files: it knows them by their relative paths alone.
        here = results.relative_to(Path.cwd()) if results.is_relative_to(Path.cwd()) else results
        raise UserError(
            f"{run} was not evaluated, so that there is nothing to compare new images with: run "
            f"`snakemake --cores 1 {here / 'measurements' / run}.parquet`, with the --configfile "
            "that it was trained with."
        )
    config = read_json(path)
    settings = read_run({key: v for key, v in config.items() if key not in OF_EVALUATION})
    if settings.run != run:
        raise UserError(f"{path} is that of {settings.run}, not of {run}: evaluate the run again.")
    evaluation = read_settings(Evaluation, config["evaluation"], f"{run}: evaluation")
    split = config.get("calibration_split")
    calibration = settings.packed(settings.in_distribution, split or settings.test_split)
    role = "test" if split is None else "calibration"
    decoding = _decoding(results, settings, config.get("decoding"))
    return RunFiles(results, settings, evaluation, calibration, role, decoding)


def _decoding(results: Path, settings: RunSettings, recorded: Mapping[str, Any] | None) -> Decoding:
    """How the training images were decoded, by the evaluation's config or by their metadata."""
    if recorded is None:
        train = settings.packed(settings.in_distribution, settings.train_split)
        meta = results / "data" / train.path / "meta.json"
        recorded = {"mode": read_json(meta).get("mode", "RGB")} if meta.is_file() else {}
    return Decoding.of(settings.size, settings.fit, recorded, settings.in_distribution)


def choose_score(files: RunFiles, asked_name: str | None) -> ChosenScore:
    """The score to rank by: wanted, NAME or NAME@TAU, or the first that the study names.

    The first, since it is the one that the study's tables show and none is chosen by looking at the
    new images. Raises UserError for a score that is not declared.
    """
    evaluation = files.evaluation
    first = evaluation.scores[0]
    name, tau = _parsed(asked_name) if asked_name else (first, None)
    if name not in names("score"):
        raise unknown(name, names("score"), "score", "--score")
    entry = lookup("score", name)
    if tau is not None and not entry.more.get("temperature"):
        raise UserError(f"--score {asked_name}: {name} has no temperature: write --score {name}.")
    if tau is not None and not tau > 0:
        raise UserError(f"--score {asked_name}: a temperature is above 0.")
    tau = evaluation.tau if tau is None else tau
    narrowed = evaluation.model_copy(update={"scores": (name,), "tau": tau, "taus": (tau,)})
    reason = "it was asked for" if asked_name else "it is the first score of its study"
    return ChosenScore(entry, tau, narrowed, reason)


def _parsed(name: str) -> tuple[str, float | None]:
    try:
        return split_column(name)
    except ValueError:
        raise UserError(
            f"--score {name}: the text after @ is not a temperature: write cosine_tau@0.04."
        ) from None
