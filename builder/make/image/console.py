"""The console of a machine that installs: followed to its end, and read more critically than any exit code.

What it shows as a failure ends the build at once, with that line as the reason; and the guest itself must
have said that it was sealed.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

from builder.tools.console import say
from builder.tools.errors import StageFailed
from builder.tools.machine import Console
from builder.tools.process import Program, append

SEALED = "FORJA imagen sellada"
SHOWN = re.compile(r"(?:FORJA|laboratorio:) (?P<text>.*)")
FAILURES = tuple(
    re.compile(pattern)
    for pattern in (
        r"FORJA (?:ERROR|FIN)",
        r"laboratorio: ERROR",
        r"Kernel panic",
        r"Entering emergency mode",
        r"dracut-initqueue.*[Tt]imeout",
        r"Traceback \(most recent call last\)",
        r"Out of memory: Kill",
        r"anaconda.*(?:exited on signal|crashed)",
        r"The following error occurred while installing",
        r"The installation was stopped due to",
        r"There was an error running the kickstart script",
        r"Error setting up (?:software source|base repository)",
        r"No bootable device",
    )
)
"""What a console shows when it can't end well: our scripts, the laboratory, Anaconda, the kernel."""
AFTER_FAILURE_SECONDS = 4.0
"""How long the console is still read after a failure, for the lines that explain it."""

SILENCE_SECONDS = 1200.0


def follow(program: Program, serial: Path, log: Path, *, silence: float = SILENCE_SECONDS) -> bool:
    """Wait for a program that runs a machine, watching the machine's console.

    Args:
        serial: what the machine says, a file that grows.
        log: where what is shown is kept.
        silence: seconds without a word after which nothing is expected any more.

    Returns:
        Whether the guest said that it is sealed.

    Raises:
        StageFailed: the console showed a failure, or nothing for too long.
    """
    console, sealed = Console(serial), False
    heard, said = time.monotonic(), 0
    while program.running():
        sealed = watch(console, log) or sealed
        if console.position != said:
            heard, said = time.monotonic(), console.position
        if time.monotonic() - heard > silence:
            raise StageFailed(
                f"the machine has said nothing on its console for {silence:.0f} s: it does not boot "
                "from the medium, or hangs",
                hint=f"its console is in {serial}",
            )
        time.sleep(0.3)
    return watch(console, log) or sealed


def watch(console: Console, log: Path) -> bool:
    """Show what is new on a console in short; return whether the guest said that it is sealed.

    Raises:
        StageFailed: it shows a failure.
    """
    lines = console.lines()
    if any(pattern.search(line) for line in lines for pattern in FAILURES):
        time.sleep(AFTER_FAILURE_SECONDS)
        lines += console.lines()
    for line in lines:
        if shown := SHOWN.search(line):
            say(shown["text"])
            append(log, f"console: {line}\n")
    failed = [line for line in lines if any(pattern.search(line) for pattern in FAILURES)]
    if failed:
        raise StageFailed(
            f"the installation failed: {explain(failed)}", hint=f"the whole console is in {console.path}"
        )
    return any(SEALED in line for line in lines)


def explain(lines: list[str]) -> str:
    """Return the most telling of the lines that show a failure: one that names an error, else the first."""
    told = [match["text"] for line in lines if (match := SHOWN.search(line)) and "ERROR" in line]
    return (told[0] if told else lines[0]).removeprefix("ERROR: ")
