"""The reference of the config, made from the classes that read it and from what is declared.

`ssl_ood reference` writes it, with the other pages of the reference (`ssl_ood.manual`); a test
fails where one is out of date.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

from ssl_ood.common.files import write_text
from ssl_ood.common.registry import KINDS, Entry, entries
from ssl_ood.common.settings import Settings
from ssl_ood.study.coverage import coverage_page, read_coverage
from ssl_ood.study.own_settings import OwnStudy
from ssl_ood.study.protocol import page, read_protocol
from ssl_ood.study.settings import Config

INTRODUCTION = """# The config

<!-- Written by `ssl_ood reference`: change the classes in workflow/ssl_ood, not this file. -->

Every key of `config.yaml`: its type and range, its default and its meaning. A second file,
`--configfile mine.yaml`, is laid over `config.yaml` key by key; `key: null` there takes a key away.
`ssl_ood check --configfile mine.yaml` says what is wrong with both. The `config.yaml`
in this folder is a copy of the one at the root, for workflows that are deployed as a module.
"""
OWN = "studies.NAME (of own images)"
HEADER = "| key | type | default | meaning |\n|---|---|---|---|\n"
PLURALS = {
    "method": "Methods",
    "score": "Scores",
    "cue": "Cues that need no learning",
    "shift": "Shifting transformations",
    "reader": "Readers of archives",
    "table": "Forms of tables",
    "figure": "Forms of figures",
}
ORIGINS = {
    "code": "the authors' code",
    "paper": "the paper",
    "abstract": "the abstract",
    "memory": "memory",
}
WORDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
}


def write_reference(folder: Path, config: Path, docs: Path) -> None:
    """Writes README.md and a copy of `config` to the folder; protocol.md, coverage.md to `docs`."""
    write_text(folder / "README.md", reference())
    write_text(folder / "config.yaml", config.read_text(encoding="utf-8"))
    write_text(docs / "protocol.md", page(read_protocol()))
    write_text(docs / "coverage.md", coverage_page(read_coverage()))


def reference() -> str:
    """The whole reference, in markdown."""
    parts = [INTRODUCTION]
    places: dict[type[Settings], list[str]] = {}
    for path, cls in [*_sections("", Config), *_sections(OWN, OwnStudy)]:
        places.setdefault(cls, []).append(f"`{path}`" if path else "The top level")
    parts += [_section(", ".join(paths), cls) for cls, paths in places.items()]
    for kind in KINDS:
        parts += _declared(kind)
    return "\n".join(parts)


def _sections(path: str, cls: type[Settings]) -> Iterator[tuple[str, type[Settings]]]:
    """A class of settings and those below it, by their places."""
    yield path, cls
    for name, field in cls.model_fields.items():
        below, suffix = _class_in(field.annotation)
        if below is not None:
            key = f"{path}.{field.alias or name}".lstrip(".")
            yield from _sections(key + suffix, below)


def _class_in(annotation: Any) -> tuple[type[Settings] | None, str]:
    """The class that a field holds, alone, in a list or by name; and what its place ends with."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return annotation, ""
    inner, suffix = get_args(annotation), ""
    if get_origin(annotation) is dict:
        inner, suffix = inner[1:], ".NAME"
    elif get_origin(annotation) is tuple:
        suffix = "[]"
    for part in inner:
        below, more = _class_in(part)
        if below is not None:
            return below, suffix + more
    return None, ""


def _section(title: str, cls: type[Settings]) -> str:
    return f"## {title}\n{' '.join((cls.__doc__ or '').split())}\n\n{HEADER}" + _rows(cls)


def _rows(cls: type[Settings], prefix: str = "") -> str:
    schema = cls.model_json_schema()
    required = schema.get("required", [])
    lines = []
    for name, field in cls.model_fields.items():
        key = field.alias or name
        default = "**required**" if key in required else _default(field.get_default())
        kind = _type(schema["properties"][key], schema.get("$defs", {}))
        meaning = (field.description or "").replace("|", "\\|")
        lines.append(f"| `{prefix}{key}` | {kind} | {default} | {meaning} |\n")
    return "".join(lines)


def _default(value: Any) -> str:
    if value is None or value in ((), {}) or isinstance(value, Settings):
        return "—"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{list(value) if isinstance(value, tuple) else value}`"


def _type(schema: dict[str, Any], classes: dict[str, Any]) -> str:
    """A type and its range in words, from a JSON schema."""
    if "$ref" in schema:
        return "mapping, see below"
    if options := [s for s in schema.get("anyOf", []) if s.get("type") != "null"]:
        return " or ".join(dict.fromkeys(_type(option, classes) for option in options))
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        items = schema.get("prefixItems")
        count = f" of {len(items)}" if items else ""
        each = _type((items or [schema.get("items", {})])[0], classes)
        return f"list{count}: {each.removesuffix(', see below')}" + (
            ", see below" if each.endswith("see below") else ""
        )
    if schema.get("type") == "object":
        return "mapping"
    return WORDS.get(schema.get("type", ""), "as the meaning says") + _range(schema)


def _range(schema: dict[str, Any]) -> str:
    low, high, between = schema.get("minimum"), schema.get("maximum"), ""
    if low is not None and high is not None:
        between = f", {low:g} to {high:g}"
        schema = {"multipleOf": schema["multipleOf"]} if "multipleOf" in schema else {}
    bounds = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
        "multipleOf": "a multiple of",
    }
    return between + "".join(
        f", {word} {schema[key]:g}" for key, word in bounds.items() if key in schema
    )


def _declared(kind: str) -> list[str]:
    things = entries(kind)
    if not things:
        return []
    parts = [f"## {PLURALS[kind]}\n"]
    if kind == "method":
        for entry in things:
            parts += _method(entry)
        return parts
    parts.append("| name | title | what it is | options |\n|---|---|---|---|")
    for entry in things:
        fields = entry.settings.model_fields
        options = ", ".join(f"`{field.alias or name}`" for name, field in fields.items())
        parts.append(
            f"| `{entry.name}` | {entry.title} | {_line(entry.notes)} | {options or '—'} |"
        )
    options = {
        (field.alias or name): f"| `{field.alias or name}` | {field.description or ''} |"
        for entry in things
        for name, field in entry.settings.model_fields.items()
    }
    if options:
        parts += ["", "| option | meaning |\n|---|---|", *options.values()]
    return [*parts, ""]


def _line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|") or "—"


def _method(entry: Entry) -> list[str]:
    devices = (
        "any number of devices" if entry.max_devices is None else f"{entry.max_devices} device"
    )
    origin = ORIGINS.get(entry.source, entry.source)
    offers = ", ".join(sorted(entry.more["offers"]))
    parts = [
        f"### `methods.{entry.name}`: {entry.title}\n{entry.notes}\n\nBuilt from {origin}; "
        f"trained on {devices}; gives {offers}.\n",
        HEADER.rstrip("\n"),
    ]
    for name, field in entry.settings.model_fields.items():
        below, _ = _class_in(field.annotation)
        assert below is not None, f"{entry.name}.{name} is not a section"
        parts.append(_rows(below, f"{name}.").rstrip("\n"))
    return [*parts, ""]
