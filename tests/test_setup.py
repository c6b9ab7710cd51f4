"""The set-up: requirements, the script that installs them, and what the Makefile runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import ssl_ood

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "envs/requirements.txt").read_text()
CUDA12 = (ROOT / "envs/torch-cuda12.txt").read_text()
DOCS = (ROOT / "envs/docs.txt").read_text()
CONDA_NAMES = {"pytorch": "torch", "python-lmdb": "lmdb", "matplotlib-base": "matplotlib"}


def required(*, runtime_only: bool = False) -> dict[str, str]:
    """Package → version range of requirements.in, in full or but for workflow and development."""
    text = (ROOT / "envs/requirements.in").read_text()
    if runtime_only:
        text = text.split("# workflow\n")[0]
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    pairs = [re.fullmatch(r"([a-z0-9-]+)(.*)", line) for line in lines if line]
    return {pair[1]: pair[2] for pair in pairs if pair}


def pinned(lock: str = LOCK) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)", lock, re.MULTILINE))


# ---- requirements


@pytest.mark.parametrize(("lock", "least"), [(LOCK, 50), (CUDA12, 10), (DOCS, 20)])
def test_every_pinned_package_is_hashed(lock, least):
    entries = re.split(r"\n(?=[a-z])", lock.split("\n", 2)[2])
    assert len(entries) == len(pinned(lock)) > least
    assert all("--hash=sha256:" in entry for entry in entries)


def test_requirements_hold_no_download_address():
    for path in (ROOT / "envs").iterdir():
        words = "://" if path.suffix == ".sh" else r"://|index-url|find-links|\.whl"
        assert not re.search(words, path.read_text()), path


def test_every_requirement_is_pinned():
    assert set(required()) <= set(pinned())


def test_what_differs_for_cuda_12_is_torch_and_its_libraries_alone():
    names = pinned(CUDA12).keys()
    assert {"torch", "torchvision"} <= names
    assert all(re.match(r"torch|triton|cuda-|nvidia-", name) for name in names)
    assert sum(name.endswith("-cu12") for name in names) > 10
    assert not any(name.endswith("-cu13") for name in names)


def test_conda_environment_asks_for_what_the_stages_require():
    lines = yaml.safe_load((ROOT / "envs/ssl_ood.yaml").read_text())["dependencies"]
    asked = {}
    for line in lines:
        name, _, versions = line.partition(" ")
        asked[CONDA_NAMES.get(name, name)] = versions
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert asked.pop("python") == project["requires-python"]
    needed = required(runtime_only=True)
    del needed["pygments"]  # for snakemake --report, which runs outside
    assert asked == needed


def test_the_command_tells_its_version():
    command = [sys.executable, "-m", "ssl_ood", "--version"]
    assert subprocess.check_output(command, text=True) == f"{ssl_ood.__version__}\n"


# ---- envs/build.sh, with interpreters that are not up to it


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with what the script reads, and an empty `bin` for programs."""
    (tmp_path / "envs").mkdir()
    (tmp_path / "bin").mkdir()
    for name in ("build.sh", "parts.sh", "requirements.txt", "torch-cuda12.txt"):
        target = tmp_path / "envs" / name
        target.write_text((ROOT / "envs" / name).read_text())
        target.chmod(0o755)
    return tmp_path


def fake_python(clone: Path, answers: str, name: str = "python3") -> None:
    """A program `name` on the PATH: a bash script whose `case "$*"` has the lines `answers`."""
    path = clone / "bin" / name
    path.write_text(f'#!/bin/bash\ncase "$*" in\n{answers}\nesac\n')
    path.chmod(0o755)


def build(clone: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    # Real tools but no real Python: each is linked into the one folder of the PATH.
    for tool in (
        "bash",
        "env",
        "dirname",
        "date",
        "awk",
        "sed",
        "cut",
        "grep",
        "rm",
        "touch",
        "cat",
    ):
        link = clone / "bin" / tool
        if not link.exists():
            found = subprocess.check_output(["bash", "-c", f"type -P {tool}"], text=True).strip()
            link.symlink_to(found)
    environment = {"PATH": str(clone / "bin"), "HOME": str(clone)} | variables
    return subprocess.run(
        [str(clone / "envs/build.sh")], env=environment, text=True, capture_output=True, timeout=60
    )


TOO_OLD = "*sys.version_info*) exit 1;;\n*python_version*) echo 3.9.18;;"


def test_no_python_is_one_sentence(clone):
    result = build(clone)
    assert result.returncode == 2
    assert result.stderr == "make env: no python3 on the PATH; install Python 3.11 or newer\n"


def test_python_that_is_too_old_is_one_sentence(clone):
    fake_python(clone, TOO_OLD)
    result = build(clone)
    assert result.returncode == 2
    assert result.stderr.startswith(
        "make env: python3 is Python 3.9.18, but 3.11 or newer is needed"
    )
    assert len(result.stderr.splitlines()) == 1


def test_python_that_was_asked_for_is_not_replaced_by_another(clone):
    fake_python(clone, TOO_OLD)
    result = build(clone, PYTHON="python3")
    assert result.returncode == 2 and "PYTHON=python3 is Python 3.9.18" in result.stderr
    result = build(clone, PYTHON="python4")
    assert result.returncode == 2 and "PYTHON=python4 is not a program" in result.stderr


def test_newer_python_is_found_beside_one_that_is_too_old(clone):
    fake_python(clone, TOO_OLD)
    fake_python(clone, "*'venv .venv'*) echo made by 3.12 >&2; exit 9;;", "python3.12")
    assert "made by 3.12" in build(clone).stderr


def test_environment_of_another_python_than_asked_for_is_replaced(clone):
    fake_python(clone, "*python_version*) echo 3.11.9;;", "old")
    fake_python(clone, "*python_version*) echo 3.12.1;;\n*'venv .venv'*) exit 9;;")
    (clone / ".venv/bin").mkdir(parents=True)
    (clone / ".venv/bin/python").symlink_to(clone / "bin/old")
    assert build(clone, PYTHON="python3").returncode == 9
    assert not (clone / ".venv").exists()


def test_python_without_venv_and_pip_is_told_which_package_to_install(clone):
    fake_python(clone, "*'import venv'*|*pip*) exit 1;;\n*python_version*) echo 3.11.2;;")
    result = build(clone)
    assert result.returncode == 2
    assert "apt install python3-venv" in result.stderr
    # The environment alone can be made, but there is nothing to install the installer with.
    makes = "*without-pip*) mkdir -p .venv/bin; ln -s ../../bin/no-pip .venv/bin/python; exit 0;;"
    fake_python(clone, f"{makes}\n*'import venv'*|*pip*) exit 1;;")
    fake_python(clone, "*pip*) exit 1;;", "no-pip")
    (clone / "bin/mkdir").symlink_to("/bin/mkdir")
    (clone / "bin/ln").symlink_to("/bin/ln")
    result = build(clone)
    assert result.returncode == 2
    assert "apt install python3-venv" in result.stderr and "ensurepip" in result.stderr


def test_installer_is_the_pinned_one_with_its_hashes(clone):
    makes = "*'venv .venv'*) mkdir -p .venv/bin; ln -s ../../bin/python3 .venv/bin/python; exit 0;;"
    fake_python(clone, f"{makes}\n*'pip install'*) cat .venv/uv.txt >&2; exit 1;;")
    for tool in ("mkdir", "ln"):
        (clone / "bin" / tool).symlink_to(f"/bin/{tool}")
    result = build(clone)
    assert result.returncode == 2
    lines = result.stderr.splitlines()
    assert lines[0].startswith(f"uv=={pinned()['uv']} ")
    assert all(line.strip().startswith("--hash=sha256:") for line in lines[1:-1])
    assert lines[-1] == "make env: pip could not install uv; its message stands above"


# ---- envs/build.sh: which build of torch


@pytest.fixture
def made(clone) -> Path:
    """A clone with an environment whose `uv` only notes its calls and gives two made-up hashes."""
    (clone / ".venv/bin").mkdir(parents=True)
    fake_python(clone, "*python_version*) echo 3.12.1;;")
    (clone / ".venv/bin/python").symlink_to(clone / "bin/python3")
    (clone / ".venv/bin/uv").write_text(
        f'#!/bin/bash\ncase "$*" in --version) echo uv {pinned()["uv"]};;\n'
        '*compile*) while read -r pin; do echo "$pin --hash=sha256:0"; done;;& '
        '*) echo "$*" >>calls;; esac\n'
    )
    (clone / ".venv/bin/uv").chmod(0o755)
    return clone


def installed(clone: Path, **variables: str) -> dict[str, str]:
    """What the script hands to uv, by package."""
    result = build(clone, **variables)
    assert result.returncode == 0, result.stderr
    return pinned((clone / ".venv/requirements.txt").read_text())


def test_the_lock_is_installed_as_it_is(made):
    assert installed(made) == pinned()
    assert (made / ".venv/requirements.txt").read_text() == LOCK


def test_cuda_12_changes_nothing_but_torch_and_is_remembered(made):
    others = {k: v for k, v in pinned().items() if not re.match(r"torch|triton|cuda-|nvidia-", k)}
    assert len(others) > 100
    for variables in ({"CUDA": "12"}, {}):  # the second time nobody asks for it
        assert installed(made, **variables) == others | pinned(CUDA12)
    assert installed(made, CUDA="13") == pinned()
    assert installed(made) == pinned()


def test_a_build_for_the_processor_comes_from_the_index_that_is_named(made):
    pins = installed(made, CUDA="cpu", TORCH_INDEX="/some/index")
    assert pins["torch"] == f"{pinned()['torch']}+cpu"
    assert pins["torchvision"] == f"{pinned()['torchvision']}+cpu"
    assert not any(re.match(r"triton|cuda-|nvidia-", name) for name in pins)
    assert pins["numpy"] == pinned()["numpy"]
    calls = (made / "calls").read_text().splitlines()
    assert ["--index /some/index" in call for call in calls] == [True, True, False]
    assert all("--require-hashes" in call for call in calls if "sync" in call)
    # The torch that is there would do for the version that is asked for next.
    assert installed(made, CUDA="13") == pinned()
    again = (made / "calls").read_text().splitlines()[len(calls) :]
    assert "--reinstall-package torch --reinstall-package torchvision" in again[0]


def test_a_build_of_torch_that_cannot_be_had_is_one_sentence(made):
    for variables, words in (
        ({"CUDA": "11"}, "CUDA=11 is not known; it can be 12, 13 or cpu"),
        ({"CUDA": "cpu"}, "CUDA=cpu needs TORCH_INDEX="),
        ({"CUDA": "12", "HOSTTYPE": "aarch64"}, "CUDA=12 is for Linux on x86_64"),
    ):
        result = build(made, **variables)
        assert result.returncode == 2 and len(result.stderr.splitlines()) == 1
        assert result.stderr.startswith(f"make env: {words}")
    assert not (made / "calls").exists()


# ---- Makefile


def make(*arguments: str) -> str:
    # Not as a part of the make that may be running these tests.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    return subprocess.check_output(
        ["make", *arguments], cwd=ROOT, env=environment, text=True, timeout=60
    )


def test_help_lists_every_target():
    phony = re.search(r"^\.PHONY: (help .*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony and re.findall(r"^  make (\S+)", make(), re.MULTILINE) == phony[1].split()


@pytest.mark.parametrize(("seeds", "given"), [("3", "seeds=[0,1,2]"), ("1", "seeds=[0]")])
def test_demo_hands_the_seeds_to_snakemake(seeds, given):
    (line,) = [
        line for line in make("-n", "demo", f"SEEDS={seeds}").splitlines() if "watch" in line
    ]
    line = line.partition(" || ")[0]
    words = subprocess.check_output(["bash", "-c", f"printf '%s\\n' {line}"], text=True)
    assert words.splitlines()[-2:] == ["--config", given]


def test_demo_gives_no_seeds_of_its_own():
    assert "--config" not in make("-n", "demo")


def test_a_build_of_torch_is_asked_for_by_the_command_alone():
    """Not by a variable of the environment: clusters' modules set one of that name."""
    (rule,) = [line for line in make("-n", "env", "CUDA=12").splitlines() if "build.sh" in line]
    assert rule == "envs/build.sh"
    environment = os.environ | {"CUDA": "/opt/cuda"}
    command = ["make", "-pn", "help"]
    said = subprocess.check_output(command, cwd=ROOT, env=environment, text=True)
    assert "\nCUDA := \n" in said


def test_ci_checks_everything():
    text = (ROOT / ".ci/run").read_text()
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert all(f"make {target}" in text for target in ("env", "lint", "docs", "dry-run", "test"))


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    """A clone whose environment is there and whose Snakemake and stages only note their calls."""
    shutil.copytree(ROOT / "envs", tmp_path / "envs")
    for name in ("Makefile", "pyproject.toml"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    for name in (".venv/bin", "results/demo/tables", "results/demo/figures"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "Snakefile").touch()
    stand_in = (
        '#!/bin/bash\necho "${0##*/} $*" >>calls\n'
        'case "$*" in *print*) echo 1;; *watch*) exit "${WATCH:-0}";; esac\n'
    )
    for name in ("python", "snakemake"):
        (tmp_path / ".venv/bin" / name).write_text(stand_in)
        (tmp_path / ".venv/bin" / name).chmod(0o755)
    (tmp_path / ".venv/.built").touch()
    return tmp_path


def make_demo(
    clone: Path, target: str = "demo", **variables: str
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """What `make demo` said, and the programs it called, but for the look at the environment."""
    (clone / "calls").write_text("")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    result = subprocess.run(
        ["make", target], cwd=clone, env=environment | variables, text=True, capture_output=True
    )
    calls = [line for line in (clone / "calls").read_text().splitlines() if "print" not in line]
    return result, calls


def test_demo_runs_reports_and_shows(demo):
    result, calls = make_demo(demo)
    assert result.returncode == 0
    assert [re.sub(r" --? .*", "", call) for call in calls] == [
        "python -m ssl_ood watch --results results/demo",
        "python -m ssl_ood show results/demo/tables/table_negative_sampling.csv",
    ]
    assert " -- .venv/bin/snakemake all report --profile profiles/demo" in calls[0]
    assert result.stdout.endswith(f"{demo}/results/demo/report.html\n")


def test_the_full_demo_has_a_profile_of_its_own(demo):
    result, calls = make_demo(demo, "demo-full")
    assert result.returncode == 0
    called = [call for call in calls if "snakemake all" in call]
    assert [call.partition("--profile ")[2].split()[0] for call in called] == ["profiles/demo-full"]


def test_demo_that_fails_ends_with_an_error(demo):
    result, calls = make_demo(demo, WATCH="1")
    assert result.returncode != 0 and len(calls) == 1
