"""The one way to run another program.

Every program gets an argument list (never a shell line), a small environment with the C
locale, a closed standard input and a log. Nothing it starts outlives us: each program runs in
a session of its own that is ended with it, and the kernel ends it if we are killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from builder.tools.errors import HostUnready, StageFailed

LAST_LINES = 12
GRACE_SECONDS = 20.0
PR_SET_PDEATHSIG = 1

Argument = str | Path

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Result:
    """What a finished program left: its standard output and its exit code."""

    stdout: str
    returncode: int


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment that programs get: ours, cut down to what is neutral.

    Args:
        extra: variables to add; the only way for a caller to pass a secret.
    """
    kept = {
        name: os.environ[name]
        for name in ("PATH", "HOME", "TMPDIR", "USER", "LOGNAME", "SOURCE_DATE_EPOCH")
        if name in os.environ
    }
    kept.setdefault("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
    if not any(part.endswith("/sbin") for part in kept["PATH"].split(":")):
        kept["PATH"] += ":/usr/sbin:/sbin"
    return {**kept, "LC_ALL": "C.UTF-8", "TZ": "UTC", **(extra or {})}


def find_program(name: str) -> str | None:
    """Return the path of a program, searching the sbin folders too, or None."""
    return shutil.which(name, path=environment()["PATH"])


def require_program(name: str, *, purpose: str, package: str = "") -> str:
    """Return the path of a program that a stage can't do without.

    Raises:
        HostUnready: it is not on this host; the message names the purpose and the package.
    """
    path = find_program(name)
    if path is None:
        remedy = f"install the package {package}" if package else "run 'make setup'"
        raise HostUnready(f"the program '{name}' ({purpose}) is not on this host", hint=remedy)
    return path


def run(
    argv: Sequence[Argument],
    *,
    doing: str,
    log: Path | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    timeout: float | None = None,
    accept: Sequence[int] = (0,),
    on_line: Callable[[str], None] | None = None,
    handed: Sequence[int] = (),
) -> Result:
    """Run a program to its end.

    Args:
        argv: program and arguments.
        doing: what it is for, in the words of the error message ("pack the overlay archive").
        log: a file that its output (both streams) and its command line are appended to.
        cwd: working folder.
        env: variables to add to the small environment.
        stdin: bytes for its standard input; closed when None.
        timeout: seconds until it is ended.
        accept: exit codes that count as success.
        on_line: called with each line of its output as it comes (then without `stdin` and `timeout`).
        handed: open files of ours that it gets, by number.

    Returns:
        Its standard output (with standard error behind it when there is no log) and exit code.

    Raises:
        HostUnready: the program is not on this host.
        StageFailed: it failed, was killed, or took longer than the timeout.
    """
    given = stdin is not None
    with start(argv, doing=doing, log=log, cwd=cwd, env=env, stdin=given, handed=handed) as program:
        out = b""
        if on_line is not None and program.popen.stdout is not None:
            for line in program.popen.stdout:
                out += line
                on_line(line.decode("utf-8", "replace").rstrip())
        try:
            rest, _ = program.popen.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired as error:
            raise StageFailed(f"could not {doing}: no end after {timeout:.0f} s") from error
    text = (out + (rest or b"")).decode("utf-8", "replace")
    if log is not None and text:
        append(log, text)
    code = program.popen.returncode
    if code not in accept:
        raise failure(argv, doing, code, text, log)
    return Result(text, code)


def failure(argv: Sequence[Argument], doing: str, code: int, output: str, log: Path | None) -> StageFailed:
    """Return the error for a program that failed: what it was to do, its last lines, its log."""
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    said = f": {' / '.join(lines[-3:])}" if lines else ""
    return StageFailed(
        f"could not {doing}: {Path(str(argv[0])).name} {how}{said}",
        hint=f"the whole output is in {log}" if log else "",
    )


@dataclass
class Program:
    """A program that is running."""

    popen: subprocess.Popen[bytes]
    doing: str
    own_session: bool = True

    def running(self) -> bool:
        """Say whether it has not ended yet."""
        return self.popen.poll() is None

    def end(self, grace: float = GRACE_SECONDS) -> None:
        """End it and all that it started: asked first, then killed after `grace` seconds (0: at once)."""
        for number, patience in ((signal.SIGINT, grace), (signal.SIGTERM, 2.0)):
            if not self.running() or not grace:
                break
            self._signal(number)
            deadline = time.monotonic() + patience
            while self.running() and time.monotonic() < deadline:
                time.sleep(0.05)
        self._signal(signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.popen.wait(5)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self.own_session:
                os.killpg(self.popen.pid, number)
            else:
                self.popen.send_signal(number)


@contextlib.contextmanager
def start(
    argv: Sequence[Argument],
    *,
    doing: str,
    log: Path | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bool = False,
    stdout_to_log: bool = False,
    grace: float = GRACE_SECONDS,
    handed: Sequence[int] = (),
    terminal: bool = False,
    errors_apart: bool = False,
) -> Iterator[Program]:
    """Start a program; when the block is left, it and all that it started are ended.

    With a log, standard error goes there at once; so does standard output with `stdout_to_log`,
    else it is left to the reader of ``popen.stdout``.

    Args:
        handed: open files of ours that it gets, by number.
        terminal: it may ask the person at our terminal. It is ended with the block, what it starts is not.
        errors_apart: standard error is left to the reader of ``popen.stderr``.

    Raises:
        HostUnready: the program is not on this host.
    """
    words = [str(word) for word in argv]
    errors: IO[bytes] | int = subprocess.STDOUT
    with contextlib.ExitStack() as stack:
        if log is not None:
            append(log, f"+ {shlex.join(words)}\n")
            errors = stack.enter_context(log.open("ab"))
        if errors_apart:
            errors = subprocess.PIPE
        output = errors if stdout_to_log else subprocess.PIPE
        whole_environment = environment(env)
        found = shutil.which(words[0], path=whole_environment["PATH"])
        if found is None:
            raise HostUnready(
                f"could not {doing}: the program '{words[0]}' is not on this host",
                hint="run 'make setup', or 'forja doctor' to see what is missing",
            )
        popen = subprocess.Popen(
            [found, *words[1:]],
            cwd=cwd,
            env=whole_environment,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=not terminal,
            pass_fds=handed,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - one prctl, and we run no threads
        )
        program = Program(popen, doing, own_session=not terminal)
        try:
            yield program
        finally:
            program.end(grace if popen.poll() is None else 0)
            for stream in (popen.stdout, popen.stderr):
                if stream:
                    stream.close()


def die_with_parent() -> None:
    """Have the kernel end this process when the one that started it ends; called in a child."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def append(log: Path, text: str) -> None:
    """Append text to a log, making its folder when it is not there."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        file.write(text)
