"""`ssl_ood trace TABLE ROW COLUMN`: follows a number of a table to the images it comes from, and
computes or compares each link on the way.

The report shows the same chain by links; this is for whoever has the results folder.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from ssl_ood.common.errors import UserError, unknown
from ssl_ood.common.files import read_json
from ssl_ood.common.hashing import sha256_of
from ssl_ood.evaluation.measure import OODSet, measure
from ssl_ood.evaluation.score_columns import column_name
from ssl_ood.evaluation.score_files import NOT_SCORES, read_scores
from ssl_ood.report.chain import MEASUREMENTS, SAME, Chains, Origin
from ssl_ood.report.layout import Table

EQUAL, GONE = "equal", "not there"


def trace(results: Path, name: str, row: str, column: str) -> Iterator[str]:
    """The lines that tell where a cell comes from, each link with whether it holds.

    name: of a table; row, column: its words, as printed, or a part of them that only one has.
    Raises UserError for what is not there, and at the first link that does not hold.
    """
    chains = Chains(results)
    table = chains.table(name)
    line = table.rows[_row(table, row)]
    cell = line[_column(table, column)]
    words = " ".join(c.value for c in line[: table.text_columns] if c.value)
    yield f"{name}, {words}, {column}: {cell.value}{cell.rest}"
    if not cell.of:
        raise UserError(f"{name}: the cell {row!r}, {column!r} shows no number.")
    runs: dict[str, None] = {}
    for index in cell.of:
        record = table.records[index]
        value = record.get("measured") or record.get("reported") or record.get("status", "")
        yield f"  row {index} of tables/{name}.csv: {value} {record.get('unit', '')}".rstrip()
        origins = chains.origins(name, record)
        for origin in origins:
            yield f"    from row {origin.row} of {origin.file}: {origin.metric} {origin.value!r}"
            if origin.file.startswith(MEASUREMENTS):
                yield f"      computed again from scores/{origin.run}.parquet: " + _again(
                    chains, origin
                )
                runs[origin.run] = None
        if origins and len(origins) > 1:
            yield "    their mean: equal"
        runs |= dict.fromkeys(filter(None, record.get("runs", "").split(";")))
    for run in runs:
        yield from _of_run(chains, run)


def _row(table: Table, words: str) -> int:
    """The row that has these words on its left, alone or with those of its other word columns."""
    names, above = [], [""] * table.text_columns
    for line in table.rows:
        own = [cell.value for cell in line[: table.text_columns]]
        first = next((i for i, word in enumerate(own) if word), 0)
        above = [*above[:first], *own[first:]]
        names.append(above)
    joined = [" ".join(filter(None, name)) for name in names]
    return _only(words, joined, names, f"row of {table.name}")


def _column(table: Table, words: str) -> int:
    """The column of this title, alone or behind that of its group."""
    groups = [title for title, span in table.groups for _ in range(span)] or [""] * len(
        table.header
    )
    names = [[group, title] for group, title in zip(groups, table.header, strict=True)]
    joined = [" ".join(filter(None, name)) for name in names]
    return _only(words, joined, names, f"column of {table.name}")


def _only(words: str, joined: list[str], names: list[list[str]], kind: str) -> int:
    """The only place whose whole name, or else a part of it, is these words."""
    for found in (
        [i for i, name in enumerate(joined) if name == words],
        [i for i, name in enumerate(names) if words in name],
    ):
        if len(found) == 1:
            return found[0]
        if found:
            which = "; ".join(repr(joined[i]) for i in found)
            raise UserError(f"{words!r} is more than one {kind}: name one of {which}.")
    raise unknown(words, chain(joined, chain.from_iterable(names)), kind)


def _again(chains: Chains, origin: Origin) -> str:
    """The value computed from the scores of the images; what is of no score is not."""
    path = chains.results / "scores" / f"{origin.run}.parquet"
    if not path.exists():
        return GONE
    config = read_json(chains.results / "evaluation" / f"{origin.run}.json")
    sets = [OODSet(**entry) for entry in config["ood"]]
    table = read_scores(path, origin.run)
    temperature = None if math.isnan(origin.temperature) else origin.temperature
    wanted = column_name(origin.score, temperature)
    own = {name: values for name, values in table.items() if name in (*NOT_SCORES, wanted)}
    for row in measure(own, sets, config["evaluation"]["confidence"]):
        same = (row["metric"], row.get("dataset", ""), row.get("score", ""))
        if same == (origin.metric, origin.dataset, origin.score):
            return _compared(row["value"], origin.value, f"{path} and {origin.file}")
    return "it is of no score"


def _compared(found: float, expected: float, files: str) -> str:
    if not math.isclose(found, expected, rel_tol=SAME, abs_tol=SAME):
        raise UserError(f"{files} say {found!r} and {expected!r}: run the workflow again.")
    return f"{found!r}, {EQUAL}"


def _of_run(chains: Chains, run: str) -> Iterator[str]:
    """A run: its settings and commit, and whether weights and images are those that it had."""
    told, settings = chains.training(run), chains.settings(run)
    yield (
        f"run {run}: {settings['method']}, negatives {settings['strategy']}, variant "
        f"{settings['variant']}, seed {settings['seed']}; all settings: runs/{run}/config.json"
    )
    yield f"  commit {told['versions'].get('commit') or 'not known'}"
    weights = f"runs/{run}/model.safetensors"
    yield f"  {weights}: {_hashed(chains, weights, told['weights_sha256'])}"
    for path, checksums in sorted(chains.image_sets(run).items()):
        place = f"data/{path}/images.npy"
        yield f"  {place}: {_hashed(chains, place, checksums['images'])}"


def _hashed(chains: Chains, place: str, expected: str) -> str:
    """The checksum of a file, which must be the expected one where the file is there."""
    path = chains.results / place
    if not path.exists():
        return f"SHA-256 {expected}, {GONE}"
    if sha256_of(path) != expected:
        raise UserError(f"{path} is not the file that the run had: its checksum is another one.")
    return f"SHA-256 {expected}, {EQUAL}"
