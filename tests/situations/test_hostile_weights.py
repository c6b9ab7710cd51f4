"""Published weights that are forged or something else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ssl_ood.common.errors import UserError
from ssl_ood.datasets.weights import convert, load_weights

CATALOGUE = Path(__file__).parents[2] / "resources" / "datasets.yaml"


@pytest.fixture
def converted(tmp_path):
    """A function: the conversion of a file of this content, or of these tensors."""
    weights = replace(load_weights(CATALOGUE)["resnet50_imagenet"], backbone="resnet18")

    def go(content: object) -> None:
        path = tmp_path / "a.pth"
        path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
        manifest = {"archives": [{"file": path.name, "path": str(path), "sha256": "0" * 64}]}
        convert(weights, manifest, tmp_path / "made.safetensors")

    yield go
    assert not list(tmp_path.glob("*made*")), "something was written"


def test_a_tensor_of_four_bytes_that_claims_four_terabytes(converted):
    swollen = torch.zeros(1).as_strided((1 << 40,), (0,))
    with pytest.raises(UserError, match=r"is no resnet18 .*(1099511627776|it lacks)"):
        converted({"conv1.weight": swollen})


def test_names_that_are_no_text(converted):
    with pytest.raises(UserError, match=r"it lacks conv1\.weight"):
        converted({1: torch.zeros(1), ("a", 2): torch.zeros(1)})


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"<!DOCTYPE html>", "is a web page and not the file itself"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git-LFS"),
        (b"", "is not a PyTorch checkpoint of tensors"),
        (bytes(1000), "is not a PyTorch checkpoint"),
        (b"PK\3\4" + bytes(100), "is not a PyTorch checkpoint"),
    ],
)  # fmt: skip
def test_what_is_no_checkpoint(converted, content, text):
    with pytest.raises(UserError, match=text):
        converted(content)
