"""The compared methods: losses against slow versions, resuming, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss
from support.packed import write_packed
from support.rivals import OF_METHODS, rival

from ssl_ood.common.errors import UserError
from ssl_ood.common.proofs import load_tensors
from ssl_ood.common.registry import lookup
from ssl_ood.evaluation.features import embed, extract
from ssl_ood.methods.backbones import feature_width
from ssl_ood.methods.base import Batch, Moment, load_model, read_run
from ssl_ood.methods.rotation.loss import rotation_loss, turned
from ssl_ood.methods.simclr.loss import mutual_information, nt_xent
from ssl_ood.methods.updates import scale_by_trust
from ssl_ood.training.sources import open_sources
from ssl_ood.training.state import make_schedule
from ssl_ood.training.trainer import make_training, train, train_step

CPU = torch.device("cpu")
FIRST = Moment(0, 0, 1.0, 1.0)


@pytest.fixture
def classes(pack, tmp_path):
    """24 images of three classes, 3, 5 and 9, each of a brightness of its own."""
    labels = np.array([3, 5, 9])[np.arange(24) % 3]
    images = pack("shapes", "train", 24) // 4 + (20 * labels)[:, None, None, None].astype(np.uint8)
    folder = tmp_path / "data" / "shapes" / "train-16px"
    write_packed(folder, images, labels, dataset="shapes", split="train")
    return tmp_path / "data"


def step_of(config, data, rows=8):
    """A training, its first batch, and the loss with its parts."""
    run = make_training(config, CPU)
    run.method.network.eval()  # a slow version can then look at one image at a time
    batch = open_sources(config, data, CPU).batch(0, 3, rows)
    loss, parts = run.method.loss(batch, slice(0, rows), FIRST)
    return run.method, batch, loss.item(), parts


def slow_nt_xent(vectors: np.ndarray, temperature: float) -> float:
    """Equation 4.10, view by view; of 2 N rows, i and i + N are of one image."""
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    count = len(vectors)
    total = 0.0
    for i in range(count):
        others = [np.exp(vectors[i] @ vectors[k] / temperature) for k in range(count) if k != i]
        own = np.exp(vectors[i] @ vectors[(i + count // 2) % count] / temperature)
        total -= np.log(own / sum(others))
    return total / count


def test_supervised_loss_is_scikit_learns(classes):
    method, batch, loss, parts = step_of(rival("supervised"), classes)
    views = method.views_of(batch, slice(0, 8), "view", 0)
    p = method.network(views).softmax(1).detach().double().numpy()
    assert loss == pytest.approx(log_loss(batch.labels, p, labels=[0, 1, 2]), rel=1e-5)
    assert parts.item() == pytest.approx(np.mean(p.argmax(1) == batch.labels.numpy()))
    assert sorted(set(batch.labels.tolist())) == [0, 1, 2]  # the ranks of 3, 5 and 9


def test_rotation_loss_is_that_of_four_copies(data):
    method, batch, loss, _ = step_of(rival("rotation"), data)
    views = method.views_of(batch, slice(0, 8), "view", 0)
    total = 0.0
    for view in views.numpy():
        for turns in range(4):
            copy = torch.from_numpy(np.rot90(view, turns, (1, 2)).copy())[None]
            p = method.network(copy).detach().double().softmax(1)[0]
            total -= np.log(p[turns].item()) / 4
    assert loss == pytest.approx(total / len(views), rel=1e-5)


def test_nothing_known_of_rotations_costs_log_4():
    assert rotation_loss(torch.zeros(8, 4)).item() == pytest.approx(np.log(4))
    views = torch.arange(2 * 3 * 4 * 4.0).view(2, 3, 4, 4)
    assert torch.equal(turned(views)[:2], views)
    assert torch.equal(turned(turned(views)[2:4])[6:], views)  # 90 and 270 degrees: none


def test_geometric_loss_has_classes_of_the_upright_and_rotations_of_all(classes):
    method, batch, loss, parts = step_of(rival("geometric"), classes)
    views = method.views_of(batch, slice(0, 8), "view", 0)
    upright = method.network(views).softmax(1).detach().double().numpy()
    of_class = log_loss(batch.labels, upright, labels=[0, 1, 2])
    turns = [torch.rot90(views, r, (2, 3)) for r in range(4)]
    logits = [method.network.shift(method.network.features(t)) for t in turns]
    rotation = np.mean([-t.log_softmax(1)[:, r].mean().item() for r, t in enumerate(logits)])
    assert parts[:2].tolist() == pytest.approx([of_class, rotation], rel=1e-5)
    assert loss == pytest.approx(of_class + rotation, rel=1e-5)


def test_simclr_loss_is_equation_4_10(data):
    method, batch, loss, _ = step_of(rival("simclr"), data)
    views = [method.views_of(batch, slice(0, 8), name, 0) for name in ("one", "other")]
    vectors = method.network(torch.cat(views)).detach().double().numpy()
    assert loss == pytest.approx(slow_nt_xent(vectors, 0.5), rel=1e-5)


@given(
    st.integers(2, 6), st.integers(2, 5), st.floats(0.05, 2), st.integers(0, 1000)
)  # images, dimensions, temperature, seed
def test_nt_xent_against_the_slow_version(images, dimensions, temperature, seed):
    drawn = np.random.default_rng(seed).normal(size=(2 * images, dimensions))
    vectors = torch.from_numpy(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))
    loss = nt_xent(vectors[:images], vectors[images:], temperature)
    assert loss.item() == pytest.approx(slow_nt_xent(drawn, temperature), rel=1e-4, abs=1e-5)
    assert loss.item() >= 0


def test_alike_views_bound_no_information():
    """All vectors equal: the loss is log(2 N - 1), and equation 4.11 says 0 nats."""
    vectors = torch.ones(4, 3) / 3**0.5
    loss = nt_xent(vectors, vectors, 0.5).item()
    assert loss == pytest.approx(np.log(7))
    assert mutual_information(loss, 4) == pytest.approx(0, abs=1e-6)


def test_csi_contrasts_turned_copies_as_other_images(data):
    method, batch, loss, parts = step_of(rival("csi"), data, rows=4)
    vectors, right, logits = [], [], []
    for name in ("one", "other"):
        for turn in range(4):
            views = method.views_of(batch, slice(0, 4), f"{name}{turn}", 0)
            outputs = method.network.outputs(torch.rot90(views, turn, (2, 3)))
            vectors.append(outputs[0].detach().double().numpy())
            logits.append(outputs[1].detach().double().softmax(1).numpy())
            right += [turn] * 4
    contrastive = slow_nt_xent(np.concatenate(vectors), 0.5)
    shift = log_loss(right, np.concatenate(logits), labels=[0, 1, 2, 3])
    assert parts[:2].tolist() == pytest.approx([contrastive, shift], rel=1e-5)
    assert loss == pytest.approx(contrastive + shift, rel=1e-5)


def test_lars_scales_every_gradient_by_trust():
    rng = np.random.default_rng(0)
    weights, gradients = rng.normal(size=(2, 3, 4))
    parameters = [torch.nn.Parameter(torch.from_numpy(w.copy())) for w in weights]
    parameters.append(torch.nn.Parameter(torch.zeros(3, dtype=torch.float64)))
    for p, g in zip(parameters, [*gradients, np.ones(3)], strict=True):
        p.grad = torch.from_numpy(g.copy())
    group = {"params": parameters, "weight_decay": 0.1}
    scale_by_trust([group], trust=0.01, eps=0.0)
    for p, w, g in zip(parameters, weights, gradients, strict=False):
        norms = np.linalg.norm(w), np.linalg.norm(g)
        expected = (g + 0.1 * w) * 0.01 * norms[0] / (norms[1] + 0.1 * norms[0])
        np.testing.assert_allclose(p.grad.numpy(), expected, rtol=1e-12)
    np.testing.assert_array_equal(parameters[-1].grad.numpy(), np.ones(3))
    assert group["weight_decay"] == 0


@pytest.mark.parametrize("method", OF_METHODS)
def test_a_run_resumes_bit_for_bit_and_is_loaded_as_it_was_left(method, classes, tmp_path):
    """Stopped after its fourth step and gone on with from a new object."""
    config = rival(method, training={"epochs": 3, "lr_base": 0.3})
    sources = open_sources(config, classes, CPU)
    schedule = make_schedule(config, len(sources))

    def steps(run, first, last):
        for step in range(first, last):
            train_step(run, schedule, sources.batch(step, 3, 8), 8)
        return run

    whole = steps(make_training(config, CPU), 0, 9)
    part = steps(make_training(config, CPU), 0, 4)
    again = make_training(config, CPU)
    again.method.restore(part.method.state() | part.method.result())
    for turn, stopped in zip(again.method.turns(), part.method.turns(), strict=True):
        turn.optimizer.load_state_dict(stopped.optimizer.state_dict())
    again.step = 4
    steps(again, 4, 9)
    kept = again.method.model_state()
    for name, tensor in whole.method.model_state().items():
        assert torch.equal(tensor, kept[name]), name
    train(config, classes, tmp_path / "run", tmp_path / "checkpoints", device=CPU)
    weights = tmp_path / "run" / "model.safetensors"
    trained = load_tensors(weights)[0]
    assert all(torch.equal(trained[name], kept[name]) for name in kept)
    model = load_model(config, weights, CPU)
    images = np.load(classes / "shapes" / "train-16px" / "images.npy")
    features = extract(model, images, CPU)
    backbone = model.network.backbone
    assert features.shape == (24, 1 if method == "glow" else feature_width(backbone))
    assert np.isfinite(features).all()
    for name in lookup("method", method).more["offers"] & {"rotations", "csi"}:
        found = embed(model, name, images, CPU)
        assert found.shape == (24, 4, 4 if name == "rotations" else 12)
        np.testing.assert_allclose(found[5:9], embed(model, name, images[5:9], CPU), atol=1e-5)


def test_an_embedding_of_rotations_is_of_the_turned_images(classes, tmp_path):
    config = rival("rotation", training={"epochs": 1})
    train(config, classes, tmp_path / "run", tmp_path / "checkpoints", device=CPU)
    model = load_model(config, tmp_path / "run" / "model.safetensors", CPU)
    images = np.load(classes / "shapes" / "train-16px" / "images.npy")[:6]
    found = embed(model, "rotations", images, CPU)
    for turn in range(4):
        copies = np.rot90(images, turn, (1, 2)).copy()
        with torch.no_grad():
            expected = model.network(model.views(torch.from_numpy(copies)))
        np.testing.assert_allclose(found[:, turn], expected, atol=1e-5)


@pytest.mark.parametrize("method", ["supervised", "geometric"])
def test_classes_that_are_not_the_configs_are_refused(method, classes):
    with pytest.raises(UserError, match=r"has 3 classes, head\.classes says 4: set head\.classes"):
        open_sources(rival(method, head={"classes": 4}), classes, CPU)


def test_images_without_labels_are_refused(pack, tmp_path):
    images = pack("shapes", "train", 24)
    folder = tmp_path / "data" / "shapes" / "train-16px"
    write_packed(folder, images, np.full(24, -1), dataset="shapes", split="train")
    with pytest.raises(UserError, match="has images without a label"):
        open_sources(rival("supervised"), tmp_path / "data", CPU)


@pytest.mark.parametrize("method", OF_METHODS)
def test_more_devices_than_one_are_refused_before_planning(method):
    assert lookup("method", method).max_devices == 1
    faults = list(rival(method).faults(24, devices=2))
    assert any("set execution.devices to 1" in rest for _, rest in faults)
    assert not list(rival(method).faults(24, devices=1))


@pytest.mark.parametrize(
    ("method", "section", "values"),
    [
        ("supervised", "head", {"classes": 1}),
        ("simclr", "training", {"temperature": 0.0}),
        ("csi", "training", {"lars": -1.0}),
        ("csi", "views", {"crop_scale": [0.5, 1.2]}),
        ("geometric", "training", {"dropout": 1.5}),
        ("rotation", "training", {"nesterof": True}),
        ("uae", "training", {"betas": [0.5, 1.5]}),
        ("ccd", "views", {"patch": 4}),
        ("igd", "training", {"ssim_scales": []}),
        ("mtl", "training", {"contrastive_weight": -1.0}),
    ],
)
def test_a_wrong_setting_is_refused(method, section, values):
    with pytest.raises(UserError, match=f"{section}.{next(iter(values))}|{next(iter(values))}"):
        rival(method, **{section: values})


def test_the_batch_is_seen_as_a_whole(classes):
    """Batch normalisation and contrast see all images, whatever memory allows."""
    for method in OF_METHODS:
        run = make_training(rival(method), CPU)
        assert run.method.rows_at_a_time(8, 2) == 8
        assert isinstance(open_sources(rival(method), classes, CPU).batch(0, 3, 8), Batch)


def test_a_wide_residual_network_keeps_the_size_of_its_image():
    """WRN-40-2 (Zagoruyko and Komodakis, 2016): 2.2 million weights, 128 features of 8 x 8."""
    backbone = {
        "name": "resnetv2_18", "stem": "cifar", "stem_chs": 16, "channels": [32, 64, 128],
        "layers": [6, 6, 6],
    }  # fmt: skip
    config = rival("geometric", views={"size": 32}, backbone=backbone, head={"classes": 10})
    network = make_training(config, CPU).method.network
    maps = network.backbone.forward_features(torch.zeros(1, 3, 32, 32))
    assert maps.shape == (1, 128, 8, 8)
    assert sum(p.numel() for p in network.backbone.parameters()) == pytest.approx(2.24e6, rel=0.01)
    dropped = [m for m in network.backbone.stages.modules() if isinstance(m, torch.nn.Dropout)]
    assert len(dropped) == 18 and {m.p for m in dropped} == {0.3}  # one for each block


def test_simclr_takes_a_vision_transformer():
    backbone = {
        "name": "vit_small_patch16_224", "embed_dim": 16, "depth": 1, "num_heads": 2,
        "patch_size": 8,
    }  # fmt: skip
    config = rival("simclr")
    config = read_run(config.to_dict() | {"backbone": backbone})
    vectors = make_training(config, CPU).method.network(torch.zeros(2, 3, 16, 16))
    assert vectors.shape == (2, 8)
