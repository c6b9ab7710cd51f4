"""From config to runs: how many there are, and which of them an edit trains again."""

from __future__ import annotations

import copy

import pytest

from ssl_ood.common.errors import UserError
from ssl_ood.evaluation.measure import OODSet
from ssl_ood.study import layers
from ssl_ood.study.runs import needed_sets, with_initial

STRATEGIES = [
    "none", "imgn", "rot_imgn", "rot360_imgn", "dti", "perm16_imgn", "perm4_imgn", "rot_dti",
    "pixperm_imgn", "rot_indist", "combined",
]  # fmt: skip


# The methods that tables 6.1 and 7.1 compare with, and the flows of table 1.1 with backgrounds.
FLOWS = ["likelihood-fashion_mnist", "likelihood_colour-cifar10"]
BASELINES = (
    [
        f"natural_{method}-{home}"
        for method in ("supervised", "geometric", "rotation", "simclr", "csi")
        for home in ("cifar10", "cifar100")
    ]
    + FLOWS
    + ["medical_uae-rsna"]
)
# Chapter 5: five splits whatever the seeds; what a classifier starts from, and its labels.
CONTRASTIVE = ["base", "batch_64", "batch_256", "crop_0.4", "rotation_10", "jitter_0.25"]
INITIAL = ["imagenet_con", "rsna_con", "imagenet_classifier", "random"]
LABELS = [100, 500, 1000, 5000, 10000, "all"]
# Other readings of chapter 6, each trained where it is one.
PROTOCOL = [
    *(f"rot_imgn-{variant}" for variant in (
        "as_written_batch", "warmup_10", "norm_last_layer", "teacher_temperature_0.04",
        "position_timm", "cls_token_timm", "bfloat16", "float32", "first_global_negative",
        "shift_on_image", "local_scale_dino", "blur_unscaled", "as_written",
    )),
    "none-frozen_head", "perm4_imgn-shift_on_image", "perm4_imgn-shift_never_identity",
    "combined-negatives_shared",
]  # fmt: skip
# Chapter 4, one table of pretext tasks on one network, and that network untrained.
PRETEXT = [
    *(f"{task}-cifar10-none-base" for task in ("rotation", "inpainting", "patches", "jigsaw",
                                               "simclr", "moco", "npid", "byol", "simsiam",
                                               "swav", "dino")),
    "npid-cifar10-none-noise_all", "rotation-cifar10-none-untrained",
]  # fmt: skip
# What table 7.2 compares with, in a table of its own.
COMPARED = [
    f"medical_{method}-{home}-none-base"
    for method in ("uae", "ccd", "igd", "ccd_igd", "cavga") for home in ("hyper_kvasir", "lag")
]  # fmt: skip
# What table 6.1 has that is written after an abstract.
MTL = [f"natural_mtl-{home}-none-base" for home in ("cifar10", "cifar100")]
# Of table 5.2, which has five splits whatever the seeds.
SPLIT_RIVALS = ["alpha_gan", "one_class_gan"]
OBJECTS = ["base", "imagenet_classifier"]  # published weights of section 2.2.6
BUDGET = 1200  # forward passes of it over every image
# Chapter 7: tables 7.1 to 7.3 and the figure of where negatives come from.
BOTH = ["rot_both", "rot360_both", "perm4_both", "perm16_both", "pixperm_both"]
MEDICAL = {
    "rsna": ["none", *BOTH, "rot_indist", "rot_auxiliary", "rot_outdomain"],
    "lag": ["none", *BOTH, "rot_indist", "rot_auxiliary"],
    "hyper_kvasir": ["none", *(s for s in BOTH if s != "rot360_both"), "perm4_indist",
                     "perm4_auxiliary", "perm4_outdomain"],
}  # fmt: skip


@pytest.mark.parametrize("seeds", [[0], [0, 1, 2], [7, 3]])
def test_runs_of_the_thesis_are_each_there_once(thesis, load, seeds):
    found = load(thesis | {"seeds": seeds})
    names = [f"natural-cifar10-{strategy}-base" for strategy in STRATEGIES]
    names += ["natural-cifar10-none-untrained"]
    names += [
        f"natural-{home}-rot_imgn-lambda_{weight}"
        for home in ("cifar10", "cifar100") for weight in ("0.5", "2")
    ]  # fmt: skip
    names += [f"natural-cifar100-{strategy}-base" for strategy in ("rot_imgn", "combined")]
    assert len(names) == 18
    names += [f"rsna_pretraining-rsna_labelled-none-{start}" for start in ("base", "scratch")]
    names += [
        f"label_efficiency-rsna_labelled-none-{start}+labels_{labels}"
        for start in INITIAL for labels in LABELS
    ]  # fmt: skip
    names += [f"{name}-none-base" for name in BASELINES]
    names += [f"{name}-none-background" for name in FLOWS]
    medical = [f"medical-{home}-{s}-base" for home in MEDICAL for s in MEDICAL[home]]
    assert len(medical) == 25
    expected = {f"{name}-seed{seed}" for name in [*names, *medical] for seed in seeds}
    expected |= {
        f"rsna_contrastive-rsna-none-{variant}-seed{split}"
        for variant in CONTRASTIVE for split in range(5)
    }  # fmt: skip
    expected |= {f"rsna_uae-rsna-none-base-seed{split}" for split in range(5)}
    # What only optional tables need, which are made by their names.
    usual = {run.id for target in found.usual for run in with_initial(target.runs)}
    assert usual == expected
    assert len(usual) == 84 * len(seeds) + 35
    optional = {f"natural-cifar10-{name}-seed{seed}" for name in PROTOCOL for seed in seeds}
    optional |= {f"pretext_{name}-seed{seed}" for name in PRETEXT for seed in seeds}
    optional |= {f"{name}-seed{seed}" for name in [*COMPARED, *MTL] for seed in seeds}
    optional |= {
        f"objects_texture-imagenet_objects-none-{name}-seed{seed}"
        for name in OBJECTS for seed in seeds
    }  # fmt: skip
    optional |= {
        f"rsna_{name}-rsna-none-base-seed{split}"
        for name in SPLIT_RIVALS for split in range(5)
    }  # fmt: skip
    assert set(found.runs) - usual == optional
    assert all(name == run.id for name, run in found.runs.items())
    assert (len(thesis["tables"]), len(thesis["figures"])) == (32, 12)


def test_pretext_tasks_have_one_backbone_and_one_budget(thesis, load):
    """A method whose studies are of other chapters has its own budget there."""
    target = load(thesis).targets["table_pretext"]
    runs = [run.settings for run in target.runs if run.variant != "untrained"]
    assert {tuple(run.backbone.options.items()) for run in runs} == {()}
    assert {(run.backbone.name, run.backbone.stem) for run in runs} == {("resnet18", "cifar")}
    for run in runs:
        spent = run.training.epochs * run.options.passes(0)
        assert spent == pytest.approx(BUDGET, rel=0.01), run.run


def test_ids_and_settings_of_runs_are_unique(thesis, demo, load):
    for config in (thesis, demo):
        runs = load(config | {"seeds": [0, 1]}).runs.values()
        contents = {repr({**run.training_config, "run": ""}) for run in runs}
        assert len(contents) == len(runs)


def test_the_run_config_says_what_the_thesis_says(thesis, load):
    runs = load(thesis).runs
    config = runs["natural-cifar100-combined-base-seed0"].training_config
    assert config["training"]["teacher_temperature"] == [0.050, 0.01]
    assert config["training"]["lambda"] == 1
    assert config["training"]["epochs"] == 500
    assert config["views"]["positive"] == [2, 8]
    assert config["views"]["negative"] == [1, 8]
    assert (config["views"]["global_size"], config["views"]["local_size"]) == (256, 128)
    sizes = {"layers": 3, "hidden": 2048, "bottleneck": 256, "out": 4096}
    assert config["head"] == sizes | {"norm_last_layer": False, "frozen": False}
    # 128 and 128 of each source, as the authors' code of chapter 6 has it
    training = config["training"]
    assert (training["batch_size"], training["negatives"]) == (128, "per_source")
    assert (training["lr_base"], training["warmup_epochs"]) == (0.004, 30)
    assert training["precision"] == "tf32"
    assert runs["natural-cifar100-combined-base-seed0"].settings.negatives_an_image == 2
    assert (config["size"], config["train_split"], config["test_split"]) == (32, "train", "test")
    assert config["negatives"] == [
        {"source": "cifar100", "split": "train", "shift": "rot90"},
        {"source": "imagenet", "split": "train", "shift": "rot90"},
    ]
    other = runs["natural-cifar10-combined-base-seed0"].training_config
    assert other["training"]["teacher_temperature"] == [0.055, 0.01]
    assert other["negatives"][0]["source"] == "cifar10"


READINGS = {
    "as_written_batch": ("training.batch_size", 256),
    "warmup_10": ("training.warmup_epochs", 10),
    "norm_last_layer": ("head.norm_last_layer", True),
    "frozen_head": ("head.frozen", True),
    "teacher_temperature_0.04": ("training.teacher_temperature", (0.04, 0.01)),
    "negatives_shared": ("training.negatives", "shared"),
    "position_timm": ("backbone.position", "antialiased"),
    "cls_token_timm": ("backbone.cls_token_std", 1e-6),
    "bfloat16": ("training.precision", "bfloat16"),
    "float32": ("training.precision", "float32"),
}


def test_a_variant_of_another_reading_changes_that_reading_alone(thesis, load):
    table = thesis["tables"]["table_ood_auroc"]
    table |= {"in_distribution": ["cifar10"], "variants": {"combined": ["base", *READINGS]}}
    runs = load(thesis).runs

    def flat(variant):
        settings = runs[f"natural-cifar10-combined-{variant}-seed0"].settings.options
        return {
            f"{section}.{key}": value
            for section, values in settings.model_dump().items()
            for key, value in values.items()
        }

    base = flat("base")
    for variant, (key, value) in READINGS.items():
        changed = {k: v for k, v in flat(variant).items() if base[k] != v}
        assert changed == {key: value}, variant


def test_chapter_7_keeps_the_batch_that_its_text_says(thesis, load):
    settings = load(thesis).runs["medical-rsna-rot_both-base-seed0"].settings
    training = settings.training
    assert (training.batch_size, training.negatives, training.warmup_epochs) == (256, "shared", 10)
    # What holds for the same method in both chapters.
    assert not settings.head.norm_last_layer
    assert (settings.backbone.position, settings.backbone.cls_token_std) == ("bicubic", 0.02)


def test_a_source_may_weigh_more_than_the_others(thesis, load):
    thesis["strategies"]["combined"][1]["weight"] = 3.0
    settings = load(thesis).runs["natural-cifar10-combined-base-seed0"].settings
    assert [pair.weight for pair in settings.negatives] == [1.0, 3.0]
    thesis["strategies"]["combined"][1]["weight"] = 0
    with pytest.raises(UserError, match=r"strategies\.combined"):
        load(thesis)


def test_none_is_lambda_nought_without_negatives(thesis, load):
    run = load(thesis).runs["natural-cifar10-none-base-seed0"]
    assert run.training_config["training"]["lambda"] == 0
    assert run.training_config["negatives"] == []
    assert run.sources == ()


def test_untrained_has_no_epochs(thesis, load):
    run = load(thesis).runs["natural-cifar10-none-untrained-seed0"]
    assert run.training_config["training"]["epochs"] == 0


def test_settings_are_layered_method_study_dataset_variant(thesis, load):
    study = thesis["studies"]["natural"]
    study["override"] = {"training": {"lr_base": 1.0, "clip_grad": 1.0, "lambda": 1.0}}
    study["in_distribution"]["cifar10"]["override"] = {
        "training": {"clip_grad": 2.0, "lambda": 2.0}
    }
    thesis["variants"]["lambda_2"] = {"training": {"lambda": 3.0}}
    training = (
        load(thesis).runs["natural-cifar10-rot_imgn-lambda_2-seed0"].training_config["training"]
    )
    assert (training["lr_base"], training["clip_grad"], training["lambda"]) == (1.0, 2.0, 3.0)
    assert training["batch_size"] == 128


def trainings(load, config):
    return {name: run.training_config for name, run in load(config).runs.items()}


def retrained(load, before, after):
    """(runs that are trained again, new runs, runs that are gone) after an edit."""
    old, new = trainings(load, before), trainings(load, after)
    changed = {name for name in old.keys() & new.keys() if old[name] != new[name]}
    return changed, new.keys() - old.keys(), old.keys() - new.keys()


@pytest.mark.parametrize(
    "edit",
    [
        lambda c: c["evaluation"].update(scores=["cosine_tau"]),
        lambda c: c["evaluation"].update(taus=[0.04, 0.5]),
        lambda c: c["evaluation"].update(tau=0.05, knn=1),
        lambda c: c["studies"]["natural"]["in_distribution"]["cifar10"]["ood"].append(
            "tinyimagenet_odin"
        ),
        lambda c: c["titles"]["strategies"].update(none="DINO"),
        lambda c: c["execution"].update(devices=8, micro_batch=16, checkpoint_minutes=1),
        lambda c: c.update(show_reported=False, seeds=[0]),
        lambda c: c["tables"].pop("table_claims"),
        lambda c: c["figures"]["figure_sensitivity"].update(near="svhn"),
    ],
    ids=[
        "score",
        "taus",
        "tau and k",
        "OOD set",
        "title",
        "execution",
        "reported",
        "table",
        "near",
    ],
)
def test_what_trains_nothing_again(thesis, load, edit):
    after = copy.deepcopy(thesis)
    edit(after)
    assert retrained(load, thesis, after) == (set(), set(), set())


@pytest.mark.parametrize("strategy", ["imgn", "combined", "rot_imgn", "none"])
def test_an_edited_strategy_trains_its_own_runs_only(thesis, load, strategy):
    after = copy.deepcopy(thesis)
    after["strategies"][strategy] = [{"source": "dti", "shift": "perm4"}]
    changed, new, gone = retrained(load, thesis, after)
    assert changed == {name for name in trainings(load, thesis) if name.split("-")[2] == strategy}
    assert changed
    assert (new, gone) == (set(), set())


def test_a_new_seed_trains_its_own_runs_only(thesis, load):
    changed, new, gone = retrained(load, thesis, thesis | {"seeds": [0, 1]})
    assert (changed, gone) == (set(), set())
    assert {name.rsplit("-", 1)[1] for name in new} == {"seed1"}
    assert len(new) == 84 + len([*PROTOCOL, *PRETEXT, *COMPARED, *MTL, *OBJECTS])
    assert not [
        name for name in new if name.startswith(("rsna_contrastive", "rsna_uae", "rsna_al"))
    ]


def test_a_new_strategy_trains_its_own_run_only(thesis, load):
    after = copy.deepcopy(thesis)
    after["strategies"]["perm4_dti"] = [{"source": "dti", "shift": "perm4"}]
    assert retrained(load, thesis, after) == (set(), set(), set())  # nothing uses it yet
    after["tables"]["table_negative_sampling"]["strategies"].append("perm4_dti")
    assert retrained(load, thesis, after) == (
        set(), {"natural-cifar10-perm4_dti-base-seed0"}, set(),
    )  # fmt: skip


def test_an_edited_variant_or_temperature_trains_its_own_runs_only(thesis, load):
    after = copy.deepcopy(thesis)
    after["variants"]["lambda_2"]["training"]["lambda"] = 2.5
    changed, _, _ = retrained(load, thesis, after)
    homes = ("cifar10", "cifar100")
    assert changed == {f"natural-{home}-rot_imgn-lambda_2-seed0" for home in homes}
    after = copy.deepcopy(thesis)
    entry = after["studies"]["natural"]["in_distribution"]["cifar100"]
    entry["override"]["training"]["teacher_temperature"] = [0.06, 0.01]
    changed, _, _ = retrained(load, thesis, after)
    own = ("rot_imgn-base", "rot_imgn-lambda_0.5", "rot_imgn-lambda_2", "combined-base")
    assert changed == {f"natural-cifar100-{name}-seed0" for name in own}


def test_packed_sets_are_the_least_possible(thesis, load):
    found = load(thesis)
    ood = ["svhn", "imagenet30", "tinyimagenet", "lsun", "stl10", "places365", "texture"]
    own = [f"cifar{n}/{split}-32px-squash" for n in (10, 100) for split in ("train", "test")]
    others = {"tinyimagenet": "val", "places365": "validation", "texture": "all"}
    ood = [f"{name}/{others.get(name, 'test')}" for name in ood]
    natural = [f"{name}-32px-squash" for name in [*ood, "lsun_resize/test", "texture_test1/test"]]
    natural += [*own, "imagenet/train-32px-squash", "dti/train-32px-squash"]
    natural += [f"{name}-256px-squash" for name in ood if not name.startswith("svhn")]
    large = [f"rsna/{split}_{n}" for split in ("train", "test") for n in range(5)]
    large += [f"rsna_{name}/test" for name in ("opacity", "not_normal", "labelled")]
    large += ["rsna_labelled/train"]
    medical = [f"{home}/{split}" for home in MEDICAL for split in ("train", "test")]
    medical += ["rsna_opacity/test", "rsna_not_normal/test", "hyper_kvasir_polyp/test"]
    medical += ["lag_glaucoma/test", "hyper_kvasir_unlabelled/train", "chexpert/frontal"]
    medical += ["imagenet_100k/train", "rsna_labelled/train", "rsna_labelled/test_normal"]
    medical += ["rsna_labelled_abnormal/test"]
    large = [f"{name}-512px" for name in large]
    medical = [f"{name}-256px" for name in medical]
    flows = ["cifar10/train-32px", "cifar10/test-32px", "svhn/test-32px"]
    flows += ["fashion_mnist/train-28px", "fashion_mnist/test-28px", "mnist/test-28px"]
    objects = [f"imagenet_objects/{split}-256px" for split in ("train", "val")]
    assert set(found.packed_sets()) == {*natural, *large, *medical, *flows, *objects}


def test_studies_of_one_size_that_fit_images_otherwise_share_no_packed_set(thesis, load):
    after = copy.deepcopy(thesis)
    after["studies"]["cut"] = copy.deepcopy(after["studies"]["natural"]) | {"fit": "crop"}
    after["tables"]["table_cut"] = copy.deepcopy(after["tables"]["table_ood_auroc"])
    after["tables"]["table_cut"] |= {"study": "cut", "form": "ood_auroc"}
    found = load(after)
    squashed, cut = (
        found.runs[f"{study}-cifar10-rot_imgn-base-seed0"] for study in ("natural", "cut")
    )
    assert squashed.train.path == "cifar10/train-32px-squash" != cut.train.path
    assert cut.train.path == "cifar10/train-32px"
    paths = [{s.path for s in needed_sets(run)} for run in (squashed, cut)]
    assert not paths[0] & paths[1]
    assert squashed.training_config["fit"] == "squash" and "fit" not in cut.training_config
    assert squashed.settings.fit == "squash" and cut.settings.fit == "crop"


def test_a_set_beside_is_evaluated_and_trains_nothing_again(thesis, load):
    after = copy.deepcopy(thesis)
    after["studies"]["natural"]["in_distribution"]["cifar10"]["beside"] = ["lsun@64", "lsun_resize"]
    assert retrained(load, thesis, after) == (set(), set(), set())
    found = load(after)
    run = found.runs["natural-cifar10-rot_imgn-base-seed0"]
    assert [s.path for s in run.beside] == [
        "lsun/test-64px-squash", "lsun_resize/test-32px-squash",
    ]  # fmt: skip
    told = found.evaluation_config(run)["ood"]
    assert told[-2:] == [
        {"dataset": "lsun", "split": "test", "photographs": False, "beside": True, "size": 64},
        {"dataset": "lsun_resize", "split": "test", "photographs": False, "beside": True},
    ]
    for entry, packed in zip(told, run.tested, strict=True):
        assert OODSet(**entry).packed(run.settings) == packed
        assert OODSet(**entry).called == packed.called
    assert run.summary()["beside"] == ["lsun@64", "lsun_resize"]
    assert "lsun_resize" not in run.summary()["ood"]


def test_a_calibration_split_is_evaluated_and_trains_nothing_again(thesis, load):
    """It stands in what evaluation is told, only where it is named, and in no training's config."""
    before = load(thesis).runs
    run = next(r for r in before.values() if r.in_distribution == "rsna" and r.method == "moco")
    assert run.calibration is None
    assert "calibration_split" not in load(thesis).evaluation_config(run)
    entry = thesis["studies"]["rsna_contrastive"]["in_distribution"]["rsna"]
    entry["calibration_split"] = "train_{seed}"
    message = "calibration_split is train_0, which is trained on: name a split of its own"
    with pytest.raises(UserError, match=message):
        load(thesis)
    other = (run.seed + 1) % 5
    entry["calibration_split"] = f"test_{other}"
    entry["test_split"] = f"test_{run.seed}"
    thesis["seeds"] = [run.seed]
    for target in (*thesis["tables"].values(), *thesis["figures"].values()):
        target.pop("seeds", None)
    found = load(thesis)
    again = found.runs[run.id]
    assert again.training_config == run.training_config
    assert again.calibration.path == f"rsna/test_{other}-512px"
    assert found.evaluation_config(again)["calibration_split"] == f"test_{other}"
    assert again.calibration.path in found.packed_sets()


def test_a_table_of_other_tables_has_their_runs(thesis, load):
    found = load(thesis)
    names = {run.id for run in found.targets["table_claims"].runs}
    usual = {run.id for target in found.usual for run in target.runs}
    assert names == {name for name in usual if name.startswith("natural-")}


def test_a_table_of_tables_and_a_figure_has_their_runs(thesis, load):
    """The claims of chapter 7, whose figure 7.2 has trainings of its own."""
    found = load(thesis)
    names = {run.id for run in found.targets["table_claims_medical"].runs}
    assert names == {name for name in found.runs if name.startswith("medical-")}
    of_tables = [t for name, t in found.targets.items() if name in
                 ("table_rsna", "table_medical", "table_shifts_medical")]  # fmt: skip
    assert len(names - {run.id for target in of_tables for run in target.runs}) == 8


def test_claims_on_images_compare_the_sets_that_they_name(thesis, demo, load):
    compared = {
        "thesis": [s.path for s in load(thesis).targets["table_claims_basics"].compared],
        "demo": [s.path for s in load(demo).targets["table_claims_basics"].compared],
    }
    assert compared["thesis"] == [
        "cifar10/test-32px-squash", "cifar100/test-32px-squash", "svhn/test-32px-squash"
    ]  # fmt: skip
    assert compared["demo"] == [
        "fashion_low/test-32px", "fashion_high/test-32px", "mnist_digits/test-32px"
    ]  # fmt: skip


def test_claims_train_nothing_of_their_own(thesis, demo, load):
    for config in (thesis, demo):
        without = copy.deepcopy(config)
        for name in ("table_claims", "table_claims_basics", "table_claims_medical"):
            without["tables"].pop(name)
        assert retrained(load, without, config) == (set(), set(), set())


def test_the_spec_of_a_target_is_plain_and_complete(thesis, load):
    spec = load(thesis).spec("table_ood_auroc")
    assert (spec["name"], spec["kind"], spec["show_reported"]) == ("table_ood_auroc", "table", True)
    assert [run["run"] for run in spec["runs"]] == [
        f"natural-{dataset}-{strategy}-base-seed0"
        for dataset in ("cifar10", "cifar100") for strategy in ("rot_imgn", "combined")
    ]  # fmt: skip
    assert spec["runs"][0]["ood"][:2] == ["cifar100", "svhn"]
    assert spec["titles"]["datasets"]["cifar10"] == "CIFAR-10"


def test_photographs_are_marked_in_the_demo(demo, load):
    found = load(demo)
    marked = set(found.spec("table_claims")["photographs"])
    assert marked == {name for name in marked if found.datasets[name].photographs}
    assert "textures" in marked
    assert "fashion_high" not in marked
    run = found.runs["natural-fashion_low-none-base-seed0"]
    ood = found.evaluation_config(run)["ood"]
    assert {entry["dataset"] for entry in ood if entry["photographs"]} == {
        s.dataset for s in run.ood if s.dataset in marked
    }


def test_no_photograph_of_the_demo_is_negative_and_ood(demo, load):
    found = load(demo)
    for run in found.runs.values():
        assert not {s.dataset for s in run.sources} & {s.dataset for s in run.ood}
        assert run.in_distribution not in {s.dataset for s in run.ood}


def test_two_strategies_of_the_same_negatives_are_a_duplicate_run(thesis, load):
    thesis["strategies"]["rot_dti"] = [{"source": "dti"}]  # what dti is already
    with pytest.raises(UserError) as error:
        load(thesis)
    assert str(error.value) == (
        "The runs natural-cifar10-dti-base-seed0 and natural-cifar10-rot_dti-base-seed0 have the "
        "same settings and would be trained twice: take one of them out of config.yaml."
    )


def test_a_source_without_a_training_split_is_refused(thesis, load):
    thesis["strategies"]["imgn"] = [{"source": "texture"}]
    with pytest.raises(UserError) as error:
        load(thesis)
    assert str(error.value) == (
        "config: texture has no train split in the catalogue, but study natural with strategy imgn "
        "needs one: take another dataset."
    )


def test_merge_lays_key_over_key_and_changes_no_layer():
    below, above = {"a": {"b": 1, "c": [1, 2]}, "d": 1}, {"a": {"c": [3]}, "d": {"e": 2}}
    kept = copy.deepcopy(below)
    merged = layers.merge(below, above)
    assert merged == {"a": {"b": 1, "c": [3]}, "d": {"e": 2}}
    merged["a"]["c"].append(4)
    assert below == kept
    assert above["a"]["c"] == [3]


def test_text_of_the_command_line_becomes_what_it_spells():
    text = {"seeds": ["0", "12"], "a": {"b": "0.04", "c": "1e-6", "d": "true", "e": "null"}}
    expected = {"seeds": [0, 12], "a": {"b": 0.04, "c": 1e-6, "d": True, "e": None}}
    assert layers.typed(text) == expected
    for kept in ("rot90", "none", "results", "01", "1.", "", "no", [1, 2.5], {"a": False}):
        assert layers.typed(kept) == kept


def test_null_takes_a_key_away():
    assert layers.without_nulls({"a": None, "b": {"c": None, "d": 0}}) == {"b": {"d": 0}}
