"""The files that a public repository needs: valid by their schemas, agreeing, complete."""

from __future__ import annotations

import datetime
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft7Validator, FormatChecker

from ssl_ood.common.commit import RELEASE

ROOT = Path(__file__).parents[2]
# The schema of the Citation File Format 1.2.0, unchanged (CC-BY-4.0; its address is its `$id`).
SCHEMA = json.loads((Path(__file__).parent / "cff-1.2.0.schema.json").read_text())
COMMUNITY = ("CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "SECURITY.md", "MAINTAINERS.md")
HOSTED = ROOT / ".github"


def citation() -> dict:
    return yaml.load((ROOT / "CITATION.cff").read_text(), yaml.BaseLoader)  # dates stay text


def numbers(entry: dict) -> dict:
    """What the schema wants as numbers."""
    return entry | {key: int(entry[key]) for key in ("year", "month") if key in entry}


def faults(document: dict) -> list[str]:
    document = document | {"references": [numbers(r) for r in document["references"]]}
    checker = Draft7Validator(SCHEMA, format_checker=FormatChecker())
    return [error.message for error in checker.iter_errors(document)]


def test_the_citation_file_is_valid_by_its_schema():
    assert faults(citation()) == []


@pytest.mark.parametrize(
    "change", [{"authors": []}, {"type": "program"}, {"license": "free"}, {"colour": "blue"}]
)
def test_the_schema_finds_what_is_wrong(change):
    assert len(faults(citation() | change)) == 1


def test_changelog_citation_and_code_tell_one_version():
    headings = re.findall(r"^## (\S+) \((.+)\)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert headings[0][0] == citation()["version"] == RELEASE
    released = [date for _, date in headings if date != "not released yet"]
    assert [datetime.date.fromisoformat(date).isoformat() for date in released] == released
    assert citation().get("date-released") == (released[0] if headings[0][1] in released else None)


def test_what_only_a_maintainer_knows_stands_in_one_place():
    """No address for letters in any community file, and each file refers to the place."""
    assert "not set" in (ROOT / "MAINTAINERS.md").read_text()
    for name in COMMUNITY:
        text = (ROOT / name).read_text()
        assert not re.search(r"[\w.]+@\w+\.\w+|\bTODO\b|\bTBD\b|example\.(com|org)", text), name
    for name in ("CODE_OF_CONDUCT.md", "SECURITY.md"):
        assert "MAINTAINERS.md#to-be-filled-in" in (ROOT / name).read_text()


@pytest.mark.parametrize("path", sorted(HOSTED.rglob("*.yml")), ids=lambda path: path.stem)
def test_files_of_the_host_are_yaml(path):
    assert isinstance(yaml.safe_load(path.read_text()), dict)


def test_issue_forms_have_what_the_host_demands():
    """Name, description, a body whose fields have ids of their own and a label."""
    forms = [p for p in (HOSTED / "ISSUE_TEMPLATE").glob("*.yml") if p.stem != "config"]
    assert len(forms) == 3
    for path in forms:
        form = yaml.safe_load(path.read_text())
        assert form["name"] and form["description"]
        ids = [field["id"] for field in form["body"]]
        assert len(set(ids)) == len(ids)
        for field in form["body"]:
            assert field["type"] in {"textarea", "input", "dropdown", "checkboxes", "markdown"}
            assert field["attributes"]["label"]


def test_the_hosted_ci_does_nothing_but_call_the_projects_own():
    workflow = yaml.safe_load((HOSTED / "workflows/ci.yml").read_text())
    (job,) = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == ["bash .ci/run"]
    assert workflow["permissions"] == {"contents": "read"}
    assert min(job["strategy"]["matrix"]["python"]) == "3.11"


@pytest.mark.skipif(shutil.which("actionlint") is None, reason="actionlint is not installed")
def test_actionlint_accepts_the_hosted_ci():
    command = ["actionlint", HOSTED / "workflows/ci.yml"]
    done = subprocess.run(command, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout
