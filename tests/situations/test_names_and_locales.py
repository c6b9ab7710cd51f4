"""Names of files in any encoding, and stages in locales that are not UTF-8."""

from __future__ import annotations

import os
import tarfile

import numpy as np
import pytest
from support.situations import (
    ROOT,
    Toy,
    encoded,
    in_folders,
    noise,
    snakemake,
    ssl_ood,
    tarred,
    zipped,
)

from ssl_ood.datasets.packed import open_packed

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONUNBUFFERED": None}
NAMES = ["größe/z.png", "größe/ä.png", "größe/日本.png"]


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    return {name: encoded(noise(rng)) for name in NAMES}


def source(kind: str, folder, images) -> Toy:
    if kind == "zip":
        toy = Toy(folder)
        zipped(toy.archives / "toy.zip", images)
    else:
        toy = Toy(folder, "toy")
        in_folders(toy.archives / "toy", images)
    return toy


@pytest.mark.parametrize("kind", ["zip", "folder"])
def test_a_set_is_the_same_in_every_locale(tmp_path, images, kind):
    """To the last byte: names, order, pixels, classes, and the digest that tells it from others."""
    toy, made = source(kind, tmp_path, images), []
    for env in (None, ASCII):
        said, packed = toy.pack(env=env)
        assert said.code == 0, said.text
        made.append({path.name: path.read_bytes() for path in packed.iterdir()})
    assert made[0] == made[1]
    assert made[0]["files.txt"].decode("utf-8").split("\n")[:-1] == NAMES


def in_latin_1(folder, images):
    """A tar of an old system, whose names are bytes in Latin-1."""
    toy = Toy(folder, "toy.tar")
    some = {name: content for name, content in images.items() if "日" not in name}
    path = toy.archives / "toy.tar"
    tarred(path, some, encoding="latin-1", format=tarfile.GNU_FORMAT)
    return toy


def in_latin_1_on_disk(folder, images):
    toy = Toy(folder, "toy")
    place = os.fsencode(toy.archives / "toy") + "/größe".encode("latin-1")
    os.makedirs(place)
    for name in ("ä.png", "z.png"):
        with open(place + b"/" + name.encode("latin-1"), "wb") as file:
            file.write(images[f"größe/{name}"])
    return toy


@pytest.mark.parametrize("source", [in_latin_1, in_latin_1_on_disk])
def test_names_that_are_not_utf_8(tmp_path, images, source):
    """Their bytes are spelt, and the lists of a split can be written and read."""
    said, packed = source(tmp_path, images).pack()
    assert said.code == 0, said.text
    names = open_packed(packed).files
    assert sorted(names) == [r"gr\xf6\xdfe/\xe4.png", r"gr\xf6\xdfe/z.png"]


def test_what_is_printed_in_an_ascii_locale(tmp_path):
    """A sign that the terminal does not have is spelt, and ends no stage."""
    said = ssl_ood("list", folder=ROOT, env=ASCII)
    assert said.code == 0 and "\\u" in said.out and said.err == ""


def test_a_results_folder_that_the_locale_cannot_name_is_a_sentence(tmp_path):
    (tmp_path / "mine.yaml").write_text("results_dir: größe\n", encoding="utf-8")
    said = snakemake(
        "all", "-n", "-s", ROOT / "Snakefile", "--configfile", ROOT / "config.yaml",
        tmp_path / "mine.yaml", folder=tmp_path, env=ASCII,
    )  # fmt: skip
    assert said.is_a_sentence and "set PYTHONUTF8=1" in said.text, said.text
