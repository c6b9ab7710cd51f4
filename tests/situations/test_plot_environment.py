"""A person's plotting environment changes no figure: notebook, LaTeX, matplotlibrc, locale."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from support.situations import environment

from ssl_ood.report.writers import to_csv

# What a notebook, a cluster's module or a profile sets; None: not set. In "RC" lies a matplotlibrc.
ENVIRONMENTS = {
    "a notebook's backend": {"MPLBACKEND": "module://matplotlib_inline.backend_inline"},
    "a window without a display": {"MPLBACKEND": "TkAgg", "DISPLAY": None},
    "a backend that is none": {"MPLBACKEND": "nonsense"},
    "LaTeX": {"MPLCONFIGDIR": "RC", "rc": "text.usetex: True\nfont.family: serif\n"},
    "another style": {
        "MPLCONFIGDIR": "RC",
        "rc": "savefig.bbox: tight\nlines.linewidth: 5\naxes.prop_cycle: cycler('color', ['FF0'])\n"
        "figure.facecolor: black\nfigure.dpi: 300\nsavefig.transparent: True\n",
    },
    "a file named by a variable": {"MATPLOTLIBRC": "RC/matplotlibrc", "rc": "lines.linewidth: 9\n"},
    "a damaged file": {"MPLCONFIGDIR": "RC", "rc": "no colon here\nfont.size: huge\n"},
    "a home that cannot be written": {
        "HOME": "/dev/null/none", "XDG_CACHE_HOME": None, "XDG_CONFIG_HOME": None,
        "MPLCONFIGDIR": None,
    },
    "an ASCII locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "a locale that is not there": {"LC_ALL": "de_DE.ISO-8859-1", "LANG": "de_DE"},
}  # fmt: skip
DRAW = """
import sys
from pathlib import Path
from ssl_ood.report.figures.style import house_style, new_figure, save_figure
with house_style():
    figure, axes = new_figure(3.4, 2.4)
    axes[0, 0].plot([0.02, 0.04, 0.08], [90, 92, 91], label="Rot. ImgN_1 & 50 % $x$")
    axes[0, 0].set_xlabel("temperature \\u03c4")
    axes[0, 0].legend()
    save_figure(figure, Path(sys.argv[1]), [{"name": "gr\\u00f6\\u00dfe", "value": 0.5}])
"""


def drawn(folder: Path, name: str, changes) -> dict[str, str]:
    """The digests of the files of a figure that is drawn in an environment."""
    changes = {"MPLCONFIGDIR": str(folder / "own"), "PYTHONUNBUFFERED": None, **changes}
    rc = folder / name
    rc.mkdir()
    (rc / "matplotlibrc").write_text(changes.pop("rc", ""))
    env = {key: value and value.replace("RC", str(rc)) for key, value in changes.items()}
    done = subprocess.run(
        [sys.executable, "-c", DRAW, str(folder / name / "figure")], cwd=rc,
        env=environment(env), text=True, capture_output=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    files = sorted(path for path in rc.iterdir() if path.stem == "figure")
    return {path.suffix: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plots")
    figure = drawn(folder, "plain", {})
    assert figure.keys() == {".pdf", ".png", ".csv"}
    return folder, figure


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_figure_is_the_same_to_the_last_byte(plain, name):
    folder, figure = plain
    assert drawn(folder, name, ENVIRONMENTS[name]) == figure


def test_the_csv_of_a_figure_is_utf_8(plain):
    folder, _ = plain
    text = (folder / "plain" / "figure.csv").read_bytes().decode("utf-8")
    assert text == to_csv([{"name": "größe", "value": 0.5}])
