"""Named random streams: every draw of a run is a pure function of (seed, names).

A stream is made again from its name wherever it is needed, for instance
`stream(seed, "views", step)`. Nothing has to be saved to resume a run: the draws of step 1234 are
the same whether or not the run was killed at step 1233, and on any number of processes.
"""

from __future__ import annotations

import hashlib

import numpy as np


def stream_key(seed: int, *names: str | int) -> int:
    """128-bit key of the stream `names` of a run, the same on every machine and Python."""
    text = "/".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """NumPy generator at the start of the stream `names`; independent of every other stream."""
    return np.random.Generator(np.random.Philox(key=stream_key(seed, *names)))


def torch_seed(seed: int, *names: str | int) -> int:
    """Seed in [0, 2^63) for `torch.manual_seed`, from the stream `names`."""
    return stream_key(seed, *names) & (2**63 - 1)
