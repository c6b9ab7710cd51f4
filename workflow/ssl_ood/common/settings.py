"""Settings that are read once, at the edge, and typed from there on.

A class of settings is frozen and says of each value its type, range and meaning:

    class Training(Settings):
        epochs: int = Field(ge=0, description="passes over the training images")

What it does not name, NaN, infinities, a text or 3.0 for a whole number, is refused by one
sentence. The schema and the reference of the config are made from these classes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from ssl_ood.common.errors import UserError, nearest
from ssl_ood.common.files import read_json

SCHEMA = 2  # version of what runs/RUN/config.json holds
FIRST_SCHEMA = 1  # of runs that name none


class Settings(BaseModel):
    """The base of all classes of settings; an empty one takes no option at all."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, strict=True, populate_by_name=True
    )


Read = TypeVar("Read", bound=Settings)


def read_settings(cls: type[Read], values: Mapping[str, Any], place: str) -> Read:
    """The settings of `values`, as YAML or JSON gives them; place: where these stand.

    Raises UserError for the first value that cannot be meant: what is wrong, where, what is valid.
    """
    try:
        return cls.model_validate(values)
    except ValidationError as error:
        raise UserError(_sentence(error, cls, place)) from None


def _sentence(error: ValidationError, cls: type[Settings], place: str) -> str:
    first = error.errors(include_url=False)[0]
    path = [str(part) for part in first["loc"]]
    where = ".".join([place, *path])
    if first["type"] == "extra_forbidden":
        known = _fields_at(cls, path[:-1])
        return f"{'.'.join([place, *path[:-1]])} has an unknown key {path[-1]!r}" + (
            nearest(path[-1], known) if known else "."
        )
    if first["type"] == "missing":
        return f"{where} is missing: add it."
    return f"{where} is {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}."


def _fields_at(cls: type[Settings], path: list[str]) -> list[str]:
    for part in path:
        inner = cls.model_fields[part].annotation if part in cls.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        cls = inner
    return [f.alias or name for name, f in cls.model_fields.items()]


def schema_of(results: Path) -> int | None:
    """The oldest version of the schema that a results folder has runs of; None without any.

    It stands in each runs/RUN/config.json, or for all of them in schema.json.
    """
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return int(read_json(results / "schema.json")["schema"])
    versions = []
    for path in results.glob("runs/*/config.json"):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # half a file is no run
            versions.append(int(read_json(path).get("schema", FIRST_SCHEMA)))
    return min(versions, default=None)
