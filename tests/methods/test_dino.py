"""The objectives, the centre, the teacher and the clipping, against loops in NumPy float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ssl_ood.methods import updates
from ssl_ood.methods.dino import loss as dino

LOGITS = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=3, max_dims=3, min_side=2, max_side=5),
    elements=st.floats(-1, 1),
)


def softmax(row, temperature, centre=None):
    centre = np.zeros(len(row)) if centre is None else centre
    powers = [
        math.exp((value - shift) / temperature) for value, shift in zip(row, centre, strict=True)
    ]
    return [power / sum(powers) for power in powers]


def loop_positive(student, teacher, temperature):
    """Equation 3, term by term."""
    total, terms = 0.0, 0
    for image in range(student.shape[1]):
        for g in range(len(teacher)):
            for v in range(len(student)):
                if v == g:
                    continue
                p = softmax(student[v, image], temperature)
                total -= sum(t * math.log(q) for t, q in zip(teacher[g, image], p, strict=True))
                terms += 1
    return total / terms


def loop_negative(student, temperature):
    """Equation 4, term by term."""
    views, batch, classes = student.shape
    total = 0.0
    for v in range(views):
        for image in range(batch):
            p = softmax(student[v, image], temperature)
            total -= sum(math.log(q) for q in p) / classes
    return total / (views * batch)


@pytest.mark.parametrize(("n_global", "views"), [(1, 2), (2, 2), (2, 5), (3, 4)])
def test_positive_loss_equals_the_loop(n_global, views):
    rng = np.random.default_rng(views)
    student = rng.uniform(-1, 1, (views, 4, 7))
    teacher = rng.dirichlet(np.ones(7), (n_global, 4))
    found = dino.positive_loss(torch.tensor(student), torch.tensor(teacher), 0.1)
    # float32 inside: log-probabilities of up to 20 with a relative error of 1e-7 or so.
    assert found.item() == pytest.approx(loop_positive(student, teacher, 0.1), rel=2e-6)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_negative_loss_equals_the_loop(temperature):
    student = np.random.default_rng(0).uniform(-1, 1, (3, 4, 9))
    found = dino.negative_loss(torch.tensor(student), temperature)
    assert found.item() == pytest.approx(loop_negative(student, temperature), rel=2e-6)


@settings(deadline=None, max_examples=50)
@given(LOGITS)
def test_negative_loss_is_at_least_log_k(logits):
    assert dino.negative_loss(torch.tensor(logits), 0.1).item() >= math.log(logits.shape[2]) - 1e-6


@pytest.mark.parametrize("level", [-0.7, 0.0, 1.0])
def test_negative_loss_of_the_uniform_output_is_log_k(level):
    logits = torch.full((2, 3, 11), level)
    assert dino.negative_loss(logits, 0.1).item() == pytest.approx(math.log(11), rel=1e-6)


@settings(deadline=None, max_examples=50)
@given(LOGITS, st.floats(-1, 1))
def test_positive_loss_ignores_a_shift_of_the_logits_and_the_order_of_images(logits, shift):
    student = torch.tensor(logits)
    teacher = torch.softmax(student[:1] / 0.05, dim=-1)
    loss = dino.positive_loss(student, teacher, 0.1).item()
    assert dino.positive_loss(student + shift, teacher, 0.1).item() == pytest.approx(loss, abs=1e-4)
    turned = dino.positive_loss(student.flip(1), teacher.flip(1), 0.1).item()
    assert turned == pytest.approx(loss, rel=1e-5, abs=1e-6)


def test_positive_loss_has_no_pair_of_a_view_with_itself():
    """With one global view, its own student output does not matter."""
    student = torch.rand(3, 2, 5, requires_grad=True)
    teacher = torch.softmax(torch.rand(1, 2, 5), dim=-1)
    dino.positive_loss(student, teacher, 0.1).backward()
    assert student.grad[0].abs().max() < 1e-6
    assert student.grad[1:].abs().min() > 0


def test_positive_loss_is_least_where_the_student_says_what_the_teacher_says():
    teacher = torch.softmax(torch.rand(1, 2, 5), dim=-1)
    best = 0.1 * teacher.log().expand(2, 2, 5)
    entropy = dino.entropy(teacher).mean().item()
    assert dino.positive_loss(best, teacher, 0.1).item() == pytest.approx(entropy, rel=1e-5)
    assert dino.positive_loss(best + 0.05 * torch.rand(2, 2, 5), teacher, 0.1).item() > entropy


def test_teacher_probabilities_equal_the_loop():
    rng = np.random.default_rng(1)
    logits, centre = rng.uniform(-1, 1, (2, 3, 6)), rng.uniform(-0.2, 0.2, 6)
    found = dino.teacher_probabilities(torch.tensor(logits), torch.tensor(centre), 0.04)
    expected = [[softmax(row, 0.04, centre) for row in view] for view in logits]
    np.testing.assert_allclose(found, expected, rtol=2e-5)


def test_teacher_probabilities_of_half_precision_logits_are_float32():
    logits = torch.tensor([[0.5, 0.25, -0.125]], dtype=torch.bfloat16)
    found = dino.teacher_probabilities(logits, torch.zeros(3), 0.01)
    assert found.dtype == torch.float32
    assert found.sum().item() == pytest.approx(1, abs=1e-6)


def test_centre_moves_a_tenth_of_the_way():
    centre = torch.tensor([1.0, -2.0])
    dino.update_centre(centre, torch.tensor([3.0, 8.0]), 0.9)
    np.testing.assert_allclose(centre, [1.2, -1.0], rtol=1e-6)


@pytest.mark.parametrize(("momentum", "expected"), [(0.9, 1.4), (0.0, 5.0), (1.0, 1.0)])
def test_teacher_follows_the_student(momentum, expected):
    teacher, student = [torch.ones(2), torch.ones(1, 3)], [torch.full((2,), 5.0), torch.ones(1, 3)]
    updates.update_teacher(teacher, student, momentum)
    np.testing.assert_allclose(teacher[0], [expected] * 2, rtol=1e-6)
    np.testing.assert_allclose(teacher[1], np.ones((1, 3)), rtol=1e-6)
    np.testing.assert_array_equal(student[0], [5, 5])


def gradients(scales):
    generator = torch.Generator().manual_seed(0)
    parameters = [torch.zeros(4, 3, requires_grad=True) for _ in scales]
    for parameter, scale in zip(parameters, scales, strict=True):
        parameter.grad = scale * torch.randn(4, 3, generator=generator)
    return parameters


@pytest.mark.parametrize("limit", [0.5, 3.0])
def test_clipping_equals_torchs_parameter_by_parameter(limit):
    scales = [0.01, 1.0, 100.0]
    ours, theirs = gradients(scales), gradients(scales)
    updates.clip_gradients(ours, limit)
    for parameter in theirs:
        torch.nn.utils.clip_grad_norm_([parameter], limit)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine.grad, other.grad, rtol=1e-6)
    np.testing.assert_array_equal(ours[0].grad, gradients(scales)[0].grad)


def test_a_limit_of_nought_clips_nothing_and_missing_gradients_are_passed_over():
    parameters = [*gradients([50.0]), torch.zeros(2, requires_grad=True)]
    updates.clip_gradients(parameters, 0.0)
    np.testing.assert_array_equal(parameters[0].grad, gradients([50.0])[0].grad)
    updates.clip_gradients(parameters, 1.0)
    assert parameters[0].grad.norm().item() == pytest.approx(1, abs=1e-5)
    assert parameters[1].grad is None


@settings(deadline=None, max_examples=50)
@given(hnp.arrays(np.float64, 6, elements=st.floats(0, 1)).filter(lambda p: p.sum() > 0.1))
def test_entropy_lies_between_nought_and_log_k(weights):
    found = dino.entropy(torch.tensor(weights / weights.sum())).item()
    assert -1e-12 <= found <= math.log(6) + 1e-12


def test_entropy_of_one_class_is_nought_and_of_all_classes_log_k():
    assert dino.entropy(torch.tensor([0.0, 1.0, 0.0])).item() == 0
    assert dino.entropy(torch.full((8,), 1 / 8)).item() == pytest.approx(math.log(8))


def test_biases_and_norms_have_no_weight_decay():
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    decayed, plain = updates.parameter_groups(module)
    assert [tuple(p.shape) for p in decayed["params"]] == [(2, 3)]
    assert len(plain["params"]) == 3
    assert plain["weight_decay"] == 0
