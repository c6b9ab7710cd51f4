"""Checks a config before anything is planned: one clear sentence for what is wrong, and where.

The shape (types, ranges, unknown keys) is in workflow/schemas/config.schema.yaml; what one entry
says about another is here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from ssl_ood.common import registry
from ssl_ood.common.errors import UserError, nearest, unknown
from ssl_ood.common.files import parse_yaml
from ssl_ood.common.vocabulary import (
    AUXILIARY,
    IN_DISTRIBUTION,
    JOIN,
    NO_NEGATIVES,
    OUT_DOMAIN,
    RANDOM,
)
from ssl_ood.study.runs import merge, strategies_of, variants_of

SCHEMA = Path(__file__).parents[2] / "schemas" / "config.schema.yaml"


# Settings that a method knows and that its section of the config need not have.
CROPS = ["scale", "resize", "rotation", "shift", "zoom"]  # of moco and finetune, in any mixture
OPTIONAL = {
    "dino": {"training": ["initial"], "views": ["rotate_positives"]},
    "moco": {"training": ["initial"], "views": CROPS},
    "finetune": {"training": ["initial", "labels"], "views": CROPS},
}


def check_config(
    config: dict[str, Any], datasets: Collection[str], weights: Collection[str] = ()
) -> None:
    """Raises UserError for the first thing in `config` that cannot be meant.

    config: as merged by Snakemake, nulls removed; datasets and weights: the names in the catalogue.
    """
    check_shape(config)
    _check_evaluation(config["evaluation"], {}, "")
    _check_strategies(config, datasets)
    _check_studies(config, datasets)
    _check_views(config)
    _check_initial(config, weights)
    seeds = config["seeds"]
    if len(set(seeds)) != len(seeds):
        raise UserError(f"config: seeds {seeds} names a seed twice, a duplicate run: name it once.")
    for section in ("tables", "figures"):
        for name, options in config[section].items():
            _check_target(config, f"{section}.{name}", options)


def check_shape(config: dict[str, Any]) -> None:
    """Raises UserError for the first place where `config` does not fit the schema."""
    import jsonschema

    schema = parse_yaml(SCHEMA.read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    error = jsonschema.exceptions.best_match(validator.iter_errors(config))
    if error is None:
        return
    place = ".".join(str(part) for part in error.absolute_path) or "the top level"
    if error.validator == "additionalProperties":
        allowed = error.schema.get("properties", {})
        for key in error.instance:
            if key not in allowed:
                hint = nearest(key, allowed)
                raise UserError(f"config: {place} has an unknown key {key!r}{hint}")
    raise UserError(f"config: {place}: {error.message}.")


def _check_strategies(config: dict[str, Any], datasets: Collection[str]) -> None:
    for name, pairs in config["strategies"].items():
        for pair in pairs:
            place = f"strategies.{name}"
            known = [IN_DISTRIBUTION, AUXILIARY, OUT_DOMAIN, *datasets]
            _known(pair["source"], known, "source", place)
            if "shift" in pair:
                registry.lookup("shift", pair["shift"], f"config: {place}")


def _check_studies(config: dict[str, Any], datasets: Collection[str]) -> None:
    for study_name, study in config["studies"].items():
        place = f"studies.{study_name}"
        _known(study["method"], config["methods"], "method", place)
        method = config["methods"][study["method"]]
        _check_override(study.get("override", {}), method, study["method"], f"{place}.override")
        _check_evaluation(config["evaluation"], study.get("evaluation", {}), f"{place}.")
        for name, entry in study["in_distribution"].items():
            _known(name, datasets, "dataset", f"{place}.in_distribution")
            here = f"{place}.in_distribution.{name}"
            _check_override(entry.get("override", {}), method, study["method"], f"{here}.override")
            for key in (AUXILIARY, OUT_DOMAIN):
                if key in entry:
                    _known(entry[key], datasets, "dataset", f"{here}.{key}")
            here += ".ood"
            for ood in entry["ood"]:
                _known(ood, datasets, "dataset", here)
                if ood == name:
                    raise UserError(
                        f"config: {here} names {name}, which is the in-distribution dataset "
                        "itself: take it out of the list."
                    )
            if len(set(entry["ood"])) != len(entry["ood"]):
                raise UserError(f"config: {here} names a dataset twice: name it once.")


def _check_override(override: dict, method: dict, name: str, place: str) -> None:
    """Raises UserError for a setting that the method does not have."""
    for section, values in override.items():
        _known(section, method, f"part of method {name}", place)
        if section == "backbone":  # what timm takes; it will tell
            continue
        for key in values:
            known = [*method[section], *OPTIONAL[name].get(section, [])]
            _known(key, known, f"setting of method {name}", f"{place}.{section}")


def _check_views(config: dict[str, Any]) -> None:
    """L_pos compares a teacher's global view with another view: both must be there."""
    views = config["methods"].get("dino", {}).get("views")
    if views is None:
        return
    n_global, n_local = views["positive"]
    if n_global < 1 or n_global + n_local < 2:
        raise UserError(
            f"config: methods.dino.views.positive: {n_global} global and {n_local} local views "
            "cannot be compared: take at least one global view and one more view."
        )
    if not any(views["negative"]):
        raise UserError("config: methods.dino.views.negative: negatives need at least one view.")


def _check_initial(config: dict[str, Any], weights: Collection[str]) -> None:
    """Every training.initial names weights of the catalogue or a run that can be made."""
    for section in ("methods", "variants"):
        for name, settings in config[section].items():
            initial = settings.get("training", {}).get("initial", RANDOM)
            place = f"{section}.{name}.training.initial"
            kind, _, what = initial.partition("/")
            if kind == "weights":
                _known(what, weights, "weights", place)
            elif kind == "run":
                study, _, variant = what.partition("/")
                _known(study, config["studies"], "study", place)
                _known(NO_NEGATIVES, config["strategies"], "strategy", place)
                method = config["studies"][study]["method"]
                for part in variant.split(JOIN):
                    _known(part, config["variants"], "variant", place)
                    changes, here = config["variants"][part], f"{place}: variants.{part}"
                    _check_override(changes, config["methods"][method], method, here)


def _check_evaluation(top: dict[str, Any], own: dict[str, Any], study: str) -> None:
    """Checks a study's own evaluation over that of the top level; a mistake has its own place.

    study: the beginning of the place of `own`, such as "studies.medical.".
    """
    evaluation = merge(top, own)

    def place(key: str) -> str:
        return f"{study if key in own else ''}evaluation.{key}"

    for score in evaluation["scores"]:
        registry.lookup("score", score, f"config: {place('scores')}")
    for key, taus in (("tau", [evaluation["tau"]]), ("taus", evaluation["taus"])):
        for tau in taus:
            if tau <= 0:
                raise UserError(f"config: {place(key)}: the temperature {tau} must be above 0.")
    if evaluation["tau"] not in evaluation["taus"]:
        raise UserError(
            f"config: {place('tau')} {evaluation['tau']} is not one of {place('taus')}: add it."
        )


def _check_target(config: dict[str, Any], place: str, options: dict[str, Any]) -> None:
    _known(options["study"], config["studies"], "study", place)
    study = config["studies"][options["study"]]
    in_distribution = options.get("in_distribution", [])
    for name in in_distribution:
        _known(name, study["in_distribution"], "in-distribution dataset", place)
    if isinstance(options.get("strategies"), dict):
        for name in options["strategies"]:
            _known(name, in_distribution, "in-distribution dataset", f"{place}.strategies")
    strategies = {s for name in in_distribution for s in strategies_of(options, name)}
    if not in_distribution and isinstance(options.get("strategies"), list):
        strategies = set(options["strategies"])
    for name in strategies:
        _known(name, config["strategies"], "strategy", place)
    method = study["method"]
    for strategy in options.get("variants", {}):
        here = f"{place}.variants"
        _known(strategy, strategies, "strategy", here)
        for part in (p for v in variants_of(options, strategy) for p in v.split(JOIN)):
            _known(part, config["variants"], "variant", here)
            changes = config["variants"][part]
            _check_override(changes, config["methods"][method], method, f"variants.{part}")
    for other in options.get("runs_of", []):
        targets = {**config["tables"], **config["figures"]}
        _known(other, targets, "table or figure", place)
        if targets[other].get("runs_of"):
            raise UserError(
                f"config: {place}.runs_of names {other}, which itself has runs_of: name the tables "
                "behind it instead."
            )
    if options.get("untrained"):
        for key, known in (("none", config["strategies"]), ("untrained", config["variants"])):
            if key not in known:
                raise UserError(f"config: {place}.untrained needs the strategy or variant {key!r}.")
    tested = {ood for entry in study["in_distribution"].values() for ood in entry["ood"]}
    for key in ("near", "far"):
        if key in options:
            _known(options[key], tested, "OOD set", f"{place}.{key}")
    for role, name in options.get("roles", {}).items():
        _known(name, study["in_distribution"], "in-distribution dataset", f"{place}.roles.{role}")


def _known(name: str, known: Iterable[str], kind: str, place: str) -> None:
    known = list(known)
    if name not in known:
        raise unknown(name, known, kind, f"config: {place}")
