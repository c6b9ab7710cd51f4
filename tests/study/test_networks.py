"""What `ssl_ood check` says: the networks of a study, and the machine's driver."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ssl_ood.cli import main
from ssl_ood.common.errors import UserError
from ssl_ood.study import networks

ROOT = Path(__file__).parents[2]


def test_each_distinct_network_is_built_once(thesis, load, monkeypatch):
    runs = load(thesis).runs.values()
    built = []
    real = networks._build
    monkeypatch.setattr(networks, "_SIZES", {})
    monkeypatch.setattr(networks, "_build", lambda s: built.append(s.run) or real(s))
    found = networks.check_networks(runs)
    # Chapters 6 and 7 (other views), MoCo, fine-tuning; of other readings the position embeddings,
    # the class token, the last layer fixed, the head frozen, and all as written; of the compared
    # methods five, two of them with 10 and with 100 classes, two flows, an autoencoder and
    # three that have opponents; CCD, IGD and MTL; one with a linear layer; of pretext tasks all
    # but rotation prediction, which is among them.
    assert len(built) == len(found) == 4 + 5 + 7 + 2 + 1 + 3 + 3 + 1 + 10
    assert sum(len(same) for _, same in found) == len(runs)
    # Of the thesis: ViT-S/16 at 256 pixels with its head; a ResNet-50 is 23,508,032 without its
    # classifier, as timm's documentation has it.
    sizes = {same[0].method: size for size, same in reversed(found)}  # the first of each
    # Of its head: 384 x 2048, 2048 x 2048 and 2048 x 256 with their biases (5,509,376), 4096
    # prototypes of 256 (1,048,576) and their norms (4,096).
    assert sizes["dino"].parameters == sizes["dino"].backbone + 6_562_048
    assert sizes["moco"].backbone == sizes["finetune"].backbone == 23_508_032
    assert sizes["finetune"].parameters == 23_508_032 + 2049
    assert (sizes["dino"].features, sizes["moco"].features) == (384, 2048)


@pytest.mark.parametrize(
    ("backbone", "sentence"),
    [
        ({"name": "vit_smal"}, "timm cannot make the backbone vit_smal"),
        ({"name": "vit_small_patch16_224", "depht": 2}, "unexpected keyword argument 'depht'"),
        # heads of the model, 6, that do not divide
        ({"name": "vit_small_patch16_224", "embed_dim": 100}, "timm cannot make the backbone"),
    ],
)
def test_a_network_that_cannot_be_built_is_a_sentence_with_its_place(
    thesis, load, backbone, sentence
):
    thesis["methods"]["dino"]["backbone"] = backbone
    with pytest.raises(UserError) as error:
        networks.check_networks(load(thesis).runs.values())
    assert str(error.value).startswith("config: methods.dino.backbone: timm cannot make")
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_check_says_what_it_has_built(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    files = ["config.yaml", "profiles/demo/study.yaml"]
    assert main(["check", "--configfile", *files]) == 0
    said = capsys.readouterr().out
    assert said.startswith("83 runs for 30 tables and 11 figures: no mistake found.")
    assert "dino vit_small_patch16_224 (natural)" in said
    assert torch.__version__ in said


def test_check_without_networks_imports_nothing_heavy(tmp_path):
    code = (
        "import sys\n"
        "from ssl_ood.cli import main\n"
        "assert main(['check', '--no-backbones']) == 0\n"
        "heavy = {'torch', 'timm', 'pandas', 'matplotlib', 'sklearn', 'seaborn'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, text=True, check=False, capture_output=True
    )
    assert done.returncode == 0, done.stderr


def test_a_mistake_ends_check_with_one_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    mine = tmp_path / "mine.yaml"
    mine.write_text("evaluation: {scores: [cosine_tua]}\n")
    assert main(["check", "--configfile", str(mine)]) == 2
    assert capsys.readouterr().err == (
        "ssl_ood check: config: evaluation.scores: unknown score 'cosine_tua'; did you mean "
        "'cosine_tau'?\n"
    )
