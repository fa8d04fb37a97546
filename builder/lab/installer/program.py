"""Programs that the installer runs, and the one error that ends an installation."""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

TMP = Path("/tmp")  # noqa: S108 - of the installer's own system, where Anaconda keeps its logs, too
LOG = TMP / "program.log"
SYSROOT = Path("/mnt/sysimage")


class InstallError(Exception):
    """The installation can't go on; the text says what failed, where, and with which exit code."""


def run(
    argv: Sequence[str | Path],
    *,
    doing: str,
    given: str = "",
    chroot: bool = False,
    env: Mapping[str, str] | None = None,
    accept: Sequence[int] = (0,),
) -> str:
    """Run a program and return its output (both streams).

    Args:
        argv: program and arguments.
        doing: what it is for, in the words of the error message.
        given: text for its standard input, kept out of the log since it may be a password.
        chroot: run it inside the installed system.
        env: variables to add.
        accept: exit codes that count as success.

    Raises:
        InstallError: it is not there, or ended with another code.
    """
    words = [str(word) for word in argv]
    if chroot:
        words = ["chroot", str(SYSROOT), *words]
    try:
        done = subprocess.run(
            words,
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "LC_ALL": "C.UTF-8",
                "HOME": "/root",
                "TERM": "linux",
                "DEBIAN_FRONTEND": "noninteractive",
                **(env or {}),
            },
            check=False,
        )
    except OSError as error:
        raise InstallError(f"could not {doing}: {words[0]}: {error.strerror}") from error
    with LOG.open("a", encoding="utf-8") as log:
        log.write(f"[{time.clock_gettime(time.CLOCK_BOOTTIME):.1f}] + {shlex.join(words)}\n{done.stdout}")
    if done.returncode not in accept:
        said = " / ".join(line.strip() for line in done.stdout.splitlines()[-3:] if line.strip())
        raise InstallError(f"could not {doing}: {Path(words[0]).name} exited with {done.returncode}: {said}")
    return done.stdout


def write_file(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file of the installed system, never readable by more than `mode` says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
