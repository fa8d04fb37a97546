"""SELinux as the kernel applies it: what was asked of the policy, who is confined, what was refused."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
from facts import ask, unlike

pytestmark = pytest.mark.needs("selinux")

DOMAINS = {
    "auditd": "auditd_t",
    "chronyd": "chronyd_t",
    "crond": "crond_t",
    "firewalld": "firewalld_t",
    "rsyslogd": "syslogd_t",
    "sshd": "sshd_t",
    "master": "postfix_master_t",
    "qmgr": "postfix_qmgr_t",
    "saslauthd": "saslauthd_t",
    "opendkim": "dkim_milter_t",
    "clamd": "antivirus_t",
    "amavisd": "antivirus_t",
    "/usr/sbin/amavi": "antivirus_t",
    "freshclam": "antivirus_t",
    "usbguard-daemon": "usbguard_t",
    "fapolicyd": "fapolicyd_t",
}
"""Name of a process, as in /proc/PID/comm, and the domain that the policy puts it in."""

UNCONFINED = {"unconfined_service_t", "initrc_t", "init_t", "kernel_t", "unconfined_t"}


@pytest.fixture(scope="module")
def facts(host: Any) -> dict[str, str]:
    return ask(
        host,
        {
            "asked": "cat /usr/lib/forja/selinux.semanage",
            "booleans": "getsebool -a",
            "export": "semanage export",
            "local": "semodule -lfull | awk '$1 >= 400'",
            "permissive": "semanage permissive -l -n",
            "processes": "ps -eo label,comm --no-headers",
            "denied": "ausearch -m AVC,USER_AVC -ts boot --raw | grep denied | head -n 20",
            "grub": "grep -hoE '\\b(selinux|enforcing)=[0-9]' /etc/default/grub /etc/grub.d/*"
            " /boot/loader/entries/*.conf /boot/grub2/grubenv /etc/kernel/cmdline 2> /dev/null",
            "keys": "matchpathcon -n /etc/opendkim/keys/forja.private",
        },
    )


@pytest.mark.control("RHEL-SELINUX-01")
def test_the_boot_loader_does_not_switch_it_off(facts: dict[str, str], seen: Any) -> None:
    seen(facts["grub"] or "neither selinux= nor enforcing= in the boot loader")
    assert not {"selinux=0", "enforcing=0"} & set(facts["grub"].split())


@pytest.mark.control("RHEL-SELINUX-03")
def test_booleans_in_force(facts: dict[str, str], seen: Any) -> None:
    wanted = {
        name: "on" if value == "1" else "off"
        for value, name in re.findall(r"(?m)^boolean -m -([01]) (\w+)$", facts["asked"])
    }
    found = dict(line.split(" --> ", 1) for line in facts["booleans"].splitlines() if " --> " in line)
    seen("; ".join(f"{name} = {found.get(name)}" for name in wanted))
    assert len(wanted) >= 9
    assert not unlike(wanted, found)


@pytest.mark.control("RHEL-SELINUX-04")
def test_what_is_our_own_is_known_and_nothing_else(facts: dict[str, str], seen: Any) -> None:
    kinds = ("fcontext -a", "port -a")
    asked = {tuple(shlex.split(line)) for line in facts["asked"].splitlines() if line.startswith(kinds)}
    found = {tuple(shlex.split(line)) for line in facts["export"].splitlines() if line.startswith(kinds)}
    seen(sorted(" ".join(line) for line in found))
    seen(f"local modules: {facts['local'] or 'none'}; permissive: {facts['permissive'] or 'none'}")
    assert found == asked
    assert ":dkim_milter_private_key_t:" in facts["keys"]
    assert facts["local"] == ""
    assert facts["permissive"].split() == []


@pytest.mark.control("RHEL-SELINUX-05")
def test_daemons_are_confined(facts: dict[str, str], seen: Any) -> None:
    found: dict[str, set[str]] = {}
    for label, name in (line.split(None, 1) for line in facts["processes"].splitlines()):
        found.setdefault(name.strip(), set()).add(label.split(":")[2])
    here = {name: domain for name, domain in DOMAINS.items() if name in found}
    seen("; ".join(f"{name}: {', '.join(sorted(found[name]))}" for name in sorted(here)))
    assert {"master", "clamd", "opendkim", "sshd", "auditd", "rsyslogd"} <= set(here)
    assert not {name: found[name] for name, domain in here.items() if domain not in found[name]}
    # A person's session has an sshd of its own, in the person's domain.
    assert not [name for name in here if name != "sshd" and found[name] & UNCONFINED]


@pytest.mark.control("RHEL-SELINUX-06")
def test_nothing_was_refused(facts: dict[str, str], seen: Any) -> None:
    """Since the start, with the mail that the other tests have sent through it."""
    seen(facts["denied"] or "no denial since the start")
    assert facts["denied"] in ("", "<no matches>")
