"""Config files: keys that are there twice, and nulls that take nothing away."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ssl_ood.common.errors import UserError
from ssl_ood.study.layers import merge, overridden, read_config, read_layers

ROOT = Path(__file__).parents[2]


@pytest.fixture
def files(tmp_path):
    """A function: writes config files, the first of them below the others."""

    def write(*texts):
        paths = [tmp_path / f"{i}.yaml" for i in range(len(texts))]
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text)
        return paths

    return write


def test_another_backbone_takes_over_no_option_of_the_one_before():
    method = {"training": {"epochs": 3}, "backbone": {"name": "vit", "depth": 2, "rate": 0.1}}
    same = overridden(method, {"backbone": {"name": "vit", "depth": 4}})
    assert same["backbone"] == {"name": "vit", "depth": 4, "rate": 0.1}
    assert overridden(method, {"backbone": {"depth": 4}})["backbone"] == same["backbone"]
    other = overridden(method, {"backbone": {"name": "resnet"}}, {"backbone": {"stem": "cifar"}})
    assert other == {"training": {"epochs": 3}, "backbone": {"name": "resnet", "stem": "cifar"}}
    assert method["backbone"]["depth"] == 2  # left as it was


def test_layers_are_laid_over_each_other(files):
    layers = read_layers(files("a: {b: 1, c: 2}\nd: &x [1]", "a: {c: null, b: 3}\ne: 4"))
    assert merge(*layers) == {"a": {"b": 3, "c": None}, "d": [1], "e": 4}


def test_a_key_that_is_there_twice_is_refused_with_its_line(files):
    (path,) = files("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n")
    with pytest.raises(UserError) as error:
        read_layers([path])
    assert str(error.value) == (
        f"{path}, line 5: the key 'c' is there twice, and only one of the two would count: remove "
        "one."
    )


def test_a_merge_key_may_be_overridden(files):
    (path,) = files("a: &a {b: 1, c: 2}\nd: {<<: *a, b: 3}\n")
    assert read_layers([path])[0]["d"] == {"b": 3, "c": 2}


@pytest.mark.parametrize(
    ("texts", "place"),
    [
        (["a: null"], "a"),
        (["a: {b: 1}", "a: {bb: null}"], "a.bb"),
        (["a: {b: 1}", "a: {b: null}", "a: {b: null}"], "a.b"),
        (["a: 1", "a: {b: null}"], "a.b"),
    ],
)
def test_a_null_that_takes_nothing_away_is_refused_with_its_file(files, texts, place):
    paths = files(*texts)
    with pytest.raises(UserError) as error:
        read_layers(paths)
    assert str(error.value).startswith(
        f"{paths[-1]}: {place} is null, which takes a key away, but no file before it has this key"
    )


@pytest.mark.parametrize("text", ["a: [", "- 1\n", "3", ""])
def test_what_is_no_config_is_a_sentence(files, text):
    with pytest.raises(UserError) as error:
        read_layers(files(text))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("seeds: [1]\nseeds: [2]\n", "line 2: the key 'seeds' is there twice"),
        ("variants: {lambda_3: null}\n", "variants.lambda_3 is null, which takes a key away"),
    ],
)
def test_snakemake_refuses_them_too(tmp_path, text, sentence):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    command = [sys.executable, "-m", "snakemake", "-n", "--configfile", str(path)]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
    assert done.returncode == 1
    assert sentence in done.stdout + done.stderr
    assert "Job stats" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("table_negtive_sampling", "unknown target 'table_negtive_sampling'; did you mean "
         "'table_negative_sampling'?"),
        ("al_tables", "unknown target 'al_tables'; did you mean 'all_tables'?"),
    ],
)  # fmt: skip
def test_a_misspelt_target_gets_the_nearest_name(target, sentence):
    command = [sys.executable, "-m", "snakemake", "-n", "--cores", "1", target]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
    assert done.returncode == 1
    assert sentence in done.stdout + done.stderr
    assert "Job stats" not in done.stdout + done.stderr


@pytest.mark.parametrize("place", ["config.yaml", "config/config.yaml", None])
def test_a_file_that_is_no_whole_config_is_laid_over_the_one_of_the_working_folder(
    tmp_path, monkeypatch, place
):
    """As Snakemake does, in the same places; without one it is that which ships."""
    monkeypatch.chdir(tmp_path)
    if place is not None:
        Path(place).parent.mkdir(exist_ok=True)
        Path(place).write_text("results_dir: here\nseeds: [1]\nmax_corrupt_share: 0.5\n")
    Path("mine.yaml").write_text("seeds: [7]\nmax_corrupt_share: null\n")
    config = read_config(["mine.yaml"])
    shipped = read_layers([ROOT / "config.yaml"])[0]
    below = shipped if place is None else {"results_dir": "here"}
    assert config == {**below, "seeds": [7], "max_corrupt_share": None}


def test_a_whole_config_is_laid_over_nothing(files):
    paths = files("results_dir: here\na: 1", "b: 2")
    assert read_config(paths) == {"results_dir": "here", "a": 1, "b": 2}


def test_a_section_that_comes_back_after_a_null_is_refused(files):
    """Snakemake would merge it with what the null took away."""
    below, null, again = (
        "tables: {t: {baselines: {a: 1}}}",
        "tables: {t: {baselines: null}}",
        "tables: {t: {baselines: {b: 2}}}",
    )
    paths = files(below, null, again)
    with pytest.raises(UserError) as caught:
        read_layers(paths)
    assert str(caught.value) == (
        f"{paths[2]}: tables.t.baselines is a section, but {paths[1]} takes this key away by null: "
        "remove one of the two."
    )
