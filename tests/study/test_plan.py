"""The plan before spending, and the account after it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from ssl_ood.common.errors import UserError
from ssl_ood.methods.base import method_of, read_run
from ssl_ood.study import costs as plan
from ssl_ood.study.commands import read_experiments
from ssl_ood.study.networks import size_of
from ssl_ood.study.runs import needed_sets

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")
NONE, TWO = 14 / 23, 32 / 23  # cost of an image without negatives and with two, against one
TOLD = {
    "seconds": 7200.0, "images_per_second": 500.0, "devices": 2, "resumed_at_steps": [10, 20],
    "repeated_steps": 3, "host_peak_bytes": 2e9, "device_peak_bytes": 3e9, "device": "a GPU",
}  # fmt: skip


@pytest.fixture
def study(thesis, load, tmp_path):
    """The thesis-scale experiments with results in an empty folder, whatever data are there."""
    places = {"results_dir": str(tmp_path), "downloads_dir": str(tmp_path)}
    return load(thesis | places | {"strict": True})


def end(study, run, **changes):
    """Writes what a training leaves at its end."""
    folder = Path(study.config.results_dir) / "runs" / run.id
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(run.training_config))
    (folder / "train.json").write_text(json.dumps(TOLD | changes))


@pytest.mark.parametrize("scale", ["thesis", "demo"])
def test_parameters_are_those_of_the_network(request, scale, load):
    runs = load(request.getfixturevalue(scale)).runs.values()
    for run in {run.study: run for run in runs}.values():
        settings = read_run(run.training_config)
        network = method_of(settings)(settings, CPU).trained
        real = sum(p.numel() for p in network.parameters())
        assert size_of(run.settings).parameters == real, run.id


def test_a_run_that_tables_share_counts_once_in_the_sum(study):
    lines = plan.describe_plan(study, ["table_ood_auroc", "table_negative_sampling"]).splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines[1:4]}
    # 50,000 images, 500 epochs, 600 images per second; two negatives an image of both `combined`,
    # none of `none`.
    hours = 50_000 * 500 / 600 / 3600
    # Beside its own four runs, five methods on both datasets.
    epochs_times_work = 200 * (0.02 + 0.065 + 0.16) + 500 * 0.1 + 1000 * 0.16
    others = 2 * 50_000 * epochs_times_work / 600 / 3600
    ours = (2 + 2 * TWO) * hours
    assert rows["table_ood_auroc"] == ["14", "14", f"{ours + others:.3g}"]
    assert rows["table_negative_sampling"] == ["10", "10", f"{(9 + NONE) * hours:.3g}"]
    both = (NONE + 10 + 2 * TWO) * hours + others
    assert rows["together"] == ["23", "23", f"{both:.3g}"]


def test_what_is_optional_stands_beside_the_sum(study):
    said = plan.describe_plan(study, [])
    lines = {line.split("  ")[0]: line.split()[-3:] for line in said.splitlines() if "  " in line}
    assert not any(line.startswith("table_protocol ") for line in said.splitlines())
    # rot_imgn 13 times and perm4_imgn twice, `none` once; halves of a batch are one negative, too.
    hours = 50_000 * 500 / 600 / 3600
    optional = f"{(16 + NONE) * hours:.3g}"
    assert lines["more for table_protocol (optional)"] == ["17", "17", optional]
    assert lines["together"][0] == "119"
    page = " ".join((ROOT / "docs" / "protocol.md").read_text(encoding="utf-8").split())
    assert f"17 trainings that no other table needs, {optional} GPU hours" in page
    assert f"beside the {lines['together'][2]} of all" in page
    alone = plan.describe_plan(study, ["table_protocol"]).splitlines()
    assert alone[1].split()[:2] == ["table_protocol", "23"] and "optional" not in alone[2]


def test_the_account_has_what_is_optional_once_it_is_trained(study):
    def rows():
        return {row["target"]: (row["runs"], row["trained"]) for row in plan.costs(study)}

    shared, own = (study.runs[f"natural-cifar10-rot_imgn-{v}-seed0"] for v in ("base", "warmup_10"))
    end(study, shared)
    assert "table_protocol" not in rows() and rows()["together"] == (119, 1)
    end(study, own)
    assert rows()["table_protocol"] == (23, 2) and rows()["together"] == (119 + 17, 2)


def test_an_image_costs_what_its_views_and_those_of_its_negatives_cost(study):
    """Pixels through a network, a pass back twice one forward: 2 + 8 views of the student and 2 of
    the teacher, 1 + 8 of a negative; 256 and 128 pixels a side, so that a local view is a quarter.
    """
    positive, negative = 3 * (2 + 8 / 4) + 2, 3 * (1 + 8 / 4)
    costs = [(positive + count * negative) / (positive + negative) for count in (0, 1, 2)]
    assert costs == pytest.approx([NONE, 1, TWO])
    runs = study.runs
    for strategy, expected in zip(("none", "rot_imgn", "combined"), costs, strict=True):
        assert runs[f"natural-cifar10-{strategy}-base-seed0"].settings.work == expected
    # Shared out, the sources of chapter 7 give one negative per image together.
    both = runs["medical-lag-rot_both-base-seed0"].settings
    assert (len(both.negatives), both.negatives_an_image, both.work) == (2, 1, 1)
    assert runs["rsna_contrastive-rsna-none-base-seed0"].settings.work == 1


def test_what_is_trained_is_not_planned_until_its_settings_change(study):
    run = study.targets["table_negative_sampling"].runs[0]
    end(study, run)
    assert run not in plan.to_train(study, study.runs.values())
    run.training_config["training"]["epochs"] += 1
    assert run in plan.to_train(study, study.runs.values())


def test_a_measured_speed_comes_before_the_assumed_one(study):
    first, second = study.targets["table_negative_sampling"].runs[:2]
    end(study, first)  # 500 images per second on two devices
    hours = plan.device_hours(study, second, plan.speeds(study))
    # The first has no negatives, of which the second has one an image.
    assert hours == pytest.approx(50_000 * 500 / (250 * NONE) / 3600)


def test_the_speed_of_a_processor_says_nothing_of_a_gpu(study):
    end(study, study.targets["table_negative_sampling"].runs[0], device_peak_bytes=None)
    assert plan.speeds(study) == {}


def test_disk_is_what_the_packed_sets_and_runs_take(study):
    run = study.targets["figure_views"].runs[0]
    disk = plan.disk_needed(study, [run])
    images = {s.path: study.count(s) for s in needed_sets(run)}
    assert disk.packed == sum(n * (256 if "256px" in p else 32) ** 2 * 3 for p, n in images.items())
    assert disk.checkpoints == pytest.approx(3 * 4 * 4 * 26.6e6, rel=0.1)
    assert disk.runs > 2 * 4 * 26e6 + 60_000 * 384 * 4
    assert disk.unknown == ()


def test_datasets_that_nobody_can_fetch_are_named(study):
    said = plan.describe_plan(study, ["table_ood_auroc"])
    assert "Datasets that the workflow fetches itself: cifar10, cifar100" in said
    assert "imagenet: ILSVRC2012_img_train.tar" in said


def test_an_archive_is_listed_once_whatever_sets_come_out_of_it(study):
    said = plan.describe_plan(study, [])
    for file in ("rsna-pneumonia-detection-challenge.zip", "ILSVRC2012_img_train.tar"):
        assert said.count(file) == 1
    (fetched,) = [line for line in said.splitlines() if line.startswith("Datasets that")]
    names = fetched.rstrip(".").partition(": ")[2].split(", ")
    assert len(names) == len(set(names))
    assert {"hyper_kvasir", "hyper_kvasir_unlabelled", "moco_v2_imagenet"} <= set(names)
    assert "hyper_kvasir_polyp" not in names  # out of the archive of hyper_kvasir


def test_a_classifier_sees_the_images_that_it_has_labels_of(study):
    few, every = (
        study.runs[f"label_efficiency-rsna_labelled-none-random+labels_{labels}-seed0"]
        for labels in (100, "all")
    )
    assert plan.device_hours(study, few, {}) == pytest.approx(100 * 50 / 600 / 3600)
    assert plan.device_hours(study, every, {}) == pytest.approx(21152 * 50 / 600 / 3600)


def test_a_target_costs_what_its_runs_start_from_too(study):
    """Who asks for the figure waits for the pre-trainings."""
    lines = plan.describe_plan(study, ["figure_label_efficiency"]).splitlines()
    pretraining = 2 * 21152 * 100 / 600 / 3600
    labels = [100, 500, 1000, 5000, 10000, 21152]
    tuning = 4 * sum(labels) * 50 / 600 / 3600
    assert lines[1].split() == [
        "figure_label_efficiency", "26", "26", f"{pretraining + tuning:.3g}",
    ]  # fmt: skip


def test_an_unknown_target_is_a_sentence(study):
    with pytest.raises(UserError, match="no table or figure 'table_x': there are table_ood_auroc"):
        plan.describe_plan(study, ["table_x"])


def test_steps_that_were_done_in_vain_cost_too(study):
    run = study.targets["table_pretraining"].runs[0]
    end(study, run, steps=100, repeated_steps=25, seconds=3600.0, devices=4)
    row = next(row for row in plan.costs(study) if row["target"] == "table_pretraining")
    assert row["training_hours"] == pytest.approx(1.25)
    assert row["device_hours"] == pytest.approx(5.0)


def test_costs_are_those_that_the_trainings_told(study):
    runs = study.targets["table_ood_auroc"].runs
    end(study, runs[0])
    end(study, runs[1], device_peak_bytes=None, device="cpu")
    folder = Path(study.config.results_dir) / "benchmarks" / "evaluate"
    folder.mkdir(parents=True)
    (folder / f"{runs[0].id}.jsonl").write_text('{"s": 1800.0}\n')
    row = plan.costs(study)[0]
    assert row["target"] == "table_ood_auroc"
    assert (row["runs"], row["trained"]) == (14, 2)
    assert (row["training_hours"], row["device_hours"], row["evaluation_hours"]) == (4.0, 8.0, 0.5)
    assert (row["interruptions"], row["repeated_steps"]) == (4, 6)
    assert (row["host_peak_gb"], row["device_peak_gb"]) == (2.0, 3.0)
    assert row["devices"] == "a GPU; cpu"


def test_a_faulty_config_file_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [")
    with pytest.raises(UserError, match="is not valid YAML"):
        read_experiments(["config.yaml", str(broken)])
    with pytest.raises(UserError, match="cannot be read"):
        read_experiments([str(tmp_path / "missing.yaml")])
    assert read_experiments(["config.yaml", "profiles/demo/study.yaml"]).runs
