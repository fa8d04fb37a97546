"""Looking at a booted image: all questions over one connection, and the plain way, an ssh and a sudo each.

The questions are real ones: owner and mode of every file and folder that the plan's overlays bring. Both ways
ask the same of the same guest, and must get the same answers.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from builder.make.findings import Findings
from builder.make.verification.guest import SSH_NAME, Guest, boot_guest
from builder.make.verification.throwaway import make_throwaway
from builder.room import Room
from builder.tools.cell import open_cell
from builder.tools.machine import FirmwareKind
from builder.tools.process import run
from tests.image.facts import ask
from tests.image.shell import RootShell

from .measure import CommandFailed

Answers = dict[str, str]

MOST = 40
"""Questions: of the files that the overlays bring, evenly chosen. The plain way takes seconds for each."""


def measure_looking(folder: Path, rounds: int) -> list[str]:
    """Return the lines of the table: a guest is booted once, and asked in both ways each round.

    Args:
        folder: of a built and verified image.

    Raises:
        CommandFailed: the two ways got different answers.
        StageFailed: the image does not boot.
    """
    room = Room.at(folder)
    entries = [entry for overlay in room.plan.overlays for entry in (*overlay.files, *overlay.dirs)]
    questions = {  # a file that the site did not bring is told of in the language of who asks
        f"q{number}": f"stat -c '%a %U:%G' '{room.plan.platform.path(entry.path)}' 2> /dev/null || echo none"
        for number, entry in enumerate(entries[:: -(-len(entries) // MOST)])
    }
    with tempfile.TemporaryDirectory(prefix="forja-", dir="/tmp") as name, open_cell() as cell:
        work = Path(name)
        log, serial = work / "log", work / "console.log"
        throwaway = make_throwaway(room.plan, room.path("image"), room.path("medium"), work, cell, log=log)
        with boot_guest(
            room.plan, throwaway, work, cell, firmware=FirmwareKind.BIOS, serial=serial, log=log
        ) as guest:
            ways: dict[str, Callable[[], Answers]] = {
                "one connection": lambda: over_one_connection(guest, questions),
                "an ssh each": lambda: over_an_ssh_each(guest, questions),
            }
            seconds: dict[str, list[float]] = {way: [] for way in ways}
            for number in range(rounds):
                answers = {}
                for way in list(ways)[:: -1 if number % 2 else 1]:
                    began = time.monotonic()
                    answers[way] = ways[way]()
                    seconds[way].append(time.monotonic() - began)
                one, other = answers.values()
                if unlike := {
                    name: (one[name], other[name]) for name in questions if one[name] != other[name]
                }:
                    raise CommandFailed(f"the two ways of looking do not see the same: {unlike}")
    spread = [one / other for one, other in zip(*seconds.values(), strict=True)]
    findings = Findings.model_validate_json(room.path("verification").read_text(encoding="utf-8"))
    starts = [datetime.fromisoformat(finding.when).timestamp() for finding in findings.findings]
    ends = [start + finding.seconds for start, finding in zip(starts, findings.findings, strict=True)]
    return [
        f"{len(questions)} questions to a booted guest",
        *(
            f"    {way:40} {min(took):12.2f} {statistics.median(took):8.2f} {max(took):8.2f}"
            for way, took in seconds.items()
        ),
        f"    ratio of the first to the second, each round: {', '.join(f'{ratio:.3f}' for ratio in spread)}",
        f"    the image's own verification, {len(findings.findings)} tests: {max(ends) - min(starts):.0f} s",
    ]


def over_one_connection(guest: Guest, questions: Answers) -> Answers:
    """Ask as `forja verify` does: one shell, all questions in one go."""
    shell = RootShell(guest.inside(guest.connection["argv"]))
    try:
        return ask(shell, questions)
    finally:
        shell.close()


def over_an_ssh_each(guest: Guest, questions: Answers) -> Answers:
    """Ask each by an ssh of its own, as root by sudo."""
    ssh = ["ssh", "-F", str(guest.ssh_config), "-o", "ControlPath=none", SSH_NAME]
    return {
        name: run(
            guest.inside([*ssh, f"sudo -n {question}"]), doing="ask", accept=range(256), timeout=60
        ).stdout.rstrip("\n")
        for name, question in questions.items()
    }
