"""The version and the commit, in clones, archives and installed copies that are really made."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ssl_ood.common.commit import RELEASE, commit, version

ROOT = Path(__file__).parents[2]
NOBODY = ["-c", "user.name=nobody", "-c", "user.email=nobody@localhost"]
TELL = (
    "import ssl_ood; from ssl_ood.common import commit; print(ssl_ood.__version__, commit.commit())"
)


def git(clone: Path, *arguments: str) -> str:
    command = ["git", "-C", str(clone), "-c", "init.defaultBranch=main", *NOBODY, *arguments]
    return subprocess.check_output(command, text=True).strip()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository of one commit that holds what tells the version."""
    clone = tmp_path / "clone"
    for name in ("__init__.py", "common/__init__.py", "common/commit.py"):
        target = clone / "workflow/ssl_ood" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "workflow/ssl_ood" / name, target)
    for name in (".git_archival.txt", ".gitattributes", "pyproject.toml"):
        shutil.copy(ROOT / name, clone / name)
    (clone / ".gitignore").write_text("__pycache__/\n*.egg-info/\nbuild/\n")
    git(clone, "init", "-q")
    git(clone, "add", ".")
    git(clone, "commit", "-qm", "first")
    return clone


def told(package: Path) -> list[str]:
    """Version and commit as the copy of the code in a folder tells them."""
    environment = os.environ | {"PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", TELL]
    return subprocess.check_output(command, env=environment, cwd=package, text=True).split()


def test_versions_follow_tags_commits_and_changes(clone):
    package, first = clone / "workflow", git(clone, "rev-parse", "HEAD")
    assert told(package) == [f"{RELEASE}.dev1+g{first[:7]}", first]
    git(clone, "tag", "v1.2.0")
    git(clone, "tag", "another")
    assert told(package) == ["1.2.0", first]
    (clone / "pyproject.toml").write_text((clone / "pyproject.toml").read_text() + "\n")
    assert told(package) == ["1.2.0+changes", f"{first}+changes"]
    git(clone, "commit", "-qam", "second")
    second = git(clone, "rev-parse", "HEAD")
    assert told(package) == [f"1.2.0+1.g{second[:7]}", second]


@pytest.mark.parametrize("tag", ["v2.0.1", None])
def test_an_archive_knows_its_commit(clone, tmp_path, tag):
    if tag:
        git(clone, "tag", "-a", tag, "-m", "release")
    head = git(clone, "rev-parse", "HEAD")
    git(clone, "archive", "--prefix=unpacked/", "-o", str(tmp_path / "it.tar"), "HEAD")
    shutil.unpack_archive(tmp_path / "it.tar", tmp_path)
    expected = tag[1:] if tag else f"{RELEASE}.dev0+g{head[:7]}"
    assert told(tmp_path / "unpacked/workflow") == [expected, head]


def test_a_copy_without_git_says_that_it_does_not_know(clone):
    shutil.rmtree(clone / ".git")
    assert told(clone / "workflow") == [f"{RELEASE}+unknown", "None"]


def test_an_installed_copy_has_the_version_that_it_was_built_with(clone, tmp_path):
    git(clone, "tag", "v3.0.0")
    uv = Path(sys.executable).with_name("uv")
    command = [uv, "pip", "install", "--quiet", "--offline", "--no-deps", "--no-build-isolation"]
    command += ["--python", sys.executable, "--target", tmp_path / "there", clone]
    subprocess.run(command, check=True)
    assert told(tmp_path / "there") == ["3.0.0", "None"]


def test_this_code_has_a_version_that_installers_accept():
    from packaging.version import Version

    assert Version(version()) >= Version(f"{RELEASE}.dev0")
    if (ROOT / ".git").exists():
        assert commit().partition("+")[0][:7] in version() or "+" not in version()
