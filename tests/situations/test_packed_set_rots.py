"""A packed set that changes on the disk, its date the same, is not trained on."""

from __future__ import annotations

import json
import os
import re
import shutil

import numpy as np
import pytest
from support.packed import write_packed
from support.situations import Toy, encoded, noise, ssl_ood, zipped
from support.training import CONFIG

from ssl_ood.cli import main
from ssl_ood.datasets.packed import open_packed

BATCH = {"epochs": 1, "batch_size": 4}


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """The folder of a study's data with one set, packed as typed; and its run config."""
    toy, rng = Toy(tmp_path_factory.mktemp("toy")), np.random.default_rng(0)
    images = {f"{i % 2}/{i}.png": encoded(noise(rng)) for i in range(12)}
    zipped(toy.archives / "toy.zip", images)
    said, folder = toy.pack()
    assert said.code == 0, said.text
    assert re.search(r"^hashed \d+\.\d MB in \d+\.\d+ of \d+\.\d+ CPU seconds$", said.err, re.M)
    target = toy.folder / "data" / "toy" / "train-16px"
    target.parent.mkdir(parents=True)
    shutil.move(folder, target)
    config = CONFIG | {"in_distribution": "toy", "negatives": []}
    config |= {"training": CONFIG["training"] | BATCH}
    (toy.folder / "config.json").write_text(json.dumps(config))
    return toy.folder


@pytest.fixture
def study(packed, tmp_path):
    shutil.copytree(packed / "data", tmp_path / "data")
    shutil.copy(packed / "config.json", tmp_path)
    return tmp_path


def arguments(study):
    return [
        "train", "--config", study / "config.json", "--data", study / "data", "--device", "cpu",
        "--output", study / "run", "--checkpoints", study / "checkpoints", "--threads", 1,
    ]  # fmt: skip


def folder_of(study):
    return study / "data" / "toy" / "train-16px"


def zeroed(study):
    path = folder_of(study) / "images.npy"
    content = bytearray(path.read_bytes())
    half = len(content) // 2
    content[half:] = bytes(len(content) - half)
    path.write_bytes(content)


def rolled_labels(study):
    path = folder_of(study) / "labels.npy"
    np.save(path, np.roll(np.load(path), 1))


def renamed_files(study):
    path = folder_of(study) / "files.txt"
    path.write_text(path.read_text().replace("0/0.png", "0/9.png"))


def another_set(study):
    images = np.random.default_rng(1).integers(0, 256, (12, 16, 16, 3), np.uint8)
    write_packed(folder_of(study), images, np.arange(12) % 2, dataset="other", split="train")


def edited_metadata(study):
    path = folder_of(study) / "meta.json"
    meta = json.loads(path.read_text())
    path.write_text(json.dumps(meta | {"mode": "another"}))


SENTENCES = {
    zeroed: "is damaged: images.npy is not what was packed",
    rolled_labels: "is damaged: labels.npy is not what was packed",
    renamed_files: "is damaged: files.txt is not what was packed",
    edited_metadata: "is damaged: meta.json was altered",
    another_set: "holds another packed dataset, other/train-16px",
}


def damage(study, how):
    dates = {p: p.stat() for p in folder_of(study).iterdir()}
    how(study)
    for path, status in dates.items():
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_training_on_it_is_refused_as_typed(study):
    damage(study, zeroed)
    said = ssl_ood(*arguments(study), folder=study)
    assert said.is_a_sentence and said.code == 2
    assert SENTENCES[zeroed] in said.err and "`ssl_ood pack`" in said.err
    assert not (study / "run").exists()


@pytest.mark.parametrize("how", SENTENCES, ids=lambda f: f.__name__)
def test_every_file_of_the_set_is_proven(study, capsys, how):
    damage(study, how)
    assert main([str(a) for a in arguments(study)]) == 2
    assert SENTENCES[how] in capsys.readouterr().err
    assert not (study / "run").exists()


def test_the_whole_set_is_trained_on(study, capsys):
    assert main([str(a) for a in arguments(study)]) == 0
    said = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(r"hashed \d+\.\d MB in \d+\.\d{3} of \d+\.\d\d CPU seconds", said)
    told = json.loads((study / "run" / "train.json").read_text())
    meta = open_packed(folder_of(study)).meta
    assert told["datasets"] == {"toy/train-16px": meta["images_sha256"]}


def test_packing_makes_a_damaged_set_anew(packed, tmp_path):
    toy = Toy(tmp_path)
    shutil.copy(packed / "archives" / "toy.zip", toy.archives)
    said, folder = toy.pack()
    assert said.code == 0, said.text
    before = (folder / "labels.npy").read_bytes()
    np.save(folder / "labels.npy", np.roll(np.load(folder / "labels.npy"), 1))
    again = ssl_ood(
        "pack", "toy", "--catalogue", toy.catalogue(), "--split", "train", "--size", 16,
        "--manifest", toy.folder / "manifest.json", "--output", folder, "--workers", 1,
        folder=tmp_path,
    )  # fmt: skip
    assert again.code == 0 and "is damaged: packing it again" in again.err
    assert (folder / "labels.npy").read_bytes() == before
