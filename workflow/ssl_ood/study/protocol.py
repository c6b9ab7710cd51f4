"""What the thesis does not say: every choice of chapters 5 to 7, from resources/protocol.csv.

A row is a choice: what the thesis says of it and where, what the authors' public code did and how
sure that is, our default and where it is set, and why. docs/protocol.md is made from the rows
(`ssl_ood reference`), and so is the table of the form `protocol`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_ood.common.errors import UserError
from ssl_ood.common.files import parse_yaml
from ssl_ood.common.registry import lookup
from ssl_ood.common.rows import checked_rows
from ssl_ood.common.settings import read_settings
from ssl_ood.datasets.catalogue import Dataset
from ssl_ood.study.paths import CLONE
from ssl_ood.study.settings import Config

PROTOCOL = CLONE / "resources" / "protocol.csv"
CATALOGUE = "catalogue"  # what the settings of the dataset catalogue begin with
WORDS = {"all": "All chapters"}  # titles of scopes that are not chapters
INTRODUCTION = """# What the thesis does not say

<!-- Written by `ssl_ood reference` from resources/protocol.csv: change that file, not this one. -->

An experiment needs more choices than a thesis prints. Each is a row here, so that a gap between a
measured and a printed number can be traced to a choice: what the thesis says of it, and where
(lines are those of its text in markdown); what the first author's public code did
(`nimaous/SSLSDN-Anomaly-Detection`, of chapter 6 alone) and how sure that is; our default, the
setting that holds it, and why. Whoever reads a choice otherwise changes that setting; readings
with a name are variants of `config.yaml`, or second evaluations of the same models: sets beside the
others, or another metric. What each is worth is in `table_protocol`, which is optional: it needs 17
trainings that no other table needs, 192 GPU hours at 600 images per second, beside the 278 of all.

How sure: **certain**, flags or code of every version; **inferred** from them; **open**, versions
disagree, or it is unknown which one the printed numbers came from; **none**, there is no code.
"""
HEADER = "| choice | of | thesis | authors' code | sure | ours | other readings | why |"


@dataclass(frozen=True)
class Choice:
    """A row of the file, as workflow/schemas/protocol.schema.yaml describes it."""

    id: str
    scope: str
    thesis: str
    place: str
    line: str
    authors: str
    files: str
    sure: str
    ours: str
    setting: str
    variant: str
    beside: str
    why: str

    @property
    def chapters(self) -> str:
        """The scope before its colon: "6", "6 and 7" or "all"."""
        return self.scope.partition(":")[0]

    @property
    def concerns(self) -> str:
        """The scope after its colon."""
        return self.scope.partition(":")[2].strip()

    @property
    def variants(self) -> list[str]:
        """The variants of the config that read it otherwise, alone or with other choices."""
        return self.variant.split()

    @property
    def second(self) -> list[str]:
        """Second evaluations of the same models: OOD sets that are evaluated beside, metrics."""
        return self.beside.split()

    @property
    def readings(self) -> list[str]:
        """The names of other readings."""
        return self.variants + self.second

    @property
    def dataset(self) -> str:
        """The dataset of the catalogue that our default is of; empty where it is of none."""
        parts = self.setting.split(".")
        return parts[1] if parts[0] == CATALOGUE else ""

    @property
    def value(self) -> Any:
        """Our default, typed as the config has it; words where it is not a setting."""
        return parse_yaml(self.ours) if self.setting else self.ours

    @property
    def said_at(self) -> str:
        """`6.2 section 4, line 1350`; empty where there is no place to look."""
        return ", ".join(filter(None, [self.place, self.line and f"line {self.line}"]))


def read_protocol(path: Path = PROTOCOL) -> list[Choice]:
    """The choices, in the order of the file. Raises UserError for a faulty file."""
    choices = [Choice(**row) for row in checked_rows(path, "protocol.schema.yaml")]
    names = [choice.id for choice in choices]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{path} has the choice {name} twice: rename one.")
    return choices


def settings_tree(config: Config, catalogue: Mapping[str, Dataset]) -> dict[str, Any]:
    """Every setting by its place, defaults included: the config as plain data, and the catalogue
    under `catalogue`."""
    tree = config.model_dump(mode="json", by_alias=True)
    for name, sections in config.methods.items():
        settings = read_settings(lookup("method", name).settings, sections, f"methods.{name}")
        tree["methods"][name] = settings.model_dump(mode="json", by_alias=True)
    tree[CATALOGUE] = {name: dataset.to_dict() for name, dataset in catalogue.items()}
    return tree


def value_at(tree: Mapping[str, Any], setting: str) -> Any:
    """The value at a dotted place of `settings_tree`. Raises KeyError where there is none."""
    value: Any = tree
    parts = setting.split(".")
    while parts:  # a name may hold dots, as that of the variant lambda_0.5
        for count in range(1, len(parts) + 1):
            name = ".".join(parts[:count])
            if isinstance(value, Mapping) and name in value:
                value, parts = value[name], parts[count:]
                break
        else:
            raise KeyError(setting)
    return value


def page(choices: Iterable[Choice]) -> str:
    """docs/protocol.md: a table for each scope, in the order of the choices."""
    groups: dict[str, list[Choice]] = {}
    for choice in choices:
        groups.setdefault(choice.chapters, []).append(choice)
    parts = [INTRODUCTION]
    for chapters, members in groups.items():
        several = "s" if " and " in chapters else ""
        parts += [f"## {WORDS.get(chapters, f'Chapter{several} {chapters}')}\n", HEADER]
        parts += ["|" + "---|" * HEADER.count(" | ") + "---|", *map(_line, members), ""]
    return "\n".join(parts)


def _line(choice: Choice) -> str:
    thesis = choice.thesis + (f" ({choice.said_at})" if choice.said_at else "")
    authors = choice.authors + (f" ({choice.files})" if choice.files else "")
    ours = f"`{choice.ours}`, `{choice.setting}`" if choice.setting else choice.ours
    other = ", ".join(f"`{name}`" for name in choice.readings)
    cells = [f"`{choice.id}`", choice.concerns, thesis, authors, choice.sure, ours, other]
    return "| " + " | ".join(_escaped(cell) or "—" for cell in [*cells, choice.why]) + " |"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "\\<")
