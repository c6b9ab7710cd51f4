"""Requests that no partition of a cluster grants are refused before anything is submitted."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from ssl_ood.common.errors import UserError
from ssl_ood.study.partition import (
    FORMAT,
    Limits,
    Request,
    partitions,
    read_sinfo,
    refuse_impossible,
)

# As SLURM 22.05 writes them, but for the names.
SAID = """\
main*|infinite|8|16000|gpu:4
main*|infinite|32+|64000+|(null)
short|3:00|8|16000|gpu:4
long|7-12:00:00|16|8000|gpu:a100:2(S:0-1),shard:8,gpu:v100:1
"""
MAIN = Limits("main", True, float("inf"), 64000, 32, 4)
SHORT = Limits("short", False, 3.0, 16000, 8, 4)
LONG = Limits("long", False, 7.5 * 1440, 8000, 16, 3)
KNOWN = [MAIN, SHORT, LONG]
FITS = Request("train of a", "short", minutes=3, memory_mb=16000, cpus=8, gpus=4)


def test_limits_are_those_of_the_largest_node():
    assert read_sinfo(SAID) == KNOWN


def test_what_fits_to_the_last_megabyte_is_let_through():
    assert refuse_impossible([FITS], KNOWN) == 3.0
    assert refuse_impossible([replace(FITS, partition="")], KNOWN) == float("inf")
    assert refuse_impossible([], KNOWN) == float("inf")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"minutes": 4}, "asks for 4 minutes, and the partition short grants 3 at most: set "
         r"execution: \{max_minutes: 3\} in the config"),
        ({"memory_mb": 16001}, "asks for 16001 MB of memory, and the partition short grants 16000"),
        ({"cpus": 9}, "asks for 9 CPUs, and the partition short grants 8"),
        ({"gpus": 5}, r"asks for 5 GPUs, .* grants 4 at most: set execution: \{devices: 4\}"),
    ],
)  # fmt: skip
def test_one_sentence_names_the_largest_request(change, sentence):
    over = replace(FITS, job="train of b", **change)
    with pytest.raises(UserError, match=f"^train of b {sentence}") as error:
        refuse_impossible([FITS, over], KNOWN)
    assert str(error.value).count(".") == 1 + str(error.value).count("execution.")


def test_of_several_partitions_one_has_to_grant_it():
    assert refuse_impossible([replace(FITS, partition="short,long", cpus=9, gpus=3)], KNOWN)
    with pytest.raises(UserError, match="the partition long grants 10800 at most"):
        refuse_impossible([replace(FITS, partition="short,long", minutes=10801)], KNOWN)


def test_a_partition_that_is_not_there_is_refused_by_name():
    with pytest.raises(UserError, match="no partition gpu: there are long, main, short; name one"):
        refuse_impossible([replace(FITS, partition="gpu")], KNOWN)


def test_where_sinfo_says_nothing_nothing_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert partitions() == []
    program = tmp_path / "sinfo"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    assert partitions() == []
    assert refuse_impossible([replace(FITS, partition="gpu", minutes=10**6)], []) == float("inf")


def test_sinfo_is_asked_for_these_columns(tmp_path, monkeypatch):
    program = tmp_path / "sinfo"
    program.write_text(f"#!/bin/sh\necho \"$*\" > {tmp_path}/asked\nprintf '%s' '{SAID}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert partitions() == KNOWN
    assert f"--format={FORMAT}" in (tmp_path / "asked").read_text()
