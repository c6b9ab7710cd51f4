"""What an artefact carries with it: the checksum of its content, its run, its inputs' checksums.

- JSON files (meta.json of a packed set, train.json, the proof of a features file): a seal, which is
  the checksum of all the rest.
- Weights (safetensors): the checksum of the tensors, in the metadata.
- Scores and measurements (parquet): in the metadata of the schema, the run, the checksums of what
  they were made from and that of the rows.

They are read through the functions here, which compare. Packed images are compared with meta.json
(`datasets.packed`), features with their proof (`evaluation.sets`), checkpoints with their note
(`training.checkpoints`). What such a checksum is good for, and what not: see `common.hashing`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl_ood.common.errors import UserError
from ssl_ood.common.files import atomic_path
from ssl_ood.common.hashing import sha256, sha256_of_value

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor

SEAL, TENSORS = "sha256", "tensors_sha256"
PROOF = b"ssl_ood"  # the key in the metadata of a parquet file's schema


# ---- JSON


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """The value with a checksum of all its rest."""
    rest = {key: entry for key, entry in value.items() if key != SEAL}
    return rest | {SEAL: sha256_of_value(rest)}


def is_whole(value: Mapping[str, Any]) -> bool:
    """Whether the seal of a JSON value is that of its rest; one of an older version has none."""
    return SEAL not in value or sealed(value)[SEAL] == value[SEAL]


# ---- weights


def save_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    """Writes a safetensors file: the same bytes for the same content, its checksum in it."""
    from safetensors.torch import save

    # Whatever order a network keeps its weights in: a file has them row by row.
    head, data = _parts(save({name: tensor.contiguous() for name, tensor in tensors.items()}))
    metadata = dict(metadata) | {TENSORS: _digest(head, data)}
    header = json.dumps({"__metadata__": metadata} | head, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # the tensors begin at a multiple of 8
    with atomic_path(path) as partial, open(partial, "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.write(data)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors file, by name, and its metadata.

    Raises UserError for a file that cannot be read or is not what was written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    metadata = tensors_metadata(path)
    try:
        content = Path(path).read_bytes()
        tensors, whole = load(content), metadata.get(TENSORS) in (None, _digest(*_parts(content)))
    except (OSError, SafetensorError, ValueError) as error:
        raise damaged("weights", path, str(error)) from None
    if not whole:
        raise damaged("weights", path, "their checksum differs")
    return tensors, metadata


def tensors_metadata(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file. Raises UserError for one that cannot be read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:  # no tensor is read: torch is not wanted
            return file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise damaged("weights", path, str(error)) from None


def _parts(content: bytes) -> tuple[dict[str, Any], memoryview]:
    """What a safetensors file says of its tensors, and their bytes."""
    start = 8 + int.from_bytes(content[:8], "little")
    head = json.loads(content[8:start])
    head.pop("__metadata__", None)
    return head, memoryview(content)[start:]


def _digest(head: Mapping[str, Any], data: memoryview) -> str:
    return sha256([json.dumps(head, sort_keys=True).encode(), data])


# ---- scores and measurements


def write_rows(table: pa.Table, path: Path, proof: Mapping[str, Any]) -> str:
    """Writes a parquet file that carries `proof` (with the "run" that it is of) and a checksum of
    its rows, which is returned."""
    import pyarrow.parquet as pq

    rows = rows_digest(table)
    text = json.dumps(sealed({**proof, "rows": rows}), sort_keys=True)
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), PROOF: text})
    with atomic_path(path) as partial:
        pq.write_table(table, partial, compression="zstd")
    return rows


def read_rows(
    path: Path, kind: str, run: str | None = None, *, proven: bool = True
) -> tuple[pa.Table, dict[str, Any]]:
    """The rows of a parquet file and its proof. kind: "scores" or "measurements"; run: whose they
    must be. proven: whether a file without a proof is refused, as one of an older version is.

    What else the schema says, such as to pandas, is not proven and left out of the table.
    Raises UserError for a file that is missing, damaged, without a proof or of another run.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            table = file.read()
        proof = json.loads((table.schema.metadata or {}).get(PROOF, b"null"))
        table = table.replace_schema_metadata(None)
        if proof is None and not proven:
            return table, {}
        if proof is None:
            raise UserError(
                f"The {kind} {path} carry no checksum: an older version or another program wrote "
                f"them. {_again(path)}"
            )
        whole = is_whole(proof) and proof["rows"] == rows_digest(table)
    except FileNotFoundError:
        raise UserError(
            f"There are no {kind} {path}: make them with `snakemake {shlex.quote(str(path))}`."
        ) from None
    except PermissionError as error:
        raise UserError(f"The {kind} {path} cannot be read ({error.strerror}).") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, pa.ArrowException) as error:
        raise damaged(kind, path, str(error)) from None
    if not whole:
        raise damaged(kind, path, "they are not those that were written: their checksum differs")
    if run not in (None, proof["run"]):
        raise UserError(
            f"{path} holds the {kind} of {proof['run']}, not those of {run}. {_again(path)}"
        )
    return table, proof


def rows_digest(table: pa.Table) -> str:
    """SHA-256 of the columns of a table: names, values in order, and what is null."""
    return sha256(_column_parts(table))


def _column_parts(table: pa.Table) -> Iterator[bytes]:
    import pyarrow as pa
    import pyarrow.compute as pc

    for name in table.column_names:
        column = table[name].combine_chunks()
        yield f"{name} {len(column)} {column.null_count};".encode()
        if column.null_count:
            yield column.is_null().to_numpy(zero_copy_only=False).tobytes()
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            column = pc.dictionary_encode(column)
            yield json.dumps(column.dictionary.to_pylist()).encode()
            column = column.indices
        if column.null_count:  # what lies below a null is not a part of it
            column = pc.fill_null(column, 0)
        values = column.to_numpy(zero_copy_only=False)
        yield f"{values.dtype};".encode() + values.tobytes()


def damaged(kind: str, path: Path, reason: str) -> UserError:
    """The error for an artefact that is not what was written."""
    reason = " ".join(reason.split())[:200].rstrip(".")
    return UserError(f"The {kind} {path} are damaged ({reason}). {_again(path)}")


def _again(path: Path) -> str:
    return f"Delete the file and make it again: `snakemake {shlex.quote(str(path))}`."
