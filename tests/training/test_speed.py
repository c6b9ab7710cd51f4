"""What makes a training fast changes nothing of it: exactly where it can be, else within noise."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.other_methods import FINETUNE, MOCO, run_of

from ssl_ood.common import distributed
from ssl_ood.common.distributed import StopVote
from ssl_ood.common.errors import UserError
from ssl_ood.evaluation.features import extract
from ssl_ood.evaluation.scores.cosine import cosine_tau
from ssl_ood.measures.metrics import auroc
from ssl_ood.methods.base import Batch, Model
from ssl_ood.methods.dino import views as views_dino
from ssl_ood.training.micro_batches import CPU_ROWS, MicroBatches
from ssl_ood.training.trainer import make_schedule, make_training, train_step
from ssl_ood.views import images
from ssl_ood.views.images import Images
from ssl_ood.views.render import ViewParameters, render

CPU = torch.device("cpu")
STEPS = 9  # three epochs of the tiny run


def pixels(seed, count=8):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8))


def loss_curve(config, device=CPU, micro: int | MicroBatches = 8, prepare=lambda run: None):
    """The loss of every step of a short run, (STEPS,)."""
    return short_run(config, device, micro, prepare)[0]


def short_run(config, device=CPU, micro: int | MicroBatches = 8, prepare=lambda run: None):
    """The loss of every step of a short run, (STEPS,), and what its teacher detects: the AUROC of
    smooth images against the noise that it is trained on."""
    run = make_training(config, device)
    prepare(run)
    schedule = make_schedule(config, 24)
    losses = []
    for step in range(STEPS):
        before = run.sums[0].item()
        batch = Batch(pixels(step).to(device), negatives=pixels(100 + step).to(device))
        train_step(run, schedule, batch, micro)
        losses.append(run.sums[0].item() - before)
    trained, tested = torch.cat([pixels(step) for step in range(STEPS)]), pixels(300, 100)
    smooth = pixels(400, 100)[:, :12, :12].float().permute(0, 3, 1, 2)
    smooth = F.interpolate(smooth, 16, mode="bilinear").permute(0, 2, 3, 1).to(torch.uint8)
    model = Model(config, run.method.teacher.eval())
    reference, below, above = (
        torch.from_numpy(extract(model, images.numpy(), device))
        for images in (trained, tested, smooth)
    )
    below, above = (cosine_tau(found, reference, [0.04])[:, 0] for found in (below, above))
    return np.array(losses), auroc(below.numpy(), above.numpy())


@pytest.fixture
def unchanged(tiny):
    """A function: asserts that a run's loss curve and AUROC are the plain run's within a share (a
    hundredth) of what another seed of the weights and draws changes."""
    plain, detected = short_run(tiny())
    other, detected_by_other = short_run(tiny(seed=1))
    noise, noise_of_auroc = np.abs(other - plain).mean(), abs(detected_by_other - detected)
    assert noise > 1e-3
    assert noise_of_auroc > 1e-2

    def check(run, share=0.01):
        curve, found = run
        assert np.abs(curve - plain).max() < share * noise
        assert abs(found - detected) < share * noise_of_auroc

    return check


# ---- losses and AUROC with and without what is not exact -----------------------------------------


def test_micro_batches_leave_loss_and_auroc_as_they_are(tiny, unchanged):
    unchanged(short_run(tiny(), micro=3))


def test_stochastic_depth_does_not_depend_on_the_micro_batches(tiny):
    config = tiny(backbone={"drop_path_rate": 0.5, "depth": 3})
    whole, parts = loss_curve(config), loss_curve(config, micro=3)
    np.testing.assert_allclose(parts, whole, rtol=1e-4)
    without = loss_curve(tiny(backbone={"depth": 3}))
    assert np.abs(without - whole).max() > 0.05, "nothing was left out"


def test_views_one_by_one_give_the_same_loss_and_auroc(tiny, unchanged, monkeypatch):
    def one_by_one(chosen, parameters, spec):
        count = len(chosen)
        rows = [slice(low, low + count) for low in range(0, len(parameters.flip), count)]
        return torch.cat([render(chosen, parameters.rows(part), spec) for part in rows])

    monkeypatch.setattr(views_dino, "render", one_by_one)
    unchanged(short_run(tiny()))


@pytest.mark.parametrize("drop_path", [0.0, 0.3])
def test_compiled_networks_give_the_same_loss_and_auroc(tiny, drop_path):
    """As traced for the compiler, with its own functions for every operation; that the code it
    makes of them is right is PyTorch's business, and takes it a minute."""
    config = tiny(backbone={"drop_path_rate": drop_path, "depth": 2, "position": "bicubic"})
    plain, detected = short_run(config)
    compiled, found = short_run(config, prepare=lambda run: run.method.compile(backend="aot_eager"))
    np.testing.assert_allclose(compiled, plain, rtol=1e-4)
    assert found == pytest.approx(detected, abs=1e-3)


def test_bfloat16_stays_within_the_noise(tiny, unchanged):
    """Coarser than float32, far from what another seed changes."""
    plain, rounded = tiny(), tiny(training={"precision": "bfloat16"})
    assert np.abs(loss_curve(rounded) - loss_curve(plain)).max() > 1e-5, "nothing was rounded"
    unchanged(short_run(rounded), share=0.1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
def test_rounded_products_on_the_device_stay_within_the_noise(tiny, precision):
    plain, other = loss_curve(tiny()), loss_curve(tiny(seed=1))
    config = tiny(training={"precision": precision})
    on_device = loss_curve(config, torch.device("cuda"))
    assert np.abs(on_device - plain).max() < np.abs(other - plain).max()


# ---- no waiting for the device -------------------------------------------------------------------


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA to wait for")
@pytest.mark.parametrize("method", ["dino", "moco", "finetune"])
def test_a_step_never_waits_for_the_device(tiny, method):
    config = {"dino": tiny(), "moco": run_of(MOCO), "finetune": run_of(FINETUNE)}[method]
    device = torch.device("cuda")
    run = make_training(config, device)
    schedule = make_schedule(config, 24)
    source = Images(pixels(0, 24).numpy(), device)
    labels = torch.arange(8, device=device) % 2

    def batch(first):
        rows = np.arange(first, first + 8)
        negatives = source.take(rows) if method == "dino" else None
        return Batch(source.take(rows), labels, negatives)

    train_step(run, schedule, batch(0), 8)  # makes what is made once
    try:
        torch.cuda.set_sync_debug_mode("error")
        train_step(run, schedule, batch(8), 4)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_compiled_networks_stay_within_the_noise_on_a_gpu(tiny):
    config, device = tiny(), torch.device("cuda")
    plain, other = loss_curve(config, device), loss_curve(tiny(seed=1), device)
    compiled = loss_curve(config, device, prepare=lambda run: run.method.compile())
    assert np.abs(compiled - plain).max() < 0.1 * np.abs(other - plain).max()


def test_a_stop_is_voted_on_with_the_gradients(monkeypatch):
    votes = torch.zeros(1)
    assert StopVote(votes).after_step(True)  # one process: at once
    monkeypatch.setattr(distributed, "world", lambda: (0, 2))
    vote = StopVote(votes)
    assert not vote.after_step(True)
    assert votes.item() == 1
    votes /= 2  # the next step averages it with a process that does not want to
    assert not vote.after_step(True)
    votes /= 2
    assert vote.after_step(True)


# ---- micro-batches chosen from the memory --------------------------------------------------------


def short_of_memory(limit):
    """A preparation of a run whose device holds the passes of `limit` images only."""

    def prepare(run):
        real = run.method.loss

        def loss(batch, rows, moment):
            found = real(batch, rows, moment)
            if rows.stop - rows.start > limit:
                raise torch.OutOfMemoryError("made up")
            return found

        run.method.loss = loss

    return prepare


@pytest.mark.parametrize(("limit", "found"), [(8, 8), (5, 4), (1, 1)])
def test_auto_halves_until_the_memory_is_enough(tiny, unchanged, limit, found):
    micro = MicroBatches("auto", 8, CPU)
    unchanged(short_run(tiny(), micro=micro, prepare=short_of_memory(limit)))
    assert micro.size == found


def test_a_device_too_small_for_one_image_is_a_user_error(tiny):
    with pytest.raises(UserError, match="single image"):
        loss_curve(tiny(), micro=MicroBatches("auto", 8, CPU), prepare=short_of_memory(0))


def test_a_number_that_was_asked_for_is_kept(tiny):
    with pytest.raises(torch.OutOfMemoryError):
        loss_curve(tiny(), micro=MicroBatches(8, 8, CPU), prepare=short_of_memory(4))
    assert MicroBatches(None, 8, CPU).size == 8
    assert MicroBatches(500, 8, CPU).size == 8
    assert MicroBatches("auto", 256, CPU).size == CPU_ROWS
    assert MicroBatches("auto", 256, torch.device("cuda")).size == 256


# ---- images that do not fit on the device --------------------------------------------------------


def test_expected_images_are_those_read_without_expecting(device):
    array = pixels(3, 40).numpy()
    resident, streamed = Images(array, device), Images(array, device, resident=0)
    rng = np.random.default_rng(0)
    questions = [rng.permutation(40)[:7] for _ in range(12)]
    for i, rows in enumerate(questions):
        assert torch.equal(streamed.take(rows), resident.take(rows))
        streamed.expect(questions[(i + 1) % 12])  # right
        streamed.expect(rng.permutation(40)[:7])  # never asked for
        resident.expect(rows)
    assert len(streamed._expected) <= images.AHEAD


def test_expected_images_are_read_by_another_thread_and_once(monkeypatch):
    source = Images(pixels(3, 40).numpy(), CPU, resident=0)
    readers = []
    real = Images._read

    def read(self, rows):
        readers.append(threading.current_thread())
        return real(self, rows)

    monkeypatch.setattr(Images, "_read", read)
    source.expect(np.arange(5))
    source.take(np.arange(5))
    assert len(readers) == 1
    assert readers[0] is not threading.main_thread()
    source.take(np.arange(5))
    assert readers[1] is threading.main_thread()


def test_joined_parameters_keep_the_order_of_the_views():
    parts = [
        ViewParameters(**{name: np.full((2, 4), v) for name in ViewParameters.__annotations__})
        for v in (1, 2)
    ]
    assert ViewParameters.joined(parts).box[:, 0].tolist() == [1, 1, 2, 2]
