"""amavis's quarantine in the hands of the mail administrator (CCN-STIC-681, 6.5.3 and 6.5 m)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from smtp import ARRIVE, await_line, secure
from test_amavis import EICAR, LOG, PROGRAM, QUARANTINE, Letter, Played, line_about, submit, zipped
from test_roles import Member

from builder.ask.plan import Plan

if TYPE_CHECKING:
    from conftest import Guest

Seen = Callable[[object], None]

CUARENTENA = "/usr/libexec/forja/cuarentena"


@pytest.fixture(scope="module")
def kept(plan: Plan, host: Any, guest: Guest) -> Played:
    """A program and malware, both to the administrator's mailbox, and both in the quarantine."""
    sent = {
        "program": Letter("BANNED", files=(("informe.pdf", PROGRAM),), local=True),
        "malware": Letter("INFECTED", files=(("a.zip", zipped(("e.txt", EICAR))),), local=True),
    }
    with secure(guest, 25, "relay") as smtp:
        for letter in sent.values():
            assert submit(smtp, letter, plan)[0] == 250
    played = Played(sent, {name: line_about(host, letter) for name, letter in sent.items()})
    assert played.hold(*sent) == []
    return played


@pytest.fixture(scope="module")
def member(host: Any) -> Iterator[Member]:
    try:
        yield Member(host, "correo")
    finally:
        host.run("pkill -u prueba-correo; userdel --remove prueba-correo")


@pytest.mark.control("CCN681-6.5.3-35")
def test_mail_administrator_sees_and_releases(
    plan: Plan, host: Any, member: Member, kept: Played, seen: Seen
) -> None:
    name, letter = kept.kept_as("program"), kept.letters["program"]
    host.check_output(f"touch -a -d 2020-01-01 {QUARANTINE}/{name}")
    listed, headers = member.sudo(f"{CUARENTENA} lista"), member.sudo(f"{CUARENTENA} ver {name}")
    read = host.check_output(f"stat -c %x {QUARANTINE}/{name}")
    code, said = member.sudo(f"{CUARENTENA} liberar {name}")
    queue_id = said.rpartition(" ")[2]
    sent = await_line(host, f"grep '{queue_id}: to=.*status=sent' {LOG}", ARRIVE)
    mails = host.check_output(f"cat /var/mail/{plan.site.admin.user}").replace("\r\n", "\n")
    seen(f"{listed}; {headers}; last read {read}; {code} {said}; {sent}")
    assert listed[0] == headers[0] == 0
    assert any(line.split()[-1] == name for line in listed[1].splitlines())
    assert f"Subject: Informe {letter.token}" in headers[1].splitlines()
    assert read.startswith("2020-01-01"), "looking at it put off its end"
    assert code == 0, said
    assert said.startswith("250 ")
    assert letter.body().rstrip("\n") in mails


@pytest.mark.control("CCN681-6.5.3-36")
def test_mail_administrator_goes_no_further(host: Any, member: Member, kept: Played, seen: Seen) -> None:
    program, malware = kept.kept_as("program"), kept.kept_as("malware")
    answer = member.sudo(f"{CUARENTENA} liberar {malware}")
    recorded = await_line(host, f"grep 'cuarentena.*{member.name} libera {program}: 250' {LOG}")
    headers = member.sudo(f"{CUARENTENA} ver {program}")[1]
    allowed = member.not_refused(
        [f"cat {QUARANTINE}/{program}", "-u amavis id", f"rm {QUARANTINE}/{program}"]
    )
    names = ("../../../etc/shadow", "banned-../x", "-", "virus-", "'banned-x y'", "/etc/passwd")
    wrong = member.not_wrong([f"{CUARENTENA} ver {name}" for name in names])
    host.check_output(f"ln -s /etc/shadow {QUARANTINE}/spam-enlace")
    link = member.sudo(f"{CUARENTENA} ver spam-enlace")
    host.check_output(f"rm {QUARANTINE}/spam-enlace")
    direct = member.run(f"ls {QUARANTINE}")
    seen(f"malware: {answer}; {recorded}; allowed: {allowed}; taken: {wrong}; link: {link}; itself: {direct}")
    assert answer[0] == 1
    assert "no se libera" in answer[1]
    assert recorded
    assert "multipart/mixed" in headers
    assert "--x" not in headers.splitlines()
    assert allowed == []
    assert wrong == []
    assert "root:" not in link[1]
    assert direct[0] != 0
