"""What gets through: the rules that the kernel has, and real connections from every kind of client."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from facts import ask, unlike, wait_for
from harmless import vouched

GREETING_SECONDS = 90.0
"""Within which a server that is reached greets: smtpd asks a DNS server that may not be there first."""

SILENCE_SECONDS = 15.0
CLOSED = 24
"""A port that the plan does not open, forwarded to the guest for this test."""

LISTENER = f"""
import os, socket, threading
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("0.0.0.0", {CLOSED})); s.listen(16)
threading.Timer(120, os._exit, [0]).start()
while True:
    c, _ = s.accept(); c.sendall(b"forja"); c.close()
"""


ASK_FIREWALLD = vouched("""\
first=$(head -n 1 "$(command -v firewall-cmd)")
${first#??} - <<'END'
import json
from firewall.client import FirewallClient
client = FirewallClient()
def told(zone):
    return {
        "target": zone.getTarget(), "interfaces": zone.getInterfaces(), "sources": zone.getSources(),
        "services": zone.getServices(), "ports": zone.getPorts(), "protocols": zone.getProtocols(),
        "masquerade": bool(zone.getMasquerade()), "forward-ports": zone.getForwardPorts(),
        "source-ports": zone.getSourcePorts(), "rules": zone.getRichRules(),
    }
print(json.dumps({
    "default": client.getDefaultZone(), "active": client.getActiveZones(), "logged": client.getLogDenied(),
    "lockdown": bool(client.queryLockdown()), "drop": told(client.getZoneSettings("drop")),
    "trusted": told(client.getZoneSettings("trusted")),
    "permanent": client.config().getZoneByName("drop").getSettings().getRichRules(),
}))
END
""")
"""What firewall-cmd would say, in one go: it starts for seconds, and one start is one answer."""


@pytest.fixture(scope="module")
def facts(host: Any) -> dict[str, str]:
    return ask(
        host,
        {
            "state": "systemctl is-active firewalld; systemctl is-enabled firewalld",
            "others": "for u in nftables iptables ip6tables; do systemctl is-enabled $u.service; done; true",
            "firewalld": ASK_FIREWALLD,
            "interfaces": "ls /sys/class/net",
            "nft": "nft -j list ruleset",
            "addresses6": "cat /proc/net/if_inet6",
        },
    )


@pytest.fixture(scope="module")
def rules(facts: dict[str, str]) -> list[dict[str, Any]]:
    """Every rule that the kernel has, of firewalld's tables."""
    objects = json.loads(facts["nft"])["nftables"]
    found = [item["rule"] for item in objects if "rule" in item]
    assert found, "the kernel has no rules at all"
    return found


@pytest.fixture(scope="module")
def firewalld(facts: dict[str, str]) -> Any:
    """What runs, as firewalld itself tells it."""
    return json.loads(facts["firewalld"].splitlines()[-1])


def wanted_rules(plan: Any) -> set[str]:
    """The rules that the site's networks give, as firewall-cmd writes them."""
    opened = {
        f'rule family="ipv4" source address="{network}" port port="{port.port}"'
        f' protocol="{port.protocol}" accept'
        for port in plan.ports
        for network in plan.networks(port)
    }
    echo = {
        f'rule family="ipv4" source address="{network}" icmp-type name="echo-request" accept'
        for network in plan.site.admin.networks
    }
    neighbours = {
        f'rule family="ipv6" icmp-type name="{message}" accept'
        for message in ("neighbour-solicitation", "neighbour-advertisement")
        if plan.site.network.ipv6
    }
    return opened | echo | neighbours


@pytest.mark.control("CCN681-6.5.k-01", "RHEL-FIREWALL-01")
def test_firewalld_runs_alone(facts: dict[str, str], seen: Any) -> None:
    seen(f"firewalld: {facts['state']}; nftables, iptables, ip6tables: {facts['others']}")
    assert facts["state"].split() == ["active", "enabled"]
    assert set(facts["others"].split()) <= {"masked"}
    assert len(facts["others"].split()) == 3


@pytest.mark.control("RHEL-FIREWALL-02")
def test_the_default_zone_drops(facts: dict[str, str], firewalld: Any, seen: Any) -> None:
    zone = firewalld["drop"]
    seen(f"{firewalld['default']}; {firewalld['active']}; {zone}")
    assert firewalld["default"] == "drop"
    assert zone["target"] == "DROP"
    assert set(firewalld["active"]) <= {"drop", "trusted"}, "an interface or a network lies in another zone"
    # NetworkManager puts its interface into the zone by name; elsewhere the default zone has it all the same.
    assert set(zone["interfaces"]) <= set(facts["interfaces"].split()) - {"lo"}
    lists = ("services", "ports", "protocols", "forward-ports", "source-ports")
    nothing: dict[str, Any] = {name: [] for name in lists}
    assert not unlike({**nothing, "masquerade": False}, zone)
    assert firewalld["lockdown"] is True


@pytest.mark.control("RHEL-FIREWALL-02", "CCN681-6.5.5-02")
def test_what_no_rule_lets_in_is_dropped_by_the_kernel(rules: list[dict[str, Any]], seen: Any) -> None:
    """The input chain of firewalld ends in the zone's drop; only the zone's allow chain accepts by port."""
    dropped = [rule for rule in rules if rule["chain"] == "filter_IN_drop" and {"drop": None} in rule["expr"]]
    accepted = {
        rule["chain"]
        for rule in rules
        if {"accept": None} in rule["expr"] and "dport" in json.dumps(rule["expr"])
    }
    seen(f"drop in filter_IN_drop: {len(dropped)}; chains that accept a port: {sorted(accepted)}")
    assert dropped
    assert accepted <= {"filter_IN_drop_allow"}


@pytest.mark.control("CCN681-6.5.5-01")
def test_rules_are_the_sites_networks(plan: Any, firewalld: Any, seen: Any) -> None:
    wanted = wanted_rules(plan)
    seen("\n".join(firewalld["drop"]["rules"]))
    assert set(firewalld["drop"]["rules"]) == wanted
    assert set(firewalld["permanent"]) == wanted


@pytest.mark.control("CCN681-6.5.5-01", "CCN681-6.5.5-02")
def test_kernel_accepts_ports_from_those_networks_only(
    plan: Any, rules: list[dict[str, Any]], seen: Any
) -> None:
    found = set()
    for rule in rules:
        if rule["chain"] != "filter_IN_drop_allow" or {"accept": None} not in rule["expr"]:
            continue
        matches = [part["match"] for part in rule["expr"] if "match" in part]
        values = {
            match["left"]["payload"]["field"]: match["right"]
            for match in matches
            if "payload" in match["left"]
        }
        if "dport" in values:
            found.add((values["dport"], _network(values.get("saddr"))))
    seen(sorted(str(item) for item in found))
    assert found == {(port.port, str(network)) for port in plan.ports for network in plan.networks(port)}


def _network(address: Any) -> str:
    if address is None:
        return "anywhere"
    if isinstance(address, str):
        return f"{address}/32"
    return f"{address['prefix']['addr']}/{address['prefix']['len']}"


@pytest.fixture(scope="module")
def tries(plan: Any, guest: Any, acting: None) -> list[tuple[int, str, bool]]:
    """Every port of the plan and every client of it, whether it has to get through; and the closed port."""
    clients = {name: address for name, address in guest.clients.items() if address is not None}
    assert {"admin", "outsider"} <= set(clients)
    ports = [port for port in plan.ports if port.reached_from != "loopback" and port.protocol == "tcp"]
    open_ones = [(port.port, name, _allowed(plan, port, clients[name])) for port in ports for name in clients]
    return open_ones + [(CLOSED, name, False) for name in clients]


@pytest.fixture(scope="module")
def listening(host: Any, acting: None) -> Iterator[str]:
    """Something that listens on the closed port; what it answers inside the guest."""
    python = "$(command -v python3 || echo /usr/libexec/platform-python)"
    listens = wait_for(f"ss -Hltn 'sport = :{CLOSED}' | grep -q .", 60)
    started = host.check_output(f"{python} -c '{LISTENER}' > /dev/null 2>&1 & echo $!; {listens}")
    yield host.run(f"bash -c 'exec 3<>/dev/tcp/127.0.0.1/{CLOSED}; head -c 5 <&3'").stdout
    host.run(f"kill {started}")


@pytest.fixture(scope="module")
def reached(guest: Any, tries: list[tuple[int, str, bool]], listening: str) -> dict[tuple[int, str], bool]:
    """Who got an answer from which port. All that must be silent is waited for at once."""
    silent = [item for item in tries if not item[2]]
    with ThreadPoolExecutor(max_workers=len(tries)) as pool:
        waiting = pool.map(lambda item: _greets(guest, *item), silent)
        # Those that must get through go one by one, with a second try: emulation loses packets of a burst.
        found = {item[:2]: any(_greets(guest, *item) for _ in range(2)) for item in tries if item[2]}
        return found | {item[:2]: got for item, got in zip(silent, waiting, strict=True)}


@pytest.mark.control("CCN681-6.5.5-01")
def test_each_client_reaches_its_ports_and_no_other(
    tries: list[tuple[int, str, bool]], reached: dict[tuple[int, str], bool], seen: Any
) -> None:
    lines = {
        f"{client} -> {port}: {'reached' if reached[port, client] else 'dropped'}": allowed
        for port, client, allowed in tries
        if port != CLOSED
    }
    seen("; ".join(lines))
    assert [line for line, allowed in lines.items() if line.endswith("reached") != allowed] == []


@pytest.mark.control("CCN681-6.5.5-02")
def test_an_open_socket_is_not_reached_without_a_rule(
    listening: str, reached: dict[tuple[int, str], bool], seen: Any
) -> None:
    """A listener that answers inside the guest, and not outside, even for the administrators."""
    outside = {client: got for (port, client), got in reached.items() if port == CLOSED}
    seen(f"inside: {listening}; outside: {outside}")
    assert listening == "forja", "the listener did not start, so its silence outside proves nothing"
    assert "admin" in outside
    assert not any(outside.values())


def _allowed(plan: Any, port: Any, address: str) -> bool:
    return any(ipaddress.IPv4Address(address) in network for network in plan.networks(port))


def _greets(guest: Any, port: int, client: str, expected: bool) -> bool:
    """Whether the server's first byte arrives. A connection proves nothing: QEMU's forwarding takes all."""
    seconds = GREETING_SECONDS if expected else SILENCE_SECONDS
    try:
        with guest.connect(port, client, seconds) as connection:
            connection.settimeout(seconds)
            return bool(connection.recv(1))
    except OSError:
        return False


@pytest.mark.control("RHEL-FIREWALL-03")
def test_echo_is_for_administrators(plan: Any, rules: list[dict[str, Any]], seen: Any) -> None:
    found = [
        rule["expr"]
        for rule in rules
        if {"accept": None} in rule["expr"] and "echo-request" in json.dumps(rule["expr"])
    ]
    networks = {
        _network(match["right"])
        for expression in found
        for match in (part["match"] for part in expression if "match" in part)
        if match["left"].get("payload", {}).get("field") == "saddr"
    }
    seen(f"echo-request accepted from {sorted(networks)}")
    assert networks == {str(network) for network in plan.site.admin.networks}
    assert len(found) == len(networks)


@pytest.mark.control("RHEL-FIREWALL-04")
def test_loopback_is_trusted_alone(firewalld: Any, seen: Any) -> None:
    zone = firewalld["trusted"]
    seen(zone)
    assert zone["interfaces"] == ["lo"]
    assert zone["sources"] == []
    for address, family in (("127.0.0.1", "ipv4"), ("::1", "ipv6")):
        assert (
            f'rule family="{family}" source address="{address}" destination NOT address="{address}" drop'
            in zone["rules"]
        )


@pytest.mark.control("RHEL-FIREWALL-05")
def test_drops_are_logged(firewalld: Any, rules: list[dict[str, Any]], seen: Any) -> None:
    logging = [rule["chain"] for rule in rules if any("log" in part for part in rule["expr"])]
    seen(f"LogDenied={firewalld['logged']}; {logging}")
    assert firewalld["logged"] == "unicast"
    assert "filter_IN_drop" in logging


@pytest.mark.control("RHEL-FIREWALL-06")
def test_nothing_over_ipv6(plan: Any, rules: list[dict[str, Any]], facts: dict[str, str], seen: Any) -> None:
    accepted = [
        rule["expr"]
        for rule in rules
        if rule["chain"] == "filter_IN_drop_allow" and '"ip6"' in json.dumps(rule["expr"])
    ]
    seen(f"IPv6 addresses: {facts['addresses6'] or 'none'}; rules that accept IPv6: {accepted}")
    assert plan.site.network.ipv6 or facts["addresses6"] == "", "an interface has an IPv6 address"
    assert not accepted
