"""Fetching: each way in, what is restricted, what is wrong, and what the manifest says."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ssl_ood.common.errors import UserError
from ssl_ood.datasets.catalogue import Archive
from ssl_ood.datasets.download import Hashes
from ssl_ood.datasets.fetch import check, fetch
from ssl_ood.datasets.places import missing_restricted

CONTENT = b"\x93NUMPY" + bytes(range(256)) * 100
SHA = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def dti(catalogue, mirror):
    """The DTI entry, whose archive is CONTENT on the mirror."""
    dataset = catalogue["dti"]
    (archive,) = dataset.archives
    (mirror.folder / archive.file).write_bytes(CONTENT)
    urls = (f"{mirror.url}/{archive.file}",)
    return replace(dataset, archives=(replace(archive, md5=MD5, urls=urls, bytes=None),))


def test_a_download_is_verified_and_listed(dti, mirror, tmp_path):
    fetch(dti, tmp_path / "d", (), tmp_path / "dti.json", context=mirror.context)
    manifest = json.loads((tmp_path / "dti.json").read_text())
    path = tmp_path / "d" / "dti" / "300K_random_images.npy"
    assert manifest == {
        "dataset": "dti",
        "archives": [
            {
                "file": path.name, "path": str(path), "bytes": len(CONTENT), "md5": MD5,
                "sha256": SHA, "verified": True, "way": "download",
            }
        ],
    }  # fmt: skip
    again = fetch(dti, tmp_path / "d", (), context=mirror.context)
    assert again["archives"][0]["way"] == "downloaded before" and len(mirror.requests) == 1


def test_an_archive_dir_comes_first_and_is_used_in_place(dti, mirror, tmp_path):
    shared = tmp_path / "shared"
    for folder in (shared / "dti", tmp_path / "other"):
        folder.mkdir(parents=True)
        (folder / "300K_random_images.npy").write_bytes(CONTENT)
    before = sorted(shared.rglob("*"))
    found = fetch(dti, tmp_path / "d", [tmp_path / "none", shared, tmp_path / "other"])
    assert found["archives"][0]["path"] == str(shared / "dti" / "300K_random_images.npy")
    assert sorted(shared.rglob("*")) == before and not mirror.requests
    assert not list((tmp_path / "d").rglob("*.npy"))


def test_a_wrong_file_in_an_archive_dir_is_left_and_passed_over(dti, mirror, tmp_path, capsys):
    wrong = tmp_path / "shared" / "300K_random_images.npy"
    wrong.parent.mkdir()
    wrong.write_bytes(b"mine")
    found = fetch(dti, tmp_path / "d", [wrong.parent], context=mirror.context)
    assert found["archives"][0]["way"] == "download" and wrong.read_bytes() == b"mine"
    said = capsys.readouterr().err
    assert f"{wrong} is not the archive: md5 expected {MD5}, found" in said and "left as it" in said


def test_a_file_is_hashed_anew_when_it_has_changed(dti, mirror, tmp_path):
    fetch(dti, tmp_path / "d", (), context=mirror.context)
    path = tmp_path / "d" / "dti" / "300K_random_images.npy"
    path.write_bytes(b"damaged")
    with pytest.raises(UserError, match="expected"):
        fetch(replace(dti, archives=(replace(dti.archives[0], urls=()),)), tmp_path / "d")
    assert path.read_bytes() == b"damaged"


def test_no_checksum_is_said_and_the_found_one_recorded(dti, mirror, tmp_path):
    unknown = replace(dti, archives=(replace(dti.archives[0], md5=None),))
    (entry,) = fetch(unknown, tmp_path / "d", context=mirror.context)["archives"]
    assert entry["verified"] is False and entry["sha256"] == SHA


def test_a_web_page_is_no_archive(dti, mirror, tmp_path):
    (mirror.folder / "300K_random_images.npy").write_bytes(b"<html>Sorry</html>")
    unknown = replace(dti, archives=(replace(dti.archives[0], md5=None),))
    with pytest.raises(UserError, match="begins with b'<html>'"):
        fetch(unknown, tmp_path / "d", context=mirror.context)


def test_what_cannot_be_fetched_says_what_was_tried_and_where_to_put_it(dti, mirror, tmp_path):
    os.remove(mirror.folder / "300K_random_images.npy")
    message = (
        r"DTI .* cannot be fetched: put 300K_random_images.npy into one of /shared, .*/d/dti. "
        r"Tried: 300K_random_images.npy: https://.* answers 404"
    )
    with pytest.raises(UserError, match=message):
        fetch(dti, tmp_path / "d", [Path("/shared")], context=mirror.context)


def test_sets_out_of_the_same_archives_are_asked_for_once(catalogue, tmp_path):
    chosen = [catalogue[n] for n in ("rsna_opacity", "rsna", "imagenet_100k", "rsna_labelled")]
    message = missing_restricted(chosen, [tmp_path], Path("downloads"))
    assert message.count("rsna-pneumonia-detection-challenge.zip") == 1
    assert message.count("rsna: rsna-pneumonia-detection-challenge.zip. Log in at Kaggle") == 1
    assert message.count("imagenet: ILSVRC2012_img_train.tar. Register at image-net.org") == 1


def test_also_accepted_is_the_same_content_in_another_wrapping(catalogue):
    archive = catalogue["fashion_mnist"].archives[0]
    debian_file = Hashes("0" * 32, archive.also[0]["sha256"], 26421856)
    assert check(archive, debian_file) is None
    assert check(archive, Hashes(archive.md5, "0" * 64, 26421880)) is None
    assert "md5 expected 8d4f" in check(archive, Hashes("0" * 32, "0" * 64, 5))


def test_all_that_only_a_person_can_get_is_listed_at_once(catalogue, tmp_path):
    chosen = [catalogue[n] for n in ("cifar10", "imagenet", "rsna", "lag", "fashion_low")]
    (tmp_path / "LAG").mkdir()
    message = missing_restricted(chosen, [tmp_path], Path("downloads"))
    assert "imagenet: ILSVRC2012_img_train.tar. Register at image-net.org" in message
    assert "rsna: rsna-pneumonia-detection-challenge.zip. Log in at Kaggle" in message
    assert "lag" not in message and "cifar" not in message and "img_val" not in message
    assert f"into downloads/DATASET or one of: {tmp_path}" in message
    (tmp_path / "ILSVRC2012_img_train.tar").touch()
    (tmp_path / "rsna").mkdir()
    (tmp_path / "rsna" / "rsna-pneumonia-detection-challenge.zip").touch()
    assert missing_restricted(chosen, [tmp_path], Path("downloads")) is None
    with pytest.raises(UserError, match=r"chexpert: CheXpert-v1.0-small.zip. Register"):
        fetch(catalogue["chexpert"], tmp_path / "d", [tmp_path])


def test_a_restricted_archive_that_is_wrong_says_so(catalogue, tmp_path):
    (tmp_path / "ILSVRC2012_img_train.tar").write_bytes(b"half of it")
    with pytest.raises(UserError, match="md5 expected 1d675b47d978889d74fa0da5fadfb00e, found"):
        fetch(catalogue["imagenet"], tmp_path / "d", [tmp_path])


def test_optional_archives_are_taken_where_they_lie_and_else_left(catalogue, tmp_path, small, make):
    folder = tmp_path / "a"
    folder.mkdir()
    for name in ("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"):
        make.tar(folder / name, {"a": b"a"})
    both = small("imagenet", folder, train=1)
    assert len(fetch(both, tmp_path / "d", [folder])["archives"]) == 2
    os.remove(folder / "ILSVRC2012_img_val.tar")
    assert len(fetch(both, tmp_path / "d", [folder])["archives"]) == 1


def test_files_of_installed_packages_are_found_without_importing_them(catalogue, tmp_path):
    found = fetch(catalogue["coins"], tmp_path / "d")
    (entry,) = found["archives"]
    assert entry["path"].endswith("skimage/data/coins.png")
    assert entry["way"] == "package scikit-image"
    missing = replace(
        catalogue["coins"], archives=(Archive("skimage/data/nothing.png", package="scikit-image"),)
    )
    with pytest.raises(UserError, match="install the Python package scikit-image"):
        fetch(missing, tmp_path / "d")


# ---- Debian's package ---------------------------------------------------------------------------


@pytest.fixture
def apt(tmp_path, monkeypatch, make):
    """A true .deb of FashionMNIST's files, and an apt-get that hands it out."""
    tree = tmp_path / "tree"
    data = tree / "usr/share/datasets/fashion-mnist"
    data.mkdir(parents=True)
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN/control").write_text(
        "Package: dataset-fashion-mnist\nVersion: 1\nArchitecture: all\n"
        "Maintainer: a <a@b.c>\nDescription: test\n"
    )
    for file in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (data / f"{file}-ubyte.gz").write_bytes(b"\x1f\x8b" + file.encode())
    deb = tmp_path / "dataset-fashion-mnist_1_all.deb"
    subprocess.run(["dpkg-deb", "--build", tree, deb], check=True, capture_output=True)
    bin = tmp_path / "bin"
    bin.mkdir()
    script = bin / "apt-get"
    script.write_text(f'#!/bin/sh\ncase "$*" in *download*) cp {deb} . ;; esac\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin}:{os.environ['PATH']}")
    return data, script


def of_files(dataset, data, urls=()):
    archives = []
    for archive in dataset.archives:
        sha = hashlib.sha256((data / archive.file).read_bytes()).hexdigest()
        also = ({"sha256": sha, "why": "Debian's package"},)
        archives.append(replace(archive, also=also, urls=urls))
    return replace(dataset, archives=tuple(archives))


def test_debians_package_is_unpacked_without_root_where_mirrors_fail(
    apt, catalogue, mirror, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)  # the workflow gives its downloads as a relative folder
    data, _ = apt
    dataset = of_files(catalogue["fashion_mnist"], data, (f"{mirror.url}/lost.gz",))
    found = fetch(dataset, Path("d"), (), tmp_path / "m.json", context=mirror.context)
    assert {a["way"] for a in found["archives"]} == {"Debian's package"}
    assert all(a["verified"] for a in found["archives"])
    folder = tmp_path / "d" / "fashion_mnist"
    for archive in dataset.archives:
        assert (folder / archive.file).read_bytes() == (data / archive.file).read_bytes()
    assert not list(folder.glob(".debian-*")), "the scratch folder is left behind"


def test_a_changed_debian_package_is_not_taken(apt, catalogue, tmp_path):
    dataset = replace(
        catalogue["fashion_mnist"],
        archives=tuple(replace(a, urls=()) for a in catalogue["fashion_mnist"].archives),
    )
    message = (
        r"FashionMNIST cannot be fetched: put train-images-idx3-ubyte.gz, .* into one of "
        r"/usr/share/datasets/fashion-mnist, .*Tried: .*md5 expected 8d4fb7e6"
    )
    with pytest.raises(UserError, match=message):
        fetch(dataset, tmp_path / "d", [Path("/usr/share/datasets/fashion-mnist")])


def test_where_no_way_works_the_sentence_names_each(apt, catalogue, mirror, tmp_path, monkeypatch):
    data, script = apt
    script.write_text("#!/bin/sh\necho 'E: Unable to locate package' >&2; exit 100\n")
    dataset = of_files(catalogue["fashion_mnist"], data, (f"{mirror.url}/lost.gz",))
    with pytest.raises(UserError, match=r"answers 404.*Debian's package .*Unable to locate"):
        fetch(dataset, tmp_path / "d", (), context=mirror.context)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match=r"answers 404.*this machine has no apt-get and dpkg-deb"):
        fetch(dataset, tmp_path / "d", (), context=mirror.context)


# ---- two at once, and a folder that cannot be written -------------------------------------------


def test_two_processes_fetch_one_file_once(dti, mirror, tmp_path, certificate):
    code = """
import json, ssl, sys
from pathlib import Path
from ssl_ood.datasets.catalogue import from_dict
from ssl_ood.datasets.fetch import fetch
entry, folder, certificate = json.loads(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
context = ssl.create_default_context(cafile=certificate)
print(fetch(from_dict(entry["name"], entry), folder, context=context)["archives"][0]["sha256"])
"""
    command = [sys.executable, "-c", code, json.dumps(dti.to_dict()), tmp_path / "d", certificate]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [p.communicate()[0].strip() for p in running] == [SHA, SHA]
    assert len(mirror.requests) == 1


def test_a_file_in_place_of_the_downloads_folder_is_said(dti, tmp_path):
    (tmp_path / "d").write_text("")
    with pytest.raises(UserError, match=r"folder for downloads .* cannot be written to"):
        fetch(dti, tmp_path / "d")
