"""How many images a device works on at a time: what was asked, or as many as its memory holds."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ssl_ood.common.distributed import any_process, world
from ssl_ood.common.errors import UserError
from ssl_ood.common.log import say

AUTO = "auto"
CPU_ROWS = 16  # larger ones leave the cache and gain nothing
SETTLING = 3  # steps in which several processes compare notes: by then all memory is in use


class MicroBatches:
    """The number of images at a time, which `auto` halves whenever a device runs out of memory.

    asked: a number, or "auto": on CUDA the whole batch at first, on a CPU a few. The result of a
    step is that of the whole batch up to rounding, whatever the number.
    """

    def __init__(self, asked: int | str | None, batch: int, device: torch.device) -> None:
        self.device, self.auto = device, asked == AUTO
        if asked == AUTO:
            own_rows = batch // world()[1]
            asked = own_rows if device.type == "cuda" else CPU_ROWS
        self.size = min(asked or batch, batch)
        self.smallest = 1  # images that a method takes together, whatever is asked
        self.done = 0  # steps

    def settle(self, attempt: Callable[[int], None], undo: Callable[[], None]) -> None:
        """Calls `attempt(size)`, again with half the size after `undo()` if memory ran out.

        attempt: the forward and backward passes of a step. Raises UserError where the fewest images
        that the method takes at a time are too many. With several processes only the first steps
        can be repeated: later they no longer wait for each other here.
        """
        several = world()[1] > 1
        comparing = self.auto and several and self.done < SETTLING
        while True:
            failed = False
            try:
                attempt(self.size)
            except torch.OutOfMemoryError:
                if not self.auto or (several and not comparing):
                    raise
                failed = True
            if comparing:
                failed = any_process(failed, self.device)
            if not failed:
                self.done += 1
                return
            undo()
            if self.size <= self.smallest:
                images = "a single image" if self.smallest == 1 else f"{self.smallest} images"
                raise UserError(
                    f"The device has too little memory for {images} at a time: take a smaller "
                    "network, smaller views, or a larger device."
                )
            self.size = (self.size + 1) // 2
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            say(f"out of memory: {self.size} images at a time from here on")
