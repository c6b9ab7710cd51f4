"""Checks the tables and figures of a config: their forms, their options and the runs they show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ssl_ood.common.csv_files import rows_of
from ssl_ood.common.errors import UserError, nearest
from ssl_ood.common.registry import Entry, lookup
from ssl_ood.common.settings import read_settings
from ssl_ood.common.vocabulary import JOIN, NO_NEGATIVES, POOLED, UNTRAINED
from ssl_ood.study.check import check_layer, evaluation_of, known
from ssl_ood.study.expand import form_of, homes_of
from ssl_ood.study.settings import Baseline, Config, Target

SHOW_RUNS = {"measurements", "scores"}  # what a form needs that shows what models do


def check_targets(config: Config) -> None:
    """Raises UserError for the first table or figure that could not be made."""
    folder = Path(config.reported_dir)
    if not folder.is_dir():
        raise UserError(
            f"config: reported_dir {config.reported_dir} is not a folder: name the one of the "
            "reported values."
        )
    for name in config.tables.keys() & config.figures.keys():
        raise UserError(f"config: {name} is a table and a figure: rename one of the two.")
    for name, target in config.targets.items():
        kind = config.kind_of(name)
        place = f"{kind}s.{name}"
        form = lookup(kind, form_of(kind, name, target.form), f"config: {place}")
        known(target.study, config.studies, "study", place)
        _check_runs_of(config, target, place)
        _check_selection(config, target, place)
        _check_options(config, target, form, place, folder)
        _check_compared(target, form, place)
        if "shortcuts" in form.needs and not form.needs & SHOW_RUNS:
            _check_pairs(config, target, place)
        _check_baselines(config, name, form, place)
        shows = target.runs_of or target.untrained or target.strategies
        if form.needs & SHOW_RUNS and not (shows and (target.in_distribution or target.runs_of)):
            raise UserError(
                f"config: {place} names no runs to show: add in_distribution and strategies, or "
                "runs_of."
            )


def _check_pairs(config: Config, target: Target, place: str) -> None:
    """Of a form that shows what needs no learning: it names what is compared."""
    homes = {h for name in target.runs_of for h in config.targets[name].in_distribution}
    entries = config.studies[target.study].in_distribution
    if not any(entries[home].ood for home in homes | {*target.in_distribution}):
        raise UserError(
            f"config: {place} names no in-distribution dataset that has OOD sets: add one to its "
            "in_distribution."
        )


def _check_runs_of(config: Config, target: Target, place: str) -> None:
    for other in target.runs_of:
        known(other, config.targets, "table or figure", place)
        if config.targets[other].runs_of:
            raise UserError(
                f"config: {place}.runs_of names {other}, which itself has runs_of: name the tables "
                "behind it instead."
            )
        if config.targets[other].optional and not target.optional:
            raise UserError(
                f"config: {place}.runs_of names {other}, which is optional, so that its trainings "
                "would be everybody's: make both optional, or neither."
            )
        if (study := config.targets[other].study) != target.study:
            raise UserError(
                f"config: {place}.runs_of names {other}, which shows the study {study} and not "
                f"{target.study}: name tables and figures of one study."
            )


def _check_selection(config: Config, target: Target, place: str) -> None:
    """The datasets, strategies and variants of a table or figure."""
    study = config.studies[target.study]
    for name in target.in_distribution:
        known(name, study.in_distribution, "in-distribution dataset", place)
    lists: dict[str, Iterable[str]] = {place: target.strategies}
    if isinstance(target.strategies, dict):
        for name in target.strategies:
            known(name, target.in_distribution, "in-distribution dataset", f"{place}.strategies")
        lists = {f"{place}.strategies.{name}": s for name, s in target.strategies.items()}
    given = "strategies" in target.model_fields_set
    for where, names in lists.items():
        if given and not names:
            raise UserError(
                f"config: {where.removesuffix('.strategies')}: the list of strategies is empty: "
                "name one, or take the dataset or the key out."
            )
        for name in names:
            known(name, config.strategies, "strategy", place)
    strategies = {name for names in lists.values() for name in names}
    for strategy in target.variants:
        here = f"{place}.variants"
        known(strategy, strategies, "strategy", here)
        variants = target.variants_of(strategy)
        if not variants:
            raise UserError(f"config: {here}.{strategy} is empty: name a variant, such as base.")
        for part in dict.fromkeys(p for variant in variants for p in variant.split(JOIN)):
            known(part, config.variants, "variant", here)
            check_layer(config, study.method, f"variants.{part}", config.variants[part])
    if target.untrained:
        for name, names in ((NO_NEGATIVES, config.strategies), (UNTRAINED, config.variants)):
            if name not in names:
                raise UserError(
                    f"config: {place}.untrained needs the strategy or variant {name!r}."
                )


def _check_compared(target: Target, form: Entry, place: str) -> None:
    """A form that compares variants with one, `against`, has it and another to compare with it."""
    against = form.more.get("against")
    if against is None:
        return
    for strategy, variants in ((s, target.variants_of(s)) for s in target.variants):
        if against not in variants:
            raise UserError(
                f"config: {place}.variants.{strategy} has no {against!r}, with which the form "
                f"{form.name} compares the others: add it."
            )
    if not any(len(target.variants_of(s)) > 1 for s in target.variants):
        raise UserError(
            f"config: {place} has no variant beside {against!r}, with which the form {form.name} "
            "compares: name some under variants."
        )


def _check_baselines(config: Config, name: str, form: Entry, place: str) -> None:
    """The methods of other studies."""
    target, homes = config.targets[name], homes_of(config, name)
    if target.baselines and not form.more.get("baselines"):
        raise UserError(
            f"config: {place}.baselines: the form {form.name} shows no other methods: take the key "
            "out."
        )
    for baseline, other in target.baselines.items():
        here = f"{place}.baselines.{baseline}"
        known(other.study, config.studies, "study", here)
        known(other.strategy, config.strategies, "strategy", here)
        study = config.studies[other.study]
        for part in other.variant.split(JOIN):
            known(part, config.variants, "variant", here)
            check_layer(config, study.method, f"variants.{part}", config.variants[part])
        scores = evaluation_of(config, study, other.study).scores
        if other.score is not None and other.score not in scores:
            raise UserError(
                f"config: {here}.score: study {other.study} does not compute {other.score} (it has "
                f"{', '.join(scores)}): add it to the evaluation.scores of the study."
            )
        own = config.studies[target.study].in_distribution
        _check_stand_ins(config, other, {home: own[home].ood for home in homes}, here)
        if not {other.in_distribution.get(h, h) for h in homes} & study.in_distribution.keys():
            raise UserError(
                f"config: {here}.study: {other.study} has none of the in-distribution datasets of "
                f"{place} ({', '.join(homes)}): add one, or take {baseline} out."
            )


def _check_stand_ins(
    config: Config, other: Baseline, shown_sets: Mapping[str, Iterable[str]], here: str
) -> None:
    """Datasets of another study that stand for those of the table.

    shown_sets: the table's OOD sets, by its in-distribution datasets.
    """
    homes, ours = list(shown_sets), [ood for sets in shown_sets.values() for ood in sets]
    entries = config.studies[other.study].in_distribution
    for home, dataset in other.in_distribution.items():
        known(home, homes, "in-distribution dataset", f"{here}.in_distribution")
        known(dataset, entries, "in-distribution dataset", f"{here}.in_distribution.{home}")
    tested = {name for dataset in other.in_distribution.values() for name in entries[dataset].ood}
    tested |= {name for home in homes if home in entries for name in entries[home].ood}
    for shown, name in other.ood.items():
        known(shown, [*ours, POOLED], "OOD set", f"{here}.ood")
        known(name, tested, "OOD set", f"{here}.ood.{shown}")


def _check_options(
    config: Config, target: Target, form: Entry, place: str, reported_dir: Path
) -> None:
    """What belongs to the form. Options that several forms have mean the same in each."""
    options, study = target.options, config.studies[target.study]
    for key in options:
        if key not in form.settings.key_names():
            hint = nearest(key, [*form.settings.key_names(), *Target.model_fields])
            raise UserError(f"config: {place} (form {form.name}) has an unknown key {key!r}{hint}")
    read_settings(form.settings, options, f"config: {place}")
    scores = evaluation_of(config, study, target.study).scores
    for key in ("score", "scores"):
        for score in _listed(options.get(key)):
            lookup("score", score, f"config: {place}.{key}")
            if score not in scores:
                raise UserError(
                    f"config: {place}.{key}: study {target.study} does not compute {score} (it has "
                    f"{', '.join(scores)}): add it to the evaluation.scores of the study."
                )
    tested = {ood for entry in study.in_distribution.values() for ood in entry.ood}
    for key in ("near", "far"):
        for name in _listed(options.get(key)):
            known(name, tested, "OOD set", f"{place}.{key}")
    lists = target.strategies.values() if isinstance(target.strategies, dict) else ()
    strategies = [name for names in lists for name in names] or target.strategies
    for name in _listed(options.get("second_evaluations")):
        known(name, strategies, "strategy", f"{place}.second_evaluations")
    for role, name in (options.get("roles") or {}).items():
        known(name, study.in_distribution, "in-distribution dataset", f"{place}.roles.{role}")
    for artefact in _listed(options.get("reported")):
        known(artefact, artefacts(reported_dir), "reported artefact", f"{place}.reported")


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


@cache
def artefacts(folder: Path) -> tuple[str, ...]:
    """The tables and figures that have reported values in the csv files of a folder."""
    names: dict[str, None] = {}
    for path in sorted(folder.glob("*.csv")):
        for row in rows_of(path.read_bytes(), str(path)):
            if "artefact" in row:
                names[row["artefact"]] = None
    return tuple(names)
