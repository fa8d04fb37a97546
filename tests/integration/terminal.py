"""A terminal with a person at it, who answers what is asked there."""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Session:
    """How a command ended, and all that the terminal showed."""

    code: int
    shown: str


def forja_words(*words: str | Path) -> list[str]:
    """Return the argument list of `forja`."""
    return [sys.executable, "-m", "builder.cli", *map(str, words)]


def at_a_terminal(
    argv: Sequence[str], asked: str = "", answer: str = "", *, timeout: float, cwd: Path = REPOSITORY
) -> Session:
    """Run a command at a terminal of its own; the answer is typed each time that it is asked for.

    Raises:
        TimeoutError: it did not end in time; it is killed.
    """
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(cwd)
        os.environ["PYTHONPATH"] = str(REPOSITORY)
        os.execvp(argv[0], list(argv))
    shown, answered, end = b"", 0, time.monotonic() + timeout
    try:
        while True:
            if not select.select([terminal], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError(f"no end after {timeout:.0f} s: {shown[-1000:]!r}")
            try:
                piece = os.read(terminal, 1 << 16)
            except OSError:  # EIO: nobody has it open any more
                break
            if not piece:
                break
            shown += piece
            if asked and shown.count(asked.encode()) > answered:
                answered += 1
                os.write(terminal, answer.encode() + b"\n")
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        os.close(terminal)
        _, status = os.waitpid(pid, 0)
    return Session(os.waitstatus_to_exitcode(status), shown.decode(errors="replace").replace("\r\n", "\n"))
