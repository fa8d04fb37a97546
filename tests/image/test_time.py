"""The clock: whom chronyd asks, as whom it runs, and that nobody can ask or command it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from facts import ask


@pytest.fixture(scope="module")
def facts(plan: Any, host: Any) -> dict[str, str]:
    conf = plan.platform.path("/etc/chrony.conf")
    service = plan.platform.service("chronyd")
    return ask(
        host,
        {
            "sources": "chronyc -n sources",
            "conf": f"grep -vE '^#|^$' {conf}",
            "sockets": "ss -H -tulnp",
            "process": "ps -o user:32=,args= -p $(pidof chronyd | tr ' ' ,); stat -c %U /var/lib/chrony",
            "status": "for p in $(pidof chronyd); do grep -E '^(Uid|CapEff):' /proc/$p/status; done",
            "network": "chronyc -h 127.0.0.1 tracking 2>&1; chronyc tracking",
            "order": f"stat -c %Y {conf};"
            f' date -d "$(systemctl show -p ExecMainStartTimestamp --value {service})" +%s',
        },
    )


def settings(facts: dict[str, str]) -> list[list[str]]:
    return [line.split() for line in facts["conf"].splitlines()]


@pytest.mark.control("RHEL-TIME-01")
def test_time_comes_from_the_site(plan: Any, facts: dict[str, str], seen: Any) -> None:
    asked = [words[1] for words in settings(facts) if words[0] in ("server", "pool")]
    known = {line.split()[1] for line in facts["sources"].splitlines() if line.startswith("^")}
    seen(facts["sources"])
    assert asked == list(plan.site.time.servers)
    addresses = {server for server in asked if re.fullmatch(r"[\d.]+", server)}
    assert addresses <= known, "chronyd does not ask a server of the site"
    assert len(known) <= len(asked)


def udp_ports(facts: dict[str, str]) -> set[str]:
    """Ports of UDP on which something listens, whoever it is."""
    lines = facts["sockets"].splitlines()
    return {line.split()[4].rpartition(":")[2] for line in lines if line.startswith("udp")}


@pytest.mark.control("RHEL-TIME-02")
def test_chronyd_serves_nobody(facts: dict[str, str], seen: Any) -> None:
    mine = [line for line in facts["sockets"].splitlines() if "chronyd" in line]
    seen(f"UDP ports that listen: {sorted(udp_ports(facts)) or 'none'}")
    assert "chronyd" in facts["process"], "chronyd does not run"
    assert "123" not in udp_ports(facts)
    assert not mine
    assert not [words for words in settings(facts) if words[0] in ("allow", "local", "manual")]


@pytest.mark.control("RHEL-TIME-03")
def test_chronyd_takes_no_orders_over_the_network(facts: dict[str, str], seen: Any) -> None:
    seen(facts["network"])
    assert "323" not in udp_ports(facts)
    assert "Cannot talk to daemon" in facts["network"], "chronyd answers on 127.0.0.1"
    assert "Reference ID" in facts["network"], "chronyd does not answer root either"


@pytest.mark.control("RHEL-TIME-04")
def test_chronyd_is_not_root(facts: dict[str, str], seen: Any) -> None:
    *processes, owner = facts["process"].splitlines()
    seen(f"{facts['process']}; {facts['status']}")
    assert owner.endswith("chrony")
    assert processes
    users = {line.split()[0] for line in processes}
    assert "root" not in users
    assert users == {owner}


@pytest.mark.control("RHEL-TIME-05")
def test_the_clock_steps_at_the_start_only(facts: dict[str, str], seen: Any) -> None:
    found = {words[0]: words[1:] for words in settings(facts)}
    written, started = map(int, facts["order"].split())
    seen(f"makestep {found.get('makestep')}, logchange {found.get('logchange')}, since {started}")
    assert started >= written, "chronyd runs with an older configuration"
    assert found["makestep"] == ["1.0", "3"]
    assert "rtcsync" in found
    assert float(found["logchange"][0]) <= 0.5
