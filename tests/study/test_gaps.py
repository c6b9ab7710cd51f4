"""What is not there leaves a gap: which runs wait for it, and how it is told."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from ssl_ood.study.costs import describe_plan
from ssl_ood.study.gaps import RETRY_HOURS, describe_gaps, find_gaps, thawed, write_gaps

RUN = "natural-cifar10-rot_imgn-base-seed0"
IMAGENET = "ILSVRC2012_img_train.tar"


@pytest.fixture
def places(tmp_path) -> dict[str, str | list]:
    return {
        "results_dir": str(tmp_path / "results"),
        "downloads_dir": str(tmp_path / "downloads"),
        "archive_dirs": [str(tmp_path / "archives")],
    }


def mark(places, name, hours_ago=0.0):
    path = Path(places["results_dir"], "archives", f"{name}.failed.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {"time": time.time() - 3600 * hours_ago, "reason": "Nothing answers."}
    path.write_text(json.dumps(told))
    return path


def test_what_only_a_person_gets_is_a_gap_until_it_lies_there(thesis, load, places, tmp_path):
    study = load(thesis | places)
    gaps = find_gaps(study)
    (gap,) = gaps.before(study.runs[RUN])
    assert (gap.name, gap.files, gap.status) == ("imagenet", (IMAGENET,), "no_data")
    assert gap.bytes == 147_897_477_120
    assert "Register at image-net.org" in gap.todo
    assert not gaps.before(study.runs["natural-cifar10-none-base-seed0"])
    (tmp_path / "archives").mkdir()
    (tmp_path / "archives" / IMAGENET).touch()
    assert not find_gaps(study).before(study.runs[RUN])


def test_a_packed_set_needs_no_archive(thesis, load, places):
    study = load(thesis | places)
    packed = Path(places["results_dir"], "data", "imagenet", "train-32px-squash", "meta.json")
    packed.parent.mkdir(parents=True)
    packed.touch()
    assert not find_gaps(study).before(study.runs[RUN])


@pytest.mark.parametrize(("hours_ago", "is_gap"), [(0, True), (RETRY_HOURS + 1, False)])
def test_a_download_that_failed_is_a_gap_for_some_hours(thesis, load, places, hours_ago, is_gap):
    study = load(thesis | places)
    path = mark(places, "svhn", hours_ago)
    gaps = find_gaps(study)
    run = study.runs["natural-cifar10-none-base-seed0"]
    config = gaps.evaluation_config(run)
    absent = [s for s in config["ood"] if not s.get("available", True)]
    of_tables = [s["dataset"] for s in absent if not s.get("beside")]
    assert of_tables == (["svhn", "imagenet30"] if is_gap else ["imagenet30"])
    assert [(s["dataset"], s["size"]) for s in absent if s.get("beside")] == [("imagenet30", 256)]
    assert not gaps.before(run)
    spec = gaps.spec("table_negative_sampling")
    told = [text for text in spec["gaps"] if text.startswith("SVHN")]
    assert len(told) == is_gap
    if is_gap:
        assert f"Nothing answers. Delete {path} to try again at once." in told[0]
    assert not any("status" in r for r in spec["runs"] if r["run"] == run.id)
    assert {r["status"] for r in spec["runs"] if r["strategy"] == "imgn"} == {"no_data"}


def test_a_gap_of_a_set_beside_is_told_by_the_plan_and_the_table_that_shows_it(
    thesis, load, places
):
    study = load(thesis | places)
    mark(places, "lsun_resize", 0)
    gaps, target = find_gaps(study), study.targets["table_negative_sampling"]
    assert "lsun_resize" not in [gap.name for gap in gaps.of(target)]
    assert "LSUN_resize.tar.gz" not in " ".join(gaps.spec(target.name)["gaps"])
    told = describe_gaps(gaps, [target], {}, "hours")
    assert told.count("LSUN (resized): LSUN_resize.tar.gz is not there.") == 1
    assert "For it wait 0 trainings (0 hours) and 10 evaluations." in told
    shows = gaps.spec("table_protocol")["gaps"]
    assert len([gap for gap in shows if gap.startswith("LSUN (resized)")]) == 1


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"time": "now"}'])
def test_a_damaged_mark_is_none(thesis, load, places, text):
    mark(places, "svhn").write_text(text)
    gaps = find_gaps(load(thesis | places))
    assert "svhn" not in {gap.name for gap in gaps.sets.values()}


def test_weights_that_cannot_be_had_are_no_weights(thesis, load, places):
    mark(places, "moco_v2_imagenet")
    study = load(thesis | places)
    run = next(run for run in study.runs.values() if run.weights == "moco_v2_imagenet")
    statuses = [gap.status for gap in find_gaps(study).before(run)]
    assert statuses == ["no_data", "no_weights"]  # RSNA is not there, either


def test_a_run_waits_for_what_that_waits_for_which_it_starts_from(thesis, load, places, tmp_path):
    (tmp_path / "archives").mkdir()
    (tmp_path / "archives" / "rsna-pneumonia-detection-challenge.zip").touch()
    mark(places, "moco_v2_imagenet")
    study = load(thesis | places)
    started = "label_efficiency-rsna_labelled-none-rsna_con+labels_100-seed0"
    run = study.runs[started]
    assert run.initial.weights is None and not find_gaps(study).before(run)
    con = "label_efficiency-rsna_labelled-none-imagenet_con+labels_100-seed0"
    assert [gap.name for gap in find_gaps(study).before(study.runs[con])] == ["moco_v2_imagenet"]


def test_strict_has_no_gaps(thesis, load, places):
    gaps = find_gaps(load(thesis | places | {"strict": True}))
    assert not gaps.sets and not gaps.weights


def test_jobs_go_by_what_the_plan_has_seen(thesis, load, places):
    study = load(thesis | places)
    gaps = find_gaps(study)
    assert gaps.sets
    assert thawed(study, gaps.frozen()) == gaps


def test_the_plan_prices_every_gap(thesis, load, places):
    said = describe_plan(load(thesis | places), ["table_ood_auroc"])
    rows = {line.split()[0]: line.split()[1:] for line in said.splitlines()[1:3]}
    # All of ours have negatives of ImageNet; the ten of other methods can be trained.
    assert rows["table_ood_auroc"][:2] == ["10", "10"]
    assert f"ImageNet: {IMAGENET} (147.9 GB) is not there." in said
    hours = (2 + 2 * 32 / 23) * 50_000 * 500 / 600 / 3600  # `combined` has two negatives an image
    assert f"For it wait 4 trainings ({hours:.3g} GPU hours) and 0 evaluations." in said
    assert "RSNA" not in said


def test_targets_that_have_no_gap_any_more_leave_the_file(thesis, load, places, tmp_path):
    study, path = load(thesis | places), tmp_path / "gaps.json"
    targets = [study.targets["table_ood_auroc"], study.targets["table_rsna"]]
    write_gaps(find_gaps(study), targets, path)
    assert set(json.loads(path.read_text())) == {"table_ood_auroc", "table_rsna"}
    (tmp_path / "archives").mkdir()
    (tmp_path / "archives" / IMAGENET).touch()
    (tmp_path / "archives" / "one_class_test.tar").touch()
    write_gaps(find_gaps(study), targets[:1], path)
    assert set(json.loads(path.read_text())) == {"table_rsna"}
