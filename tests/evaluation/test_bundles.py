"""A run as one file: what is in it, what is not, and that it comes back as it was."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from support.small_results import PLAIN, RUN

from ssl_ood.common.commit import commit
from ssl_ood.common.errors import UserError
from ssl_ood.common.files import read_json
from ssl_ood.common.hashing import sha256_of
from ssl_ood.common.locks import exclusive
from ssl_ood.common.proofs import read_rows, sealed, write_rows
from ssl_ood.common.registry import lookup
from ssl_ood.common.vocabulary import VERSIONS
from ssl_ood.evaluation.bundles import opened_bundle
from ssl_ood.evaluation.bundles.commands import named_run
from ssl_ood.evaluation.bundles.extras import SIDE, Wishes, thumbnails
from ssl_ood.evaluation.bundles.layout import required
from ssl_ood.evaluation.bundles.private import find_private, private_names, texts_of
from ssl_ood.evaluation.bundles.unbundle import unbundle

ALL = Wishes(features=True, thumbnails=True, names=True)


@pytest.fixture(scope="module")
def plain(small, tmp_path_factory):
    """The bundle of a run as it is by default."""
    return small.bundle(tmp_path_factory.mktemp("bundles") / "plain.zip")


@pytest.fixture(scope="module")
def whole(small, tmp_path_factory):
    """The bundle of a run with all that may be asked for."""
    return small.bundle(tmp_path_factory.mktemp("bundles") / "whole.zip", wishes=ALL)


@pytest.fixture
def copied(small, tmp_path):
    """A copy of the small study that may be altered."""
    there = small.elsewhere(tmp_path / "copy")
    shutil.copytree(small.results, there.results)
    return there


def names_in(path):
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def manifest_of(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("manifest.json"))


# ---- what is in it


def test_the_same_run_gives_the_same_bytes(small, plain, whole, tmp_path):
    assert small.bundle(tmp_path / "again.zip").read_bytes() == plain.read_bytes()
    again = small.bundle(tmp_path / "whole.zip", wishes=ALL)
    assert again.read_bytes() == whole.read_bytes()


def test_the_manifest_lists_every_member_with_its_checksum_and_is_sealed(whole):
    manifest = manifest_of(whole)
    assert sealed(manifest) == manifest
    with zipfile.ZipFile(whole) as archive:
        assert archive.testzip() is None
        listed = {m["name"]: (m["bytes"], m["sha256"]) for m in manifest["members"]}
        assert listed.keys() | {"manifest.json"} == set(archive.namelist())
        for name, told in listed.items():
            content = archive.read(name)
            path = whole.with_name("member")
            path.write_bytes(content)
            assert told == (len(content), sha256_of(path)), name


def test_the_manifest_says_where_the_run_is_from(plain, small):
    manifest = manifest_of(plain)
    trained = read_json(small.results / "runs" / RUN / "train.json")
    assert manifest["weights_sha256"] == trained["weights_sha256"]
    assert manifest["images"]["trained on"]["images"] == trained["datasets"]
    assert manifest["made_by"]["commit"] == commit() == trained["versions"]["commit"]
    assert manifest["config"] == read_json(small.results / "runs" / RUN / "config.json")
    assert manifest["scored"]["test"] == manifest["scored"]["ood"] == 24
    by_name = {entry["name"]: entry for entry in manifest["sources"]}
    assert by_name["photos"]["roles"] == ["negatives"]
    assert by_name["photos"]["archives"] == [{"file": "photos.zip", "md5": "0" * 32}]
    assert by_name["dots"]["roles"] == ["tested on"] and by_name["dots"]["licence"] is None
    assert manifest["terms"]["because"] == ["photos"]


def test_what_needs_no_learning_comes_along_with_the_versions_of_its_code(plain, small):
    files = ("shortcuts/natural-shapes.json", "shortcuts/natural-shapes.parquet")
    with zipfile.ZipFile(plain) as archive:
        for name in files:
            assert archive.read(name) == (small.results / name).read_bytes()
    manifest = manifest_of(plain)
    assert manifest["code"]["cue brightness"] == lookup("cue", "brightness").version
    assert manifest["code"]["shortcuts"] == VERSIONS["shortcuts"] and "shortcuts" in manifest["can"]


def test_a_run_whose_tables_show_none_has_none_in_its_bundle(copied, tmp_path):
    """One of other splits that was left behind under that name is none of this run's."""
    config = copied.results / "shortcuts" / "natural-shapes.json"
    config.write_text(json.dumps(read_json(config) | {"test_split": "other"}))
    manifest = manifest_of(copied.bundle(tmp_path / "out.zip"))
    assert not [m for m in manifest["members"] if m["name"].startswith("shortcuts/")]
    assert "cue brightness" not in manifest["code"] and "shortcuts" in manifest["cannot"]
    config.unlink()
    assert manifest_of(copied.bundle(tmp_path / "out.zip")) == manifest


def test_a_run_is_not_bundled_with_what_was_measured_on_other_images(copied, tmp_path):
    rows = copied.results / "shortcuts" / "natural-shapes.parquet"
    table, proof = read_rows(rows, "shortcuts")
    proof["inputs"]["sets"]["shapes-test"]["images"] = "0" * 64
    write_rows(table, rows, {key: proof[key] for key in ("run", "inputs")})
    with pytest.raises(UserError, match="on different images or labels of shapes-test"):
        copied.bundle(tmp_path / "out.zip")


def test_what_a_bundle_without_features_cannot_do_is_said(plain, whole):
    poor, rich = manifest_of(plain), manifest_of(whole)
    scores = {"score cosine_tau", "score cosine_max", "score mahalanobis"}
    assert poor["cannot"].keys() == scores | {"nearest", "thumbnails", "names"}
    assert rich["can"].keys() >= poor["cannot"].keys() and not rich["cannot"]
    assert {"tables", "embed", "initial"} <= poor["can"].keys()
    with zipfile.ZipFile(plain) as archive:
        card = archive.read("README.md").decode()
    for ability, why in poor["cannot"].items():
        assert f"- {ability}: {why}" in card


def test_the_card_says_what_matters(plain, small):
    with zipfile.ZipFile(plain) as archive:
        card, protocol = (archive.read(n).decode() for n in ("README.md", "protocol.csv"))
    assert "Not a medical device" in card
    assert "most restrictive is: **non-commercial**, because of Photos (CC BY-NC 4.0)" in card
    assert "| Dots (`dots`) | tested on | not stated |" in card
    measured = pq.read_table(small.results / "measurements" / f"{RUN}.parquet").to_pylist()
    (shown,) = (
        r for r in measured
        if (r["metric"], r["dataset"], r["score"], r["temperature"])
        == ("auroc", "dots", "cosine_tau", 0.04)
    )  # fmt: skip
    assert f"| auroc | dots | {shown['value']:.4g} |" in card
    assert "methods.dino." in protocol and "methods.moco." not in protocol
    assert protocol.count("\n") > 10


# ---- what is not


def test_images_leave_only_when_that_is_asked_for(plain, whole):
    kinds = {"features", "thumbnails", "names"}
    assert not kinds & {name.partition("/")[0] for name in names_in(plain)}
    assert kinds <= {name.partition("/")[0] for name in names_in(whole)}
    assert b"shapes17" not in plain.read_bytes() and b"shapes17" in whole.read_bytes()


def test_no_path_and_no_name_of_user_or_machine_leaves(whole, small):
    content = whole.read_bytes().lower()
    words = [str(Path.home()), str(small.folder), *private_names()]
    assert not [word for word in words if len(word) > 4 and word.lower().encode() in content]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("as in /home/anna/films", "the absolute path '/home/anna/films'"),
        ('{"path": "/data/clinic/a.png"}', "the absolute path '/data/clinic/a.png'"),
        ("C:\\Users\\anna\\films", "the absolute path"),
        ("films of Anna", "the name of this user, 'anna'"),
        ("run_on_ward-7", "the name of this machine, 'ward-7'"),
        ("https://example.org/a/b, 1/2, train/test, and/or", None),
        ("banana, annals, forward-71", None),
    ],
)
def test_paths_and_names_are_found_and_other_words_are_not(text, found):
    names = {"anna": "the name of this user", "ward-7": "the name of this machine"}
    said = find_private(text, names)
    assert (said is None) == (found is None) and (found or "") in (said or "")


def test_a_run_that_tells_a_name_is_not_bundled(copied, tmp_path, monkeypatch):
    monkeypatch.setenv("USER", "anna_q")
    log = copied.results / "runs" / RUN / "log.jsonl"
    log.write_text(log.read_text() + '{"note": "as anna_q said"}\n')
    with pytest.raises(UserError, match=f"runs/{RUN}/log.jsonl .* name of this user, 'anna_q'"):
        copied.bundle(tmp_path / "out.zip")
    assert not (tmp_path / "out.zip").exists()
    assert copied.bundle(tmp_path / "out.zip", allowed=["anna_q"]).exists()


def test_what_files_say_beside_their_numbers_is_looked_through(small):
    weights = small.results / "runs" / RUN / "model.safetensors"
    (text,) = texts_of("model.safetensors", weights)
    assert RUN in text and '"dtype":"F32"' in text
    scores = " ".join(texts_of("scores.parquet", small.results / "scores" / f"{RUN}.parquet"))
    assert "shapes-test" in scores and "sensitivity_held_out" in scores and "inputs" in scores


def test_thumbnails_are_small_pictures_of_the_images():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 2 * SIDE, 2 * SIDE, 3), dtype=np.uint8)
    small = thumbnails(images)
    mean = images.reshape(3, SIDE, 2, SIDE, 2, 3).mean((2, 4))
    assert small.shape == (3, SIDE, SIDE, 3) and np.abs(small - mean).max() <= 1
    assert thumbnails(images[:, :16, :16]) is not None
    assert Image.fromarray(small[0]).size == (SIDE, SIDE)


# ---- a run that cannot be bundled


@pytest.mark.parametrize(
    ("alter", "said"),
    [
        (lambda r: (r / "measurements" / f"{RUN}.parquet").unlink(), "not trained and evaluated"),
        (lambda r: swap(r, "runs/{}/model.safetensors"), "damaged|holds the weights of"),
        (lambda r: swap(r, "scores/{}.parquet"), "holds the scores of"),
        (lambda r: (r / "features" / RUN / "shapes-train.npy").unlink(), "has no features"),
        (lambda r: swap(r, "features/{}/shapes-train.npy"), "are damaged or of other weights"),
        (lambda r: (r / "data/shapes/train-16px/meta.json").unlink(), "shapes/train-16px"),
    ],
)
def test_a_run_that_is_not_whole_is_refused_in_a_sentence(copied, tmp_path, alter, said):
    alter(copied.results)
    with pytest.raises(UserError, match=said):
        copied.bundle(tmp_path / "out.zip", wishes=ALL)
    assert not (tmp_path / "out.zip").exists()


def swap(results, name):
    """Puts the file of the other run into the place of this one's."""
    shutil.copy(results / name.format(PLAIN), results / name.format(RUN))


def test_a_run_is_named_by_its_id_or_its_folder(small):
    assert named_run(RUN, small.results) == (small.results, RUN)
    assert named_run(str(small.results / "runs" / RUN), Path("nowhere")) == (small.results, RUN)
    with pytest.raises(UserError, match=f"did you mean '{RUN}'"):
        named_run(RUN[:-1], small.results)


# ---- and back


def test_it_opens_as_a_results_folder_that_only_its_user_may_enter(whole, small):
    with opened_bundle(whole) as (results, run):
        assert run == RUN and results.stat().st_mode & 0o077 == 0
        for name in (*required(RUN), f"features/{RUN}/shapes-train.npy"):
            assert (results / name).read_bytes() == (small.results / name).read_bytes()
        pictures = np.load(results / "thumbnails" / RUN / "shapes-train.npy")
        images = np.load(small.results / "data" / "shapes" / "train-16px" / "images.npy")
        np.testing.assert_array_equal(pictures, images)
        names = read_json(results / "names" / RUN / "shapes-train.json")["names"]
        assert names == [f"shapes{i}" for i in range(40)]
        assert read_json(results / "runs" / RUN / "bundle.json") == manifest_of(whole)
    assert not results.exists()


def test_it_comes_back_byte_for_byte_and_only_once(whole, small, tmp_path):
    assert unbundle(whole, tmp_path) == (RUN, True)
    for name in required(RUN):
        assert (tmp_path / name).read_bytes() == (small.results / name).read_bytes()
    assert (tmp_path / "runs" / RUN / "bundle.json").is_file()
    assert unbundle(whole, tmp_path) == (RUN, False)


def test_a_run_that_was_made_here_stays_one_that_was_made_here(plain, copied):
    assert unbundle(plain, copied.results) == (RUN, False)
    assert not (copied.results / "runs" / RUN / "bundle.json").exists()


def test_another_run_of_that_name_is_replaced_only_by_force(plain, copied):
    log = copied.results / "runs" / RUN / "log.jsonl"
    before = log.read_bytes()
    log.write_text("{}\n")
    with pytest.raises(UserError, match=r"already, and its runs/.*/log.jsonl .* --force"):
        unbundle(plain, copied.results)
    assert log.read_text() == "{}\n"
    assert unbundle(plain, copied.results, force=True) == (RUN, True)
    assert log.read_bytes() == before
    assert (copied.results / "runs" / RUN / "bundle.json").is_file()
    assert not (copied.results / "features" / RUN).exists()


def test_two_bundles_of_the_same_images_must_agree(plain, small, copied, tmp_path):
    there = tmp_path / "there"
    unbundle(plain, there)
    assert unbundle(small.bundle(tmp_path / "same.zip", PLAIN), there) == (PLAIN, True)
    name = "shortcuts/natural-shapes.parquet"
    table, proof = read_rows(copied.results / name, "shortcuts")
    value = pa.array([0.5] * len(table))
    changed = table.set_column(table.column_names.index("value"), "value", value)
    write_rows(changed, copied.results / name, {key: proof[key] for key in ("run", "inputs")})
    other = copied.bundle(tmp_path / "other.zip", PLAIN)
    with pytest.raises(UserError, match=r"other shortcuts of natural-shapes already.*must agree"):
        unbundle(other, there)
    assert (there / name).read_bytes() == (small.results / name).read_bytes()
    assert unbundle(other, there, force=True) == (PLAIN, True)
    assert (there / name).read_bytes() == (copied.results / name).read_bytes()


def test_a_run_that_is_being_trained_is_left_alone(plain, copied):
    with (
        exclusive(copied.results / "checkpoints" / RUN / "lock", "training"),
        pytest.raises(UserError, match="is being trained"),
    ):
        unbundle(plain, copied.results, force=True)


def test_what_was_left_half_unbundled_is_completed(plain, tmp_path):
    unbundle(plain, tmp_path)
    (tmp_path / "runs" / RUN / "bundle.json").unlink()
    (tmp_path / "measurements" / f"{RUN}.parquet").unlink()
    assert unbundle(plain, tmp_path) == (RUN, True)
    assert (tmp_path / "runs" / RUN / "bundle.json").is_file()


def test_a_bundled_run_is_bundled_again_with_what_is_known_of_it(whole, small, tmp_path):
    """Where the catalogue knows none of its datasets, the licences are those that came along."""
    there = small.elsewhere(tmp_path / "there")
    unbundle(whole, there.results)
    there.catalogue.write_text("datasets: {}\n")
    again = manifest_of(there.bundle(tmp_path / "again.zip"))
    first = manifest_of(whole)
    assert again["terms"] == first["terms"] and again["sources"] == first["sources"]
