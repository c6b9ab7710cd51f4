"""Every mistake in a config is one sentence; the schema and the config do not drift apart."""

from __future__ import annotations

import copy

import pytest
import yaml

from ssl_ood.common.errors import UserError
from ssl_ood.study import check as config_check


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
     "config: tables.table_claims.claims: 'chapter 6' does not match '^section [1-9]$'."),
    ("tables/table_claims", {"study": "natural"},
     "config: tables.table_claims: 'claims' is a required property."),
    # what cannot be meant
    ("studies/natural/in_distribution/cifar10/ood", ["svhn", "cifar10"],
     "config: studies.natural.in_distribution.cifar10.ood names cifar10, which is the "
     "in-distribution dataset itself: take it out of the list."),
    ("studies/natural/in_distribution/cifar10/ood", ["svhn", "cifar100", "svhn"],
     "config: studies.natural.in_distribution.cifar10.ood names a dataset twice: name it once."),
    ("seeds", [0, 1, 0],
     "config: seeds [0, 1, 0] names a seed twice, a duplicate run: name it once."),
    ("evaluation/taus", [0.04, 0, 0.08],
     "config: evaluation.taus: the temperature 0 must be above 0."),
    ("evaluation/tau", -0.04,
     "config: evaluation.tau: the temperature -0.04 must be above 0."),
    ("evaluation/tau", 0.041,
     "config: evaluation.tau 0.041 is not one of evaluation.taus: add it."),
    ("methods/dino/views/positive", [1, 0],
     "config: methods.dino.views.positive: 1 global and 0 local views cannot be compared: take at "
     "least one global view and one more view."),
    ("methods/dino/views/negative", [0, 0],
     "config: methods.dino.views.negative: negatives need at least one view."),
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
     "config: variants.rsna_con.training.initial: variants.labels_100.training: unknown setting of "
     "method moco 'labels'; known are batch_norm_images, batch_size, clip_grad, epochs, initial, "
     "lr_base, lr_min, queue, sgd_momentum, teacher_momentum, temperature, warmup_epochs ..."),
    # settings that the method does not have
    ("studies/medical/override/training", {"queue": 4096},
     "config: studies.medical.override.training: unknown setting of method dino 'queue'; known are "
     "batch_size, centre_momentum, clip_grad, epochs, freeze_last_layer_epochs, initial, lambda, "
     "lr_base, lr_min, stop_on_collapse, student_temperature, teacher_momentum ..."),
    ("studies/medical/in_distribution/lag/override/views", {"rotation": 15},
     "config: studies.medical.in_distribution.lag.override.views: unknown setting of method dino "
     "'rotation'; did you mean 'rotate_positives'?"),
    ("studies/label_efficiency/override", {"head": {"out": 2}},
     "config: studies.label_efficiency.override: unknown part of method finetune 'head'; known are "
     "backbone, training, views."),
    ("tables/table_batch_size/variants", {"none": ["lambda_2"]},
     "config: variants.lambda_2.training: unknown setting of method moco 'lambda'; known are "
     "batch_norm_images, batch_size, clip_grad, epochs, initial, lr_base, lr_min, queue, "
     "sgd_momentum, teacher_momentum, temperature, warmup_epochs ..."),
    # the shape
    ("methods/dino/head/out", 1,
     "config: methods.dino.head.out: 1 is less than the minimum of 2."),
    ("methods/dino/training/lr_bas", 0.1,
     "config: methods.dino.training has an unknown key 'lr_bas'; did you mean 'lr_base'?"),
    ("strategy", {},
     "config: the top level has an unknown key 'strategy'; did you mean 'strategies'?"),
    ("seeds", 3, "config: seeds: 3 is not of type 'array'."),
    ("methods/dino/training/epochs", "many",
     "config: methods.dino.training.epochs: 'many' is not of type 'integer'."),
    ("strategies/imgn", [{"shift": "rot90"}],
     "config: strategies.imgn.0: 'source' is a required property."),
    ("show_reported", "yes", "config: show_reported: 'yes' is not of type 'boolean'."),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "sentence"), MISTAKES, ids=[
    f"{path.split('/')[-1]}-{i}" for i, (path, _, _) in enumerate(MISTAKES)
])  # fmt: skip
def test_a_mistake_is_one_sentence(thesis, catalogue, weights, path, value, sentence):
    entry, key = place_in(thesis, path)
    entry[key] = value
    if sentence is None:
        config_check.check_config(thesis, catalogue, weights)
        return
    with pytest.raises(UserError) as error:
        config_check.check_config(thesis, catalogue, weights)
    assert str(error.value) == sentence


def leaves(value, path=()):
    """(path, value) of everything in nested dictionaries."""
    if isinstance(value, dict) and value:
        for key, below in value.items():
            yield from leaves(below, (*path, key))
    yield path, value


def test_the_configs_of_the_repository_are_valid(thesis, demo, catalogue, weights):
    config_check.check_config(thesis, catalogue, weights)
    config_check.check_config(demo, catalogue, weights)


def test_every_section_of_the_config_is_required(thesis, catalogue, weights):
    """What no default stands behind must be asked for where it is left out."""
    # A strategy, table, figure or variant may go if nothing names it; the rest may not.
    free = ("strategies", "variants", "tables", "figures", "titles", "studies")
    for path, _ in leaves(thesis):
        if not path or path[0] == "titles" or (path[0] in free and len(path) > 1):
            continue
        if path[:3] == ("methods", "dino", "backbone") and len(path) > 3 and path[3] != "name":
            continue  # timm has defaults of its own
        if path[-2:] == ("training", "initial"):
            continue  # then it is random
        config = copy.deepcopy(thesis)
        entry, key = place_in(config, "/".join(path))
        del entry[key]
        with pytest.raises(UserError):
            config_check.check_config(config, catalogue, weights)
            raise AssertionError(f"{'.'.join(path)} may be left out")


def known_keys(schema, definitions):
    """Every key path that the schema spells out, as tuples; `*` stands for a free name."""
    if "$ref" in schema:
        yield from known_keys(definitions[schema["$ref"].rsplit("/", 1)[1]], definitions)
    for part in schema.get("allOf", []):
        yield from known_keys(part, definitions)
    for key, below in schema.get("properties", {}).items():
        yield (key,)
        yield from ((key, *rest) for rest in known_keys(below, definitions))
    if isinstance(schema.get("additionalProperties"), dict):
        yield ("*",)
        for rest in known_keys(schema["additionalProperties"], definitions):
            yield ("*", *rest)


def test_the_schema_spells_out_nothing_that_the_config_does_not_show():
    """A key that only the schema knows is one that no reader of config.yaml finds."""
    schema = yaml.safe_load(config_check.SCHEMA.read_text(encoding="utf-8"))
    known = set(known_keys(schema, schema["$defs"]))
    settings = set(known_keys(schema["$defs"]["settings"], schema["$defs"]))
    from_config = yaml.safe_load(
        (config_check.SCHEMA.parents[2] / "config.yaml").read_text(encoding="utf-8")
    )
    studies = from_config["studies"].values()
    entries = [entry for study in studies for entry in study["in_distribution"].values()]
    overrides = [part["override"] for part in (*studies, *entries) if "override" in part]
    shown = {
        path
        for part in (
            *from_config["methods"].values(),
            *from_config["variants"].values(),
            *overrides,
        )
        for path, _ in leaves(part)
    }
    assert settings and settings - shown == set()
    top = {path[0] for path in known if len(path) == 1}
    assert top == set(from_config)
    for section in ("evaluation", "execution"):
        spelled = {path[1] for path in known if path[0] == section and len(path) == 2}
        assert spelled - {"*"} == set(from_config[section])
