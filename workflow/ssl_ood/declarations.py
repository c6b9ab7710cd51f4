"""Everything that is declared: importing these modules fills the registry (`common/registry.py`).

Only the command line, the Snakefile and the tests call `declare_everything`.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Annotated

from pydantic import Field

from ssl_ood.common.registry import declare
from ssl_ood.common.settings import Many, Settings

MODULES = (
    "ssl_ood.methods.dino.settings",
    "ssl_ood.methods.moco.settings",
    "ssl_ood.methods.finetune.settings",
    "ssl_ood.views.shifts",
)


def declare_everything(plugins: Sequence[str] = ()) -> None:
    """Imports all modules that declare something; plugins: more of them, by their names."""
    for name in (*MODULES, *plugins):
        import_module(name)
    _declare_scores()
    _declare_forms()


def _declare_scores() -> None:
    module = "ssl_ood.evaluation.scores"
    for name, title, needs in (
        ("cosine_tau", "Cosine with temperature", {"features"}),
        ("cosine_max", "Cosine", {"features"}),
        ("mahalanobis", "Mahalanobis", {"features"}),
        ("logit", "Logit", {"logits"}),
    ):
        more = {"temperature": True} if name == "cosine_tau" else {}
        declare("score", name, f"{module}:{name}", title=title, needs=needs, **more)


class Measured(Settings):
    """Options of the forms."""

    reported: str | Many[str] | None = Field(
        None, description="the tables and figures of the reported values that stand beside"
    )
    score: str | None = Field(None, description="without it the first of the study")
    titles: dict[str, str] = Field({}, description="of its variants")
    near: str | None = Field(None, description="an OOD set that is like the in-distribution set")
    far: str | None = Field(None, description="an OOD set that is not")


class Roles(Settings):
    """In-distribution datasets of the study that stand for those of chapter 7."""

    rsna: str | None = Field(None, description="for RSNA")
    hyper_kvasir: str | None = Field(None, description="for Hyper-Kvasir")
    lag: str | None = Field(None, description="for LAG")


class Claims(Measured):
    """Options of the tables of claims."""

    claims: Annotated[str, Field(pattern="^section [1-9]$")] = Field(
        description="where the thesis makes them"
    )
    roles: Roles = Field(Roles(), description="who stands for a set of chapter 7")


TABLES = (
    "ood_auroc", "negative_sampling", "quality", "hyperparameters", "rsna_contrastive",
    "batch_size", "augmentation", "pretraining", "label_efficiency", "rsna", "medical",
    "shifts_medical", "claims", "claims_medical",
)  # fmt: skip
FIGURES = {
    "sensitivity": {"measurements"}, "occupied_soft_classes": {"measurements"},
    "label_efficiency": {"measurements"}, "negative_sources": {"measurements"},
    "score_distributions": {"measurements", "scores"}, "color_histograms": {"images"},
    "negatives": {"views"}, "views": {"views"}, "views_rsna": {"views"},
}  # fmt: skip


def _declare_forms() -> None:
    for name in TABLES:
        settings = Claims if name.startswith("claims") else Measured
        target = f"ssl_ood.report.tables.natural:{name}"
        declare("table", name, target, title=name, needs={"measurements"}, settings=settings)
    for name, needs in FIGURES.items():
        target = f"ssl_ood.report.figures.natural:{name}"
        declare("figure", name, target, title=name, needs=needs, settings=Measured)
