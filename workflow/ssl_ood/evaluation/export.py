"""Features, scores and measurements of runs as plain parquet, with a data dictionary.

    ssl_ood export RUN -o FOLDER        # or --all

    FOLDER/README.md, datapackage.json          what every column means
    FOLDER/RUN/measurements.parquet             one row for each number
    FOLDER/RUN/scores.parquet                   one row for each image and role
    FOLDER/RUN/features/SET.parquet             one row for each image

What was measured is copied value by value; nothing is computed. No image, and no name of one, is
among it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ssl_ood.common.errors import UserError
from ssl_ood.common.files import atomic_path, read_json, write_json, write_text, writing
from ssl_ood.common.hashing import sha256_of
from ssl_ood.common.proofs import read_rows
from ssl_ood.evaluation.dictionary import (
    Column,
    feature_columns,
    measurement_columns,
    page,
    score_columns,
)

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 1 << 16  # of a group in a file of features


def export_runs(results: Path, runs: Sequence[str], output: Path) -> list[Path]:
    """Writes the tables of runs of a results folder, and their dictionary; the files.

    Raises UserError for a run without measurements, and for files that are damaged.
    """
    resources: dict[Path, list[Column]] = {}
    for run in runs:
        resources |= _export(results, run, output)
    kinds: dict[str, dict[str, Column]] = {}
    for path, columns in sorted(resources.items()):
        kinds.setdefault(_kind(path), {}).update({column.name: column for column in columns})
    write_text(output / "README.md", page({k: [*named.values()] for k, named in kinds.items()}))
    described = [
        {
            "name": _name(path),
            "path": path.as_posix(),
            "format": "parquet",
            "schema": {"fields": [column.field() for column in columns]},
        }
        for path, columns in sorted(resources.items())
    ]
    package = {"name": "ssl_ood-results", "resources": described}
    write_json(output / "datapackage.json", package)
    return [output / path for path in resources]


def _export(results: Path, run: str, output: Path) -> dict[Path, list[Column]]:
    """The files of a run, below `output`, with their columns."""
    columns_of: dict[Path, list[Column]] = {}
    for kind in ("measurements", "scores"):
        table, _ = read_rows(results / kind / f"{run}.parquet", kind, run)
        columns = measurement_columns() if kind == "measurements" else None
        place = Path(run, f"{kind}.parquet")
        _write(table, output / place)
        columns_of[place] = columns or score_columns(table.column_names)
    folder = results / "features" / run
    for path in sorted(folder.glob("*.npy")):
        if path.with_suffix(".json").is_file() and _is_of_features(path, run):
            place = Path(run, "features", f"{path.stem}.parquet")
            columns_of[place] = _write_features(path, output / place)
    return columns_of


def _is_of_features(path: Path, run: str) -> bool:
    """Whether these are features, not scores that see images. Raises UserError for damaged ones."""
    proof = read_json(path.with_suffix(".json"))
    if proof.get("run") != run or proof.get("sha256") != sha256_of(path):
        raise UserError(
            f"The features {path} are damaged or of another run: delete the file and evaluate "
            f"{run} again, which extracts them again."
        )
    return "code_version" in proof


def _write_features(path: Path, output: Path) -> list[Column]:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    features = np.load(path, mmap_mode="r", allow_pickle=False)
    width = features.shape[1]
    schema = pa.schema([("index", pa.int64()), ("features", pa.list_(pa.float32(), width))])
    with (
        writing(output),
        atomic_path(output) as partial,
        pq.ParquetWriter(partial, schema, compression="zstd") as writer,
    ):
        for low in range(0, len(features), ROWS):
            block = np.ascontiguousarray(features[low : low + ROWS], np.float32)
            values = pa.FixedSizeListArray.from_arrays(pa.array(block.reshape(-1)), width)
            index = pa.array(np.arange(low, low + len(block)))
            writer.write_table(pa.table([index, values], schema=schema))
    return feature_columns()


def _write(table: pa.Table, output: Path) -> None:
    import pyarrow.parquet as pq

    with writing(output), atomic_path(output) as partial:
        pq.write_table(table, partial, compression="zstd")


def _kind(path: Path) -> str:
    return "/".join(["RUN", *path.parts[1:-1], "SET.parquet" if len(path.parts) > 2 else path.name])


def _name(path: Path) -> str:
    """A name as data packages have it: small letters, digits, and . _ -."""
    return "-".join(path.with_suffix("").parts).lower().replace("+", "_").replace("@", "_")
