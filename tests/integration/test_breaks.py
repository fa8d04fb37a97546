"""A check that can't fail is none: what is broken on purpose in a throwaway copy turns its control red."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder.make.findings import Outcome
from builder.make.resolution import Resolution
from builder.make.verification import look
from builder.make.verification.guest import Guest, boot_guest
from builder.make.verification.throwaway import make_throwaway
from builder.room import read_resolution
from builder.tools.cell import open_cell
from builder.tools.machine import FirmwareKind

from .conftest import Golden

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Break:
    """Something broken on purpose: how, the control that must see it, and how it is mended."""

    what: str
    control: str
    how: str
    mend: str


RELOAD = "postfix reload 2>/dev/null && sleep 1"
KEEP = "cp -a /etc/postfix /etc/dnf/plugins/versionlock.list /etc/ssh/sshd_config /etc/aliases /root/"
MEND_POSTFIX = f"cp -a /root/postfix/main.cf /root/postfix/master.cf /etc/postfix/ && {RELOAD}"


def postfix(*settings: str) -> str:
    return f"postconf -e {' '.join(repr(setting) for setting in settings)} && {RELOAD}"


BREAKS = (
    Break("a mount option", "RHEL-STORAGE-02", "mount -o remount,exec /tmp", "mount -o remount,noexec /tmp"),
    Break(
        "the relay restriction",
        "CCN681-6.4.3-02",
        postfix(
            *(
                f"smtpd_{name}_restrictions=permit,reject_unauth_destination"
                for name in ("relay", "recipient")
            )
        ),
        MEND_POSTFIX,
    ),
    Break(
        "a TLS version",
        "CCN681-6.5.4-01",
        postfix("smtpd_tls_protocols=!SSLv2,!SSLv3", "smtpd_tls_mandatory_protocols=!SSLv2,!SSLv3"),
        MEND_POSTFIX,
    ),
    Break(
        "a file mode",
        "CCN681-6.5.4-05",
        "chmod 0644 /etc/pki/tls/private/forja-postfix.key",
        "chmod 0600 /etc/pki/tls/private/forja-postfix.key",
    ),
    Break(
        "the pin",
        "CCN681-4-01",
        "sed -i /^postfix/d /etc/dnf/plugins/versionlock.list",
        "cp -a /root/versionlock.list /etc/dnf/plugins/versionlock.list",
    ),
    Break(
        "a service that nobody asked for",
        "CCN681-6.5.5-20",
        "systemd-run --quiet --unit=intruso python3 -m http.server 8080 && sleep 4",
        "systemctl stop intruso",
    ),
    Break(
        "root by SSH",
        "RHEL-SSHD-01",
        "sed -i 's/^PermitRootLogin.*/PermitRootLogin yes/' /etc/ssh/sshd_config && systemctl reload ssh",
        "cp -a /root/sshd_config /etc/ssh/sshd_config && systemctl reload ssh",
    ),
    Break(
        "the firewall",
        "CCN681-6.5.5-02",
        "firewall-cmd --quiet --zone=drop --add-port=8080/tcp",
        "firewall-cmd --quiet --zone=drop --remove-port=8080/tcp",
    ),
    Break(
        "a kernel setting",
        "RHEL-SYSCTL-01",
        "sysctl -qw net.ipv4.conf.all.accept_redirects=1",
        "sysctl -qw net.ipv4.conf.all.accept_redirects=0",
    ),
    Break(
        "the postmaster",
        "CCN681-6.4.4-01",
        "sed -i 's/^postmaster:.*/postmaster: root/' /etc/aliases && newaliases",
        "cp -a /root/aliases /etc/aliases && newaliases",
    ),
    Break("VRFY", "CCN681-6.5-23", postfix("disable_vrfy_command=no"), MEND_POSTFIX),
    Break(
        "the jail",
        "CCN681-6.5.2-01",
        f"postconf -F 'smtpd/pass/chroot=n' && {RELOAD}",
        MEND_POSTFIX,
    ),
    Break(
        "sudo without a password",
        "RHEL-SUDO-01",
        "echo '%wheel ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/intruso",
        "rm /etc/sudoers.d/intruso",
    ),
    Break(
        "a package that was not resolved",
        "RHEL-PACKAGE-04",
        "mkdir -p /root/x/DEBIAN && printf 'Package: intruso\\nVersion: 1\\nArchitecture: all\\n"
        "Maintainer: x <x@ejemplo.es>\\nDescription: x\\n' > /root/x/DEBIAN/control && "
        "dpkg-deb -b /root/x /root/x.deb && dpkg -i /root/x.deb && rm -r /root/x /root/x.deb",
        "dpkg -P intruso",
    ),
)


@pytest.fixture(scope="module")
def guest(golden: Golden) -> Iterator[Guest]:
    room = golden.room
    log = room.logs / "breaks.log"
    log.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="forja-") as folder, open_cell() as cell:
        work = Path(folder)
        throwaway = make_throwaway(room.plan, room.path("image"), room.path("medium"), work, cell, log=log)
        serial = room.logs / "console-breaks.log"
        with boot_guest(
            room.plan, throwaway, work, cell, firmware=FirmwareKind.BIOS, serial=serial, log=log
        ) as running:
            running.ssh(KEEP, doing="keep Postfix's files")
            yield running


def resolution(golden: Golden) -> Resolution:
    return read_resolution(golden.room.path("packages"))


@pytest.mark.parametrize("case", BREAKS, ids=lambda case: case.what)
def test_a_break_turns_its_control_red(case: Break, guest: Guest, golden: Golden, tmp_path: Path) -> None:
    log = golden.room.logs / "breaks.log"
    guest.ssh(case.how, doing=f"break {case.what}")
    try:
        findings = look(guest, resolution(golden), tmp_path, xml=None, log=log, controls=[case.control])
    finally:
        guest.ssh(case.mend, doing=f"mend {case.what}")
    red = {
        control for finding in findings if finding.outcome is Outcome.FAILED for control in finding.controls
    }
    assert case.control in red


def test_a_mended_image_is_green_again(guest: Guest, golden: Golden, tmp_path: Path) -> None:
    log = golden.room.logs / "breaks.log"
    controls = sorted({case.control for case in BREAKS})
    findings = look(guest, resolution(golden), tmp_path, xml=None, log=log, controls=controls)
    assert [item.test for item in findings if item.outcome is Outcome.FAILED] == []
