"""The HTML of a table says what the table says, and nothing in it is taken for markup."""

from __future__ import annotations

from html.parser import HTMLParser

from ssl_ood.report.layout import Cell, Table
from ssl_ood.report.writers import write_table


class Cells(HTMLParser):
    """Texts of the cells and notes by tag, and the bold ones."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: dict[str, list[str]] = {"th": [], "td": [], "li": [], "p": [], "b": []}
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag in self.texts:
            self.open.append(tag)
            self.texts[tag].append("")

    def handle_endtag(self, tag):
        if tag in self.texts:
            assert self.open.pop() == tag, "tags are nested wrongly"

    def handle_data(self, data):
        for tag in self.open:
            self.texts[tag][-1] += data


def test_every_cell_caption_and_note_is_in_the_page(tmp_path):
    table = Table(
        name="table_x",
        caption="AUROC <of> A & B",
        header=["OOD set", "None", "Rot."],
        rows=[
            [Cell("x < y"), Cell("90.00"), Cell("91.50", " ± 0.20", bold=True)],
            [Cell("<script>"), Cell("—"), Cell("80.00", aside=True)],
        ],
        records=[{"ood": "x", "measured": 0.9}],
        groups=[("", 1), ("Auxiliary", 2)],
        rules=frozenset({1}),
        notes=["a <b> & c"],
    )
    write_table(table, tmp_path / "table_x")
    page = Cells()
    page.feed((tmp_path / "table_x.html").read_text(encoding="utf-8"))
    assert page.open == []
    assert page.texts["p"] == ["AUROC <of> A & B"]
    assert page.texts["th"] == ["", "Auxiliary", "OOD set", "None", "Rot."]
    assert page.texts["td"] == ["x < y", "90.00", "91.50 ± 0.20", "<script>", "—", "80.00"]
    assert page.texts["b"] == ["91.50"]
    assert page.texts["li"] == ["a <b> & c"]
