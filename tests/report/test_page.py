"""report.html: one file that needs nothing else, whose numbers lead to where they come from."""

from __future__ import annotations

import base64
import csv
import io
import re
import shutil

import numpy as np
import pytest
from support.browser import Page, in_a_browser, refuse_other_addresses
from support.made_tables import LEFT, Study, made_of
from support.situations import ssl_ood
from support.small_results import RUN

from ssl_ood.common.errors import UserError
from ssl_ood.common.files import write_json
from ssl_ood.report.page import write
from ssl_ood.report.page.graph import drawn
from ssl_ood.report.page.pictures import embedded
from ssl_ood.report.page.write import write_report


@pytest.fixture(scope="module")
def page_of(small, tmp_path_factory):
    """The small study with its tables and figures, and its page."""
    folder = tmp_path_factory.mktemp("report")
    shutil.copytree(small.folder, folder / "study")
    study = made_of(Study(folder / "study"))
    return study, write_report(study.experiments(), study.results / "report.html")


def test_the_page_needs_nothing_else_and_can_be_sent(page_of):
    page = Page(page_of[1])
    refuse_other_addresses(page)
    assert page_of[1].stat().st_size < 10_000_000
    files = [a["href"] for a in page.all("a") if not a["href"].startswith(("#", "data:"))]
    assert files and all((page_of[1].parent / file).is_file() for file in files)


def test_it_says_what_was_asked_measured_and_left_out(page_of):
    study, path = page_of
    text = " ".join(Page(path).text.split())
    for said in (
        "trained without a single label", "not a medical device", "The data are not those of the",
        "What was measured on what", " systems ", f"{LEFT} is not made", "no training",
        "commit", "The claims of chapter 6", "cue", "<evaluate>",
    ):  # fmt: skip
        assert said in text, said
    titles = [a["id"] for a in Page(path).all("h2")]
    assert titles == ["findings", "tables", "figures", "negatives", "protocol", "claims",
                      "shortcuts", "coverage", "runs", "images", "jobs"]  # fmt: skip
    assert study.results.as_posix() not in Page(path).source  # no path of this machine


def test_every_measured_cell_leads_to_its_row_and_its_run(page_of):
    """From the cell to its entry, from there to the measurements, whose mean it is."""
    study, path = page_of
    page = Page(path)
    source = page.source
    name = "table_negative_sampling"
    with open(study.results / f"tables/{name}.csv", encoding="utf-8", newline="") as file:
        records = list(csv.DictReader(file))
    element = source[source.index(f'<article id="{name}">') :].split("</article>")[0]
    links = re.findall(rf'<a href="#{name}-(\d+)">(?:<b>)?([\d.]+)', element.split("</table>")[0])
    assert len(links) == len(records) > 4
    for row, printed in links:
        entry = re.search(rf'<li id="{name}-{row}">.*?</li>', element, re.S)[0]
        assert f"<b>{records[int(row)]['measured']} %</b>" in entry
        value, place = re.search(r'([\d.]+) in <a href="#([^"]*)"', entry).groups()
        assert abs(100 * float(value) - float(records[int(row)]["measured"])) < 1e-9
        assert f"{100 * float(value):.2f}" == printed
        cells = re.search(rf'<tr id="{re.escape(place)}">.*?</tr>', source, re.S)[0]
        assert f">{value}<" in cells


def test_a_run_s_settings_images_and_commit_stand_on_the_page(page_of):
    import json

    study, path = page_of
    source = Page(path).source
    told = json.loads((study.results / f"runs/{RUN}/train.json").read_text())
    details = source[source.index(f'<details id="run-{RUN}">') :]
    details = details[: details.index("<details id=", 1)]
    for checksum in (told["weights_sha256"], *told["datasets"].values()):
        assert checksum in details
    assert told["versions"]["commit"] in details
    settings = json.loads((study.results / f"runs/{RUN}/config.json").read_text())
    shown = re.search(r"<pre>(.*?)</pre>", details, re.S)[1]
    assert json.loads(shown.replace("&#34;", '"')) == settings


def test_a_table_travels_with_the_page(page_of):
    study, path = page_of
    (link,) = [a for a in Page(path).all("a") if a.get("download") == "table_quality.csv"]
    content = base64.b64decode(link["href"].split("base64,")[1])
    assert content == (study.results / "tables/table_quality.csv").read_bytes()


def test_a_table_that_is_not_of_its_measurements_makes_no_page(page_of, tmp_path):
    study = Study(tmp_path / "study")
    shutil.copytree(page_of[0].folder, study.folder)
    path = study.results / "tables/table_quality.csv"
    lines = path.read_text().splitlines()
    value = next(csv.DictReader(io.StringIO("\n".join(lines[:2]))))["measured"]
    path.write_text("\n".join([lines[0], lines[1].replace(value, "12.5"), *lines[2:]]) + "\n")
    with pytest.raises(UserError, match=r"table_quality says 12.5 where its measurements say"):
        write_report(study.experiments(), tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_a_page_that_would_be_too_large_leaves_out_settings_then_is_refused(
    page_of, tmp_path, monkeypatch
):
    study, whole = page_of
    assert "<pre>" in Page(whole).source
    monkeypatch.setattr(write, "FEWEST_BYTES", 10**9)
    path = write_report(study.experiments(), tmp_path / "report.html")
    assert "<pre>" not in Page(path).source
    monkeypatch.setattr(write, "MOST_BYTES", 50_000)
    with pytest.raises(UserError, match="too large to send: make it with a config of fewer"):
        write_report(study.experiments(), tmp_path / "other.html")
    assert not (tmp_path / "other.html").exists()


def test_a_results_folder_without_tables_makes_no_page(small, tmp_path):
    with pytest.raises(UserError, match="has no table and no figure: make them"):
        write_report(small.experiments(), tmp_path / "report.html")


def test_pictures_shrink_until_they_fit(tmp_path):
    from PIL import Image

    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (600, 800, 3), np.uint8)).save(path)
    large = embedded(paths, 10**8)
    assert {(w, h) for _, w, h in large.values()} == {(800, 600)}
    small = embedded(paths, budget=600_000)
    assert sum(len(address) for address, _, _ in small.values()) <= 600_000
    ((width, height),) = {(w, h) for _, w, h in small.values()}  # the same of all
    assert width < 800 and height == round(0.75 * width)


def test_the_graph_has_a_box_for_each_rule_and_no_edge_that_others_imply():
    rules = {"fetch": 2, "pack": 3, "train": 1, "table <x>": 4}
    edges = [("fetch", "pack"), ("pack", "train"), ("pack", "table <x>"), ("train", "table <x>")]
    svg = drawn(rules, [*edges, ("train", "train")])
    assert svg.count("<rect") == 4 and svg.count("<path") == 3
    assert "table &lt;x&gt;" in svg and "2 jobs" in svg and "1 job<" in svg
    tops = [int(y) for y in re.findall(r'<rect x="\d+" y="(\d+)"', svg)]
    assert tops == sorted(set(tops))  # each below the one that it needs
    with pytest.raises(ValueError, match="cycle"):
        drawn({"a": 1, "b": 1}, [("a", "b"), ("b", "a")])


STEPS = """
  const numbers = (table) => [...table.tBodies].map((body) => [...body.rows].map((row) =>
    row.cells[1].dataset.value));
  const table = document.querySelector("#table_quality table");
  told.before = numbers(table);
  const title = table.tHead.rows[table.tHead.rows.length - 1].cells[1];
  title.querySelector("button").click(); told.up = numbers(table);
  title.querySelector("button").click(); told.down = numbers(table);
  told.sorted = title.getAttribute("aria-sort");
  const links = [...document.querySelectorAll('a[href^="#"]')];
  told.lost = links.filter((a) => !document.getElementById(decodeURIComponent(a.hash.slice(1))))
    .map((a) => a.hash);
  told.links = links.length;
  const wait = () => new Promise((resolve) => setTimeout(resolve, 50));
  document.querySelector("#table_quality td a").click(); await wait();
  told.first = location.hash;
  const entry = document.querySelector(location.hash);
  told.opened = entry.closest("details").open;
  entry.querySelector("a").click(); await wait();
  const row = document.getElementById(location.hash.slice(1));
  told.row = row.tagName; told.run = row.closest("details").open;
  const dialog = document.querySelector("dialog");
  const picture = document.querySelector(".enlarge");
  picture.click();
  told.large = dialog.open && dialog.querySelector("img").src === picture.querySelector("img").src;
  dialog.querySelector("button").click();
  told.closed = !dialog.open;
"""


@pytest.mark.parametrize("width", [1280, 390])
def test_in_a_browser_it_sorts_leads_and_enlarges(page_of, tmp_path, width):
    told = in_a_browser(page_of[1], width, STEPS, tmp_path)
    assert told["faults"] == [] and told["broken"] == 0 and told["images"] > 3
    assert told["lost"] == [] and told["links"] > 50
    for before, up, down in zip(told["before"], told["up"], told["down"], strict=True):
        key = lambda text: float(text or "inf")  # noqa: E731
        assert sorted(map(key, before)) == [key(t) for t in up]
        assert [t for t in down if t] == [t for t in up if t][::-1]
    assert told["sorted"] == "descending"
    assert re.fullmatch(r"#table_quality-\d+", told["first"]) and told["opened"]
    assert told["row"] == "TR" and told["run"]
    assert told["large"] and told["closed"]
    assert told["wide"] <= 0  # nothing sticks out: only tables scroll


def test_the_command_line_ends_with_the_page(page_of, tmp_path):
    study = page_of[0]
    write_json(tmp_path / "config.json", study.config)
    output = tmp_path / "sent.html"
    said = ssl_ood("report", "--configfile", "config.json", "--output", output, folder=tmp_path)
    assert (said.code, said.out) == (0, f"{output}\n"), said.err
    assert "<title>" in output.read_text(encoding="utf-8")
