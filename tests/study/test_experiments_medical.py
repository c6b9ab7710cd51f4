"""What chapters 5 and 7 add to a plan: composed variants, sources by dataset, runs from runs."""

from __future__ import annotations

import copy

import pytest

from ssl_ood.common.errors import UserError

PRETRAINED = "label_efficiency-rsna_labelled-none-{}+labels_{}-seed0"


def error_of(load, config) -> str:
    with pytest.raises(UserError) as error:
        load(config)
    return str(error.value)


def configs(load, config):
    return {name: run.training_config for name, run in load(config).runs.items()}


# ---- variants


def test_parts_of_a_variant_are_laid_one_over_the_other(thesis, load):
    thesis["variants"]["a"] = {"training": {"batch_size": 8, "lr_base": 1.0}}
    thesis["variants"]["b"] = {"training": {"lr_base": 2.0}, "views": {"rotation": 5}}
    named = ["a+b", "b+a"]
    thesis["tables"]["table_batch_size"]["variants"] = {"none": named}
    runs = load(thesis).runs
    first, second = (runs[f"rsna_contrastive-rsna-none-{v}-seed3"].training_config for v in named)
    assert (first["training"]["lr_base"], second["training"]["lr_base"]) == (2.0, 1.0)
    for settings in (first, second):
        assert settings["training"]["batch_size"] == 8
        assert settings["views"]["rotation"] == 5
        assert settings["training"]["epochs"] == 100  # the method's


def test_lists_in_a_list_of_variants_are_all_combinations(thesis, load):
    thesis["variants"] |= {"x": {"views": {"rotation": 5}}, "y": {"views": {"rotation": 6}}}
    thesis["figures"].pop("figure_label_efficiency")
    thesis["tables"]["table_label_efficiency"]["variants"] = {
        "none": [["random", "scratch"], ["labels_100"], ["x", "y"]]
    }
    thesis["variants"]["scratch"]["training"]["epochs"] = 3
    found = [run.variant for run in load(thesis).targets["table_label_efficiency"].runs]
    assert found == [
        f"{start}+labels_100+{turn}" for start in ("random", "scratch") for turn in "xy"
    ]


def test_a_learning_rate_stays_with_a_smaller_batch(thesis, load):
    """0.01 in table 6 of the paper of chapter 5, whatever the batch."""
    for name, run in load(thesis).runs.items():
        if run.method == "finetune":
            training = run.training_config["training"]
            rate = training["lr_base"] * training["batch_size"] / 256
            assert rate == pytest.approx(0.01), name
            assert training["batch_size"] == (64 if training.get("labels", 1e9) <= 500 else 128)


# ---- negatives


@pytest.mark.parametrize(
    ("home", "strategy", "negatives"),
    [
        ("rsna", "rot_both", [("rsna", "train", "rot90"), ("chexpert", "frontal", "rot90")]),
        ("rsna", "rot_outdomain", [("imagenet_100k", "train", "rot90")]),
        ("hyper_kvasir", "perm4_auxiliary", [("hyper_kvasir_unlabelled", "train", "perm4")]),
        ("hyper_kvasir", "perm4_outdomain", [("imagenet_100k", "train", "perm4")]),
        ("lag", "pixperm_both",
         [("lag", "train", "pixel_shuffle"), ("imagenet_100k", "train", "pixel_shuffle")]),
    ],
)  # fmt: skip
def test_sources_are_what_the_study_names(thesis, load, home, strategy, negatives):
    run = load(thesis).runs[f"medical-{home}-{strategy}-base-seed0"]
    assert [tuple(pair.values()) for pair in run.training_config["negatives"]] == negatives
    assert [(s.dataset, s.split) for s in run.sources] == [pair[:2] for pair in negatives]
    assert {s.size for s in run.sources} == {256}


def test_a_source_that_the_study_does_not_name_is_a_sentence(thesis, load):
    thesis["figures"]["figure_negative_sources"]["strategies"]["lag"].append("rot_outdomain")
    assert error_of(load, thesis) == (
        "config: strategy rot_outdomain takes negatives from the out_domain of lag, but "
        "studies.medical.in_distribution.lag names none: add it."
    )


def test_strategies_of_a_target_may_differ_by_dataset(thesis, load):
    found = load(thesis)
    runs = [(r.in_distribution, r.strategy) for r in found.targets["table_medical"].runs]
    assert runs == [("hyper_kvasir", "perm4_both"), ("lag", "rot_both")]
    thesis["tables"]["table_medical"]["strategies"] = {"lag": ["none"]}
    runs = [(r.in_distribution, r.strategy) for r in load(thesis).targets["table_medical"].runs]
    assert runs == [("lag", "none")]  # a dataset that is not named has no strategy


def test_settings_of_chapter_7_are_those_of_its_table(thesis, load):
    runs = load(thesis).runs
    found = {home: runs[f"medical-{home}-none-base-seed0"].training_config
             for home in ("rsna", "hyper_kvasir", "lag")}  # fmt: skip
    assert [s["training"]["lr_base"] for s in found.values()] == [0.002, 0.001, 0.001]
    assert {s["training"]["epochs"] for s in found.values()} == {700}
    assert {s["views"]["local_size"] for s in found.values()} == {96}
    assert [s["views"].get("rotate_positives", False) for s in found.values()] == [
        False, True, False,
    ]  # fmt: skip


# ---- splits


@pytest.mark.parametrize("seed", range(5))
def test_the_seed_chooses_the_split(thesis, load, seed):
    run = load(thesis).runs[f"rsna_contrastive-rsna-none-base-seed{seed}"]
    assert (run.train.split, run.test.split) == (f"train_{seed}", f"test_{seed}")
    assert (run.training_config["train_split"], run.training_config["test_split"]) == (
        run.train.split, run.test.split,
    )  # fmt: skip
    assert [s.dataset for s in run.ood] == ["rsna_opacity", "rsna_not_normal"]


def test_a_seed_without_a_split_is_a_sentence(thesis, load):
    thesis["tables"]["table_rsna_contrastive"]["seeds"] = [0, 5]
    assert error_of(load, thesis).startswith("Dataset rsna has no split 'train_5'")


def test_a_classifier_is_trained_on_labels_that_it_is_not_tested_on(thesis, load):
    run = load(thesis).runs[PRETRAINED.format("random", 100)]
    assert (run.train.split, run.test.split) == ("train", "test_normal")
    assert [(s.dataset, s.split) for s in run.ood] == [("rsna_labelled_abnormal", "test")]


# ---- what a training starts from


def test_runs_start_from_what_their_variant_names(thesis, load):
    runs = load(thesis).runs
    started = {
        "imagenet_con": {"run": "rsna_pretraining-rsna_labelled-none-base-seed0"},
        "rsna_con": {"run": "rsna_pretraining-rsna_labelled-none-scratch-seed0"},
        "imagenet_classifier": {"weights": "resnet50_imagenet"},
        "random": None,
    }
    for variant, initial in started.items():
        run = runs[PRETRAINED.format(variant, 1000)]
        assert run.training_config.get("initial") == initial
        assert (run.initial.id if run.initial else None) == (initial or {}).get("run")
        assert run.weights == (initial or {}).get("weights")
        assert "initial" not in run.training_config["training"]
    base = runs["rsna_pretraining-rsna_labelled-none-base-seed0"]
    assert (base.weights, base.initial) == ("moco_v2_imagenet", None)
    assert runs["rsna_pretraining-rsna_labelled-none-scratch-seed0"].weights is None


def test_a_run_that_others_start_from_is_there_once_and_before_them(thesis, load):
    for name in ("table_pretraining", "table_claims_pretraining", "table_label_efficiency"):
        thesis["tables"].pop(name)
    found = load(thesis)
    order = list(found.runs)
    for run in found.runs.values():
        if run.initial:
            assert order.index(run.initial.id) < order.index(run.id)
            assert found.runs[run.initial.id].training_config == run.initial.training_config
    pretrained = [name for name in order if name.startswith("rsna_pretraining")]
    assert len(pretrained) == 2  # that no table or figure shows
    shown = {run.id for target in found.targets.values() for run in target.runs}
    assert not shown & set(pretrained)


def test_the_seed_of_a_run_is_that_of_what_it_starts_from(thesis, load):
    for run in load(thesis | {"seeds": [3, 4]}).runs.values():
        assert run.initial is None or run.initial.seed == run.seed


def test_an_edited_pretraining_is_not_in_the_config_of_the_fine_tuning(thesis, load):
    """It reaches the fine-tuning as a changed file, not as a changed setting."""
    before, after = configs(load, thesis), copy.deepcopy(thesis)
    after["variants"]["scratch"]["training"]["epochs"] = 7
    changed = {n for n, config in configs(load, after).items() if config != before[n]}
    assert changed == {"rsna_pretraining-rsna_labelled-none-scratch-seed0"}


@pytest.mark.parametrize(
    ("initial", "sentence"),
    [
        ("weights/moco", "config: variants.rsna_con.training.initial: unknown weights 'moco'"),
        ("run/natural/base",
         "config: label_efficiency/rsna_con+labels_100 of rsna_labelled starts from a run of study "
         "natural, which has no rsna_labelled (it has cifar10, cifar100): add it there, or start "
         "from something else."),
        ("run/label_efficiency/rsna_con",
         "config: the run label_efficiency/rsna_con of rsna_labelled would start from itself: "
         "change a training.initial."),
        ("run/rsna_pretraining", "config: variants.rsna_con.training.initial is "
         "'run/rsna_pretraining': write random, weights/NAME or run/STUDY/VARIANT."),
        ("imagenet", "config: variants.rsna_con.training.initial is 'imagenet': write random, "
         "weights/NAME or run/STUDY/VARIANT."),
    ],
)  # fmt: skip
def test_what_nothing_can_start_from_is_a_sentence(thesis, load, initial, sentence):
    thesis["variants"]["rsna_con"]["training"]["initial"] = initial
    assert error_of(load, thesis).startswith(sentence)


def test_a_run_starts_from_its_own_backbone_only(thesis, load):
    other = copy.deepcopy(thesis)
    other["methods"]["finetune"]["backbone"]["name"] = "resnet18"
    # Of which a classifier starts from weights, and is found before.
    del other["tables"]["table_rsna_contrastive"]["baselines"]
    assert error_of(load, other) == (
        "config: label_efficiency-rsna_labelled-none-imagenet_con+labels_100-seed0 starts from the "
        "run rsna_pretraining-rsna_labelled-none-base-seed0, which has the backbone resnet50, not "
        "resnet18: give both the same."
    )
    thesis["methods"]["moco"]["backbone"]["name"] = "resnet18"
    assert error_of(load, thesis) == (
        "config: rsna_contrastive-rsna-none-base-seed0 starts from the weights moco_v2_imagenet, "
        "which has the backbone resnet50, not resnet18: give both the same."
    )


# ---- what tables and the scoring are told


def test_the_spec_says_what_another_seed_is(thesis, load):
    found = load(thesis)
    repeats = {name: found.spec(name)["repeats"] for name in found.targets}
    splits = {name for name, word in repeats.items() if word == "train/test splits"}
    assert splits == {
        "table_rsna_contrastive", "table_rsna_compared", "table_batch_size",
        "table_augmentation", "table_claims_contrastive", "figure_score_distributions",
        "figure_views_rsna", "table_shortcuts_contrastive",
    }  # fmt: skip
    assert set(repeats.values()) == {"train/test splits", "seeds"}


def test_a_study_may_be_scored_in_its_own_way(thesis, load):
    found, top = load(thesis), thesis["evaluation"]
    own = {
        "table_ood_auroc": {},
        "table_medical": {"scores": ["mahalanobis", "cosine_max"]},
        "table_pretraining": {"scores": ["mahalanobis"], "knn": 1},
        "figure_label_efficiency": {"scores": ["logit"], "knn": 0},
    }
    for name, changes in own.items():
        assert found.spec(name)["evaluation"] == top | changes
        for run in found.targets[name].own:
            assert found.evaluation_config(run)["evaluation"] == top | changes
    baselines = found.spec("table_ood_auroc")["baselines"]
    assert baselines["CSI"]["evaluation"] == top | {"scores": ["csi", "cosine_max"]}
    for run in found.targets["table_ood_auroc"].baselines["CSI"]:
        assert found.evaluation_config(run)["evaluation"] == baselines["CSI"]["evaluation"]


def test_a_method_of_other_splits_is_shown_by_the_names_of_the_table(thesis, load):
    """Table 5.2 has five splits; the classifier with all labels has one, and a set of its own."""
    for seeds in ([0], [7, 3]):
        found = load(thesis | {"seeds": seeds})
        told = found.spec("table_rsna_contrastive")["baselines"]
        classifier = told["Automated Abnormality Classification"]
        assert classifier["stands_for"] == {
            "in_distribution": {"rsna": "rsna_labelled"},
            "ood": {"pooled": "rsna_labelled_abnormal"},
        }
        run = "label_efficiency-rsna_labelled-none-imagenet_classifier+labels_all-seed{}"
        assert [r["run"] for r in classifier["runs"]] == [run.format(seed) for seed in seeds]
        assert "stands_for" not in told["UAE"] and len(told["UAE"]["runs"]) == 5


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("in_distribution", {"rsna": "rsna_labeled"}, "did you mean 'rsna_labelled'"),
        ("in_distribution", {"lag": "rsna_labelled"}, "in-distribution dataset"),
        ("ood", {"pooled": "rsna_opacity"}, "OOD set"),
        ("ood", {"all": "rsna_labelled_abnormal"}, "OOD set"),
        ("seeds", "splits", "'table' or 'config'"),
    ],
)
def test_a_stand_in_that_is_not_there_is_refused(thesis, load, key, value, sentence):
    baselines = thesis["tables"]["table_rsna_contrastive"]["baselines"]
    baselines["Automated Abnormality Classification"][key] = value
    with pytest.raises(UserError) as error:
        load(thesis)
    place = "tables.table_rsna_contrastive.baselines.Automated Abnormality Classification"
    assert f"{place}.{key}" in str(error.value) and sentence in str(error.value)


def test_the_runs_of_a_spec_are_spelled_out(thesis, load):
    runs = load(thesis).spec("table_label_efficiency")["runs"]
    assert len(runs) == 24
    first = runs[0]
    assert first["run"] == PRETRAINED.format("imagenet_con", 100)
    assert (first["variant"], first["seed"]) == ("imagenet_con+labels_100", 0)
    assert first["ood"] == ["rsna_labelled_abnormal"]
    assert first["training"]["labels"] == 100
    assert load(thesis).spec("table_label_efficiency")["train_counts"] == {"rsna_labelled": 21152}


# ---- how many devices a training can use


@pytest.mark.parametrize("available", [0, 1, 2, 3, 4, 8, 16])
def test_a_training_takes_the_most_devices_that_its_batch_can_be_shared_out_to(
    thesis, load, available
):
    runs = load(thesis).runs

    def devices(study, variant="base"):
        return {
            run.devices(available)
            for run in runs.values()
            if run.study == study and run.variant == variant
        }

    of_256 = {0: 0, 1: 1, 2: 2, 3: 2, 4: 4, 8: 8, 16: 16}[available]
    assert devices("natural") == devices("medical") == {of_256}
    # Batch normalisation takes groups of 32 images: four of a batch of 128, two of 64.
    assert devices("rsna_contrastive") == {min(of_256, 4)}
    assert devices("rsna_contrastive", "batch_64") == {min(of_256, 2)}
    assert devices("rsna_contrastive", "batch_256") == {min(of_256, 8)}
    # Fine-tuning normalises over its whole batch.
    assert devices("label_efficiency", "random+labels_100") == {min(of_256, 1)}
