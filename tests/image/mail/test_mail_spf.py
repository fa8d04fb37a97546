"""The mechanisms of an SPF record (CCN-STIC-681, 6.5.8, its first table; RFC 7208, 5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from smtp import recipient, secure
from world import NEXT_HOP_NAME

from builder.ask.plan import Plan

if TYPE_CHECKING:
    from conftest import Guest
    from world import World

Seen = Callable[[object], None]

PEER = "peer.clientes.example"


@pytest.mark.control("CCN681-6.5.8-10")
def test_every_mechanism_is_understood(plan: Plan, guest: Guest, world: World, seen: Seen) -> None:
    """One that holds for the client, and the same one where it does not, before `-all`."""
    address = guest.client_address("peer")
    holds = {
        "a": f"a:{PEER}",
        "mx": "mx:mx-si.mecanismos.example",
        "ptr": "ptr:clientes.example",
        "ip4": f"ip4:{address}/32",
        "ip6": f"ip6:2001:db8::/32 ip4:{address}",
        "include": "include:ip4-si.mecanismos.example",
        "all": "+all",
    }
    fails = {
        "a": f"a:{NEXT_HOP_NAME}",
        "mx": "mx:mx-no.mecanismos.example",
        "ptr": "ptr:destino.example",
        "ip4": "ip4:192.0.2.1/32",
        "ip6": "ip6:2001:db8::/32",
        "include": "include:ip4-no.mecanismos.example",
        "all": "",
    }
    lines = []
    for word, records in (("si", holds), ("no", fails)):
        for name, mechanism in records.items():
            domain = f"{name}-{word}.mecanismos.example"
            server = PEER if (name, word) == ("mx", "si") else NEXT_HOP_NAME
            lines += [f'{domain}. TXT "v=spf1 {mechanism} -all"', f"{domain}. MX 10 {server}."]
    world.names.add("\n".join(lines) + "\n")
    to = f"<alguien@{plan.site.mail.relay_domains[0]}>"
    answers: dict[str, list[int]] = {}
    for word, names in (("si", list(holds)), ("no", list(fails)[:4]), ("no", list(fails)[4:])):
        with secure(guest, 25, "peer", helo=PEER) as smtp:  # few refusals: more would slow the session down
            for name in names:
                sender = f"alguien@{name}-{word}.mecanismos.example"
                answers.setdefault(name, []).append(recipient(smtp, to, sender)[0])
    seen(answers)
    assert answers == {name: [250, 550] for name in holds}
