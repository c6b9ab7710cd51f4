"""Methods with several updates in a step: two players against updates worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.other_methods import COMMON, SGD, VIEWS
from support.training import read_log
from torch import nn

from ssl_ood.common import registry
from ssl_ood.common.registry import register
from ssl_ood.methods.base import Method, Turn
from ssl_ood.methods.settings import Crops, MethodSettings, read_run
from ssl_ood.training import trainer
from ssl_ood.training.micro_batches import MicroBatches
from ssl_ood.training.sources import open_sources
from ssl_ood.training.state import make_schedule
from ssl_ood.training.trainer import make_training, train, train_step

CPU = torch.device("cpu")
RATE = 0.5  # of the second player's learning rate, against the schedule's
MOMENTUM = 0.9


class DuelSettings(MethodSettings):
    """The sections of `methods.duel`."""

    views: Crops

    @property
    def shown(self):
        return self.views.spec


def duel() -> type:
    return Duel


@pytest.fixture(autouse=True, scope="module")
def declared():
    """The method is there for the tests of this file alone."""
    register("method", "duel", title="Duel", notes="Two numbers.", settings=DuelSettings,
             source="memory", max_devices=1, offers=frozenset({"features"}))(duel)  # fmt: skip
    yield
    del registry._ENTRIES["method"]["duel"]


class Duel(Method):
    """Images are their mean pixel x in 0..1. The first number follows: (a x - b)^2 is its loss. The
    second flees: -b a x + b^2 is its."""

    PARTS = ("size", "fleeing", "product")

    def __init__(self, settings, device, initial=None):
        super().__init__(settings, device)
        self.trained = nn.ModuleDict({name: nn.Linear(1, 1, bias=False) for name in "ab"})
        self.trained.to(device)
        self.optimizers = {
            name: torch.optim.SGD(
                [{"params": list(player.parameters()), "decay": True, "rate": rate}],
                lr=0.0, momentum=MOMENTUM,
            )
            for (name, player), rate in zip(self.trained.items(), (1.0, RATE), strict=True)
        }  # fmt: skip

    def turns(self):
        first, second = (Turn(self.trained[n], self.optimizers[n], getattr(self, f"loss_of_{n}"),
                              place) for n, place in (("a", 0), ("b", 2)))  # fmt: skip
        return [first, second]

    def loss_of_a(self, batch, rows, moment):
        x = batch.images[rows].double().mean((1, 2, 3)).float() / 255
        a, b = (self.trained[name].weight[0, 0] for name in "ab")
        return ((a * x - b) ** 2).mean(), a.detach().abs()[None]

    def loss_of_b(self, batch, rows, moment):
        x = batch.images[rows].double().mean((1, 2, 3)).float() / 255
        a, b = (self.trained[name].weight[0, 0] for name in "ab")
        product = (b * a * x).mean()
        return b**2 - product, product.detach()[None]

    def result(self):
        return {"network": self.trained.state_dict()}

    def restore(self, state):
        self.trained.load_state_dict(state["network"])

    def model_state(self):
        return self.trained.state_dict()

    def probed(self):
        return None


def run_config(**training):
    settings = SGD | {"lr_base": 3.2, "weight_decay": [0.01, 0.02], "warmup_epochs": 1} | training
    settings.pop("sgd_momentum")
    views = VIEWS | {"jitter": [0.0] * 4}
    return read_run(COMMON | {"run": "duel", "method": "duel", "training": settings,
                              "views": views})  # fmt: skip


def numbers(method):
    return [method.trained[name].weight.item() for name in "ab"]


def by_hand(config, data, a, b):
    """(a, b) after all steps and the means of each epoch: in float64, by the derivatives."""
    sources = open_sources(config, data, CPU)
    schedule = make_schedule(config, len(sources))
    speed, lines = [0.0, 0.0], []
    for step in range(schedule.steps):
        images = sources.batch(step, schedule.steps_per_epoch, 8).images.numpy()
        x = images.reshape(8, -1).mean(1) / 255
        rate, decay = schedule.lr[step], schedule.weight_decay[step]
        told = [np.mean((a * x - b) ** 2), abs(a)]
        gradient = np.mean(2 * (a * x - b) * x)
        speed[0] = MOMENTUM * speed[0] + gradient + decay * a
        a -= rate * speed[0]
        told += [b**2 - np.mean(b * a * x), np.mean(b * a * x)]  # of the a that has moved
        gradient = 2 * b - np.mean(a * x)
        if limit := config.training.clip_grad:
            gradient *= min(1, limit / (abs(gradient) + 1e-6))
        speed[1] = MOMENTUM * speed[1] + gradient + decay * b
        b -= RATE * rate * speed[1]
        lines.append(told)
    return a, b, np.reshape(lines, (-1, schedule.steps_per_epoch, 4)).mean(1)


@pytest.mark.parametrize("micro", [None, 3, "auto"])
def test_each_turn_updates_its_own_network_by_its_own_loss(data, tmp_path, micro):
    config = run_config()
    start = numbers(make_training(config, CPU).method)
    a, b, epochs = by_hand(config, data, *start)
    train(config, data, tmp_path / "run", tmp_path / "kept", device=CPU, micro_batch=micro)
    run = make_training(config, CPU)
    run.method.restore(torch.load(next((tmp_path / "kept").glob("*.pt")), weights_only=True))
    assert numbers(run.method) == pytest.approx([a, b], rel=1e-4)
    assert abs(a - start[0]) > 0.05 < abs(b - start[1])
    log = read_log(tmp_path / "run")
    found = [[line[name] for name in ("loss", *Duel.PARTS)] for line in log]
    np.testing.assert_allclose(found, epochs, rtol=1e-4, atol=1e-6)


def test_every_turns_gradients_are_clipped(data, tmp_path):
    config = run_config(clip_grad=1e-3, epochs=1, warmup_epochs=0, weight_decay=[0.0, 0.0])
    run = make_training(config, CPU)
    before = numbers(run.method)
    sources = open_sources(config, data, CPU)
    train_step(run, make_schedule(config, 24), sources.batch(0, 3, 8), 8)
    moved = np.abs(np.subtract(numbers(run.method), before))
    rate = 3.2 * 8 / 256
    assert moved == pytest.approx([rate * 1e-3, RATE * rate * 1e-3], rel=1e-2)


def test_stopped_and_gone_on_with_it_ends_the_same_bit_for_bit(data, tmp_path, monkeypatch):
    config = run_config()
    train(config, data, tmp_path / "whole", tmp_path / "a", device=CPU)
    real = trainer.train_step

    def step_and_stop(run, *arguments):
        real(run, *arguments)
        if run.step == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(trainer, "train_step", step_and_stop)
        train(config, data, tmp_path / "part", tmp_path / "b", device=CPU, checkpoint_minutes=0)
    assert list((tmp_path / "b").glob("step_00000004.pt"))
    train(config, data, tmp_path / "part", tmp_path / "b", device=CPU)
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "part")]
    assert files[0] == files[1]
    logs = [read_log(tmp_path / name) for name in ("whole", "part")]
    for line in [*logs[0], *logs[1]]:
        del line["seconds"]
    assert logs[0] == logs[1]


def test_memory_that_runs_out_in_a_later_turn_repeats_that_turn_only(data):
    config = run_config()
    sources, schedule = open_sources(config, data, CPU), make_schedule(config, 24)
    runs = [make_training(config, CPU) for _ in range(2)]
    real, calls = runs[1].method.loss_of_b, []

    def too_large(batch, rows, moment):
        calls.append(rows.stop - rows.start)
        if calls[-1] > 2:
            raise torch.OutOfMemoryError
        return real(batch, rows, moment)

    runs[1].method.loss_of_b = too_large
    for run, micro in zip(runs, (8, MicroBatches("auto", 8, CPU)), strict=True):
        train_step(run, schedule, sources.batch(0, 3, 8), micro)
    assert calls == [8, 4, 2, 2, 2, 2]
    assert numbers(runs[1].method) == pytest.approx(numbers(runs[0].method), rel=1e-6)
    torch.testing.assert_close(runs[1].sums, runs[0].sums)


def test_a_checkpoint_of_before_there_were_turns_is_taken_up(tiny, data):
    config = tiny()
    run = make_training(config, CPU)
    batch = open_sources(config, data, CPU).batch(0, 3, 8)
    train_step(run, make_schedule(config, 24), batch, 8)
    state = run.state()
    (state["optimizer"],) = state.pop("optimizers")
    again = make_training(config, CPU)
    again.restore(state)
    moments = [
        [kept["exp_avg"] for kept in r.method.optimizer.state_dict()["state"].values()]
        for r in (run, again)
    ]
    assert moments[0] and all(torch.equal(*pair) for pair in zip(*moments, strict=True))
