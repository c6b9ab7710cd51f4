"""The catalogue: whole, honest about what is unverified, and quick to import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ssl_ood.common.errors import UserError
from ssl_ood.common.registry import names
from ssl_ood.datasets.catalogue import from_dict, get, load_catalogue

THESIS = [
    "cifar10",
    "cifar100",
    "svhn",
    "imagenet30",
    "tinyimagenet",
    "lsun",
    "lsun_resize",
    "stl10",
    "places365",
    "texture",
    "imagenet",
    "dti",
    "rsna",
    "chexpert",
    "hyper_kvasir",
    "hyper_kvasir_unlabelled",
    "lag",
    "fashion_mnist",
    "mnist",
]
COUNTS = {
    ("cifar10", "train"): 50_000, ("cifar100", "test"): 10_000, ("svhn", "test"): 26_032,
    ("stl10", "test"): 8_000, ("texture", "all"): 5_640, ("texture_test1", "test"): 1_880,
    ("places365", "validation"): 36_500,
    ("lsun", "test"): 10_000, ("tinyimagenet", "val"): 10_000, ("imagenet30", "test"): 3_000,
    ("imagenet", "train"): 1_281_167, ("dti", "train"): 300_000, ("rsna", "normal"): 8_851,
    ("rsna", "opacity"): 6_012, ("hyper_kvasir", "train"): 1_600, ("hyper_kvasir", "test"): 500,
    ("lag", "train"): 2_343, ("lag", "test"): 800, ("lag", "glaucoma"): 1_711,
}  # fmt: skip


def test_every_dataset_of_the_thesis_is_there_with_its_counts(catalogue):
    assert set(THESIS) <= set(catalogue)
    for (name, split), count in COUNTS.items():
        assert catalogue[name].splits[split].count == count


def test_a_dataset_can_be_had_or_says_how(catalogue):
    for dataset in catalogue.values():
        assert dataset.reader in names("reader")
        for archive in dataset.archives:
            assert all(url.startswith("https://") for url in archive.urls)
            if dataset.access == "free":
                assert archive.urls, f"{dataset.name} is free but has no address"
        if dataset.access in ("login", "request"):
            assert dataset.how_to_get


def test_each_role_names_a_split(catalogue):
    for dataset in catalogue.values():
        for split in (dataset.train_split, dataset.test_split):
            assert split is None or split in dataset.splits
        assert dataset.train_split or dataset.test_split


def test_a_count_that_nobody_verified_is_marked(catalogue):
    assert not catalogue["chexpert"].splits["train"].verified
    assert not catalogue["rsna"].verified, "RSNA's archive has no known checksum"
    assert catalogue["cifar10"].verified


def test_a_derived_set_has_the_archives_of_its_parent_and_its_own_selection(catalogue):
    low, high, parent = (catalogue[n] for n in ("fashion_low", "fashion_high", "fashion_mnist"))
    assert low.archives == parent.archives and low.store == "fashion_mnist"
    assert low.splits["train"].options["select"]["classes"] == [0, 1, 2, 3, 4]
    assert high.splits["train"].options["select"]["classes"] == [5, 6, 7, 8, 9]
    assert low.splits["test"].count == 1000 and low.options["mode"] == "L"


def test_an_optional_archive_is_necessary_for_its_split(catalogue):
    def needed(name, *splits):
        dataset = catalogue[name]
        dataset = dataset.read_for(dataset.splits[split] for split in splits)
        return [a.file for a in dataset.archives if not a.optional]

    assert needed("svhn", "test") == ["test_32x32.mat"]
    assert needed("svhn", "train", "test") == ["test_32x32.mat", "train_32x32.mat"]
    assert needed("imagenet", "val") == ["ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"]
    assert (
        catalogue["imagenet"].read_for([catalogue["imagenet"].splits["train"]])
        == (catalogue["imagenet"])
    )


def test_no_photograph_has_two_roles_in_the_demo(catalogue):
    roles: dict[str, str] = {}
    for dataset in catalogue.values():
        for archive in dataset.archives:
            # The medical part has pictures of its own roles: no study shows both.
            if archive.package and not dataset.name.startswith("demo_"):
                picture = Path(archive.file).stem.replace("_right", "_left")
                assert roles.setdefault(picture, dataset.name) == dataset.name
    assert {"astronaut", "camera", "brick", "retina"} <= set(roles)


def test_ood_sets_cut_from_pictures_of_things_are_marked(catalogue):
    marked = {d.name for d in catalogue.values() if d.photographs}
    assert marked == {"faces", "coins", "textures", "tissue", "retina"}
    unmarked_ood = {"mnist_digits", "digits8x8", "letters", "page_text"}
    assert all(not catalogue[name].photographs for name in unmarked_ood)


def test_an_entry_survives_json(catalogue):
    for dataset in catalogue.values():
        assert from_dict(dataset.name, json.loads(json.dumps(dataset.to_dict()))) == dataset


def test_a_wrong_name_gets_the_nearest(catalogue):
    with pytest.raises(UserError, match=r"no dataset 'cifar'. Did you mean 'cifar10'\?"):
        get(catalogue, "cifar")


def test_a_wrong_split_gets_the_list(catalogue):
    with pytest.raises(UserError, match="stl10 has no split 'val': its splits are train, test"):
        catalogue["stl10"].split("val")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("datasets: {a: {title: A}}", "wrong at datasets.a: .*'kind' is a required property"),
        ("datasets: [", "is not valid YAML"),
        (
            "datasets: {a: {title: A, derive: {from: b, limit: {test: 3}}}}",
            "derives a from 'b', which is not an entry",
        ),
        (
            "datasets: {a: {title: A, kind: demo, access: free, licence: null, citation: null,"
            " reader: idx, splits: {test: {count: 1}},"
            " archives: [{file: a.gz, urls: ['http://a/a.gz']}]}}",
            "wrong at datasets.a.archives.0.urls.0: .*does not match",
        ),
    ],
)
def test_a_faulty_catalogue_is_said_where(tmp_path, text, message):
    path = tmp_path / "datasets.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        load_catalogue(path)


def test_the_snakefile_pays_little_for_it():
    code = (
        "import yaml, time; start = time.perf_counter(); import ssl_ood.datasets.catalogue,"
        " ssl_ood.datasets.weights,"
        " ssl_ood.datasets.places, sys; took = time.perf_counter() - start;"
        "heavy = {'numpy', 'torch', 'PIL', 'scipy', 'jsonschema', 'requests'} & set(sys.modules);"
        "assert not heavy, heavy; print(took)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 0.5  # 0.04 s on a quiet machine


def test_a_derived_set_says_how_many_images_it_is_chosen_from(catalogue):
    select = catalogue["imagenet_100k"].splits["train"].options["select"]
    assert select == {"seed": 0, "stop": 100_000, "of": catalogue["imagenet"].splits["train"].count}
