"""The splits of the medical sets: from the catalogue's options, on labels of the real numbers."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from ssl_ood.common.errors import UserError
from ssl_ood.datasets.catalogue import Split, from_dict, load_catalogue
from ssl_ood.datasets.readers import Item, Source, _selected, choose, open_split

# Images of each class, shuffled as no real archive is: 8,851 + 11,821 + 6,012 films, and so on.
CLASSES = {
    "rsna": [8851, 11821, 6012],
    "hyper_kvasir": [1009, 9, 1148, 1028],
    "lag": [3143, 1711],
}
PARTS = {
    "rsna": [
        ["train", "test", "not_normal", "opacity"],
        *[[f"train_{k}", f"test_{k}", "abnormal"] for k in range(5)],
        ["labelled_train", "labelled_test"],
        ["labelled_train", "labelled_test_normal", "labelled_test_abnormal"],
    ],
    "hyper_kvasir": [["train", "test", "polyp"]],
    "lag": [["train", "test", "glaucoma"]],
}
# SHA-256 of the chosen places. A change of one makes other splits than those of every result.
PINNED = {
    ("rsna", "train"): "3644cf0370c166b2",
    ("rsna", "train_3"): "2f78712e5d999077",
    ("rsna", "labelled_train"): "69635ff0df0f20de",
    ("hyper_kvasir", "train"): "0e7ef23fc0f6a3cb",
    ("hyper_kvasir", "polyp"): "6f01825a2ab5c6d3",
    ("lag", "train"): "523675a48dd7e6f0",
}


def labels_of(name):
    counts = CLASSES[name]
    return np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))


def places(catalogue, name, split, groups=None):
    labels = labels_of(name)
    groups = np.arange(len(labels)) if groups is None else groups
    select = catalogue[name].splits[split].options["select"]
    return np.flatnonzero(choose(labels, groups, select))


@pytest.mark.parametrize(
    ("name", "parts"), [(name, parts) for name, lists in PARTS.items() for parts in lists]
)
def test_splits_are_disjoint_and_of_the_size_that_the_catalogue_says(catalogue, name, parts):
    chosen = [places(catalogue, name, split) for split in parts]
    assert [len(c) for c in chosen] == [catalogue[name].splits[s].count for s in parts]
    assert len(np.unique(np.concatenate(chosen))) == sum(map(len, chosen))


def test_the_sizes_are_those_of_the_thesis(catalogue):
    rsna = labels_of("rsna")
    taken = np.bincount(rsna[places(catalogue, "rsna", "labelled_train")])
    assert taken[0] == 6993 and taken[1:].sum() == 14159
    assert len(places(catalogue, "rsna", "labelled_test")) == 5532
    for k in range(5):
        both = [places(catalogue, "rsna", f"{side}_{k}") for side in ("train", "test")]
        assert set(np.concatenate(both)) == set(np.flatnonzero(rsna == 0))
    np.testing.assert_array_equal(*(places(catalogue, "rsna", s) for s in ("train", "train_0")))
    np.testing.assert_array_equal(*(places(catalogue, "rsna", s) for s in ("test", "test_0")))
    five = [frozenset(places(catalogue, "rsna", f"test_{k}")) for k in range(5)]
    assert max(len(a & b) for a in five for b in five if a is not b) < 200
    assert len(places(catalogue, "lag", "test")) == 800
    assert len(places(catalogue, "lag", "glaucoma")) == 1711


@pytest.mark.parametrize(("name", "split"), PINNED)
def test_a_split_never_changes(catalogue, name, split):
    content = places(catalogue, name, split).astype("<i8").tobytes()
    assert hashlib.sha256(content).hexdigest()[:16] == PINNED[name, split]


@pytest.mark.parametrize(("start", "stop"), [(0, 7851), (7851, 8851), (3, 4)])
def test_without_groups_a_permutation_of_the_images_is_cut(start, stop):
    labels = labels_of("rsna")
    select = {"classes": [0], "seed": 5, "start": start, "stop": stop}
    chosen = np.flatnonzero(choose(labels, np.arange(len(labels)), select))
    own = [i for i, label in enumerate(labels) if label == 0]
    order = np.random.Generator(np.random.PCG64(5)).permutation(len(own))
    assert chosen.tolist() == sorted(own[i] for i in order[start:stop])


def test_a_patient_is_on_one_side_and_every_image_on_some_side():
    rng = np.random.default_rng(1)
    labels, groups = rng.integers(0, 2, 900), rng.integers(0, 300, 900)
    normal = int((labels == 0).sum())
    edges = [0, 100, 101, 250, normal]
    sides = [
        choose(labels, groups, {"classes": [0], "seed": 3, "start": a, "stop": b})
        for a, b in pairwise(edges)
    ]
    assert (np.sum(sides, axis=0) == (labels == 0)).all()
    for i, side in enumerate(sides):
        for other in sides[:i]:
            assert not set(groups[side]) & set(groups[other])
    # No side is off by more than the patients at its two ends.
    most = np.bincount(groups[labels == 0]).max()
    for side, a, b in zip(sides, edges, edges[1:], strict=False):
        assert abs(side.sum() - (b - a)) < most


def test_patients_are_permuted_in_order_of_first_appearance():
    groups = np.array([7, 2, 7, 5, 2, 5, 5, 9])
    order = np.random.Generator(np.random.PCG64(0)).permutation(4)
    first, second = (np.array([7, 2, 5, 9])[order[i]] for i in (0, 1))
    sizes = {g: int((groups == g).sum()) for g in (first, second)}
    taken = choose(np.zeros(8), groups, {"seed": 0, "stop": sizes[first] + sizes[second]})
    assert set(groups[taken]) == {first, second} and taken.sum() == sum(sizes.values())


def test_merged_classes_have_labels_and_names_of_their_own(catalogue):
    merge = [{"name": "normal", "classes": [0]}, {"name": "abnormal", "classes": [2, 1]}]

    def read():
        return Source((Item(str(i), i % 3, b"") for i in range(9)), ["a", "b", "c"])

    source = _selected(read, {"merge_classes": merge}, "set", "all")
    assert [item.label for item in source.items] == [0, 1, 1] * 3
    assert source.classes == ["normal", "abnormal"]
    source = _selected(read, {"classes": [2], "merge_classes": merge}, "set", "all")
    assert [(item.name, item.label) for item in source.items] == [("2", 1), ("5", 1), ("8", 1)]
    with pytest.raises(UserError, match=r"merge_classes of set all leaves out the class.es. 1, 2"):
        _selected(read, {"merge_classes": merge[:1]}, "set", "all")
    test_normal = catalogue["rsna_labelled"].splits["test_normal"].options["select"]
    assert [to["name"] for to in test_normal["merge_classes"]] == ["normal", "abnormal"]


def test_too_few_images_for_a_part_are_said():
    with pytest.raises(UserError, match=r"Split train of lag needs 2,343 images .* holds 10"):
        choose(np.zeros(10), np.arange(10), {"seed": 0, "stop": 2343}, "Split train of lag")


def test_derived_sets_are_splits_of_their_parent_under_other_names(catalogue):
    expected = {
        "rsna_opacity": {"test": "opacity"},
        "rsna_not_normal": {"test": "not_normal"},
        "rsna_abnormal": {"test": "abnormal"},
        "rsna_labelled": {
            "train": "labelled_train",
            "test": "labelled_test",
            "test_normal": "labelled_test_normal",
        },
        "rsna_labelled_abnormal": {"test": "labelled_test_abnormal"},
        "hyper_kvasir_polyp": {"test": "polyp"},
        "lag_glaucoma": {"test": "glaucoma"},
    }
    for name, splits in expected.items():
        dataset = catalogue[name]
        parent = catalogue[dataset.store]
        assert dataset.splits == {own: parent.splits[source] for own, source in splits.items()}
        assert dataset.title != parent.title and dataset.archives == parent.archives
        assert dataset.test_split == "test"
        assert dataset.train_split == ("train" if "train" in splits else None)
    big = catalogue["imagenet_100k"]
    assert (big.store, big.train_split, big.splits["train"].count) == ("imagenet", "train", 100_000)


def test_the_auxiliary_films_are_frontal_as_those_of_rsna_are(catalogue):
    chexpert = catalogue["chexpert"]
    assert chexpert.train_split == "frontal"
    assert chexpert.splits["frontal"].options["frontal_only"] is True


def test_names_tell_the_patient_where_the_catalogue_says_so(catalogue):
    assert catalogue["rsna_labelled"].group_of("0004cfab-14fd") == "0004cfab-14fd"
    name = "train/patient00002/study1/view1_frontal.jpg"
    assert catalogue["chexpert"].group_of(name) == "patient00002"
    assert catalogue["lag"].group_of("LAG/non_glaucoma/image/1.jpg") is None
    with pytest.raises(UserError, match=r"finds no patient in the name other.jpg: correct it"):
        catalogue["chexpert"].group_of("other.jpg")


def test_a_split_of_a_set_with_patients_shares_none(catalogue, tmp_path, make):
    """CheXpert has several films of a patient: a seeded part of it takes all of them or none."""
    rows, files = ["Path,Frontal/Lateral"], {}
    for i in range(24):
        inside = f"CheXpert-v1.0-small/train/patient{i // 3}/study1/view{i % 3}.jpg"
        rows.append(f"{inside},Frontal")
        files[inside] = f"film {i}, never decoded here".encode()
    files["CheXpert-v1.0-small/train.csv"] = "\n".join(rows).encode()
    path = make.zipped(tmp_path / "CheXpert-v1.0-small.zip", files)
    chexpert = catalogue["chexpert"]
    parts = {
        side: Split(None, True, {"csv": "train.csv", "select": {"seed": 0, **ends}})
        for side, ends in {"a": {"stop": 14}, "b": {"start": 14, "stop": 24}}.items()
    }
    dataset = replace(chexpert, splits=parts)
    manifest = {"archives": [{"file": path.name, "path": str(path)}]}
    sides = {
        side: [(i.name, i.group) for i in open_split(dataset, side, manifest, tmp_path).items]
        for side in parts
    }
    assert len(sides["a"]) + len(sides["b"]) == 24 and len(sides["a"]) == 15
    assert not {g for _, g in sides["a"]} & {g for _, g in sides["b"]}


@pytest.mark.parametrize(
    ("derive", "message"),
    [
        ("{from: a}", "wrong at datasets.b.derive"),
        ("{from: a, splits: {test: all}, limit: {test: 3}}", "wrong at datasets.b.derive"),
        ("{from: a, splits: {test: all}, seed: 1}", "wrong at datasets.b.derive"),
        ("{from: a, splits: {test: nothing}}", "a has no split 'nothing': its splits are all"),
    ],
)
def test_a_faulty_derivation_is_said(tmp_path, derive, message):
    path = tmp_path / "datasets.yaml"
    path.write_text(
        "datasets: {a: {title: A, kind: demo, access: package, licence: null, citation: null,"
        " reader: idx, splits: {all: {count: 1}}, archives: [{file: a.gz, package: a}]},"
        f" b: {{title: B, derive: {derive}}}}}"
    )
    with pytest.raises(UserError, match=message):
        load_catalogue(path)


def test_from_dict_keeps_the_group(catalogue):
    chexpert = catalogue["chexpert"]
    assert from_dict("chexpert", chexpert.to_dict()).group == chexpert.group
