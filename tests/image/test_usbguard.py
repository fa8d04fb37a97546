"""USBGuard as it runs: its rules, what becomes of a device without one, and who may change that."""

from __future__ import annotations

import re
from typing import Any

import pytest
from facts import ask

pytestmark = pytest.mark.needs("usbguard")

RULES = [
    "allow with-interface match-all { 09:*:* }",
    "allow with-interface match-all { 03:*:* }",
    "reject with-interface one-of { 03:*:* }",
]


@pytest.fixture(scope="module")
def facts(host: Any) -> dict[str, str]:
    return ask(
        host,
        {
            "state": "systemctl is-active usbguard; systemctl is-enabled usbguard",
            "rules": "usbguard list-rules",
            "implicit": "usbguard get-parameter ImplicitPolicyTarget",
            "inserted": "usbguard get-parameter InsertedDevicePolicy",
            "devices": "usbguard list-devices",
            "default": "grep -H . /sys/bus/usb/devices/usb*/authorized_default 2> /dev/null; true",
            "present": "grep -hE '^Present(Device|Controller)Policy=' /etc/usbguard/usbguard-daemon.conf",
            "file": "stat -c '%a %U:%G %s' /etc/usbguard/rules.conf;"
            " find /etc/usbguard/rules.d /etc/usbguard/IPCAccessControl.d -type f 2> /dev/null; true",
            "others": "runuser -u nobody -- usbguard list-rules; echo rc=$?",
            "log": "stat -c '%a %U:%G %n' /var/log/usbguard /var/log/usbguard/usbguard-audit.log;"
            " logrotate -d /etc/logrotate.d/usbguard 2>&1 | grep -E 'considering log|rotations'",
        },
    )


@pytest.mark.control("RHEL-USB-01")
def test_it_runs(facts: dict[str, str], seen: Any) -> None:
    seen(facts["state"])
    assert facts["state"].split() == ["active", "enabled"]


@pytest.mark.control("RHEL-USB-02")
def test_the_rules_in_force_are_the_fixed_ones(facts: dict[str, str], seen: Any) -> None:
    seen(facts["rules"])
    seen(facts["file"])
    # As the daemon has them, each with its number.
    assert [re.sub(r"^\d+: ", "", line) for line in facts["rules"].splitlines()] == RULES
    mode, owner, size = facts["file"].splitlines()[0].split()
    assert (mode, owner) == ("600", "root:root")
    assert int(size) > 0
    assert facts["file"].count("\n") == 0, "rules or permissions in folders of their own"


@pytest.mark.control("RHEL-USB-03")
def test_what_no_rule_names_is_blocked(facts: dict[str, str], seen: Any) -> None:
    seen(f"implicit: {facts['implicit']}; inserted: {facts['inserted']}; {facts['present']}")
    seen(f"{facts['devices'] or 'no USB device'}; {facts['default'] or 'no USB controller'}")
    assert facts["implicit"].split()[-1] == "block"
    assert facts["inserted"].split()[-1] == "apply-policy"
    assert set(facts["present"].splitlines()) == {
        "PresentDevicePolicy=apply-policy",
        "PresentControllerPolicy=apply-policy",
    }
    for line in facts["devices"].splitlines():
        if re.match(r"\d+: allow ", line):
            interfaces = re.search(r"with-interface (?:\{ )?((?:[\da-f]{2}:[\da-f]{2}:[\da-f]{2} ?)+)", line)
            assert interfaces, line
            assert {item[:2] for item in interfaces[1].split()} in ({"09"}, {"03"}), line
    assert not [line for line in facts["default"].splitlines() if not line.endswith(":0")]


@pytest.mark.control("RHEL-USB-04")
def test_only_root_handles_it(facts: dict[str, str], seen: Any) -> None:
    seen(facts["others"])
    assert "allow" not in facts["others"]
    assert facts["others"].splitlines()[-1] != "rc=0"


@pytest.mark.control("RHEL-USB-05")
def test_it_keeps_a_record(plan: Any, facts: dict[str, str], seen: Any) -> None:
    seen(facts["log"])
    lines = facts["log"].splitlines()
    assert lines[:2] == [
        "700 root:root /var/log/usbguard",
        "600 root:root /var/log/usbguard/usbguard-audit.log",
    ]
    kept = re.search(r"monthly \((\d+) rotations\)", facts["log"])
    assert kept
    assert int(kept[1]) * 28 >= plan.profile.values.log_days
