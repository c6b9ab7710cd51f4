"""What `precision` sets while a network works, and that it is as it was before afterwards."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ssl_ood.evaluation.features import extract
from ssl_ood.methods.base import Batch, Model
from ssl_ood.methods.precision import autocast, products
from ssl_ood.training.trainer import make_schedule, make_training, train_step

CPU = torch.device("cpu")
KINDS = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)


def flags():
    return tuple(kind.fp32_precision for kind in KINDS)


@pytest.fixture
def before():
    """Flags that somebody has set, unlike each other; what was set before the test is set again."""
    saved = flags()
    for kind, value in zip(KINDS, ("ieee", "tf32"), strict=True):
        kind.fp32_precision = value
    yield ("ieee", "tf32")
    for kind, value in zip(KINDS, saved, strict=True):
        kind.fp32_precision = value


@pytest.mark.parametrize(
    ("precision", "inside"), [("tf32", "tf32"), ("float32", "ieee"), ("bfloat16", "ieee")]
)
def test_flags_are_set_inside_and_set_back_even_after_an_error(before, precision, inside):
    with products(precision):
        assert flags() == (inside, inside)
    assert flags() == before
    with pytest.raises(RuntimeError), products(precision):
        raise RuntimeError
    assert flags() == before


@pytest.mark.parametrize("precision", ["tf32", "float32", "bfloat16"])
def test_a_step_and_an_extraction_work_in_their_precision(before, tiny, precision, monkeypatch):
    seen, images = [], torch.zeros(8, 16, 16, 3, dtype=torch.uint8)
    run = make_training(tiny(training={"precision": precision}), CPU)
    student = run.method.student
    layer = student.backbone.blocks[0].attn.qkv
    hook = layer.register_forward_hook(lambda _, __, out: seen.append((flags(), out)))
    train_step(run, make_schedule(run.settings, 24), Batch(images, negatives=images), 8)
    expected = "tf32" if precision == "tf32" else "ieee"
    assert seen
    for found, output in seen:
        assert found == (expected, expected)
        assert output.dtype == (torch.bfloat16 if precision == "bfloat16" else torch.float32)
    assert flags() == before
    seen.clear()
    features = extract(Model(run.settings, student.eval()), images.numpy(), CPU, precision)
    assert [found for found, _ in seen] == [(expected, expected)]
    assert features.dtype == np.float32
    assert flags() == before
    hook.remove()


def test_tf32_on_a_cpu_is_float32(tiny):
    """Bit for bit: the losses and weights of a step are the same."""
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8))
    weights = []
    for precision in ("tf32", "float32"):
        run = make_training(tiny(training={"precision": precision}), CPU)
        train_step(run, make_schedule(run.settings, 24), Batch(images, negatives=images), 8)
        weights.append(run.method.student.state_dict())
    assert all(torch.equal(weights[1][name], value) for name, value in weights[0].items())


def test_the_autocast_is_for_bfloat16_alone():
    product = {}
    for precision in ("tf32", "float32", "bfloat16"):
        with autocast(CPU, precision):
            product[precision] = (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
    assert product.pop("bfloat16") == torch.bfloat16
    assert set(product.values()) == {torch.float32}
