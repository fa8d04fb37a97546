"""What takes minutes under emulation: large messages, a crowd, a guesser (CCN-STIC-681, 6.5, 6.5.4)."""

from __future__ import annotations

import base64
import contextlib
import random
import re
import selectors
import smtplib
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from facts import new_password
from letters import Letter, submit, write
from smtp import read_main_cf, recipient, secure

from builder.ask.plan import Plan

if TYPE_CHECKING:
    from conftest import Guest
    from world import World

Seen = Callable[[object], None]

pytestmark = pytest.mark.long

ARRIVE = 1200.0
PARALLEL = 200


def large(size: int, sender: str, to: str) -> Letter:
    """Return a message of about so many bytes: noise in base64."""
    letter = write(sender, to, files={"datos.bin": b"@"})
    noise = base64.encodebytes(random.Random(1).randbytes(size * 57 // 78)).replace(b"\n", b"\r\n")
    data = letter.data.replace(base64.b64encode(b"@"), noise.rstrip())
    assert abs(len(data) - size) < 16384
    return Letter(letter.token, letter.sender, letter.to, data)


@pytest.mark.control("CCN681-6.5-28")
def test_messages_up_to_the_limit_and_past_it(plan: Plan, guest: Guest, world: World, seen: Seen) -> None:
    """One just below is delivered whole; one past it, whose size was not told, is refused at its end."""
    limit = plan.site.mail.message_limit_mib * 1048576
    below = large(limit - 65536, "alguien@ejemplo.org", "alguien@destino.example")
    past = large(limit + 65536, "alguien@ejemplo.org", "alguien@destino.example")
    with secure(guest, 25, "relay") as smtp:
        smtp.sock.settimeout(ARRIVE)  # type: ignore[union-attr]
        began = time.monotonic()
        answers = [submit(smtp, below)[0], submit(smtp, past)[0]]
    sent = time.monotonic() - began
    got = world.next_hop.get(below.token, ARRIVE)
    seen(
        f"{len(below.data)} bytes: {answers[0]}, {len(past.data)} bytes: {answers[1]}; sent in {sent:.0f} s,"
        f" delivered {time.monotonic() - began:.0f} s after the beginning"
    )
    assert answers == [250, 552]
    assert got.data.endswith(below.data.partition(b"\r\n\r\n")[2])
    assert not world.next_hop.having(past.token)


@pytest.mark.control("CCN681-6.5-27")
def test_a_crowd_of_one_client(host: Any, guest: Guest, world: World, seen: Seen) -> None:
    """Of 200 connections at once few are served, the others turned away, and other clients don't notice."""
    limit = int(read_main_cf(host)["smtpd_client_connection_count_limit"])
    greetings = [""] * PARALLEL
    with contextlib.ExitStack() as stack:
        crowd = selectors.DefaultSelector()
        for number in range(PARALLEL):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.bind((guest.client_address("crowd"), 0))
            sock.connect_ex((guest.address, 25))
            crowd.register(sock, selectors.EVENT_READ, number)
            time.sleep(0.05)  # QEMU's port forwarding takes one at a time, and forgets those that wait for it
        end = time.monotonic() + 240
        while crowd.get_map() and time.monotonic() < end:
            for key, _ in crowd.select(10):
                try:
                    said = key.fileobj.recv(400).decode()  # type: ignore[union-attr]
                except OSError as error:
                    said = f"000 {error}"
                greetings[key.data] += said
                if not said or re.search(r"^\d{3} ", greetings[key.data], re.MULTILINE):
                    crowd.unregister(key.fileobj)
        with secure(guest, 25, "relay") as smtp:
            meanwhile = recipient(smtp, "<alguien@destino.example>")[0]
    words = Counter((re.findall(r"^(\d{3}) ", text, re.MULTILINE) or ["silence"])[0] for text in greetings)
    end, again = time.monotonic() + 240, ""
    while not again.startswith("220 ") and time.monotonic() < end:  # until the minute of its sessions is over
        time.sleep(5)
        with contextlib.suppress(OSError), guest.connect(25, "crowd") as sock:
            sock.settimeout(60)
            again = next((line for line in sock.makefile() if line[3:4] == " "), "")
    seen(
        f"{PARALLEL} at once, limit {limit}: {dict(words)}; another client meanwhile: {meanwhile};"
        f" the same one later: {again}"
    )
    assert 0 < words["220"] <= limit
    assert words["421"] > 0
    assert words["220"] + words["421"] >= PARALLEL * 3 // 4
    assert meanwhile == 250
    assert again.startswith("220 ")


@pytest.fixture
def user(host: Any) -> Iterator[tuple[str, str]]:
    """A mail user of the throwaway guest, and the password."""
    name, password = "forja-largo", new_password()
    host.check_output(
        f"useradd -M -s /usr/sbin/nologin -G correo {name}; echo '{name}:{password}' | chpasswd"
    )
    yield name, password
    host.run(f"faillock --dir /var/run/faillock --user {name} --reset; userdel {name}")


@pytest.mark.control("CCN681-6.5.4-13", "CCN681-6.5.4-11", "CCN681-6.5.9-01")
def test_a_wrong_password_ten_times(
    plan: Plan, host: Any, guest: Guest, world: World, user: tuple[str, str], seen: Seen
) -> None:
    """The account is locked, for the right password too; unlocked, its mail is taken and signed."""
    name, password = user
    answers: list[int] = []
    while len(answers) < 10:
        with contextlib.suppress(smtplib.SMTPServerDisconnected), secure(guest, 587, "guesser") as smtp:
            while len(answers) < 10:
                token = base64.b64encode(f"\0{name}\0mala-{len(answers)}".encode()).decode()
                answers.append(smtp.docmd(f"AUTH PLAIN {token}")[0])
    with secure(guest, 587, "submission") as smtp, pytest.raises(smtplib.SMTPAuthenticationError) as locked:
        smtp.login(name, password)
    host.check_output(f"faillock --dir /var/run/faillock --user {name} --reset")
    letter = write(f"{name}@{plan.site.mail.domain}", "alguien@destino.example")
    with secure(guest, 587, "submission") as smtp:
        smtp.login(name, password)
        code = submit(smtp, letter)[0]
    got = world.next_hop.get(letter.token, ARRIVE)
    seen(f"{answers}; the right one: {locked.value.smtp_code}; unlocked: {code}, from {got.sender}")
    assert not {235, 334} & set(answers)
    assert answers.count(535) >= 5
    assert code == 250
    assert b"\r\nDKIM-Signature: " in b"\r\n" + got.data
