"""A run as one file that can be passed on: a zip with its weights, results and where they are from.

    with opened_bundle(Path("run.zip")) as (results, run):
        ...  # results: a private folder laid out as a results folder, which holds this run alone

Whoever reads one takes nothing on trust: see `bundles.opened`.
"""

from ssl_ood.evaluation.bundles.opened import opened_bundle

__all__ = ["opened_bundle"]
