"""What notebooks, snapshots, trash and macOS leave, links, pipes, and what cannot be read."""

from __future__ import annotations

import os
import socket

import numpy as np
import pytest
from support.dicoms import dicom
from support.packing import folder_toy, halves, packed_here
from support.situations import Toy, encoded, in_folders, noise, tarred, zipped

from ssl_ood.common.errors import UserError
from ssl_ood.datasets.archives import content
from ssl_ood.datasets.catalogue import load_catalogue
from ssl_ood.datasets.passed_over import why_passed_over
from ssl_ood.datasets.splits import write_split

CLASSES = ["healthy", "ill"]
STRAY = {
    "healthy/.ipynb_checkpoints/0-checkpoint.png": ".ipynb_checkpoints",
    ".Trash-1000/files/1.png": ".Trash*",
    ".snapshot/hourly/healthy/0.png": ".snapshot",
    "healthy/@eaDir/0.png/thumb.png": "@eaDir",
    "__MACOSX/healthy/._0.png": "__MACOSX",
    "ill/._1.png": "._*",
    "lost+found/0.png": "lost+found",
    "#recycle/0.png": "#recycle",
    "$RECYCLE.BIN/0.png": "$RECYCLE.BIN",
    "System Volume Information/0.png": "System Volume Information",
    "ill/Thumbs.db": "Thumbs.db",
    "ill/desktop.ini": "desktop.ini",
    ".git/0.png": ".git",
}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def images(rng):
    """Three images of each of two classes, and their names."""
    return {f"{c}/{i}.png": encoded(noise(rng, 16)) for c in CLASSES for i in range(3)}


def stored(tmp_path, form: str, files) -> Toy:
    """The files as an archive of that form."""
    if form == "folder":
        toy, root = folder_toy(tmp_path)
        in_folders(root, files)
        return toy
    toy = Toy(tmp_path, f"toy.{form}")
    if form == "zip":
        zipped(toy.archives / toy.file, files)
    else:
        tarred(toy.archives / toy.file, files, "w:gz" if form == "tar.gz" else "w")
    return toy


@pytest.mark.parametrize("form", ["folder", "zip", "tar", "tar.gz"])
@pytest.mark.parametrize(
    "changes", [{}, {"classes": CLASSES}, {"options": {"labels": "none"}}], ids=str
)
def test_stray_files_are_no_images_and_are_counted(tmp_path, images, form, changes, capsys):
    content = next(iter(images.values()))
    toy = stored(tmp_path, form, {**images, **dict.fromkeys(STRAY, content)})
    packed = packed_here(toy, **changes)
    assert packed.files == list(images)
    assert packed.meta["classes"] == (None if "options" in changes else CLASSES)
    assert sorted(packed.meta["passed_over"]) == sorted(STRAY.values())
    assert "passed over or followed: 1 #recycle, 1 $RECYCLE.BIN" in capsys.readouterr().err


def test_the_rule_of_names():
    for name, reason in STRAY.items():
        assert why_passed_over(name) == reason
        assert why_passed_over(f"folder/{name}") == reason
    assert why_passed_over("a/THUMBS.DB") and why_passed_over("__macosx/x.png")
    for name in ("a/b.png", "a.b/c", "_MACOSX/a", "recycle/a.png", "a/b..png", "thumbs/db.png"):
        assert why_passed_over(name) is None


def test_a_hidden_place_of_the_archive_itself_is_no_reason(tmp_path, images):
    toy = Toy(tmp_path / ".hidden", "toy")
    in_folders(toy.archives / "toy", images)
    assert len(packed_here(toy)) == 6


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_a_stray_copy_changes_no_seeded_split(tmp_path, rng, form):
    images = {f"non/image/{i:03d}.png": encoded(noise(rng)) for i in range(20)}
    sides = {"clean": None, "stray": None}
    for state in sides:
        extra = {"non/image/.ipynb_checkpoints/007.png": images["non/image/007.png"]}
        toy = stored(tmp_path / state, form, images | (extra if state == "stray" else {}))
        splits = halves(15, 20, classes=[0], of=20)
        sides[state] = [packed_here(toy, side, splits=splits).files for side in ("train", "test")]
    assert sides["clean"] == sides["stray"]
    assert len(sides["clean"][0]) == 15 and not set(sides["clean"][0]) & set(sides["clean"][1])


@pytest.mark.parametrize("form", ["folder", "zip", "tar", "tar.gz"])
@pytest.mark.parametrize("stop", [3, 10, 15, 19])
def test_copies_are_on_one_side_whatever_their_names(tmp_path, rng, form, stop):
    images = {f"a/{i:02d}.png": encoded(noise(rng, 8)) for i in range(20)}
    copies = {f"a/{i:02d} (copy).png": images[f"a/{i:02d}.png"] for i in (0, 7, 19)}
    toy = stored(tmp_path, form, images | copies)
    sides = {s: packed_here(toy, s, splits=halves(stop, 23)) for s in ("train", "test")}
    pictures = {s: {image.tobytes() for image in packed.images} for s, packed in sides.items()}
    assert not pictures["train"] & pictures["test"]
    assert sorted(sides["train"].files + sides["test"].files) == sorted(images | copies)
    assert sides["train"].meta["copies"] == 3 and sides["train"].meta["chosen_from"] == [23]
    assert len(sides["train"]) in (stop, stop + 1)  # one more where copies alone fill the side
    assert len(sides["train"]) == stop or stop == 3


def test_files_of_equal_size_and_beginning_are_no_copies(tmp_path, rng):
    """Bitmaps: all of one size, and black for the first 4 kB and more."""
    images = {}
    for i in range(6):
        image = np.zeros((64, 64, 3), np.uint8)
        image[0] = rng.integers(0, 256, (64, 3))  # a bitmap begins at the bottom
        images[f"a/{i}.bmp"] = encoded(image, "BMP")
    images["a/again.bmp"] = images["a/3.bmp"]
    toy = stored(tmp_path, "folder", images)
    packed = packed_here(toy, splits=halves(4, 7))
    assert packed.meta["copies"] == 1
    assert ("a/3.bmp" in packed.files) == ("a/again.bmp" in packed.files)


def test_equal_pixels_in_files_of_other_bytes_are_said(tmp_path, rng, capsys):
    """Packed anew, a copy is no longer found by its bytes: the list of a split says so."""
    pictures = [noise(rng, 16) for _ in range(6)]
    images = {f"a/{i}.png": encoded(image) for i, image in enumerate(pictures)}
    images |= {f"a/{i}.bmp": encoded(image, "BMP") for i, image in enumerate(pictures)}
    toy = stored(tmp_path, "folder", images)
    splits, data = halves(6, 12), tmp_path / "data" / "toy"
    data.mkdir(parents=True)
    for side in splits:
        packed_here(toy, side, splits=splits).path.rename(data / f"{side}-16px")
    catalogue = load_catalogue(toy.catalogue(splits=splits))
    sides = write_split(catalogue, data.parent, "toy/train", "toy/test", 16, tmp_path / "s.json")
    both = {name[:3] for name in sides["train"]["files"]}
    twins = sum(name[:3] in both for name in sides["test"]["files"])
    assert twins and f"{twins} image(s) of " in capsys.readouterr().err


@pytest.mark.parametrize("verified", [True, False])
def test_the_number_to_choose_from_is_checked(tmp_path, images, verified, capsys):
    toy = stored(tmp_path, "folder", images)
    splits = halves(4, 6, of=7)
    splits["train"]["verified"] = verified
    if verified:
        with pytest.raises(UserError, match="is chosen from 7 images, its archive holds 6 to choo"):
            packed_here(toy, splits=splits)
    else:
        assert packed_here(toy, splits=splits).meta["chosen_from"] == [6]
        assert "is chosen from 7 images, its archive holds 6" in capsys.readouterr().err
    with pytest.raises(UserError, match="'seed' is a dependency of 'of'"):
        packed_here(toy, splits={"train": {"count": 6, "options": {"select": {"of": 6}}}})


# ---- links, pipes, rights ------------------------------------------------------------------------


def test_links_are_followed_and_counted(tmp_path, images, capsys):
    store = in_folders(tmp_path / "store", images)
    toy, root = folder_toy(tmp_path)
    (root / "healthy").symlink_to(store / "healthy")
    (root / "ill").mkdir()
    for i in range(3):
        (root / f"ill/{i}.png").symlink_to(os.path.relpath(store / f"ill/{i}.png", root / "ill"))
    packed = packed_here(toy)
    assert packed.files == sorted(images) and packed.meta["classes"] == CLASSES
    assert packed.meta["passed_over"] == {"links followed": 4}
    assert "4 links followed" in capsys.readouterr().err


def test_links_that_lead_back_are_no_endless_way(tmp_path, images):
    toy, root = folder_toy(tmp_path)
    in_folders(root, images)
    (root / "healthy/all").symlink_to(root)
    (root / "self").symlink_to(".")
    packed = packed_here(toy)
    assert packed.files == sorted(images)
    assert packed.meta["passed_over"] == {"links that lead back": 2}


def test_a_maze_of_links_is_refused(tmp_path, images):
    toy, root = folder_toy(tmp_path)
    in_folders(root, images)
    for i in range(9):
        (root / f"f{i}").mkdir()
        for j in range(9):
            (root / f"f{i}/to{j}").symlink_to(root / f"f{j}")
    with pytest.raises(UserError, match="is a link in a folder that is reached by 3 links already"):
        packed_here(toy)


def a_pipe(path):
    os.mkfifo(path)


def a_socket(path):
    here = os.getcwd()
    os.chdir(path.parent)  # the name of a socket has 108 bytes at most
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


def a_broken_link(path):
    path.symlink_to("nowhere.png")


def a_link_in_a_circle(path):
    path.symlink_to(path.name)


@pytest.mark.parametrize(("make", "text"), [
    (a_pipe, "healthy/x.png is neither a file nor a folder but a pipe: move it"),
    (a_socket, "healthy/x.png is neither a file nor a folder but a socket: move it"),
    (a_broken_link, "healthy/x.png is a link that leads nowhere, to 'nowhere.png': mend it"),
    (a_link_in_a_circle, "healthy/x.png is a link that leads nowhere, to 'x.png': mend it"),
])  # fmt: skip
def test_what_is_no_file_is_refused_in_a_sentence(tmp_path, images, make, text):
    toy, root = folder_toy(tmp_path)
    in_folders(root, images)
    make(root / "healthy/x.png")
    with pytest.raises(UserError, match=text):
        packed_here(toy)
    (root / "healthy/x.png").rename(root / "healthy/.x.png")  # hidden, it is nobody's concern
    assert len(packed_here(toy)) == 6


def test_a_folder_that_cannot_be_read_is_refused(tmp_path, images, monkeypatch):
    """Root may read everything: the system's refusal is put in its place."""
    toy, root = folder_toy(tmp_path)
    in_folders(root, images)
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("/ill"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(UserError, match=r"toy/ill cannot be read \(Permission denied\): make it"):
        packed_here(toy)


def test_a_file_that_cannot_be_read_is_not_a_corrupt_image(tmp_path, images, monkeypatch):
    toy, root = folder_toy(tmp_path)
    in_folders(root, images)

    def refusing(path, *_):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(content, "open", refusing, raising=False)
    with pytest.raises(UserError, match=r"healthy/0.png cannot be read \(Permission denied"):
        packed_here(toy, share=0.9)


# ---- archives that went through a Mac ------------------------------------------------------------


def test_rsna_zipped_again_on_a_mac(tmp_path, rng):
    labels = {"p0": "Normal", "p1": "No Lung Opacity / Not Normal", "p2": "Lung Opacity"}
    details = "patientId,class\n" + "\n".join(map(",".join, labels.items()))
    targets = "patientId,x,y,width,height,Target\np0,,,,,0\np1,,,,,0\np2,1,1,1,1,1"
    files = {f"x/stage_2_train_images/{p}.DCM": dicom(noise(rng)) for p in labels}
    files["x/stage_2_detailed_class_info.csv"] = ("\ufeff" + details).encode()
    files["x/stage_2_train_labels.csv"] = targets.replace("\n", "\r\n").encode()
    apple = bytes([0, 5, 22, 7]) + b"Mac OS X        " + bytes(100)
    twins = {f"__MACOSX/{n.replace('/', '/._')}": apple for n in files}
    twins |= {"x/" + f"._{n[2:]}": apple for n in files if n.endswith("csv")}
    toy = Toy(tmp_path)
    changes = {"reader": "rsna", "classes": list(labels.values()), "group": "^(.+)$"}
    zipped(toy.archives / toy.file, twins | files | {".DS_Store": b"\0\0\0\1Bud1"})
    packed = packed_here(toy, **changes)
    assert packed.files == ["p0", "p1", "p2"] and packed.labels.tolist() == [0, 1, 2]
    assert packed.meta["passed_over"] == {".DS_Store": 1, "._*": 2, "__MACOSX": 5}
    zipped(toy.archives / toy.file, files | {"old/stage_2_train_images/p1.dcm": dicom(noise(rng))})
    with pytest.raises(UserError, match="holds p1 twice, in different folders: remove the copies"):
        packed_here(toy, **changes)
