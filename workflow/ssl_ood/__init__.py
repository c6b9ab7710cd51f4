"""Out-of-distribution detection with self-supervised representations: the thesis, reproduced.

from ssl_ood import load
model = load("run.zip")  # a bundle, or the folder of a run
scores = model.score(images)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from ssl_ood.evaluation.detect.detector import Detector


def __getattr__(name: str) -> str:
    """`__version__`, which asks git (see `common.commit.version`): only when somebody wants it."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ssl_ood.common.commit import version

    return version()


def load(model: str | Path, score: str | None = None, device: str = "cpu") -> Detector:
    """The detector of a bundle or of a run's folder: see `evaluation.detect.detector.load`.

    score: NAME or NAME@TAU instead of the first of the run's study; device: of PyTorch.
    """
    from ssl_ood.declarations import declare_everything
    from ssl_ood.evaluation.detect.detector import load as load_detector

    declare_everything()
    return load_detector(model, score, device)
