"""A number's chain: from the cell to the images, each link compared with an independent reading."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import shutil

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from support.made_tables import Study, made_of
from support.situations import ssl_ood
from support.small_results import PLAIN, RUN

from ssl_ood.common.errors import UserError
from ssl_ood.report.chain import Chains
from ssl_ood.report.trace import trace

TABLE, ROW, COLUMN = "table_negative_sampling", "Dots", "rot_photos"


@pytest.fixture(scope="module")
def study(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trace") / "study"
    shutil.copytree(small.folder, folder)
    return made_of(Study(folder))


def copied(study, folder):
    shutil.copytree(study.folder, folder)
    return Study(folder)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_cell_follows_from_the_scores_of_the_images(study):
    """Cell → csv row → measurements → scores of every image → images, none by the code at test."""
    results = study.results
    layout = json.loads((results / f"tables/{TABLE}.json").read_text())
    column = layout["header"].index(COLUMN)
    (line,) = [line for line in layout["rows"] if line[0]["value"] == ROW]
    (index,) = line[column]["of"]
    with open(results / f"tables/{TABLE}.csv", encoding="utf-8", newline="") as file:
        record = list(csv.DictReader(file))[index]
    assert (record["runs"], record["dataset"], record["metric"]) == (RUN, "dots", "auroc")
    assert f"{float(record['measured']):.2f}" == line[column]["value"]

    frame = pd.read_parquet(results / f"measurements/{RUN}.parquet")
    (origin,) = Chains(results).origins(TABLE, record)
    row = frame.loc[origin.row]
    assert (row["metric"], row["dataset"], row["score"]) == ("auroc", "dots", record["score"])
    assert row["temperature"] == float(record["temperature"]) == 0.04
    assert math.isclose(100 * row["value"], float(record["measured"]), rel_tol=1e-12)

    scores = pd.read_parquet(results / f"scores/{RUN}.parquet")
    own = scores[scores["role"] == "test"]["cosine_tau@0.040"].to_numpy()
    out = scores[(scores["role"] == "ood") & (scores["dataset"] == "dots")]["cosine_tau@0.040"]
    auroc = roc_auc_score(np.r_[np.zeros(len(own)), np.ones(len(out))], np.r_[own, out])
    assert math.isclose(auroc, row["value"], rel_tol=1e-12)

    train = json.loads((results / f"runs/{RUN}/train.json").read_text())
    sets = Chains(results).image_sets(RUN)
    assert {"shapes/train-16px", "shapes/test-16px", "dots/test-16px", "photos/train-16px"} == {
        *sets
    }
    for path, checksums in sets.items():
        meta = json.loads((results / f"data/{path}/meta.json").read_text())
        assert checksums["images"] == meta["images_sha256"]
        assert checksums["images"] == sha256(results / f"data/{path}/images.npy")
    assert train["datasets"].items() <= {p: c["images"] for p, c in sets.items()}.items()


def test_the_command_computes_and_compares_each_link(study):
    lines = list(trace(study.results, TABLE, ROW, COLUMN))
    text = "\n".join(lines)
    frame = pd.read_parquet(study.results / f"measurements/{RUN}.parquet")
    weights = sha256(study.results / f"runs/{RUN}/model.safetensors")
    assert lines[0].startswith(f"{TABLE}, {ROW}, {COLUMN}: ")
    assert f"model.safetensors: SHA-256 {weights}, equal" in text
    value = float(text.split("auroc ")[1].split()[0])
    assert value in set(frame["value"])
    assert f"computed again from scores/{RUN}.parquet: {value!r}, equal" in text
    assert text.count("images.npy: SHA-256") == 4 == text.count("px/images.npy")
    assert "commit " in text and PLAIN not in text


def test_a_file_that_is_gone_is_told_and_one_that_differs_ends_the_chain(study, tmp_path):
    other = copied(study, tmp_path / "other")
    images = other.results / "data/dots/test-16px/images.npy"
    images.unlink()
    assert any("dots/test-16px/images.npy" in x and x.endswith("not there")
               for x in trace(other.results, TABLE, ROW, COLUMN))  # fmt: skip
    images.write_bytes(b"others")
    with pytest.raises(UserError, match="is not the file that the run had"):
        list(trace(other.results, TABLE, ROW, COLUMN))


def test_a_score_that_was_changed_ends_the_chain(study, tmp_path):
    import pyarrow.parquet as pq

    other = copied(study, tmp_path / "other")
    path = other.results / f"scores/{RUN}.parquet"
    table = pq.read_table(path)
    changed = table.to_pandas().assign(**{"cosine_tau@0.040": 1.0})
    pq.write_table(table.from_pandas(changed, table.schema), path)
    with pytest.raises(UserError, match="damaged"):
        list(trace(other.results, TABLE, ROW, COLUMN))


@pytest.mark.parametrize(
    ("row", "column", "sentence"),
    [
        ("Dot", COLUMN, "unknown row of table_negative_sampling 'Dot'; did you mean 'Dots'"),
        (ROW, "rot", "unknown column of table_negative_sampling 'rot'"),
        (ROW, "OOD set", "shows no number"),
    ],
)
def test_a_place_that_is_not_there_is_refused(study, row, column, sentence):
    with pytest.raises(UserError, match=sentence):
        list(trace(study.results, TABLE, row, column))


def test_as_typed_from_anywhere(study, tmp_path):
    path = study.results / f"tables/{TABLE}.csv"
    said = ssl_ood("trace", path, ROW, COLUMN, folder=tmp_path)
    assert said.code == 0 and said.out.count(", equal\n") == 6, said.err
    said = ssl_ood("trace", "table_none", ROW, COLUMN, folder=tmp_path)
    assert said.is_a_sentence and "There is no table results/tables/table_none.json" in said.err
