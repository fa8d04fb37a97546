"""Roles (CCN-STIC-681, 6.5 m), each tried as a member of its group: what it may, and what it may not."""

from __future__ import annotations

import re
import shlex
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest
from facts import RECORD, UNIT, ask, new_password
from smtp import await_line, held, secure, send

from builder.ask.plan import Plan

if TYPE_CHECKING:
    from conftest import Guest

Seen = Callable[[object], None]

GROUPS = {"sistema": "wheel", "correo": "correo-admin", "auditor": "correo-auditor"}
COLA, REGISTRO = "/usr/libexec/forja/cola", "/usr/libexec/forja/registro"
EDITABLE = (
    "/etc/aliases",
    *(f"/etc/postfix/{name}_checks" for name in ("header", "mime_header", "body")),
    "/etc/postfix/postscreen_access.cidr",
    "/etc/postfix/sender_login",
)


class Member:
    """An account in a role's group, with a password that lives as long as the test."""

    def __init__(self, host: Any, role: str) -> None:
        self.host, self.name = host, f"prueba-{role}"
        self.password = new_password()
        group = GROUPS[role]
        host.check_output(
            f"useradd --create-home --groups {group} {self.name};"
            f" echo {self.name}:{self.password} | chpasswd; chage --maxdays 99 {self.name}"
        )

    def run(self, command: str) -> tuple[int, str]:
        """Return exit code and output of a shell command that the account runs."""
        script = f"cd /; export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin; {command}"
        done = self.host.run(f"runuser -u {self.name} -- sh -c {shlex.quote(script)} 2>&1")
        return done.rc, done.stdout.strip("\n")  # no more: the marks of records count as blanks

    def sudo_each(self, commands: Iterable[str]) -> list[tuple[int, str]]:
        """Return exit code and output of each command under sudo, the account's password given.

        They follow one another in one session: sudo asks once, and takes no second to check it each time.
        """
        # What is refused makes no ticket, so one is made first.
        script = f"said=$(mktemp); sudo -k; echo {self.password} | sudo -S -p '' -v\n"
        for command in commands:
            script += (
                f"{{ echo {self.password} | sudo -S -p '' {command}; }} >$said 2>&1\n"
                "printf '\\036%s\\037' $?; cat $said\n"
            )
        records = self.run(f"{script}rm $said")[1].split(RECORD)[1:]
        pairs = [record.partition(UNIT) for record in records]
        return [(int(code), said.strip()) for code, _, said in pairs]

    def sudo(self, command: str) -> tuple[int, str]:
        """Return exit code and output of a command under sudo."""
        return self.sudo_each([command])[0]

    def not_refused(self, commands: Sequence[str]) -> list[str]:
        """Return those of the commands that sudo itself does not refuse to the account."""
        refusal = re.compile(r"is not allowed to (execute|run sudo)")
        answers = self.sudo_each(commands)
        return [
            command
            for command, (code, said) in zip(commands, answers, strict=True)
            if code == 0 or not refusal.search(said)
        ]

    def not_wrong(self, commands: Sequence[str]) -> list[str]:
        """Return those of the commands, programs of ours, that do not refuse their arguments (64)."""
        answers = self.sudo_each(commands)
        return [command for command, (code, _) in zip(commands, answers, strict=True) if code != 64]


@pytest.fixture(scope="module")
def members(host: Any) -> Iterator[dict[str, Member]]:
    made: dict[str, Member] = {}
    try:
        for role in GROUPS:
            made[role] = Member(host, role)
        yield made
    finally:
        for role in GROUPS:
            host.run(f"pkill -u prueba-{role}; userdel --remove prueba-{role}")


@pytest.fixture
def queued(plan: Plan, host: Any, guest: Guest) -> Iterator[str]:
    """A message that waits in the queue; its queue id."""
    token = uuid.uuid4().hex
    sender = f"{token}@{plan.site.mail.domain}"
    with held(host, "smtp,relay,smtp-amavis"):
        with secure(guest, 25, "relay") as smtp:
            code, text = send(smtp, f"From: {sender}\nSubject: {token}\n\ncuerpo-{token}", sender=sender)
        assert code == 250, text
        deferred = await_line(host, f"postqueue -j | grep {token} | grep deferred")
        yield re.sub(r'.*"queue_id": "(\w+)".*', r"\1", deferred)


@pytest.mark.control("CCN681-6.5.m-01")
def test_each_person_has_one_role(plan: Plan, host: Any, seen: Seen) -> None:
    facts = ask(host, {group: f"getent group {group}" for group in GROUPS.values()})
    found = {name: set(filter(None, facts[name].split(":")[3].split(","))) for name in GROUPS.values()}
    seen(found)
    wanted: dict[str, set[str]] = {group: set() for group in GROUPS.values()}
    for person in plan.site.roles:
        wanted[GROUPS[person.role]].add(person.user)
    wanted["wheel"].add(plan.site.admin.user)
    assert found == wanted
    everybody = [name for names in found.values() for name in names]
    assert len(everybody) == len(set(everybody))


@pytest.mark.control("CCN681-6.5.m-02")
def test_mail_administrator_minds_the_queue(members: dict[str, Member], queued: str, seen: Seen) -> None:
    member = members["correo"]
    told = {
        "lista": queued,
        "json": queued,
        f"retener {queued}": "placed on hold",
        f"liberar {queued}": "released from hold",
        f"ver {queued}": "Subject: ",
        f"borrar {queued}": "removed",
    }
    *answers, (_, after) = member.sudo_each([*(f"{COLA} {order}" for order in told), f"{COLA} lista"])
    seen({order: code for order, (code, _) in zip(told, answers, strict=True)})
    for expected, (code, said) in zip(told.values(), answers, strict=True):
        assert code == 0, said
        assert expected in said
    assert queued not in after


@pytest.mark.control("CCN681-6.5.m-02")
def test_mail_administrator_minds_tables_and_postfix(
    members: dict[str, Member], host: Any, seen: Seen
) -> None:
    member = members["correo"]
    orders = ("postfix reload", "postfix check", "postfix flush", "postfix status", "newaliases")
    host.check_output(
        "for log in maillog maillog.err; do echo anterior | gzip > /var/log/$log-20200101.gz; done"
    )
    try:
        commands = [*orders, f"{REGISTRO} correo", f"{REGISTRO} errores"]
        commands += [f"{REGISTRO} {name} 20200101" for name in ("correo", "errores")]
        answers = member.sudo_each(commands)
    finally:
        host.check_output("rm /var/log/maillog-20200101.gz /var/log/maillog.err-20200101.gz")
    seen(f"{dict(zip(commands, [code for code, _ in answers], strict=True))}; an earlier day: {answers[-2:]}")
    assert [(command, said) for command, (code, said) in zip(commands, answers, strict=True) if code] == []
    assert answers[-2:] == [(0, "anterior")] * 2
    listed = host.check_output(f"sudo -l -U {member.name}")
    assert {name for name in EDITABLE if re.search(rf"sudoedit {name}(,|$)", listed, re.MULTILINE)} == set(
        EDITABLE
    )


@pytest.mark.control("CCN681-6.5.m-03")
def test_users_editor_is_not_looked_at(members: dict[str, Member], host: Any, seen: Seen) -> None:
    """CVE-2023-22809: a variable of the user's would name further files, opened with root's rights."""
    mark = "/tmp/forja-prueba-editor"
    said = members["correo"].run(
        f"export EDITOR='touch {mark}' VISUAL='touch {mark}' SUDO_EDITOR='touch {mark}';"
        f" echo {members['correo'].password} | timeout 20 sudo -k -S -p '' -e {EDITABLE[1]} </dev/null"
    )
    made = host.run(f"ls {mark}").rc == 0
    defaults = host.check_output(f"sudo -l -U {members['correo'].name}")
    seen(f"{said[0]}; the user's editor ran: {made}")
    assert not made
    assert 'env_delete+="SUDO_EDITOR VISUAL EDITOR"' in defaults


@pytest.mark.control("CCN681-6.5.m-03")
def test_mail_administrator_goes_no_further(members: dict[str, Member], queued: str, seen: Seen) -> None:
    member = members["correo"]
    commands = (
        "id", "sh", "-u postfix id", "cat /etc/shadow", "postconf -e myhostname=x", "postfix stop",
        "postfix -c /tmp reload", "postsuper -d ALL", f"postcat -q {queued}", "newaliases -v",
        "-e /etc/postfix/main.cf", "-e /etc/postfix/master.cf", "-e /etc/postfix/../shadow",
        f"-e {EDITABLE[1]} /etc/shadow", f"{REGISTRO} acceso",
        f"{REGISTRO} acceso 20200101", f"{REGISTRO} correo '2020010 '", f"{REGISTRO} correo 20200101 1",
    )  # fmt: skip
    allowed = member.not_refused(commands)
    orders = ("borrar ALL", "borrar -", "borrar all", "ver ../../../etc/shadow", "ver '-c /tmp'", "ver", "x")
    wrong = member.not_wrong([f"{COLA} {order}" for order in orders])
    direct = [
        member.run(command) for command in ("postqueue -p", "cat /var/log/maillog", f"cat {EDITABLE[1]}")
    ]
    seen(
        f"refused by sudo: {len(commands) - len(allowed)}; by cola: {7 - len(wrong)}; without sudo: {direct}"
    )
    assert allowed == []
    assert wrong == []
    assert all(code != 0 for code, _ in direct)
    _, headers = member.sudo(f"{COLA} ver {queued}")
    assert "cuerpo-" not in headers


@pytest.mark.control("CCN681-6.5.m-04")
def test_auditor_reads_logs_and_queue(members: dict[str, Member], queued: str, host: Any, seen: Seen) -> None:
    member = members["auditor"]
    host.check_output("echo anterior | gzip > /var/log/maillog-20200101.gz")
    try:
        told = {
            f"{COLA} lista": queued,
            f"{COLA} json": queued,
            f"{REGISTRO} correo": "postfix",
            f"{REGISTRO} correo 20200101": "anterior",
            f"{REGISTRO} acceso": "sudo",
            f"{REGISTRO} sudo": "COMMAND=",
            f"{REGISTRO} auditoria": "type=",
            f"{REGISTRO} diario": "kernel",
            "aureport": "Summary Report",
        }
        answers = member.sudo_each(
            f"{command} | grep -a -m 1 -e {shlex.quote(expected)}" for command, expected in told.items()
        )
    finally:
        host.check_output("rm /var/log/maillog-20200101.gz")
    seen({command: said[:60] for command, (_, said) in zip(told, answers, strict=True)})
    assert [(command, said) for command, (code, said) in zip(told, answers, strict=True) if code] == []


@pytest.mark.control("CCN681-6.5.m-05")
def test_auditor_changes_nothing(members: dict[str, Member], queued: str, seen: Seen) -> None:
    member = members["auditor"]
    commands = (
        "id", "sh", f"{COLA} vaciar", f"{COLA} borrar {queued}", f"{COLA} ver {queued}", "postfix reload",
        "newaliases", "-e /etc/aliases", "rm /var/log/maillog", "cat /etc/shadow", "aureport -if /etc/shadow",
        "postsuper -d ALL", "systemctl stop auditd",
    )  # fmt: skip
    allowed = member.not_refused(commands)
    names = ("/etc/shadow", "correo ../../etc/shadow", "correo ''", "correo 1 2", "diario 1", "'correo;id'")
    wrong = member.not_wrong([f"{REGISTRO} {name}" for name in names])
    direct = [
        member.run(command) for command in ("cat /var/log/maillog", "ls /var/log/audit", "postqueue -p")
    ]
    seen(f"refused by sudo: {len(commands) - len(allowed)}; by registro: {len(names) - len(wrong)}; {direct}")
    assert allowed == []
    assert wrong == []
    assert all(code != 0 for code, _ in direct)


@pytest.mark.control("CCN681-6.5.m-06")
def test_system_administrator_becomes_root(members: dict[str, Member], host: Any, seen: Seen) -> None:
    member = members["sistema"]
    without, with_password = member.run("sudo -k -n id -u"), member.sudo("id -u")
    recorded = host.run(f"grep -c '{member.name} .*COMMAND=.*/id -u' /var/log/sudo.log").stdout.strip()
    seen(f"without a password: {without}; with: {with_password}; recorded: {recorded}")
    assert without[0] != 0
    assert with_password == (0, "0")
    assert int(recorded) >= 1
