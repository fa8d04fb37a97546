"""Lines and headers as they go through the relay (CCN-STIC-681, 6.3.1, 6.5)."""

from __future__ import annotations

import contextlib
import email
import email.policy
import itertools
import smtplib
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from letters import TEXT, Letter, submit, write
from smtp import ARRIVE, secure

from builder.ask.plan import Plan

if TYPE_CHECKING:
    from conftest import Guest
    from world import World

Seen = Callable[[object], None]

STRAY = {
    "bare CR": b"Un saludo\rpara todos",
    "an end of CR only": b"Un saludo\r.\rMAIL FROM:<jefatura@ejemplo.org>",
    "an end of half a CRLF": b"Un saludo\r\n.\rpara todos",
    "null byte": b"Un saludo\x00para todos",
}

LINE_ENDS = (b"\n", b"\r", b"\r\n", b"\r\r\n", b"\n\r")


@pytest.mark.control("CCN681-6.5-26")
def test_no_pair_of_line_ends_smuggles(plan: Plan, guest: Guest, seen: Seen) -> None:
    """A dot between any two of them, all in one packet: what follows is content, or its DATA is refused.

    The outer message has a From that is refused, so that nothing of this gets into the queue.
    """
    ours = plan.site.mail.domain
    answers: dict[bytes, list[int]] = {}
    for before, after in itertools.product(LINE_ENDS, repeat=2):
        if before.endswith(b"\r\n") and after == b"\r\n":
            continue  # an end of data, as it should be
        burst = (
            f'From: "jefatura@{ours}" <x@destino.example>\r\n\r\nprueba'.encode()
            + before + b"." + after
            + b"MAIL FROM:<alguien@ejemplo.org>\r\nRCPT TO:<victima@destino.example>\r\nDATA\r\n"
            + b"X: prueba\r\n\r\nprueba\r\n.\r\nQUIT\r\n"
        )  # fmt: skip
        said: list[int] = []
        with secure(guest, 25, "relay") as smtp:
            for command in ("MAIL FROM:<alguien@ejemplo.org>", "RCPT TO:<otro@destino.example>", "DATA"):
                assert smtp.docmd(command)[0] in (250, 354)
            smtp.send(burst)
            with contextlib.suppress(smtplib.SMTPServerDisconnected, OSError):
                while not said or said[-1] not in (221, 354, 421):
                    said.append(smtp.getreply()[0])
        answers[before + b"." + after] = said
    seen("; ".join(f"{end!r}: {said}" for end, said in answers.items()))
    for end, said in answers.items():
        assert said[0] == 550, end
        assert said[1:] in ([], [221]) or said[1:4] == [250, 250, 503], end


@pytest.mark.control("CCN681-6.5-32")
def test_stray_line_ends_do_not_leave(guest: Guest, world: World, seen: Seen) -> None:
    """3.3.1 refuses them; a Postfix with the cure of 2024 may send them on as blanks."""
    answers: dict[str, tuple[int, str]] = {}
    sent: dict[str, Letter] = {}
    with secure(guest, 25, "relay") as smtp:
        for what, line in STRAY.items():
            letter = write("alguien@ejemplo.org", "otro@destino.example", text=TEXT)
            body = b"Hola\r\n" + line + b"\r\nFin\r\n"
            sent[what] = Letter(
                letter.token, letter.sender, letter.to,
                letter.data.partition(b"\r\n\r\n")[0].replace(b"base64", b"7bit") + b"\r\n\r\n" + body,
            )  # fmt: skip
            answers[what] = submit(smtp, sent[what])
    seen(answers)
    assert answers["null byte"][0] == 550
    for what, (code, _) in answers.items():
        assert code in {250, 550}, what
        if code == 250:
            data = world.next_hop.get(sent[what].token, ARRIVE).data
            assert b"\r" not in data.replace(b"\r\n", b""), what
            assert b"\r\n.\r\n" not in data.removesuffix(b"\r\n.\r\n"), what


def header(data: bytes, name: str) -> str:
    """Return the value of a header field, unfolded."""
    message = email.message_from_bytes(data, policy=email.policy.compat32)
    return " ".join(str(message[name]).split())


@pytest.mark.control("CCN681-6.3.1-02")
def test_only_our_own_addresses_are_completed(
    plan: Plan, host: Any, guest: Guest, world: World, seen: Seen
) -> None:
    """Not even those that the filter hands back from the server's own address: signatures would break."""
    foreign = write("alguien@ejemplo.org", "otro@destino.example", headers={"Cc": "sin-dominio"})
    with secure(guest, 25, "relay") as smtp:
        assert submit(smtp, foreign)[0] == 250
    token = uuid.uuid4().hex
    host.check_output(
        f"printf 'From: root\\nMessage-ID: <{token}@prueba>\\nSubject: x\\n\\nprueba\\n'"
        " | sendmail otro@destino.example"
    )
    ours, theirs = (world.next_hop.get(item, ARRIVE) for item in (token, foreign.token))
    seen(f"ours: {ours.sender}, From: {header(ours.data, 'From')}; foreign Cc: {header(theirs.data, 'Cc')}")
    assert ours.sender == header(ours.data, "From") == f"root@{plan.site.host.name}"
    assert header(theirs.data, "Cc") == "sin-dominio"
