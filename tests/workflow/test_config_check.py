"""Every mistake in a config is one sentence; the schema and the config do not drift apart."""

from __future__ import annotations

import copy

import pytest
import yaml

from ssl_ood import config_check
from ssl_ood.errors import UserError


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
def test_a_mistake_is_one_sentence(thesis, catalogue, path, value, sentence):
    entry, key = place_in(thesis, path)
    entry[key] = value
    if sentence is None:
        config_check.check_config(thesis, catalogue)
        return
    with pytest.raises(UserError) as error:
        config_check.check_config(thesis, catalogue)
    assert str(error.value) == sentence


def leaves(value, path=()):
    """(path, value) of everything in nested dictionaries."""
    if isinstance(value, dict) and value:
        for key, below in value.items():
            yield from leaves(below, (*path, key))
    yield path, value


def test_the_configs_of_the_repository_are_valid(thesis, demo, catalogue):
    config_check.check_config(thesis, catalogue)
    config_check.check_config(demo, catalogue)


def test_every_section_of_the_config_is_required(thesis, catalogue):
    """What no default stands behind must be asked for where it is left out."""
    # A strategy, table, figure or variant may go if nothing names it; the rest may not.
    free = ("strategies", "variants", "tables", "figures", "titles", "studies")
    for path, _ in leaves(thesis):
        if not path or path[0] == "titles" or (path[0] in free and len(path) > 1):
            continue
        if path[:3] == ("methods", "dino", "backbone") and len(path) > 3 and path[3] != "name":
            continue  # timm has defaults of its own
        config = copy.deepcopy(thesis)
        entry, key = place_in(config, "/".join(path))
        del entry[key]
        with pytest.raises(UserError):
            config_check.check_config(config, catalogue)
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
    settings = {path[2:] for path in known if path[:2] == ("methods", "*")}
    from_config = yaml.safe_load(
        (config_check.SCHEMA.parents[2] / "config.yaml").read_text(encoding="utf-8")
    )
    shown = {path for path, _ in leaves(from_config["methods"]["dino"])}
    assert settings - shown - {()} == set()
    top = {path[0] for path in known if len(path) == 1}
    assert top == set(from_config)
    for section in ("evaluation", "execution"):
        spelled = {path[1] for path in known if path[0] == section and len(path) == 2}
        assert spelled - {"*"} == set(from_config[section])
