"""The pattern of names matches exactly the names, and does not grow with the seeds."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from ssl_ood.study.patterns import alternatives

NAMES = st.sets(st.text("ab1-.+|", min_size=1, max_size=5), max_size=12)


@given(NAMES, NAMES)
def test_it_matches_the_names_and_no_others(names, others):
    pattern = re.compile(f"(?P<run>{alternatives(names)})/x") if names else None
    for name in names | others:
        found = pattern.fullmatch(f"{name}/x") if pattern else None
        assert (found is not None) == (name in names)
        assert found is None or found["run"] == name


def test_it_is_the_same_whatever_the_order():
    names = ["b-1", "a-2", "c", "a-1", "b-2"]
    assert alternatives(names) == alternatives(reversed(names)) == "c|(?:a|b)-(?:1|2)"
    assert alternatives([]) == ""


def test_a_seed_adds_its_own_name_only():
    def length(seeds):
        return len(alternatives(f"study-set{i}-none-seed{s}" for i in range(90) for s in seeds))

    assert length(range(30)) - length(range(10)) == 20 * len("|seed10")
