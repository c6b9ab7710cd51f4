"""With the bundles of a study, the workflow makes its tables without an image and without a GPU."""

from __future__ import annotations

import csv
import json

import pytest
import yaml
from support.configs import ROOT
from support.situations import snakemake, ssl_ood
from support.small_results import BASELINE, FIGURES, PLAIN, RUN, RUNS, TABLES

from ssl_ood.common.errors import UserError
from ssl_ood.common.hashing import sha256_of
from ssl_ood.common.proofs import sealed
from ssl_ood.evaluation.bundles.unbundle import unbundle
from ssl_ood.report.make import Files, make_figure, make_table
from ssl_ood.study.bundled import older_code
from ssl_ood.study.costs import describe_plan
from ssl_ood.study.gaps import find_gaps, thawed, used_sets


@pytest.fixture(scope="module")
def there(small, tmp_path_factory):
    """The study on another machine: its config and the bundles of its runs, no image."""
    folder = tmp_path_factory.mktemp("elsewhere")
    there = small.elsewhere(folder / "study")
    for run in RUNS:
        unbundle(small.bundle(folder / f"{run}.zip", run), there.results)
    return there


@pytest.fixture
def copy(small, tmp_path):
    """The same with one run only, to be altered."""
    there = small.elsewhere(tmp_path / "study")
    unbundle(small.bundle(tmp_path / "one.zip"), there.results)
    return there


def made(study, name, folder):
    """A table or figure as the workflow would make it of what is there; its csv."""
    gaps = find_gaps(study.experiments())
    target = gaps.experiments.targets[name]
    runs = gaps.runs(target.runs)
    files = Files(
        [study.results / "measurements" / f"{run.id}.parquet" for run in runs],
        [study.results / "scores" / f"{run.id}.parquet" for run in runs],
        [study.results / "shortcuts" / f"{p.name}.parquet" for p in gaps.pairs(target.pairs)],
        [study.results / "data" / s.path for s in gaps.there(target.in_distribution)],
        study.results / "data",
        ROOT / "resources" / "reported",
    )
    make = make_table if target.kind == "table" else make_figure
    folder.mkdir(exist_ok=True)
    make(gaps.spec(name), files, folder / name)
    return (folder / f"{name}.csv").read_text()


# ---- what is made


def test_snakemake_plans_tables_and_figures_alone_and_makes_them(there, small, tmp_path, planned):
    """Nothing is trained, evaluated, fetched or packed; the cells are the other machine's."""
    options = ("-s", ROOT / "Snakefile")
    said = snakemake("all", "-n", "--quiet", "rules", *options, folder=there.folder)
    jobs = planned(said.text)
    expected = {"table": len(TABLES), "figure": len(FIGURES), "write_costs": 1, "all": 1}
    total = sum(expected.values())
    assert said.code == 0 and jobs == expected | {"total": total}, said.text
    said = snakemake("table_quality", *options, folder=there.folder)
    assert said.code == 0, said.text[-3000:]
    with open(there.results / "tables" / "table_quality.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sum(row["measured"] != "" for row in rows) > 10
    ours = made(small, "table_quality", tmp_path / "here")
    assert (there.results / "tables" / "table_quality.csv").read_text() == ours
    assert not (there.results / "data").exists() and not (there.results / "archives").exists()


@pytest.mark.parametrize("name", [*TABLES, "figure_score_distributions"])
def test_every_number_is_the_same_to_the_last_digit(there, small, tmp_path, name):
    theirs = made(there, name, tmp_path / "there")
    assert theirs == made(small, name, tmp_path / "here")
    assert theirs.count("\n") > 3


@pytest.mark.parametrize("name", ["figure_negatives", "figure_views", "figure_color_histograms"])
def test_a_figure_of_images_says_that_there_are_none(there, small, tmp_path, name):
    gaps = find_gaps(there.experiments())
    told = gaps.spec(name)["gaps"]
    assert any(text.startswith("Shapes: shapes.zip is not there.") for text in told)
    assert made(there, name, tmp_path / "there").count("\n") <= 1
    assert made(small, name, tmp_path / "here").count("\n") > 1
    assert "gaps" not in find_gaps(small.experiments()).spec(name)


def test_a_plan_asks_for_no_training_and_no_data(there):
    said = describe_plan(there.experiments(), ["table_quality"])
    assert said.splitlines()[1].split() == ["table_quality", "2", "0", "0"]
    assert "Not there" not in said and "Datasets that the workflow fetches" not in said


def test_images_that_could_be_fetched_are_not_fetched_for_a_figure(there):
    """Were they wanted by a run that is trained here, they would be."""
    experiments = there.experiments()
    for dataset in experiments.datasets.values():
        object.__setattr__(dataset, "access", "free")
    gaps = find_gaps(experiments)
    told = gaps.spec("figure_views")["gaps"]
    assert any("`snakemake " in text and "/meta.json` fetches it" in text for text in told)
    assert not gaps.of(experiments.targets["table_quality"]) and not used_sets(experiments, gaps)


def test_what_needs_no_learning_came_along_and_counts_as_made(there, small, tmp_path):
    experiments = there.experiments()
    gaps, (pairs,) = find_gaps(experiments), experiments.pairs.values()
    assert gaps.brought == {pairs.name: tuple(s.path for s in pairs.sets)}
    assert find_gaps(there.experiments(strict=True)).brought == gaps.brought
    assert thawed(experiments, gaps.frozen()) == gaps and used_sets(experiments, gaps) == []
    assert not find_gaps(small.experiments()).brought
    table = made(there, "table_quality", tmp_path / "there")
    shown = [row for row in csv.DictReader(table.splitlines()) if row["system"] == "shortcut"]
    assert shown and any(row["measured"] for row in shown)


def test_the_run_of_another_study_beside_it_is_one_that_came_along(there, copy, tmp_path):
    """In the clone with one bundle it waits for its images, and the cells say so."""

    def shown(study, folder):
        table = made(study, "table_baselines", folder)
        rows = csv.DictReader(table.splitlines())
        return [row for row in rows if BASELINE in row["runs"] or row["system"] == "Other"]

    found = shown(there, tmp_path / "there")
    assert found and all(row["measured"] for row in found)
    assert BASELINE in find_gaps(there.experiments()).bundled
    assert not any(row["measured"] for row in shown(copy, tmp_path / "copy"))


@pytest.mark.parametrize("alter", ["gone", "another", "of another config"])
def test_only_what_a_bundle_brought_counts_as_made(copy, alter):
    (pairs,) = copy.experiments().pairs.values()
    rows = copy.results / "shortcuts" / f"{pairs.name}.parquet"
    config = rows.with_suffix(".json")
    if alter == "gone":
        rows.unlink()
    elif alter == "another":
        rows.write_bytes(rows.read_bytes() + b" ")
    else:
        told = json.loads(config.read_text()) | {"confidence": 0.9}
        config.write_text(json.dumps(told))
        mark = copy.results / "runs" / RUN / "bundle.json"
        manifest = json.loads(mark.read_text())
        (entry,) = (m for m in manifest["members"] if m["name"] == f"shortcuts/{config.name}")
        entry["sha256"] = sha256_of(config)
        mark.write_text(json.dumps(sealed(manifest)))
    experiments = copy.experiments()
    gaps = find_gaps(experiments)
    assert not gaps.brought and gaps.bundled and gaps.pairs(experiments.pairs.values()) == []
    (told,) = gaps.spec("table_quality")["shortcuts"]
    assert told["status"] == "no_data"


def test_a_run_that_came_alone_leaves_the_others_to_be_trained(copy):
    experiments = copy.experiments()
    gaps, runs = find_gaps(experiments), experiments.runs
    assert gaps.bundled == {RUN: ("dots/test-16px",)}
    assert not gaps.before(runs[RUN]) and gaps.before(runs[PLAIN])
    spec = gaps.spec("table_quality")
    assert {r["run"]: r.get("status") for r in spec["runs"]} == {RUN: None, PLAIN: "no_data"}
    assert gaps.made_here(runs.values()) == []
    assert thawed(experiments, gaps.frozen()) == gaps


# ---- what does not fit


def test_a_changed_config_is_told_and_trains_nothing(copy):
    config = yaml.safe_load((copy.folder / "config.yaml").read_text())
    config["methods"]["dino"]["training"]["lr_base"] = 0.5
    (copy.folder / "config.yaml").write_text(yaml.safe_dump(config))
    said = f"{RUN} came as a bundle with another training.lr_base than the config has"
    with pytest.raises(UserError, match=said):
        find_gaps(copy.experiments())
    shown = snakemake("all", "-n", "-s", ROOT / "Snakefile", folder=copy.folder)
    assert shown.is_a_sentence and said in shown.text


@pytest.mark.parametrize(
    ("section", "change", "said"),
    [
        ("evaluation", {"knn": 3}, "another evaluation.knn than"),
        ("evaluation", {"scores": ["cosine_max"]}, "another evaluation.scores than"),
        ("strategies", {"rot_photos": [{"source": "photos"}]}, "another negatives than"),
    ],
)
def test_another_evaluation_or_strategy_is_told(copy, section, change, said):
    config = copy.config
    with pytest.raises(UserError, match=said):
        find_gaps(copy.experiments(**{section: config[section] | change}))


def test_another_ood_set_is_told(copy):
    studies = copy.config["studies"]
    studies["natural"]["in_distribution"]["shapes"]["ood"] = ["dots", "photos"]
    with pytest.raises(UserError, match="another ood than"):
        find_gaps(copy.experiments(studies=studies))


@pytest.mark.parametrize("name", ["measurements/{}.parquet", "runs/{}/model.safetensors"])
def test_a_bundled_run_that_lost_a_file_is_told(copy, name):
    (copy.results / name.format(RUN)).unlink()
    with pytest.raises(UserError, match=r"came as a bundle, and .* of it is gone"):
        find_gaps(copy.experiments())


def test_another_version_of_the_code_is_told(copy):
    experiments = copy.experiments()
    assert older_code(experiments, {RUN}) == ""
    mark = copy.results / "runs" / RUN / "bundle.json"
    told = json.loads(mark.read_text())
    told["code"]["evaluate"] -= 1
    told["code"]["cue brightness"] -= 1
    mark.write_text(json.dumps(sealed(told)))
    assert f"{RUN} came as a bundle" in (said := older_code(experiments, {RUN}))
    assert "(cue brightness, evaluate)" in said


# ---- the command


def test_the_commands_as_typed(small, tmp_path):
    """All runs of a table into a folder, and back: what a person would type."""
    made = ssl_ood(
        "bundle", "--table", "table_quality", "-o", tmp_path / "out", "--results", small.results,
        folder=small.folder,
    )  # fmt: skip
    assert made.code == 0, made.text
    bundles = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in bundles] == [f"{PLAIN}.zip", f"{RUN}.zip"]
    assert made.out.count("manifest ") == 2 and "because of photos" in made.out
    brought = ssl_ood("unbundle", *bundles, "--results", tmp_path / "there", folder=tmp_path)
    assert brought.code == 0 and brought.out.count("is in") == 2, brought.text
    bundles[0].write_bytes(bundles[0].read_bytes()[:-1])
    refused = ssl_ood("unbundle", bundles[0], "--results", tmp_path / "new", folder=tmp_path)
    assert refused.is_a_sentence and refused.code == 2 and not (tmp_path / "new").exists()
