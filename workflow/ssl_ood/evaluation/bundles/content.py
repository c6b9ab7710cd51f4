"""What the members of an unpacked bundle say: of one run, made from its weights, and harmless.

No member is unpickled. A parquet file and an array are measured before they are read: a file of a
few bytes may claim any size.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssl_ood.common.errors import UserError, reason
from ssl_ood.common.files import read_json
from ssl_ood.common.hashing import sha256_of
from ssl_ood.common.proofs import read_rows, rows_digest
from ssl_ood.common.settings import read_settings
from ssl_ood.datasets.archives.bounds import Bounds, Limits
from ssl_ood.datasets.decode import Decoding
from ssl_ood.evaluation.bundles.layout import FEATURES, NAMES, THUMBNAILS
from ssl_ood.evaluation.bundles.shortcuts import prove_shortcuts
from ssl_ood.evaluation.bundles.zipped import refused
from ssl_ood.evaluation.measurements import COLUMNS
from ssl_ood.evaluation.score_files import NOT_SCORES
from ssl_ood.methods.settings import RunSettings, read_run
from ssl_ood.methods.trained import prove_settings, prove_weights, run_of
from ssl_ood.study.bundled import SHORTCUTS, files_of_pairs
from ssl_ood.study.settings import Evaluation

MOST_COLUMNS = 1000
MOST_CELLS = 200_000_000  # of a parquet file: 1.6 GB in memory
LONGEST_WORD = 300  # characters of a name in a parquet file
UNPROVEN = "soft_classes.npy"  # mean probabilities of the soft-classes, which nothing reads again
SPLIT = re.compile(r"[A-Za-z0-9_]+", re.ASCII)
BATCH = 1 << 16  # rows


def check_content(results: Path, run: str, path: Path) -> None:
    """Checks the files of an unpacked bundle; path: its zip, for the sentence.

    Raises UserError for settings that no run has, weights of another run or not those that its
    training wrote, and results that were made from other weights.
    """
    folder = results / "runs" / run
    try:
        settings, trained = _check_run(folder, results / "evaluation" / f"{run}.json", run)
        weights = trained["weights_sha256"]
        scores, proof = _rows(results / "scores" / f"{run}.parquet", "scores", run)
        _check_made_from(proof, {"weights": weights}, "scores")
        measured, proof = _rows(results / "measurements" / f"{run}.parquet", "measurements", run)
        made_from = {"weights": weights, "scores": rows_digest(scores)}
        _check_made_from(proof, made_from, "measurements")
        _check_columns(scores.column_names, measured.column_names)
        _check_shortcuts(results, settings, proof)
        for kind in (FEATURES, THUMBNAILS):
            for file in sorted((results / kind / run).glob("*")):
                _check_array(file, run, weights if kind == FEATURES else None)
        for file in sorted((results / NAMES / run).glob("*")):
            recorded = read_json(file)
            if recorded["run"] != run or not all(
                isinstance(name, str) for name in recorded["names"]
            ):
                raise _Wrong(f"{file.name} holds no names of images of {run}")
    except _Wrong as error:
        raise refused(path, str(error)) from None
    except UserError as error:
        raise refused(path, _without(str(error), results)) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, MemoryError) as error:
        why = _without(reason(error), results)
        raise refused(path, f"what it holds is damaged ({why})") from None


class _Wrong(Exception):
    """Why a member is refused: the end of a sentence."""


def _without(text: str, results: Path) -> str:
    """The first sentence of an error, without the folder that goes when it is told."""
    return text.replace(f"{results}/", "").partition(". ")[0].rstrip(".")


def _check_run(folder: Path, evaluation: Path, run: str) -> tuple[RunSettings, Mapping[str, Any]]:
    """The settings and the weights; what the training told at its end."""
    config, task = read_json(folder / "config.json"), read_json(evaluation)
    if not isinstance(config, dict) or config.get("run") != run:
        raise _Wrong(f"its config is not that of {run}")
    settings = read_run(config)
    if {key: task.get(key) for key in config} != config:
        raise _Wrong("it was evaluated with other settings than it was trained with")
    read_settings(Evaluation, task["evaluation"], "evaluation")
    if not all(isinstance(entry["dataset"], str) for entry in task["ood"]):
        raise _Wrong("its OOD sets have no names")
    if not SPLIT.fullmatch(task.get("calibration_split", "test")):
        raise _Wrong("it was calibrated on a set of no name")
    Decoding.of(settings.size, settings.fit, task.get("decoding", {}), settings.in_distribution)
    weights = folder / "model.safetensors"
    trained = prove_weights(weights, run)
    prove_settings(weights, settings)
    if run_of(weights) != run:
        raise _Wrong(f"its weights do not say that they are those of {run}")
    return settings, trained


def _rows(path: Path, kind: str, run: str) -> tuple[Any, dict[str, Any]]:
    _check_parquet(path)
    return read_rows(path, kind, run)


def _check_parquet(path: Path) -> None:
    """Raises _Wrong for a parquet file of other types or more values than a run has.

    What it declares is compared with what comes out, batch by batch, words not repeated.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            metadata, schema = file.metadata, file.schema_arrow
        allowed = {pa.string(), pa.large_string(), pa.int64(), pa.float64()}
        words = [field.name for field in schema if pa.types.is_string(field.type)]
        words += [field.name for field in schema if pa.types.is_large_string(field.type)]
        if metadata.num_columns > MOST_COLUMNS or not {field.type for field in schema} <= allowed:
            raise _Wrong(f"{path.name} has columns that no run has")
        most = MOST_CELLS // max(metadata.num_columns, 1)
        groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        Bounds(path, Limits()).add(0, sum(max(group.total_byte_size, 0) for group in groups))
        rows = 0
        with pq.ParquetFile(path, read_dictionary=words) as file:
            for batch in file.iter_batches(BATCH) if metadata.num_rows <= most else ():
                rows += batch.num_rows
                lists = [batch.column(name).dictionary.to_pylist() for name in words]
                longest = max((len(w) for words in lists for w in words if w), default=0)
                if rows > most or longest > LONGEST_WORD:
                    break
            else:
                longest = 0
    except pa.ArrowException as error:
        raise _Wrong(f"{path.name} is damaged ({reason(error)})") from None
    if metadata.num_rows > most or rows > most or longest > LONGEST_WORD:
        raise _Wrong(f"{path.name} expands to more than any run has")


def _check_made_from(proof: Mapping[str, Any], inputs: Mapping[str, Any], kind: str) -> None:
    for name, checksum in inputs.items():
        if proof["inputs"].get(name) != checksum:
            raise _Wrong(f"its {kind} were made from other {name}")


def _check_columns(scores: list[str], measured: list[str]) -> None:
    if tuple(scores[: len(NOT_SCORES)]) != NOT_SCORES or tuple(measured) != COLUMNS:
        raise _Wrong("the columns of its scores or measurements are others than a run's")


def _check_shortcuts(results: Path, run: RunSettings, measured: Mapping[str, Any]) -> None:
    """What needs no learning, if it came along: of one pair, of the run's images."""
    files = sorted(file.relative_to(results).as_posix() for file in results.glob(f"{SHORTCUTS}/*"))
    if not files:
        return
    name = Path(files[0]).stem
    if files != sorted(files_of_pairs(name)):
        raise _Wrong(f"it has not the two files of one pair, but {', '.join(files)}")
    _check_parquet(results / files_of_pairs(name)[1])
    prove_shortcuts(results, name, run, measured)


def _check_array(file: Path, run: str, weights: str | None) -> None:
    """An array, with its proof beside it; weights: that it must be made from."""
    import numpy as np

    if file.suffix == ".json":
        if not file.with_suffix(".npy").exists():
            raise _Wrong(f"{file.name} proves nothing that is there")
        return
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise _Wrong(f"{file.name} is not an array of numbers ({reason(error)})") from None
    kinds = ("f4", "f8") if weights else ("u1",)
    if array.dtype.str.lstrip("<|") not in kinds or file.stat().st_size > array.nbytes + 4096:
        raise _Wrong(f"{file.name} is an array of {array.dtype}, which no run has")
    if weights and file.name == UNPROVEN:
        return
    if not file.with_suffix(".json").is_file():
        raise _Wrong(f"{file.name} has no proof of whose it is")
    proof = read_json(file.with_suffix(".json"))
    recorded = {"run": proof["run"], "sha256": proof["sha256"], "weights": proof.get("weights")}
    if recorded != {"run": run, "sha256": sha256_of(file), "weights": weights}:
        raise _Wrong(f"{file.name} is not what {run} made of its images")
