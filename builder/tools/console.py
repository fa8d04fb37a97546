"""What the person sees while we work: steps with their time, on standard error.

Results go to standard output; everything here is narrative. Plain text, no control
sequences, unless standard error is a terminal.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator

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


def _styled(text: str, code: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if sys.stderr.isatty() else text
