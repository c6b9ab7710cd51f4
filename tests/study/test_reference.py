"""The reference of the config says what the classes say, and is the one in the repository."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import yaml

from ssl_ood.cli import make_parser
from ssl_ood.common.registry import KINDS, entries
from ssl_ood.study.reference import reference

ROOT = Path(__file__).parents[2]


def test_the_reference_in_the_repository_is_up_to_date(tmp_path):
    """`ssl_ood reference` writes it again."""
    command = [sys.executable, "-m", "ssl_ood", "reference", "--output", tmp_path / "config"]
    subprocess.run([*command, "--docs", tmp_path / "docs"], cwd=ROOT, check=True)
    written = [p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file()]
    assert len(written) == 7
    for name in written:
        assert (ROOT / name).read_text() == (tmp_path / name).read_text(), name


def test_every_key_of_the_config_is_in_it():
    config, text = yaml.safe_load((ROOT / "config.yaml").read_text()), reference()
    keys = {*config, *config["evaluation"], *config["execution"], *config["studies"]["natural"]}
    keys |= {
        f"{section}.{key}"
        for sections in config["methods"].values()
        for section, settings in sections.items()
        for key in settings
        if section != "backbone" or key == "name"
    }
    assert {key for key in keys if f"| `{key}` |" not in text} == set()


def test_every_key_and_every_declared_thing_has_a_meaning():
    text = reference()
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert [row for row in rows if row.endswith("|  |")] == []
    assert "| **required** |  |" not in text
    for kind in KINDS:
        for entry in entries(kind):
            assert f"`{entry.name}`" in text or f"`methods.{entry.name}`" in text


def test_types_and_ranges_are_in_words():
    rows = {line.split("`")[1]: line for line in reference().splitlines() if "| `" in line[:3]}
    assert "| whole number, at least 0 | **required** |" in rows["training.epochs"]
    assert "| list of 2: number, 0 to 1 | **required** |" in rows["training.teacher_momentum"]
    assert "| `tf32` or `bfloat16` or `float32` |" in rows["precision"]
    assert "| text | `random` |" in rows["training.initial"]


def test_every_stage_and_argument_is_on_the_page_of_commands():
    page = (ROOT / "docs/reference/cli.md").read_text()
    (stages,) = (a for a in make_parser()._actions if hasattr(a, "choices") and a.dest == "stage")
    sections = {s.partition("`")[0]: s for s in page.split("\n## `")[1:]}
    assert sections.keys() == stages.choices.keys()
    for name, stage in stages.choices.items():
        options = re.findall(r"--[a-z-]+", stage.format_usage())
        missing = [o for o in options if o not in sections[name] and o != "--debug"]
        assert missing == [], name
