"""The documentation: links, pages, typed commands, examples."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from ssl_ood.cli import make_parser
from ssl_ood.common.registry import lookup
from ssl_ood.declarations import declare_everything

ROOT = Path(__file__).parents[2]
OUTSIDE = [ROOT / "config/README.md", ROOT / "results/README.md"]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *OUTSIDE])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


def load_hooks():
    spec = importlib.util.spec_from_file_location("docs_hooks", ROOT / "docs/hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


hooks = load_hooks()


def prose(page: Path) -> str:
    """A page without what stands in fences or backticks."""
    text = hooks.CODE.sub("", page.read_text(encoding="utf-8"))
    return re.sub(r"`[^`\n]*`", lambda found: "x" * len(found[0]), text)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as hosts of repositories make them."""
    text = hooks.CODE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    words = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {word.strip().replace(" ", "-") for word in words}


def blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found]


# ---- pages and links


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_leads_somewhere(page):
    wrong = []
    for found in hooks.LINK.finditer(prose(page)):
        target, _, anchor = found["target"].partition("#")
        if re.match(r"https?:", target):
            continue
        goal = (page.parent / target).resolve() if target else page
        if not goal.exists() or (anchor and anchor not in anchors(goal)):
            wrong.append(found["target"])
    assert wrong == []


def test_every_page_has_its_place_on_the_website():
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text())

    def places(entry):
        if isinstance(entry, str):
            return [entry]
        inner = entry if isinstance(entry, list) else entry.values()
        return [place for one in inner for place in places(one)]

    listed = places(config["nav"])
    there = [p.relative_to(ROOT / "docs").as_posix() for p in (ROOT / "docs").rglob("*.md")]
    assert sorted(listed) == sorted([*there, *hooks.ELSEWHERE.values()])
    assert config["strict"] is True


AS_IT_IS = "![x](demo/x.png), [w](https://w.org), [h](#h), [b](b.md#c)"


@pytest.mark.parametrize(
    ("place", "site", "text", "changed"),
    [
        ("docs/a.md", "a.md", AS_IT_IS, AS_IT_IS),
        ("docs/a.md", "a.md", "[k](../config/README.md)", "[k](reference/config.md)"),
        ("docs/reference/p.md", "reference/p.md", "[e](../extend.md)", "[e](../extend.md)"),
        ("config/README.md", "reference/config.md", "[c](../docs/a.md)", "[c](../a.md)"),
        ("CONTRIBUTING.md", "project/contributing.md", "[s](SECURITY.md)", "[s](security.md)"),
        ("docs/a.md", "a.md", "[code](../workflow/ssl_ood/cli.py)", "code"),
        ("docs/a.md", "a.md", "[folder](measured)", "folder"),
    ],
)
def test_links_of_the_repository_become_those_of_the_website(place, site, text, changed):
    assert hooks.relinked(text, place, site) == changed


# ---- what is typed


def commands(page: Path) -> list[list[str]]:
    """The words of every command in a page's blocks of shell, without comments."""
    text = "\n".join(blocks(page, "sh")).replace("\\\n", " ")
    lines = [shlex.split(line, comments=True) for line in text.splitlines()]
    found = [[]]
    for line in lines:
        for word in line:
            if word in ("&&", "|", "||"):
                found.append([])
            else:
                found[-1].append(word)
        found.append([])
    return [words for words in found if words]


@pytest.mark.parametrize(
    "page", [p for p in PAGES if p.name != "cli.md"], ids=[n for n in NAMES if "cli.md" not in n]
)
def test_every_command_has_the_arguments_that_the_programs_take(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for words in commands(page):
        if words[0] == "ssl_ood" and "--help" not in words and not any("[" in w for w in words):
            make_parser().parse_args(words[1:])
        if words[0] == "make":
            assert [w for w in words[1:] if "=" not in w and w not in targets] == []


# ---- examples


def test_the_score_of_the_page_on_extending_is_what_it_says(tmp_path):
    (code,) = blocks(ROOT / "docs/extend.md", "python")
    (tmp_path / "mine.py").write_text(code)
    declare_everything([str(tmp_path / "mine.py")])
    rng = np.random.default_rng(0)
    test, train = rng.standard_normal((5, 3)), rng.standard_normal((7, 3))
    scores = lookup("score", "nearest").load()(torch.tensor(test), torch.tensor(train))
    slow = [min(np.linalg.norm(a - b) for b in train) for a in test]
    np.testing.assert_allclose(scores, slow, rtol=1e-12)


def test_the_examples_of_config_are_yaml():
    examples = [yaml.safe_load(block) for page in PAGES for block in blocks(page, "yaml")]
    assert len(examples) >= 4 and all(isinstance(example, dict) for example in examples)
