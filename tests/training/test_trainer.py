"""The training: what a step does, what a run leaves, and what stops it."""

from __future__ import annotations

import json
import math
import re
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support.training import read_log

from ssl_ood.common.errors import UserError
from ssl_ood.methods.base import Batch, Moment
from ssl_ood.methods.dino import loss as dino
from ssl_ood.methods.dino import method as method_dino
from ssl_ood.methods.dino import views as views_dino
from ssl_ood.methods.dino.method import make_views
from ssl_ood.training import trainer
from ssl_ood.training.trainer import make_schedule, make_training, train, train_step

CPU = torch.device("cpu")
ALL = slice(0, 8)


@pytest.fixture
def trained(data, tmp_path):
    """A function: trains a config in a folder of its own; returns weights and log."""
    folders = iter(range(100))

    def run(config, **options):
        folder = tmp_path / f"run{next(folders)}"
        train(config, data, folder, folder / "checkpoints", device=CPU, **options)
        return load_file(folder / "model.safetensors"), read_log(folder), folder

    return run


def batch(device=CPU, count=8, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
    return torch.from_numpy(images).to(device)


def loss_of(run, positives, negatives, rows, temperature):
    """Loss, its two parts, mean teacher logits and teacher probabilities at the run's step."""
    moment = Moment(run.step, 0, float(temperature), 1.0)
    return run.method.objective(Batch(positives, negatives=negatives), rows, moment)


def step_on(run, schedule, positives, negatives, micro=8):
    train_step(run, schedule, Batch(positives, negatives=negatives), micro)


def gradient_of(config, positives, negatives):
    run = make_training(config, CPU)
    loss_of(run, positives, negatives, ALL, 0.05)[0].backward()
    return torch.cat([p.grad.flatten() for p in run.method.student.parameters()])


# ---- one step ------------------------------------------------------------------------------------


def test_the_loss_is_that_of_the_views_one_by_one(tiny):
    """Against the network called view by view, and equations 3 and 4 as sums over pairs."""
    config = tiny(training={"lambda": 0.7})
    run = make_training(config, CPU)
    run.method.centre.uniform_(-0.1, 0.1)
    loss, parts, logit_mean, teacher = loss_of(run, batch(), batch(seed=1), ALL, 0.05)
    big, small = make_views(batch(), config, "positive", 0, ALL)
    seen = [run.method.student([view])[0].double() for view in [*big, *small]]
    shown = [run.method.teacher([view])[0].double() for view in big]
    targets = [torch.softmax((logits - run.method.centre) / 0.05, dim=1) for logits in shown]
    pairs = [
        -(target * torch.log_softmax(logits / 0.1, dim=1)).sum(1).mean()
        for g, target in enumerate(targets)
        for v, logits in enumerate(seen)
        if v != g
    ]
    assert len(pairs) == 6  # 2 global against 3 other views each
    positive = sum(pairs) / 6
    big, small = make_views(batch(seed=1), config, "negative", 0, ALL)
    pushed = [run.method.student([view])[0] for view in [*big, *small]]
    negative = sum(-torch.log_softmax(p.double() / 0.1, dim=1).mean() for p in pushed) / 2
    assert parts.tolist() == pytest.approx([positive.item(), negative.item()], rel=1e-5)
    assert loss.item() == pytest.approx((positive + 0.7 * negative).item(), rel=1e-5)
    torch.testing.assert_close(logit_mean.double(), torch.cat(shown).mean(0), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(teacher.double(), torch.stack(targets), rtol=1e-4, atol=1e-6)


TWO = [{"source": "shapes", "split": "train", "shift": "rot90"},
       {"source": "photos", "split": "train", "shift": "rot90"}]  # fmt: skip


@pytest.mark.parametrize("weights", [(1, 1), (3, 1)])
def test_sources_of_a_whole_batch_each_are_weighed_in_the_loss(tiny, weights):
    """L_pos + lambda sum_i w_i L_neg,i, view by view; the authors' 0.5 and 0.5 for equal ones."""
    pairs = [pair | {"weight": w} for pair, w in zip(TWO, weights, strict=True)]
    config = tiny(training={"lambda": 0.7}, negatives=pairs)
    run = make_training(config, CPU)
    both = torch.stack([batch(seed=1), batch(seed=2)], 1).flatten(0, 1)  # as Negatives lays them
    loss, parts, _, _ = loss_of(run, batch(), both, ALL, 0.05)
    big, small = make_views(both, config, "negative", 0, slice(0, 16))
    of_source = [[], []]
    for view in [*big, *small]:
        logits = run.method.student([view])[0].double().detach().numpy() / 0.1
        log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        for source in (0, 1):
            of_source[source].append(-log_p[source::2].mean())
    first, second = np.mean(of_source, axis=1)
    assert abs(first - second) > 1e-3
    share = weights[0] / sum(weights)
    assert parts[1].item() == pytest.approx(share * first + (1 - share) * second, rel=1e-5)
    positive = loss_of(run, batch(), None, ALL, 0.05)[0].item()
    assert loss.item() == pytest.approx(positive + 0.7 * parts[1].item(), rel=1e-5)


@pytest.mark.parametrize("micro", [4, 3])
def test_two_sources_do_not_depend_on_the_micro_batches(tiny, micro):
    pairs = [pair | {"weight": w} for pair, w in zip(TWO, (3, 1), strict=True)]
    config = tiny(negatives=pairs, backbone={"drop_path_rate": 0.5, "depth": 2})
    schedule, gradients = make_schedule(config, 24), []
    for size in (8, micro):
        run = make_training(config, CPU)
        step_on(run, schedule, batch(), batch(count=16, seed=1), size)
        gradients.append(run.method.student.backbone.pos_embed.grad)
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-6)


def test_lambda_weighs_the_gradient_of_the_negatives(tiny):
    gradients = [
        gradient_of(tiny(training={"lambda": weight}), batch(), batch(seed=1))
        for weight in (0.0, 1.0, 2.0)
    ]
    of_negatives = gradients[1] - gradients[0]
    assert of_negatives.norm() > 0.01 * gradients[0].norm()
    torch.testing.assert_close(gradients[2] - gradients[0], 2 * of_negatives, rtol=1e-4, atol=1e-6)
    alone = gradient_of(tiny(training={"lambda": 1.0}), batch(), None)
    torch.testing.assert_close(gradients[0], alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "changes", [{"negatives": []}, {"training": {"lambda": 0.0}}], ids=["none", "lambda 0"]
)
def test_without_negatives_none_are_drawn(tiny, trained, monkeypatch, changes):
    kinds = []

    def spy(images, config, kind, *rest):
        kinds.append(kind)
        return make_views(images, config, kind, *rest)

    monkeypatch.setattr(method_dino, "make_views", spy)
    _, log, _ = trained(tiny(**changes))
    assert set(kinds) == {"positive"}
    assert [line["negative"] for line in log] == [0, 0, 0]
    assert [line["loss"] for line in log] == [line["positive"] for line in log]


@pytest.mark.parametrize(
    ("pairs", "how", "expected"),
    [(TWO[:1], "per_source", 8), (TWO, "per_source", 16), (TWO, "shared", 8)],
)
def test_negatives_are_as_many_as_positives(tiny, trained, monkeypatch, pairs, how, expected):
    """Of every source, or of all of them together."""
    config = tiny(negatives=pairs, training={"negatives": how, "epochs": 1})
    assert config.negatives_an_image == expected // 8
    counts = {"positive": [], "negative": []}

    def spy(images, config, kind, *rest):
        counts[kind].append(len(images))
        return make_views(images, config, kind, *rest)

    monkeypatch.setattr(method_dino, "make_views", spy)
    trained(config)
    assert counts == {"positive": [8] * 3, "negative": [expected] * 3}


def test_views_are_made_outside_of_the_autocast(tiny, monkeypatch):
    """On a GPU an autocast would render the views in bfloat16, positives unlike negatives."""
    inside, rendered = [], []

    @contextmanager
    def autocast(*_, **__):
        inside.append(True)
        yield
        inside.pop()

    def render(*arguments):
        rendered.append(bool(inside))
        return real_render(*arguments)

    real_render = views_dino.render
    monkeypatch.setattr(views_dino, "render", render)
    monkeypatch.setattr(method_dino.torch, "autocast", autocast)
    loss_of(make_training(tiny(), CPU), batch(), batch(seed=1), ALL, 0.05)
    assert rendered == [False] * 4  # of two sizes, positive and negative


def stepped(config, device, steps, micro):
    """A run after so many steps, each on a batch of its own."""
    schedule = make_schedule(config, 24)
    run = make_training(config, device)
    for step in range(steps):
        step_on(run, schedule, batch(device, seed=step), batch(device, seed=100 + step), micro)
    return run


@pytest.mark.parametrize("micro", [4, 3, 1])
def test_micro_batches_give_the_gradient_of_the_whole_batch(tiny, micro, device):
    whole, parts = (stepped(tiny(), device, 1, m) for m in (8, micro))
    for one, other in zip(
        whole.method.student.parameters(), parts.method.student.parameters(), strict=True
    ):
        if one.grad is not None:  # the last layer's is taken away in epoch 0
            torch.testing.assert_close(other.grad, one.grad, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(parts.method.centre, whole.method.centre, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(parts.sums, whole.sums, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(
        parts.method.mean_probability, whole.method.mean_probability, rtol=1e-4, atol=1e-6
    )


def test_the_last_layer_is_frozen_in_epoch_nought_only(tiny):
    config = tiny()
    start = make_training(config, CPU).method.student
    after_epoch, after_more = (stepped(config, CPU, n, 8).method.student for n in (3, 5))
    for name in ("prototypes", "norms"):
        first, second, third = (
            getattr(network.head, name) for network in (start, after_epoch, after_more)
        )
        assert torch.equal(first, second), name
        assert not torch.equal(first, third), name
    assert not torch.equal(after_epoch.head.mlp[0].weight, start.head.mlp[0].weight)


def test_the_norms_of_the_last_layer_are_decayed_and_averaged_into_the_teacher(tiny):
    """With a gradient of nought AdamW only decays: by lr x weight decay, as a weight matrix."""
    config = tiny(training={"warmup_epochs": 0, "freeze_last_layer_epochs": 0})
    schedule, run = make_schedule(config, 24), make_training(config, CPU)
    decayed, plain = run.method.optimizer.param_groups
    norms, prototypes = run.method.student.head.norms, run.method.student.head.prototypes
    assert norms.shape == (12, 1)
    assert any(p is norms for p in decayed["params"]) and decayed["decay"]
    assert all(p.ndim == 1 for p in plain["params"])
    run.method.loss = lambda *_: (0 * (norms.sum() + prototypes.sum()), torch.zeros(3))
    step_on(run, schedule, batch(), None)
    shrunk = 1 - schedule.lr[0] * schedule.weight_decay[0]
    torch.testing.assert_close(norms, torch.full((12, 1), shrunk), rtol=1e-6, atol=0)
    teachers = run.method.teacher.head.norms
    torch.testing.assert_close(teachers, 0.9 + 0.1 * norms, rtol=1e-6, atol=0)


def test_a_frozen_head_is_the_same_in_student_and_teacher_and_stays_as_it_was_drawn(tiny):
    config = tiny(head={"frozen": True})
    drawn = make_training(config, CPU).method.student
    run = stepped(config, CPU, 5, 8)
    networks = [run.method.student, run.method.teacher]
    for name, value in drawn.head.state_dict().items():
        assert all(torch.equal(n.head.state_dict()[name], value) for n in networks), name
    for network in networks:
        assert not torch.equal(network.backbone.pos_embed, drawn.backbone.pos_embed)
    free = make_training(tiny(), CPU).method.student.state_dict()
    assert all(torch.equal(free[name], value) for name, value in drawn.state_dict().items())


def test_a_step_moves_centre_and_teacher_as_worked_out(tiny):
    config = tiny(training={"warmup_epochs": 0})
    schedule = make_schedule(config, 24)
    run = make_training(config, CPU)
    before = [p.clone() for p in run.method.teacher.parameters()]
    _, _, logit_mean, _ = loss_of(run, batch(), batch(seed=1), ALL, schedule.temperature[0])
    step_on(run, schedule, batch(), batch(seed=1))
    torch.testing.assert_close(run.method.centre, 0.1 * logit_mean, rtol=1e-4, atol=1e-8)
    student = run.method.student.parameters()
    for old, new, mine in zip(before, run.method.teacher.parameters(), student, strict=True):
        torch.testing.assert_close(new, 0.9 * old + 0.1 * mine, rtol=1e-5, atol=1e-8)
    assert run.step == 1


@pytest.mark.parametrize("weight", [0.0, 1.0, 5.0])
def test_a_small_step_lowers_the_loss(tiny, weight):
    config = tiny(training={"warmup_epochs": 0, "lr_base": 1e-4, "teacher_momentum": [1.0, 1.0],
                            "lambda": weight})  # fmt: skip
    run = make_training(config, CPU)
    schedule = make_schedule(config, 24)
    losses = []
    for _ in range(4):
        run.step = 0  # the same views and draws
        run.method.centre.zero_()
        losses.append(loss_of(run, batch(), batch(seed=1), ALL, schedule.temperature[0])[0].item())
        step_on(run, schedule, batch(), batch(seed=1))
    assert (np.diff(losses) < 0).all()


def test_the_rates_of_every_step_reach_the_optimiser(tiny):
    config = tiny()
    schedule = make_schedule(config, 24)
    run = make_training(config, CPU)
    for step in range(schedule.steps):
        step_on(run, schedule, batch(), None)
        decayed, plain = run.method.optimizer.param_groups
        assert decayed["lr"] == plain["lr"] == schedule.lr[step]
        assert decayed["weight_decay"] == schedule.weight_decay[step]
        assert plain["weight_decay"] == 0


def test_the_teacher_temperature_is_one_step_an_epoch(tiny, trained, monkeypatch):
    temperatures = []

    def spy(method, batch, rows, moment):
        temperatures.append(moment.temperature)
        return real(method, batch, rows, moment)

    real = method_dino.Dino.objective
    monkeypatch.setattr(method_dino.Dino, "objective", spy)
    trained(tiny())
    assert temperatures == pytest.approx([0.05] * 3 + [0.04] * 3 + [0.03] * 3)


def test_views_are_drawn_anew_for_every_step_kind_and_seed(tiny):
    def views(kind="positive", step=0, **changes):
        big, _ = make_views(batch(), tiny(**changes), kind, step, ALL)
        return big[0]

    assert torch.equal(views(), views())
    for other in (views(step=1), views(kind="negative"), views(seed=1)):
        assert not torch.equal(views(), other)


# ---- a whole run ---------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tiny, trained):
    first, log, folder = trained(tiny())
    again, log_again, folder_again = trained(tiny())
    weights = [(f / "model.safetensors").read_bytes() for f in (folder, folder_again)]
    assert weights[0] == weights[1]
    assert [line["loss"] for line in log] == [line["loss"] for line in log_again]
    other, _, _ = trained(tiny(seed=1))
    assert not torch.equal(first["head.prototypes"], other["head.prototypes"])
    assert first.keys() == again.keys() == other.keys()


def test_a_run_leaves_its_provenance(tiny, trained, data):
    config = tiny()
    weights, log, folder = trained(config)
    summary = json.loads((folder / "train.json").read_text())
    assert summary["steps"] == 9
    assert summary["steps_per_epoch"] == 3
    assert len(log) == 3
    for name in ("shapes/train", "photos/train"):
        meta = json.loads((data / f"{name}-16px" / "meta.json").read_text())
        assert summary["datasets"][f"{name}-16px"] == meta["images_sha256"]
    assert summary["versions"]["torch"] == torch.__version__
    assert summary["images_per_second"] == pytest.approx(72 / summary["seconds"])
    assert weights["centre"].shape == (12,)
    (kept,) = (folder / "checkpoints").glob("step_*.pt")  # the result, without the student
    state = torch.load(kept, weights_only=True)
    assert torch.equal(state["teacher"]["head.prototypes"], weights["head.prototypes"])
    assert "student" not in state


def test_the_log_holds_the_means_of_each_epoch(tiny, trained):
    _, log, _ = trained(tiny())
    assert [line["epoch"] for line in log] == [1, 2, 3]
    for line in log:
        assert line["loss"] == pytest.approx(line["positive"] + line["negative"], rel=1e-5)
        assert line["log_k"] == pytest.approx(math.log(12))
        assert line["negative"] >= math.log(12) - 1e-6
        assert 0 <= line["teacher_entropy"] <= line["entropy_of_mean"] + 1e-6
        assert line["entropy_of_mean"] <= math.log(12) + 1e-6


def test_untrained_is_the_initial_network(tiny, trained):
    config = tiny(training={"epochs": 0}, negatives=[])
    weights, log, folder = trained(config)
    initial = make_training(config, CPU).method.student.state_dict()
    assert log == []
    assert weights.pop("centre").abs().max() == 0
    assert weights.keys() == initial.keys()
    for name, value in initial.items():
        assert torch.equal(weights[name], value), name
    assert json.loads((folder / "train.json").read_text())["steps"] == 0


# ---- what stops a run ----------------------------------------------------------------------------


def newest_state(folder):
    return torch.load(max(folder.glob("step_*.pt")), weights_only=True)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"training": {"batch_size": 25}},
         "training.batch_size 25 is larger than the 24 images of shapes: lower it."),
        ({"training": {"batch_size": 1, "negatives": "shared"}, "strategy": "combined",
          "negatives": TWO},
         "training.batch_size 1 is too small for each of the 2 (source, shift) pairs of strategy "
         "combined to give a negative, by their weights: raise it."),
        ({"training": {"negatives": "shared"}, "strategy": "combined",
          "negatives": [TWO[0], TWO[1] | {"weight": 7.5}]},
         "training.batch_size 8 is too small for each of the 2 (source, shift) pairs of strategy "
         "combined to give a negative, by their weights: raise it."),
    ],
)  # fmt: skip
def test_a_batch_that_does_not_fit_is_refused(tiny, trained, changes, sentence):
    with pytest.raises(UserError) as error:
        trained(tiny(**changes))
    assert str(error.value) == f"natural-shapes-rot_photos-base-seed0: {sentence}"


def test_a_batch_that_the_devices_cannot_share_is_refused(tiny, trained, monkeypatch):
    monkeypatch.setattr(trainer, "world", lambda: (0, 3))
    with pytest.raises(UserError, match="8 cannot be shared out equally to 3 devices"):
        trained(tiny())


def test_a_loss_that_is_not_finite_stops_and_keeps_a_good_checkpoint(tiny, data, tmp_path):
    config = tiny(training={"lr_base": 1e12})
    folder = tmp_path / "checkpoints"
    with pytest.raises(UserError) as error:
        train(config, data, tmp_path / "run", folder, device=CPU, checkpoint_minutes=0)
    assert re.match(
        r"natural-shapes-rot_photos-base-seed0: the loss is not finite in epoch 1 \(step \d\)\. "
        r"The last good checkpoint is kept; lower training\.lr_base or training\.clip_grad",
        str(error.value),
    )
    kept = newest_state(folder)
    assert kept["step"] >= 1
    for state in (kept["student"], kept["teacher"]):
        assert all(value.isfinite().all() for value in state.values())
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_a_weight_that_is_not_finite_is_never_kept(tiny, data, tmp_path, monkeypatch):
    """The loss of the step was finite; its gradient overflowed."""

    def overflow(run, *arguments):
        train_step(run, *arguments)
        if run.step == 9:
            next(run.method.student.parameters()).data.view(-1)[0] = float("inf")

    monkeypatch.setattr(trainer, "train_step", overflow)
    with pytest.raises(UserError, match="the loss is not finite in epoch 3"):
        train(tiny(), data, tmp_path / "run", tmp_path / "checkpoints", device=CPU)
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_entropy_in_the_log_is_that_of_the_teacher(tiny):
    """Of one step, from the teacher's probabilities."""
    config = tiny()
    schedule = make_schedule(config, 8)
    run = make_training(config, CPU)
    _, _, _, teacher = loss_of(run, batch(), batch(seed=1), ALL, schedule.temperature[0])
    step_on(run, schedule, batch(), batch(seed=1))
    found = trainer.finish_epoch(run, schedule)
    p = teacher.double().numpy()
    assert found["teacher_entropy"] == pytest.approx(-(p * np.log(p)).sum(-1).mean(), rel=1e-5)
    mean = p.mean((0, 1))
    assert found["entropy_of_mean"] == pytest.approx(-(mean * np.log(mean)).sum(), rel=1e-5)
    assert dino.entropy(torch.tensor(mean)).item() == pytest.approx(found["entropy_of_mean"])
    assert run.sums.tolist() == [0] * 5
