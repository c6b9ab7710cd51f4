"""Heat maps: pasted patches are found, or the maps are refused."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.detecting import finished

from ssl_ood.common.errors import UserError
from ssl_ood.common.files import read_json
from ssl_ood.evaluation.detect import map_files, maps, patch_bank
from ssl_ood.evaluation.detect.detect import Wanted, detect
from ssl_ood.evaluation.detect.detector import Detector
from ssl_ood.evaluation.detect.run_files import choose_score, opened_run
from ssl_ood.report.detect.page import write_page

CPU = torch.device("cpu")


class MeanColours:
    """In place of a network: the tokens of a patch of 8 pixels are its mean colours, cubed."""

    settings = SimpleNamespace(method="dino")

    def views(self, images):
        return images.permute(0, 3, 1, 2).float() / 255

    def patch_tokens(self, views):
        tokens = F.avg_pool2d(views, 8).flatten(2).transpose(1, 2)
        return torch.cat([tokens, 1 - tokens], 2) ** 3


DETECTOR = SimpleNamespace(model=MeanColours(), device=CPU)


def aligned(count, seed, size=64):
    """Images whose colours depend on the place, as those of a body part do, with some noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size
    base = np.stack([x, y, (x + y) / 2], axis=-1)
    noise = 0.05 * rng.standard_normal((count, size, size, 3))
    return (255 * np.clip(base + noise, 0, 1)).astype(np.uint8)


def test_a_token_is_as_hot_as_it_is_far_from_the_nearest_of_the_bank():
    rng = np.random.default_rng(0)
    bank = F.normalize(torch.tensor(rng.standard_normal((6, 4, 3))), dim=2)
    tokens = F.normalize(torch.tensor(rng.standard_normal((5, 4, 3))), dim=2)
    heat = patch_bank.Bank(bank)
    place, anywhere = (heat.heat(tokens, rule).numpy() for rule in ("place", "anywhere"))
    for n in range(5):
        for p in range(4):
            same = [1 - float(tokens[n, p] @ bank[b, p]) for b in range(6)]
            every = [1 - float(tokens[n, p] @ bank[b, q]) for b in range(6) for q in range(4)]
            assert place[n, p] == pytest.approx(min(same))
            assert anywhere[n, p] == pytest.approx(min(every))


def test_a_bank_is_a_seeded_sample_of_bounded_size(monkeypatch):
    images = aligned(40, 0)
    monkeypatch.setattr(patch_bank, "BANK_IMAGES", 7)
    first, again = (patch_bank.make_bank(DETECTOR, images).tokens for _ in range(2))
    assert first.shape == (7, 64, 6) and torch.equal(first, again)
    monkeypatch.setattr(patch_bank, "BANK_BYTES", 3 * 64 * 6 * 4)
    monkeypatch.setattr(patch_bank, "BANK_TOKENS", 50)
    small = patch_bank.make_bank(DETECTOR, images)
    assert len(small.tokens) == 3 and small.anywhere.shape == (50, 6)


def test_pasted_squares_come_from_another_image_and_are_marked():
    images = np.stack([np.full((16, 16, 3), i, np.uint8) for i in range(9)])
    pasted, where = maps.paste(images, 5, seed=1)
    assert (where.sum((1, 2)) == 25).all()
    changed = (pasted != images).any(-1)
    assert np.array_equal(changed, where)
    assert all(len(np.unique(one)) == 2 for one in pasted)
    assert np.array_equal(maps.paste(images, 5, seed=1)[0], pasted)
    assert not np.array_equal(maps.paste(images, 5, seed=2)[0], pasted)


def test_patches_of_8_pixels_at_64_are_found_by_their_place():
    bank = patch_bank.make_bank(DETECTOR, aligned(30, 0))
    found = maps.self_test(DETECTOR, bank, aligned(20, 1))
    assert found["place"] > found["anywhere"] > 0.8


def test_patches_of_other_kinds_of_images_are_found_anywhere():
    """Of each training image every place has the one colour that the image has."""
    rng = np.random.default_rng(0)

    def plain(count):
        colours = rng.integers(0, 2, (count, 1, 1, 3)) * 200 + 20
        return np.broadcast_to(colours, (count, 64, 64, 3)).astype(np.uint8)

    bank = patch_bank.make_bank(DETECTOR, plain(30))
    images = plain(1)
    images = images.copy()
    images[0, 16:32, 24:40] = (128, 60, 30)
    heat = bank.heat(patch_bank.unit_tokens(DETECTOR, images), "anywhere")
    large = maps.enlarged(heat, 64)[0].numpy()
    assert large[16:32, 24:40].min() > large[40:].max() == pytest.approx(0, abs=1e-6)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return finished(tmp_path_factory.mktemp("maps"), train_images=24, test_images=24)


def test_the_tokens_of_a_vision_transformer_are_its_patches_row_by_row(whole):
    with opened_run(whole.folder) as files:
        model = Detector(files, choose_score(files, None)).model
    images = torch.randint(0, 256, (3, 16, 16, 3), dtype=torch.uint8)
    with torch.inference_mode():
        views = model.views(images)
        tokens = model.patch_tokens(views)
        whole_pass = model.network.backbone.forward_features(views)
    assert tokens.shape == (3, 4, 16)
    assert torch.equal(tokens, whole_pass[:, 1:])


def test_maps_of_a_model_that_finds_no_pasted_patches_are_refused(whole, tmp_path, capsys):
    wanted = Wanted(whole.images / "test", tmp_path, maps=True, workers=1)
    with pytest.raises(UserError, match=r"not to be trusted: .* AUROC of 0\.\d+, where 0.8"):
        detect(whole.folder, wanted, lambda: CPU, lambda _: None)
    assert not (tmp_path / "detected.csv").exists()
    kept = read_json(whole.results / "detect" / whole.run / "patch_tokens.json")
    assert kept["self_test"]["pixel_auroc"] < 0.8


def test_a_map_is_written_for_every_image_and_shown_on_the_page(whole, tmp_path, monkeypatch):
    """The bar is lowered: no network this small finds patches."""
    monkeypatch.setattr(maps, "LEAST", 0.0)
    wanted = Wanted(whole.images / "test", tmp_path, thumbnails=4, maps=True, workers=1)
    shown = []

    def show(detection):
        shown.append(detection)
        write_page(detection, tmp_path)

    about = detect(whole.folder, wanted, lambda: CPU, show)
    heat = np.load(tmp_path / "maps.npy")
    assert heat.shape == (24, 2, 2) and heat.dtype == np.float32 and (heat >= -1e-6).all()
    for one in shown[0].found.shown:
        assert np.array_equal(one.heat, heat[one.index])
    assert about["maps"]["note"].startswith("distance to the nearest patch")
    page = (tmp_path / "detected.html").read_text()
    assert page.count('class="heat"') == 4 and 'id="heat"' in page

    def fail(*_):
        raise AssertionError("the bank is made once")

    monkeypatch.setattr(maps, "make_bank", fail)
    detect(whole.folder, wanted, lambda: CPU, lambda _: None)
    assert np.array_equal(np.load(tmp_path / "maps.npy"), heat)
    bank = whole.results / "detect" / whole.run / "patch_tokens.npy"
    bank.write_bytes(bank.read_bytes()[:-1] + b"x")
    with pytest.raises(AssertionError, match="once"):  # a damaged one is made again
        detect(whole.folder, wanted, lambda: CPU, lambda _: None)


def test_a_method_without_patch_tokens_has_no_maps(whole):
    with opened_run(whole.folder) as files:
        detector = Detector(files, choose_score(files, None))
    other = files.settings.model_copy(update={"method": "moco"})
    detector.files = SimpleNamespace(settings=other, run="x")
    with pytest.raises(UserError, match="moco of x has no patch tokens"):
        maps.bank_of(detector)


def test_a_place_that_cannot_be_written_to_keeps_no_bank(whole, tmp_path, capsys):
    (tmp_path / "detect").write_text("a file where the folder should be")
    files = SimpleNamespace(
        results=tmp_path, run="x", calibration=SimpleNamespace(name="c"), settings=None
    )
    detector = SimpleNamespace(files=files, model=SimpleNamespace(sha256="s"), device=CPU)
    map_files.keep_bank(detector, patch_bank.Bank(torch.zeros(1, 1, 1)), {})
    assert "the bank was not kept" in capsys.readouterr().err
    assert map_files.kept_bank(detector) is None
