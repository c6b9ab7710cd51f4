"""The benchmark compares like with like, counts right, and runs with one command."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

CPU = torch.device("cpu")


@pytest.fixture
def both(preset):
    from compare.ours import Ours, made_up_images
    from compare.usual import Usual

    arrays = [made_up_images(preset.images, preset.config["size"], seed) for seed in (0, 1)]
    return Ours(preset, arrays, CPU), Usual(preset, arrays, 1, CPU)


def test_both_sides_have_the_same_loss_on_the_same_views(both):
    ours, usual = both
    usual.step.student.load_state_dict(ours.run.method.student.state_dict())
    usual.step.teacher.load_state_dict(ours.run.method.teacher.state_dict())
    big, small = ours.ready["positive", 0]
    more_big, more_small = ours.ready["negative", 0]
    theirs, _ = usual.step.loss([*big, *small], [*more_big, *more_small])
    ours.steps()
    assert ours.run.sums[0].item() == pytest.approx(theirs.item(), rel=1e-5)


def test_both_sides_make_the_same_views(both, preset):
    ours, usual = both
    wanted = preset.config["views"]
    positive, negative = usual.ready
    for kind, views in (("positive", positive), ("negative", negative)):
        shapes = [tuple(view.shape) for group in ours.ready[kind, 0] for view in group]
        assert shapes == [tuple(view.shape) for view in views]
        assert len(views) == sum(wanted[kind])


def test_flops_from_the_shapes_are_those_that_pytorch_counts(both, preset):
    """Attention in plain products, since the counter does not know every fused kernel."""
    from compare import flops

    ours, _ = both
    for network in (ours.run.method.student, ours.run.method.teacher):
        for block in network.backbone.blocks:
            block.attn.fused_attn = False
    with FlopCounterMode(display=False) as counter:
        ours.steps()
    expected = flops.training_step(preset.config) * preset.batch
    assert counter.get_total_flops() == pytest.approx(expected, rel=1e-3)


def test_flops_of_the_thesis_network():
    """ViT-S/16 at 224 pixels: 4.6 billion multiplications with additions (Touvron et al. 2021)."""
    from compare import flops

    assert sum(flops.vit(224, 3, 16, 384, 12).values()) / 2 == pytest.approx(4.6e9, rel=0.02)


def test_both_sides_evaluate_alike():
    from compare import evaluation

    from ssl_ood.evaluation.scores.cosine import cosine_tau
    from ssl_ood.evaluation.scores.mahalanobis import mahalanobis
    from ssl_ood.measures import metrics
    from ssl_ood.measures.knn import nearest

    rng = np.random.default_rng(0)
    train, test = (rng.normal(0.3, 1, (n, 6)).astype(np.float32) for n in (80, 30))
    a, b = torch.from_numpy(test), torch.from_numpy(train)
    taus = [0.2, 0.4]
    usual = -np.log(-evaluation.usual_cosine(test, train, taus))
    np.testing.assert_allclose(cosine_tau(a, b, taus), usual, atol=1e-5)
    usual = evaluation.usual_mahalanobis(test, train)
    # scikit-learn divides by M, not M - 1
    np.testing.assert_allclose(mahalanobis(a, b) * 80 / 79, usual, rtol=1e-3)
    neighbours = evaluation.usual_neighbours(test, train, 3)
    assert (nearest(a, b, 3)[1].numpy() == neighbours).mean() > 0.95
    below, above = rng.normal(0, 1, 400), rng.normal(1, 1, 400)
    usual = evaluation.usual_interval(below, above, 400)
    np.testing.assert_allclose(metrics.auroc_interval(below, above), usual, atol=0.01)


def test_ratios_are_of_neighbouring_repetitions():
    from compare.timing import Comparison, number

    found = Comparison("views", "images", (10, 5), [1.0, 2.0, 4.0], [3.0, 2.0, 8.0])
    assert vars(found.ratio) == {"median": 4.0, "low": 2.0, "high": 6.0}
    assert found.speed["usual"].median == pytest.approx(5 / 3)
    assert [number(v) for v in (12345, 0.01234, 9.996, 123.4)] == [
        "12,300",
        "0.0123",
        "10.0",
        "123",
    ]


def test_the_sides_take_turns_and_the_first_of_each_is_not_counted():
    from compare.timing import compare

    calls = []
    answers = iter(range(100))

    def side(name):
        def run():
            calls.append(name)
            return float(next(answers))

        return run

    found = compare("part", "images", (1, 1), side("ours"), side("usual"), 2)
    assert calls == ["ours", "usual"] * 3
    assert (found.ours, found.usual) == ([2.0, 4.0], [3.0, 5.0])


def test_one_command_measures_everything(preset, tmp_path, monkeypatch, capsys):
    import speed
    from compare import presets
    from compare.opponents import OPPONENTS

    monkeypatch.setattr(presets, "load", lambda name: preset)
    speed.main(["--repeats", "2", "--workers", "1", "--device", "cpu", "--output", str(tmp_path)])
    result = json.loads((tmp_path / "speed.json").read_text())
    parts = {part["part"]: part for part in result["parts"]}
    assert {"views", "step", "views and step", "AUROC with interval"} < set(parts)
    assert {"views: torchvision v2", "views and step: torchvision v2"} < set(parts)
    assert len(parts) == 7 + 2 * sum(o.version is not None for o in OPPONENTS)
    assert set(result["opponents"]) == {o.name for o in OPPONENTS}
    for part in parts.values():
        assert len(part["seconds"]["ours"]) == len(part["seconds"]["usual"]) == 2
        assert part["ratio"]["low"] <= part["ratio"]["median"] <= part["ratio"]["high"]
    assert 0 < result["share_of_peak"]["ours"] < 1
    assert min(result["peak_memory_bytes"].values()) > 0
    assert len(result["times_of_the_bare_product"]) == 3
    for suffix in ("png", "pdf", "csv"):
        assert (tmp_path / f"speed.{suffix}").stat().st_size > 100
    out, progress = capsys.readouterr()
    assert "ratio" in out
    assert "repetition 2 of 2" in progress


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_it_runs_on_a_gpu(preset, tmp_path, monkeypatch):
    import speed
    from compare import presets

    monkeypatch.setattr(presets, "load", lambda name: preset)
    speed.main(["--repeats", "1", "--workers", "1", "--device", "cuda", "--output", str(tmp_path)])
    assert json.loads((tmp_path / "speed.json").read_text())["environment"]["kind"] == "cuda"
