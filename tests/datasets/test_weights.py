"""Published weights: fetched, compared by what is known of their checksum, converted, loaded."""

from __future__ import annotations

import hashlib
import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
import torchvision
import yaml
from safetensors import safe_open
from safetensors.torch import load_file

from ssl_ood import cli
from ssl_ood.common.errors import UserError
from ssl_ood.datasets.catalogue import Archive, load_catalogue
from ssl_ood.datasets.download import Hashes
from ssl_ood.datasets.fetch import check, fetch
from ssl_ood.datasets.weights import convert, from_dict, load_weights

CATALOGUE = Path(__file__).resolve().parents[2] / "resources" / "datasets.yaml"
FILES = {
    "moco_v2_imagenet": "moco_v2_800ep_pretrain.pth.tar",
    "resnet50_imagenet": "resnet50-0676ba61.pth",
    "resnet18_imagenet": "resnet18-f37072fd.pth",
}


@pytest.fixture
def weights():
    return load_weights(CATALOGUE)


@pytest.fixture
def trained():
    """A ResNet-18 whose normalisation layers have seen something, in evaluation mode."""
    torch.manual_seed(1)
    model = torchvision.models.resnet18()
    for _ in range(3):
        model(torch.randn(4, 3, 64, 64))
    return model.eval()


def write(make, name, folder, state=None, **options):
    write_it = make.moco_weights if name == "moco_v2_imagenet" else make.torchvision_weights
    folder.mkdir(exist_ok=True)
    return write_it(folder / FILES[name], state, **options)


def manifest_of(path):
    return {"archives": [{"file": path.name, "path": str(path), "sha256": "0" * 64}]}


def pooled(model, images):
    """Features of a torchvision ResNet before its classifier."""
    with torch.no_grad():
        layers = torch.nn.Sequential(*list(model.children())[:-1])
        return layers(images).flatten(1)


def test_the_entries_are_what_their_authors_publish(weights):
    assert {w.name: w.archives[0].file for w in weights.values()} == FILES
    moco, classifier = weights["moco_v2_imagenet"].archives[0], weights["resnet50_imagenet"]
    assert moco.md5 == "a04e12f8" and moco.sha256 is None
    assert moco.only_prefix == "the first 8 digits of md5"
    assert classifier.archives[0].sha256 == "0676ba61"
    published = torchvision.models.ResNet50_Weights.IMAGENET1K_V1
    assert classifier.archives[0].urls == (published.url,)
    small = torchvision.models.ResNet18_Weights.IMAGENET1K_V1
    assert weights["resnet18_imagenet"].archives[0].urls == (small.url,)
    assert weights["resnet18_imagenet"].archives[0].sha256 == "f37072fd"
    assert not set(weights) & set(load_catalogue(CATALOGUE))
    for entry in weights.values():
        data = json.loads(json.dumps(entry.to_dict()))
        assert from_dict(data.pop("name"), data) == entry


@pytest.mark.parametrize("legacy", [True, False], ids=["legacy", "zip"])
@pytest.mark.parametrize("name", FILES)
def test_the_backbone_computes_what_it_did(weights, trained, make, tmp_path, name, legacy):
    path = write(make, name, tmp_path, trained.state_dict(), legacy=legacy)
    output = tmp_path / "made" / "weights.safetensors"
    convert(replace(weights[name], backbone="resnet18"), manifest_of(path), output)
    model = timm.create_model("resnet18", num_classes=0).eval()
    model.load_state_dict(load_file(output))
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model(images), pooled(trained, images))
    assert all(v.dtype == torch.float32 for v in load_file(output).values())
    assert not any("fc." in key for key in load_file(output))


def test_the_entry_itself_is_a_resnet50(weights, make, tmp_path):
    model = torchvision.models.resnet50().eval()
    path = write(make, "moco_v2_imagenet", tmp_path, model.state_dict())
    output = tmp_path / "weights.safetensors"
    convert(weights["moco_v2_imagenet"], manifest_of(path), output)
    own = timm.create_model("resnet50", num_classes=0).eval()
    own.load_state_dict(load_file(output))
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(own(images), pooled(model, images))


def test_half_precision_becomes_single(weights, trained, make, tmp_path):
    half = {k: v.half() if v.is_floating_point() else v for k, v in trained.state_dict().items()}
    path = write(make, "resnet50_imagenet", tmp_path, half)
    output = tmp_path / "weights.safetensors"
    convert(replace(weights["resnet50_imagenet"], backbone="resnet18"), manifest_of(path), output)
    assert {v.dtype for v in load_file(output).values()} == {torch.float32}


class Evil:
    """Runs a command when it is unpickled without care."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


def test_no_code_in_a_checkpoint_is_run(weights, tmp_path):
    mark = tmp_path / "ran"
    for content in (Evil(mark), {"state_dict": Evil(mark)}):
        path = tmp_path / "evil.pth"
        torch.save(content, path)
        with pytest.raises(UserError, match=r"evil.pth is not a PyTorch checkpoint of tensors"):
            convert(weights["resnet50_imagenet"], manifest_of(path), tmp_path / "out.safetensors")
        path.write_bytes(pickle.dumps(content, protocol=2))
        with pytest.raises(UserError, match=r"evil.pth is not a PyTorch checkpoint of tensors"):
            convert(weights["resnet50_imagenet"], manifest_of(path), tmp_path / "out.safetensors")
    assert not mark.exists() and not (tmp_path / "out.safetensors").exists()


def test_a_file_that_is_no_such_checkpoint_is_said(weights, trained, make, tmp_path):
    entry = replace(weights["moco_v2_imagenet"], backbone="resnet18")
    output = tmp_path / "out.safetensors"

    def refused(path, message, entry=entry):
        with pytest.raises(UserError, match=message):
            convert(entry, manifest_of(path), output)
        assert not output.exists()

    (tmp_path / "page.pth").write_text("<html>not found</html>")
    refused(
        tmp_path / "page.pth", r"page.pth is not a PyTorch checkpoint of tensors \(.*fetch it again"
    )
    whole = write(make, "moco_v2_imagenet", tmp_path, legacy=False).read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    refused(tmp_path / "cut.pth", r"cut.pth is not a PyTorch checkpoint of tensors")
    torch.save([1, 2], tmp_path / "list.pth")
    refused(tmp_path / "list.pth", r"list.pth holds a list, not tensors by name")
    other = write(make, "resnet50_imagenet", tmp_path)  # a classifier in place of MoCo
    refused(other, r"is no resnet18 .* it lacks module.encoder_q.conv1.weight and \d+ more such")
    larger = replace(entry, backbone="resnet50")
    path = write(make, "moco_v2_imagenet", tmp_path)
    refused(path, r"is no resnet50 as the catalogue describes moco_v2_imagenet: it lacks", larger)
    state = trained.state_dict()
    state["conv1.weight"] = state["conv1.weight"][:, :1]
    path = write(make, "moco_v2_imagenet", tmp_path, state)
    refused(path, r"encoder_q.conv1.weight is \(64, 1, 7, 7\), not \(64, 3, 7, 7\)")
    refused(tmp_path / "nowhere.pth", r"nowhere.pth is no longer there")


def test_a_prefix_of_a_checksum_is_compared_as_far_as_it_goes(weights, make, tmp_path):
    path = write(make, "resnet50_imagenet", tmp_path / "shared")
    entry = weights["resnet50_imagenet"]
    with pytest.raises(UserError, match=r"sha256 expected 0676ba61, found [0-9a-f]{64}"):
        fetch(replace(entry, archives=(replace(entry.archives[0], urls=()),)),
              tmp_path / "d", [tmp_path / "shared"])  # fmt: skip
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    for known, verified in ((digest[:8], False), (digest, True)):
        archive = replace(entry.archives[0], sha256=known)
        (found,) = fetch(
            replace(entry, archives=(archive,)), tmp_path / "d", [tmp_path / "shared"]
        )["archives"]
        assert found["verified"] is verified and found["way"] == "archive_dirs"
        compared = None if verified else "only the first 8 digits of sha256"
        assert found.get("compared") == compared
    assert Archive("a", md5="1" * 32, sha256="2" * 8).only_prefix is None
    assert Archive("a").only_prefix is None


def test_weights_are_downloaded_as_archives_are(weights, make, mirror, tmp_path):
    path = write(make, "moco_v2_imagenet", mirror.folder)
    digest = hashlib.md5(path.read_bytes()).hexdigest()
    (archive,) = weights["moco_v2_imagenet"].archives
    archive = replace(archive, md5=digest[:8], urls=(f"{mirror.url}/{path.name}",))
    entry = replace(weights["moco_v2_imagenet"], archives=(archive,))
    (found,) = fetch(entry, tmp_path / "d", context=mirror.context)["archives"]
    assert found["way"] == "download" and found["md5"] == digest
    assert Path(found["path"]) == tmp_path / "d" / "moco_v2_imagenet" / path.name
    problem = check(archive, Hashes("0" * 32, "0" * 64, 1))
    assert problem == f"md5 expected {digest[:8]}, found {'0' * 32} (1 bytes)"


def test_from_the_command_line(make, tmp_path, capsys):
    data = yaml.safe_load(CATALOGUE.read_text())
    path = write(make, "moco_v2_imagenet", tmp_path / "shared")
    entry = data["weights"]["moco_v2_imagenet"]
    entry["backbone"] = "resnet18"
    digest = hashlib.md5(path.read_bytes()).hexdigest()
    entry["archives"][0]["md5"] = digest[:8]
    catalogue = tmp_path / "datasets.yaml"
    catalogue.write_text(yaml.safe_dump(data))
    manifest, output = tmp_path / "m.json", tmp_path / "w" / "moco.safetensors"
    places = ["--downloads", tmp_path / "d", "--archive-dirs", tmp_path / "shared"]
    stages = ["fetch", "moco_v2_imagenet", *places, "--manifest", manifest]
    convert_it = ["weights", "moco_v2_imagenet", "--manifest", manifest, "--output", output]
    for arguments in (convert_it, stages, convert_it):
        code = cli.main([str(a) for a in [*arguments, "--catalogue", catalogue]])
        assert code == (2 if not manifest.exists() else 0)
    said = capsys.readouterr()
    assert "UNVERIFIED: only the first 8 digits of md5" in said.out
    assert f"{output}: the resnet18 of MoCo v2 on ImageNet" in said.out
    assert "There is no manifest" in said.err
    with safe_open(output, "pt") as file:
        metadata = file.metadata()
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert metadata["sha256"] == sha256 and metadata["backbone"] == "resnet18"
    assert metadata["source"].startswith("https://dl.fbaipublicfiles.com/moco/")


def test_a_name_with_two_meanings_is_said(tmp_path):
    entry = "{title: W, access: free, licence: null, citation: null, backbone: resnet18,"
    entry += " prefix: '', head: fc., archives: [{file: w.pth}]}"
    path = tmp_path / "datasets.yaml"
    path.write_text(
        "datasets: {a: {title: A, kind: demo, access: package, licence: null, citation: null,"
        " reader: idx, splits: {all: {count: 1}}, archives: [{file: a.gz, package: a}]}}\n"
        f"weights: {{a: {entry}}}"
    )
    with pytest.raises(UserError, match="has the name a twice, as a dataset and as weights"):
        load_weights(path)
