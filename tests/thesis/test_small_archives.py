"""The small archives are what the catalogue written for them says. Needs no Snakemake."""

from __future__ import annotations

import numpy as np
import pytest
import timm
from safetensors.torch import load_file
from small_archives import write_archives, write_catalogue
from small_medical import BACKBONE, NUMBERS

from ssl_ood.datasets.catalogue import load_catalogue
from ssl_ood.datasets.fetch import fetch
from ssl_ood.datasets.pack import pack
from ssl_ood.datasets.packed import open_packed
from ssl_ood.datasets.splits import write_split
from ssl_ood.datasets.weights import convert, load_weights

SIZE = 32
PAIRS = [
    *[(f"rsna/train_{k}", f"rsna/test_{k}") for k in range(5)],
    ("rsna/train", "rsna/test"),
    ("rsna/train", "rsna_opacity/test"),
    ("rsna_labelled/train", "rsna_labelled/test"),
    ("rsna_labelled/train", "rsna_labelled_abnormal/test"),
    ("hyper_kvasir/train", "hyper_kvasir/test"),
    ("hyper_kvasir/train", "hyper_kvasir_polyp/test"),
    ("lag/train", "lag/test"),
    ("lag/train", "lag_glaucoma/test"),
]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """(folder, catalogue file) of the small archives."""
    folder = tmp_path_factory.mktemp("small")
    write_archives(folder / "archives")
    write_catalogue(folder / "datasets.yaml", folder / "archives")
    return folder, folder / "datasets.yaml"


def test_every_split_of_the_medical_sets_packs_to_its_count(small):
    folder, path = small
    catalogue = load_catalogue(path)
    medical = [d for d in catalogue.values() if d.store in NUMBERS or d.name == "imagenet_100k"]
    assert len(medical) == 13
    for dataset in medical:
        manifest = fetch(dataset, folder / "downloads", [folder / "archives"])
        for split, spec in dataset.splits.items():
            target = folder / "data" / dataset.name / f"{split}-{SIZE}px"
            meta = pack(dataset, split, SIZE, manifest, target, workers=1)
            assert spec.count in (None, meta["count"]), (dataset.name, split)
            assert not meta["corrupt"]
    for train, test in PAIRS:
        write_split(catalogue, folder / "data", train, test, SIZE, folder / "list.json")
    for split, expected in {"train": [24, 18], "test": [10, 7], "test_normal": [10]}.items():
        labels = open_packed(folder / "data" / "rsna_labelled" / f"{split}-{SIZE}px").labels
        assert np.bincount(labels).tolist() == expected


def test_the_small_weights_fit_the_small_backbone(small, tmp_path):
    folder, path = small
    for name, weights in load_weights(path).items():
        manifest = fetch(weights, folder / "downloads", [folder / "archives"])
        assert manifest["archives"][0]["way"] == "archive_dirs"
        convert(weights, manifest, tmp_path / f"{name}.safetensors")
        model = timm.create_model(BACKBONE, num_classes=0)
        model.load_state_dict(load_file(tmp_path / f"{name}.safetensors"))
