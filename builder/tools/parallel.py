"""The same work on many items, on all processors that we may use, with the results in the items' order."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from builder.tools.errors import StageFailed
from builder.tools.process import die_with_parent

T = TypeVar("T")
R = TypeVar("R")

OURS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
WORTH = 20
"""Items for which another process pays."""
CHUNK = 4
"""Items that a process takes at a time: as many are finished in vain after a Ctrl-C."""

_work: tuple[Callable[[Any], Any], Sequence[Any]]
"""What a worker does, and the items: inherited by it, so that only numbers and results are sent."""


def processes_for(count: int) -> int:
    """Return how many processes pay for so many items: one is ourselves."""
    return max(1, min(len(os.sched_getaffinity(0)), count // WORTH))


def spread(function: Callable[[T], R], items: Sequence[T]) -> Generator[R, None, None]:
    """Give the result of each item, in their order.

    Ctrl-C is ours alone: closing the iterator waits for the workers to finish what they have begun.

    Raises:
        StageFailed: a worker was killed, as the kernel does where memory is short.
    """
    count = processes_for(len(items))
    if count == 1:
        yield from map(function, items)
        return
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(count, context, initializer=_begin, initargs=(function, items)) as pool:
        try:
            # The workers start with these signals held back: none of them tells of a Ctrl-C by itself.
            held = signal.pthread_sigmask(signal.SIG_BLOCK, OURS)
            try:
                results = pool.map(_do, range(len(items)), chunksize=CHUNK)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, held)
            yield from results
        except BrokenProcessPool as error:
            raise StageFailed("a process of ours was killed", hint="is there memory enough?") from error


def _begin(function: Callable[[Any], Any], items: Sequence[Any]) -> None:
    global _work
    _work = function, items
    die_with_parent()
    for number in OURS:
        signal.signal(number, signal.SIG_IGN if number is signal.SIGINT else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, OURS)


def _do(number: int) -> Any:
    function, items = _work
    return function(items[number])
