"""What there is to choose from: methods, scores, cues, shifts, readers, forms of tables, figures.

A thing is declared once, beside its code:

    @register("score", "knn_distance", title="k-NN", notes="distance to the k-th nearest feature")
    def knn_distance(test, train, options): ...

From the declaration follow the check of the config with its "did you mean", what the rules need,
`ssl_ood list`, and the reference of the config. A declaring module is light: what is heavy (torch,
pandas, matplotlib, seaborn, scikit-learn, timm) it imports inside functions, or it declares a
method by the place of its class, "package.module:Class". Only the command line and the Snakefile
import the declaring modules (`ssl_ood.declarations`); a plugin is a module of its user's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from types import FunctionType
from typing import Any, TypeVar

from ssl_ood.common.errors import UserError, unknown
from ssl_ood.common.settings import Settings

# Kinds of things, and how a sentence calls them.
KINDS = {
    "method": "method",
    "score": "score",
    "cue": "cue",
    "shift": "shift",
    "reader": "reader",
    "table": "form of a table",
    "figure": "form of a figure",
}
SOURCES = ("code", "paper", "abstract", "memory")  # what a method was built from, best first
Thing = TypeVar("Thing")


@dataclass(frozen=True)
class Entry:
    """A declared thing.

    title: a word or two for a cell; notes: what it is, with equations; target: the function or
    class, or where it is; settings: its typed options in the config; needs: what it is computed
    from; version: raised when the same input gives another result; source: of `SOURCES`, what a
    method was built from; max_devices: the most devices that a training can use.
    """

    kind: str
    name: str
    title: str
    notes: str
    target: Any
    settings: type[Settings] = Settings
    needs: frozenset[str] = frozenset()
    version: int = 1
    source: str = ""
    max_devices: int | None = None
    more: Mapping[str, Any] = field(default_factory=dict)
    module: str = ""

    def load(self) -> Any:
        """The function or class itself; imports its module where only the place is declared.

        A method may be declared as a function that makes its class: then one file holds it whole,
        and stays light until the method is used.
        """
        if self.kind == "method" and isinstance(self.target, FunctionType):
            return _made(self.target)
        if not isinstance(self.target, str):
            return self.target
        module, _, name = self.target.partition(":")
        return getattr(import_module(module), name)


@cache
def _made(factory: FunctionType) -> type:
    return factory()


_ENTRIES: dict[str, dict[str, Entry]] = {kind: {} for kind in KINDS}


def declare(kind: str, name: str, target: Any, *, title: str, notes: str = "", **more: Any) -> None:
    """Enters a thing under its name. more: fields of `Entry`, and what only its kind has.

    Raises UserError where another module has declared another thing of that name.
    """
    known = {n: more.pop(n) for n in Entry.__dataclass_fields__ if n in more}
    known["needs"] = frozenset(known.get("needs", ()))
    known.setdefault("module", getattr(target, "__module__", str(target).partition(":")[0]))
    entry = Entry(kind, name, title, " ".join(notes.split()), target, **known, more=more)
    before = _ENTRIES[kind].get(name)
    if before is not None and before.module != entry.module:
        raise UserError(
            f"The {KINDS[kind]} {name!r} is declared in {before.module} and again in "
            f"{entry.module}: rename one of the two."
        )
    _ENTRIES[kind][name] = entry


def register(kind: str, name: str, **options: Any) -> Callable[[Thing], Thing]:
    """A decorator that declares a function or class; options: see `declare`."""

    def enter(target: Thing) -> Thing:
        declare(kind, name, target, **options)
        return target

    return enter


def names(kind: str) -> list[str]:
    """The declared names of a kind, in the order of their declaration."""
    return list(_ENTRIES[kind])


def entries(kind: str) -> list[Entry]:
    """The declared things of a kind."""
    return list(_ENTRIES[kind].values())


def lookup(kind: str, name: str, place: str = "") -> Entry:
    """The thing of that name. Raises UserError with the nearest name; place: where it is named."""
    if name not in _ENTRIES[kind]:
        raise unknown(name, _ENTRIES[kind], KINDS[kind], place)
    return _ENTRIES[kind][name]
