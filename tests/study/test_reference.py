"""The reference of the config says what the classes say, and is the one in the repository."""

from __future__ import annotations

from pathlib import Path

import yaml

from ssl_ood.common.registry import KINDS, entries
from ssl_ood.study.reference import reference, write_reference

ROOT = Path(__file__).parents[2]


def test_the_reference_in_the_repository_is_up_to_date(tmp_path):
    """`ssl_ood reference` writes it anew."""
    write_reference(tmp_path, ROOT / "config.yaml", tmp_path)
    for name in ("README.md", "config.yaml"):
        assert (ROOT / "config" / name).read_text() == (tmp_path / name).read_text(), name
    assert (ROOT / "docs" / "protocol.md").read_text() == (tmp_path / "protocol.md").read_text()


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
