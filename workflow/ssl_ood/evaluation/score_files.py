"""The file of a run's scores: results/scores/RUN.parquet; its columns: see `score_table`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ssl_ood.common.proofs import read_rows, write_rows

NOT_SCORES = ("set", "dataset", "role", "index", "label", "knn_label", "knn_majority_label")


def write_scores(table: dict[str, np.ndarray], path: Path, proof: Mapping[str, Any]) -> str:
    """Writes the columns to a parquet file, a missing label as null; returns the rows' checksum.

    proof: the run that they are of, and what they were made from (`common.proofs`).
    """
    import pyarrow as pa

    names = [*NOT_SCORES, *(name for name in table if name not in NOT_SCORES)]
    columns = {
        name: pa.array(table[name], mask=table[name] < 0 if "label" in name else None)
        for name in names
    }
    return write_rows(pa.table(columns), path, proof)


def read_scores(path: Path, run: str | None = None) -> dict[str, np.ndarray]:
    """The columns of the scores file of `run`; labels that are missing are -1.

    Raises UserError for a file that is missing, damaged or of another run.
    """
    import pyarrow.compute as pc

    table, _ = read_rows(path, "scores", run)
    columns = {}
    for name in table.column_names:
        column = table[name]
        columns[name] = (pc.fill_null(column, -1) if "label" in name else column).to_numpy()
    return columns
