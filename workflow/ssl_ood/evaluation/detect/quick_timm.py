"""Imports timm without PyTorch's compiler, which scoring never uses: 3 of 8 seconds of a start.

torchvision's detection operators and timm import `torch._dynamo` when they are imported, to ask
whether something may be compiled and to mark functions that may not. For as long as that takes, a
stand-in answers no. Trainings do not come here: they may compile.
"""

from __future__ import annotations

import sys
from types import ModuleType

COMPILER = "torch._dynamo"


def import_timm() -> None:
    """Imports torch and timm; does nothing special where timm or the compiler are there already."""
    import torch  # noqa: F401

    if "timm" in sys.modules or COMPILER in sys.modules:
        return
    stand_in, utils = ModuleType(COMPILER), ModuleType(f"{COMPILER}.utils")
    stand_in.__path__ = []
    stand_in.disable = _unmarked
    stand_in.utils = utils
    utils.is_compile_supported = lambda device: False
    sys.modules |= {COMPILER: stand_in, utils.__name__: utils}
    try:
        import timm  # noqa: F401
    except (AttributeError, ImportError):
        # Another version asks for more: whatever was half imported is imported again, by the model.
        for name in [n for n in sys.modules if n.partition(".")[0] in ("timm", "torchvision")]:
            del sys.modules[name]
    finally:
        for name in (COMPILER, utils.__name__):
            sys.modules.pop(name, None)


def _unmarked(function=None, recursive=True, **options):
    """In place of torch._dynamo.disable: the function as it is, or a decorator that gives it."""
    return (lambda given: given) if function is None else function
