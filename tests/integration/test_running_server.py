"""`forja verify HOST` on a booted throwaway copy: by key, with sudo's password at a terminal."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder.make.findings import ACTS, Findings, Outcome, Verdict
from builder.make.verification.guest import SSH_NAME, Guest, boot_guest
from builder.make.verification.throwaway import MARK, make_throwaway
from builder.tools.cell import open_cell
from builder.tools.machine import FirmwareKind
from tests.image.facts import ask, new_password
from tests.image.shell import RootShell

from .conftest import Golden, forja
from .terminal import Session, at_a_terminal, forja_words

pytestmark = pytest.mark.slow

LOOK_SECONDS = 3000
NAME = "relay"
PROMPT = f"sudo password on {NAME}: "
ACTING = "RHEL-ACCOUNT-14"
SNAPSHOT = {
    "files": "find /etc /root /usr/libexec/forja /usr/lib/forja /var/spool/cron -xdev"
    " -printf '%p %y %m %u:%g %l %s %T@\\n' | sort",
    "contents": "find /etc -xdev -type f -exec sha256sum {} + | sort -k 2",
    "temporary": "echo .; find /tmp /var/tmp -mindepth 1 -name 'systemd-private-*' -prune -o -print | sort",
    # What the server writes by itself goes by pickup as root, and comes back from the filter by the loopback.
    "mail": "grep -E 'smtpd.*: client=' /var/log/maillog | grep -vcF '[127.0.0.1]';"
    " grep -cE 'pickup.*uid=[1-9]' /var/log/maillog",
    "people": "cut -d: -f1 /etc/passwd; ls /home",
    "firewall": "nft -s list ruleset",
    "audit": "auditctl -l",
    "mounts": "findmnt -rn -o TARGET,SOURCE,OPTIONS | grep -v /run/user",
}
"""What must be the same after a look as before; besides, when each of the plan's services was started."""


@dataclass(frozen=True)
class Used:
    """A server in use: what a person has to get there, and a root shell of ours that stays."""

    guest: Guest
    config: Path
    password: str
    shell: RootShell
    plan: Path

    def verify(self, *words: str | Path, password: str = "") -> Session:
        """Run `forja verify` where the server can be reached, at a terminal."""
        argv = forja_words("verify", NAME, "--ssh-config", self.config, "--plan", self.plan, *words)
        given = password or self.password
        return at_a_terminal(self.guest.inside(argv), PROMPT, given, timeout=LOOK_SECONDS)


@pytest.fixture(scope="module")
def used(golden: Golden) -> Iterator[Used]:
    room, admin = golden.room, golden.plan.site.admin.user
    log, serial = room.logs / "running.log", room.logs / "console-running.log"
    log.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="forja-", dir="/tmp") as folder, open_cell() as cell:
        work = Path(folder)
        throwaway = make_throwaway(room.plan, room.path("image"), room.path("medium"), work, cell, log=log)
        with boot_guest(
            room.plan, throwaway, work, cell, firmware=FirmwareKind.BIOS, serial=serial, log=log
        ) as guest:
            password = new_password()
            hashed = subprocess.run(
                ["openssl", "passwd", "-6", "-stdin"],
                input=password, text=True, capture_output=True, check=True,
            ).stdout.strip()  # fmt: skip
            shell = RootShell(guest.inside(guest.connection["argv"]))
            # A server in use has no rule of the verification's own: sudo asks, as it always does.
            assert shell.run(f"usermod -p '{hashed}' {admin} && rm /etc/sudoers.d/zz-{MARK}").rc == 0
            config = work / "persons_config"
            lines = guest.ssh_config.read_text().replace(f"Host {SSH_NAME}\n", f"Host {NAME}\n").splitlines()
            ours = ("ControlPath", "BatchMode", "StrictHostKeyChecking")
            config.write_text("\n".join(line for line in lines if not line.strip().startswith(ours)) + "\n")
            try:
                yield Used(guest, config, password, shell, room.path("plan"))
            finally:
                shell.close()


def take(used: Used) -> dict[str, str]:
    """Return the server's state, and how often somebody has logged in."""
    plan = used.guest.plan
    units = " ".join(plan.platform.service(name) for name in plan.services)
    return ask(
        used.shell,
        {
            **SNAPSHOT,
            "units": f"systemctl show -p Id -p ActiveState -p ActiveEnterTimestamp -p MainPID {units}",
            "logins": "grep -c 'Accepted publickey' /var/log/secure",
        },
    )


@dataclass(frozen=True)
class Looked:
    """A look at the server, and the server before and after it."""

    session: Session
    folder: Path
    findings: Findings
    before: dict[str, str]
    after: dict[str, str]


@pytest.fixture(scope="module")
def looked(used: Used, tmp_path_factory: pytest.TempPathFactory) -> Looked:
    folder = tmp_path_factory.mktemp("looked")
    before = take(used)
    session = used.verify("--output", folder)
    after = take(used)
    assert (folder / "findings.json").exists(), session.shown[-3000:]
    findings = Findings.model_validate_json((folder / "findings.json").read_text())
    return Looked(session, folder, findings, before, after)


def test_a_wrong_password_is_given_once_only(used: Used, tmp_path: Path) -> None:
    session = used.verify("--output", tmp_path, password="no es la suya")
    assert session.code == 2, session.shown
    assert "did not take the password" in session.shown
    assert session.shown.count(PROMPT) == 1
    assert not (tmp_path / "findings.json").exists()


def test_nothing_fails_on_a_server_as_it_was_made(golden: Golden, looked: Looked) -> None:
    failed = [item for item in looked.findings.findings if item.outcome is Outcome.FAILED]
    assert [(item.test, item.reason and item.reason.en) for item in failed] == []
    assert looked.session.code == 0, looked.session.shown[-3000:]
    sums = looked.findings.sums(golden.plan.controls)
    assert sums[Verdict.HOLDS] > 120
    assert f"{sums[Verdict.HOLDS]} hold, 0 fail" in looked.session.shown


def test_it_was_one_connection_and_the_password_is_nowhere(used: Used, looked: Looked) -> None:
    assert int(looked.after["logins"]) == int(looked.before["logins"]) + 1
    assert looked.session.shown.count(PROMPT) == 1
    for path in looked.folder.rglob("*"):
        assert not path.is_file() or used.password not in path.read_text(errors="replace"), path


@pytest.mark.parametrize("what", [*SNAPSHOT, "units"])
def test_nothing_is_changed_on_the_server(what: str, looked: Looked) -> None:
    assert looked.before[what]
    assert looked.after[what].splitlines() == looked.before[what].splitlines()


def test_what_acts_is_not_verified_and_says_why(golden: Golden, looked: Looked) -> None:
    spared = [item for item in looked.findings.findings if item.reason == ACTS]
    assert {item.outcome for item in spared} == {Outcome.NOT_SHOWN}
    assert len({item.test.partition("::")[0] for item in spared}) > 8
    control = next(control for control in golden.plan.controls if control.id == ACTING)
    assert looked.findings.verdict(control) is Verdict.NOT_VERIFIED


def test_its_image_may_stand_for_what_acts(used: Used, golden: Golden, tmp_path: Path) -> None:
    session = used.verify(
        *("--output", tmp_path), *("--verified", golden.room.folder), *("--control", ACTING)
    )
    assert session.code == 0, session.shown
    findings = Findings.model_validate_json((tmp_path / "findings.json").read_text())
    control = next(control for control in golden.plan.controls if control.id == ACTING)
    assert findings.verdict(control) is Verdict.HOLDS
    assert findings.subject.sha256 in findings.of(ACTING)[0].seen[0]


def test_the_report_is_of_the_server_and_shows_no_drift(golden: Golden, looked: Looked) -> None:
    server = looked.findings.subject.server
    assert server
    assert server.name == golden.plan.site.host.name
    assert server.host_key.startswith("ssh-ed25519 SHA256:")
    assert server.host_key in (looked.folder / "lista-de-comprobacion.html").read_text()
    run = forja("report", "--compare", golden.room.folder, looked.folder, "--format", "json")
    told = json.loads(run.stdout)
    assert (run.code, told["worse"]) == (0, []), run.stdout[-3000:]
    assert told["identity"]["server"] == ["", server.name]
