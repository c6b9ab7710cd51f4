"""Values that mean nothing, at every number of the study's config and the demo's, and in YAML."""

from __future__ import annotations

import copy
import math
from functools import cache
from itertools import cycle

import pytest
from support.configs import DEMO, THESIS

from ssl_ood.common.errors import UserError
from ssl_ood.study import read
from ssl_ood.study.layers import parse_config, read_layers
from ssl_ood.study.read import read_study

CONFIGS = {"thesis": THESIS, "demo": DEMO}
# A sweep that divided by zero, a decimal comma, a missing value, an empty cell.
MEAN_NOTHING = (math.inf, -math.inf, "8,0e-3", "", [], {}, True, -1e30, 10**400, " 1", ".nan")


def numbers(value, path=()):
    """The paths of keys to all numbers in nested dictionaries and lists."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, below in items:
            yield from numbers(below, (*path, key))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path


def changed(config, path, value):
    """The config with `value` in place of what is at `path`."""
    new = copy.deepcopy(config)
    place = new
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return new


@pytest.fixture(autouse=True)
def _one_catalogue(monkeypatch):
    """It is read once, not for every value."""
    once = cache(read.load_catalogues)
    monkeypatch.setattr(read, "load_catalogues", lambda paths, _: once(tuple(map(str, paths))))


def refused(config) -> str:
    """The sentence that refuses a config; "" where it is taken."""
    try:
        read_study(config)
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", CONFIGS)
def test_every_number_refuses_what_is_none(name):
    """NaN everywhere, and by turns everything else that is written in place of a number."""
    config, others = CONFIGS[name], cycle(MEAN_NOTHING)
    paths = list(numbers(config))
    assert len(paths) > 150
    for path in paths:
        for value in (math.nan, next(others)):
            sentence = refused(changed(config, path, value))
            assert sentence and "\n" not in sentence, (path, value)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_whole_number_is_written_without_a_point(name):
    """`seeds: [1.0]` and `epochs: 500.0` are not `[1]` and `500`."""
    paths = [path for path in numbers(CONFIGS[name]) if isinstance(at(CONFIGS[name], path), int)]
    shares = {"rotation", "checkpoint_minutes", "images_per_second"}  # numbers that happen to be
    for path in paths:
        if path[-1] not in shares:
            value = float(at(CONFIGS[name], path))
            sentence = refused(changed(CONFIGS[name], path, value))
            assert "number" in sentence and str(value) in sentence, path


def at(config, path):
    for key in path:
        config = config[key]
    return config


BACKBONE = ("methods", "moco", "backbone")
VIEWS = ("methods", "dino", "views")
WRONG = {
    "means of 0 to 255": ((*VIEWS, "mean"), [123.7, 116.3, 103.5], "divide it by 255"),
    "scales reversed": ((*VIEWS, "global_scale"), [1.0, 0.4], "swap the two"),
    "a scale above 1": ((*VIEWS, "local_scale"), [0.05, 4.0], "1 at most"),
    "a rate below 0": ((*BACKBONE, "drop_path_rate"), -0.1, "a number from 0 on and below 1"),
    "no rate": ((*BACKBONE, "drop_path_rate"), [], "a number from 0 on and below 1"),
    "NaN in a list of timm": ((*BACKBONE, "channels"), [4, math.nan], "write a finite number"),
    "an empty list of timm": ((*BACKBONE, "layers"), [], "a list of whole numbers"),
    "a number for a list": ((*BACKBONE, "layers"), 2, "a list of whole numbers"),
    "yes for true": ((*BACKBONE, "zero_init_last"), "yes", "true or false"),
    "a name with a newline": ((*BACKBONE, "name"), "resnet18\n", "methods.moco.backbone.name"),
    "an image that no memory holds": (("studies", "natural", "size"), 2**20, "8192"),
    "a seed twice": (("tables", "table_batch_size", "seeds"), [0, 0], "there twice"),
    "no seed": (("tables", "table_batch_size", "seeds"), [], "at least 1"),
    "a strategy twice": (("tables", "table_rsna", "strategies"), ["none"] * 2, "there twice"),
    "a temperature twice": (("evaluation", "taus"), [0.04, 0.04], "there twice"),
    "a score twice": (("evaluation", "scores"), ["cosine_tau"] * 2, "there twice"),
    "a form without a name": (("tables", "table_rsna", "form"), "", "tables.table_rsna.form"),
    "a folder without a name": (("archive_dirs",), [""], "archive_dirs"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_meant_is_told_where_it_stands(what):
    path, value, words = WRONG[what]
    sentence = refused(changed(DEMO, path, value))
    assert sentence.startswith("config: ") and words in sentence


def test_a_title_that_is_a_number_stays_text():
    path = ("titles", "variants", "base")
    study = read_study(changed(DEMO, path, "0.50"))
    assert study.config.titles.variants["base"] == "0.50"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("execution: {max_minutes: 24:00}", "line 1: YAML takes 24:00 for a number to the base"),
        ("a: 1\nseeds: [0, 010]", "line 2: YAML takes 010"),
        ("a: {b: 1, b: 2}", "'b' is there twice"),
        ("? [a, b]\n: 1", "not valid YAML"),
        ("a: &a [1, *a]", "not valid YAML"),
        ("a: " + "9" * 5000, "not valid YAML"),
        ("a: " + "[" * 2000, "not valid YAML"),
    ],
    ids=["base 60", "base 8", "twice", "a key that is a list", "itself", "digits", "depth"],
)
def test_what_yaml_would_read_otherwise_than_meant_is_refused(text, words):
    with pytest.raises(UserError, match=words):
        parse_config(text, "mine.yaml")


def test_usual_numbers_are_read():
    text = "a: [0, 0.5, -0.5, 8.0e-3, 1_000, 100, '010', 0x10]"
    assert parse_config(text, "mine.yaml") == {"a": [0, 0.5, -0.5, 8e-3, 1000, 100, "010", 16]}


@pytest.mark.parametrize(("encoding", "taken"), [("utf-8-sig", True), ("latin-1", False)])
def test_a_config_of_another_editor(tmp_path, encoding, taken):
    """A byte order mark is passed over; an encoding that is not UTF-8 is a sentence."""
    path = tmp_path / "mine.yaml"
    path.write_text("titles: {variants: {base: größer}}", encoding=encoding)
    if taken:
        assert read_layers([path]) == [{"titles": {"variants": {"base": "größer"}}}]
    else:
        with pytest.raises(UserError, match="is not UTF-8"):
            read_layers([path])


def test_a_null_that_takes_nothing_away(tmp_path):
    """`variants: {batch_265: null}` was to take batch_256 away."""
    over = tmp_path / "over.yaml"
    over.write_text("variants: {batch_265: null}")
    with pytest.raises(UserError, match="did you mean 'batch_256'"):
        read_layers(["config.yaml", over])
