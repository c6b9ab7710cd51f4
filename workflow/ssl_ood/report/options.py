"""Options that several forms of tables and figures have, typed."""

from __future__ import annotations

from pydantic import Field

from ssl_ood.common.settings import Distinct, Settings


class Scored(Settings):
    """Options of a form that shows one score."""

    score: str | None = Field(
        None, description="the score shown; without it the first of the study"
    )


class Beside(Scored):
    """Options of a form that shows reported values beside measured ones."""

    reported: str | Distinct[str] | None = Field(
        None, description="the tables and figures of the reported values that stand beside"
    )


class Titled(Beside):
    """Options of a form that shows variants."""

    titles: dict[str, str] = Field({}, description="titles of its variants")


class NearAndFar(Scored):
    """Options of a form that shows one OOD set of each kind."""

    near: str = Field(description="an OOD set that is like the in-distribution set")
    far: str = Field(description="an OOD set that is not")
