"""Decoding in worker processes: blocks of images in order, in memory that does not grow."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from typing import Any

import numpy as np

from ssl_ood.common.devices import usable_cores
from ssl_ood.common.endings import without_interrupt
from ssl_ood.common.errors import UserError, reason
from ssl_ood.datasets.archives import Data
from ssl_ood.datasets.decode import Decoding, Undecodable
from ssl_ood.datasets.facts import Facts
from ssl_ood.datasets.readers import Item

BLOCK = 64  # images that a worker gets at a time

Decoded = tuple[np.ndarray, dict[int, Undecodable], dict[int, list[str]], list[Facts]]
Block = tuple[list[Item], *Decoded]


def decoded(
    items: Iterator[Item],
    decoding: Decoding,
    workers: int | None = None,
    *,
    decode: Callable[[Sequence[Item], Decoding], Decoded] | None = None,
    hint: str = "take fewer workers or more memory",
) -> Iterator[Block]:
    """Blocks of items with what `decode` (default: `decode_items`) makes of them, in order.

    workers: processes that decode (default: the cores this process may use; 1: no further one);
    hint: what to do where one of them is killed, for a sentence. Raises UserError there.
    """
    decode = decode or decode_items
    first = next(items, None)
    if first is None:
        return
    blocks = _blocks(chain([first], items))
    if workers is None:
        workers = usable_cores()
    if workers <= 1 or isinstance(first.data, np.ndarray):  # arrays: nothing to decode
        for block in blocks:
            yield block, *decode(block, decoding)
        return
    waiting: deque[tuple[list[Item], Future]] = deque()
    # spawn: a forked copy of a process that has threads can hang
    context = multiprocessing.get_context("spawn")
    others = multiprocessing.active_children()
    pool = ProcessPoolExecutor(
        workers, mp_context=context, initializer=_end_with, initargs=(os.getpid(),)
    )

    def submit(block: list[Item]) -> Future:
        with without_interrupt():  # the workers start here, and end with this process
            return pool.submit(decode, block, decoding)

    try:
        for block in blocks:
            waiting.append((block, submit(block)))
            if len(waiting) > 3 * workers:  # bounds the memory, and keeps every worker busy
                block, future = waiting.popleft()
                yield block, *future.result()
        while waiting:
            block, future = waiting.popleft()
            yield block, *future.result()
        pool.shutdown()
    except KeyboardInterrupt:
        _kill_all_but(others)  # else Python's exit waits until they have done what they were given
        raise
    except BrokenProcessPool:
        # The pool forgets a worker that was starting when it broke, and Python's exit waits for it.
        _kill_all_but(others)
        raise UserError(
            f"A process that decodes images was killed, most likely for want of memory: {hint}."
        ) from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _kill_all_but(others: Sequence[Any]) -> None:
    for child in multiprocessing.active_children():
        if child not in others:
            child.kill()


def _end_with(parent: int) -> None:
    """Ends this worker soon after its parent, which a SIGKILL would else leave it waiting for."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _blocks(items: Iterator[Item]) -> Iterator[list[Item]]:
    while block := list(islice(items, BLOCK)):
        yield block


def decode_items(items: Sequence[Item], decoding: Decoding) -> Decoded:
    """`decode_block` of the images' data."""
    return decode_block([item.data for item in items], decoding)


def decode_block(data: Sequence[Data | np.ndarray], decoding: Decoding) -> Decoded:
    """(n, S, S, 3) uint8 of the images that can be decoded, why each other cannot, remarks, and
    the facts of those that can be."""
    pixels = np.empty((len(data), decoding.size, decoding.size, 3), np.uint8)
    bad: dict[int, Undecodable] = {}
    remarks: dict[int, list[str]] = {}
    facts: list[Facts] = []
    for i, image in enumerate(data):
        try:
            pixels[len(facts)], remarkable, fact = decoding.apply(image)
        except Undecodable as error:
            bad[i] = error
            continue
        except UserError:  # of the archive as a whole
            raise
        except Exception as error:  # one image is never the end of the others
            bad[i] = Undecodable(f"{type(error).__name__}: {reason(error)}")
            continue
        facts.append(fact)
        if remarkable:
            remarks[i] = remarkable
    return pixels[: len(facts)], bad, remarks, facts
