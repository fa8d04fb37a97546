"""Mail that must arrive, relayed, signed, complete and once (CCN-STIC-681, 6.4.2, 6.5.4, 6.5.9)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import dkim
import pytest
from letters import Letter, header, submit, write
from smtp import ARRIVE, await_line, secure

from builder.ask.plan import Plan

if TYPE_CHECKING:
    from conftest import Guest
    from world import Received, World

Seen = Callable[[object], None]


def verified(world: World, data: bytes) -> bool:
    """Say whether dkimpy finds the message's signature good, the key taken from the name server."""
    try:
        return bool(dkim.verify(data, dnsfunc=world.names.texts))
    except dkim.DKIMException:
        return False


@pytest.fixture(scope="module")
def ours(plan: Plan) -> str:
    return f"jefatura@{plan.site.mail.domain}"


@pytest.fixture(scope="module")
def plain(guest: Guest, world: World, ours: str) -> tuple[Letter, Received]:
    """A message from one of our clients to the outside, and as it came to the next relay."""
    letter = write(ours, "alguien@destino.example", files={"informe.txt": "Año 2026\n".encode()})
    with secure(guest, 25, "relay") as smtp:
        assert submit(smtp, letter)[0] == 250
    return letter, world.next_hop.get(letter.token, ARRIVE)


@pytest.mark.control("CCN681-6.4.2-01", "CCN681-6.4.3-01")
def test_a_message_is_relayed_to_the_next_hop(
    plan: Plan, world: World, plain: tuple[Letter, Received], seen: Seen
) -> None:
    letter, got = plain
    queries = [f"{kind} {name}" for name, kind in dict.fromkeys(world.names.asked) if kind in {"MX", "A"}]
    seen(f"{got.sender} -> {got.recipients}; {header(got.data, 'Received')[0]}; asked for: {queries}")
    assert (got.sender, got.recipients) == (letter.sender, (letter.to,))
    assert plan.site.host.name in header(got.data, "Received")[0]
    if plan.site.mail.relayhost:  # indirect delivery does not ask where the destination's own servers are
        assert "MX destino.example" not in queries


@pytest.mark.control("CCN681-6.5.9-01")
def test_what_leaves_is_signed(plan: Plan, world: World, plain: tuple[Letter, Received], seen: Seen) -> None:
    got = plain[1]
    signatures = header(got.data, "DKIM-Signature")
    seen(signatures)
    assert len(signatures) == 1
    tags = dict(part.strip().split("=", 1) for part in signatures[0].split(";") if part.strip())
    assert (tags["d"], tags["s"], tags["a"]) == (plan.site.mail.domain, plan.site.dkim.selector, "rsa-sha256")
    assert "l" not in tags
    assert verified(world, got.data)


@pytest.mark.control("CCN681-6.5.9-03")
def test_a_change_on_the_way_breaks_the_signature(
    world: World, plain: tuple[Letter, Received], seen: Seen
) -> None:
    data = plain[1].data
    changed = {
        "body": data.replace(b"Un saludo", b"Un abrazo"),
        "attachment": data.replace(b"informe.txt", b"informe.pdf"),
        "subject": data.replace(b"\r\nSubject: ", b"\r\nSubject: Urgente. "),
        "a second From": b"From: otro@destino.example\r\n" + data,
        "a Reply-To": b"Reply-To: otro@destino.example\r\n" + data,
    }
    answers = {what: verified(world, text) for what, text in changed.items()}
    seen(f"as sent: {verified(world, data)}; changed: {answers}")
    assert verified(world, b"X-Otro: campo\r\n" + data)  # what is not signed may come on the way
    assert all(text != data for text in changed.values())
    assert not any(answers.values())


@pytest.mark.control("CCN681-6.5.9-01")
def test_a_strange_sender_is_not_signed_in_our_name(guest: Guest, world: World, seen: Seen) -> None:
    letter = write("alguien@destino.example", "otro@destino.example")
    with secure(guest, 25, "relay") as smtp:
        assert submit(smtp, letter)[0] == 250
    signatures = header(world.next_hop.get(letter.token, ARRIVE).data, "DKIM-Signature")
    seen(f"signatures: {signatures}")
    assert signatures == []


@pytest.mark.control("CCN681-6.5.4-07")
def test_mail_leaves_under_tls(plain: tuple[Letter, Received], seen: Seen) -> None:
    seen(plain[1].tls)
    assert plain[1].tls in {"TLSv1.2", "TLSv1.3"}


@pytest.mark.control("CCN681-6.5.9-01")
def test_eight_bit_text_arrives_as_it_was(guest: Guest, world: World, ours: str, seen: Seen) -> None:
    """Neither Postfix nor the filter turns it into another encoding: that would break the signature."""
    letter = write(ours, "alguien@destino.example")
    head, _, _ = letter.data.partition(b"\r\n\r\n")
    head = head.replace(b"quoted-printable", b"8bit").replace(b"base64", b"8bit").replace(b"7bit", b"8bit")
    body = "¿Mañana, a las ocho? ".encode() + bytes(range(0xA1, 0x100)) + b"\r\n"
    letter = Letter(letter.token, letter.sender, letter.to, head + b"\r\n\r\n" + body)
    with secure(guest, 25, "relay") as smtp:
        assert submit(smtp, letter, "BODY=8BITMIME")[0] == 250
    got = world.next_hop.get(letter.token, ARRIVE)
    seen(got.data.partition(b"\r\n\r\n")[2])
    assert got.data.partition(b"\r\n\r\n")[2] == body
    assert verified(world, got.data)


@pytest.mark.control("CCN681-6.5.4-07")
def test_a_next_relay_without_tls_gets_nothing_in_clear(
    plan: Plan, host: Any, guest: Guest, world: World, ours: str, seen: Seen
) -> None:
    demanded = plan.profile.values.tls_level == "encrypt"
    letter = write(ours, "alguien@destino.example")
    with world.next_hop_is(tls=False):
        world.next_hop.tries.clear()
        with secure(guest, 25, "relay") as smtp:
            assert submit(smtp, letter)[0] == 250
        if demanded:
            said = deferred(host, letter.to, "TLS")
            assert not world.next_hop.having(letter.token)
            assert letter.sender not in world.next_hop.tries
        else:
            said = "in clear: " + world.next_hop.get(letter.token, ARRIVE).sender
    seen(said)
    host.check_output("postqueue -f")
    assert world.next_hop.get(letter.token, ARRIVE).tls or not demanded


def deferred(host: Any, to: str, why: str) -> str:
    """Wait until the queue holds a message for a recipient for a reason; return the reason."""
    said = await_line(host, f"postqueue -j | grep -F '\"address\": \"{to}\"' | grep -F '{why}'", ARRIVE)
    assert said, f"nothing for {to} waits because of {why}"
    return said[said.find('"delay_reason"') :][:300]


@pytest.mark.control("CCN681-6.5-29")
def test_next_relay_down_then_up(host: Any, guest: Guest, world: World, ours: str, seen: Seen) -> None:
    """Everything that was answered 250 meanwhile is delivered, and once."""
    letters = [write(ours, f"caida{number}@destino.example") for number in range(5)]
    with world.next_hop_is(down=True), secure(guest, 25, "relay") as smtp:
        answers = [submit(smtp, letter)[0] for letter in letters]
        waiting = [deferred(host, letter.to, "refused") for letter in letters]
        assert not any(world.next_hop.having(letter.token) for letter in letters)
    host.check_output("postqueue -f")
    missing = world.next_hop.await_all([letter.token for letter in letters], ARRIVE)
    await_line(host, "postqueue -p | grep -q caida || echo empty", ARRIVE)
    copies = [len(world.next_hop.having(letter.token)) for letter in letters]
    seen(f"answers {answers}; waiting: {waiting[0]}; then copies {copies}")
    assert answers == [250] * 5
    assert not missing
    assert copies == [1] * 5


@pytest.mark.control("CCN681-6.5-29")
def test_next_relay_that_puts_off_gets_it_again(
    host: Any, guest: Guest, world: World, ours: str, seen: Seen
) -> None:
    letter = write(ours, "aplazado@destino.example")
    with world.next_hop_is(answer=lambda envelope: "451 4.3.0 Mas tarde"):
        with secure(guest, 25, "relay") as smtp:
            code = submit(smtp, letter)[0]
        said = deferred(host, letter.to, "Mas tarde")
    host.check_output("postqueue -f")
    world.next_hop.get(letter.token, ARRIVE)
    time.sleep(1)
    seen(f"{code}; {said}; copies {len(world.next_hop.having(letter.token))}")
    assert code == 250
    assert len(world.next_hop.having(letter.token)) == 1
