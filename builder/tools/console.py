"""What the person sees while we work: steps with their time, on standard error.

Results go to standard output; everything here is narrative. Plain text, no control
sequences, unless standard error is a terminal.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

BAR = 30
"""Characters of a progress bar."""
TERMINAL_SECONDS, PLAIN_SECONDS = 0.1, 5.0
"""How often progress is shown: on a terminal, where the line is written over, and elsewhere."""

_depth = 0


def say(text: str) -> None:
    """Print a line of narrative, indented below the running step."""
    print(f"{'  ' * _depth}{text}", file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """Print a line that asks for attention."""
    say(_styled(f"warning: {text}", "33"))


@contextlib.contextmanager
def step(title: str) -> Iterator[None]:
    """Announce a step, indent what it says, and print its duration in seconds at its end."""
    global _depth
    say(_styled(f"==> {title}", "1"))
    began = time.monotonic()
    _depth += 1
    try:
        yield
    except BaseException:
        _depth -= 1
        say(_styled(f"(failed after {time.monotonic() - began:.1f} s: {title})", "2"))
        raise
    _depth -= 1
    say(f"    done in {time.monotonic() - began:.1f} s")


def show_progress(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Give the items on, and show how many of `total` have come: a bar on a terminal, else a line at times.

    Args:
        what: the items are, in the plural ("seeds").
    """
    terminal = sys.stderr.isatty()
    shown = time.monotonic()
    try:
        for number, item in enumerate(items, start=1):
            now = time.monotonic()
            if terminal and (now - shown >= TERMINAL_SECONDS or number == total):
                bar = ("#" * (BAR * number // total)).ljust(BAR, "-")
                sys.stderr.write(f"\r{'  ' * _depth}[{bar}] {number} of {total} {what}")
                sys.stderr.flush()
                shown = now
            elif not terminal and now - shown >= PLAIN_SECONDS:
                say(f"{number} of {total} {what}")
                shown = now
            yield item
    finally:
        if terminal:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _styled(text: str, code: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if sys.stderr.isatty() else text
