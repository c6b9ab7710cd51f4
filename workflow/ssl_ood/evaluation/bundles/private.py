"""What must not leave with a bundle: absolute paths, and the names of the user and of the machine.

Nothing of a run should hold one. Every text of a bundle is looked through all the same before it is
written: also what a parquet or safetensors file says beside its numbers.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import socket
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from ssl_ood.common.errors import UserError

# Names that tell nobody from another, or are words.
GENERIC = {"root", "user", "admin", "ubuntu", "debian", "runner", "localhost", "main", "host"}
SHORTEST = 3  # letters of a name that is looked for
# A path from the root with two parts or more, or one of Windows; not the path of an address.
ABSOLUTE = re.compile(r"(?<![\w:/.<])/[\w.~@-]+/[^\s\"'<>|]+|\b[A-Za-z]:\\+\w[^\s\"']*", re.ASCII)


def private_names() -> dict[str, str]:
    """Names that must not leave, and what they are: of this user, and of this machine."""
    names: dict[str, str] = {}
    for variable in ("USER", "LOGNAME", "SUDO_USER"):
        names.setdefault(os.environ.get(variable, ""), "the name of this user")
    with contextlib.suppress(OSError, KeyError):  # a number without a name, in some containers
        names.setdefault(getpass.getuser(), "the name of this user")
    home = str(Path.home())
    names.setdefault(home if len(home) > 1 else "", "the home of this user")
    host = socket.gethostname()
    for name in (host, host.partition(".")[0]):
        names.setdefault(name, "the name of this machine")
    return {n: w for n, w in names.items() if len(n) >= SHORTEST and n.lower() not in GENERIC}


def refuse_private(members: Mapping[str, Path | bytes], allowed: Collection[str] = ()) -> None:
    """Raises UserError for the first member with an absolute path or a private name in it.

    allowed: words that may leave although they are such a name.
    """
    names = {name: kind for name, kind in private_names().items() if name not in allowed}
    for member, content in members.items():
        for text in texts_of(member, content):
            if fault := find_private(text, names):
                raise UserError(
                    f"{member} was not bundled: it holds {fault}, which must not leave this "
                    "machine; name it by --may-name if it is no secret."
                )


def find_private(text: str, names: Mapping[str, str]) -> str | None:
    """The first absolute path or private name in a text, in words; None where there is none."""
    if (match := ABSOLUTE.search(text)) and match[0] not in names:
        return f"the absolute path {match[0][:120]!r}"
    for name, kind in names.items():
        if re.search(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", text, re.IGNORECASE):
            return f"{kind}, {name!r}"
    return None


def texts_of(member: str, content: Path | bytes) -> Iterator[str]:
    """The texts of a member: all of it, or what stands beside and among its numbers."""
    if isinstance(content, bytes):
        yield content.decode("utf-8", "replace")
    elif member.endswith(".parquet"):
        yield from _texts_of_parquet(content)
    elif member.endswith((".safetensors", ".npy")):
        with open(content, "rb") as file:
            start = file.read(8)
            tensors = member.endswith(".safetensors")
            yield file.read(int.from_bytes(start, "little") if tensors else 1024).decode(
                "utf-8" if tensors else "latin-1", "replace"
            )
    else:
        yield content.read_text(encoding="utf-8", errors="replace")


def _texts_of_parquet(path: Path) -> Iterator[str]:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    metadata = table.schema.metadata or {}
    yield from (
        f"{k.decode(errors='replace')} {v.decode(errors='replace')}" for k, v in metadata.items()
    )
    for name in table.column_names:
        yield name
        if pa.types.is_string(table[name].type) or pa.types.is_large_string(table[name].type):
            yield "\n".join(filter(None, pc.unique(table[name]).to_pylist()))
