"""Tables as other programs save them: with a byte order mark, in Latin-1, with semicolons."""

from __future__ import annotations

import pytest
from support.situations import zipped

from ssl_ood.common.csv_files import rows_of
from ssl_ood.common.errors import UserError
from ssl_ood.datasets.archives import find
from ssl_ood.datasets.readers_medical import _rows
from ssl_ood.report.reported import PRINTED, read_reported

TEXT = "name,value\nHäufung,1\n"
ROWS = [{"name": "Häufung", "value": "1"}]


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        TEXT.encode("utf-8-sig"),
        TEXT.replace("\n", "\r\n").encode(),
        TEXT.encode() + b"\n\n",
        b'name,value\n"H\xc3\xa4ufung","1"\n',
    ],
    ids=["plain", "byte order mark", "Windows", "empty lines", "quotes"],
)
def test_what_is_read(content):
    assert rows_of(content, "a.csv", ("name", "value")) == ROWS


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (TEXT.encode("latin-1"), "is not UTF-8 [(]byte 12[)]: save it as CSV in UTF-8"),
        (TEXT.encode("utf-16"), "is not UTF-8"),
        (TEXT.replace(",", ";").encode(), "has no column 'name'.* not separated by commas"),
        (b"", "has no column 'name', only nothing"),
        (b"name,value\na\n", "row 1 has not the 2 columns"),
        (b"name,value\na,1\nb,1,2\n", "row 2 has not the 2 columns"),
        (b'name,value\n"a,1\n', "is not a line of a csv"),
        (b"name,value\n" + b"a" * 200_000 + b",1\n", "is not a line of a csv"),
    ],
    ids=["Latin-1", "UTF-16", "semicolons", "empty", "short", "long", "quote", "field"],
)
def test_what_is_refused(content, words):
    with pytest.raises(UserError, match=f"^a.csv.*{words}"):
        rows_of(content, "a.csv", ("name", "value"))


def test_a_table_in_an_archive_is_named_with_it(tmp_path):
    """A byte that is not UTF-8 stays what it is, as in the names of the archive's files."""
    tables = {"old.csv": "Path\nä.png\n".encode("latin-1"), "mine.csv": b"Path;Age\na.png;3\n"}
    archive = zipped(tmp_path / "toy.zip", tables)
    files = find(archive, list(tables))
    assert _rows(archive, "old.csv", files, ("Path",)) == [{"Path": "\udce4.png"}]
    with pytest.raises(UserError, match=r"toy.zip: mine.csv has no column 'Path'"):
        _rows(archive, "mine.csv", files, ("Path",))


@pytest.mark.parametrize(
    ("value", "encoding", "words"),
    [("94,2", "utf-8", "columns"), ('"94,2"', "utf-8", "not a number"), ("ä", "latin-1", "UTF-8")],
)
def test_reported_values_of_another_hand(tmp_path, value, encoding, words):
    row = f"table_6_1,a,b,none,base,auroc,,percent,{value},"
    path = tmp_path / "mine.csv"
    path.write_text(f"{','.join(PRINTED)}\n{row}\n", encoding=encoding)
    with pytest.raises(UserError, match=f"mine.csv.*{words}"):
        read_reported(tmp_path)
