"""Settings that are read once, at the edge, and typed from there on.

A class of settings is frozen and says of each value its type, range and meaning:

    class Training(Settings):
        epochs: int = Field(ge=0, description="passes over the training images")

What it does not name, NaN, infinities, a text or 3.0 for a whole number, is refused by one
sentence. The schema and the reference of the config are made from these classes.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ssl_ood.common.errors import UserError, nearest
from ssl_ood.common.files import read_json

FIRST_SCHEMA = 1  # of runs that name none

SCHEMA = 2  # version of what runs/RUN/config.json holds
LARGEST = 10**12  # no setting means a number beyond


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _in_order(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError("the smaller one comes first: swap the two")
    return pair


def each_once(items: tuple) -> tuple:
    """The items. Raises ValueError for one that is there twice."""
    twice = [item for i, item in enumerate(items) if item in items[:i]]
    if twice:
        raise ValueError(f"{twice[0]!r} is there twice: name it once")
    return items


# Lists of YAML and JSON, frozen; `Pair[float]` is a list of two.
Item = TypeVar("Item")
Many = Annotated[tuple[Item, ...], BeforeValidator(_frozen)]
Distinct = Annotated[Many[Item], AfterValidator(each_once)]
Pair = Annotated[tuple[Item, Item], BeforeValidator(_frozen)]
Triple = Annotated[tuple[Item, Item, Item], BeforeValidator(_frozen)]
Quadruple = Annotated[tuple[Item, Item, Item, Item], BeforeValidator(_frozen)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.]+$")]
Rising = Annotated[Pair[Positive], AfterValidator(_in_order)]  # (smallest, largest)


class Settings(BaseModel):
    """The base of all classes of settings; an empty one takes no option at all."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, strict=True, populate_by_name=True
    )

    @classmethod
    def key_names(cls) -> list[str]:
        """The names of its values, as YAML and JSON have them."""
        return [field.alias or name for name, field in cls.model_fields.items()]


Read = TypeVar("Read", bound=Settings)


def read_settings(cls: type[Read], values: Mapping[str, Any], place: str) -> Read:
    """The settings of `values`, as YAML or JSON gives them; place: where these stand.

    Raises UserError for the first value that cannot be meant: what is wrong, where, what is valid.
    """
    for path in _beyond(values):
        raise UserError(
            f"{dotted(place, *path)} is a number beyond {LARGEST:.0e}, which no setting means: "
            "correct it."
        )
    try:
        return cls.model_validate(values)
    except ValidationError as error:
        raise UserError(_sentence(error, cls, place)) from None


def _beyond(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of keys to finite numbers that are too large to be meant."""
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from _beyond(below, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for i, below in enumerate(value):
            yield from _beyond(below, (*path, str(i)))
    elif isinstance(value, int | float) and LARGEST < abs(value) < math.inf:
        yield path


def _sentence(error: ValidationError, cls: type[Settings], place: str) -> str:
    first = error.errors(include_url=False)[0]
    path, kind, value = [str(part) for part in first["loc"]], first["type"], first["input"]
    value = list(value) if isinstance(value, tuple) else value
    where = dotted(place, *path)
    if kind == "extra_forbidden":
        known = _fields_at(cls, path[:-1])
        return f"{dotted(place, *path[:-1]) or 'it'} has an unknown key {path[-1]!r}" + (
            nearest(path[-1], known) if known else "."
        )
    if kind == "missing":
        return f"{where} is missing: add it."
    if kind in ("float_type", "int_type") and isinstance(value, str):
        return f"{where} is the text {value!r}, where a number belongs: write one, such as 8.0e-3."
    if kind == "int_type" and isinstance(value, float):
        return f"{where} is {value!r}, where a whole number belongs: write it without a point."
    message = first["msg"].removeprefix("Value error, ")
    message = message.replace("tuple", "list").replace("Tuple", "List")
    message = message.replace("Input should be", "it should be")
    message = message.replace("valid dictionary or instance of", "mapping, as of")
    return f"{where} is {value!r}: {message[0].lower()}{message[1:]}."


def dotted(place: str, *path: str) -> str:
    """`config: methods.dino` of the place "config:" and the path ("methods", "dino")."""
    if not place.endswith(":"):
        return ".".join(filter(None, [place, *path]))
    return f"{place} {'.'.join(path) or 'the top level'}"


def _fields_at(cls: type[Settings], path: list[str]) -> list[str]:
    for part in path:
        fields = {field.alias or name: field for name, field in cls.model_fields.items()}
        inner = fields[part].annotation if part in fields else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return _fields_below(fields.get(part), path[path.index(part) + 1 :])
        cls = inner
    return cls.key_names()


def _fields_below(field: Any, rest: list[str]) -> list[str]:
    """Of the class that a mapping or a list of the field holds; rest: a key of it, and so on."""
    for inner in getattr(getattr(field, "annotation", None), "__args__", ()):
        if isinstance(inner, type) and issubclass(inner, BaseModel) and rest:
            return _fields_at(inner, rest[1:])
    return []


def schema_of(results: Path) -> int | None:
    """The oldest version of the schema that a results folder has runs of; None without any.

    It stands in each runs/RUN/config.json, or for all of them in schema.json.
    """
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return int(read_json(results / "schema.json")["schema"])
    versions = []
    for path in results.glob("runs/*/config.json"):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # half a file is not a run
            versions.append(int(read_json(path).get("schema", FIRST_SCHEMA)))
    return min(versions, default=None)
