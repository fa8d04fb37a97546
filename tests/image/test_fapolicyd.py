"""Which programs may run: tried with one that nobody knows, as somebody who is not root."""

from __future__ import annotations

from typing import Any

import pytest
from facts import ask

pytestmark = pytest.mark.needs("fapolicyd")

PLACE = "/var/lib/forja-prueba"
"""On a file system that lets programs run, so that it is not the mount option that stops them."""


@pytest.fixture(scope="module")
def facts(host: Any) -> dict[str, str]:
    return ask(
        host,
        {
            "state": "systemctl is-active fapolicyd; systemctl is-enabled fapolicyd",
            "settings": "grep -E '^(permissive|trust) *=' /etc/fapolicyd/fapolicyd.conf",
            "arguments": "tr '\\0' ' ' < /proc/$(pidof fapolicyd)/cmdline",
            "tried": f"install -d -m 0755 {PLACE} && install -m 0755 /usr/bin/true {PLACE}/programa"
            f" && printf '#!/bin/sh\\nexit 0\\n' > {PLACE}/guion && chmod 0755 {PLACE}/guion;"
            " runuser -u nobody -- /usr/bin/true; echo known $?;"
            f" runuser -u nobody -- {PLACE}/programa; echo program $?;"
            f" runuser -u nobody -- {PLACE}/guion; echo script $?; rm -rf {PLACE}",
            "rules": "fapolicyd-cli --list",
            "trusted": "cat /etc/fapolicyd/fapolicyd.trust",
            "known": "fapolicyd-cli --dump-db | grep -F ' /usr/libexec/forja/'",
            "files": "for f in /usr/libexec/forja/*; do"
            " echo $f $(stat -c %s $f) $(sha256sum < $f | cut -d' ' -f1); done",
        },
    )


@pytest.mark.control("RHEL-EXEC-01")
def test_it_runs_and_blocks(facts: dict[str, str], seen: Any) -> None:
    seen(f"{facts['state']}; {facts['settings']}; {facts['arguments']}")
    assert facts["state"].split() == ["active", "enabled"]
    assert facts["settings"].splitlines() == ["permissive = 0", "trust = rpmdb,file"]
    assert "fapolicyd" in facts["arguments"]
    assert "--permissive" not in facts["arguments"]


@pytest.mark.control("RHEL-EXEC-02")
def test_what_nobody_knows_does_not_run(facts: dict[str, str], seen: Any) -> None:
    results = dict(line.split() for line in facts["tried"].splitlines() if len(line.split()) == 2)
    seen(facts["tried"])
    seen(facts["rules"])
    assert results["known"] == "0", "nothing runs at all, so this proves nothing"
    assert {results["program"], results["script"]} == {"126"}
    assert any("deny" in line and "perm=execute" in line for line in facts["rules"].splitlines())


@pytest.mark.control("RHEL-EXEC-03")
def test_our_programs_are_known_by_size_and_digest(facts: dict[str, str], seen: Any) -> None:
    wanted = set(facts["files"].splitlines())
    known = facts["known"].splitlines()
    seen(f"{len(wanted)} programs; {len(known)} in the data base")
    assert len(wanted) > 5
    assert wanted <= set(facts["trusted"].splitlines())
    for line in wanted:
        assert any(set(line.split()) <= set(found.split()) for found in known), line
