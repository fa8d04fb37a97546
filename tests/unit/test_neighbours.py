"""The addresses that the relay's neighbours are given for verification."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from builder.ask.plan import Plan, make_plan
from builder.make.verification.clients import choose_clients, choose_next_hop, pick


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan("clasificado", None, "laboratorio")


def changed(plan: Plan, **mail: Any) -> Plan:
    site = plan.site.model_copy(update={"mail": plan.site.mail.model_copy(update=mail)})
    return plan.model_copy(update={"site": site})


def inside(address: str | None, networks: tuple[IPv4Network, ...]) -> bool:
    return address is not None and any(IPv4Address(address) in network for network in networks)


def test_each_class_has_an_address_of_its_own(plan: Plan) -> None:
    clients, mail = choose_clients(plan), plan.site.mail
    assert None not in clients.values()
    assert len(set(clients.values())) == len(clients)
    assert inside(clients["relay"], mail.networks)
    for name in ("peer", "crowd"):
        assert inside(clients[name], mail.peers)
        assert not inside(clients[name], (*mail.networks, *mail.submission, *plan.site.admin.networks))
    for name in ("submission", "guesser"):
        assert inside(clients[name], mail.submission)
    assert not inside(clients["outsider"], (*mail.peers, *mail.networks))
    own = plan.site.network.address.network
    assert not [name for name, address in clients.items() if IPv4Address(address or "0.0.0.0") in own]


def test_a_network_of_one_host_has_no_second_one(plan: Plan) -> None:
    clients = choose_clients(changed(plan, submission=(IPv4Network("10.20.50.7/32"),), peers=()))
    assert clients["submission"] == "10.20.50.7"
    assert clients["guesser"] is None
    assert clients["crowd"] is None


@pytest.mark.parametrize(
    ("relayhost", "address"),
    [
        ("[mx.ejemplo.es]:25", "198.51.100.1"),
        ("mx.ejemplo.es", "198.51.100.1"),
        (None, "198.51.100.1"),
        ("[10.20.60.25]:2525", "10.20.60.25"),
        ("[10.20.30.25]", None),  # a neighbour on the server's own wire can't be stood for
    ],
)
def test_the_next_hop_stands_where_mail_goes(plan: Plan, relayhost: str | None, address: str | None) -> None:
    assert choose_next_hop(changed(plan, relayhost=relayhost).site) == address


def test_without_name_servers_beyond_the_wire_nothing_can_be_sent(plan: Plan) -> None:
    network = plan.site.network.model_copy(update={"dns": (IPv4Address("10.20.30.53"),)})
    assert choose_next_hop(plan.site.model_copy(update={"network": network})) is None


def test_network_and_broadcast_addresses_are_nobodys() -> None:
    net = IPv4Network("192.0.2.0/30")
    assert pick([net], [], None) == "192.0.2.1"
    assert pick([net], [IPv4Network("192.0.2.1"), IPv4Network("192.0.2.2")], None) is None
    assert pick([net], [net], IPv4Address("192.0.2.9")) is None
    assert pick([net], [net], IPv4Address("192.0.2.2")) == "192.0.2.2"
