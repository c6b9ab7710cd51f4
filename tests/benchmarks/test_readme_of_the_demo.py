"""The README shows what the files in docs/demo hold."""

from __future__ import annotations

from pathlib import Path

import pytest
import readme

ROOT = Path(__file__).parents[2]


def test_the_readme_shows_the_files_of_docs_demo():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.filled(text, ROOT / "docs" / "demo") == text
    assert all((ROOT / "docs" / "demo" / name).exists() for name in readme.FIGURES)


def test_only_what_lies_between_the_marks_is_written(tmp_path):
    (tmp_path / readme.TABLE).write_text("A title.\n\n| a |\n|---|\n| 1 |\n\nA note.\n")
    rows = [f"{name},Claim of {name},holds,+1 points" for name in readme.QUOTED]
    rows += ["x,X,undecided,+1", "y,Y,not measured,"]
    (tmp_path / "table_claims.csv").write_text("\n".join(["id,claim,verdict,measured", *rows]))
    text = readme.filled(f"head\n{readme.BEGIN}\nstale\n{readme.END}\ntail\n", tmp_path)
    assert text.startswith(f"head\n{readme.BEGIN}\n| a |\n|---|\n| 1 |\n\nOf the thesis's claims")
    assert text.endswith(f"\n{readme.END}\ntail\n") and "stale" not in text
    assert (
        "*holds* for 4, *does not hold* for 0, *undecided* for 1 (" in text and "A note" not in text
    )
    assert f"- Claim of {readme.QUOTED[0]}: **holds**, +1 points." in text


def test_a_readme_without_marks_is_left_alone(tmp_path):
    with pytest.raises(SystemExit, match="has no <!-- make readme: begin -->"):
        readme.filled("no marks", tmp_path)
