"""Convolutional backbones: the small stem against torchvision, and self-distillation with batch
statistics."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from safetensors.torch import load_file

from ssl_ood.common.errors import UserError
from ssl_ood.common.files import write_json
from ssl_ood.evaluation.features import extract
from ssl_ood.methods.backbones import build_backbone, feature_width
from ssl_ood.methods.base import Batch, load_model, read_run
from ssl_ood.methods.dino.network import build_network
from ssl_ood.methods.dino.views import make_views
from ssl_ood.methods.settings import Backbone
from ssl_ood.study import networks
from ssl_ood.training import trainer
from ssl_ood.training.trainer import make_schedule, make_training, train, train_step
from ssl_ood.views.render import resize_plain

CPU = torch.device("cpu")
PACKAGE = Path(trainer.__file__).parents[2]
RESNET = {"name": "resnet18", "channels": [8, 8, 16, 16], "layers": [1, 1, 1, 1]}


@pytest.fixture
def conv(tiny):
    """A function: the tiny run with a small ResNet, some settings replaced."""

    def build(backbone=RESNET, **changes):
        return read_run(tiny(**changes).to_dict() | {"backbone": backbone})

    return build


def images(count=8, seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8))


def stepped(config, micro, steps=2):
    """The method after some steps on the same images."""
    run, schedule = make_training(config, CPU), make_schedule(config, 24)
    for _ in range(steps):
        train_step(run, schedule, Batch(images(), negatives=images(seed=1)), micro)
    return run.method


# ---- the backbone --------------------------------------------------------------------------------


def test_the_small_stem_is_torchvisions_resnet_with_its_beginning_replaced():
    torch.manual_seed(0)
    ours = build_backbone(Backbone(name="resnet18", stem="cifar"), 32).eval()
    theirs = torchvision.models.resnet18(num_classes=10)
    theirs.conv1 = torch.nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
    theirs.maxpool = torch.nn.Identity()
    # The 11.17 million of the literature on CIFAR-10, with a layer of ten classes.
    assert sum(p.numel() for p in theirs.parameters()) == 11_173_962
    assert sum(p.numel() for p in ours.parameters()) == 11_173_962 - 10 * (512 + 1)
    theirs.fc = torch.nn.Identity()
    theirs.load_state_dict(ours.state_dict())
    views = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(ours(views), theirs.eval()(views))
        assert ours.layer1(ours.maxpool(ours.conv1(views))).shape == (2, 64, 32, 32)
    # drawn as timm draws: He et al. 2015, by the number of outputs
    spread = ours.conv1.weight.std().item()
    assert spread == pytest.approx(math.sqrt(2 / (64 * 9)), rel=0.1)


def test_timms_stem_is_left_as_it_is():
    torch.manual_seed(0)
    ours = build_backbone(Backbone(name="resnet18"), 32)
    torch.manual_seed(0)
    theirs = timm.create_model("resnet18", num_classes=0)
    assert all(map(torch.equal, ours.state_dict().values(), theirs.state_dict().values()))


@pytest.mark.parametrize(
    "name", ["resnet18", "convnext_atto", "mobilenetv3_small_050", "regnety_002", "vgg11",
             "vit_tiny_patch16_224"],
)  # fmt: skip
def test_any_network_of_timm_gives_pooled_features(name):
    with torch.device("meta"):
        network = build_backbone(Backbone(name=name), 64).eval()
        for size in (64, 32):
            if name == "vgg11" and size == 32:
                continue  # five halvings before a layer of 7 x 7
            assert network(torch.empty(1, 3, size, size)).shape == (1, feature_width(network))


@pytest.mark.parametrize(
    ("backbone", "sentence"),
    [
        ({"name": "resnet18d", "stem": "cifar"}, "does not begin with one convolution and a max"),
        ({"name": "resnet18", "depht": 2}, "unexpected keyword argument 'depht'"),
        (RESNET | {"norm_layer": "groupnorm"}, "must be divisible by num_groups"),
    ],
)
def test_what_cannot_be_built_is_one_sentence(conv, backbone, sentence):
    with pytest.raises(UserError, match=sentence):
        build_network(conv(backbone).options)


def test_a_network_without_pooled_features_of_these_views_is_one_sentence(conv):
    """ConViT has an embedding for each patch of one size of images, 224 pixels by default."""
    config = conv({"name": "convit_tiny"})
    with pytest.raises(UserError, match=r"^convit_tiny cannot take images of views.global_size 16"):
        networks.size_of(config)
    assert networks.size_of(conv()).features == 16


@pytest.mark.parametrize(
    ("changes", "key", "sentence"),
    [
        ({"backbone": RESNET | {"position": "bicubic"}}, "backbone.position",
         "is of vision transformers, and resnet18 is none: write `position: null`."),
        ({"backbone": RESNET | {"cls_token_std": 0.02}}, "backbone.cls_token_std",
         "is of vision transformers, and resnet18 is none: write `cls_token_std: null`."),
        ({"backbone": {"name": "vit_tiny_patch16_224", "stem": "cifar"}}, "backbone.stem",
         "cifar is of ResNets, and vit_tiny_patch16_224 is none: leave it out."),
        ({"backbone": {"name": "vit_tiny_patch8_224"}, "training": {"batch_norm_images": 4}},
         "training.batch_norm_images",
         "4 has no effect, since neither vit_tiny_patch8_224 nor the head has batch statistics: "
         "leave it out."),
        ({"training": {"batch_norm_images": 3}}, "training.batch_norm_images",
         "3 does not divide the 8 images of a batch that a device works on: change one of them."),
        ({"training": {"batch_size": 1}}, "training.batch_size",
         "1 gives resnet18 no batch statistics: raise it."),
    ],
)  # fmt: skip
def test_options_that_do_not_fit_are_told_before_planning(conv, changes, key, sentence):
    assert (key, sentence) in list(conv(**changes).faults(24))


def test_batch_statistics_of_the_whole_batch_are_of_one_device(conv):
    said = dict(conv().faults(24, devices=2))
    assert said["training.batch_size"] == (
        "8 is normalised over as a whole in resnet18: set execution.devices to 1, or "
        "training.batch_norm_images to the 4 images of a device."
    )
    assert not list(conv(training={"batch_norm_images": 4}).faults(24, devices=2))
    assert (conv().options.together, conv(training={"batch_norm_images": 4}).options.together) == (
        8,
        4,
    )
    plain = RESNET | {"channels": [32, 32, 32, 32], "norm_layer": "groupnorm"}
    assert conv(plain).options.together == 1
    assert not list(conv(plain).faults(24, devices=2))


def test_the_head_is_the_references_with_its_batch_normalisation(conv, tiny):
    """Caron et al.: Linear, BatchNorm1d, GELU, again, Linear; over the views of all sizes."""
    config = conv(head={"batch_norm": True})
    network = build_network(config.options)
    mlp = network.head.mlp
    kinds = [type(module).__name__ for module in mlp]
    assert kinds == ["Linear", "BatchNorm1d", "GELU"] * 2 + ["Linear"]
    big, small = torch.randn(4, 3, 16, 16), torch.randn(6, 3, 8, 8)
    found = torch.cat(network([big, small]))
    features = torch.cat([network.features(views) for views in (big, small)])
    hidden = features
    for linear, norm in ((mlp[0], mlp[1]), (mlp[3], mlp[4])):
        hidden = linear(hidden)
        spread = ((hidden - hidden.mean(0)) ** 2).mean(0)
        hidden = torch.nn.functional.gelu((hidden - hidden.mean(0)) / (spread + norm.eps).sqrt())
    unit = torch.nn.functional.normalize(mlp[6](hidden), dim=1)
    expected = unit @ torch.nn.functional.normalize(network.head.prototypes, dim=1).T
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)
    vit = tiny(head={"batch_norm": True})
    assert (vit.options.together, tiny().options.together) == (8, 1)
    assert "8 is normalised over as a whole in the head" in dict(vit.faults(24, 2)).popitem()[1]


# ---- a step --------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", [False, True])
@pytest.mark.parametrize("together", [None, 4])
def test_memory_does_not_change_what_is_learned(conv, together, head):
    training = {"batch_norm_images": together} if together else {}
    config = conv(training=training, head={"batch_norm": head})
    whole, pieces = stepped(config, 8), stepped(config, 1)
    for network in ("student", "teacher"):
        found, expected = (getattr(m, network).state_dict() for m in (pieces, whole))
        assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert int(whole.teacher.backbone.bn1.num_batches_tracked) == (4 if together else 2)


def test_without_batch_statistics_micro_batches_give_the_gradient_of_the_whole_batch(conv):
    config = conv(RESNET | {"channels": [32, 32, 32, 32], "norm_layer": "groupnorm"})
    gradients = [stepped(config, micro, 1).student.backbone.conv1.weight.grad for micro in (8, 3)]
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-6)


def test_the_teacher_has_running_statistics_of_its_own_global_views(conv):
    """By hand: a tenth of the mean of its first layer's output, and not the student's."""
    config = conv()
    fresh = make_training(config, CPU).method.teacher.backbone
    big, _ = make_views(images(), config, "positive", 0, slice(0, 8))
    seen = fresh.conv1(big.flatten(0, 1)).detach()
    method = stepped(config, 8, steps=1)
    found = method.teacher.backbone.bn1
    torch.testing.assert_close(found.running_mean, 0.1 * seen.mean((0, 2, 3)))
    torch.testing.assert_close(found.running_var, 0.9 + 0.1 * seen.var((0, 2, 3)))
    assert not torch.equal(found.running_mean, method.student.backbone.bn1.running_mean)


def test_stochastic_depth_is_of_the_student_alone_and_does_not_depend_on_memory(conv):
    config = conv(RESNET | {"drop_path_rate": 0.5}, training={"batch_norm_images": 4})
    one, other = stepped(config, 8), stepped(config, 1)
    assert [path.drop_prob for path in one.student.drop_paths] == pytest.approx([1 / 6, 1 / 3, 0.5])
    assert not [path for path in one.teacher.drop_paths if path.drop_prob]
    found, expected = one.student.state_dict(), other.student.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


# ---- a run ---------------------------------------------------------------------------------------


def test_told_to_stop_it_resumes_to_the_same_weights(conv, data, tmp_path, monkeypatch):
    config = conv(training={"stop_on_collapse": False})
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


def test_features_are_those_of_the_running_statistics(conv, data, pack, tmp_path):
    config = conv(training={"stop_on_collapse": False, "epochs": 1})
    train(config, data, tmp_path / "run", tmp_path / "c", device=CPU)
    model = load_model(config, tmp_path / "run" / "model.safetensors", CPU)
    tested = pack("shapes", "test", 10)
    features = extract(model, tested, CPU)
    pixels = resize_plain(torch.from_numpy(tested), 16, [0.5] * 3, [0.25] * 3)
    expected = model.network.backbone.forward_features(pixels).mean((2, 3)).detach()
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)
    # An image's features do not depend on those beside it, as they do in training.
    np.testing.assert_allclose(
        extract(model, tested[:1], CPU)[0], expected[0], rtol=1e-4, atol=1e-5
    )


def test_two_processes_give_the_weights_of_one(conv, data, tmp_path):
    config = conv(training={"batch_norm_images": 4, "stop_on_collapse": False, "epochs": 2})
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
