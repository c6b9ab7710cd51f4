"""Whatever goes wrong is one sentence that names the file; --debug shows the traceback, too."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import numpy as np
import pytest
from support.situations import Toy, encoded, in_folders, noise, tarred, zipped

from ssl_ood.cli import main
from ssl_ood.common.errors import UserError
from ssl_ood.common.files import read_json
from ssl_ood.datasets import commands, readers
from ssl_ood.datasets.readers import Item, Source

BINARY = bytes(range(128, 256)) * 4


@pytest.fixture
def said(capsys):
    """A function: runs `ssl_ood ARGS` in this process; its exit code and what it wrote."""

    def run(*arguments: object) -> tuple[int, str]:
        code = main([str(a) for a in arguments])
        return code, capsys.readouterr().err

    return run


@pytest.fixture
def pictures():
    rng = np.random.default_rng(0)
    return {f"x/{c}/{i}.png": encoded(noise(rng)) for c in "ab" for i in range(3)}


@pytest.fixture
def pack(tmp_path, said):
    """A function: `fetch` and `pack` of a toy; changes: keys of its entry."""

    def go(toy: Toy, *more: str, **changes: object) -> tuple[int, str]:
        catalogue, manifest = toy.catalogue(**changes), tmp_path / "manifest.json"
        code, text = said(
            "fetch", "toy", "--catalogue", catalogue, "--downloads", tmp_path / "d",
            "--archive-dirs", toy.archives, "--manifest", manifest,
        )  # fmt: skip
        if code:
            return code, text
        return said(
            "pack", "toy", "--catalogue", catalogue, "--split", "train", "--size", 8, "--manifest",
            manifest, "--output", tmp_path / "packed", "--workers", 1, *more,
        )  # fmt: skip

    return go


def is_sentence(text: str) -> bool:
    return text.startswith("ssl_ood ") and text.count("\n") == 1 and "Traceback" not in text


@pytest.mark.parametrize("where", ["before", "behind", "nowhere"])
@pytest.mark.parametrize(
    ("error", "code"), [(ZeroDivisionError("by zero"), 1), (UserError("No."), 2)]
)
def test_an_exception_of_any_kind(said, monkeypatch, where, error, code):
    def fails(_: object) -> None:
        raise error

    monkeypatch.setattr(commands, "run_datasets", fails)
    debug = ["--debug"]
    arguments = [*debug * (where == "before"), "datasets", *debug * (where == "behind")]
    found, text = said(*arguments)
    assert found == code and ("Traceback" in text) == (where != "nowhere")
    last = text.splitlines()[-1]
    if code == 1:
        assert last == (
            "ssl_ood datasets: an unexpected ZeroDivisionError stopped it: by zero. The same "
            "command with --debug shows where."
        )
    else:
        assert last == "ssl_ood datasets: No."


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(errno.EIO, "Input/output error", "/a/b"), "Input/output error: /a/b"),
        (MemoryError(), "it needs more memory than there is"), (KeyError("k"), "there is no 'k'"),
        (RuntimeError("a\nb\n"), "stopped it: a. The"), (ValueError(), "it: ValueError. The"),
        (RecursionError("too deep."), "it: too deep. The"), (ValueError("x" * 999), "xxx.... The"),
    ],
)  # fmt: skip
def test_what_an_exception_says_fits_into_a_sentence(said, monkeypatch, error, text):
    def fails(_: object) -> None:
        raise error

    monkeypatch.setattr(commands, "run_datasets", fails)
    code, words = said("datasets")
    assert code == 1 and is_sentence(words) and text in words


@pytest.mark.parametrize(
    "content", [BINARY, b"", b"{", b"[" * 100_000, b"[]", b'{"archives": [1]}']
)
def test_a_manifest_that_is_none(tmp_path, said, content):
    toy = Toy(tmp_path)
    manifest = tmp_path / "manifest.json"
    manifest.write_bytes(content)
    code, text = said(
        "pack", "toy", "--catalogue", toy.catalogue(), "--split", "train", "--size", 8,
        "--manifest", manifest, "--output", tmp_path / "packed",
    )  # fmt: skip
    assert code == 2 and is_sentence(text) and str(manifest) in text
    assert not (tmp_path / "packed").exists()


def test_json_that_is_none_is_still_a_value_error(tmp_path):
    (tmp_path / "a.json").write_bytes(BINARY)
    with pytest.raises(ValueError, match="is not JSON"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("content", [BINARY, b"\0" * 50, b"a: [", b"- 1", b"", b"datasets: 5"])
def test_a_catalogue_that_is_none(tmp_path, said, content):
    (tmp_path / "c.yaml").write_bytes(content)
    code, text = said("datasets", "--catalogue", tmp_path / "c.yaml", "--downloads", tmp_path,
                      "--archive-dirs", tmp_path)  # fmt: skip
    assert code == 2 and text.startswith("ssl_ood datasets: ") and "c.yaml" in text
    assert "Traceback" not in text


@pytest.mark.parametrize("content", [BINARY, b"\0" * 100, b"Path\n" + b'"' * 200_000])
def test_tables_of_an_archive_that_are_none(tmp_path, pack, pictures, content):
    for reader, table, options in (
        ("chexpert", "train.csv", {"csv": "train.csv"}),
        ("image_folders", "list.txt", {"list": "list.txt"}),
        ("tinyimagenet", "val/val_annotations.txt", {}),
        ("rsna", "stage_2_detailed_class_info.csv", {"classes": ["Lung Opacity", "Normal"]}),
    ):
        toy = Toy(tmp_path, reader=reader)
        files = {"wnids.txt": b"n1\n", "stage_2_train_labels.csv": b"patientId,Target\n"}
        zipped(toy.archives / toy.file, pictures | files | {table: content})
        code, text = pack(toy, options=options)
        assert code == 2 and is_sentence(text) and "toy" in text, reader


def test_a_reader_that_fails_in_the_middle_names_the_last_image(tmp_path, pack, monkeypatch):
    def read(paths, options, scratch):
        def items():
            yield Item("first", 0, np.zeros((8, 8), np.uint8))
            raise IndexError("out of range")

        return Source(items())

    toy = Toy(tmp_path)
    zipped(toy.archives / toy.file, {"a": b"a"})
    monkeypatch.setattr(
        readers, "lookup", lambda *_: type("Entry", (), {"load": staticmethod(lambda: read)})
    )
    code, text = pack(toy)
    assert code == 2 and is_sentence(text)
    assert "toy.zip cannot be read as train of toy" in text
    assert "fails behind 'first' (IndexError: out of range)" in text


def test_options_that_the_reader_lacks_are_said(tmp_path, pack):
    toy = Toy(tmp_path, "a.npy", "npy")
    np.save(toy.archives / "a.npy", np.zeros((2, 8, 8, 3), np.uint8))
    code, text = pack(toy)
    assert (
        code == 2 and "the reader npy fails at its beginning (KeyError: there is no 'file')" in text
    )


def test_a_disk_that_fails_is_not_a_corrupt_image(tmp_path, pack, pictures, monkeypatch):
    """Else an outage would leave out as many images as max_corrupt_share allows."""
    toy = Toy(tmp_path, "toy")
    in_folders(toy.archives / "toy", pictures)
    import builtins

    real = builtins.open

    def fails(path, *more, **options):
        if str(path).endswith("1.png"):
            raise OSError(errno.EIO, "Input/output error", str(path))
        return real(path, *more, **options)

    monkeypatch.setattr(builtins, "open", fails)
    code, text = pack(toy, "--max-corrupt-share", "0.9")
    assert code == 2 and is_sentence(text) and "Input/output error" in text and "1.png" in text


@pytest.mark.parametrize("kind", ["toy.zip", "toy.tar", "toy.tar.gz"])
def test_a_damaged_archive_names_itself_and_the_member(tmp_path, pack, pictures, kind):
    toy = Toy(tmp_path, kind)
    path = toy.archives / kind
    if kind.endswith("zip"):
        content = bytearray(zipped(path, pictures).read_bytes())
        content[content.find(b"IDAT") + 60] ^= 1
    else:
        content = bytearray(
            tarred(path, pictures, "w:gz" if kind.endswith("gz") else "w").read_bytes()
        )
        at = 3 * len(content) // 4
        content[at : at + 600] = b"x" * len(content[at : at + 600])
    path.write_bytes(content)
    code, text = pack(toy)
    assert code == 2 and is_sentence(text)
    assert "toy" in text and ".png" in text
    assert not (tmp_path / "packed" / "images.npy").exists()


def test_names_in_manifests_may_be_anything(tmp_path, said):
    toy = Toy(tmp_path)
    manifest = tmp_path / "manifest.json"
    entry = {"file": "toy.zip", "path": "\0", "bytes": 1, "sha256": "x", "verified": False}
    manifest.write_text(json.dumps({"archives": [entry]}))
    code, text = said(
        "pack", "toy", "--catalogue", toy.catalogue(), "--split", "train", "--size", 8,
        "--manifest", manifest, "--output", Path(tmp_path, "packed"),
    )  # fmt: skip
    assert code == 2 and is_sentence(text)
