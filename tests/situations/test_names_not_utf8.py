"""Names of other systems and times: not UTF-8, in two spellings, odd, long, with line breaks."""

from __future__ import annotations

import io
import json
import os
import tarfile
import unicodedata

import numpy as np
import pytest
from support.packing import folder_toy, halves, packed_here
from support.situations import Toy, encoded, in_folders, noise, tarred, zipped

from ssl_ood.common.errors import UserError
from ssl_ood.datasets.catalogue import load_catalogue
from ssl_ood.datasets.splits import write_split

LATIN = b"set/caf\xe9_1.png"
ASCII_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def latin_tar(path, contents: dict[bytes, bytes]) -> None:
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as archive:
        for name, content in contents.items():
            info = tarfile.TarInfo(name.decode("latin-1"))
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


@pytest.fixture
def names():
    return [LATIN, b"set/caf\xe9_2.png", b"set/\xb2\xa1\xc0\xfd.png", "set/ümlaut 1.png".encode()]


def test_every_stage_takes_names_that_are_not_utf8(tmp_path, rng, names):
    toy = Toy(tmp_path, "toy.tar")
    latin_tar(toy.archives / toy.file, {n: encoded(noise(rng)) for n in names})
    splits = halves(2, 4)
    sides = {side: packed_here(toy, side, 8, splits=splits) for side in splits}
    listed = [name for packed in sides.values() for name in packed.files]
    assert sorted(listed) == sorted(
        ["set/caf\\xe9_1.png", "set/caf\\xe9_2.png", "set/\\xb2\\xa1\\xc0\\xfd.png",
         "set/ümlaut 1.png"]
    )  # fmt: skip
    data = tmp_path / "data" / "toy"
    data.mkdir(parents=True)
    for side, packed in sides.items():
        packed.path.rename(data / f"{side}-8px")
    catalogue = load_catalogue(toy.catalogue(splits=splits))
    write_split(catalogue, data.parent, "toy/train", "toy/test", 8, tmp_path / "s.json")
    assert json.loads((tmp_path / "s.json").read_text())["train"]["files"] == sides["train"].files


def test_damaged_images_of_such_names_are_named(tmp_path, rng, names):
    toy = Toy(tmp_path, "toy.tar")
    contents = {n: encoded(noise(rng)) for n in names} | {LATIN: b""}
    latin_tar(toy.archives / toy.file, contents)
    with pytest.raises(UserError, match=r"set/caf\\xe9_1.png: is empty"):
        packed_here(toy)
    assert packed_here(toy, share=0.5).meta["corrupt"] == ["set/caf\\xe9_1.png: is empty (0 bytes)"]


def test_the_locale_changes_nothing(tmp_path, rng):
    """A folder with names in UTF-8 and in Latin-1, packed where only ASCII is known."""
    toy, root = folder_toy(tmp_path)
    in_folders(root, {"zäh/ü.png": encoded(noise(rng)), "zart/a.png": encoded(noise(rng))})
    with open(os.fsencode(root / "zart") + b"/caf\xe9.png", "wb") as file:
        file.write(encoded(noise(rng)))
    here = packed_here(toy)
    assert here.files == ["zart/a.png", "zart/caf\\xe9.png", "zäh/ü.png"]
    assert here.meta["classes"] == ["zart", "zäh"]
    sums = here.meta["images_sha256"]
    said, packed = toy.pack(env=ASCII_LOCALE)
    assert said.code == 0, said.text
    assert json.loads((packed / "meta.json").read_text())["images_sha256"] == sums
    assert (packed / "files.txt").read_bytes().decode() == "".join(f"{n}\n" for n in here.files)


def test_a_class_folder_that_is_not_utf8(tmp_path, rng):
    toy = Toy(tmp_path, "toy.tar")
    latin_tar(toy.archives / toy.file, {b"caf\xe9/0.png": encoded(noise(rng))})
    assert packed_here(toy).meta["classes"] == ["caf\\xe9"]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_one_letter_in_two_spellings_is_one_class(tmp_path, rng, form):
    """macOS writes é as two characters, the catalogue as one."""
    files = {unicodedata.normalize(form, f"wurzel/Gefäß/{i}.png"): encoded(noise(rng))
             for i in range(2)}  # fmt: skip
    files["wurzel/Café/0.png"] = encoded(noise(rng))
    toy = Toy(tmp_path)
    files[unicodedata.normalize(form, "wurzel/dürr/0.png")] = b"left out"
    zipped(toy.archives / toy.file, files)
    options = {"root": "wurzel", "exclude": ["dürr"]}
    told = packed_here(toy, classes=["Gefäß", "Café"], options=options)
    assert told.labels.tolist() == [0, 0, 1]
    untold = packed_here(toy, options=options)
    assert len(untold.meta["classes"]) == 2
    twins = {unicodedata.normalize(f, "é/0.png"): encoded(noise(rng)) for f in ("NFC", "NFD")}
    zipped(toy.archives / toy.file, twins)
    packed = packed_here(toy)
    assert packed.meta["classes"] == ["é"] and packed.labels.tolist() == [0, 0]
    assert len(set(packed.files)) == 2


def test_folders_that_differ_in_case_only_are_refused_or_told_apart(tmp_path, rng):
    toy, root = folder_toy(tmp_path)
    in_folders(root, {"Ill/0.png": encoded(noise(rng)), "ill/0.png": encoded(noise(rng))})
    with pytest.raises(UserError, match="the folders Ill and ill, which differ in case only"):
        packed_here(toy)
    assert packed_here(toy, classes=["ill", "Ill"]).labels.tolist() == [1, 0]


@pytest.mark.parametrize("form", ["folder", "zip", "tar", "tar.gz"])
def test_odd_names_keep_their_lines(tmp_path, rng, form):
    odd = ["a b.png", "-rf.png", "line\nbreak.png", "cr\rx.png", "tab\t.png", "quote'\".png",
           "$(id);&.png", "\u2028.png", "\x85.png", "x" * 200 + ".png", "~.png", "*?.png",
           "Copy.png", "copy.png"]  # fmt: skip
    files = {f"a/{name}": encoded(noise(rng, 8)) for name in odd}
    if form == "folder":
        toy, root = folder_toy(tmp_path)
        in_folders(root, files)
    else:
        toy = Toy(tmp_path, f"toy.{form}")
        path = toy.archives / toy.file
        zipped(path, files) if form == "zip" else tarred(
            path, files, "w:gz" if form == "tar.gz" else "w"
        )
    packed = packed_here(toy)
    lines = (packed.path / "files.txt").read_text(encoding="utf-8").split("\n")[:-1]
    assert len(lines) == len(odd) == len(packed) and packed.files == lines
    expected = [n.replace("\n", "\\n").replace("\r", "\\r") for n in files]
    assert sorted(lines) == sorted(expected)


def test_a_list_has_a_name_a_line(tmp_path, rng):
    names = ["with space.png", "plain.png", "ü.png"]
    files = {f"set/{n}": encoded(noise(rng)) for n in [*names, "unlisted.png"]}
    toy = Toy(tmp_path)
    for text in ("\n".join(names).encode(), "\r\n".join(names).encode("utf-8-sig"),
                 "\n".join(names).encode("utf-16")):  # fmt: skip
        zipped(toy.archives / toy.file, files | {"list.txt": text})
        packed = packed_here(toy, options={"root": "set", "list": "list.txt", "labels": "none"})
        assert sorted(packed.files) == sorted(f"set/{n}" for n in names)
    zipped(toy.archives / toy.file, files | {"list.txt": b"a\0b"})
    with pytest.raises(UserError, match=r"list.txt is not text: it is not the list"):
        packed_here(toy, options={"root": "set", "list": "list.txt", "labels": "none"})
