"""Orders of nine tiles that are far apart from each other (section 4.4.1)."""

from __future__ import annotations

from functools import cache
from itertools import permutations

import numpy as np

TILES = 9


@cache
def far_apart(count: int) -> np.ndarray:
    """(count, 9) int64 permutations of 0..8, chosen greedily: first the identity, then each time
    the one of all whose mean Hamming distance to those so far is largest, of equals the first.

    Noroozi and Favaro (2016), algorithm 1, which begins with a random one and is otherwise alike.
    """
    every = np.array(list(permutations(range(TILES))), dtype=np.int8)
    distances = np.zeros(len(every), dtype=np.int32)  # summed over those that were chosen
    chosen = [0]
    while len(chosen) < count:
        distances += (every != every[chosen[-1]]).sum(1, dtype=np.int32)
        distances[chosen] = -1  # none twice
        chosen.append(int(distances.argmax()))
    found = every[chosen].astype(np.int64)
    found.setflags(write=False)
    return found
