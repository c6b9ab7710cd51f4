"""The bundle of a study on a folder of a person's own images: nothing says where that folder is."""

from __future__ import annotations

import json
import re
import zipfile

import pytest
from support.configs import THESIS
from support.own_images import write_pictures
from support.small_results import make_runs

from ssl_ood.datasets.fetch import fetch
from ssl_ood.datasets.local import _listed
from ssl_ood.datasets.pack import pack
from ssl_ood.evaluation.bundles.commands import _catalogue
from ssl_ood.evaluation.bundles.extras import Wishes
from ssl_ood.evaluation.bundles.make import make_bundle
from ssl_ood.evaluation.bundles.private import private_names, texts_of
from ssl_ood.evaluation.bundles.sources import Catalogue
from ssl_ood.study.read import read_study
from ssl_ood.training.probe import ProbePlan

RUN = "mine-mine-none-base-seed0"
TINY = {
    "training": {"epochs": 1, "batch_size": 16, "warmup_epochs": 0, "stop_on_collapse": False},
    "views": {"positive": [2, 1], "negative": [1, 1]},
    "backbone": {"embed_dim": 16, "depth": 1, "num_heads": 2},
    "head": {"layers": 1, "hidden": 16, "bottleneck": 8, "out": 16},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The study, and the bundle of its run with all that may be asked for."""
    home = tmp_path_factory.mktemp("anna_q")
    write_pictures(home / "ward7" / "films", 60, grey=True, name="{:02d}.png")
    write_pictures(home / "ward7" / "ill", 12, grey=True, seed=1)
    (home / "patients.csv").write_text(
        "image,patient\n" + "".join(f"{i:02d}.png,p{i // 2}\n" for i in range(60))
    )
    _listed.cache_clear()
    own = {
        "images": str(home / "ward7" / "films"), "ood": [str(home / "ward7" / "ill")],
        "strategies": ["none"], "override": TINY, "title": "Films",
        "group": {"csv": str(home / "patients.csv"), "image": "image", "patient": "patient"},
    }  # fmt: skip
    results = home / "results"
    experiments = read_study(THESIS | {
        "studies": {"mine": own}, "tables": {}, "figures": {}, "variants": {"base": {}},
        "execution": {**THESIS["execution"], "devices": 0}, "seeds": [0],
        "results_dir": str(results), "downloads_dir": str(home / "downloads"),
    })  # fmt: skip
    for packed in experiments.packed_sets().values():
        dataset = experiments.datasets[packed.dataset]
        manifest = results / "archives" / f"{dataset.store}.json"
        fetch(dataset, home / "downloads", manifest=manifest)
        place = results / "data" / packed.path
        pack(dataset, packed.split, packed.size, manifest, place, workers=1, fit=packed.fit)
    make_runs(experiments, results, ProbePlan(images=40, share=1.0))
    path = home / "run.zip"
    known = Catalogue(experiments.datasets)
    wishes = Wishes(features=True, thumbnails=True, names=True)
    make_bundle(results, RUN, path, known, wishes)
    return home, path


def test_nothing_says_where_the_images_are_or_who_had_them(made, tmp_path):
    """Not the config, the datasets, the table of patients, the log with its probes, the facts."""
    home, path = made
    assert str(home) in (home / "results" / "archives" / "mine.json").read_text()
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path)
        names = archive.namelist()
    assert {f"shortcuts/mine-mine.{kind}" for kind in ("json", "parquet")} <= set(names)
    log = (tmp_path / "runs" / RUN / "log.jsonl").read_text()
    assert '"kind": "probe"' in log
    words = (str(home), home.name, "anna_q", "ward7", "patients.csv", *private_names())
    for name in names:
        for text in texts_of(name, tmp_path / name):
            assert not [word for word in words if word in text], name
            assert not re.search(r"(?<![\w:/<.])/(tmp|home|root|Users)/", text), name
    content = path.read_bytes()
    assert not [word for word in words if len(word) > 4 and word.encode() in content]


def test_what_is_said_of_the_images_is_their_title(made):
    _, path = made
    with zipfile.ZipFile(path) as archive:
        sources = json.loads(archive.read("manifest.json"))["sources"]
        listed = json.loads(archive.read(f"names/{RUN}/mine-train.json"))["names"]
    assert {s["name"]: (s["title"], s["archives"]) for s in sources} == {
        "mine": ("Films", []),
        "mine_ill": ("ill", []),
    }
    assert all(re.fullmatch(r"\d\d\.png", name) for name in listed)


def test_the_command_knows_the_entries_of_a_config_or_of_the_workflow(tmp_path, monkeypatch):
    entry = {
        "title": "Slides", "kind": "natural", "access": "local", "reader": "own_images",
        "options": {}, "archives": [{"file": "slides", "path": str(tmp_path)}],
        "splits": {"train": {"about": 3}},
    }  # fmt: skip
    (tmp_path / "config.yaml").write_text(json.dumps({"datasets": {"slides": entry}}))
    known = _catalogue(None, [str(tmp_path / "config.yaml")]).datasets
    assert known["slides"].title == "Slides" and "cifar10" in known
    monkeypatch.setenv("SSL_OOD_CATALOGUE", json.dumps([str(THESIS["catalogue"])]))
    monkeypatch.setenv("SSL_OOD_DATASETS", json.dumps({"films": entry}))
    assert _catalogue(None, []).datasets.keys() > {"films", "cifar10"}
