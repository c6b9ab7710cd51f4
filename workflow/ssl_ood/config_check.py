"""Checks a config before anything is planned: one clear sentence for what is wrong, and where.

The shape (types, ranges, unknown keys) is in workflow/schemas/config.schema.yaml; what one entry
says about another is here.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from ssl_ood.errors import UserError
from ssl_ood.experiments import IN_DISTRIBUTION, SCORES, SHIFTS

SCHEMA = Path(__file__).parents[1] / "schemas" / "config.schema.yaml"


def check_config(config: dict[str, Any], datasets: Collection[str]) -> None:
    """Raises UserError for the first thing in `config` that cannot be meant.

    config: as merged by Snakemake, nulls removed; datasets: the names in the catalogue.
    """
    check_shape(config)
    _check_strategies(config, datasets)
    _check_studies(config, datasets)
    _check_views(config)
    _check_evaluation(config["evaluation"])
    seeds = config["seeds"]
    if len(set(seeds)) != len(seeds):
        raise UserError(f"config: seeds {seeds} names a seed twice, a duplicate run: name it once.")
    for section in ("tables", "figures"):
        for name, options in config[section].items():
            _check_target(config, f"{section}.{name}", options)


def check_shape(config: dict[str, Any]) -> None:
    """Raises UserError for the first place where `config` does not fit the schema."""
    import jsonschema
    import yaml

    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    error = jsonschema.exceptions.best_match(validator.iter_errors(config))
    if error is None:
        return
    place = ".".join(str(part) for part in error.absolute_path) or "the top level"
    if error.validator == "additionalProperties":
        allowed = error.schema.get("properties", {})
        for key in error.instance:
            if key not in allowed:
                hint = _nearest(key, allowed)
                raise UserError(f"config: {place} has an unknown key {key!r}{hint}")
    raise UserError(f"config: {place}: {error.message}.")


def _check_strategies(config: dict[str, Any], datasets: Collection[str]) -> None:
    for name, pairs in config["strategies"].items():
        for pair in pairs:
            place = f"strategies.{name}"
            _known(pair["source"], [IN_DISTRIBUTION, *datasets], "source", place)
            if "shift" in pair:
                _known(pair["shift"], SHIFTS, "shift", place)


def _check_studies(config: dict[str, Any], datasets: Collection[str]) -> None:
    for study_name, study in config["studies"].items():
        place = f"studies.{study_name}"
        _known(study["method"], config["methods"], "method", place)
        for name, entry in study["in_distribution"].items():
            _known(name, datasets, "dataset", f"{place}.in_distribution")
            here = f"{place}.in_distribution.{name}.ood"
            for ood in entry["ood"]:
                _known(ood, datasets, "dataset", here)
                if ood == name:
                    raise UserError(
                        f"config: {here} names {name}, which is the in-distribution dataset "
                        "itself: take it out of the list."
                    )
            if len(set(entry["ood"])) != len(entry["ood"]):
                raise UserError(f"config: {here} names a dataset twice: name it once.")


def _check_views(config: dict[str, Any]) -> None:
    """L_pos compares a teacher's global view with another view: both must be there."""
    for name, method in config["methods"].items():
        n_global, n_local = method["views"]["positive"]
        if n_global < 1 or n_global + n_local < 2:
            raise UserError(
                f"config: methods.{name}.views.positive: {n_global} global and {n_local} local "
                "views cannot be compared: take at least one global view and one more view."
            )
        if not any(method["views"]["negative"]):
            raise UserError(
                f"config: methods.{name}.views.negative: negatives need at least one view."
            )


def _check_evaluation(evaluation: dict[str, Any]) -> None:
    for score in evaluation["scores"]:
        _known(score, SCORES, "score", "evaluation.scores")
    for key, taus in (("tau", [evaluation["tau"]]), ("taus", evaluation["taus"])):
        for tau in taus:
            if tau <= 0:
                raise UserError(f"config: evaluation.{key}: the temperature {tau} must be above 0.")
    if evaluation["tau"] not in evaluation["taus"]:
        raise UserError(
            f"config: evaluation.tau {evaluation['tau']} is not one of evaluation.taus: add it."
        )


def _check_target(config: dict[str, Any], place: str, options: dict[str, Any]) -> None:
    _known(options["study"], config["studies"], "study", place)
    study = config["studies"][options["study"]]
    in_distribution = options.get("in_distribution", [])
    for name in in_distribution:
        _known(name, study["in_distribution"], "in-distribution dataset", place)
    for name in options.get("strategies", []):
        _known(name, config["strategies"], "strategy", place)
    for strategy, variants in options.get("variants", {}).items():
        _known(strategy, options.get("strategies", []), "strategy", f"{place}.variants")
        for variant in variants:
            _known(variant, config["variants"], "variant", f"{place}.variants")
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


def _known(name: str, known: Iterable[str], what: str, place: str) -> None:
    known = list(known)
    if name not in known:
        raise UserError(f"config: {place}: unknown {what} {name!r}{_nearest(name, known)}")


def _nearest(name: str, known: Iterable[str]) -> str:
    """The end of a sentence that helps: the nearest valid name, or all of them."""
    known = sorted(map(str, known))
    close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known are {', '.join(known[:12])}" + (" ..." if len(known) > 12 else ".")
