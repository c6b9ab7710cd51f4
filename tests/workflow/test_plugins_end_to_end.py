"""A method, two scores, a table and a figure, each in one file outside the package."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]
PLUGINS = ("toy_method", "toy_knn", "toy_reconstruction", "toy_table", "toy_figure")
RUN = "mine-demo_retina-none-base-seed0"
OVERLAY = {
    "plugins": [str(ROOT / "tests" / "plugins" / f"{name}.py") for name in PLUGINS],
    "methods": {
        "toy": {
            "training": {
                "epochs": 1, "batch_size": 50, "lr_base": 0.05, "lr_min": 0.0, "warmup_epochs": 0,
                "weight_decay": [0.0, 0.0], "clip_grad": 0.0, "precision": "float32",
            },
            "views": {
                "size": 32, "interpolation": "bilinear", "rotation": 0, "resize": 32, "flip_p": 0.5,
                "jitter": [0.0, 0.0, 0.0, 0.0], "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25],
            },
            "backbone": {"name": "resnet18", "channels": [4, 4, 8, 8], "layers": [1, 1, 1, 1]},
            "head": {"features": 6},
        }
    },
    "studies": {
        "mine": {
            "method": "toy",
            "size": 32,
            "evaluation": {
                "scores": ["knn_distance", "reconstruction"],
                "parameters": {"knn_distance": {"k": 3}},
            },
            "in_distribution": {
                "demo_retina": {
                    "train_split": "train_{seed}",
                    "test_split": "test_{seed}",
                    "ood": ["demo_retina_opacity"],
                }
            },
        }
    },
    "tables": {
        "my_scores": {
            "form": "every_score", "study": "mine", "in_distribution": ["demo_retina"],
            "strategies": ["none"], "digits": 1,
        }
    },
    "figures": {
        "my_bars": {
            "form": "bars", "study": "mine", "in_distribution": ["demo_retina"],
            "strategies": ["none"],
        }
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory, snakemake):
    """The results of `snakemake my_scores my_bars`."""
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "overlay.yaml").write_text(yaml.safe_dump(OVERLAY))
    done = snakemake(
        "my_scores", "my_bars", "--cores", 2,
        "--configfile", "profiles/demo/study.yaml", folder / "overlay.yaml",
        "--config", f"results_dir={folder / 'results'}",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    return folder / "results"


def test_the_scores_are_those_of_their_definitions(results):
    scores = pd.read_parquet(results / "scores" / f"{RUN}.parquet")
    train, ood = (
        np.load(results / "features" / RUN / f"{name}.npy")
        for name in ("demo_retina-train_0", "demo_retina_opacity-test")
    )
    assert train.shape[1] == 6
    distances, _ = NearestNeighbors(n_neighbors=3).fit(train).kneighbors(ood)
    found = scores[(scores.role == "ood")].sort_values("index")
    np.testing.assert_allclose(found.knn_distance, distances[:, 2], rtol=1e-4, atol=1e-6)
    images = np.load(results / "data" / "demo_retina_opacity" / "test-32px" / "images.npy")
    error = _slow_reconstruction(results, images)
    np.testing.assert_allclose(found.reconstruction, error, rtol=1e-3)


def _slow_reconstruction(results, images):
    """The error of the trained network on each image, by its weights alone."""
    from safetensors.torch import load_file
    from timm import create_model

    state = load_file(results / "runs" / RUN / "model.safetensors")
    backbone = create_model(
        "resnet18", num_classes=0, channels=[4, 4, 8, 8], layers=[1, 1, 1, 1]
    ).eval()
    backbone.load_state_dict(
        {n.removeprefix("backbone."): v for n, v in state.items() if n.startswith("backbone.")}
    )
    views = torch.from_numpy((images / 255 - 0.5) / 0.25).float().permute(0, 3, 1, 2)
    with torch.inference_mode():
        code = backbone(views) @ state["code.weight"].T + state["code.bias"]
        flat = code @ state["decoder.0.weight"].T + state["decoder.0.bias"]
    return (flat.view_as(views) - views).square().mean((1, 2, 3)).numpy()


def test_the_table_and_the_figure_show_them(results):
    scores = pd.read_parquet(results / "scores" / f"{RUN}.parquet")
    tested = scores[scores.role.isin(["test", "ood"])]
    with open(results / "tables" / "my_scores.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["score"] for row in rows} == {"knn_distance", "reconstruction"}
    for row in rows:
        expected = roc_auc_score(tested.role == "ood", tested[row["score"]])
        assert float(row["value"]) == pytest.approx(expected, abs=1e-12)
    cells = (results / "tables" / "my_scores.md").read_text()
    assert f"{100 * float(rows[0]['value']):.1f} |" in cells
    for suffix in ("png", "pdf", "csv"):
        assert (results / "figures" / f"my_bars.{suffix}").stat().st_size > 20


def test_a_score_of_another_method_is_refused_before_anything_is_planned(tmp_path, snakemake):
    overlay = {
        "plugins": OVERLAY["plugins"],
        "evaluation": {"scores": ["cosine_tau", "reconstruction"]},
    }
    (tmp_path / "overlay.yaml").write_text(yaml.safe_dump(overlay))
    done = snakemake("all", "-n", "--configfile", tmp_path / "overlay.yaml")
    assert done.returncode != 0
    assert "reconstruction" in done.stdout and "toy" in done.stdout
    assert "Job stats" not in done.stdout


@pytest.mark.parametrize("name", PLUGINS)
def test_a_plugin_imports_nothing_heavy(name):
    code = (
        "import sys\n"
        "from ssl_ood.declarations import declare_everything\n"
        f"declare_everything([{str(ROOT / 'tests' / 'plugins' / f'{name}.py')!r}])\n"
        "heavy = {'torch', 'timm', 'pandas', 'matplotlib', 'seaborn', 'sklearn'}\n"
        "print(*sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True)
    assert done.stdout == "\n"
