"""The content filter, between 10024 and 10025 (CCN-STIC-681, 6.5.3): what passes, what stays, who is told."""

from __future__ import annotations

import base64
import email.utils
import functools
import io
import re
import uuid
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from smtp import ARRIVE, Facts, await_line, look, secure

from builder.ask.plan import Plan

if TYPE_CHECKING:
    from conftest import Guest

Seen = Callable[[object], None]

EICAR = (r"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*").encode()
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
MARKED = "FORJA*PRUEBA*DE*CORREO*NO*DESEADO"
QUARANTINE = "/var/spool/amavisd/quarantine"
LOG = "/var/log/maillog"


def zipped(*members: tuple[str, bytes]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return held.getvalue()


def locked(archive: bytes) -> bytes:
    """Return a zip whose members say that they are encrypted (APPNOTE.TXT 4.4.4, bit 0)."""
    held = bytearray(archive)
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        held[held.index(mark) + offset] |= 1
    return bytes(held)


def windows_program() -> bytes:
    """Return the least that file(1) takes for a program of Windows; Postfix's marks don't see it."""
    program = bytearray(1024)
    program[0:2], program[0x3C] = b"MZ", 0x80
    program[0x80:0x98] = (b"PE\0\0" + (0x14C).to_bytes(2, "little") + (1).to_bytes(2, "little")).ljust(
        20, b"\0"
    ) + (b"\xe0\x00\x02\x01")
    program[0x98:0x9A], program[0xDC] = b"\x0b\x01", 2
    return bytes(program)


PROGRAM = windows_program()


def endless(mebibytes: int) -> bytes:
    held = io.BytesIO()
    with (
        zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("ceros.txt", "w", force_zip64=True) as member,
    ):
        for _ in range(mebibytes):
            member.write(bytes(1048576))
    return held.getvalue()


@dataclass(frozen=True)
class Letter:
    """A message, and what has to become of it."""

    verdict: str
    text: str = "Buenos días. Adjunto el informe."
    files: tuple[tuple[str, bytes], ...] = ()
    local: bool = False
    """To the administrator, whose mailbox is on the machine."""
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    date: str = field(default_factory=email.utils.formatdate)

    @property
    def sender(self) -> str:
        return f"remite-{self.token}@ejemplo.org"

    def recipient(self, plan: Plan) -> str:
        return f"postmaster@{plan.site.host.name}" if self.local else f"fuera-{self.token}@destino.example"

    def body(self) -> str:
        text = (
            "--x\nContent-Type: text/plain; charset=utf-8\n"
            f"Content-Transfer-Encoding: base64\n\n{_b64(self.text)}"
        )
        for name, content in self.files:
            text += (
                f"--x\nContent-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n"
                f'Content-Disposition: attachment; filename="{name}"\n\n{_b64(content)}'
            )
        return text + "--x--\n"

    def message(self, plan: Plan) -> str:
        return (
            f"From: <{self.sender}>\nTo: <{self.recipient(plan)}>\nSubject: Informe {self.token}\n"
            f"Message-ID: <{self.token}@ejemplo.org>\nDate: {self.date}\n"
            f'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="x"\n\n{self.body()}'
        )


def _b64(content: str | bytes) -> str:
    return base64.encodebytes(content.encode() if isinstance(content, str) else content).decode()


def letters(plan: Plan) -> dict[str, Letter]:
    limit = min(8 * plan.site.mail.message_limit_mib, 400)
    deep = functools.reduce(lambda inner, level: zipped((f"{level}.zip", inner)), range(14), b"fondo")
    kept = {
        "EICAR in a zip": Letter("INFECTED", files=(("a.zip", zipped(("e.txt", EICAR))),)),
        "EICAR in a zip in a zip": Letter(
            "INFECTED", files=(("a.zip", zipped(("b.zip", zipped(("e.txt", EICAR))))),)
        ),
        "program called .pdf": Letter("BANNED", files=(("informe.pdf", PROGRAM),)),
        "program called .pdf in a zip in a zip": Letter(
            "BANNED", files=(("a.zip", zipped(("b.zip", zipped(("informe.pdf", PROGRAM))))),)
        ),
        "name of a program in a zip": Letter("BANNED", files=(("a.zip", zipped(("informe.js", b"texto"))),)),
        "archive with a password": Letter("BANNED", files=(("a.zip", locked(zipped(("n.txt", b"hola")))),)),
        "archive that is cut off": Letter(
            "BANNED", files=(("a.zip", zipped(("n.txt", bytes(range(256)) * 9))[:90]),)
        ),
        "RAR archive": Letter("BANNED", files=(("datos.bin", b"Rar!\x1a\x07\x01\x00" + bytes(range(200))),)),
        "more than may unfold": Letter("BANNED", files=(("a.zip", endless(limit + 1)),)),
        "archives in archives": Letter("UNCHECKED", files=(("a.zip", deep),)),
        "GTUBE": Letter("SPAM", text=GTUBE),
    }
    passed = {
        "clean": Letter(
            "CLEAN", files=(("datos.zip", zipped(("nota.txt", b"hola"), ("b/c.csv", b"1,2"))),), local=True
        ),
        "marked": Letter("SPAMMY", text=f"Hola\n{MARKED}\n", local=True),
        "to others": Letter("CLEAN"),
    }
    return {**kept, **passed}


@dataclass(frozen=True)
class Played:
    """The letters, and amavis's line in the log about each."""

    letters: dict[str, Letter]
    lines: dict[str, str]

    def verdict(self, name: str) -> str:
        found = re.search(r"(Passed|Blocked) ([A-Z]+(-[A-Z]+)?)", self.lines[name])
        return f"{found[1]} {found[2]}" if found else f"no verdict: {self.lines[name]!r}"

    def kept_as(self, name: str) -> str:
        found = re.search(r"quarantine: ([\w+-]+)", self.lines[name])
        assert found, self.lines[name]
        return found[1]

    def hold(self, *names: str) -> list[str]:
        """Return the letters that did not get their verdict, with the one that they got."""
        wrong = []
        for name in names:
            wanted = self.letters[name].verdict
            found = self.verdict(name)
            if found != f"{'Passed' if wanted in {'CLEAN', 'SPAMMY'} else 'Blocked'} {wanted}":
                wrong.append(f"{name}: {found}")
        return wrong


def line_about(host: Any, letter: Letter, seconds: float = ARRIVE) -> str:
    return await_line(
        host, f"grep 'amavis.*Message-ID: <{letter.token}@' {LOG} | grep -E 'Passed|Blocked'", seconds
    )


@pytest.fixture(scope="module")
def played(plan: Plan, host: Any, guest: Guest) -> Played:
    """Send all letters from a client of the relay, and wait until the filter has spoken about each."""
    all_of_them = letters(plan)
    with secure(guest, 25, "relay") as smtp:
        for name, letter in all_of_them.items():
            code, text = submit(smtp, letter, plan)
            assert code == 250, f"{name}: {code} {text}"
    return Played(all_of_them, {name: line_about(host, letter) for name, letter in all_of_them.items()})


def submit(smtp: Any, letter: Letter, plan: Plan) -> tuple[int, str]:
    for command in (f"MAIL FROM:<{letter.sender}>", f"RCPT TO:<{letter.recipient(plan)}>"):
        code, text = smtp.docmd(command)
        assert code == 250, f"{command}: {code} {text!r}"
    assert smtp.docmd("DATA")[0] == 354
    smtp.send(letter.message(plan).replace("\n", "\r\n") + "\r\n.\r\n")
    code, text = smtp.getreply()
    return code, text.decode(errors="replace")


@pytest.fixture(scope="module")
def facts(plan: Plan, host: Any) -> Facts:
    return look(
        host,
        {
            "filter": "postconf -h content_filter; postconf -P | grep -E '/content_filter *='",
            "unit": "systemctl is-enabled amavisd; systemctl is-active amavisd",
            "processes": "for pid in $(pgrep -u amavis -f amavisd); do echo $pid"
            " $(ps -o ppid= -p $pid) $(grep -E '^Cap(Eff|Bnd):' /proc/$pid/status | cut -f 2); done",
            "mounts": "awk '{print $5, $6}' /proc/$(pgrep -o -u amavis -f amavisd)/mountinfo",
            "volume": f"findmnt -rno TARGET,SOURCE,OPTIONS {QUARANTINE};"
            " findmnt -rno SOURCE /var; findmnt -rno SOURCE /var/spool/amavisd",
            "modes": f"stat -c '%a %U:%G %n' {QUARANTINE} /var/spool/amavisd/tmp",
            "clamd": f"for folder in {QUARANTINE} /var/spool/amavisd/tmp; do"
            " runuser -u clamscan -g clamscan -G amavis -- ls $folder >/dev/null 2>&1; echo $?; done",
            "listening": "ss -Hlnt | awk '{print $4}' | grep -E ':1002[45]$'",
            "machine": "grep MemTotal /proc/meminfo; nproc",
            "postfix": "postconf -M smtp-amavis/unix | awk '{print $7}'",
        },
    )


@pytest.mark.control("CCN681-6.5.3-20")
def test_every_message_goes_through(plan: Plan, facts: Facts, played: Played, seen: Seen) -> None:
    seen(f"{facts['filter']}; {facts['unit']}; {played.lines['clean']}")
    assert facts["unit"] == ["enabled", "active"]
    # Nothing but what the filter hands back goes past it.
    assert facts["filter"][0] == "smtp-amavis:[127.0.0.1]:10024"
    assert [line.split("/")[0] for line in facts["filter"][1:]] == ["127.0.0.1:10025"]
    assert played.hold("clean", "to others") == []


@pytest.mark.control("CCN681-6.5.3-21")
def test_it_runs_without_privileges(facts: Facts, seen: Seen) -> None:
    mounts = dict(line.split() for line in facts["mounts"])
    capabilities = {word for line in facts["processes"] for word in line.split()[2:]}
    seen(f"{facts['processes']}; / {mounts['/']}")
    assert len(facts["processes"]) >= 3
    assert capabilities == {"0000000000000000"}
    assert "ro" in mounts["/"].split(",")
    assert "rw" in mounts["/var/spool/amavisd"].split(",")


@pytest.mark.control("CCN681-6.5.3-22")
def test_quarantine_is_apart_and_private(facts: Facts, seen: Seen) -> None:
    target, source, options = facts["volume"][0].split()
    seen(f"{facts['volume']}; {facts['modes']}; clamd in the quarantine, in tmp: {facts['clamd']}")
    assert target == QUARANTINE
    assert source not in facts["volume"][1:]
    assert {"noexec", "nosuid", "nodev"} <= set(options.split(","))
    assert facts["modes"] == [f"700 amavis:amavis {QUARANTINE}", "750 amavis:amavis /var/spool/amavisd/tmp"]
    assert facts["clamd"][0] != "0"
    assert facts["clamd"][1] == "0"


@pytest.mark.control("CCN681-6.5.3-23")
def test_both_ends_are_local(guest: Guest, facts: Facts, seen: Seen) -> None:
    seen(facts["listening"])
    assert sorted(facts["listening"]) == ["127.0.0.1:10024", "127.0.0.1:10025"]
    for port in (10024, 10025):
        with pytest.raises(OSError, match=r"."):
            guest.connect(port, "relay", timeout=5.0)


@pytest.mark.control("CCN681-6.5.3-24")
def test_malware_is_stopped(host: Any, played: Played, seen: Seen) -> None:
    names = ("EICAR in a zip", "EICAR in a zip in a zip")
    seen([played.lines[name] for name in names])
    assert played.hold(*names) == []
    for name in names:
        host.check_output(f"test -s {QUARANTINE}/{played.kept_as(name)}")


@pytest.mark.control("CCN681-6.5.3-25")
def test_programs_are_stopped_by_content_and_name(played: Played, seen: Seen) -> None:
    names = ("program called .pdf", "program called .pdf in a zip in a zip", "name of a program in a zip")
    seen([played.lines[name] for name in names])
    assert played.hold(*names) == []
    assert ".exe-ms" in played.lines[names[0]]


@pytest.mark.control("CCN681-6.5.3-26")
def test_what_can_not_be_opened_is_kept(played: Played, seen: Seen) -> None:
    names = ("archive with a password", "archive that is cut off", "RAR archive")
    seen([played.lines[name] for name in names])
    assert played.hold(*names) == []


@pytest.mark.control("CCN681-6.5.3-27")
def test_what_unfolds_without_end_is_kept(played: Played, seen: Seen) -> None:
    names = ("more than may unfold", "archives in archives")
    seen([played.lines[name] for name in names])
    assert played.hold(*names) == []
    assert all(played.kept_as(name) for name in names)


@pytest.mark.control("CCN681-6.5.3-28")
def test_without_antivirus_mail_waits(plan: Plan, host: Any, guest: Guest, seen: Seen) -> None:
    letter = Letter("CLEAN", local=True)
    host.check_output("systemctl stop clamd@scan")
    try:
        with secure(guest, 25, "relay") as smtp:
            assert submit(smtp, letter, plan)[0] == 250
        queued = await_line(host, f"grep 'cleanup.*{letter.token}' {LOG}", ARRIVE)
        queue_id = re.search(r"cleanup\[\d+\]: (\w+):", queued)
        assert queue_id, queued
        waits = await_line(host, f"grep '{queue_id[1]}.*status=deferred' {LOG}", ARRIVE)
    finally:
        host.check_output("systemctl start clamd@scan")
    host.check_output("postqueue -f")
    line = line_about(host, letter)
    seen(f"{waits}; afterwards: {line}")
    assert "451 4.5.0" in waits
    assert "Passed CLEAN" in line


def delivered(host: Any, plan: Plan, letter: Letter) -> str:
    """Return a message as it lies in the administrator's mailbox."""
    box = f"/var/mail/{plan.site.admin.user}"
    await_line(host, f"grep 'Message-ID: <{letter.token}@' {box}", ARRIVE)
    mails = re.split(r"(?m)^From (?=\S+ {1,2}\w{3} )", host.check_output(f"cat {box}").replace("\r\n", "\n"))
    return next((mail for mail in mails if f"Message-ID: <{letter.token}@" in mail), "")


@pytest.mark.control("CCN681-6.5.3-29")
def test_spam_is_marked_or_kept(plan: Plan, host: Any, played: Played, seen: Seen) -> None:
    mail = delivered(host, plan, played.letters["marked"])
    headers = re.findall(r"(?m)^X-Spam-(?:Flag|Score): .*$", mail)
    clean = re.findall(r"(?m)^X-Spam-Flag: .*$", delivered(host, plan, played.letters["clean"]))
    seen(f"{played.lines['GTUBE']}; marked: {headers}; clean: {clean}")
    assert played.hold("GTUBE", "marked") == []
    assert "X-Spam-Flag: YES" in headers
    assert clean == ["X-Spam-Flag: NO"]
    values = plan.profile.values
    score = float(next(line for line in headers if "Score" in line).split()[1])
    assert values.spam_mark <= score < values.spam_stop


@pytest.mark.control("CCN681-6.5.3-30")
@pytest.mark.parametrize("name", ["clean", "marked"])
def test_nothing_signed_is_changed(plan: Plan, host: Any, played: Played, seen: Seen, name: str) -> None:
    letter = played.letters[name]
    headers, _, body = delivered(host, plan, letter).partition("\n\n")
    sent, _, sent_body = letter.message(plan).partition("\n\n")
    seen(f"{headers[-400:]}; {len(body)} bytes of body")
    assert body.rstrip("\n") == sent_body.rstrip("\n")
    for header in sent.splitlines():
        assert header in headers.splitlines(), header


@pytest.mark.control("CCN681-6.5.3-31")
def test_nothing_returns_to_the_sender(host: Any, played: Played, seen: Seen) -> None:
    kept = [name for name, letter in played.letters.items() if letter.verdict not in {"CLEAN", "SPAMMY"}]
    senders = "|".join(played.letters[name].sender for name in kept)
    found = host.run(f"grep -E 'to=<({senders})>' {LOG}").stdout
    seen(found or f"no message to any of the {len(kept)} senders")
    assert found == ""
    assert all("{Discarded" in played.lines[name] for name in kept)


@pytest.mark.control("CCN681-6.5.3-32")
def test_the_administrator_is_told_and_nobody_else(plan: Plan, host: Any, played: Played, seen: Seen) -> None:
    told = [
        name
        for name, letter in played.letters.items()
        if letter.verdict in {"INFECTED", "BANNED", "UNCHECKED"}
    ]
    box = f"/var/mail/{plan.site.admin.user}"
    silent = [
        name
        for name in told
        if not await_line(host, f"grep 'En la cuarentena: {played.kept_as(name)}' {box}")
    ]
    recipients = "|".join(played.letters[name].recipient(plan) for name in told)
    others = host.run(f"grep -E 'to=<({recipients})>' {LOG} | grep -v postfix/amavis/smtp").stdout
    seen(f"{len(told)} notices in {box}; to recipients outside: {others or 'none'}")
    assert silent == []
    assert others == ""


@pytest.mark.control("CCN681-6.5.3-34")
def test_it_fits_the_machine(facts: Facts, seen: Seen) -> None:
    memory, processors = int(facts["machine"][0].split()[1]) / 1024, int(facts["machine"][1])
    fitting = max(2, min(8, 2 * processors, int((memory - 2048) / 160)))
    parents = [line.split()[1] for line in facts["processes"]]
    master = next(line.split()[0] for line in facts["processes"] if line.split()[0] in parents)
    seen(f"{memory:.0f} MiB, {processors} processors: {parents.count(master)}; Postfix: {facts['postfix']}")
    assert parents.count(master) == fitting
    assert facts["postfix"] == ["8"]
