"""The promise of a mail server: what it answered 250 to arrives, though its power was cut meanwhile.

The guest's memory is lost and so is all that it had not made its disk write; the disk is the one of the
throwaway copy, and survives. `make test-mail`.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder.make.findings import Outcome
from builder.make.verification import TESTS, look
from builder.make.verification.clients import choose_clients
from builder.make.verification.guest import Guest, boot_guest
from builder.make.verification.throwaway import Throwaway, make_throwaway
from builder.room import read_resolution
from builder.tools.cell import Cell, open_cell
from builder.tools.machine import FirmwareKind
from builder.tools.process import start
from tests.image.mail.world import CERTIFICATE

from .conftest import Golden

pytestmark = [pytest.mark.slow, pytest.mark.long]

MESSAGES = 1000
CUTS = (350, 700)
"""The power is cut once so many messages have been answered 250."""
POUR_SECONDS = 1200.0
ARRIVE_SECONDS = 1800.0
PAST_THE_FILTER = "postconf -e content_filter= && postfix reload && postsuper -r ALL"
"""After the last cut nothing more can be lost on the way, and under emulation the filter takes 2 s a message:
what still waits for it goes on without. What went through it between the cuts is among the arrived."""
POUR = TESTS / "mail" / "pour.py"


@dataclass(frozen=True)
class Machine:
    """A throwaway copy that is booted, cut off, and booted again, in one cell."""

    golden: Golden
    cell: Cell
    throwaway: Throwaway
    work: Path
    log: Path

    def boot(self, name: str) -> contextlib.AbstractContextManager[Guest]:
        """Boot it; when the block is left its power is cut: QEMU is killed."""
        return boot_guest(
            self.golden.plan,
            self.throwaway,
            self.work,
            self.cell,
            firmware=FirmwareKind.BIOS,
            serial=self.golden.room.logs / f"console-{name}.log",
            log=self.log,
        )


@pytest.fixture(scope="module")
def machine(golden: Golden) -> Iterator[Machine]:
    room, log = golden.room, golden.room.logs / "mail.log"
    log.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="forja-") as folder, open_cell() as cell:
        work = Path(folder)
        throwaway = make_throwaway(room.plan, room.path("image"), room.path("medium"), work, cell, log=log)
        yield Machine(golden, cell, throwaway, work, log)


def test_long_runs_of_the_mail_suite(machine: Machine, tmp_path: Path) -> None:
    resolution = read_resolution(machine.golden.room.path("packages"))
    with machine.boot("correo") as guest:
        files = ["mail/test_mail_long.py"]
        findings = look(guest, resolution, tmp_path, xml=None, log=machine.log, files=files, long=True)
    assert len(findings) >= 3
    assert {
        finding.test: finding.reason for finding in findings if finding.outcome is not Outcome.PASSED
    } == {}


def test_what_was_answered_250_arrives(machine: Machine) -> None:
    plan, state = machine.golden.plan, machine.work / "colada"
    state.mkdir()
    context = state / "context.json"
    (state / "plan.json").write_text(plan.model_dump_json())
    context.write_text(json.dumps({"plan": str(state / "plan.json"), "clients": choose_clients(plan)}))

    def tokens(name: str) -> list[str]:
        path = state / name
        return path.read_text().split() if path.exists() else []

    lost: set[str] = set()
    with contextlib.ExitStack() as pouring:
        for cut, goal in enumerate((*CUTS, MESSAGES)):
            with machine.boot(f"corte-{cut}") as guest:
                if cut == 0:
                    (state / "siguiente.pem").write_text(
                        guest.ssh(CERTIFICATE, doing="make a certificate").stdout
                    )
                    argv = machine.cell.inside([sys.executable, POUR, context, state, str(MESSAGES)])
                    pour = start(
                        argv, doing="pour messages in", log=machine.log, stdout_to_log=True, grace=0.0
                    )
                    program = pouring.enter_context(pour)
                wait(lambda: len(tokens("answered")) >= goal, POUR_SECONDS, program.running)  # noqa: B023
                if goal < MESSAGES:
                    assert set(tokens("answered")) - set(tokens("arrived"))  # the cut costs something
                    continue
                guest.ssh(PAST_THE_FILTER, doing="let the queue past the filter")
                end = time.monotonic() + ARRIVE_SECONDS
                while (lost := set(tokens("answered")) - set(tokens("arrived"))) and time.monotonic() < end:
                    guest.ssh("postqueue -f", doing="send what waits")
                    time.sleep(10)
                queue = guest.ssh("postqueue -p | tail -n 1", doing="look at the queue").stdout
    answered, arrived = tokens("answered"), Counter(tokens("arrived"))
    assert len(set(answered)) == len(answered) >= MESSAGES
    assert not lost, f"{len(lost)} of {len(answered)} messages are lost; {queue}"
    twice = sum(count > 1 for count in arrived.values())
    print(f"{len(answered)} answered 250, all arrived, {twice} of them more than once")


def wait(done: Callable[[], bool], seconds: float, running: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert running(), "the clients have ended"
        assert time.monotonic() < end, f"not done in {seconds:.0f} s"
        time.sleep(1)
