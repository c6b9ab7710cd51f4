"""What `make docs` does besides mkdocs: pages that lie elsewhere, links between them, equations.

The pages are plain markdown whose links hold in the repository, so that they can be read there.
Pages that have to lie at its root or in another folder are taken into the website from there.
"""

from __future__ import annotations

import html
import posixpath
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ELSEWHERE = {  # in the repository → on the website
    "config/README.md": "reference/config.md",
    "results/README.md": "reference/results.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "CODE_OF_CONDUCT.md": "project/code_of_conduct.md",
    "SECURITY.md": "project/security.md",
    "MAINTAINERS.md": "project/maintainers.md",
}
HERE = {site: place for place, site in ELSEWHERE.items()}
LINK = re.compile(r"(?<!\\)\[(?P<text>[^\]\[]*)\]\((?P<target>[^)\s]+)\)")
CODE = re.compile(r"(^```.*?^```[^\n]*$)", re.MULTILINE | re.DOTALL)
EQUATION = re.compile(
    r'<(span|div) class="arithmatex">\s*(?:\\\(|\\\[)(.*?)(?:\\\)|\\\])\s*</\1>', re.DOTALL
)


def on_files(files, config):
    """Adds the pages that lie elsewhere."""
    from mkdocs.structure.files import File

    for place, site in ELSEWHERE.items():
        files.append(File.generated(config, site, abs_src_path=str(ROOT / place)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Turns links that hold in the repository into links that hold on the website."""
    site = page.file.src_uri
    place = HERE.get(site, f"docs/{site}")
    parts = CODE.split(markdown)
    return "".join(p if i % 2 else relinked(p, place, site) for i, p in enumerate(parts))


def relinked(text: str, place: str, site: str) -> str:
    """The text of a page, which lies at `place` in the repository and at `site` on the website.

    A link to what is not a page, such as a module or a folder, becomes its text.
    """

    def link(found: re.Match[str]) -> str:
        target, hash_sign, anchor = found["target"].partition("#")
        if ":" in target or not target:
            return found[0]
        inside = posixpath.normpath(posixpath.join(posixpath.dirname(place), target))
        goal = ELSEWHERE.get(inside, inside.removeprefix("docs/"))
        if goal == inside or (ROOT / inside).is_dir():
            return found["text"]
        relative = posixpath.relpath(goal, posixpath.dirname(site) or ".")
        return f"[{found['text']}]({relative}{hash_sign}{anchor})"

    return LINK.sub(link, text)


def on_page_content(html_text, page, config, files):
    """Equations as MathML, which needs no script and no network."""
    from latex2mathml.converter import convert

    def equation(found: re.Match[str]) -> str:
        display = "block" if found[1] == "div" else "inline"
        return convert(html.unescape(found[2].strip()), display=display)

    return EQUATION.sub(equation, html_text)
