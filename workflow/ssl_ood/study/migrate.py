"""Whether results of an older version can be used: `ssl_ood migrate results`.

Version 1 (commit ccf5649 and before): run configs name no schema, a run's measurements are
metrics/RUN.csv. Its settings have another form and its numbers other files, so that nothing of a
run is taken over; archives and weights are what they were.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ssl_ood.common.errors import UserError
from ssl_ood.common.settings import SCHEMA, schema_of

LAST_COMMIT = {1: "ccf5649"}  # the last one that reads runs of a version
KEPT = ("archives", "weights")  # the same in every version


def add_parser(stages) -> None:
    """Adds the subcommand to the parser of `ssl_ood`."""
    parser = stages.add_parser(
        "migrate", help="tell whether results of an older version can still be used"
    )
    parser.add_argument("results", type=Path, metavar="FOLDER")
    parser.set_defaults(run=_migrate)


def _migrate(options: argparse.Namespace) -> None:
    print(check(options.results))


def check(results: Path) -> str:
    """What to say of results that can be used as they are.

    Raises UserError for those that cannot, naming the commit that reads them.
    """
    if not results.is_dir():
        raise UserError(f"There is no folder {results}.")
    version = schema_of(results)
    if version is None:
        return f"{results} has no runs: nothing is to be migrated."
    if version == SCHEMA:
        return f"{results} is of this version (schema {SCHEMA}): nothing is to be migrated."
    if version > SCHEMA:
        raise UserError(
            f"{results} was made by a newer version (schema {version}, this one reads {SCHEMA}): "
            "update this clone."
        )
    kept = [name for name in KEPT if (results / name).is_dir()]
    moved = f", into which {', '.join(kept)} of this one can be moved as they are" if kept else ""
    raise UserError(
        f"{results} has runs of an older version (schema {version}, this one reads {SCHEMA}), "
        f"which are not taken over: read them with commit {LAST_COMMIT[version]}, or train them "
        f"again in another results_dir{moved}."
    )
