"""One run of a command, measured from outside: time, memory, and the programs that it started.

The processes are looked at every few milliseconds: what lives for less may be missed in the break-up, and a
peak in a process's last moment too. Time and CPU are the kernel's own accounting. (So is the memory that
wait4 tells, but it takes in our own, from which each command is forked.)
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

INTERVAL = 0.004
PROC = Path("/proc")


@dataclass
class Process:
    """A program that the command started, or the command itself."""

    name: str
    began: float
    seen: float
    peak: int = 0
    """Bytes: the most memory that it had resident (VmHWM)."""


@dataclass(frozen=True)
class Run:
    """What one run took."""

    seconds: float
    """Until it had ended and what it wrote was on the disk."""
    cpu: float
    """Seconds of all processors together, of it and all that it started."""
    own_peak: int
    """Bytes resident, of the process itself; its children not counted."""
    children_peak: int
    """Bytes resident, of the largest process that it started; 0 when it started none."""
    largest_child: str
    parts: dict[str, float] = field(default_factory=dict)
    """Seconds by program; "itself" is what is left."""
    output: str = ""
    """Both its streams."""


class CommandFailed(Exception):
    """A command that is measured did not end well."""


def measure(
    argv: Sequence[str | Path], *, written: Iterable[Path] = (), log: Path, accept: Sequence[int] = (0,)
) -> Run:
    """Run a command and measure it.

    Args:
        written: files and folders whose content must be on the disk before the time is taken.
        log: a file for its output.
        accept: exit codes that count as success.

    Raises:
        CommandFailed: it ended with another code.
    """
    words = [str(word) for word in argv]
    family: dict[int, Process] = {}
    with log.open("w+b") as out:
        began = time.monotonic()
        command = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            while True:
                ended, status, usage = os.wait4(command.pid, os.WNOHANG)
                if ended:
                    break
                look(command.pid, family, time.monotonic())
                time.sleep(INTERVAL)
        except BaseException:  # nothing that we start outlives us
            command.terminate()
            command.wait()
            raise
        command.returncode = os.waitstatus_to_exitcode(status)
        ran = time.monotonic() - began
        for path in written:
            flush(path)
        seconds = time.monotonic() - began
    output = log.read_text(encoding="utf-8", errors="replace")
    if command.returncode not in accept:
        raise CommandFailed(f"{' '.join(words)} ended with {command.returncode}: {output[-1500:]}")
    itself = family.pop(command.pid, None)
    children = [child for child in family.values() if child.name]
    largest = max(children, key=lambda child: child.peak, default=None)
    return Run(
        seconds=seconds,
        cpu=usage.ru_utime + usage.ru_stime,
        own_peak=itself.peak if itself else 0,
        children_peak=largest.peak if largest else 0,
        largest_child=largest.name if largest else "",
        parts=add_up(children, ran),
        output=output,
    )


def look(root: int, family: dict[int, Process], now: float) -> None:
    """Note down every process of a family that lives now."""
    todo, parent_name = [(root, -1)], dict[int, bytes]()
    while todo:
        pid, parent = todo.pop()
        try:
            command = (PROC / str(pid) / "cmdline").read_bytes()
            status = (PROC / str(pid) / "status").read_text()
            children = (PROC / str(pid) / "task" / str(pid) / "children").read_text().split()
        except OSError:  # it has just ended
            continue
        peak = re.search(r"VmHWM:\s*(\d+)", status)
        if peak:
            name = "" if command == parent_name.get(parent) else name_of(command)
            process = family.setdefault(pid, Process(name, now, now))
            if name and not process.name:  # it was a copy of its parent until now
                process.began, process.peak = now, 0
            process.name, process.seen = name, now
            process.peak = max(process.peak, int(peak[1]) * 1024) if name else 0
        parent_name[pid] = command
        todo += [(int(child), pid) for child in children]


def name_of(command: bytes) -> str:
    """Return a program's name: of a Python's, the script that it runs."""
    words = [Path(word).name for word in command.decode("utf-8", "replace").split("\0") if word]
    if words and re.match(r"(platform-)?python", words[0]):
        return next((word for word in words[1:] if word.endswith(".py")), words[0])
    return words[0] if words else ""


def add_up(children: Iterable[Process], ran: float) -> dict[str, float]:
    """Return the seconds of each program, all its runs together, and what is left to the command itself."""
    parts: dict[str, float] = {}
    for child in children:
        parts[child.name] = parts.get(child.name, 0.0) + child.seen - child.began
    return {"itself": ran - sum(parts.values()), **parts}


def flush(path: Path) -> None:
    """Wait until a file, or what is in a folder, is on the disk."""
    for file in [path, *(path.rglob("*") if path.is_dir() else ())]:
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)


def forget(path: Path) -> None:
    """Let the kernel drop a file from its cache: the next to read it waits for the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)
