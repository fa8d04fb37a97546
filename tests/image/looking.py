"""The root shell on a server in use: it is handed to us, and nothing but looking goes through it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

import pytest
from facts import ASK_DNF
from harmless import vouched, why_it_acts
from shell import RootShell
from testinfra.backend.base import CommandResult

from builder.make.findings import ACTS

CONNECTION_LOST = 6
"""Exit code of pytest's that it has no other use for."""

vouched(ASK_DNF)


@dataclass
class Streams:
    """A shell that somebody else has started, and will end."""

    stdin: IO[bytes]
    stdout: IO[bytes]
    stderr: IO[bytes]

    def poll(self) -> None:
        """Say nothing of its end, which is not ours to see."""


class LookingShell(RootShell):
    """RootShell over open files; a command that is not known to change nothing is not run.

    Args:
        streams: numbers of the shell's standard input, output and error.
    """

    NAME = "looking"
    why_it_acts = staticmethod(why_it_acts)

    def __init__(self, streams: Sequence[int]) -> None:
        super().__init__([])
        stdin, stdout, stderr = streams
        opened = Streams(
            os.fdopen(stdin, "wb", buffering=0),
            os.fdopen(stdout, "rb", buffering=0),
            os.fdopen(stderr, "rb", buffering=0),
        )
        self.program = opened  # type: ignore[assignment]

    def close(self) -> None:
        """Leave it to whoever started it."""

    def run(self, command: str, *args: str, **kwargs: Any) -> CommandResult:
        """Run a shell command as root, unless it may change something: then the test is not shown."""
        if self.why_it_acts(self.quote(command, *args)):
            pytest.skip(ACTS.es)
        try:
            return super().run(command, *args, **kwargs)
        except (OSError, RuntimeError) as error:
            pytest.exit(f"the connection to the server was lost: {error}", returncode=CONNECTION_LOST)
