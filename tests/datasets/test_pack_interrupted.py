"""Packing that is killed, out of disk, locked out or not allowed to write: never half a set."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from ssl_ood.common.errors import UserError
from ssl_ood.datasets.catalogue import Archive, Dataset, Split, from_dict
from ssl_ood.datasets.fetch import fetch
from ssl_ood.datasets.pack import pack
from ssl_ood.datasets.packed import open_packed

COUNT = 400
RUN = """
import json, sys
from pathlib import Path
from ssl_ood.datasets import partial
from ssl_ood.datasets.catalogue import from_dict
from ssl_ood.declarations import declare_everything
declare_everything()
from ssl_ood.datasets.pack import pack
from ssl_ood.common.errors import UserError
entry, manifest, folder, options = (json.loads(a) for a in sys.argv[1:5])
if options.pop("slow", False):  # says so after every block, and waits to be killed
    partial.COMMIT_SECONDS = 0.0
    append = partial.Partial.append
    def slow(self, *args):
        append(self, *args)
        if self.rows >= 128:
            self.commit(force=True)
            print("packed", self.rows, flush=True)
            import time; time.sleep(60)
    partial.Partial.append = slow
if limit := options.pop("limit", None):
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    pack(from_dict(entry["name"], entry), "all", 32, manifest, Path(folder), **options)
except UserError as error:
    sys.exit(str(error))
"""


@pytest.fixture
def work(tmp_path, make, rng):
    """A dataset of 400 small images, its manifest, and the set that packing it must give."""
    images = rng.integers(0, 256, (COUNT, 32, 32, 3), np.uint8)
    path = make.tar(tmp_path / "a.tar", {f"{i}.png": make.encoded(m) for i, m in enumerate(images)})
    dataset = Dataset(
        name="a", title="A", kind="demo", access="free", reader="image_folders", store="a",
        splits={"all": Split(COUNT)}, archives=(Archive("a.tar"),), options={"labels": "none"},
    )  # fmt: skip
    manifest = fetch(dataset, tmp_path / "d", [path.parent])
    expected = pack(dataset, "all", 32, manifest, tmp_path / "expected", workers=1)
    return dataset, manifest, expected


def start(work, folder, **options):
    dataset, manifest, _ = work
    arguments = [json.dumps(x) for x in (dataset.to_dict(), manifest, str(folder), options)]
    return subprocess.Popen(
        [sys.executable, "-c", RUN, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def pack_again(work, folder, **options):
    dataset, manifest, _ = work
    return pack(dataset, "all", 32, manifest, folder, **{"workers": 1, **options})


def kill_after_first_block(work, folder, **options):
    running = start(work, folder, **{"slow": True, "workers": 1, **options})
    assert running.stdout.readline().startswith("packed")
    return running


def kill(running):
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()


def test_a_killed_packing_goes_on_and_ends_with_the_same_bytes(work, tmp_path, capsys):
    folder = tmp_path / "p"
    kill(kill_after_first_block(work, folder))
    assert not folder.exists()
    with pytest.raises(UserError, match="is not a packed dataset"):
        open_packed(folder)
    # Bytes that were written after the last entry in the journal must not survive.
    for name in ("images.npy", "facts.csv"):
        with open(tmp_path / ".p.partial" / "set" / name, "ab") as file:
            file.write(b"half an image")
    meta = pack_again(work, folder)
    assert "going on after 128 images" in capsys.readouterr().err
    for checksum in ("images_sha256", "facts_sha256"):
        assert meta[checksum] == work[2][checksum]
    for statistic in ("channel_mean", "channel_std"):
        assert meta[statistic] == work[2][statistic]
    assert open_packed(folder).files == open_packed(tmp_path / "expected").files
    assert not (tmp_path / ".p.partial").exists()


def test_a_killed_packing_of_another_archive_is_begun_anew(work, tmp_path, capsys):
    folder = tmp_path / "p"
    kill(kill_after_first_block(work, folder))
    dataset, manifest, _ = work
    other = json.loads(json.dumps(manifest))
    other["archives"][0]["sha256"] = "0" * 64
    meta = pack(dataset, "all", 32, other, folder, workers=1)
    assert "going on" not in capsys.readouterr().err and meta["count"] == COUNT


@pytest.mark.parametrize("damage", ["journal", "images"])
def test_a_partial_set_that_is_damaged_is_begun_anew(work, tmp_path, damage):
    folder = tmp_path / "p"
    kill(kill_after_first_block(work, folder))
    partial = tmp_path / ".p.partial"
    if damage == "journal":
        (partial / "journal.json").write_text("{")
    else:
        os.truncate(partial / "set" / "images.npy", 1000)
    assert pack_again(work, folder)["images_sha256"] == work[2]["images_sha256"]


def test_a_worker_that_is_killed_is_said(work, tmp_path):
    running = start(work, tmp_path / "p", workers=2)
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
    deadline = time.monotonic() + 20
    killed = False
    while running.poll() is None and time.monotonic() < deadline and not killed:
        for child in children.read_text().split() if children.exists() else ():
            command = Path(f"/proc/{child}/cmdline")
            if command.exists() and b"spawn_main" in command.read_bytes():
                os.kill(int(child), signal.SIGKILL)
                killed = True
    _, said = running.communicate(timeout=30)
    assert killed and running.returncode == 1
    assert "A process that decodes images was killed" in said
    assert not (tmp_path / "p").exists()
    assert pack_again(work, tmp_path / "p")["images_sha256"] == work[2]["images_sha256"]


def test_workers_do_not_outlive_a_killed_packing(work, tmp_path):
    running = kill_after_first_block(work, tmp_path / "p", workers=2)
    workers = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    assert len(workers) >= 2
    running.kill()
    running.wait()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < deadline, "a worker is left behind"
        time.sleep(0.1)


# ---- two at once ---------------------------------------------------------------------------------


def test_a_second_packing_of_the_same_set_is_refused_or_waits(work, tmp_path):
    folder = tmp_path / "p"
    first = kill_after_first_block(work, folder)
    with pytest.raises(UserError, match=f"Another process is packing {folder} already"):
        pack_again(work, folder)
    waiting = start(work, folder, wait=True, workers=1)
    said = waiting.stderr.readline()
    assert said.startswith(f"waiting for the process {first.pid} on ")
    assert said.endswith(f", which is packing {folder}\n")
    kill(first)
    assert waiting.wait(timeout=30) == 0
    assert open_packed(folder).meta["images_sha256"] == work[2]["images_sha256"]


def test_what_is_packed_already_is_kept(work, tmp_path):
    folder = tmp_path / "expected"
    before = (folder / "images.npy").stat()
    os.utime(folder / "meta.json", (0, 0))
    assert pack_again(work, folder) == work[2]
    after = (folder / "images.npy").stat()
    assert before.st_ino == after.st_ino
    assert (folder / "meta.json").stat().st_mtime > 0, "Snakemake would take it for outdated"


def test_a_set_whose_pixels_were_damaged_is_packed_again(work, tmp_path):
    path = tmp_path / "expected" / "images.npy"
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    assert pack_again(work, tmp_path / "expected")["images_sha256"] == work[2]["images_sha256"]
    assert path.read_bytes() != content


def test_the_empty_folder_that_snakemake_makes_is_replaced(work, tmp_path):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "images.npy").write_bytes(b"of an earlier time")
    assert pack_again(work, tmp_path / "p")["count"] == COUNT
    assert sorted(f.name for f in tmp_path.glob(".p*")) == [".p.lock"]


# ---- disks ---------------------------------------------------------------------------------------


@contextmanager
def mounted(folder, *options):
    """A tmpfs on `folder`, in this machine's own way: as root, or as root of a user namespace."""
    subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_is_said_and_packing_goes_on_when_there_is_room(work, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() == 0:
        with mounted(disk, "-o", "size=600k"):
            with pytest.raises(UserError, match=f"The disk of {disk} is full: free some space"):
                pack_again(work, disk / "p")
            assert not (disk / "p").exists()
            subprocess.run(["mount", "-o", "remount,size=20m", disk], check=True)
            assert pack_again(work, disk / "p")["images_sha256"] == work[2]["images_sha256"]
    # And with a limit on the size of a file, which needs no root and gives the same kind of error.
    running = start(work, disk / "q", limit=600_000, workers=1)
    _, said = running.communicate(timeout=30)
    assert f"The disk of {disk} is full: free some space and start again." in said
    assert not (disk / "q").exists()
    assert pack_again(work, disk / "q")["images_sha256"] == work[2]["images_sha256"]


def test_a_results_folder_that_cannot_be_written_to_is_said(work, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    (tmp_path / "file").write_text("in place of the folder")
    with pytest.raises(UserError, match=f"{tmp_path}/file/p cannot be written to .*results_dir"):
        pack_again(work, tmp_path / "file" / "p")
    if os.geteuid() == 0:  # whom permissions do not stop
        with mounted(disk, "-o", "ro"), pytest.raises(UserError, match="Read-only file system"):
            pack_again(work, disk / "p")
    else:
        disk.chmod(0o555)
        with pytest.raises(UserError, match="Permission denied"):
            pack_again(work, disk / "p")


# ---- memory --------------------------------------------------------------------------------------


def test_memory_does_not_grow_with_the_number_of_images(tmp_path, make, rng):
    """Twenty times the images, 60 MB of packed pixels, must not cost 30 MB more."""
    image = make.encoded(rng.integers(0, 256, (8, 8, 3), np.uint8))
    measure = RUN + "\nimport resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    peaks = []
    for count in (1000, 20_000):
        path = make.tar(tmp_path / f"{count}.tar", {f"{i:08d}.png": image for i in range(count)})
        entry = {
            "name": "a", "title": "A", "kind": "demo", "access": "free", "reader": "image_folders",
            "options": {"labels": "none"}, "archives": [{"file": path.name}],
            "splits": {"all": {"count": count}},
        }  # fmt: skip
        dataset = from_dict("a", entry)
        manifest = fetch(dataset, tmp_path / "d", [tmp_path])
        arguments = (dataset.to_dict(), manifest, str(tmp_path / f"p{count}"), {"workers": 1})
        done = subprocess.run(
            [sys.executable, "-c", measure, *(json.dumps(a) for a in arguments)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        peaks.append(int(done.stdout.split()[-1]) / 1024)
    assert peaks[1] - peaks[0] < 30, peaks
