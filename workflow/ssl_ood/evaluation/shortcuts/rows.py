"""Rows of shortcuts: as those of measurements, of no model; results/shortcuts/PAIRS.parquet.

Columns: `measurements.COLUMNS`, of which the score is the cue and the run the name of the file;
then way, how the cue is read (`readings`), and direction: whether "larger" or "smaller" values
are the strange ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssl_ood.common.errors import UserError
from ssl_ood.common.proofs import read_rows, write_rows
from ssl_ood.common.vocabulary import NO_DATA, NOT_APPLICABLE, POOLED
from ssl_ood.evaluation.measurements import COLUMNS, IDENTITY, as_frame, refuse_other_images
from ssl_ood.measures import metrics

if TYPE_CHECKING:
    import pandas as pd

OWN = ("way", "direction")
EITHER, FROM_MEDIAN, DISTANCE, RARITY = "either", "from_median", "distance", "rarity"
LARGER, SMALLER = "larger", "smaller"
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Reading:
    """A cue read in one way. test: (N,) scores of the in-distribution test images; ood: by set.

    No score: None. Where `way` is EITHER, smaller values may be the stranger ones.
    """

    cue: str
    way: str
    test: Scores | None
    ood: dict[str, Scores | None]


def rows_of(
    reading: Reading, groups: Mapping[str, set[str]], confidence: float
) -> Iterator[dict[str, Any]]:
    """A row for each OOD set and each group of them: the AUROC with DeLong's interval over images.

    groups: the sets by what an AUROC is told of. Of a cue that is read in EITHER direction the
    better one is taken, one for all sets of a group.
    """
    for name, members in groups.items():
        row = {"dataset": name, "score": reading.cue, "metric": "auroc", "way": reading.way}
        row["direction"] = ""
        if not members <= reading.ood.keys():
            yield row | {"status": NO_DATA}
            continue
        parts = [reading.ood[member] for member in reading.ood if member in members]
        if reading.test is None or any(part is None for part in parts):
            yield row | {"status": NOT_APPLICABLE}
            continue
        if name == POOLED:
            parts = [np.concatenate(parts)]
        interval = metrics.mean_auroc_interval(reading.test, parts, confidence)
        row["direction"] = LARGER
        if reading.way == EITHER and interval.value < 0.5:
            row["direction"] = SMALLER
            interval = metrics.Interval(*(1 - x for x in (interval[0], interval[2], interval[1])))
        yield row | dict(zip(("value", "low", "high"), interval, strict=True)) | {
            "over": "images", "n_in": len(reading.test), "n_out": sum(map(len, parts)),
        }  # fmt: skip


def write_shortcuts(
    rows: Sequence[Mapping[str, Any]],
    identity: Mapping[str, Any],
    inputs: Mapping[str, Any],
    path: Path,
) -> None:
    """Writes the rows with their proof. identity: "run", "study", "in_distribution" and "seed";
    inputs: checksums of what they were made from."""
    import pyarrow as pa

    frame = as_frame(rows, dict.fromkeys(IDENTITY, "") | identity)
    for name in OWN:
        frame[name] = [row[name] for row in rows]
    table = pa.Table.from_pandas(frame, preserve_index=False)
    write_rows(table, path, {"run": identity["run"], "inputs": inputs})


def read_shortcuts(
    paths: Sequence[Path], seen: dict[str, tuple[str, Any]] | None = None
) -> pd.DataFrame:
    """The rows of several files, each of which must hold those that it is named after.

    seen: see `measurements.refuse_other_images`. Raises UserError for a file that is missing,
    damaged or of other images.
    """
    import pandas as pd

    frames = []
    for path in paths:
        table, proof = read_rows(path, "shortcuts", path.stem)
        if table.column_names != [*COLUMNS, *OWN]:
            raise UserError(f"{path} holds no shortcuts: its columns are others.")
        refuse_other_images({} if seen is None else seen, proof)
        frames.append(table.to_pandas())
    empty = pd.DataFrame(columns=[*COLUMNS, *OWN])
    return pd.concat(frames, ignore_index=True) if frames else empty
