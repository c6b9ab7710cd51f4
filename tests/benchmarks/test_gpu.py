"""benchmarks/gpu.py measures every part on the smallest preset, and says where it has no GPU."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch

TRIED = ("--preset", "tiny", "--device", "cpu", "--repeats", "1", "--loss-steps", "10")

ALWAYS = {
    "peak", "step", "step: share of the peak", "step and views", "profile", "views",
    "temperatures", "loss, tf32", "loss, bfloat16", "loss, bfloat16 against tf32",
}  # fmt: skip
WITH_DALI = {"views: DALI", "views against DALI"}


def test_without_cuda_nothing_is_run_and_it_says_so(monkeypatch, capsys):
    import gpu

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == 0
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "no CUDA device here, so nothing was run" in said


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The folder of a run of all parts, but for the compiler, and its rows."""
    import gpu

    folder = tmp_path_factory.mktemp("gpu")
    parts = [part for part in gpu.PARTS if part != "compiled"]
    assert gpu.main([*TRIED, "--parts", *parts, "--output", str(folder)]) == 0
    return folder, {row["part"]: row for row in gpu.read(folder / "gpu.csv")}


def test_every_part_has_its_rows_with_device_torch_and_date(measured):
    from compare.opponents import OPPONENTS

    _, rows = measured
    dali = next(opponent for opponent in OPPONENTS if opponent.name == "DALI")
    assert set(rows) == ALWAYS | (WITH_DALI if dali.version else set())
    for row in rows.values():
        assert float(row["low"]) <= float(row["value"]) <= float(row["high"])
        assert row["torch"] == torch.__version__ and row["device"] and len(row["date"]) == 10
    assert rows["step"]["note"] == "2 + 2 and 1 + 2 views, batch 4 + 4, tf32"


def test_the_share_of_the_peak_is_of_the_model_flops(measured, preset):
    from compare import flops

    _, rows = measured
    share = float(rows["step"]["value"]) * flops.training_step(preset.config)
    share /= float(rows["peak"]["high"]) * 1e12
    assert float(rows["step: share of the peak"]["value"]) == pytest.approx(100 * share, rel=2e-3)


def test_losses_of_both_precisions_begin_alike_and_are_kept_step_by_step(measured):
    folder, rows = measured
    with open(folder / "losses.csv", encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert [int(row["step"]) for row in table] == list(range(10))
    tf32, other = (np.array([float(row[name]) for row in table]) for name in ("tf32", "bfloat16"))
    assert tf32[0] == pytest.approx(other[0], rel=0.02)  # the same weights, images and views
    assert (tf32 != other).any()  # and yet other products
    assert float(rows["loss, tf32"]["value"]) == pytest.approx(tf32[-1], rel=1e-3)
    apart = 100 * np.median(np.abs(other / tf32 - 1))
    assert float(rows["loss, bfloat16 against tf32"]["value"]) == pytest.approx(apart, rel=1e-3)


def test_the_profile_names_the_operations(measured):
    folder, _ = measured
    text = (folder / "profile.txt").read_text()
    assert "Self CPU" in text and "aten::" in text


def test_compiled_steps_are_measured_like_the_others(tmp_path, monkeypatch):
    """With a compiler that compiles nothing: the real one takes a minute on a processor."""
    import gpu

    from ssl_ood.methods.base import Method

    modes = []
    monkeypatch.setattr(Method, "compile", lambda self, **options: modes.append(options))
    assert gpu.main([*TRIED, "--parts", "compiled", "--output", str(tmp_path)]) == 0
    assert modes == [{"mode": "reduce-overhead"}]
    rows = {row["part"] for row in gpu.read(tmp_path / "gpu.csv")}
    assert rows == {"step, compiled", "step, compiled: share of the peak"}


def test_no_part_begins_after_the_time_is_over(tmp_path, capsys):
    import gpu

    assert gpu.main([*TRIED, "--minutes", "-1", "--output", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert said.count("not run, the -1 minutes are over") == len(gpu.PARTS)
    assert not (tmp_path / "gpu.csv").exists()


def test_the_page_shows_what_a_gpu_gave_or_that_there_was_none(tmp_path, monkeypatch):
    import gpu
    import speed_page

    monkeypatch.setattr(gpu, "read", list)
    assert speed_page.gpu() == "Not run on a GPU yet.\n"
    row = dict.fromkeys(gpu.COLUMNS, "x") | {"part": "step", "value": "7", "device": "a GPU"}
    monkeypatch.setattr(gpu, "read", lambda: [row])
    assert "| step | 7 (x to x) | x | x |" in speed_page.gpu()
    assert "a GPU, torch x, x, x." in speed_page.gpu()


@pytest.mark.parametrize("wrong", [["--repeats", "0"], ["--keep", "--device", "cpu"]])
def test_options_that_cannot_be_meant_are_refused(wrong):
    import gpu

    with pytest.raises(SystemExit):
        gpu.main(wrong)
