"""Checks every run as it would be trained, with the number of images that the catalogue expects."""

from __future__ import annotations

from ssl_ood.common.errors import UserError
from ssl_ood.study.runs import Experiments


def check_runs(experiments: Experiments) -> None:
    """Raises UserError for the first setting of a run that does not fit its data or the others.

    It is reported where the config sets it: in the method, the study, the dataset or the variant.
    """
    for run in experiments.runs.values():
        images = experiments.count(run.train)
        for key, rest in run.settings.faults(images):
            raise UserError(f"config: {run.place_of(key)} {rest}")
        if images and run.evaluation.knn > images:
            own = experiments.config.studies[run.study].evaluation
            place = f"studies.{run.study}.evaluation.knn" if "knn" in own else "evaluation.knn"
            raise UserError(
                f"config: {place} {run.evaluation.knn} is more than the {images} training images "
                f"of {run.in_distribution}: lower it."
            )
