"""The reference, written from the code: the config, the command line, the Python API, the data.

    ssl_ood reference      # writes config/ and what docs/ has of data and declarations

A test fails where a page is out of date.
"""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ssl_ood.common.files import write_text

NOTE = "<!-- Written by `ssl_ood reference` from the code: change that, not this page. -->"
COMMANDS = f"""# The command line

{NOTE}

`ssl_ood STAGE --help` prints the same. Every rule of the workflow runs one of these stages.
`--debug`, before or after the name of a stage, shows the traceback of a fault. A stage ends with
0, with 2 for a mistake that its user can mend, with 1 for any other fault, and with 3 where
`watch` ran a workflow that had to leave something out because data are missing.
"""
PYTHON = f"""# The Python API

{NOTE}

```py
from ssl_ood import load

model = load("run.zip")  # a bundle, or the folder of a run, results/runs/RUN
scores = model.score(images)  # (N,); larger is more anomalous
suspicious = model.flagged(scores, false_alarms=0.01)
```

What is listed here stays as it is within a minor version; every other module may change. Plugins
use `ssl_ood.common.registry.register` as well ([how](../extend.md)).
"""
DATA = f"""# Data dictionary

{NOTE}

What `ssl_ood export` writes, one folder per run. The same dictionary lies beside the exported
files, as a page and as a table schema (`datapackage.json`, Frictionless Data). Every file is
parquet; a missing value is null, or NaN. The columns of scores are those that `evaluation.scores`
names, with a temperature behind an `@` where a score has one, as `cosine_tau@0.04`.
"""


def add_parser(stages: Any, parser: argparse.ArgumentParser) -> None:
    """Adds `reference`, which describes the whole `parser`."""
    stage = stages.add_parser("reference", help="write the reference of config, commands and data")
    stage.add_argument("--config", type=Path, default=Path("config.yaml"), metavar="FILE")
    stage.add_argument("--output", type=Path, default=Path("config"), help="folder")
    stage.add_argument("--docs", type=Path, default=Path("docs"), help="folder of the other pages")
    stage.set_defaults(run=_reference, whole_parser=parser)


def _reference(options: argparse.Namespace) -> None:
    from ssl_ood.study.reference import write_reference

    write_reference(options.output, options.config, options.docs)
    write_manual(options.docs, options.whole_parser)


def write_manual(docs: Path, parser: argparse.ArgumentParser) -> None:
    """Writes reference/cli.md, python.md and data.md below the folder `docs`."""
    write_text(docs / "reference" / "cli.md", command_page(parser))
    write_text(docs / "reference" / "python.md", python_page())
    write_text(docs / "reference" / "data.md", data_page())


# ---- the command line


def command_page(parser: argparse.ArgumentParser) -> str:
    """Every stage with its arguments, in markdown."""
    (stages,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    words = {choice.dest: choice.help or "" for choice in stages._choices_actions}
    parts = [COMMANDS]
    for name, stage in stages.choices.items():
        actions = [a for a in stage._actions if a.dest not in ("help", "debug")]
        usage = " ".join(["ssl_ood", name, *map(_usage, actions)])
        parts.append(f"## `{name}`\n\n{_sentence(words[name])}\n\n```sh\n{usage}\n```\n")
        if actions:
            rows = [(_names(a), _default(a), _cell(_help(a))) for a in actions]
            parts.append(_table(("argument", "default", "meaning"), rows))
    return "\n".join(parts)


def _usage(action: argparse.Action) -> str:
    value = _value(action)
    if not action.option_strings:
        return f"[{value}]" if action.nargs in ("?", "*") else value
    text = f"{action.option_strings[-1]} {value}".strip()
    return text if action.required else f"[{text}]"


def _names(action: argparse.Action) -> str:
    names = action.option_strings or [""]
    return "`" + ", ".join(f"{name} {_value(action)}".strip() for name in names) + "`"


def _value(action: argparse.Action) -> str:
    """How the value of an argument is written; empty for a switch."""
    if action.nargs == 0:
        return ""
    if isinstance(action.metavar, tuple):
        return " ".join(action.metavar)
    word = str(action.metavar or action.dest.upper())
    if action.choices is not None:
        word = "{" + ",".join(map(str, action.choices)) + "}"
    return f"{word} ..." if action.nargs in ("+", "*", argparse.REMAINDER) else word


def _default(action: argparse.Action) -> str:
    if action.required:
        return "**required**"
    value = action.default
    if value in (None, [], False, argparse.SUPPRESS):
        return "—"
    return f"`{' '.join(map(str, value)) if isinstance(value, list) else value}`"


def _help(action: argparse.Action) -> str:
    return (action.help or "").replace("%%", "%").replace("%(default)s", str(action.default))


# ---- the Python API


def python_page() -> str:
    """`load` and the public methods of what it returns, from their docstrings."""
    from ssl_ood import load
    from ssl_ood.evaluation.detect.detector import Detector

    things = [("ssl_ood.load", load), *_public_methods("Detector", Detector)]
    parts = [PYTHON, *(_documented(name, thing) for name, thing in things[:1])]
    parts += [f"## `Detector`\n\n{inspect.getdoc(Detector)}\n"]
    parts += [_documented(name, thing, "###") for name, thing in things[1:]]
    return "\n".join(parts)


def _public_methods(prefix: str, cls: type) -> Iterator[tuple[str, Any]]:
    for name, thing in vars(cls).items():
        if not name.startswith("_") and inspect.isfunction(thing):
            yield f"{prefix}.{name}", thing


def _documented(name: str, function: Any, level: str = "##") -> str:
    signature = str(inspect.signature(function)).replace("(self, ", "(")
    signature = re.sub(r"(: |-> )'([^']*)'", r"\1\2", signature)  # annotations are text
    return f"{level} `{name}`\n\n```py\n{name}{signature}\n```\n\n{inspect.getdoc(function)}\n"


# ---- the data


def data_page() -> str:
    """The columns that every export has, and those of every declared score."""
    from ssl_ood.common.registry import entries
    from ssl_ood.evaluation.dictionary import (
        feature_columns,
        measurement_columns,
        resources_page,
        score_columns,
    )
    from ssl_ood.evaluation.score_files import NOT_SCORES

    names = [*NOT_SCORES, *(entry.name for entry in entries("score"))]
    resources = {
        "RUN/measurements.parquet": measurement_columns(),
        "RUN/scores.parquet": score_columns(names),
        "RUN/features/SET.parquet": feature_columns(),
    }
    return f"{DATA}\n{resources_page(resources)}"


# ---- markdown


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    header = list(header)
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|") or "—"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."
