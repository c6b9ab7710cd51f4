"""Cues against slow references, their AUROCs against scikit-learn, and the stage on packed sets."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data as pictures
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from support.packed import write_packed

from ssl_ood.cli import main
from ssl_ood.common.errors import UserError
from ssl_ood.common.files import read_json
from ssl_ood.common.registry import entries, lookup
from ssl_ood.datasets.facts import Facts, as_columns
from ssl_ood.declarations import declare_everything
from ssl_ood.evaluation.shortcuts.images import small
from ssl_ood.evaluation.shortcuts.readings import readings
from ssl_ood.evaluation.shortcuts.rows import read_shortcuts, rows_of
from ssl_ood.measures.knn import nearest_distances

SIDE = 24


def cut(picture: np.ndarray, count: int, seed: int, side: int = SIDE) -> np.ndarray:
    """Pieces (count, side, side, 3) of a photograph."""
    if picture.ndim == 2:
        picture = np.dstack([picture] * 3)
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, np.array(picture.shape[:2]) - side, (count, 2))
    return np.stack([picture[y : y + side, x : x + side] for y, x in corners])


@pytest.fixture(scope="module")
def sets():
    """Training, test and two OOD sets of real images."""
    astronaut, coffee, bricks = pictures.astronaut(), pictures.coffee(), pictures.brick()
    return {"train": cut(astronaut, 40, 0), "test": cut(astronaut, 25, 1),
            "coffee": cut(coffee, 20, 2), "bricks": cut(bricks, 15, 3)}  # fmt: skip


# ---- cues of images


def luma(image: np.ndarray) -> list[list[float]]:
    return [[0.299 * r + 0.587 * g + 0.114 * b for r, g, b in row] for row in image.tolist()]


def slow_brightness(image):
    return np.mean(luma(image))


def slow_contrast(image):
    values = [value for row in luma(image) for value in row]
    mean = sum(values) / len(values)
    return (sum((v - mean) ** 2 for v in values) / len(values)) ** 0.5


def slow_edge_energy(image):
    y = luma(image)
    across = [(row[i + 1] - row[i]) ** 2 for row in y for i in range(len(row) - 1)]
    down = [(y[j + 1][i] - y[j][i]) ** 2 for j in range(len(y) - 1) for i in range(len(y))]
    return sum(across) / len(across) + sum(down) / len(down)


def slow_png_bytes(image):
    file = io.BytesIO()
    grey = np.ptp(image.astype(int), axis=2).max() == 0
    (Image.fromarray(image).convert("L") if grey else Image.fromarray(image)).save(file, "PNG")
    # The same picture comes out of it.
    np.testing.assert_array_equal(np.asarray(Image.open(file).convert("RGB")), image)
    return len(file.getvalue())


@pytest.mark.parametrize(
    ("cue", "slow"),
    [("brightness", slow_brightness), ("contrast", slow_contrast),
     ("edge_energy", slow_edge_energy), ("png_bytes", slow_png_bytes)],
)  # fmt: skip
def test_a_cue_of_an_image_is_what_a_slow_loop_finds(sets, cue, slow):
    images = np.concatenate([sets["coffee"][:4], sets["bricks"][:4]])
    expected = [slow(image) for image in images]
    np.testing.assert_allclose(lookup("cue", cue).load()(images), expected, rtol=1e-9)
    assert len(set(expected)) == len(images)


def test_colour_distance_is_mahalanobis_with_a_grey_level_of_noise(sets):
    def mean_colour(image):
        return image.reshape(-1, 3).astype(float).mean(0)

    own = np.array([mean_colour(image) for image in sets["train"]])
    covariance = np.cov(own.T, bias=True) + np.eye(3)
    expected = []
    for image in sets["coffee"]:
        apart = mean_colour(image) - own.mean(0)
        expected.append((apart @ np.linalg.solve(covariance, apart)) ** 0.5)
    distance = lookup("cue", "colour_distance").load()(sets["train"])
    np.testing.assert_allclose(distance(sets["coffee"]), expected, rtol=1e-9)


def test_colour_is_strange_to_grey_training_images(sets):
    """Their covariance has no inverse of its own."""
    distance = lookup("cue", "colour_distance").load()(sets["bricks"])
    grey = sets["bricks"][:5]
    tinted = grey.copy()
    tinted[..., 0] += 12
    assert distance(tinted).min() > distance(grey).max()


@pytest.mark.parametrize("side", [SIDE, 40])
def test_pixel_distances_are_those_to_the_ten_nearest(sets, side):
    """Against scikit-learn; at 40 pixels after means over areas, written as a loop."""
    train, test = (cut(pictures.coffee(), n, n, side) for n in (30, 12))
    test[0] = train[7]  # an image that is there again: still nine others until the tenth

    def reduced(images):
        if side <= 32:
            return images.reshape(len(images), -1).astype(float)
        edges = [(i * side // 32, -(-(i + 1) * side // 32)) for i in range(32)]
        cells = [[images[:, a:b, c:d].mean((1, 2)) for c, d in edges] for a, b in edges]
        return np.array(cells).transpose(2, 0, 1, 3).reshape(len(images), -1)

    np.testing.assert_allclose(small(test), reduced(test), atol=1e-4)
    search = NearestNeighbors(n_neighbors=10).fit(reduced(train))
    expected = search.kneighbors(reduced(test))[0][:, -1]
    distance = lookup("cue", "pixel_knn").load()(train)
    np.testing.assert_allclose(distance(test), expected, rtol=1e-6)
    search = NearestNeighbors(n_neighbors=10, metric="cosine").fit(reduced(train))
    expected = search.kneighbors(reduced(test))[0].mean(1)
    distance = lookup("cue", "pixel_cosine").load()(train)
    np.testing.assert_allclose(distance(test), expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(("n", "m", "k"), [(5, 3, 3), (300, 5000, 10), (7, 40, 1)])
def test_nearest_distances_in_blocks_are_scikit_learns(n, m, k):
    rng = np.random.default_rng(n)
    test, train = rng.normal(100, 1, (n, 20)), rng.normal(100, 1, (m, 20))
    train[: m // 2] = train[m // 2 : m // 2 + m // 2]  # ties
    test[0] = train[0]
    pair = [torch.from_numpy(x.astype(np.float32)) for x in (test, train)]
    expected = NearestNeighbors(n_neighbors=k).fit(pair[1].double().numpy())
    expected = expected.kneighbors(pair[0].double().numpy())[0]
    np.testing.assert_allclose(
        nearest_distances(*pair, k).numpy(), expected, rtol=1e-12, atol=1e-12
    )


# ---- readings


class Told:
    """A packed set of facts alone."""

    def __init__(self, **columns):
        count = len(next(iter(columns.values())))
        blank = dict.fromkeys(Facts._fields, "")
        rows = [blank | {k: str(v[i]) for k, v in columns.items()} for i in range(count)]
        self.facts = as_columns(rows)


def aurocs(cue, train, test, **ood):
    groups = {name: {name} for name in ood}
    return {
        (row["way"], row["dataset"]): row
        for reading in readings(lookup("cue", cue), train, test, ood)
        for row in rows_of(reading, groups, 0.95)
    }


def test_the_rarity_of_a_word_is_a_score_by_hand():
    """As RSNA's view position, small: three of four normal films are PA, most of the others AP.

    AP: 3/4 rare, PA: 1/4. Of 4 x 4 pairs the OOD film is rarer in (AP over PA) 3 x 3 = 9, as rare
    in (AP, AP) 3 and (PA, PA) 3, so that the AUROC is (9 + 3) / 16.
    """
    train = Told(view_position=["PA"] * 6 + ["AP"] * 2)
    test = Told(view_position=["PA", "PA", "PA", "AP"])
    opacity, lateral = Told(view_position=["AP", "AP", "AP", "PA"]), Told(view_position=["LL"] * 3)
    found = aurocs("view_position", train, test, opacity=opacity, lateral=lateral)
    assert found["rarity", "opacity"]["value"] == 12 / 16
    assert found["rarity", "lateral"]["value"] == 1.0  # never seen: as rare as can be
    assert found["rarity", "opacity"]["direction"] == "larger"
    assert (found["rarity", "opacity"]["n_in"], found["rarity", "opacity"]["n_out"]) == (4, 4)


def test_a_number_is_told_in_the_better_direction_and_from_the_median():
    """Young and old patients against the middle-aged, and the young alone."""
    train = Told(age=[50, 52, 54, 56, 58])
    test = Told(age=[49, 53, 57])
    both, young = Told(age=[10, 95]), Told(age=[10, 53])
    found = aurocs("age", train, test, both=both, young=young)
    assert found["either", "both"]["value"] == 0.5
    assert found["from_median", "both"]["value"] == 1.0  # |age - 54|: 44 and 41 over 5, 1 and 3
    row = found["either", "young"]
    # Younger: 10 before all three, 53 before 57, level with 53.
    assert (row["value"], row["direction"]) == ((3 + 1.5) / 6, "smaller")
    assert row["low"] < row["value"] < row["high"]
    # |53 - 54| = 1 against 5, 1 and 3: level with one.
    assert found["from_median", "young"]["value"] == (3 + 0.5) / 6


def test_images_without_the_fact_are_left_out_and_sets_without_it_not_applicable():
    train, test = Told(age=[50, "", 60]), Told(age=["", 40])
    found = aurocs("age", train, test, some=Told(age=[70, ""]), none=Told(age=["", ""]))
    assert (found["either", "some"]["n_in"], found["either", "some"]["n_out"]) == (1, 1)
    assert found["either", "none"]["status"] == "not_applicable"
    for lacking in ({"train": Told(age=[""])}, {"test": Told(age=[""])}):
        sets = {"train": train, "test": test} | lacking
        rows = aurocs("age", sets["train"], sets["test"], some=Told(age=[70, ""]))
        assert rows["either", "some"].get("status") == "not_applicable"


# ---- the stage


@pytest.fixture
def study(tmp_path, sets):
    """The sets, packed at a small size, and what to compare; one OOD set is not there."""
    for name, images in sets.items():
        home = name in ("train", "test")
        dataset, split = ("home", name) if home else (name, "test")
        write_packed(tmp_path / "data" / dataset / f"{split}-{SIDE}px", images, dataset=dataset,
                     split=split)  # fmt: skip
    ood = [{"dataset": name, "split": "test", "photographs": name == "coffee"}
           for name in ("coffee", "bricks")]  # fmt: skip
    config = {"run": "mine-home", "study": "mine", "in_distribution": "home", "seed": 0,
              "size": SIDE, "train_split": "train", "test_split": "test", "ood": ood,
              "confidence": 0.95}  # fmt: skip

    class Study:
        folder = tmp_path

        @staticmethod
        def run(**changes):
            path = tmp_path / "mine-home.json"
            path.write_text(json.dumps(config | changes))
            code = main(["shortcuts", "--config", str(path), "--data", str(tmp_path / "data"),
                         "--output", str(tmp_path / "mine-home.parquet")])  # fmt: skip
            return code, tmp_path / "mine-home.parquet"

    Study.ood = ood
    return Study


def test_every_auroc_is_scikit_learns(study, sets, capsys):
    code, path = study.run()
    assert code == 0 and "packed by an older version" in capsys.readouterr().err
    frame = read_shortcuts([path]).set_index(["score", "way", "dataset"])
    assert set(frame.index.unique("score")) == {entry.name for entry in entries("cue")}
    assert set(frame.index.unique("dataset")) == {
        "coffee", "bricks", "average", "average_without_photographs", "pooled"
    }  # fmt: skip
    for entry in entries("cue"):
        if "facts" in entry.needs:
            assert (frame.loc[entry.name].status == "not_applicable").all()
            continue
        function = entry.load()
        if "train" in entry.needs:
            function, ways = function(sets["train"]), {"distance": lambda v: v}
        else:
            middle = np.median(function(sets["train"]))
            ways = {"either": lambda v: v, "from_median": lambda v, m=middle: np.abs(v - m)}
        for way, score in ways.items():
            values = {name: score(function(images)) for name, images in sets.items()}
            found = {}
            for name in ("coffee", "bricks"):
                both = np.concatenate([values["test"], values[name]])
                truth = np.arange(len(both)) >= len(values["test"])
                found[name] = roc_auc_score(truth, both)
            mean = np.mean(list(found.values()))
            for name, auroc in found.items():
                row = frame.loc[entry.name, way, name]
                expected = max(auroc, 1 - auroc) if way == "either" else auroc
                assert row["value"] == pytest.approx(expected, abs=1e-12)
                assert row["direction"] == ("smaller" if expected != auroc else "larger")
                assert row["low"] <= row["value"] <= row["high"]
                assert (row["n_in"], row["n_out"]) == (25, len(sets[name]))
            # One direction for all sets of an average.
            expected = max(mean, 1 - mean) if way == "either" else mean
            assert frame.loc[entry.name, way, "average"]["value"] == pytest.approx(expected)


def test_a_set_that_is_not_there_has_no_data_and_so_has_the_average(study):
    missing = {"dataset": "gone", "split": "test", "available": False}
    code, path = study.run(ood=[*study.ood, missing])
    assert code == 0
    frame = read_shortcuts([path])
    lost = frame[frame.dataset.isin(["gone", "average", "pooled"])]
    assert (lost.status == "no_data").all() and lost.value.isna().all()
    assert (frame[(frame.dataset == "bricks") & (frame.score == "contrast")].status
            == "measured").all()  # fmt: skip


def test_the_same_images_give_the_same_rows_and_another_file_is_refused(study):
    _, path = study.run()
    first = path.read_bytes()
    _, path = study.run()
    assert path.read_bytes() == first
    other = path.rename(path.with_name("mine-other.parquet"))
    with pytest.raises(UserError, match="holds the shortcuts of mine-home, not those of mine"):
        read_shortcuts([other])


def test_a_damaged_set_is_a_sentence(study, capsys):
    path = study.folder / "data" / "bricks" / f"test-{SIDE}px" / "images.npy"
    np.save(path, np.load(path)[::-1].copy())
    code, output = study.run()
    assert code == 2 and not output.exists()
    assert "images.npy is not what was packed" in capsys.readouterr().err


def test_a_cue_may_come_from_a_plugin(study, sets):
    declare_everything([str(Path(__file__).parents[1] / "plugins" / "toy_cue.py")])
    code, path = study.run()
    assert code == 0
    frame = read_shortcuts([path])
    (row,) = frame[(frame.score == "blue") & (frame.dataset == "bricks") & (frame.way == "either")
                   ].to_dict("records")  # fmt: skip
    values = [sets[name][..., 2].mean((1, 2)) for name in ("test", "bricks")]
    truth = np.repeat([0, 1], [25, 15])
    auroc = roc_auc_score(truth, np.concatenate(values))
    assert row["value"] == pytest.approx(max(auroc, 1 - auroc))


def test_what_it_was_made_from_is_told(study):
    from ssl_ood.common.proofs import read_rows

    _, path = study.run()
    _, proof = read_rows(path, "shortcuts", "mine-home")
    meta = read_json(study.folder / "data" / "coffee" / f"test-{SIDE}px" / "meta.json")
    assert proof["inputs"]["sets"]["coffee-test"]["images"] == meta["images_sha256"]
    assert proof["inputs"]["cues"]["pixel_knn"] == lookup("cue", "pixel_knn").version
