"""The rules as text, and in a results folder whose name a shell would read as a command."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RULES = sorted((ROOT / "workflow" / "rules").glob("*.smk"))
# What is a number: Snakemake's own threads and resources.
NUMBERS = re.compile(r"threads|resources\.\w+")


def shell_blocks(path: Path) -> list[str]:
    """The commands of a file of rules: the texts that follow `shell:`, joined as Python does."""
    blocks, inside = [], False
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.strip()
        if text == "shell:":
            blocks.append("")
            inside = True
        elif inside and text.startswith('"'):
            blocks[-1] += text[1:-1]
        else:
            inside = False
    return blocks


def unquoted(command: str) -> list[str]:
    """The fields of a command that reach the shell as they are."""
    fields = re.findall(r"(?<!\{)\{([^{}]+)\}(?!\})", command)
    bare = [name for name in fields if not name.endswith(":q") and not NUMBERS.fullmatch(name)]
    # Quoted inside, but not what comes out of it.
    return bare + re.findall(r"(?<!\")\$\([^)]*\{[^)]*\)", command)


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_every_path_in_a_rule_is_quoted(path):
    assert path.read_text(encoding="utf-8").count("shell:") == len(shell_blocks(path))
    for command in shell_blocks(path):
        assert command and unquoted(command) == [], command


def test_the_look_for_unquoted_paths_sees_them():
    assert unquoted("a {input.x} {output:q} {params.y} {threads} {resources.gpu} 2> {log}") == [
        "input.x", "params.y", "log",
    ]  # fmt: skip
    assert unquoted("a --output $(dirname {output.x:q})") == ["$(dirname {output.x:q})"]


# ---- a results folder whose name is a command to a shell that sees it unquoted

MARK = "seen-by-a-shell"
HOSTILE = f'it\'s "a" & touch {MARK}; (b) $(touch {MARK}) `touch {MARK}` * results'
CHEAP = {
    "archives/digits8x8.json",
    "data/digits8x8/test-32px/images.npy",
    "data/digits8x8/test-32px/labels.npy",
    "data/digits8x8/test-32px/files.txt",
    "data/digits8x8/test-32px/meta.json",
}


@pytest.fixture
def run_there(snakemake, tmp_path):
    """A function: Snakemake with the demo's study, whose results lie in the hostile folder."""
    edit = tmp_path / "edit.yaml"
    edit.write_text(
        yaml.safe_dump({"results_dir": str(tmp_path / HOSTILE), "downloads_dir": str(tmp_path)})
    )
    layers = ["profiles/demo/study.yaml", edit]
    return lambda *arguments: snakemake(*arguments, "--cores", 1, "--configfile", *layers)


def listing(folder: Path) -> set[Path]:
    return {path for path in folder.iterdir() if path.name != ".snakemake"}


def test_every_job_is_planned_in_a_folder_with_any_name(run_there, planned, tmp_path):
    said = run_there("all", "-n", "--quiet", "rules")
    assert said.returncode == 0, said.stdout
    assert planned(said.stdout)["train"] > 10
    assert listing(tmp_path) == {tmp_path / "edit.yaml"}


def test_jobs_write_into_a_folder_with_any_name_and_nowhere_else(run_there, tmp_path):
    before = listing(ROOT)
    results = tmp_path / HOSTILE
    said = run_there(*(results / name for name in sorted(CHEAP)))
    assert said.returncode == 0, said.stdout[-3000:]
    assert listing(ROOT) == before
    assert listing(tmp_path) == {tmp_path / "edit.yaml", results}
    made = {str(path.relative_to(results)) for path in results.rglob("*") if path.is_file()}
    assert made >= CHEAP
    facts = {"data/digits8x8/test-32px/facts.csv"}  # no output of the rule: meta.json proves it
    beside = {name for name in made - CHEAP - facts if not name.endswith(".lock")}
    assert {name.partition("/")[0] for name in beside} == {"logs", "benchmarks"}
    assert MARK not in {path.name for path in results.rglob("*")}
