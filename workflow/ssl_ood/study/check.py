"""Checks the names in a config before anything is planned: what one entry says about another.

Every mistake is one sentence: what is wrong, where, what to do. The types and ranges are those of
`settings.py`, tables and figures are checked in `check_targets.py`, whole runs in `check_runs.py`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

from ssl_ood.common.errors import UserError, unknown
from ssl_ood.common.registry import lookup
from ssl_ood.common.settings import read_settings
from ssl_ood.common.vocabulary import (
    AUXILIARY,
    BASE,
    IN_DISTRIBUTION,
    JOIN,
    NO_NEGATIVES,
    OUT_DOMAIN,
    RANDOM,
)
from ssl_ood.datasets.names import at_size
from ssl_ood.methods.network_options import option_fault
from ssl_ood.methods.settings import INITIAL
from ssl_ood.study.layers import merge, overridden
from ssl_ood.study.settings import Config, Evaluation, Study

OF_DATASETS = frozenset({"labels"})  # what a score may need that no method has to give


def check_config(config: Config, datasets: Collection[str], weights: Collection[str] = ()) -> None:
    """Raises UserError for the first name in `config` that is none.

    datasets and weights: the names in the catalogue.
    """
    _check_methods(config)
    _check_strategies(config, datasets)
    for name, study in config.studies.items():
        _check_study(config, name, study, datasets)
        _check_evaluation(config, name, study)
    _check_initial(config, weights)
    _check_variants(config)
    if BASE not in config.variants:
        raise UserError(f"config: variants has no {BASE!r}: add `{BASE}: {{}}`.")
    seeds = config.seeds
    if len(set(seeds)) != len(seeds):
        raise UserError(
            f"config: seeds {list(seeds)} names a seed twice, a duplicate run: name it once."
        )


def known(name: str, names: Iterable[str], kind: str, place: str) -> None:
    """Raises UserError, with the nearest name, for a name that is none of `names`."""
    names = list(names)
    if name not in names:
        raise unknown(name, names, kind, f"config: {place}")


def check_layer(config: Config, method: str, place: str, layer: dict[str, Any]) -> None:
    """Raises UserError for a setting over those of a method that it does not have, or not so."""
    sections = lookup("method", method).settings
    here = f"config: for method {method}, {place}"
    read_settings(sections, overridden(config.methods[method], layer), here)


def _check_methods(config: Config) -> None:
    for name, sections in config.methods.items():
        entry = lookup("method", name, "config: methods")
        settings = read_settings(entry.settings, sections, f"config: methods.{name}")
        for key, value in settings.backbone.options.items():  # of methods without a run, too
            if fault := option_fault(key, value):
                raise UserError(f"config: methods.{name}.backbone.{key} is {value!r}{fault}")


def _check_strategies(config: Config, datasets: Collection[str]) -> None:
    roles = [IN_DISTRIBUTION, AUXILIARY, OUT_DOMAIN]
    for name, parts in config.strategies.items():
        for part in parts:
            known(part.source, [*roles, *datasets], "source", f"strategies.{name}")
            if part.shift is not None:
                lookup("shift", part.shift, f"config: strategies.{name}")


def _check_study(config: Config, name: str, study: Study, datasets: Collection[str]) -> None:
    place = f"studies.{name}"
    known(study.method, config.methods, "method", place)
    check_layer(config, study.method, f"{place}.override", study.override)
    if not study.in_distribution:
        raise UserError(f"config: {place}.in_distribution is empty: name a dataset to train on.")
    for dataset, entry in study.in_distribution.items():
        known(dataset, datasets, "dataset", f"{place}.in_distribution")
        here = f"{place}.in_distribution.{dataset}"
        layer = merge(study.override, entry.override)
        check_layer(config, study.method, f"{here}.override", layer)
        for role in (AUXILIARY, OUT_DOMAIN):
            if (other := getattr(entry, role)) is not None:
                known(other, datasets, "dataset", f"{here}.{role}")
        _check_ood(entry.ood, dataset, datasets, f"{here}.ood")
        _check_ood(
            [_dataset_of(n, here) for n in entry.beside], dataset, datasets, f"{here}.beside"
        )
        for key, names in ("ood", entry.ood), ("beside", (*entry.ood, *entry.beside)):
            if len(set(names)) != len(names):
                raise UserError(f"config: {here}.{key} names a dataset twice: name it once.")


def _check_ood(names: Iterable[str], dataset: str, datasets: Collection[str], place: str) -> None:
    for ood in names:
        known(ood, datasets, "dataset", place)
        if ood == dataset:
            raise UserError(
                f"config: {place} names {dataset}, which is the in-distribution dataset itself: "
                "take it out of the list."
            )


def _dataset_of(name: str, here: str) -> str:
    """The dataset of NAME@SIZE."""
    try:
        return at_size(name)[0]
    except ValueError as error:
        raise UserError(f"config: {here}.beside: {error}.") from None


def evaluation_of(config: Config, study: Study, name: str) -> Evaluation:
    """How the runs of a study are scored: its own over that of the top level.

    Raises UserError for a value of its own that cannot be meant; name: of the study.
    """
    if not study.evaluation:
        return config.evaluation
    top = config.evaluation.model_dump(exclude_unset=True, mode="json")
    place = f"config: studies.{name}.evaluation"
    return read_settings(Evaluation, merge(top, study.evaluation), place)


def _check_evaluation(config: Config, name: str, study: Study) -> None:
    """A mistake is reported at the place where it was written: in the study or at the top level."""
    evaluation = evaluation_of(config, study, name)

    def place(key: str) -> str:
        return f"{f'studies.{name}.' if key in study.evaluation else ''}evaluation.{key}"

    method = lookup("method", study.method)
    for score in evaluation.scores:
        entry = lookup("score", score, f"config: {place('scores')}")
        lacking = sorted(entry.needs - OF_DATASETS - method.more["offers"])
        if lacking or entry.more.get("method", study.method) != study.method:
            of = " and ".join(lacking) or f"runs of method {entry.more['method']}"
            raise UserError(
                f"config: studies.{name}: the score {score} of {place('scores')} needs {of}, which "
                f"method {study.method} does not give: give the study scores of its own without it."
            )
    for score, values in evaluation.parameters.items():
        entry = lookup("score", score, f"config: {place('parameters')}")
        read_settings(entry.settings, values, f"config: {place('parameters')}.{score}")
    if evaluation.tau not in evaluation.taus:
        raise UserError(
            f"config: {place('tau')} {evaluation.tau} is not one of {place('taus')}: add it."
        )


def _check_variants(config: Config) -> None:
    """Every variant has settings of some method, whether a table shows it or not."""
    for name, layer in config.variants.items():
        mistakes = []
        for method in config.methods:
            try:
                check_layer(config, method, f"variants.{name}", layer)
            except UserError as error:
                mistakes.append(error)
        if mistakes and len(mistakes) == len(config.methods):
            # Of a method that has the key, else of one that has a similar one.
            values = [error for error in mistakes if "unknown key" not in str(error)]
            close = [error for error in mistakes if "did you mean" in str(error)]
            raise (values or close or mistakes)[0]


def _check_initial(config: Config, weights: Collection[str]) -> None:
    """Every training.initial names weights of the catalogue or a run that can be made."""
    for section, entries in (("methods", config.methods), ("variants", config.variants)):
        for name, settings in entries.items():
            initial = settings.get("training", {}).get("initial", RANDOM)
            place = f"{section}.{name}.training.initial"
            if not isinstance(initial, str) or not re.fullmatch(INITIAL, initial):
                raise UserError(
                    f"config: {place} is {initial!r}: write random, weights/NAME or "
                    "run/STUDY/VARIANT."
                )
            kind, _, start = initial.partition("/")
            if kind == "weights":
                known(start, weights, "weights", place)
            elif kind == "run":
                study, _, variant = start.partition("/")
                known(study, config.studies, "study", place)
                known(NO_NEGATIVES, config.strategies, "strategy", place)
                for part in variant.split(JOIN):
                    known(part, config.variants, "variant", place)
                    here = f"{place}: variants.{part}"
                    check_layer(config, config.studies[study].method, here, config.variants[part])
