"""Every choice that the thesis leaves open is a row of resources/protocol.csv, as the config has
it."""

from __future__ import annotations

import csv
from dataclasses import asdict
from pathlib import Path

import pytest

from ssl_ood.common.errors import UserError
from ssl_ood.datasets.catalogue import load_catalogue
from ssl_ood.report.make import Files, make_table
from ssl_ood.study.protocol import page, read_protocol, settings_tree, value_at
from ssl_ood.study.settings import Config

ROOT = Path(__file__).parents[2]
# What the thesis says plainly, by the line of its text that says it.
SAID = {
    "methods.dino.training.epochs": 1350, "methods.dino.training.teacher_temperature": 1350,
    "methods.dino.views.positive": 1346, "methods.dino.views.negative": 1346,
    "methods.dino.views.global_size": 1346, "methods.dino.views.local_size": 1346,
    "methods.dino.backbone.name": 1346, "methods.dino.head.out": 1350,
    "methods.moco.training.epochs": 946, "methods.moco.training.batch_size": 946,
    "methods.moco.training.temperature": 946, "methods.moco.views.size": 999,
    "methods.moco.views.rotation": 1000, "methods.moco.views.flip_p": 1001,
    "methods.moco.views.jitter": 1002, "methods.moco.backbone.name": 946,
    "methods.moco.head.out": 946, "methods.finetune.training.weight_decay": 1050,
    "methods.finetune.training.sgd_momentum": 1052, "methods.finetune.views.resize": 1038,
    "methods.finetune.views.size": 1039, "methods.finetune.views.flip_p": 1040,
    "methods.finetune.views.jitter": 1041, "methods.finetune.views.rotation": 1042,
    "methods.finetune.views.shift": 1042, "methods.finetune.views.zoom": 1042,
    "methods.finetune.backbone.name": 983,
    "studies.natural.in_distribution.cifar10.ood": 1295,
    "studies.natural.in_distribution.cifar100.ood": 1303,
    "studies.rsna_contrastive.evaluation.scores": 930,
    "studies.rsna_contrastive.in_distribution.rsna.ood": 959,
    "studies.rsna_contrastive.in_distribution.rsna.train_split": 959,
    "studies.rsna_contrastive.in_distribution.rsna.test_split": 959,
    "studies.label_efficiency.evaluation.scores": 983,
    "studies.label_efficiency.in_distribution.rsna_labelled.ood": 983,
    "studies.label_efficiency.in_distribution.rsna_labelled.test_split": 983,
    "studies.medical.override.training.epochs": 1674,
    "studies.medical.override.training.teacher_temperature": 1674,
    "studies.medical.override.views.local_size": 1674,
    "studies.medical.in_distribution.rsna.ood": 1660,
    "studies.medical.in_distribution.rsna.auxiliary": 1672,
    "studies.medical.in_distribution.rsna.override.training.lr_base": 1674,
    "studies.medical.in_distribution.hyper_kvasir.ood": 1654,
    "studies.medical.in_distribution.hyper_kvasir.auxiliary": 1672,
    "studies.medical.in_distribution.hyper_kvasir.override.training.lr_base": 1674,
    "studies.medical.in_distribution.lag.ood": 1656,
    "studies.medical.in_distribution.lag.override.training.lr_base": 1674,
    "evaluation.scores": 1385, "evaluation.knn": 1182,
}  # fmt: skip
# Names and numbers of chapters, and what is evaluated though no number of the thesis asks for it.
NOT_OF_THE_THESIS = {
    "studies.natural.in_distribution.cifar10.beside",
    "studies.natural.in_distribution.cifar100.beside",
    "studies.rsna_contrastive.evaluation.knn",  # of one label: none is measured
    "studies.rsna_pretraining.evaluation.scores",  # against no OOD set
    "studies.rsna_pretraining.in_distribution.rsna_labelled.ood",
    "studies.label_efficiency.evaluation.knn",
}  # fmt: skip


@pytest.fixture(scope="module")
def choices():
    return read_protocol()


def leaves(place, value):
    """The dotted places of all values below one."""
    if isinstance(value, dict):
        return {leaf for key, below in value.items() for leaf in leaves(f"{place}.{key}", below)}
    return {place}


def test_our_default_is_the_value_of_its_setting(choices, thesis):
    config = Config.model_validate(thesis)
    tree = settings_tree(config, load_catalogue(ROOT / config.catalogue))
    for choice in choices:
        if choice.setting:
            assert value_at(tree, choice.setting) == choice.value, choice.id
    with pytest.raises(KeyError):
        value_at(tree, "methods.dino.training.epoch")


def test_every_setting_is_said_by_the_thesis_or_is_a_choice(choices, thesis):
    """A new setting is given a row, or the line of the thesis that says it."""
    chosen = {choice.setting for choice in choices}
    found = {
        leaf for part in ("methods", "studies", "evaluation") for leaf in leaves(part, thesis[part])
    }
    found = {leaf for leaf in found if not leaf.endswith((".method", ".chapter"))}
    # Of the methods that it compares with, and of chapter 4's, it says nothing: their settings are
    # of their papers.
    compared = thesis["methods"].keys() - {"dino", "moco", "finetune"}
    others = tuple(f"methods.{name}." for name in compared)
    others += tuple(
        f"studies.{name}."
        for name, study in thesis["studies"].items()
        if study["method"] in compared or study.get("chapter") == 4
    )
    found = {leaf for leaf in found if not leaf.startswith(others)}
    assert found - chosen - SAID.keys() - NOT_OF_THE_THESIS == set()
    assert (SAID.keys() | NOT_OF_THE_THESIS) - found == set()
    assert SAID.keys() & chosen == set()


def test_other_readings_are_variants_sets_beside_or_metrics(choices, thesis):
    variants = {name for choice in choices for name in choice.variants}
    second = {name for choice in choices for name in choice.second}
    assert variants - thesis["variants"].keys() == set()
    studies = thesis["studies"].values()
    beside = {
        name
        for study in studies
        for entry in study["in_distribution"].values()
        for name in entry.get("beside", ())
    }
    assert second - beside == {"knn_accuracy_majority", "occupied_soft_classes_train"}
    assert beside - second == set()


def test_every_other_reading_of_chapter_6_is_worth_a_row(choices, thesis, load):
    """A variant that a choice of chapter 6 declares is measured, and no other."""
    target = load(thesis).targets["table_protocol"]
    shown = {run.variant for run in target.runs} - {"base"}
    assert shown == {v for c in choices if c.chapters != "5" for v in c.variants}


def test_a_variant_of_a_choice_sets_what_its_row_names(choices, thesis):
    method = "methods.dino."
    for choice in [choice for choice in choices if choice.setting.startswith(method)]:
        setting = choice.setting.removeprefix(method)
        if choice.id == "learning_rate":  # follows the batch
            setting = "training.batch_size"
        for variant in choice.variants:
            value = value_at(thesis["variants"][variant], setting)
            assert value != choice.value, (choice.id, variant)


def test_the_dataset_of_a_choice_is_the_one_whose_setting_it_is(choices):
    datasets = {choice.id: choice.dataset for choice in choices}
    assert (datasets["lsun"], datasets["texture"], datasets["fit_ood"]) == ("lsun", "texture", "")


def test_a_choice_says_where_to_look(choices):
    for choice in choices:
        assert choice.thesis, choice.id
        assert bool(choice.files) == (choice.sure != "none") or choice.id == "taus", choice.id
        assert choice.place or not choice.line, choice.id
        assert not choice.why.endswith("."), choice.id


def test_the_page_has_every_choice_under_its_chapter(choices):
    text = page(choices)
    for choice in choices:
        (line,) = [row for row in text.splitlines() if row.startswith(f"| `{choice.id}` |")]
        assert line.replace("\\|", "").count("|") == 9
    assert text.count("## Chapter") == 5 and "## All chapters" in text
    assert "`128`, `methods.dino.training.batch_size`" in text


def test_the_table_is_made_from_the_rows_alone(choices, tmp_path, thesis):
    spec = {
        "name": "table_protocol_choices", "kind": "table", "form": "protocol", "runs": [],
        "options": thesis["tables"]["table_protocol_choices"], "show_reported": True,
        "evaluation": thesis["evaluation"],
    }  # fmt: skip
    make_table(spec, Files(reported=ROOT / "resources" / "reported"), tmp_path / "t")
    with open(tmp_path / "t.csv", newline="", encoding="utf-8") as file:
        assert list(csv.DictReader(file)) == [asdict(choice) for choice in choices]
    printed = (tmp_path / "t.md").read_text(encoding="utf-8")
    assert f"{len(choices)} choices on which the thesis is silent or unclear" in printed
    assert "| blur_scaled |" in printed


FAULTS = [
    ({"sure": "maybe"}, "row 2 is wrong at sure: 'maybe' is not one of"),
    ({"setting": "a..b"}, "row 2 is wrong at setting: 'a..b' does not match"),
    ({"scope": "chapter 6"}, "row 2 is wrong at scope: 'chapter 6' does not match"),
    ({"variant": "a, b"}, "row 2 is wrong at variant: 'a, b' does not match"),
    ({"beside": "lsun  svhn"}, "row 2 is wrong at beside: 'lsun  svhn' does not match"),
    ({"id": "lsun"}, "has the choice lsun twice: rename one."),
]


@pytest.mark.parametrize(("change", "words"), FAULTS, ids=lambda v: str(v)[:20])
def test_a_faulty_file_is_a_sentence(choices, tmp_path, change, words):
    rows = [asdict(choice) for choice in choices[:2]]
    rows[1] |= change
    with open(tmp_path / "p.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(UserError) as error:
        read_protocol(tmp_path / "p.csv")
    assert words in str(error.value)


def test_a_file_that_is_not_there_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match="There is no file"):
        read_protocol(tmp_path / "p.csv")
