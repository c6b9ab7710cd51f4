"""Regular expressions of names, for the wildcards of the rules."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable


def alternatives(names: Iterable[str]) -> str:
    """A pattern that matches these names and no others; empty without any.

    Names that differ only in what follows their last hyphen, as runs of other seeds do, are written
    once with their endings: Snakemake goes through the pattern for every file, so that one as long
    as all names together makes planning quadratic in the number of runs.
    """
    endings: dict[str, set[str]] = defaultdict(set)
    whole = set()
    for name in names:
        stem, hyphen, ending = name.rpartition("-")
        if hyphen:
            endings[stem].add(ending)
        else:
            whole.add(name)
    alike: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for stem in sorted(endings):
        alike[tuple(sorted(endings[stem]))].append(stem)
    parts = [re.escape(name) for name in sorted(whole)]
    parts += [f"{_one_of(stems)}-{_one_of(of)}" for of, stems in sorted(alike.items())]
    return "|".join(parts)


def _one_of(names: Iterable[str]) -> str:
    return f"(?:{'|'.join(map(re.escape, names))})"
