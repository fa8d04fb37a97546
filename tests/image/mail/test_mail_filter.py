"""What the content filter lets arrive (CCN-STIC-681, 6.5.3); all that it stops: test_amavis.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from letters import EICAR, ELF, GTUBE, PE, Letter, submit, tarred, write, zipped
from smtp import ARRIVE, await_line, secure

from builder.ask.plan import Plan

if TYPE_CHECKING:
    from conftest import Guest, Verdicts
    from world import World

Seen = Callable[[object], None]

SENDER = "remitente@ejemplo.org"
FORGED = {"X-Spam-Status": "No, score=-99 FINGIDO", "X-Spam-Score": "-99", "X-Virus-Scanned": "FINGIDO"}
DOCUMENT = zipped(
    {
        "[Content_Types].xml": b'<?xml version="1.0"?><Types/>',
        "_rels/.rels": b"<x/>",
        "word/document.xml": b"<w/>",
        "docProps/app.xml": b"<x/>",
    }
)
STOPPED = {
    "INFECTED": {"informe.zip": zipped({"anexo.zip": zipped({"informe.txt": EICAR})})},
    "BANNED": {"informe.pdf": PE},
    "BANNED in a tar.gz": {"informe.tar.gz": tarred({"informe": ELF})},
}
PASSED = {"datos.zip": zipped({"informe.txt": b"hola", "datos.csv": b"1,2"}), "informe.docx": DOCUMENT}


@dataclass(frozen=True)
class Fate:
    """A message that was answered 250, and what the filter said of it."""

    letter: Letter
    verdict: str


@pytest.fixture(scope="module")
def fates(plan: Plan, guest: Guest, world: World, verdicts: Verdicts) -> dict[str, Fate]:
    """All messages, sent in one session, so that they are filtered while the next ones come."""
    to = f"alguien@{plan.site.mail.relay_domains[0]}"
    letters = {what: write(SENDER, to, files=files) for what, files in STOPPED.items()}
    letters["SPAM"] = write(SENDER, to, text=f"{GTUBE}\n", headers=FORGED)
    letters["CLEAN"] = write(SENDER, to, files=PASSED, headers=FORGED)
    with secure(guest, 25, "relay") as smtp:
        assert [submit(smtp, letter)[0] for letter in letters.values()] == [250] * len(letters)
    found = verdicts(letter.token for letter in letters.values())
    return {what: Fate(letter, found[letter.token]) for what, letter in letters.items()}


@pytest.mark.control("CCN681-6.5.3-24", "CCN681-6.5.3-25", "CCN681-6.5.3-29")
def test_what_is_stopped_does_not_arrive(fates: dict[str, Fate], world: World, seen: Seen) -> None:
    """Malware in archives in archives, renamed programs, spam that says it is none."""
    world.next_hop.get(fates["CLEAN"].letter.token, ARRIVE)
    kept = {what: fate for what, fate in fates.items() if what != "CLEAN"}
    seen("; ".join(fate.verdict[:150] for fate in kept.values()))
    for what, fate in kept.items():
        assert fate.verdict.startswith(f"Blocked {what.split()[0]}"), what
        assert SENDER not in {item.sender for item in world.next_hop.having(fate.letter.token)}, what


@pytest.mark.control("CCN681-6.5.3-20", "CCN681-6.5.3-30")
def test_what_passes_arrives_as_it_was(fates: dict[str, Fate], world: World, seen: Seen) -> None:
    """With the filter's marks on top, and none that the sender wrote in its name."""
    sent = fates["CLEAN"].letter
    data = world.next_hop.get(sent.token, ARRIVE).data
    sent_head, _, sent_body = sent.data.partition(b"\r\n\r\n")
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode().replace("\r\n\t", " ").replace("\r\n ", " ").split("\r\n")
    marks = [line for line in lines if line.startswith(("X-Spam", "X-Virus"))]
    seen(f"{fates['CLEAN'].verdict[:150]}; {marks}")
    assert fates["CLEAN"].verdict.startswith("Passed CLEAN")
    assert body == sent_body
    assert head.endswith(sent_head[sent_head.index(b"From: ") :])
    for name in ("X-Spam-Status", "X-Spam-Score", "X-Virus-Scanned"):
        first = next(line for line in marks if line.startswith(f"{name}: "))
        assert first.partition(": ")[2] != FORGED[name]


@pytest.mark.control("CCN681-6.5.3-20")
def test_without_the_filter_mail_waits(plan: Plan, host: Any, guest: Guest, world: World, seen: Seen) -> None:
    unit = plan.platform.service("amavisd")
    letter = write(SENDER, f"sin-filtro@{plan.site.mail.relay_domains[0]}")
    host.check_output(f"systemctl stop {unit}")
    try:
        with secure(guest, 25, "relay") as smtp:
            code = submit(smtp, letter)[0]
        waits = await_line(host, f"postqueue -j | grep -F '{letter.to}' | grep -F 10024", ARRIVE)
    finally:
        host.check_output(f"systemctl start {unit}")
    assert not world.next_hop.having(letter.token)
    await_line(host, "ss -Hltn 'sport = :10024'", ARRIVE)
    host.check_output("postqueue -f")
    world.next_hop.get(letter.token, ARRIVE)
    seen(f"{code}; {waits[waits.find('delay_reason') :][:200]}; then delivered")
    assert code == 250
    assert waits
