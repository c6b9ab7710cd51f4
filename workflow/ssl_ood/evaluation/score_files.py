"""The file of a run's scores: results/scores/RUN.parquet; its columns: see `score_table`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ssl_ood.common.files import atomic_path

NOT_SCORES = ("set", "dataset", "role", "index", "label", "knn_label", "knn_majority_label")


def write_scores(table: dict[str, np.ndarray], path: Path) -> None:
    """Writes the columns to a parquet file; a missing label is null in it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [*NOT_SCORES, *(name for name in table if name not in NOT_SCORES)]
    columns = {
        name: pa.array(table[name], mask=table[name] < 0 if "label" in name else None)
        for name in names
    }
    with atomic_path(path) as partial:
        pq.write_table(pa.table(columns), partial, compression="zstd")


def read_scores(path: Path) -> dict[str, np.ndarray]:
    """The columns of a scores file; labels that are missing are -1."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    columns = {}
    for name in table.column_names:
        column = table[name]
        columns[name] = (pc.fill_null(column, -1) if "label" in name else column).to_numpy()
    return columns
