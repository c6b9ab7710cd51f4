"""Folders that people have: in the config, behind links, and around the clone.

`tests/workflow` makes a whole study in a results folder whose name is a command to a shell.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.situations import DEMO, ROOT, Said, snakemake, study_copy

from ssl_ood.common.errors import UserError
from ssl_ood.common.paths import as_variable, expanded, from_variable
from ssl_ood.datasets import commands
from ssl_ood.study.paths import anchored

META = "data/digits8x8/test-32px/meta.json"
# Of a results folder: what may be there, and what it is then.
ALLOWED = {
    "results": "results",
    "my results": "my results",
    "it's": "it's",
    'the "best"': 'the "best"',
    "a&b;c": "a&b;c",
    "a(b)": "a(b)",
    "$(touch seen)": "$(touch seen)",
    "`touch seen`": "`touch seen`",
    "a*b?[c]": "a*b?[c]",
    "50%#!|<>^": "50%#!|<>^",
    "back\\slash": "back\\slash",
    "größe/日本": "größe/日本",
    "results/": "results",
    "./results//demo/./": "results/demo",
    "../results": "../results",
    "/somewhere/else/": "/somewhere/else",
    "a~b": "a~b",
    "~/r": "HOME/r",
    "~": "HOME",
    "$SCRATCH/r": "SCRATCH/r",
    "${SCRATCH}": "SCRATCH",
    "a/$SCRATCH": "a/SCRATCH",
    "2024": "2024",
}
REFUSED = {
    "": "write the path",
    ".": "not a folder of its own",
    "./": "not a folder of its own",
    "/": "not a folder of its own",
    "..": "not a folder of its own",
    "$UNSET/r": "names the variable $UNSET, which is not set",
    "${UNSET}": "names the variable ${UNSET}, which is not set",
    "${UNSET:-there}": "which is not set",
    "$EMPTY/r": "names the variable $EMPTY, which is not set",
    "~nobody_has_this_name/r": "the home of somebody who is not known",
    "a{b}": "curly brackets",
    "{dataset}": "curly brackets",
    "a\nb": "control character",
    "a\0b": "control character",
    "a\tb": "control character",
    " results": "a space at its start or end",
    "results ": "a space at its start or end",
    "-rf": "take for an option",
    "./-rf": "take for an option",
    "\udcff": "not a name of a file",
    "n" * 256: "a name longer than disks allow",
    "FILE": "cannot be made",
    "FILE/r": "cannot be made",
    "GONE": "is a link to",
    "HOLDS": "features is a link to",
}


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Names in capitals and what stands for each."""
    for name in ("HOME", "SCRATCH"):
        monkeypatch.setenv(name, name)
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("UNSET", raising=False)
    monkeypatch.chdir(tmp_path)
    Path("FILE").touch()
    Path("GONE").symlink_to("unmounted")
    Path("HOLDS").mkdir()
    Path("HOLDS/features").symlink_to("unmounted")


@pytest.mark.parametrize("name", ALLOWED)
def test_a_folder_that_is_taken(places, name):
    assert anchored({"results_dir": name})["results_dir"] == ALLOWED[name]


@pytest.mark.parametrize("name", REFUSED)
def test_a_folder_that_is_refused_by_one_sentence(places, name):
    with pytest.raises(UserError, match="results_dir") as error:
        anchored({"results_dir": name})
    assert REFUSED[name] in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("key", ["downloads_dir", "archive_dirs", "catalogue", "reported_dir"])
def test_other_paths_follow_the_same_rules(places, key):
    listed = [] if key == "archive_dirs" else ""

    def path(name):
        value = anchored({key: [name] if listed == [] else name})[key]
        return value[0] if listed == [] else value

    assert path("~/a {b}:c/") == "HOME/a {b}:c"
    for name in ("$UNSET", "a\0b", " ", "-x", "\udcff"):
        with pytest.raises(UserError, match=f"config: {key}"):
            path(name)


def test_a_name_that_the_locale_cannot_write(monkeypatch):
    """A process in an ASCII locale has names in ASCII."""
    monkeypatch.setattr(os, "fsencode", lambda name: name.encode("ascii"))
    with pytest.raises(UserError, match="PYTHONUTF8=1"):
        expanded("größe", "config: results_dir")


# ---- what a stage is told through the environment


@pytest.mark.parametrize("paths", [[], ["a:b"], ["a b", "c'd", "[e]", "größe"], ["/x", "/y:z"]])
def test_paths_with_any_sign_come_through_a_variable(paths):
    assert from_variable(as_variable(paths)) == paths


def test_a_person_types_them_as_in_path(tmp_path):
    assert from_variable("/a:/b:") == ["/a", "/b"]
    (tmp_path / "a:b").mkdir()
    assert from_variable(f"{tmp_path}/a:b") == [f"{tmp_path}/a:b"]


@pytest.mark.parametrize("sign", ["~", "$SCRATCH"])
def test_stages_by_hand_expand_the_paths_of_the_config(places, monkeypatch, tmp_path, sign):
    config = tmp_path / "config.yaml"
    config.write_text(f"downloads_dir: {sign}/d\narchive_dirs: ['{sign}/a:b', '{sign}/c/']\n")
    monkeypatch.setattr(commands, "CONFIG", config)
    monkeypatch.setattr(commands, "ARCHIVE_DIRS", None)
    options = commands.argparse.Namespace(archive_dirs=None, downloads=None)
    commands._fill_places(options)
    there = Path("HOME" if sign == "~" else "SCRATCH")
    assert options.downloads == there / "d"
    assert options.archive_dirs == [there / "a:b", there / "c"]


# ---- links, and the place of the clone


def nothing_to_do(said: Said) -> bool:
    return said.code == 0 and "Nothing to be done" in said.text


def test_a_clone_and_results_behind_links_and_names(tmp_path):
    """A clone in a folder with umlauts, results on a second disk and their data on a third."""
    clone = study_copy(tmp_path / "Größe & Söhne (1) [neu]")
    disk, other = tmp_path / "disk", tmp_path / "other disk"
    disk.mkdir()
    other.mkdir()
    (clone / "results").symlink_to(disk)
    (disk / "data").symlink_to(other)
    before = files(clone)
    said = snakemake(f"results/demo/{META}", *DEMO, folder=clone)
    assert said.code == 0, said.text[-3000:]
    assert (disk / "demo" / META).is_file() and files(clone) == before
    assert nothing_to_do(snakemake(f"results/demo/{META}", *DEMO, "-n", folder=clone))


def files(folder: Path) -> set[Path]:
    """The files of a clone, without Python's compiled ones and Snakemake's notes."""
    found = set()
    for path, folders, names in os.walk(folder):
        folders[:] = set(folders) - {"__pycache__", ".snakemake"}
        found |= {Path(path) / name for name in names}
    return found


def test_a_clone_that_python_cannot_be_told_is_refused(tmp_path):
    """PYTHONPATH separates with colons: an installed package would be taken in its place."""
    clone = tmp_path / "12:30"
    clone.mkdir()
    for name in ("Snakefile", "config.yaml", "workflow"):
        (clone / name).symlink_to(ROOT / name)
    said = snakemake("all", "-n", folder=clone)
    assert said.is_a_sentence and "move or rename the folder" in said.text


def test_a_target_as_the_config_writes_it_is_a_sentence(tmp_path):
    """Snakemake knows files by their whole names only."""
    target = f"~/r/{META}"
    said = snakemake(
        target, "-n", "-s", ROOT / "Snakefile", "--configfile", ROOT / "config.yaml",
        "--config", "results_dir=~/r", folder=tmp_path, env={"HOME": str(tmp_path)},
    )  # fmt: skip
    assert said.is_a_sentence and f"results_dir is {tmp_path}/r: name its files" in said.text
