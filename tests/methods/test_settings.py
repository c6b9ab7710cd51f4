"""What a method declares, and the settings of a run: read, written, and refused."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from support.other_methods import FINETUNE, MOCO, run_of
from support.rivals import OF_METHODS, rival
from support.training import CONFIG

import ssl_ood
from ssl_ood.common import registry
from ssl_ood.common.errors import UserError
from ssl_ood.common.registry import SOURCES, entries, names
from ssl_ood.methods.base import Model, load_model, method_of, read_run
from ssl_ood.training.trainer import make_training

CPU = torch.device("cpu")
RUNS = {"dino": CONFIG, "moco": MOCO, "finetune": FINETUNE}
RUNS |= {method: rival(method).to_dict() for method in OF_METHODS}
EMBEDDINGS = {  # of `Model.embed`
    "rotations", "csi", "reconstruction", "igd", "transformations", "autoencoding", "recoding",
    "attention", "arrangements",
}  # fmt: skip


@pytest.mark.parametrize("method", RUNS)
def test_a_run_is_written_as_it_was_read(method):
    config = json.loads(json.dumps(RUNS[method] | {"schema": 2}))
    assert read_run(config).to_dict() == config


def test_every_method_declares_what_others_ask_for(tmp_path):
    assert sorted(names("method")) == sorted(RUNS)
    for entry in entries("method"):
        assert entry.title and entry.notes and entry.source in SOURCES
        assert entry.more["offers"] >= {"features", "images"}
        assert entry.load() is method_of(read_run(RUNS[entry.name]))
        methods = {
            "soft_classes": Model.soft_classes,
            "logits": Model.logits,
            "patch_tokens": Model.patch_tokens,
        }
        model = _model(entry.name, tmp_path)
        for name, absent in methods.items():
            offered = getattr(type(model), name) is not absent
            assert offered == (name in entry.more["offers"]), (entry.name, name)
        embeds = type(model).embed is not Model.embed
        assert embeds == bool(entry.more["offers"] & EMBEDDINGS), entry.name


def _model(method, folder):
    run = make_training(read_run(RUNS[method]), CPU)
    path = folder / f"{method}.safetensors"
    save_file({k: v.contiguous() for k, v in run.method.model_state().items()}, path)
    return load_model(run.settings, path, CPU)


@pytest.mark.parametrize("method", RUNS)
def test_a_model_gives_views_features_and_what_it_offers(method, tmp_path):
    model = _model(method, tmp_path)
    options = read_run(RUNS[method]).views
    size = options.global_size if method == "dino" else options.size
    images = torch.randint(0, 256, (5, 16, 16, 3), dtype=torch.uint8)
    with torch.inference_mode():
        views = model.views(images)
        features = model.features(views)
        assert views.shape == (5, 3, size, size)
        assert (features.shape[0], features.ndim) == (5, 2)
        assert not model.network.training and len(model.sha256) == 64
        if method == "dino":
            patches = model.patch_tokens(views)
            assert patches.shape == (5, 4, features.shape[1])
            found = model.soft_classes(features)
            assert found.shape == (5, 12)
            torch.testing.assert_close(found.sum(1), torch.ones(5))
            logits = model.network.head(features) - model.centre
            torch.testing.assert_close(found, torch.softmax(logits / 0.03, 1))
        if method == "finetune":
            assert torch.equal(model.logits(features), features)


@pytest.mark.parametrize("method", RUNS)
def test_the_figure_of_views_gets_rows_from_the_method(method):
    settings = read_run(RUNS[method])
    rows = method_of(settings).example_views(settings)
    assert len({name for _, _, name, _ in rows}) == len(rows)
    assert {source for *_, source in rows} <= {"images", "negatives"}
    assert ("negatives" in {source for *_, source in rows}) == (method == "dino")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"method": "dine"}, "unknown method 'dine'; did you mean 'dino'?"),
        ({"training": {"epoch": 3}}, "training has an unknown key 'epoch'; did you mean 'epochs'?"),
        ({"training": {"lambda_": 1.0}}, None),  # its name in Python
        ({"heads": {}}, "the top level has an unknown key 'heads'"),
        ({"seed": 0.5}, "seed is 0.5, where a whole number belongs"),
    ],
)
def test_what_is_no_run_is_a_sentence(tiny, changes, sentence):
    if sentence is None:
        changed = tiny().to_dict()
        changed["training"]["lambda_"] = changed["training"].pop("lambda")
        assert read_run(changed).training.lambda_ == 1.0
        return
    with pytest.raises(UserError) as error:
        tiny(**changes)
    assert sentence in str(error.value)
    assert str(error.value).startswith("natural-shapes-rot_photos-base-seed0: ")


@pytest.mark.parametrize(
    ("settings", "devices", "faults"),
    [
        (run_of(FINETUNE), 1, []),
        (run_of(FINETUNE), 2, ["training.batch_size"]),
        (run_of(MOCO), 2, []),
        (run_of(MOCO), 4, ["training.batch_norm_images"]),  # groups of 4 of 8 images
        (run_of(MOCO, training={"queue": 20}), 1, ["training.queue"]),
    ],
)
def test_faults_depend_on_the_devices(settings, devices, faults):
    assert [key for key, _ in settings.faults(24, devices)] == faults


def test_no_method_is_named_outside_of_its_folder():
    """But where they are imported, in comments and docstrings, and as names of scores, some of
    which their papers call as the method."""
    package = Path(ssl_ood.__file__).parent
    named = re.compile(rf"""["']({"|".join(RUNS)})["']|methods\.({"|".join(RUNS)})\b""")
    found = {
        f"{path.relative_to(package)}: {line.strip()}"
        for path in package.rglob("*.py")
        if path.parent.parent.name != "methods" and path.parent.name != "scores"
        if path.name != "declarations.py"
        for line in path.read_text(encoding="utf-8").splitlines()
        if named.search(line) and '"""' not in line
    }
    assert found == set()


def test_weights_are_a_function_of_the_versions_of_their_method_and_shifts(monkeypatch, tiny):
    pairs = [{"source": "shapes", "split": "train", "shift": shift} for shift in ("rot90", None)]
    run = tiny(negatives=pairs)
    assert run.code.keys() == {"train", "method dino", "shift rot90"}
    before = run.code
    for kind, name in (("method", "dino"), ("shift", "rot90")):
        entry = registry.lookup(kind, name)
        newer = replace(entry, version=entry.version + 1)
        with monkeypatch.context() as patch:
            patch.setitem(registry._ENTRIES[kind], name, newer)
            assert run.code == before | {f"{kind} {name}": newer.version}
