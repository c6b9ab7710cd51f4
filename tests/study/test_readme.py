"""The README's recipes, taken literally: what each of them adds to the plan."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from sklearn.neighbors import NearestNeighbors

from ssl_ood.common.registry import lookup
from ssl_ood.declarations import declare_everything

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def quoted(beginning: str) -> dict:
    """The YAML that the README quotes in backticks, from its first word."""
    found = re.search(rf"`({re.escape(beginning)}[^`]*)`", README)
    assert found, f"the README has no recipe that begins with {beginning}"
    return yaml.safe_load(" ".join(found[1].split()))


@pytest.fixture(scope="module")
def plugin(tmp_path_factory) -> str:
    """The score of the README as a file."""
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    path = tmp_path_factory.mktemp("readme") / "mine_of_the_readme.py"
    path.write_text(code, encoding="utf-8")
    return str(path)


def test_a_strategy_is_trained_where_a_table_names_it(thesis, load):
    before = set(load(thesis).runs)
    thesis["strategies"] |= quoted("half_dti:")
    thesis["tables"]["table_negative_sampling"]["strategies"].append("half_dti")
    assert set(load(thesis).runs) - before == {"natural-cifar10-half_dti-base-seed0"}


def test_seeds_train_each_run_again(thesis, load):
    before = load(thesis).targets["table_ood_auroc"].runs
    thesis |= quoted("seeds:")
    assert len(load(thesis).targets["table_ood_auroc"].runs) == 3 * len(before)


def test_an_ood_set_trains_nothing(thesis, load):
    assert "`studies.natural.in_distribution.cifar10.ood`" in README
    before = load(thesis).runs
    thesis["studies"]["natural"]["in_distribution"]["cifar10"]["ood"].append("fashion_high")
    after = load(thesis).runs
    assert after.keys() == before.keys()
    run = "natural-cifar10-none-base-seed0"
    assert after[run].training_config == before[run].training_config
    assert len(after[run].ood) == len(before[run].ood) + 1


def test_a_variant_is_a_run_of_its_own(thesis, load):
    thesis["variants"] |= quoted("variants:")["variants"]
    thesis["tables"]["table_hyperparameters"]["variants"]["rot_imgn"].append("lambda_4")
    run = load(thesis).runs["natural-cifar10-rot_imgn-lambda_4-seed0"]
    assert run.training_config["training"]["lambda"] == 4.0


def test_a_table_of_any_name_shows_a_score_of_ones_own(thesis, load, plugin):
    declare_everything([plugin])
    thesis["plugins"] = [plugin]
    thesis["evaluation"] |= quoted("evaluation:")["evaluation"]
    (score,) = quoted("score:").values()
    thesis["tables"]["mine"] = {
        "form": "negative_sampling", "study": "natural", "in_distribution": ["cifar10"],
        "strategies": ["none"], "score": score,
    }  # fmt: skip
    target = load(thesis).targets["mine"]
    assert [run.evaluation.scores for run in target.runs] == [("cosine_tau", "knn_distance")]


def test_the_score_is_what_it_says(plugin):
    declare_everything([plugin])
    rng = np.random.default_rng(0)
    test, train = rng.standard_normal((9, 4)), rng.standard_normal((30, 4))
    found = lookup("score", "knn_distance").load()(torch.tensor(test), torch.tensor(train))
    distances, _ = NearestNeighbors(n_neighbors=5).fit(train).kneighbors(test)
    np.testing.assert_allclose(found, distances[:, 4], rtol=1e-6)
