"""What licences forbid, and which forbids most."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssl_ood.datasets.catalogue import load_catalogue
from ssl_ood.datasets.licences import FREE, OWN, most_restrictive, terms_of
from ssl_ood.datasets.weights import load_weights

CATALOGUE = Path(__file__).parents[2] / "resources" / "datasets.yaml"


@pytest.mark.parametrize(
    ("licence", "kind"),
    [
        (None, "not stated"),
        ("MIT", "free"),
        ("CC BY 4.0", "free"),
        ("free (see skimage/data/README.txt)", "free"),
        ("CC BY-NC 4.0", "non-commercial"),
        ("CC-BY-NC-SA 4.0", "non-commercial"),
        ("non-commercial use only", "non-commercial"),
        ("for research purposes", "non-commercial"),
        ("academic use only, no redistribution", "agreement"),
        ("Stanford University dataset research use agreement", "agreement"),
        ("the rules of the competition", "agreement"),
        ("CC BY-SA 4.0", "terms of its own"),
        ("freedom of nobody", "terms of its own"),
        ("as the hospital says", "terms of its own"),
    ],
)
def test_the_kind_of_a_licence_follows_from_its_words(licence, kind):
    assert terms_of(licence).kind == kind


def test_every_licence_of_the_catalogue_is_understood():
    entries = {**load_catalogue(CATALOGUE), **load_weights(CATALOGUE, validate=False)}
    assert not [name for name, entry in entries.items() if terms_of(entry.licence) == OWN]
    assert terms_of(entries["moco_v2_imagenet"].licence).kind == "non-commercial"
    assert terms_of(entries["lag"].licence).kind == "agreement"


def test_the_most_restrictive_is_carried_over():
    order = ["MIT", None, "as the hospital says", "CC BY-NC 4.0", "no redistribution"]
    for i, licence in enumerate(order):
        assert most_restrictive(map(terms_of, order[: i + 1])) == terms_of(licence)
    assert most_restrictive([]) == FREE
