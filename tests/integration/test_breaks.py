"""A check that can't fail is none: what is broken on purpose in a throwaway copy turns its control red.

All breaks (breaks/*.toml) are made at once, and looked at by one verification: each must turn its own
control red for its own reason. That the same controls hold in an image that nobody broke is seen in
test_golden_image.

The copy is one of the VHDX, as generation 1 of Hyper-V boots it: BIOS and IDE (2: test_golden_image).
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest

from builder.make.findings import Finding, Outcome
from builder.make.verification import TESTS, look
from builder.make.verification.guest import boot_guest
from builder.make.verification.throwaway import make_throwaway
from builder.room import read_resolution
from builder.tools.cell import open_cell
from builder.tools.machine import FirmwareKind

from .breaks import Break, read_breaks, rendered, script
from .conftest import Golden

pytestmark = pytest.mark.slow

BREAKS = read_breaks()
CONSOLE = "console-breaks.log"
FILES = sorted(path.name for path in TESTS.glob("test_*.py"))
"""Those of the machine by itself: mail played between neighbours takes longer than all of them."""


@pytest.fixture(scope="module")
def found(golden: Golden) -> tuple[tuple[Finding, ...], str]:
    """What verification finds in the broken copy, and what was said of breaks that could not be made."""
    room = golden.room
    log = room.logs / "breaks.log"
    log.unlink(missing_ok=True)
    cases = [rendered(case, room.plan) for case in BREAKS]
    with tempfile.TemporaryDirectory(prefix="forja-") as folder, open_cell() as cell:
        work = Path(folder)
        before = "\n".join(case.before_boot for case in cases if case.before_boot)
        throwaway = make_throwaway(
            room.plan, room.path("vhdx"), room.path("medium"), work, cell, log=log, more=before
        )
        serial = room.logs / CONSOLE
        with boot_guest(
            room.plan, throwaway, work, cell, firmware=FirmwareKind.BIOS, serial=serial, log=log
        ) as guest:
            said = guest.ssh(script(cases), doing="break it").stdout
            resolution, controls = read_resolution(room.path("packages")), [case.control for case in cases]
            return look(guest, resolution, work, xml=None, log=log, controls=controls, files=FILES), said


@pytest.mark.parametrize("case", BREAKS, ids=lambda case: f"{case.control}: {case.what}")
def test_a_break_turns_its_control_red(
    case: Break, found: tuple[tuple[Finding, ...], str], golden: Golden
) -> None:
    says = rendered(case, golden.plan).says
    reasons = [
        finding.reason.en
        for finding in found[0]
        if case.control in finding.controls and finding.outcome is Outcome.FAILED and finding.reason
    ]
    assert [reason for reason in reasons if re.search(says, reason)], (
        f"{reasons or 'it holds'}; not broken: {found[1] or 'none'}"
    )


def test_the_disk_was_the_vhdx_on_ide(found: tuple[tuple[Finding, ...], str], golden: Golden) -> None:
    assert found[0]
    said = (golden.room.logs / CONSOLE).read_text(errors="replace")
    assert re.search(r"scsi 0:0:0:0: Direct-Access +ATA +QEMU HARDDISK", said)
    assert "EFI v2" not in said
