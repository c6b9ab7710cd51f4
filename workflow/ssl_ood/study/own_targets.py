"""The tables and figures that a study of own images has, where the config names no others."""

from __future__ import annotations

from typing import Any

from ssl_ood.common.vocabulary import NO_NEGATIVES

STRATEGIES = (NO_NEGATIVES, "rot_indist", "perm4_indist")
WITH_AUXILIARY = ("rot_auxiliary", "rot_both")
TITLES = {
    "none": "No negatives",
    "perm4_indist": "Perm-4 In-Dist.",
    "rot_auxiliary": "Rot. auxiliary",
}
Targets = dict[str, dict[str, Any]]


def targets_of(study: str, strategies: tuple[str, ...], ood: bool) -> dict[str, Targets]:
    """{"tables": ..., "figures": ...} as a config has them, named KIND_STUDY_WHAT.

    strategies: those that are trained; ood: whether there are sets to test against.
    """
    shown = {"study": study, "in_distribution": [study], "strategies": list(strategies)}
    tables: Targets = {
        "strategies": {"form": "strategies"},
        "thresholds": {"form": "thresholds"},
        "quality": {"form": "quality"},
    }
    if ood:
        tables["auroc"] = {"form": "negative_sampling"}
    figures: Targets = {
        "scores": {"form": "score_distributions"},
        "views": {"form": "views", "strategies": list(strategies)[:1]},
    }
    if set(strategies) != {NO_NEGATIVES}:
        figures["negatives"] = {"form": "negatives"}
    return {
        "tables": {f"table_{study}_{suffix}": {**shown, **more} for suffix, more in tables.items()},
        "figures": {
            f"figure_{study}_{suffix}": {**shown, **more} for suffix, more in figures.items()
        },
    }
