"""What `detect` writes of every image: detected.csv and detected.parquet, of the same columns.

Rows are in the order of the folder. They are kept in an unnamed file until all images are scored,
since ranks are known only then: memory does not grow with the folder, and a killed process leaves
nothing.
"""

from __future__ import annotations

import contextlib
import csv
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ssl_ood.common.errors import UserError, reason
from ssl_ood.common.files import atomic_path
from ssl_ood.common.proofs import PROOF

if TYPE_CHECKING:
    import pyarrow as pa

NEIGHBOURS = 3
BATCHES = 64  # of rows, written to parquet as one group
COLUMNS = {
    "name": "path of the image below the folder or in the archive, with forward slashes; a "
    "backslash, a line break and a byte that is not UTF-8 are written as \\\\, \\n and \\xe9",
    "score": "anomaly score, larger is more anomalous; which one it is, detected.json says",
    "rank": "1 for the most anomalous image; of equal scores the first in the folder comes first",
    "p": "conformal p-value: (1 + calibration images that score as high or higher) / (1 + all "
    "calibration images)",
    "flagged": "whether the score is above the threshold: p is at most the rate of false alarms",
    **{
        key.format(i=i): text.format(i=word)
        for i, word in enumerate(("", "second ", "third "), 1)
        for key, text in (
            ("nearest_{i}", "index, from 0, of the {i}nearest training image"),
            ("nearest_{i}_name", "its name, where names were kept"),
            ("nearest_{i}_similarity", "cosine similarity of its feature, -1 to 1"),
        )
    },
}


def schema(about: dict[str, Any] | None = None) -> pa.Schema:
    """Of detected.parquet: each field with its description, and what was run."""
    import pyarrow as pa

    def kind(name: str) -> pa.DataType:
        if name == "name" or name.endswith("_name"):
            return pa.string()
        if name == "flagged":
            return pa.bool_()
        floating = name in ("score", "p") or name.endswith("_similarity")
        return pa.float64() if floating else pa.int64()

    fields = [pa.field(n, kind(n), metadata={"description": text}) for n, text in COLUMNS.items()]
    metadata = {} if about is None else {PROOF: json.dumps(about, sort_keys=True)}
    return pa.schema(fields, metadata=metadata)


class Spool:
    """The rows that are known so far, on the disk of `folder`, but for their ranks."""

    def __init__(self, folder: Path, names: list[str] | None) -> None:
        """names: of the training images, where they were kept."""
        import pyarrow as pa

        with writable(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self.file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self.names = names
        self.schema = schema()
        self.sink = pa.PythonFile(self.file, "w")
        self.writer = pa.ipc.new_stream(self.sink, self.schema)

    def add(self, columns: dict[str, Any], similarities: np.ndarray, nearest: np.ndarray) -> None:
        """Rows: name, score, p, flagged, and (n, k) similarities and indices of the neighbours."""
        import pyarrow as pa

        n = len(columns["name"])
        ranked = columns | {"rank": np.zeros(n, np.int64)}
        for i in range(NEIGHBOURS):
            key, there = f"nearest_{i + 1}", i < nearest.shape[1]
            ranked[key] = nearest[:, i] if there else [None] * n
            ranked[f"{key}_similarity"] = similarities[:, i].astype(float) if there else [None] * n
            named = there and self.names is not None
            ranked[f"{key}_name"] = [self.names[j] for j in nearest[:, i]] if named else [None] * n
        arrays = [pa.array(ranked[f.name], f.type) for f in self.schema]
        self.writer.write_batch(pa.record_batch(arrays, schema=self.schema))

    def batches(self, ranks: np.ndarray) -> Iterator[pa.RecordBatch]:
        """All rows, in order, with their ranks; may be called more than once."""
        import pyarrow as pa

        self.writer.close()
        self.file.seek(0)
        first = 0
        with pa.ipc.open_stream(pa.PythonFile(self.file, "r")) as reader:
            for batch in reader:
                own = pa.array(ranks[first : first + len(batch)], pa.int64())
                first += len(batch)
                place = self.schema.get_field_index("rank")
                yield batch.set_column(place, self.schema.field(place), own)

    def close(self) -> None:
        self.file.close()


def write_tables(
    batches: Iterator[pa.RecordBatch],
    output: Path,
    about: dict[str, Any],
    seen: Callable[[pa.RecordBatch], None],
) -> None:
    """Writes detected.csv and detected.parquet, each whole or not at all; `seen` gets every
    batch."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    metadata = schema(about)
    with contextlib.ExitStack() as stack:
        stack.enter_context(writable(output))
        of_csv = stack.enter_context(atomic_path(output / "detected.csv"))
        of_parquet = stack.enter_context(atomic_path(output / "detected.parquet"))
        text = stack.enter_context(open(of_csv, "w", encoding="utf-8", newline=""))
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(metadata.names)
        writer = stack.enter_context(pq.ParquetWriter(of_parquet, metadata, compression="zstd"))
        waiting: list[pa.RecordBatch] = []
        for batch in batches:
            seen(batch)
            columns = [_as_text(batch.column(i)) for i in range(batch.num_columns)]
            rows.writerows(zip(*columns, strict=True))
            waiting.append(batch)
            if len(waiting) == BATCHES:
                writer.write_table(pa.Table.from_batches(waiting))
                waiting = []
        if waiting:
            writer.write_table(pa.Table.from_batches(waiting))


def _as_text(column: pa.Array) -> list[Any]:
    """Values as csv has them: nothing for null, true and false, floats in full precision."""
    values = column.to_pylist()
    if values and isinstance(values[0], bool):
        return ["true" if value else "false" for value in values]
    return ["" if value is None else value for value in values]


@contextlib.contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Turns what the disk says against writing into `folder` into a sentence."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written ({reason(error)}): name another folder with --output, or "
            "check its permissions and the free space on its disk."
        ) from None
