"""One root shell in the guest for the whole run: a session for each question costs more than the answers."""

from __future__ import annotations

import atexit
import os
import re
import secrets
import selectors
import shlex
import subprocess
import threading
import time
from collections.abc import Sequence
from typing import Any

from testinfra.backend.base import BaseBackend, CommandResult

ANSWER_SECONDS = 900.0
"""No command of a test takes longer; a shell that is silent for so long has lost its guest."""


HASHES = re.compile(
    rb"\$(?:1|2[aby]|5|6|7|y|gy)\$[./0-9A-Za-z=,$]{20,}|grub\.pbkdf2\.sha512\.[0-9A-Fa-f.]{32,}"
)
"""Of passwords: crypt(5)'s and GRUB's."""
HIDDEN = b"(hash)"


class RootShell(BaseBackend):
    """testinfra's backend over one shell that reads commands: each runs in a subshell, without input.

    The hash of a password is hidden in every answer: a failed test writes what it saw into logs and report.
    What a command leaves running must write elsewhere (as over ssh): the streams are the shell's own.

    Args:
        argv: starts the shell, such as `ssh guest sudo -n sh`; started again if it has ended.
    """

    NAME = "shell"

    def __init__(self, argv: Sequence[str]) -> None:
        super().__init__(" ".join(argv))
        self.argv = list(argv)
        self.lock = threading.Lock()
        self.program: subprocess.Popen[bytes] | None = None
        atexit.register(self.close)

    def get_encoding(self) -> str:
        return "utf-8"

    def close(self) -> None:
        """End the shell."""
        if self.program is not None:
            self.program.kill()
            self.program.communicate()
            self.program = None

    def run(self, command: str, *args: str, **kwargs: Any) -> CommandResult:
        """Run a shell command as root.

        Raises:
            RuntimeError: the shell ended before it had answered, or did not answer in ANSWER_SECONDS.
        """
        text = self.quote(command, *args)
        with self.lock:
            if self.program is None or self.program.poll() is not None:
                pipe = subprocess.PIPE
                self.program = subprocess.Popen(self.argv, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0)
            mark = secrets.token_hex(8)
            script = f"( eval {shlex.quote(text)}\n) </dev/null; echo {mark} $?; echo {mark} >&2\n"
            try:
                out, err = self._exchange(self.program, script.encode(), mark.encode())
            except (OSError, RuntimeError):
                self.close()
                raise
        out, _, code = out.rpartition(mark.encode())
        out, err = (HASHES.sub(HIDDEN, said) for said in (out, err.rpartition(mark.encode())[0]))
        return self.result(int(code), text.encode(), out, err)

    @staticmethod
    def _exchange(program: subprocess.Popen[bytes], script: bytes, mark: bytes) -> tuple[bytes, bytes]:
        """Write a script and read both streams up to the mark, at once: neither pipe may fill up."""
        assert program.stdin
        assert program.stdout
        assert program.stderr
        said = {program.stdout.fileno(): b"", program.stderr.fileno(): b""}
        waiting, end = set(said), time.monotonic() + ANSWER_SECONDS
        os.set_blocking(program.stdin.fileno(), False)
        with selectors.DefaultSelector() as selector:
            for number in said:
                selector.register(number, selectors.EVENT_READ)
            selector.register(program.stdin, selectors.EVENT_WRITE)
            while waiting:
                ready = selector.select(end - time.monotonic())
                if not ready:
                    raise RuntimeError(f"no answer in {ANSWER_SECONDS:.0f} s: {script[:200]!r}")
                for key, _ in ready:
                    if key.fd == program.stdin.fileno():
                        script = script[os.write(key.fd, script) :]
                        if not script:
                            selector.unregister(program.stdin)
                        continue
                    piece = os.read(key.fd, 1 << 16)
                    if not piece:
                        raise RuntimeError(f"the shell ended: {b' '.join(said.values())[-500:]!r}")
                    said[key.fd] += piece
                    # A line of the mark's own, at the very end: a command may print the script itself.
                    tail = said[key.fd][-64:]
                    if tail.endswith(b"\n") and mark in tail:
                        waiting.discard(key.fd)
        return said[program.stdout.fileno()], said[program.stderr.fileno()]
