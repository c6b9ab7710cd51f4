"""Dictionaries of settings laid over each other, and files of them."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ssl_ood.common.errors import UserError, nearest
from ssl_ood.study.paths import CLONE

# What YAML 1.1 reads as another number than a person does: 010 is 8, and 24:00 is 1440.
DISGUISED = re.compile(r"[-+]?(0[0-9_]+$|[0-9][0-9_]*:)")
# A title or a folder may be named 2024.
STAY_TEXT = frozenset(
    {
        "titles",
        "results_dir",
        "downloads_dir",
        "archive_dirs",
        "catalogue",
        "reported_dir",
        "catalogues",
        "datasets",
    }
)
WHOLE = "results_dir"  # a file with this key is a whole config; others are laid over one
PLACES = (Path("config.yaml"), Path("config/config.yaml"), CLONE / "config.yaml")
LITERAL = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?|true|false|null")


def merge(*layers: dict[str, Any]) -> dict[str, Any]:
    """A new dictionary, each layer laid over those before it, key by key at every depth."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            if isinstance(value, dict):
                below = merged.get(key)
                merged[key] = merge(below if isinstance(below, dict) else {}, value)
            else:
                merged[key] = copy.deepcopy(value)
    return merged


def overridden(sections: dict[str, Any], *layers: dict[str, Any]) -> dict[str, Any]:
    """The sections of a method with overrides and variants laid over them, see `merge`.

    A layer whose backbone names another network takes over no option of the one before it.
    """
    for layer in layers:
        before, named = (part.get("backbone", {}).get("name") for part in (sections, layer))
        if named not in (None, before):
            sections = {key: value for key, value in sections.items() if key != "backbone"}
        sections = merge(sections, layer)
    return sections


def typed(value: Any) -> Any:
    """The config with text that spells a number, true, false or null turned into that.

    Snakemake reads `--config "seeds=[0,1]"` as a list of text. A title or a path stays text.
    """
    if isinstance(value, dict):
        return {k: v if k in STAY_TEXT else typed(v) for k, v in value.items()}
    if isinstance(value, list):
        return [typed(v) for v in value]
    if isinstance(value, str) and LITERAL.fullmatch(value):
        return json.loads(value)
    return value


def without_nulls(value: Any) -> Any:
    """The config without the keys that are null: how a second file takes something away."""
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    return value


def parse_config(text: str, name: str) -> dict[str, Any]:
    """A layer from YAML. Raises UserError for what is not YAML, no mapping, or has a key twice."""
    import yaml

    def construct_number(loader: Loader, node: yaml.ScalarNode) -> float:
        if DISGUISED.match(node.value):
            raise UserError(
                f"{name}, line {node.start_mark.line + 1}: YAML takes {node.value} for a number "
                "to the base of 8 or 60: write it without a leading zero and without a colon."
            )
        return yaml.SafeLoader.yaml_constructors[node.tag](loader, node)

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
            seen: set[Hashable] = set()
            for key, _ in node.value:
                if key.tag == "tag:yaml.org,2002:merge" or not isinstance(key.value, str):
                    continue
                if key.value in seen:
                    raise UserError(
                        f"{name}, line {key.start_mark.line + 1}: the key {key.value!r} is there "
                        "twice, and only one of the two would count: remove one."
                    )
                seen.add(key.value)
            return super().construct_mapping(node, deep)

    for kind in ("int", "float"):
        Loader.add_constructor(f"tag:yaml.org,2002:{kind}", construct_number)
    try:
        layer = yaml.load(text, Loader)
        json.dumps(layer, default=str, skipkeys=True)  # refuses what is a part of itself
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"The config {name} is not valid YAML: {reason}.") from None
    if not isinstance(layer, dict):
        raise UserError(
            f"The config {name} is not a mapping of keys to values: write `key: value`."
        )
    return layer


def read_layers(paths: Sequence[str | Path], check: bool = True) -> list[dict[str, Any]]:
    """Config files, each to be laid over those before it.

    Raises UserError for one that cannot be read, that has a key twice, or that takes a key away
    which no file before it has (left out without `check`).
    """
    layers: list[dict[str, Any]] = []
    for path in paths:
        try:
            text = Path(path).read_text(encoding="utf-8-sig")
        except OSError as error:
            raise UserError(f"The config {path} cannot be read: {error.strerror}.") from None
        except UnicodeDecodeError as error:
            raise UserError(
                f"The config {path} is not UTF-8 (byte {error.start}): save it as UTF-8."
            ) from None
        layers.append(parse_config(text, str(path)))
    if check:
        check_nulls(layers, [str(path) for path in paths])
    return layers


def read_config(paths: Sequence[str | Path]) -> dict[str, Any]:
    """One config of files, each laid over those before it, and the first, where it is not whole
    config, over the one that Snakemake would lay it over: so `--configfile mine.yaml` means the
    same to both. Raises UserError as `read_layers`."""
    layers = read_layers(paths, check=False)
    names = [str(path) for path in paths]
    if layers and WHOLE not in layers[0]:
        below = next((place for place in PLACES if place.is_file()), None)
        if below is not None:
            layers, names = [*read_layers([below]), *layers], [str(below), *names]
    check_nulls(layers, names)
    return merge(*layers)


def check_nulls(layers: Sequence[dict[str, Any]], names: Sequence[str]) -> None:
    """Raises UserError for a null that takes nothing away, and for a section that comes back after
    one: Snakemake, which merges the files above the first one with each other before they are laid
    over it, would fill it with what the null took away. names: of the files of the layers."""
    below: dict[str, Any] = {}
    taken: dict[tuple[str, ...], str] = {}
    for layer, name in zip(layers, names, strict=True):
        for path in _sections(layer):
            if path in taken:
                raise UserError(
                    f"{name}: {'.'.join(map(str, path))} is a section, but {taken[path]} takes "
                    "this key away by null: remove one of the two."
                )
        for path in _nulls(layer):
            there: Any = below
            for key in path[:-1]:
                there = there.get(key) if isinstance(there, dict) else None
            keys = there if isinstance(there, dict) else {}
            known = [key for key, value in keys.items() if value is not None]
            if path[-1] not in known:
                hint = nearest(path[-1], known) if known else "."
                raise UserError(
                    f"{name}: {'.'.join(map(str, path))} is null, which takes a key away, but no "
                    f"file before it has this key: remove the line{hint}"
                )
            taken[path] = name
        below = merge(below, layer)


def _sections(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict):
        yield path
        for key, below in value.items():
            yield from _sections(below, (*path, key))


def _nulls(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if value is None:
        yield path
    elif isinstance(value, dict):
        for key, below in value.items():
            yield from _nulls(below, (*path, key))
