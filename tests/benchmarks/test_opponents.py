"""Opponents make the views that ours are compared with; those that are not there are named."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

CPU = torch.device("cpu")
ENVS = Path(__file__).parents[2] / "envs"
NAMES = ["torchvision v2", "kornia", "albumentations", "lightly", "DALI"]


@pytest.fixture
def opponent(preset):
    """A function: the opponent of that name; a test of one that is not installed is skipped."""
    from compare.opponents import OPPONENTS

    def find(name):
        found = next(o for o in OPPONENTS if o.name == name)
        if found.version is None:
            pytest.skip(f"{found.package} is not installed: envs/opponents.txt")
        return found

    return find


@pytest.fixture
def arrays(preset):
    from compare.ours import made_up_images

    return [made_up_images(preset.images, preset.config["size"], seed) for seed in (0, 1)]


@pytest.mark.parametrize("name", NAMES)
def test_an_opponent_makes_as_many_views_of_the_same_sizes(name, opponent, preset, arrays):
    from compare.ours import Ours

    ours = Ours(preset, arrays, CPU)
    batches = opponent(name).load().batches(preset, arrays, 1, CPU)
    made = next(batches)
    assert torch.is_grad_enabled()
    batches.close()
    for kind, views in zip(("positive", "negative"), made, strict=True):
        expected = [view for size in ours.ready[kind, 0] for view in size]
        assert [v.shape for v in views] == [v.shape for v in expected]
        for view in views:
            assert view.dtype == torch.float32 and torch.isfinite(view).all()
            assert view.std() > 0.1


@pytest.mark.parametrize("name", NAMES)
def test_an_opponent_normalises_as_we_do(name, opponent, preset, arrays):
    """Of images that are all of one grey no colour operation but brightness changes anything."""
    from dataclasses import replace

    plain = {"jitter_p": 0.0, "grey_p": 0.0, "solarize_p": 0.0}
    config = preset.config | {"views": preset.config["views"] | plain}
    grey = [array * 0 + 51 for array in arrays]
    batches = opponent(name).load().batches(replace(preset, config=config), grey, 1, CPU)
    (first, *_), _ = next(batches)
    batches.close()
    mean, std = (torch.tensor(config["views"][k])[:, None, None] for k in ("mean", "std"))
    torch.testing.assert_close(first, ((0.2 - mean) / std).expand_as(first), atol=0.02, rtol=0)


def test_lightlys_step_trains(opponent, preset, arrays):
    from compare.usual import Usual

    module = opponent("lightly").load()
    theirs = Usual(preset, arrays, 1, CPU, make_step=module.make_step)
    before = [p.clone() for p in theirs.step.student.parameters()]
    theirs.steps()
    after = theirs.step.student.parameters()
    assert any((a != b).any() for a, b in zip(after, before, strict=True))


def test_what_is_not_installed_is_named_with_the_command(preset, monkeypatch):
    from compare import against

    def missing(package):
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    found, states = against.measure(preset, NAMES, 1, 1, CPU)
    assert found == [] and set(states) == set(NAMES)
    for state in states.values():
        assert state.startswith("not installed: uv venv") and "envs/opponents.txt" in state


def test_the_opponents_lock_is_hashed_and_leaves_the_base_environment_as_it_is():
    def packages(name):
        text = (ENVS / name).read_text(encoding="utf-8")
        assert "://" not in text
        entries = re.findall(r"^([a-z0-9-]+)==\S+(?: ;[^\\]*)? ?\\\n    --hash", text, re.MULTILINE)
        assert len(entries) == len(re.findall(r"^[a-z0-9]", text, re.MULTILINE))
        return set(entries)

    base, opponents = packages("requirements.txt"), packages("opponents.txt")
    assert not base & opponents
    assert {"kornia", "albumentations", "lightly", "nvidia-dali-cuda130"} <= opponents


@settings(max_examples=20, deadline=None)
@given(st.tuples(*[st.floats(0, 1)] * 4))
def test_without_a_coin_as_many_views_are_changed(chances):
    from compare.opponents import without_coin

    from ssl_ood.views.spec import ViewSpec

    blur, other_blur, sun, other_sun = chances
    one, other = (ViewSpec(8, (0.4, 1.0), blur_p=b, solarize_p=s)
                  for b, s in ((blur, sun), (other_blur, other_sun)))  # fmt: skip
    from dataclasses import replace

    mean = without_coin(replace(one, other=other))
    assert mean.other is None
    assert mean.blur_p == pytest.approx((blur + other_blur) / 2)
    assert mean.solarize_p == pytest.approx((sun + other_sun) / 2)
    assert without_coin(one) == one


def test_the_processors_clock_counts_the_workers():
    """A child that works for a third of a second, while it runs and once it has ended."""
    from compare import timing

    work = "import time\nwhile time.process_time() < 0.3: pass\nprint(1, flush=True)\ninput()"
    timing.use_clock("processor")
    try:
        before = timing.now(CPU)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        child = subprocess.Popen([sys.executable, "-c", work], **pipes)
        child.stdout.readline()
        running = timing.now(CPU) - before
        child.communicate(b"\n")
        assert 0.25 < running <= timing.now(CPU) - before + 0.02
    finally:
        timing.use_clock("wall")
