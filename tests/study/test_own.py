"""A study of own images: what it becomes, what is chosen, each mistake in one sentence."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from support.configs import DEMO, ROOT, THESIS
from support.dicoms import dicom
from support.own_images import write_pictures

from ssl_ood.common.errors import UserError
from ssl_ood.datasets.local import _listed
from ssl_ood.datasets.scan import Scan
from ssl_ood.study.costs import describe_plan
from ssl_ood.study.own import RULES, expand_own
from ssl_ood.study.presets import choose
from ssl_ood.study.read import read_study

SEEN = Scan(2000, 256, 300, 1.0, True, False, False, (0.5, 0.4, 0.3), (0.3, 0.2, 0.25))


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder with normal images, and others, of a person who works in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    write_pictures(tmp_path / "films" / "normal", 40)
    write_pictures(tmp_path / "films" / "ill", 7, seed=1)
    _listed.cache_clear()
    return tmp_path


def config(devices=0, **study):
    """A plain config of this study alone; devices: those of `execution`."""
    own = {"images": "~/films/normal", **study}
    execution = {**THESIS["execution"], "devices": devices}
    return {
        **THESIS, "studies": {"mine": own}, "tables": {}, "figures": {}, "execution": execution,
        "variants": {"base": {}},
    }  # fmt: skip


def refused(**study):
    with pytest.raises(UserError) as error:
        read_study(config(**study))
    assert "\n" not in str(error.value)
    return str(error.value)


# ---- what it becomes


def test_three_lines_are_datasets_a_study_tables_and_figures(home):
    found = read_study(config(ood=["~/films/ill"]))
    assert found.own == ("mine",)
    assert {run.strategy for run in found.runs.values()} == {"none", "rot_indist", "perm4_indist"}
    run = found.runs["mine-mine-rot_indist-base-seed0"]
    assert run.train.path == "mine/train-32px" and run.test.path == "mine/test-32px"
    assert run.calibration.path == "mine/calibration-32px"
    assert [s.path for s in run.ood] == ["mine_ill/test-32px"]
    assert [found.count(s) for s in (run.train, run.calibration, run.test, *run.ood)] == [
        28,
        6,
        6,
        7,
    ]
    (archive,) = found.datasets["mine"].archives
    assert (
        archive.path == str(home / "films" / "normal") and found.datasets["mine"].access == "local"
    )
    assert set(found.targets) == {
        "table_mine_strategies", "table_mine_thresholds", "table_mine_quality", "table_mine_auroc",
        "figure_mine_scores", "figure_mine_views", "figure_mine_negatives",
    }  # fmt: skip
    (remark,) = found.remarks
    assert remark.startswith(
        "Study mine: 40 colour images, the 40 looked at square, their median shorter side 8 "
        "pixels: size 32, fit crop, preset small (execution.devices is 0), views for colour images"
    )


def test_the_expanded_config_is_a_config_that_means_the_same(home):
    """So jobs and `plan` are told it, whatever has become of the folder since."""
    plain = config(ood=["~/films/ill"])
    once = read_study(plain)
    (home / "films" / "normal" / "im000.png").unlink()
    again = read_study(json.loads(json.dumps(once.plain)))
    assert {i: run.training_config for i, run in again.runs.items()} == {
        i: run.training_config for i, run in once.runs.items()
    }
    assert again.datasets["mine"] == once.datasets["mine"] and not again.own


def test_without_ood_there_is_no_auroc_and_with_auxiliary_there_are_its_negatives(home):
    write_pictures(home / "other", 5, seed=2)
    found = read_study(config(auxiliary="~/other"))
    assert "table_mine_auroc" not in found.targets
    assert {run.strategy for run in found.runs.values()} == {
        "none", "rot_indist", "perm4_indist", "rot_auxiliary", "rot_both",
    }  # fmt: skip
    run = found.runs["mine-mine-rot_both-base-seed0"]
    assert [s.path for s in run.sources] == ["mine/train-32px", "mine_auxiliary/train-32px"]


def test_what_the_config_says_goes_before_what_is_chosen(home):
    epochs = {"training": {"epochs": 3}}
    plain = config(
        size=64, fit="squash", preset="full", strategies=["rot_indist"], ood="svhn",
        override=epochs, evaluation={"knn": 1}, title="Films",
    )  # fmt: skip
    plain["tables"] = {"table_mine_auroc": {"untrained": True}}
    plain["variants"]["untrained"] = {"training": {"epochs": 0}}
    found = read_study(plain)
    run = found.runs["mine-mine-rot_indist-base-seed0"]
    assert run.train.path == "mine/train-64px-squash" and run.settings.training.epochs == 3
    assert run.evaluation.knn == 1 and found.datasets["mine"].title == "Films"
    assert [s.dataset for s in run.ood] == ["svhn"]
    assert found.targets["table_mine_auroc"].settings.untrained
    assert "mine-mine-none-untrained-seed0" in found.runs


def test_sets_of_one_name_and_places_of_one_name_stay_apart(home):
    write_pictures(home / "b" / "ill", 4, seed=3)
    write_pictures(home / "b" / "normal", 4, seed=4)
    own = expand_own(config(images=["films/normal", "b/normal"], ood=["films/ill", "b/ill"]))
    assert set(own.config["datasets"]) == {"mine", "mine_ill", "mine_ill_2"}
    archives = own.config["datasets"]["mine"]["archives"]
    assert [a["file"] for a in archives] == ["normal", "normal_2"]


# ---- what is chosen


@pytest.mark.parametrize(
    ("side", "preset", "size"),
    [(8, "full", 32), (63, "full", 32), (64, "full", 64), (250, "full", 224), (4000, "full", 256),
     (4000, "small", 64)],
)  # fmt: skip
def test_the_size_is_that_of_the_median_image_or_below(side, preset, size):
    seen = Scan(**{**vars(SEEN), "side": side})
    assert choose(seen, preset, None, None, 1000).size == size


@pytest.mark.parametrize(
    ("images", "epochs", "batch"),
    [(30, 100, 8), (300, 100, 32), (3000, 50, 32), (10**6, 2, 32)],
)
def test_few_images_are_shown_more_often_in_smaller_batches(images, epochs, batch):
    training = choose(SEEN, "small", None, None, images).settings["training"]
    assert (training["epochs"], training["batch_size"]) == (epochs, batch)
    assert 0 < training["warmup_epochs"] < epochs


@pytest.mark.parametrize(("epochs", "warmup"), [(0, 0), (1, 0), (8, 1), (50, 5), (200, 20)])
def test_the_warmup_is_a_share_of_the_epochs_that_are_asked_for(home, epochs, warmup):
    """Else a training that is cut short would end before its rate has risen."""
    found = read_study(config(override={"training": {"epochs": epochs}}))
    training = found.runs["mine-mine-none-base-seed0"].settings.training
    assert (training.epochs, training.warmup_epochs) == (epochs, warmup)


@pytest.mark.parametrize(
    ("allowed", "said"),
    [
        (0.0, "stop at them, .*write `max_corrupt_share: 0.2`"),
        (0.2, "left out, up to a share of 0.2"),
    ],
)
def test_images_that_cannot_be_read_are_told_with_what_becomes_of_them(home, allowed, said):
    for i in range(5):
        (home / "films" / "normal" / f"torn{i}.png").write_bytes(b"%PDF")
    (remark,) = read_study({**config(), "max_corrupt_share": allowed}).remarks
    assert re.search(r"5 of those looked at cannot be read \(.*torn\d\.png: ", remark)
    assert re.search(said, remark)


def test_a_study_is_planned_by_its_name(home):
    found = read_study({**config(), "tables": {"table_mine_quality": {"optional": True}}})
    said = describe_plan(found, ["mine", "table_mine_thresholds"]).splitlines()
    rows = [line.split()[:3] for line in said[1:] if line.startswith(("table", "figure", "tog"))]
    assert [name for name, *_ in rows] == [
        "table_mine_strategies", "table_mine_thresholds", "figure_mine_scores",
        "figure_mine_views", "figure_mine_negatives", "together",
    ]  # fmt: skip
    assert rows[-1][1:] == ["3", "3"]
    with pytest.raises(UserError, match="no table or figure 'mime': there are mine, table_mine_"):
        describe_plan(found, ["mime"])


def test_views_are_those_of_the_kind_of_image():
    chosen = {
        kind: choose(Scan(**{**vars(SEEN), **more}), "full", None, None, 1000)
        for kind, more in {"colour": {}, "grey": {"grey": True},
                           "medical": {"grey": True, "dicom": True}}.items()
    }  # fmt: skip
    assert {kind: c.kind for kind, c in chosen.items()} == {k: k for k in chosen}
    views = {kind: c.settings["views"] for kind, c in chosen.items()}
    assert "jitter" not in views["colour"]  # the method's
    assert views["grey"]["jitter"][2:] == [0.0, 0.0] and views["grey"]["grey_p"] == 0
    assert views["medical"]["jitter"][0] < views["grey"]["jitter"][0]
    small = choose(SEEN, "small", None, None, 1000).settings["views"]
    assert small["mean"] == [0.5, 0.4, 0.3] and small["std"] == [0.18, 0.12, 0.15]


def test_grey_dicom_files_are_packed_in_grey(home):
    folder = home / "ct"
    folder.mkdir()
    for i in range(30):
        pixels = np.random.default_rng(i).integers(0, 255, (70, 90)).astype(np.uint8)
        (folder / f"IM{i:04d}").write_bytes(dicom(pixels))
    found = read_study(config(images="ct", ood=["films/ill"]))
    assert "30 grey DICOM images" in found.remarks[0]
    assert "size 64, fit squash" in found.remarks[0]
    assert (
        found.datasets["mine"].options["mode"] == found.datasets["mine_ill"].options["mode"] == "L"
    )


def test_the_demo_takes_such_a_study_too(home):
    plain = {**DEMO, "studies": {**DEMO["studies"], "mine": {"images": "films/normal"}}}
    found = read_study(plain)
    assert "mine-mine-rot_indist-base-seed0" in found.runs
    assert set(read_study(DEMO).runs) < set(found.runs)


# ---- mistakes


def test_each_mistake_is_one_sentence_before_anything_is_planned(home):
    place = "config: studies.mine"
    assert refused(images="~/flims") == (
        f"{place}.images: {home}/flims is not there (No such file or directory): correct the path."
    )
    (home / "empty").mkdir()
    assert refused(images="empty") == (
        f"{place}.images: {home}/empty holds no image: name a folder, zip or tar of pictures or "
        "DICOM."
    )
    write_pictures(home / "one", 1)
    assert f"{home}/one holds 1 image(s), and fewer than 30 cannot be split" in refused(
        images="one"
    )
    (home / "notes.txt").write_text("no archive")
    assert "is neither a folder nor an archive (.zip, .tar, .tar.gz, .tgz)" in refused(
        images="notes.txt"
    )
    (home / "torn").mkdir()
    (home / "torn" / "a.png").write_bytes(b"\x89PNG")
    assert "none of 1 images that were looked at can be read (a.png: " in refused(images="torn")
    assert refused(ood="~/films/il").startswith(f"{place}.ood: {home}/films/il is not there")
    assert refused(ood="svnh") == (
        f"{place}.in_distribution.mine.ood: unknown dataset 'svnh'; did you mean 'svhn'?"
    )
    assert "share files, so that the same images would be normal and not" in refused(ood="films")
    assert "share files" in refused(auxiliary="films/normal")
    assert "has an unknown key 'imagse'" in refused(imagse="films")
    assert refused(strategies=["rot_indst"]).endswith("did you mean 'rot_indist'?")
    assert "are 0.9 together: write shares that sum to 1" in refused(split={"train": 0.6})
    assert "studies.mine.size is 30" in refused(size=30)


def test_mistakes_of_groups(home):
    place = "config: studies.mine.group: the "
    assert refused(group="^im") == (
        f"{place}pattern '^im' has no bracket: put the part that names the patient into one, as in "
        r"'^(\d+)_'."
    )
    assert refused(group="(").startswith(f"{place}pattern '(' is not a regular expression (")
    assert refused(group="^(x)") == (
        f"{place}pattern '^(x)' finds no patient in the name im000.png: correct it."
    )
    assert "all images are of 1 group(s), and a group is never on two sides" in refused(
        group="(im)"
    )
    table = home / "patients.csv"
    told = {"csv": "patients.csv", "image": "file", "patient": "who"}
    assert refused(group=told).startswith(f"{place}table {table} cannot be read (No such file")
    table.write_text("file,patient\nim000.png,1\n", encoding="utf-8")
    assert f"{table} has no column 'who', only file, patient" in refused(group=told)
    assert f"{place}table {table} has no row whose file is im001.png" in refused(
        group={**told, "patient": "patient"}
    )


def test_a_study_named_as_something_else_is_refused(home):
    plain = config()
    plain["studies"] = {"cifar10": plain["studies"]["mine"]}
    with pytest.raises(UserError, match="makes a dataset cifar10, and the catalogue has one"):
        read_study(plain)
    rules = [p.read_text(encoding="utf-8") for p in (ROOT / "workflow").rglob("*") if p.is_file()
             and p.suffix in ("", ".smk")]  # fmt: skip
    names = set(re.findall(r"^rule (\w+):", "\n".join(rules), re.MULTILINE))
    assert names == RULES
    for name in ("plan", "table_mine"):
        plain["studies"] = {name: config()["studies"]["mine"]}
        with pytest.raises(UserError, match=f"`snakemake {name}` makes something else already"):
            read_study(plain)
    plain["studies"] = {"Mine": config()["studies"]["mine"]}
    with pytest.raises(UserError, match="write its name in small letters, digits and _"):
        read_study(plain)
