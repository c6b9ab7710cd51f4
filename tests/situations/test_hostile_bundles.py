"""Bundles that somebody altered, or forged: each is refused in a sentence, before anything of it is
used, and leaves nothing behind."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import stat
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.small_results import PLAIN, RUN

from ssl_ood.common.errors import UserError
from ssl_ood.common.hashing import sha256
from ssl_ood.common.proofs import sealed, write_rows
from ssl_ood.evaluation.bundles import content, opened_bundle
from ssl_ood.evaluation.bundles.extras import Wishes
from ssl_ood.evaluation.bundles.opened import MOST_TEXT
from ssl_ood.evaluation.bundles.unbundle import unbundle
from ssl_ood.evaluation.bundles.zipped import write_zip

WEIGHTS, TRAINED = f"runs/{RUN}/model.safetensors", f"runs/{RUN}/train.json"
CONFIG, LOG = f"runs/{RUN}/config.json", f"runs/{RUN}/log.jsonl"
EVALUATED, SCORES = f"evaluation/{RUN}.json", f"scores/{RUN}.parquet"
MEASURED, FEATURES = f"measurements/{RUN}.parquet", f"features/{RUN}/shapes-train.npy"
THUMBNAILS, NAMES = f"thumbnails/{RUN}/shapes-train.npy", f"names/{RUN}/shapes-train.json"
SHORTCUTS = "shortcuts/natural-shapes.parquet"
ASKED = SHORTCUTS.replace(".parquet", ".json")
MANIFEST = "manifest.json"


@pytest.fixture(scope="module")
def bundle(small, tmp_path_factory):
    wishes = Wishes(features=True, thumbnails=True, names=True)
    return small.bundle(tmp_path_factory.mktemp("bundles") / "whole.zip", wishes=wishes)


@pytest.fixture(scope="module")
def members(bundle):
    """Name and content of every member."""
    with zipfile.ZipFile(bundle) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def other(small, tmp_path_factory):
    """Name and content of every member of another run's bundle."""
    path = small.bundle(tmp_path_factory.mktemp("bundles") / "other.zip", PLAIN)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def refused(tmp_path, monkeypatch):
    """A function: the sentence with which a file is refused; nothing of it may stay anywhere."""
    private = tmp_path / "private"
    private.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(private))

    def check(path, said):
        with pytest.raises(UserError, match=said) as caught:
            unbundle(path, tmp_path / "results")
        assert str(private) not in str(caught.value) and "\n" not in str(caught.value)
        assert not (tmp_path / "results").exists() and not list(private.iterdir())

    return check


def forged(path, members, *, sealed_anew=True, **manifest):
    """A bundle whose manifest agrees with its members, as whoever means harm would write it."""
    members = dict(members)
    told = json.loads(members.pop(MANIFEST)) | manifest
    if sealed_anew:
        told["members"] = [
            {"name": name, "bytes": len(content), "sha256": sha256([content])}
            for name, content in members.items()
        ]
        told = sealed(told)
    write_zip(members | {MANIFEST: json.dumps(told).encode()}, path)
    return path


def zipped(path, entries):
    """A zip of (name or ZipInfo, content, way of packing)."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data, way in entries:
            archive.writestr(name, data, way)
    return path


def stored(members):
    return [(name, data, zipfile.ZIP_STORED) for name, data in members.items()]


# ---- the file


def test_a_flipped_byte_is_refused_wherever_it_is(bundle, tmp_path):
    whole = bundle.read_bytes()
    path = tmp_path / "flipped.zip"
    end = whole.rindex(b"PK\x05\x06")
    directory = int.from_bytes(whole[end + 16 : end + 20], "little")
    rng = np.random.default_rng(0)
    # Of a member's header and of the directory nearly all is read by nobody.
    places = {*range(30), *range(directory, directory + 46), *range(end, len(whole))}
    places |= {int(place) for place in rng.choice(directory, 30, replace=False)}
    for place in sorted(places):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        with pytest.raises(UserError), opened_bundle(path):
            pytest.fail(f"opened with another byte {place}")


@pytest.mark.parametrize(
    ("alter", "said"),
    [
        (lambda whole: b"", "is not a bundle"),
        (lambda whole: b"\x80\x04" + pickle.dumps([1]), "is not a bundle"),
        (lambda whole: whole[:-30], "is not a bundle"),
        (lambda whole: whole[: len(whole) // 2], "is not a bundle"),
        (lambda whole: whole + b"more", "refused|is not a bundle"),
        (lambda whole: b"#!/bin/sh\n" + whole, "refused|is not a bundle"),
        (lambda whole: whole + whole, "refused|is not a bundle"),
    ],
)
def test_what_is_no_bundle_or_has_more_than_one_is_refused(bundle, tmp_path, refused, alter, said):
    path = tmp_path / "odd.zip"
    path.write_bytes(alter(bundle.read_bytes()))
    refused(path, said)


def test_a_file_that_is_not_there_or_a_folder_is_a_sentence(tmp_path, refused):
    refused(tmp_path / "none.zip", "There is no bundle")
    refused(tmp_path, "There is no bundle")


# ---- its members


@pytest.mark.parametrize(
    "name",
    [
        "../escaped.txt", "/tmp/escaped.txt", f"runs/{RUN}/../../escaped.txt", "..\\escaped.txt",
        f"runs/{PLAIN}/model.safetensors", f"features/{RUN}/deep/a.npy", f"features/{RUN}/a.pkl",
        f"features/{RUN}/.npy", f"runs/{RUN}/model.pt", f"names/{RUN}/a.npy", "C:/escaped.txt",
        f"runs/{RUN}/bundle.json", f"runs/{RUN}/checkpoint.pt", "é.txt",
    ],
)  # fmt: skip
def test_a_name_that_no_bundle_has_is_refused(members, tmp_path, refused, name):
    refused(
        forged(tmp_path / "a.zip", members | {name: b"harm"}), "has a member|lies outside|named"
    )
    assert not list(tmp_path.rglob("escaped*"))


def test_a_link_is_refused(members, tmp_path, refused):
    link = zipfile.ZipInfo(LOG)
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    rest = {name: data for name, data in members.items() if name != LOG}
    entries = [*stored(rest), (link, b"/etc/passwd", zipfile.ZIP_STORED)]
    refused(zipped(tmp_path / "a.zip", entries), "is a link or a folder")


def test_a_folder_is_refused(members, tmp_path, refused):
    entries = [*stored(members), ("runs/", b"", zipfile.ZIP_STORED)]
    refused(zipped(tmp_path / "a.zip", entries), "is a link or a folder")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_is_there_twice_is_refused(members, tmp_path, refused):
    entries = [*stored(members), (LOG, b"{}", zipfile.ZIP_STORED)]
    refused(zipped(tmp_path / "a.zip", entries), "two members")


def test_a_zip_bomb_is_refused_before_it_is_unpacked(members, tmp_path, refused):
    entries = [*stored(members), (FEATURES + ".npy", bytes(20 << 20), zipfile.ZIP_DEFLATED)]
    refused(zipped(tmp_path / "a.zip", entries), "is compressed")


def test_a_member_that_declares_more_than_there_is_is_refused(bundle, tmp_path, refused):
    whole = bytearray(bundle.read_bytes())
    at = whole.rindex(b"PK\x01\x02")
    for place in (20, 24):  # of the directory: packed and unpacked size
        whole[at + place : at + place + 4] = (1 << 30).to_bytes(4, "little")
    path = tmp_path / "a.zip"
    path.write_bytes(whole)
    refused(path, "larger than the file")


def test_a_zip_by_another_program_is_refused_though_its_content_is_the_same(
    members, tmp_path, refused
):
    refused(zipped(tmp_path / "a.zip", stored(members)), "a byte of it is another")


@pytest.mark.parametrize("name", [MANIFEST, "README.md", CONFIG, TRAINED, WEIGHTS, SCORES])
def test_a_member_that_is_missing_is_told(members, tmp_path, refused, name):
    rest = {n: data for n, data in members.items() if n != name}
    path = tmp_path / "a.zip"
    write_zip(rest, path) if name == MANIFEST else forged(path, rest)
    refused(path, f"lacks {name}")


def test_members_other_than_those_listed_are_refused(members, tmp_path, refused):
    altered = members | {LOG: members[LOG] + b"{}\n"}
    refused(forged(tmp_path / "a.zip", altered, sealed_anew=False), "not those that its manifest")
    altered = members | {LOG: members[LOG][::-1]}
    refused(forged(tmp_path / "b.zip", altered, sealed_anew=False), "not what its manifest says")


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        (b"{}", "that of no bundle"),
        (b"[1, 2]", "that of no bundle"),
        (b"not json", "damaged"),
        (b"[" * 100_000, "damaged"),
        (json.dumps({"format": "ssl_ood bundle", "version": 1}).encode(), "that of no bundle"),
        (json.dumps(sealed({"format": "ssl_ood bundle", "version": 1})).encode(), "damaged"),
        (json.dumps(sealed({"format": "ssl_ood bundle", "version": 9})).encode(), "of version 9"),
    ],
)
def test_a_manifest_that_is_none_is_refused(members, tmp_path, refused, manifest, said):
    path = tmp_path / "a.zip"
    write_zip(members | {MANIFEST: manifest}, path)
    refused(path, said)


@pytest.mark.parametrize("run", ["../x", "", ".", "a/b", "-rf", "a" * 300, 7, None])
def test_a_run_of_no_name_is_refused(members, tmp_path, refused, run):
    refused(forged(tmp_path / "a.zip", members, run=run), "manifest is damaged")


def test_a_text_that_is_larger_than_texts_are_is_refused(members, tmp_path, refused):
    refused(forged(tmp_path / "a.zip", members | {LOG: bytes(MOST_TEXT + 1)}), "bytes")


# ---- what they say


def test_the_weights_of_another_run_are_refused(members, other, tmp_path, refused):
    foreign = other[f"runs/{PLAIN}/model.safetensors"]
    refused(forged(tmp_path / "a.zip", members | {WEIGHTS: foreign}), "of natural-shapes-none")
    both = {WEIGHTS: foreign, TRAINED: other[f"runs/{PLAIN}/train.json"]}
    refused(forged(tmp_path / "b.zip", members | both), "holds the weights of")
    told = json.loads(members[TRAINED]) | {"weights_sha256": sha256([foreign])}
    both = {WEIGHTS: foreign, TRAINED: json.dumps(sealed(told)).encode()}
    refused(forged(tmp_path / "c.zip", members | both), "was trained as|weights")


def test_a_pickle_in_place_of_the_weights_is_refused(members, tmp_path, refused):
    harm = Harm.dumped(tmp_path)
    told = json.loads(members[TRAINED]) | {"weights_sha256": sha256([harm])}
    altered = {WEIGHTS: harm, TRAINED: json.dumps(sealed(told)).encode()}
    refused(forged(tmp_path / "a.zip", members | altered), "weights .* are damaged")
    assert not (tmp_path / "harmed").exists()


class Harm:
    """What makes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)

    @classmethod
    def dumped(cls, folder: Path) -> bytes:
        return pickle.dumps(cls(folder / "harmed"))


def array(value):
    out = io.BytesIO()
    np.save(out, value, allow_pickle=True)
    return out.getvalue()


def with_proof(members, name, data):
    """A member of numbers, and its proof, which agrees with it."""
    proof = name.removesuffix(".npy") + ".json"
    told = json.loads(members[proof]) | {"sha256": sha256([data])}
    return members | {name: data, proof: json.dumps(told).encode()}


def test_a_pickle_in_an_array_is_refused(members, tmp_path, refused):
    harm = array(np.array([Harm(tmp_path / "harmed")], dtype=object))
    for name in (FEATURES, THUMBNAILS):
        refused(
            forged(tmp_path / "a.zip", with_proof(members, name, harm)), "not an array of number"
        )
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        (FEATURES, array(np.zeros((2, 2), np.int64)), "array of int64"),
        (FEATURES, array(np.array(["a"])), "array of <U1"),
        (FEATURES, b"no array", "not an array of numbers"),
        (THUMBNAILS, array(np.zeros((2, 8, 8, 3))), "array of float64"),
        (
            FEATURES,
            array(np.zeros((2, 2), "f4")).replace(b"(2, 2)", b"(9000000000, 9000000)"),
            "not an array of numbers",
        ),
    ],
)
def test_an_array_that_no_run_has_is_refused(members, tmp_path, refused, name, data, said):
    refused(forged(tmp_path / "a.zip", with_proof(members, name, data)), said)


def test_features_of_other_weights_are_refused(members, tmp_path, refused):
    proof = FEATURES.replace(".npy", ".json")
    told = json.loads(members[proof]) | {"weights": "0" * 64}
    altered = members | {proof: json.dumps(told).encode()}
    refused(forged(tmp_path / "a.zip", altered), "is not what")
    rest = {name: data for name, data in members.items() if name != proof}
    refused(forged(tmp_path / "b.zip", rest), "shapes-train.npy has no proof")
    rest = {name: data for name, data in members.items() if name != FEATURES}
    refused(forged(tmp_path / "c.zip", rest), "proves nothing")


def test_results_of_another_run_or_other_weights_are_refused(members, other, tmp_path, refused):
    for name in (SCORES, MEASURED):
        foreign = other[name.replace(RUN, PLAIN)]
        refused(forged(tmp_path / "a.zip", members | {name: foreign}), f"of {PLAIN}")
        again = rewritten(tmp_path, members[name], {"inputs": {"weights": "0" * 64}})
        refused(forged(tmp_path / "b.zip", members | {name: again}), "made from other weights")
    again = rewritten(tmp_path, members[SCORES], {}, lambda table: table.slice(1))
    refused(forged(tmp_path / "c.zip", members | {SCORES: again}), "made from other scores")


def inputs_of(data):
    return json.loads(pq.read_table(io.BytesIO(data)).schema.metadata[b"ssl_ood"])["inputs"]


@pytest.mark.parametrize("cue", [{"evil": "1"}, [1]])
def test_shortcuts_of_other_images_are_refused(members, tmp_path, refused, cue):
    """They stand beside the numbers of the models, so they must be of the same images."""
    rows, at = members[SHORTCUTS], tmp_path / "a.zip"
    for change, said in (
        ({"run": "natural-dots"}, "holds the shortcuts of natural-dots"),
        ({"inputs": inputs_of(rows) | {"cues": cue}}, "other rows than|damaged"),
        ({"inputs": inputs_of(rows) | {"sets": {}}}, "other rows than"),
        (
            {"inputs": inputs_of(rows) | {"sets": {
                name: {"images": "0" * 64, "labels": "0" * 64} for name in inputs_of(rows)["sets"]
            }}},
            "different images or labels",
        ),
    ):  # fmt: skip
        again = rewritten(tmp_path, rows, change)
        refused(forged(at, members | {SHORTCUTS: again}), said)
    told = json.loads(members[ASKED])
    for change in ({"test_split": "train"}, {"size": 32}, {"run": "natural-dots"}):
        altered = {ASKED: json.dumps(told | change).encode()}
        refused(forged(at, members | altered), "not of the images of")


def test_shortcuts_come_as_the_two_files_of_one_pair(members, tmp_path, refused):
    rest = {name: data for name, data in members.items() if name != ASKED}
    refused(forged(tmp_path / "a.zip", rest), "not the two files of one pair")
    elsewhere = {name.replace("natural-shapes", "natural-dots"): members[name]
                 for name in (ASKED, SHORTCUTS)}  # fmt: skip
    refused(forged(tmp_path / "b.zip", members | elsewhere), "not the two files of one pair")
    rest = {name: data for name, data in members.items() if name not in (ASKED, SHORTCUTS)}
    refused(forged(tmp_path / "c.zip", rest | elsewhere), "not of the images of")
    for name in ("shortcuts/../../evil.json", "shortcuts/a/b.json", "shortcuts/natural-shapes.pkl"):
        refused(
            forged(tmp_path / "d.zip", members | {name: b"{}"}), "has a member|lie outside|name"
        )


def test_shortcuts_of_other_columns_or_too_many_are_refused(
    members, tmp_path, refused, monkeypatch
):
    renamed = rewritten(
        tmp_path, members[SHORTCUTS], {}, lambda t: t.rename_columns([*t.column_names[:-1], "x"])
    )
    refused(forged(tmp_path / "a.zip", members | {SHORTCUTS: renamed}), "other rows than")
    monkeypatch.setattr(content, "MOST_CELLS", 50_000)
    many = rewritten(tmp_path, members[SHORTCUTS], {}, lambda t: pa.concat_tables([t] * 400))
    refused(forged(tmp_path / "b.zip", members | {SHORTCUTS: many}), "expands")


def rewritten(folder, data, proof, change=lambda table: table):
    """A parquet file with a proof that agrees with its rows."""
    table = pq.read_table(io.BytesIO(data))
    told = json.loads(table.schema.metadata[b"ssl_ood"])
    write_rows(change(table), folder / "rewritten.parquet", told | proof)
    return (folder / "rewritten.parquet").read_bytes()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.append_column("b", [pa.array([b"x"] * len(t))]), "columns that no run has"),
        (lambda t: t.append_column("w", [pa.array(["w" * 999] * len(t))]), "expands"),
        (lambda t: pa.concat_tables([t] * 40), "expands"),
        (lambda t: t.rename_columns([f"c{i}" for i in range(t.num_columns)]), "columns of its"),
    ],
)
def test_a_table_that_no_run_has_is_refused(members, tmp_path, refused, monkeypatch, change, said):
    monkeypatch.setattr(content, "MOST_CELLS", 50_000)
    again = rewritten(tmp_path, members[SCORES], {}, change)
    refused(forged(tmp_path / "a.zip", members | {SCORES: again}), said + "|other scores")


def test_a_table_that_swells_a_thousandfold_is_refused_before_it_is_read(
    members, tmp_path, refused, monkeypatch
):
    """Equal values take next to nothing on the disk: here two million of them."""
    monkeypatch.setattr(content, "MOST_CELLS", 1_000_000)
    path = tmp_path / "bomb.parquet"
    pq.write_table(pa.table({"value": pa.array(np.zeros(2_000_000))}), path, compression="zstd")
    assert path.stat().st_size < 100_000
    refused(forged(tmp_path / "a.zip", members | {SCORES: path.read_bytes()}), "expands|bomb")


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        (CONFIG, {"seed": 1}, "evaluated with other settings"),
        (CONFIG, {"run": PLAIN}, "config is not that of"),
        (CONFIG, {"method": "no_method"}, "no_method|evaluated with other settings"),
        (EVALUATED, {"seed": 1}, "evaluated with other settings"),
        (EVALUATED, {"evaluation": {"tau": "x"}}, "evaluation"),
        (EVALUATED, {"ood": [{"dataset": 7}]}, "OOD sets have no names"),
        (EVALUATED, {"ood": None}, "damaged"),
        (EVALUATED, {"decoding": ["L"]}, "damaged"),
        (EVALUATED, {"decoding": {"range": [2, 1]}}, "option range"),
        (EVALUATED, {"calibration_split": "../x"}, "calibrated on a set of no name"),
        (NAMES, {"names": [1]}, "no names of images"),
        (TRAINED, {"steps": 10**6}, "altered"),
    ],
)
def test_settings_that_are_not_the_run_s_are_refused(
    members, tmp_path, refused, name, change, said
):
    altered = json.loads(members[name]) | change
    path = forged(tmp_path / "a.zip", members | {name: json.dumps(altered).encode()})
    refused(path, said)


def test_other_settings_than_the_weights_were_trained_with_are_refused(members, tmp_path, refused):
    config, task = (json.loads(members[name]) for name in (CONFIG, EVALUATED))
    both = {name: json.dumps(told | {"seed": 1}).encode() for name, told in
            ((CONFIG, config), (EVALUATED, task))}  # fmt: skip
    refused(forged(tmp_path / "a.zip", members | both), "with another seed")


def test_a_disk_without_room_is_a_sentence(bundle, tmp_path, refused, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="set TMPDIR"), opened_bundle(bundle):
        pass
    shutil.rmtree(tmp_path / "nowhere", ignore_errors=True)
