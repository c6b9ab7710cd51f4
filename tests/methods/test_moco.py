"""Momentum contrast: loss and queue against loops, the step, and a run that is killed or shared."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from collections import deque
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from support.other_methods import MOCO, run_of
from support.training import read_log

from ssl_ood.common.errors import UserError
from ssl_ood.common.files import write_json
from ssl_ood.common.proofs import save_tensors
from ssl_ood.common.streams import stream
from ssl_ood.evaluation.features import extract
from ssl_ood.methods.base import Batch, Moment, load_model
from ssl_ood.methods.moco import loss as moco
from ssl_ood.training import trainer
from ssl_ood.training.trainer import make_schedule, make_training, train, train_step
from ssl_ood.views.render import draw, render, resize_plain

CPU = torch.device("cpu")
PACKAGE = Path(trainer.__file__).parents[2]


def unit(rng, rows, width):
    vectors = rng.standard_normal((rows, width))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def loop_nt_xent(queries, keys, queue, temperature):
    """Equation 5.1, one image and one negative at a time."""
    losses = []
    for query, key in zip(queries, keys, strict=True):
        own = math.exp(sum(a * b for a, b in zip(query, key, strict=True)) / temperature)
        total = own
        for other in queue:
            total += math.exp(sum(a * b for a, b in zip(query, other, strict=True)) / temperature)
        losses.append(-math.log(own / total))
    return losses


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 5), st.integers(1, 9), st.integers(2, 6), st.sampled_from([0.07, 0.5, 1.0]))
def test_nt_xent_is_that_of_the_loop(rows, length, width, temperature):
    rng = np.random.default_rng([rows, length, width])
    queries, keys, queue = (unit(rng, n, width) for n in (rows, rows, length))
    found = moco.nt_xent(*map(torch.from_numpy, (queries, keys, queue)), temperature)
    expected = loop_nt_xent(queries, keys, queue, temperature)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert (found >= 0).all()


def test_nt_xent_of_a_worked_case():
    """A query that equals its key, one negative at a right angle: log(1 + exp(-1 / T))."""
    one, other = torch.eye(2)
    found = moco.nt_xent(one[None], one[None], other[None], 0.5)
    assert found.item() == pytest.approx(math.log(1 + math.exp(-2)))


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 4), st.integers(4, 11), st.integers(1, 12))
def test_the_queue_is_that_of_a_deque(batch, length, steps):
    queue = torch.zeros(length, 2)
    expected = deque([[0.0, 0.0]] * length, maxlen=length)
    for step in range(steps):
        keys = torch.arange(batch * 2, dtype=torch.float32).view(batch, 2) + 100 * (step + 1)
        moco.enqueue(queue, keys, step)
        expected.extend(keys.tolist())
    assert sorted(queue.tolist()) == sorted(expected)


# ---- a step --------------------------------------------------------------------------------------


def images(count=8, seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8))


def views_of(config, name, step=0):
    spec = config.views.spec
    rng = stream(config.seed, "views", name, step)
    return render(images(), draw(spec, 8, 16, 16, rng), spec)


def test_the_loss_is_that_of_the_views_one_by_one():
    """Without batch statistics, so that an image does not depend on its company."""
    config = run_of(MOCO)
    method = make_training(config, CPU).method
    method.query.eval()
    method.key.eval()
    method.key.head[0].bias.uniform_(-1, 1)  # another network than the query encoder
    moment, batch = Moment(0, 0, 1.0, 0.9), Batch(images())
    method.begin_step(batch, slice(0, 8), moment)
    expected_keys = method.key(views_of(config, "key"))
    torch.testing.assert_close(method.keys, expected_keys, rtol=1e-4, atol=1e-5)
    assert not method.keys.requires_grad
    queries = method.query(views_of(config, "query"))
    expected = loop_nt_xent(queries.tolist(), expected_keys.tolist(), method.queue.tolist(), 0.07)
    losses = [method.loss(batch, rows, moment) for rows in (slice(0, 4), slice(4, 8))]
    for (loss, accuracy), part in zip(losses, (expected[:4], expected[4:]), strict=True):
        assert loss.item() == pytest.approx(np.mean(part), rel=1e-4)
        assert 0 <= accuracy.item() <= 1
    assert not torch.equal(views_of(config, "key"), views_of(config, "query"))


def test_keys_are_normalised_in_other_company_than_queries(monkeypatch):
    config = run_of(MOCO)
    method = make_training(config, CPU).method
    groups = {"query": [], "key": []}
    encode = method._encode

    def spy(encoder, name, batch, rows, step):
        chosen = np.arange(8)[rows] if isinstance(rows, slice) else rows
        groups[name].append(sorted(chosen.tolist()))
        return encode(encoder, name, batch, rows, step)

    monkeypatch.setattr(method, "_encode", spy)
    moment, batch = Moment(0, 0, 1.0, 0.9), Batch(images())
    method.begin_step(batch, slice(0, 8), moment)
    for rows in (slice(0, 4), slice(4, 8)):
        method.loss(batch, rows, moment)
    assert groups["query"] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert sorted(i for group in groups["key"] for i in group) == list(range(8))
    assert {tuple(g) for g in groups["key"]} != {tuple(g) for g in groups["query"]}


def test_a_step_moves_key_encoder_and_queue_as_worked_out():
    config = run_of(MOCO)
    run = make_training(config, CPU)
    schedule = make_schedule(config, 24)
    before = [p.clone() for p in run.method.key.parameters()]
    queue = run.method.queue.clone()
    train_step(run, schedule, Batch(images()), 8)
    queries = run.method.query.parameters()
    for old, new, mine in zip(before, run.method.key.parameters(), queries, strict=True):
        torch.testing.assert_close(new, 0.9 * old + 0.1 * mine, rtol=1e-5, atol=1e-7)
        assert new.grad is None
    torch.testing.assert_close(run.method.queue[:8], run.method.keys)
    assert torch.equal(run.method.queue[8:], queue[8:])
    torch.testing.assert_close(run.method.queue.norm(dim=1), torch.ones(12))


def test_memory_does_not_change_what_is_learned():
    """The groups of the batch statistics are those of the config, whatever the micro-batch."""
    config = run_of(MOCO)
    schedule = make_schedule(config, 24)
    found = []
    for micro in (8, 1):
        run = make_training(config, CPU)
        train_step(run, schedule, Batch(images()), micro)
        found.append(run.method.query.state_dict())
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


# ---- a run ---------------------------------------------------------------------------------------


def test_contrast_is_learned(pack, tmp_path):
    """With views that differ little: far more queries find their key than the 1 of 33 by chance."""
    pack("shapes", "train", 240)
    config = run_of(
        MOCO,
        training={"epochs": 5, "queue": 32, "lr_base": 1.0, "batch_norm_images": 8,
                  "teacher_momentum": [0.99, 0.99]},
        views={"scale": [0.9, 1.0], "rotation": 0, "flip_p": 0.0, "jitter": [0.0] * 4},
    )  # fmt: skip
    train(config, tmp_path / "data", tmp_path / "run", tmp_path / "c", device=CPU)
    log = read_log(tmp_path / "run")
    assert log[-1]["loss"] < log[0]["loss"] < math.log(33)
    assert log[-1]["contrast_accuracy"] > 0.25


def test_told_to_stop_it_resumes_to_the_same_weights(data, tmp_path, monkeypatch):
    config = run_of(MOCO)
    train(config, data, tmp_path / "whole", tmp_path / "whole" / "c", device=CPU)
    folder = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        real = trainer.train_step

        def step_and_signal(run, *arguments):
            real(run, *arguments)
            if run.step == 4:
                signal.raise_signal(signal.SIGTERM)

        patch.setattr(trainer, "train_step", step_and_signal)
        with pytest.raises(SystemExit):
            train(config, data, folder, folder / "c", device=CPU)
    train(config, data, folder, folder / "c", device=CPU)
    whole, again = ((f / "model.safetensors").read_bytes() for f in (tmp_path / "whole", folder))
    assert whole == again


def test_two_processes_give_the_weights_of_one(data, tmp_path):
    config = run_of(MOCO, training={"lr_base": 0.05})
    train(config, data, tmp_path / "one", tmp_path / "one" / "c", device=CPU)
    path, folder = tmp_path / "config.json", tmp_path / "two"
    write_json(path, config.to_dict())
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node",
               "2", "-m", "ssl_ood", "train", "--config", path, "--data", data, "--output", folder,
               "--checkpoints", folder / "c", "--device", "cpu", "--threads", "1"]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(PACKAGE), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*map(str, command)], env=environment, text=True, check=False,
                          capture_output=True, timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name, value in one.items():
        if "running" in name or "tracked" in name:
            continue  # each process averages its own groups first
        np.testing.assert_allclose(two[name], value, atol=2e-3, err_msg=name)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"queue": 17}, "training.queue 17 and a batch of 8 are more than the 24 images, so "
         "that an image would often be its own negative: lower training.queue."),
        ({"queue": 7}, "training.queue 7 is smaller than training.batch_size 8: raise it."),
        ({"batch_norm_images": 3}, "training.batch_norm_images 3 does not divide the 8 images of a "
         "batch that a device works on: change one of them."),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_refused(data, tmp_path, changes, sentence):
    with pytest.raises(UserError) as error:
        train(run_of(MOCO, training=changes), data, tmp_path, tmp_path / "c", device=CPU)
    assert str(error.value) == f"{MOCO['run']}: {sentence}"


def test_features_are_the_pooled_ones_of_the_query_encoder(data, pack, tmp_path):
    config = run_of(MOCO)
    train(config, data, tmp_path / "run", tmp_path / "c", device=CPU)
    model = load_model(config, tmp_path / "run" / "model.safetensors", CPU)
    tested = pack("shapes", "test", 10)
    features = extract(model, tested, CPU)
    pixels = resize_plain(torch.from_numpy(tested), 16, [0.5] * 3, [0.25] * 3)
    expected = model.network.backbone.forward_features(pixels).mean((2, 3))
    np.testing.assert_allclose(features, expected.detach(), rtol=1e-4, atol=1e-5)


def test_the_backbone_starts_from_the_weights_that_are_named(data, tmp_path):
    config = run_of(MOCO, seed=5)
    other = make_training(config, CPU).method.query
    alone, whole = tmp_path / "backbone.safetensors", tmp_path / "run.safetensors"
    save_tensors(other.backbone.state_dict(), alone, {})
    save_tensors(other.state_dict(), whole, {})
    for path in (alone, whole):
        method = make_training(run_of(MOCO), CPU, path).method
        for network in (method.query, method.key):
            found, expected = network.backbone.state_dict(), other.backbone.state_dict()
            assert all(torch.equal(found[name], expected[name]) for name in expected)
        assert not torch.equal(method.query.head[0].weight, other.head[0].weight)
    save_tensors({"conv1.weight": torch.zeros(3)}, alone, {})
    with pytest.raises(UserError, match="does not hold the weights of this backbone"):
        make_training(run_of(MOCO), CPU, alone)
