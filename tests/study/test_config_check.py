"""Every mistake in a config is one sentence; the schema and the config do not drift apart."""

from __future__ import annotations

import copy

import pytest

from ssl_ood.common.errors import UserError


def place_in(config, path):
    *parents, last = path.split("/")
    for key in parents:
        config = config[key]
    return config, last


MISTAKES = [
    # an unknown name, with the nearest one
    ("studies/natural/in_distribution/cifar10/ood", ["cifar100", "svnh"],
     "config: studies.natural.in_distribution.cifar10.ood: unknown dataset 'svnh'; did you mean "
     "'svhn'?"),
    ("studies/natural/in_distribution/cifar11", {"ood": ["svhn"]},
     "config: studies.natural.in_distribution: unknown dataset 'cifar11'; did you mean 'cifar10'?"),
    ("strategies/rot_imgn", [{"source": "imagenet", "shift": "rot91"}],
     "config: strategies.rot_imgn: unknown shift 'rot91'; did you mean 'rot90'?"),
    ("strategies/rot_imgn", [{"source": "imagenet", "shift": "none"}],
     "config: strategies.rot_imgn: unknown shift 'none'; known are perm16, perm4, pixel_shuffle, "
     "rot360, rot90."),
    ("strategies/imgn", [{"source": "imagenett"}],
     "config: strategies.imgn: unknown source 'imagenett'; did you mean 'imagenet'?"),
    ("strategies/rot_indist", [{"source": "in_distrib", "shift": "rot90"}],
     "config: strategies.rot_indist: unknown source 'in_distrib'; did you mean 'in_distribution'?"),
    ("evaluation/scores", ["cosine_tua"],
     "config: evaluation.scores: unknown score 'cosine_tua'; did you mean 'cosine_tau'?"),
    ("tables/table_ood_auroc/strategies", ["rot_imgnet"],
     "config: tables.table_ood_auroc: unknown strategy 'rot_imgnet'; did you mean 'rot_imgn'?"),
    ("tables/table_ood_auroc/in_distribution", ["svhn"],
     "config: tables.table_ood_auroc: unknown in-distribution dataset 'svhn'; known are cifar10, "
     "cifar100."),
    ("tables/table_ood_auroc/study", "natrual",
     "config: tables.table_ood_auroc: unknown study 'natrual'; did you mean 'natural'?"),
    ("studies/natural/method", "dine",
     "config: studies.natural: unknown method 'dine'; did you mean 'dino'?"),
    ("tables/table_hyperparameters/variants", {"rot_imgn": ["lambda_3"]},
     "config: tables.table_hyperparameters.variants: unknown variant 'lambda_3'; did you mean "
     "'lambda_2'?"),
    ("tables/table_hyperparameters/variants", {"imgn": ["base"]},
     "config: tables.table_hyperparameters.variants: unknown strategy 'imgn'; did you mean "
     "'rot_imgn'?"),
    ("figures/figure_sensitivity/near", "cifar10",
     None),  # in the list of cifar100: known
    ("figures/figure_sensitivity/far", "textures",
     "config: figures.figure_sensitivity.far: unknown OOD set 'textures'; did you mean 'texture'?"),
    ("tables/table_claims/runs_of", ["table_quality", "table_oodauroc"],
     "config: tables.table_claims: unknown table or figure 'table_oodauroc'; did you mean "
     "'table_ood_auroc'?"),
    ("tables/table_quality/runs_of", ["table_claims"],
     "config: tables.table_quality.runs_of names table_claims, which itself has runs_of: name the "
     "tables behind it instead."),
    ("figures/figure_views/runs_of", ["figure_views"],
     "config: figures.figure_views.runs_of names figure_views, which itself has runs_of: name the "
     "tables behind it instead."),
    # what a table of claims has to say
    ("tables/table_claims_medical/roles/lag", "lagg",
     "config: tables.table_claims_medical.roles.lag: unknown in-distribution dataset 'lagg'; did "
     "you mean 'lag'?"),
    ("tables/table_claims_medical/roles/cifar10", "lag",
     "config: tables.table_claims_medical.roles has an unknown key 'cifar10'; known are "
     "hyper_kvasir, lag, rsna."),
    ("tables/table_claims/claims", "chapter 6",
     "config: tables.table_claims.claims is 'chapter 6': string should match pattern "
     "'^section [1-9](-[1-9])?$'."),
    ("tables/table_claims", {"study": "natural"},
     "config: tables.table_claims.claims is missing: add it."),
    # what cannot be meant
    ("studies/natural/in_distribution/cifar10/ood", ["svhn", "cifar10"],
     "config: studies.natural.in_distribution.cifar10.ood names cifar10, which is the "
     "in-distribution dataset itself: take it out of the list."),
    ("studies/natural/in_distribution/cifar10/ood", ["svhn", "cifar100", "svhn"],
     "config: studies.natural.in_distribution.cifar10.ood names a dataset twice: name it once."),
    ("studies/natural/in_distribution/cifar10/beside", ["svnh@256"],
     "config: studies.natural.in_distribution.cifar10.beside: unknown dataset 'svnh'; did you mean "
     "'svhn'?"),
    ("studies/natural/in_distribution/cifar10/beside", ["lsun@big"],
     "config: studies.natural.in_distribution.cifar10.beside: 'big' is not a size in pixels: write "
     "lsun@256, for instance."),
    ("studies/natural/in_distribution/cifar10/beside", ["cifar10@256"],
     "config: studies.natural.in_distribution.cifar10.beside names cifar10, which is the "
     "in-distribution dataset itself: take it out of the list."),
    ("studies/natural/in_distribution/cifar10/beside", ["lsun@256", "lsun"],
     "config: studies.natural.in_distribution.cifar10.beside names a dataset twice: name it once."),
    ("studies/natural/fit", "stretch",
     "config: studies.natural.fit is 'stretch': it should be 'crop' or 'squash'."),
    ("seeds", [0, 1, 0],
     "config: seeds [0, 1, 0] names a seed twice, a duplicate run: name it once."),
    ("evaluation/taus", [0.04, 0, 0.08],
     "config: evaluation.taus.1 is 0: it should be greater than 0."),
    ("evaluation/tau", -0.04,
     "config: evaluation.tau is -0.04: it should be greater than 0."),
    ("evaluation/tau", 0.041,
     "config: evaluation.tau 0.041 is not one of evaluation.taus: add it."),
    ("methods/dino/views/positive", [1, 0],
     "config: methods.dino.views.positive is [1, 0]: 1 global and 0 local views cannot be "
     "compared: take at least one global view and one more view."),
    ("methods/dino/views/negative", [0, 0],
     "config: methods.dino.views.negative is [0, 0]: negatives need at least one view."),
    # a study's own evaluation: the place where the mistake is written
    ("studies/medical/evaluation/scores", ["mahalanobi"],
     "config: studies.medical.evaluation.scores: unknown score 'mahalanobi'; did you mean "
     "'mahalanobis'?"),
    ("studies/medical/evaluation/tau", 0.5,
     "config: studies.medical.evaluation.tau 0.5 is not one of evaluation.taus: add it."),
    ("studies/medical/evaluation/taus", [0.5],
     "config: evaluation.tau 0.04 is not one of studies.medical.evaluation.taus: add it."),
    # what a study names for an in-distribution dataset
    ("studies/medical/in_distribution/rsna/auxiliary", "chexprt",
     "config: studies.medical.in_distribution.rsna.auxiliary: unknown dataset 'chexprt'; did you "
     "mean 'chexpert'?"),
    ("strategies/rot_auxiliary", [{"source": "auxilary", "shift": "rot90"}],
     "config: strategies.rot_auxiliary: unknown source 'auxilary'; did you mean 'auxiliary'?"),
    # variants in parts, strategies by dataset
    ("tables/table_batch_size/variants", {"none": ["base+batch_65"]},
     "config: tables.table_batch_size.variants: unknown variant 'batch_65'; did you mean "
     "'batch_64'?"),
    ("tables/table_label_efficiency/variants", {"none": [["random"], ["labels_10"]]},
     "config: tables.table_label_efficiency.variants: unknown variant 'labels_10'; did you mean "
     "'labels_100'?"),
    ("tables/table_medical/strategies", {"hyper_kvazir": ["perm4_both"]},
     "config: tables.table_medical.strategies: unknown in-distribution dataset 'hyper_kvazir'; did "
     "you mean 'hyper_kvasir'?"),
    ("tables/table_medical/strategies", {"lag": ["perm4_bot"]},
     "config: tables.table_medical: unknown strategy 'perm4_bot'; did you mean 'perm4_both'?"),
    # what a training starts from
    ("methods/moco/training/initial", "weights/moco_v3_imagenet",
     "config: methods.moco.training.initial: unknown weights 'moco_v3_imagenet'; did you mean "
     "'moco_v2_imagenet'?"),
    ("variants/rsna_con/training/initial", "run/rsna_pretrainin/scratch",
     "config: variants.rsna_con.training.initial: unknown study 'rsna_pretrainin'; did you mean "
     "'rsna_pretraining'?"),
    ("variants/rsna_con/training/initial", "run/rsna_pretraining/scrtch",
     "config: variants.rsna_con.training.initial: unknown variant 'scrtch'; did you mean "
     "'scratch'?"),
    ("variants/rsna_con/training/initial", "run/rsna_pretraining/labels_100",
     "config: for method moco, variants.rsna_con.training.initial: variants.labels_100.training "
     "has an unknown key 'labels'; known are batch_norm_images, batch_size, clip_grad, epochs, "
     "initial, lr_base, lr_min, nesterov, precision, queue, sgd_momentum, teacher_momentum ..."),
    # settings that the method does not have
    ("studies/medical/override/training", {"queue": 4096},
     "config: for method dino, studies.medical.override.training has an unknown key 'queue'; known "
     "are batch_norm_images, "
     "batch_size, centre_momentum, clip_grad, epochs, freeze_last_layer_epochs, initial, lambda, "
     "lr_base, lr_min, negatives, precision ..."),
    ("studies/medical/in_distribution/lag/override/views", {"rotation": 15},
     "config: for method dino, studies.medical.in_distribution.lag.override.views has an unknown "
     "key 'rotation'; did you mean 'rotate_positives'?"),
    ("studies/label_efficiency/override", {"head": {"out": 2}},
     "config: for method finetune, studies.label_efficiency.override has an unknown key 'head'; "
     "known are backbone, training, views."),
    ("tables/table_batch_size/variants", {"none": ["lambda_2"]},
     "config: for method moco, variants.lambda_2.training has an unknown key 'lambda'; known are "
     "batch_norm_images, batch_size, clip_grad, epochs, initial, lr_base, lr_min, nesterov, "
     "precision, queue, sgd_momentum, teacher_momentum ..."),
    # the shape
    ("methods/dino/head/out", 1,
     "config: methods.dino.head.out is 1: it should be greater than or equal to 2."),
    ("methods/dino/training/lr_bas", 0.1,
     "config: methods.dino.training has an unknown key 'lr_bas'; did you mean 'lr_base'?"),
    ("strategy", {},
     "config: the top level has an unknown key 'strategy'; did you mean 'strategies'?"),
    ("seeds", 3, "config: seeds is 3: it should be a valid list."),
    ("methods/dino/training/epochs", "many",
     "config: methods.dino.training.epochs is the text 'many', where a number belongs: write one, "
     "such as 8.0e-3."),
    ("strategies/imgn", [{"shift": "rot90"}],
     "config: strategies.imgn.0.source is missing: add it."),
    ("show_reported", "yes", "config: show_reported is 'yes': it should be a valid boolean."),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "sentence"), MISTAKES, ids=[
    f"{path.split('/')[-1]}-{i}" for i, (path, _, _) in enumerate(MISTAKES)
])  # fmt: skip
def test_a_mistake_is_one_sentence(thesis, load, path, value, sentence):
    entry, key = place_in(thesis, path)
    entry[key] = value
    if sentence is None:
        load(thesis)
        return
    with pytest.raises(UserError) as error:
        load(thesis)
    assert str(error.value) == sentence


def leaves(value, path=()):
    """(path, value) of everything in nested dictionaries."""
    if isinstance(value, dict) and value:
        for key, below in value.items():
            yield from leaves(below, (*path, key))
    yield path, value


def test_the_configs_of_the_repository_are_valid(thesis, demo, load):
    load(thesis)
    load(demo)


def test_every_section_of_the_config_is_required(thesis, load):
    """What no default stands behind must be asked for where it is left out."""
    # A strategy, table, figure or variant may go if nothing names it; the rest may not.
    free = ("strategies", "variants", "tables", "figures", "titles", "studies")
    for path, _ in leaves(thesis):
        if not path or path[0] == "titles" or (path[0] in free and len(path) > 1):
            continue
        of_timm = path[2:3] == ("backbone",) and path[1] not in (
            "glow",
            "uae",
            "alpha_gan",
            "one_class_gan",
        )
        if of_timm and len(path) > 3 and path[3] != "name":
            continue  # timm has defaults of its own
        if path[0] == "methods" and path[-1] in ("initial", "nesterov", "shift"):
            continue  # then it is random, not Nesterov's, and none
        if "transformations" in path[:-1]:
            continue  # of which any may be chosen
        if path[:2] == ("execution", "probe"):
            continue  # has defaults, since it changes nothing that is measured
        config = copy.deepcopy(thesis)
        entry, key = place_in(config, "/".join(path))
        del entry[key]
        with pytest.raises(UserError):
            load(config)
            raise AssertionError(f"{'.'.join(path)} may be left out")


# ---- values of a wrong kind: everywhere, whatever the method ------------------------------------

VALUES = [
    ("methods/dino/training/lr_base", float("nan"),
     "config: methods.dino.training.lr_base is nan: it should be a finite number."),
    ("execution/images_per_second", float("inf"),
     "config: execution.images_per_second is inf: it should be a finite number."),
    ("methods/dino/backbone/drop_path_rate", float("inf"),
     "config: methods.dino.backbone.drop_path_rate is inf: write a finite number."),
    ("methods/dino/training/lr_base", "8,0e-3",
     "config: methods.dino.training.lr_base is the text '8,0e-3', where a number belongs: write "
     "one, such as 8.0e-3."),
    ("methods/dino/training/epochs", 500.0,
     "config: methods.dino.training.epochs is 500.0, where a whole number belongs: write it "
     "without a point."),
    ("methods/dino/backbone/depth", 12.0,
     "config: methods.dino.backbone.depth is 12.0, where a whole number of 1 or more belongs."),
    ("methods/dino/training/lambda", True,
     "config: methods.dino.training.lambda is True: it should be a valid number."),
    ("seeds", [1.0],
     "config: seeds.0 is 1.0, where a whole number belongs: write it without a point."),
    ("methods/dino/views/mean", [123.7, 116.3, 103.5],
     "config: methods.dino.views.mean is [123.7, 116.3, 103.5]: it is of pixel values from 0 to 1: "
     "divide it by 255."),
    ("methods/dino/views/global_scale", [1.0, 0.4],
     "config: methods.dino.views.global_scale is [1.0, 0.4]: the smaller one comes first: swap the "
     "two."),
    ("methods/moco/views/scale", [0.08, 1.5],
     "config: methods.moco.views.scale is [0.08, 1.5]: a crop is a share of the image's area, 1 at "
     "most."),
    ("methods/dino/views/positive", [2],
     "config: methods.dino.views.positive.1 is missing: add it."),
    ("methods/dino/views/positive", [2, 8, 1],
     "config: methods.dino.views.positive is [2, 8, 1]: list should have at most 2 items after "
     "validation, not 3."),
    ("execution/micro_batch", 0,
     "config: execution.micro_batch is 0: write a number of images, 1 or more, or auto."),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "sentence"), VALUES)
def test_a_value_of_a_wrong_kind_is_one_sentence(thesis, load, path, value, sentence):
    entry, key = place_in(thesis, path)
    entry[key] = value
    with pytest.raises(UserError) as error:
        load(thesis)
    assert str(error.value) == sentence


# ---- settings that do not fit each other or the data, in every run as it would be trained -------

UNFIT = [
    ("methods/dino/training/batch_size", 50_001,
     "config: methods.dino.training.batch_size 50001 is larger than the 50000 images of cifar10: "
     "lower it."),
    ("methods/moco/training/queue", 100,
     "config: methods.moco.training.queue 100 is smaller than training.batch_size 128: raise it."),
    ("variants/batch_64", {"training": {"batch_size": 48}},
     "config: methods.moco.training.batch_norm_images 32 does not divide the 48 images of a batch "
     "that a device works on: change one of them."),
    ("methods/moco/training/queue", 30_000,
     "config: methods.moco.training.queue 30000 and a batch of 128 are more than the 7851 images, "
     "so that an image would often be its own negative: lower training.queue."),
    ("variants/labels_100/training/labels", 30_000,
     "config: variants.labels_100.training.labels 30000 is more than the 21152 images of "
     "rsna_labelled: lower it, or leave it out to use all of them."),
    ("variants/labels_100/training/labels", 129,
     "config: variants.labels_100.training.batch_size 64 leaves one of 129 images for the last "
     "batch of an epoch, and one image has no batch statistics: change it."),
    ("studies/natural/evaluation", {"knn": 60_000},
     "config: studies.natural.evaluation.knn 60000 is more than the 50000 training images of "
     "cifar10: lower it."),
    ("studies/medical/override/views/local_size", 320,
     "config: studies.medical.override.views.local_size 320 is larger than views.global_size 256: "
     "lower it."),
    ("methods/dino/views/local_size", 100,
     "config: methods.dino.views.local_size 100 is not a multiple of the backbone's patches of 16 "
     "pixels: change one of the two."),
    ("methods/dino/backbone/patch_size", 12,
     "config: methods.dino.views.global_size 256 is not a multiple of the backbone's patches of 12 "
     "pixels: change one of the two."),
    ("methods/dino/backbone", {"name": "vit_small_patch16_224", "embed_dim": 100, "num_heads": 3},
     "config: methods.dino.backbone.num_heads 3 does not divide backbone.embed_dim 100: change one "
     "of the two."),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "sentence"), UNFIT)
def test_settings_that_do_not_fit_are_told_where_they_are_written(
    thesis, load, path, value, sentence
):
    entry, key = place_in(thesis, path)
    entry[key] = value
    with pytest.raises(UserError) as error:
        load(thesis)
    assert str(error.value) == sentence


def test_views_that_their_shift_cannot_cut_are_told_where_they_are_written(thesis, load):
    """Views of 258 and 126 pixels, of 43 and 21 patches of the network; of chapter 7's images,
    which are shifted whole, no view has to be cut."""
    methods = thesis["methods"]["dino"]
    methods["backbone"]["patch_size"] = 6
    methods["views"].update(global_size=258, local_size=126)
    with pytest.raises(UserError) as error:
        load(thesis)
    assert str(error.value) == (
        "config: methods.dino.views.global_size 258 cannot be cut into the 4 x 4 equal patches of "
        "the shift perm16 of strategy perm16_imgn: choose a size that 4 divides."
    )
    methods["views"]["shift_place"] = "image"
    del thesis["tables"]["table_protocol"]  # one of whose readings this is
    assert load(thesis).runs


def test_what_a_later_layer_mends_is_no_mistake(thesis, load):
    """Local views above the method's global ones, in a study that has larger ones."""
    thesis["methods"]["dino"]["views"].update(global_size=128)
    thesis["studies"]["medical"]["override"]["views"] = {"local_size": 192}
    for name in ("rsna", "hyper_kvasir", "lag"):
        entry = thesis["studies"]["medical"]["in_distribution"][name]
        entry["override"].setdefault("views", {})["global_size"] = 256
    run = load(thesis).runs["medical-lag-none-base-seed0"]
    assert (run.settings.views.global_size, run.settings.views.local_size) == (256, 192)


# ---- tables and figures --------------------------------------------------------------------------

TARGETS = [
    ("tables/table_mine", {"study": "natural"},
     "config: tables.table_mine: unknown form of a table 'mine'; known are "),
    ("figures/figure_sensitvity", {"study": "natural"},
     "config: figures.figure_sensitvity: unknown form of a figure 'sensitvity'; did you mean "
     "'sensitivity'?"),
    ("tables/table_rsna/form", "metods",
     "config: tables.table_rsna: unknown form of a table 'metods'; did you mean 'methods'?"),
    ("tables/table_rsna/score", "mahalonobis",
     "config: tables.table_rsna.score: unknown score 'mahalonobis'; did you mean 'mahalanobis'?"),
    ("tables/table_rsna/score", "logit",
     "config: tables.table_rsna.score: study medical does not compute logit (it has mahalanobis, "
     "cosine_max): add it to the evaluation.scores of the study."),
    ("tables/table_rsna/reported", "table_7_11",
     "config: tables.table_rsna.reported: unknown reported artefact 'table_7_11'; did you mean "
     "'table_7_1'?"),
    ("tables/table_augmentation/reported", ["isbi_table_4", "isbi_table_9"],
     "config: tables.table_augmentation.reported: unknown reported artefact 'isbi_table_9'; did "
     "you mean 'isbi_table_4'?"),
    ("tables/table_rsna/strategy", ["none"],
     "config: tables.table_rsna (form methods) has an unknown key 'strategy'; did you mean "
     "'strategies'?"),
    ("tables/table_rsna/strategies", [],
     "config: tables.table_rsna: the list of strategies is empty: name one, or take the dataset or "
     "the key out."),
    ("tables/table_medical/strategies/lag", [],
     "config: tables.table_medical.strategies.lag: the list of strategies is empty: name one, or "
     "take the dataset or the key out."),
    ("tables/table_claims_medical/runs_of", ["table_rsna", "table_quality"],
     "config: tables.table_claims_medical.runs_of names table_quality, which shows the study "
     "natural and not medical: name tables and figures of one study."),
    ("tables/table_rsna", {"study": "medical", "form": "methods"},
     "config: tables.table_rsna names no runs to show: add in_distribution and strategies, or "
     "runs_of."),
    ("tables/table_protocol/variants/rot_imgn", ["warmup_10"],
     "config: tables.table_protocol.variants.rot_imgn has no 'base', with which the form readings "
     "compares the others: add it."),
    ("tables/table_protocol/variants", {"none": ["base"]},
     "config: tables.table_protocol has no variant beside 'base', with which the form readings "
     "compares: name some under variants."),
    ("tables/table_protocol/near", "cifar1000",
     "config: tables.table_protocol.near: unknown OOD set 'cifar1000'; did you mean 'cifar100'?"),
    ("tables/table_protocol/second_evaluations", ["rot_imagenet"],
     "config: tables.table_protocol.second_evaluations: unknown strategy 'rot_imagenet'"),
    ("tables/table_claims/runs_of", ["table_quality", "table_protocol"],
     "config: tables.table_claims.runs_of names table_protocol, which is optional, so that its "
     "trainings would be everybody's: make both optional, or neither."),
    ("tables/table_protocol/optional", "maybe",
     "config: tables.table_protocol.optional is 'maybe': it should be a valid boolean."),
    ("reported_dir", "resources/reprted",
     "config: reported_dir resources/reprted is not a folder: name the one of the reported "
     "values."),
    ("studies/medical/evaluation/scores", ["mahalanobis", "logit"],
     "config: studies.medical: the score logit of studies.medical.evaluation.scores needs logits, "
     "which method dino does not give: give the study scores of its own without it."),
    ("evaluation/parameters", {"mahalanobis": {"ridge": 1}},
     "config: evaluation.parameters.mahalanobis"),
    ("evaluation/parameters", {"mahalonobis": {}},
     "config: evaluation.parameters: unknown score 'mahalonobis'; did you mean 'mahalanobis'?"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "sentence"), TARGETS)
def test_a_table_that_could_not_be_made_is_one_sentence(thesis, load, path, value, sentence):
    entry, key = place_in(thesis, path)
    entry[key] = value
    with pytest.raises(UserError) as error:
        load(thesis)
    assert str(error.value).startswith(sentence)
    assert "\n" not in str(error.value)


def test_a_table_of_any_name_has_the_form_that_it_names(thesis, load):
    thesis["tables"]["table_mine"] = {**thesis["tables"]["table_medical"], "form": "shifts_medical"}
    found = load(thesis).targets["table_mine"]
    assert (found.kind, found.form, len(found.runs)) == ("table", "shifts_medical", 2)
