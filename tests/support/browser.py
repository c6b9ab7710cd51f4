"""Pages as a reader has them: their tags and text, and a real browser where one is installed."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
    "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr",
    "--virtual-time-budget=20000",  # until which timers run before the page is read
)  # fmt: skip
PROBE = """
<script>
const faults = [];
window.addEventListener("error", (event) => faults.push(event.message));
document.addEventListener("securitypolicyviolation", (event) => faults.push(event.blockedURI));
</script>
"""
STEPS = """
<script>
window.addEventListener("load", async () => {
  const told = {};
  %s
  told.broken = [...document.images].filter((image) => image.src && !image.naturalWidth).length;
  told.images = document.images.length;
  told.wide = document.documentElement.scrollWidth - window.innerWidth;
  told.faults = faults;
  document.body.textContent = "TOLD" + btoa(JSON.stringify(told)) + "END";
});
</script>
"""


class Page(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags, self.text, self.source = [], "", path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def refuse_other_addresses(page: Page) -> None:
    """Asserts that a page needs nothing but itself: no request is made, whatever is pressed."""
    (policy,) = [m for m in page.all("meta") if "http-equiv" in m]
    assert "default-src 'none'" in policy["content"]
    assert all(i["src"].startswith("data:image/") for i in page.all("img") if "src" in i)
    assert not page.all("link") and not any("src" in script for script in page.all("script"))
    assert re.findall(r"https?://", page.source) == []
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    inside = [a["href"][1:] for a in page.all("a") if a["href"].startswith("#")]
    assert inside and set(inside) <= set(ids)


def in_a_browser(path: Path, width: int, steps: str, folder: Path) -> dict[str, Any]:
    """What JavaScript tells of a page in a browser of a width in pixels, in `told`.

    Besides what the steps put there: faults, broken, images, and wide, by how many pixels the page
    is too wide. Asserts that the console stays empty; skips the test where there is no browser.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"no browser here: none of {', '.join(BROWSERS)} is installed")
    head, rest = path.read_text(encoding="utf-8").split("<title>", 1)
    probed = folder / f"probed-{width}.html"
    end = (STEPS % steps) + "</body>"
    probed.write_text(head + PROBE + "<title>" + rest.replace("</body>", end), "utf-8")
    done = subprocess.run(
        [browser, *OPTIONS, f"--window-size={width},900",
         f"--user-data-dir={folder}/profile-{width}", "--dump-dom", probed.as_uri()],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr
    return json.loads(base64.b64decode(re.search("TOLD(.*?)END", done.stdout)[1]))
