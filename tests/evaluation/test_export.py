"""Numbers of runs as plain parquet, and the dictionary that says what they are."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from support.situations import ssl_ood
from support.small_results import PLAIN, RUN, RUNS

from ssl_ood.common.errors import UserError
from ssl_ood.evaluation.dictionary import METRICS
from ssl_ood.evaluation.export import export_runs
from ssl_ood.evaluation.measure import OF_OOD, SOFT_CLASSES


@pytest.fixture(scope="module")
def exported(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    export_runs(small.results, [RUN, PLAIN], folder)
    return folder


def test_every_number_of_a_run_is_there(small, exported):
    for kind in ("scores", "measurements"):
        ours = pd.read_parquet(small.results / kind / f"{RUN}.parquet")
        pd.testing.assert_frame_equal(pd.read_parquet(exported / RUN / f"{kind}.parquet"), ours)
    names = {path.stem for path in (exported / RUN / "features").iterdir()}
    assert names == {"shapes-train", "shapes-test", "dots-test"}
    for name in names:
        found = pd.read_parquet(exported / RUN / "features" / f"{name}.parquet")
        ours = np.load(small.results / "features" / RUN / f"{name}.npy")
        np.testing.assert_array_equal(np.stack(found.features), ours)
        np.testing.assert_array_equal(found["index"], np.arange(len(ours)))


def test_every_column_is_described_and_holds_what_is_said(exported):
    package = json.loads((exported / "datapackage.json").read_text())
    page = (exported / "README.md").read_text()
    described = {resource["path"]: resource["schema"] for resource in package["resources"]}
    there = {str(p.relative_to(exported)) for p in exported.rglob("*.parquet")}
    assert described.keys() == there
    for path, schema in described.items():
        table = pq.read_table(exported / path)
        assert [field["name"] for field in schema["fields"]] == table.column_names
        for field in schema["fields"]:
            assert len(field["description"]) > 10 and f"| `{field['name']}` | " in page
            holds_what_is_said(field, table[field["name"]].to_pandas().dropna())


def holds_what_is_said(field, values):
    limits = field.get("constraints", {})
    kind = {"integer": "if", "number": "f", "string": "O", "array": "O"}[field["type"]]
    assert values.empty or values.dtype.kind in kind, field
    if field["type"] == "integer":
        assert (values == values.round()).all()
    if "minimum" in limits:
        assert (values >= limits["minimum"]).all()
    if "enum" in limits:
        assert set(values) <= set(limits["enum"])


def test_every_metric_is_described_with_a_range_that_holds(exported):
    measured = pd.read_parquet(exported / RUN / "measurements.parquet")
    assert {*OF_OOD, *SOFT_CLASSES.values(), *measured.metric} <= METRICS.keys()
    for name, values in measured.dropna(subset="value").groupby("metric").value:
        metric = METRICS[name]
        assert (values >= metric.low).all()
        assert metric.high is None or (values <= metric.high).all()


def test_features_that_are_damaged_are_refused(small, tmp_path):
    there = small.elsewhere(tmp_path / "copy")
    shutil.copytree(small.results, there.results)
    path = there.results / "features" / RUN / "dots-test.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\x07")
    with pytest.raises(UserError, match=r"dots-test.npy are damaged or of another run"):
        export_runs(there.results, [RUN], tmp_path / "out")


def test_the_command_as_typed(small, tmp_path):
    said = ssl_ood("export", "--all", "--results", small.results, "-o", "out", folder=tmp_path)
    assert said.code == 0 and "15 files of 3 runs" in said.out, said.text
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *RUNS, "README.md", "datapackage.json",
    }  # fmt: skip
    said = ssl_ood("export", "-o", "out", folder=tmp_path)
    assert said.is_a_sentence and "name a run" in said.text
