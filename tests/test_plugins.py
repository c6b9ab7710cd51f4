"""Plugins: things that a config declares from outside the clone."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from ssl_ood.common import registry
from ssl_ood.common.errors import UserError
from ssl_ood.declarations import declare_everything
from ssl_ood.study.read import plugins_of


def test_a_plugin_that_cannot_be_imported_is_one_sentence(tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("1 / 0")
    for name, reason in (
        ("no_such_module", "No module named 'no_such_module'"),
        (str(broken), "ZeroDivisionError: division by zero"),
        (str(tmp_path / "nowhere.py"), "there is no file"),
    ):
        with pytest.raises(UserError, match=r"config: plugins: .* cannot be imported") as caught:
            declare_everything([name])
        assert reason in str(caught.value)


def test_a_plugin_may_not_take_the_name_of_another_thing(tmp_path):
    plugin = tmp_path / "rival.py"
    plugin.write_text(
        "from ssl_ood.common.registry import register\n"
        "@register('score', 'mahalanobis', title='t', needs={'features'})\n"
        "def mine(test, train): ...\n"
    )
    with pytest.raises(
        UserError, match=r"'mahalanobis' is declared in ssl_ood.* and again in rival"
    ):
        declare_everything([str(plugin)])
    assert registry.lookup("score", "mahalanobis").module == "ssl_ood.evaluation.scores.mahalanobis"


def test_a_plugin_file_is_named_by_its_whole_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = {"plugins": ["mine.py", "a.module"]}
    assert plugins_of(config) == [str(tmp_path / "mine.py"), "a.module"]


def test_list_shows_what_a_config_s_plugins_declare(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from ssl_ood.common.registry import register\n"
        "@register('score', 'brightness', title='bright', notes='how', needs={'images'})\n"
        "def brightness(model, images): ...\n"
    )
    (tmp_path / "config.yaml").write_text("plugins: [mine.py]\n")
    command = [sys.executable, "-m", "ssl_ood", "list"]
    said = subprocess.run(
        [*command, "score"], cwd=tmp_path, text=True, check=True, capture_output=True
    ).stdout
    assert re.search(r"brightness +bright: how", said) and "mahalanobis" in said
    done = subprocess.run([*command, "scores"], cwd=tmp_path, text=True, capture_output=True)
    assert done.returncode == 2
    assert done.stderr == "ssl_ood list: unknown kind 'scores'; did you mean 'score'?\n"
