"""A tour of a finished run: every artefact is altered in every way, then what reads it runs again.

There is never another number: what was altered is made again, or refused in one sentence. Dates are
put back after every alteration, since nobody may trust them.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from support.other_methods import FINETUNE, MOCO, run_of
from support.packed import write_packed
from support.training import CONFIG

from ssl_ood.common.errors import UserError
from ssl_ood.common.proofs import load_tensors
from ssl_ood.common.settings import read_settings
from ssl_ood.evaluation.evaluate import Places, Task, evaluate_run
from ssl_ood.evaluation.measure import OODSet
from ssl_ood.evaluation.measurements import read_measurements
from ssl_ood.evaluation.score_files import read_scores
from ssl_ood.methods.base import read_run
from ssl_ood.methods.settings import RunSettings
from ssl_ood.report.results import load_results
from ssl_ood.study.settings import Evaluation
from ssl_ood.training.trainer import train

CPU = torch.device("cpu")
EVALUATION = {
    "precision": "float32", "scores": ["cosine_max"], "tau": 0.04, "taus": [0.04], "knn": 3,
    "knn_temperature": 0.07, "soft_class_temperature": 0.01, "confidence": 0.95,
    "sensitivity": {"max_share": 0.2},
}  # fmt: skip
RUN = CONFIG["run"]
OTHER = RUN.replace("seed0", "seed1")
PACKED = ("images.npy", "labels.npy", "files.txt", "meta.json")


@dataclass(frozen=True)
class Finished:
    """Results in `folder`, laid out as the workflow does, and the stages of a run in them."""

    folder: Path

    def settings(self, run: str = RUN) -> RunSettings:
        seed = int(run[-1])
        return read_run(CONFIG | {"run": run, "seed": seed})

    def weights(self, run: str = RUN) -> Path:
        return self.folder / "runs" / run / "model.safetensors"

    def scores(self, run: str = RUN) -> Path:
        return self.folder / "scores" / f"{run}.parquet"

    def measurements(self, run: str = RUN) -> Path:
        return self.folder / "measurements" / f"{run}.parquet"

    def train(self, run: str = RUN) -> None:
        checkpoints = self.folder / "checkpoints" / run
        output = self.weights(run).parent
        train(self.settings(run), self.folder / "data", output, checkpoints, device=CPU)

    def evaluate(self, run: str = RUN) -> None:
        evaluation = read_settings(Evaluation, EVALUATION, "evaluation")
        task = Task(self.settings(run), (OODSet("noise", "test"),), evaluation)
        features = self.folder / "features" / run
        places = Places(
            self.folder / "data", features, self.scores(run), self.measurements(run)
        )  # fmt: skip
        evaluate_run(task, self.weights(run), places, CPU)

    def shown(self, run: str = RUN) -> tuple:
        """What a table and a figure are made from."""
        spec = {
            "name": "table", "kind": "table", "form": "negative_sampling", "options": {},
            "runs": [{"run": run}], "show_reported": False,
        }  # fmt: skip
        frame = load_results(spec, [self.measurements(run)]).frame
        scores = read_scores(self.scores(run), run)
        return frame.to_csv(), {name: values.tolist() for name, values in scores.items()}

    def tensors(self) -> dict:
        return {k: v.tolist() for k, v in load_tensors(self.weights())[0].items()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Two finished runs."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("finished")
    for name, split, count in (
        ("shapes", "train", 24), ("shapes", "test", 10), ("photos", "train", 24),
        ("noise", "test", 10),
    ):  # fmt: skip
        rng = np.random.default_rng([count, len(name), len(split)])
        images = rng.integers(0, 256, (count, 16, 16, 3), np.uint8)
        labels = np.arange(count) % 2
        write_packed(
            folder / "data" / name / f"{split}-16px", images, labels, dataset=name, split=split
        )
    finished = Finished(folder)
    for run in (RUN, OTHER):
        finished.train(run)
        finished.evaluate(run)
    return finished


@pytest.fixture
def finished(whole, tmp_path):
    return Finished(shutil.copytree(whole.folder, tmp_path / "results"))


# ---- ways to alter a file; `other`: the same file of another run or set


def one_bit(path: Path, other: Path) -> None:
    content, rng = bytearray(path.read_bytes()), random.Random(path.name)
    content[rng.randrange(len(content) // 4, len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def second_half_zero(path: Path, other: Path) -> None:
    content = path.read_bytes()
    half = len(content) // 2
    path.write_bytes(content[:half] + bytes(len(content) - half))


def truncated(path: Path, other: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def emptied(path: Path, other: Path) -> None:
    path.write_bytes(b"")


def another_s(path: Path, other: Path) -> None:
    shutil.copy(other, path)


def deleted(path: Path, other: Path) -> None:
    path.unlink()


def unreadable(path: Path, other: Path) -> None:
    """Not even root may read a link to itself."""
    path.unlink()
    path.symlink_to(path)


ALTERATIONS = (one_bit, second_half_zero, truncated, emptied, another_s, deleted, unreadable)
altered_in_every_way = pytest.mark.parametrize("alter", ALTERATIONS, ids=lambda f: f.__name__)


def apply(alter, path: Path, other: Path) -> None:
    status = path.stat()
    alter(path, other)
    if path.is_file():
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def refused(stage) -> str | None:
    """The sentence in which a stage was refused; None where it was not."""
    try:
        stage()
    except UserError as error:
        assert len(str(error).splitlines()) == 1
        return str(error)
    return None


# ---- the tour


@altered_in_every_way
@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize(
    ("packed", "other"),
    [(f"shapes/{s}", o) for s, o in (("train", "photos/train"), ("test", "noise/test"))]
    + [("noise/test", "shapes/test")],
)  # fmt: skip
def test_a_packed_set_is_what_was_packed_or_refused(finished, whole, packed, other, name, alter):
    path, foreign = (finished.folder / "data" / f"{x}-16px" / name for x in (packed, other))
    before = path.read_bytes()
    apply(alter, path, foreign)
    altered = not path.is_file() or path.read_bytes() != before
    said = refused(finished.evaluate)
    assert finished.shown() == whole.shown()
    if altered:
        assert str(path.parent) in said
    if packed == "shapes/train" and altered:
        shutil.rmtree(finished.folder / "checkpoints")
        assert str(path.parent) in refused(finished.train)
        assert finished.tensors() == whole.tensors()


@altered_in_every_way
@pytest.mark.parametrize("name", ["model.safetensors", "train.json"])
def test_weights_are_those_of_the_run_or_refused(finished, whole, name, alter):
    path = finished.weights().with_name(name)
    apply(alter, path, finished.weights(OTHER).with_name(name))
    said = refused(finished.evaluate)
    assert str(path) in said or str(finished.weights()) in said
    if alter is another_s and name == "train.json":
        assert OTHER in said and RUN in said
    assert finished.shown() == whole.shown()
    path.unlink(missing_ok=True)
    finished.train()  # as Snakemake does where an output is missing
    finished.evaluate()
    assert finished.shown() == whole.shown()
    assert finished.tensors() == whole.tensors()


def test_weights_of_another_run_are_refused_by_both_names(finished):
    for names in (["model.safetensors"], ["model.safetensors", "train.json"]):
        for name in names:
            shutil.copy(finished.weights(OTHER).with_name(name), finished.weights().parent)
        said = refused(finished.evaluate)
        assert f"holds the weights of {OTHER}, not those of {RUN}" in said


def test_weights_of_other_settings_of_the_run_are_refused(finished):
    settings = finished.settings().to_dict()
    settings["training"] = settings["training"] | {"epochs": 1}
    folder = finished.weights().parent
    train(read_run(settings), finished.folder / "data", folder, finished.folder / "c", device=CPU)
    assert "was trained" in (said := refused(finished.evaluate)) and "another training" in said


@altered_in_every_way
@pytest.mark.parametrize("name", ["noise-test.npy", "noise-test.json", "soft_classes.npy"])
def test_features_are_extracted_again(finished, whole, name, alter):
    path = finished.folder / "features" / RUN / name
    before = path.read_bytes()
    apply(alter, path, finished.folder / "features" / OTHER / name)
    finished.evaluate()
    assert path.read_bytes() == before
    assert finished.shown() == whole.shown()


def test_all_features_of_another_run_are_extracted_again(finished, whole):
    folder = finished.folder / "features"
    shutil.copytree(folder / OTHER, folder / RUN, dirs_exist_ok=True)
    finished.evaluate()
    assert finished.shown() == whole.shown()


def test_features_that_cannot_be_written_are_a_sentence(finished):
    folder = finished.folder / "features" / RUN
    shutil.rmtree(folder)
    folder.write_text("a file in place of the folder")
    assert f"{folder}/shapes-train.npy cannot be written" in refused(finished.evaluate)


@altered_in_every_way
@pytest.mark.parametrize("kind", ["scores", "measurements"])
def test_scores_and_measurements_are_those_of_the_run_or_refused(finished, whole, kind, alter):
    path, foreign = getattr(finished, kind)(), getattr(finished, kind)(OTHER)
    apply(alter, path, foreign)
    said = refused(finished.shown)
    assert said is None or (str(path) in said and f"`snakemake {path}`" in said)
    if said is None:
        assert alter is one_bit and finished.shown() == whole.shown()
    if alter is another_s:
        assert f"{path} holds the {kind} of {OTHER}, not those of {RUN}" in said
    path.unlink(missing_ok=True)
    finished.evaluate()
    assert finished.shown() == whole.shown()


@pytest.mark.parametrize("kind", ["scores", "measurements"])
def test_no_bit_of_scores_and_measurements_gives_another_number(finished, whole, kind):
    path, rng = getattr(finished, kind)(), random.Random(7)
    before, expected, noticed = path.read_bytes(), whole.shown(), 0
    for _ in range(60):
        content = bytearray(before)
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
        try:
            assert finished.shown() == expected
        except UserError:
            noticed += 1
    assert noticed > 10


def test_a_number_that_was_edited_is_refused(finished):
    """By a program that keeps the metadata, and by one that does not."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = finished.measurements()
    table = pq.read_table(path)
    place = table.column_names.index("value")
    edited = table.set_column(place, "value", pa.array(5 * np.asarray(table["value"])))
    pq.write_table(edited, path)
    assert "their checksum differs" in refused(finished.shown)
    edited.to_pandas().to_parquet(path)
    assert "carry no checksum" in refused(finished.shown)


def test_a_set_that_was_replaced_with_its_metadata_is_not_the_one_trained_on(finished, whole):
    """Rolled labels, then other images of the same name: each is a whole packed set of itself."""
    folder = finished.folder / "data" / "shapes" / "train-16px"
    images, labels = np.load(folder / "images.npy"), np.load(folder / "labels.npy")
    named = {"dataset": "shapes", "split": "train"}
    for what, replaced in (
        ("labels", (images, np.roll(labels, 1))),
        ("images", (images[::-1], labels)),
    ):
        write_packed(folder, *replaced, **named)
        said = refused(finished.evaluate)
        assert f"is not what {RUN} was trained on: the checksum of its {what}" in said
    assert finished.shown() == whole.shown()
    finished.train()  # as the sentence says
    finished.evaluate()
    assert finished.shown() != whole.shown()


def test_runs_that_were_evaluated_on_different_images_are_not_shown_together(finished):
    rng = np.random.default_rng(9)
    images = rng.integers(0, 256, (10, 16, 16, 3), np.uint8)
    folder = finished.folder / "data" / "noise" / "test-16px"
    write_packed(folder, images, dataset="noise", split="test")
    finished.evaluate()
    with pytest.raises(UserError, match="different images or labels of noise-test") as error:
        read_measurements([finished.measurements(run) for run in (RUN, OTHER)])
    assert RUN in str(error.value) and OTHER in str(error.value)
    finished.evaluate(OTHER)
    read_measurements([finished.measurements(run) for run in (RUN, OTHER)])


def test_a_set_that_changes_under_a_training_is_not_certified(finished, monkeypatch):
    from ssl_ood.training import trainer

    real, path = trainer.train_step, finished.folder / "data" / "photos" / "train-16px/images.npy"

    def step_and_damage(*arguments):
        real(*arguments)
        with open(path, "rb+") as file:
            file.seek(-1000, os.SEEK_END)
            file.write(bytes(1000))

    monkeypatch.setattr(trainer, "train_step", step_and_damage)
    shutil.rmtree(finished.folder / "checkpoints")
    shutil.rmtree(finished.weights().parent)
    assert "images.npy is not what was packed" in refused(finished.train)
    assert not finished.weights().exists()


def test_no_checkpoint_is_kept_of_a_training_on_changed_images(finished, monkeypatch):
    """It is told to stop after its images changed, which would else be forgotten by the next."""
    from ssl_ood.training import trainer

    real, path = trainer.train_step, finished.folder / "data" / "photos" / "train-16px/images.npy"
    before = path.read_bytes()

    def step_and_damage(run, *arguments):
        real(run, *arguments)
        status = path.stat()
        path.write_bytes(before[:-1000] + bytes(1000))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        signal.raise_signal(signal.SIGTERM)

    shutil.rmtree(finished.folder / "checkpoints")
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "train_step", step_and_damage)
        assert "images.npy is not what was packed" in refused(finished.train)
    assert not list((finished.folder / "checkpoints" / RUN).glob("step_*"))
    path.write_bytes(before)
    expected = finished.tensors()
    finished.train()
    assert finished.tensors() == expected


@altered_in_every_way
@pytest.mark.parametrize("suffix", [".pt", ".json"])
def test_a_checkpoint_is_the_run_s_or_passed_over(finished, whole, suffix, alter):
    """The training goes on from the result of its last step, or begins anew: one and the same."""
    folders = (finished.folder / "checkpoints" / run for run in (RUN, OTHER))
    path, foreign = (next(folder.glob(f"step_*{suffix}")) for folder in folders)
    apply(alter, path, foreign)
    shutil.rmtree(finished.weights().parent)
    finished.train()
    finished.evaluate()
    assert finished.tensors() == whole.tensors()
    assert finished.shown() == whole.shown()


@altered_in_every_way
def test_weights_that_a_training_starts_from_are_those_of_the_run_that_it_names(
    finished, tmp_path, alter
):
    runs, data = {}, finished.folder / "data"
    for seed in (0, 1):
        name = f"contrast-shapes-none-base-seed{seed}"
        runs[seed] = finished.folder / "runs" / name
        train(run_of(MOCO, run=name, seed=seed, training={"epochs": 0}), data, runs[seed],
              tmp_path / f"c{seed}", device=CPU)  # fmt: skip
    started = run_of(FINETUNE, initial={"run": runs[0].name}, training={"epochs": 0})
    initial = runs[0] / "model.safetensors"
    before = initial.read_bytes()

    def start():
        train(started, data, tmp_path / "run", tmp_path / "c", initial=initial, device=CPU)

    apply(alter, initial, runs[1] / "model.safetensors")
    said = refused(start)
    assert str(initial) in said
    if alter is another_s:
        assert runs[1].name in said and runs[0].name in said
    initial.unlink(missing_ok=True)
    initial.write_bytes(before)
    start()


def test_every_artefact_names_its_run_and_its_inputs(finished):
    import pyarrow.parquet as pq

    told = json.loads(finished.weights().with_name("train.json").read_text())
    metas = {
        name: json.loads((finished.folder / "data" / name / "meta.json").read_text())
        for name in ("shapes/train-16px", "photos/train-16px", "noise/test-16px")
    }
    assert told["run"] == RUN and told["datasets"].keys() == metas.keys() - {"noise/test-16px"}
    for name, checksum in told["datasets"].items():
        assert checksum == metas[name]["images_sha256"]
        assert told["labels"][name] == metas[name]["labels_sha256"]
    for path in (finished.scores(), finished.measurements()):
        proof = json.loads(pq.read_schema(path).metadata[b"ssl_ood"])
        assert proof["run"] == RUN and proof["inputs"]["weights"] == told["weights_sha256"]
        noise = metas["noise/test-16px"]
        assert proof["inputs"]["sets"]["noise-test"]["images"] == noise["images_sha256"]
    scored = json.loads(pq.read_schema(finished.scores()).metadata[b"ssl_ood"])["rows"]
    assert proof["inputs"]["scores"] == scored
    features = json.loads((finished.folder / "features" / RUN / "noise-test.json").read_text())
    assert features["run"] == RUN and features["weights"] == told["weights_sha256"]
