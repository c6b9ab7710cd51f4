"""Makes `support`, what the tests of several rooms share, importable everywhere."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ssl_ood.common.registry import _ENTRIES
from ssl_ood.declarations import declare_everything

sys.path.insert(0, str(Path(__file__).parent))
declare_everything()


@pytest.fixture(scope="module", autouse=True)
def _plugins_end_with_their_tests():
    """What the tests of one file declare is unknown to those of the next."""
    before = {kind: dict(entries) for kind, entries in _ENTRIES.items()}
    yield
    for kind, entries in _ENTRIES.items():
        for name in entries.keys() - before[kind].keys():
            sys.modules.pop(entries[name].module, None)
        _ENTRIES[kind] = before[kind]


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """A small study with two runs that were trained and evaluated; nobody writes into it."""
    from support.small_results import Small

    return Small(tmp_path_factory.mktemp("small")).make()
