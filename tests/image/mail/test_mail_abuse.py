"""Sessions that want what they must not get (CCN-STIC-681, 6.4.3, 6.5, 6.5.7)."""

from __future__ import annotations

import contextlib
import smtplib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pytest
from letters import Letter, submit, write
from smtp import ARRIVE, secure

from builder.ask.plan import Plan

if TYPE_CHECKING:
    from conftest import Guest
    from world import World

Seen = Callable[[object], None]

AT_ONCE = 4
"""Refusals that a session may have before it is slowed down."""


@pytest.fixture(scope="module")
def to(plan: Plan) -> str:
    return f"alguien@{plan.site.mail.relay_domains[0]}"


def refusals(guest: Guest, forms: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Ask a peer's session for each sender and recipient, as they are written; return the answers."""
    answers: dict[str, int] = {}
    for start in range(0, len(forms), AT_ONCE):
        with secure(guest, 25, "peer", helo="peer.clientes.example") as smtp:
            for sender, to in forms[start : start + AT_ONCE]:
                code = smtp.docmd(f"MAIL FROM:{sender}")[0]
                code = smtp.docmd(f"RCPT TO:{to}")[0] if code == 250 else code
                smtp.docmd("RSET")
                answers[f"{sender} {to}"] = code
    return answers


@pytest.mark.control("CCN681-6.4.3-05", "CCN681-6.4.3-02")
def test_no_form_of_recipient_opens_the_relay(plan: Plan, guest: Guest, seen: Seen) -> None:
    ours, host = plan.site.mail.relay_domains[0], plan.site.host.name
    there, here = "destino.example", f"[{guest.address}]"
    forms = [
        f"<alguien@{there}>",
        f"<alguien@{there.upper()}>",
        f"<alguien%{there}@{host}>",
        f"<alguien%{there}@{here}>",
        f"<alguien%{there}@{ours}>",
        f"<alguien%{there}>",
        f'<"alguien%{there}">',
        f'<"alguien@{there}">',
        f'<"alguien@{there}"@{host}>',
        f'<"alguien@{there}"@{here}>',
        f'<"alguien@{there}"@{ours}>',
        f"<alguien@{there}@{host}>",
        f"<alguien@{there}@{here}>",
        f"<alguien@{there}@{ours}>",
        f"<@{host}:alguien@{there}>",
        f"<@{here}:alguien@{there}>",
        f"<@{ours}:alguien@{there}>",
        f"<@{ours},@{host}:alguien@{there}>",
        f"<{there}!alguien>",
        f"<{there}!alguien@{host}>",
        f"<{there}!alguien@{here}>",
        f"<{there}!alguien@{ours}>",
        "<alguien@[192.0.2.1]>",
        f"alguien@{there}",
    ]
    answers = refusals(guest, [("<>", form) for form in forms])
    seen(answers)
    assert len(answers) > 20
    assert [form for form, code in answers.items() if not 500 <= code < 560] == []


@pytest.mark.control("CCN681-6.4.3-02")
def test_no_sender_opens_the_relay(plan: Plan, guest: Guest, world: World, seen: Seen) -> None:
    """Neither ours nor one that Postfix would complete with its own name."""
    ours, host = plan.site.mail.relay_domains[0], plan.site.host.name
    names = (
        f"alguien@{host}",
        f"alguien@[{guest.address}]",
        f"alguien@{ours}",
        "alguien@localhost",
        "alguien",
    )
    answers = refusals(guest, [(f"<{name}>", "<alguien@destino.example>") for name in (*names, "postmaster")])
    seen(answers)
    assert [form for form, code in answers.items() if not 500 <= code < 560] == []


@pytest.mark.control("CCN681-6.4.2-01")
def test_a_mail_loop_ends(guest: Guest, world: World, to: str, seen: Seen) -> None:
    """A message that has gone round fifty times is refused; one with a long way behind it is not."""
    lines = [
        ("Received", f"from a{n}.example by b{n}.example; Tue, 24 Nov 2026 10:00:00 +0000") for n in range(60)
    ]
    looped, far = (write("alguien@ejemplo.org", to, headers=lines[:hops]) for hops in (60, 25))
    with secure(guest, 25, "relay") as smtp:
        code, text = submit(smtp, looped)
        taken = submit(smtp, far)[0]
    seen(f"60 hops: {code} {text}; 25 hops: {taken}")
    world.next_hop.get(far.token, ARRIVE)
    assert code == 554
    assert "too many hops" in text
    assert taken == 250
    assert not world.next_hop.having(looped.token)


@pytest.mark.control("CCN681-6.5-25")
def test_addresses_of_eight_bits_and_smtputf8(guest: Guest, to: str, seen: Seen) -> None:
    """SMTPUTF8 is not spoken, and an address that needs it is not taken by chance."""
    domain = to.partition("@")[2]
    with secure(guest, 25, "relay") as smtp:
        offered = "smtputf8" in smtp.esmtp_features
        asked = smtp.docmd("MAIL FROM:<alguien@ejemplo.org> SMTPUTF8")[0]
        smtp.docmd("RSET")
        smtp.command_encoding = "utf-8"  # type: ignore[attr-defined]
        answers = [smtp.docmd("MAIL FROM:<alguien@ejemplo.org>")[0]]
        for address in (f"muñoz@{domain}", f"alguien@año.{domain}", f'"mu\u00f1oz"@{domain}'):
            smtp.send(f"RCPT TO:<{address}>\r\n".encode())
            answers.append(smtp.getreply()[0])
        smtp.docmd("RSET")
        smtp.send(f"MAIL FROM:<mu\u00f1oz@ejemplo.org>\r\nRCPT TO:<{to}>\r\n".encode())
        answers.append(max(smtp.getreply()[0], smtp.getreply()[0]))
    seen(f"offered {offered}; asked for: {asked}; addresses: {answers}")
    assert not offered
    assert asked in {501, 504, 555}
    assert answers[0] == 250
    assert all(500 <= code < 560 for code in answers[1:])


ENDS = (
    *(b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r\n.\r\r\n"),
    *(b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\n.\r", b"\r.\n", b"\n\r.\r\n", b"\r\n\x00.\r\n", b"\r\n.\x00\r\n"),
)
"""Ends of a message that are none (RFC 5321, 4.1.1.4); Postfix 3.3.1 takes the first four for one."""


@pytest.mark.control("CCN681-6.5-26")
def test_no_message_is_smuggled_in_another(plan: Plan, guest: Guest, world: World, seen: Seen) -> None:
    """Behind each of them a second message, in the same packet: it is never delivered as one of its own."""
    ours = plan.site.mail.domain
    pairs: dict[bytes, tuple[Letter, Letter]] = {}
    answers: dict[bytes, list[int]] = {}
    for end in ENDS:
        outer = write("alguien@ejemplo.org", "alguien@destino.example")
        inner = write(f"jefatura@{ours}", "victima@destino.example")
        pairs[end] = outer, inner
        burst = (
            outer.data.rstrip(b"\r\n") + end
            + f"MAIL FROM:<{inner.sender}>\r\nRCPT TO:<{inner.to}>\r\nDATA\r\n".encode()
            + inner.data.rstrip(b"\r\n") + b"\r\n.\r\nQUIT\r\n"
        )  # fmt: skip
        assert len(burst) < 4096  # smtpd's buffer: all of it is there when DATA is read
        with secure(guest, 25, "relay") as smtp:
            for command in (f"MAIL FROM:<{outer.sender}>", f"RCPT TO:<{outer.to}>", "DATA"):
                assert smtp.docmd(command)[0] in (250, 354)
            smtp.send(burst)
            answers[end] = []
            with contextlib.suppress(smtplib.SMTPServerDisconnected, OSError):
                while not answers[end] or answers[end][-1] not in (221, 421):
                    answers[end].append(smtp.getreply()[0])
    seen("; ".join(f"{end!r}: {codes[:6]}" for end, codes in answers.items()))
    taken = [outer.token for end, (outer, _) in pairs.items() if answers[end] and answers[end][0] == 250]
    assert taken
    assert not world.next_hop.await_all(taken, ARRIVE)
    smuggled = [
        (end, item.sender, item.recipients)
        for end, (outer, inner) in pairs.items()
        for item in world.next_hop.having(inner.token)
        if outer.token.encode() not in item.data or "victima@destino.example" in item.recipients
    ]
    assert smuggled == []
    for end, codes in answers.items():  # taken for an end: then the smuggled DATA was refused
        if len(codes) > 2:
            assert codes[3] == 503, end
