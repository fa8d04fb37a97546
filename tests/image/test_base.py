"""The operating system below the relay, as it runs: files, SELinux, units, packages, logs."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

import pytest
from facts import ask, unlike, wait_for

FOREIGN_SERVERS = (
    "named dovecot cyrus-master squid telnetd in.telnetd tftpd in.tftpd vsftpd snmpd exim4 smbd"
    " nfsd rpcbind cupsd httpd apache2 nginx slapd ypserv xinetd avahi-daemon"
)
PLUMBING = ("getty@.service", "selinux-autorelabel-mark.service", "rngd.service")
"""Enabled besides what the overlays name, where they exist: see 00-forja.preset."""

ONCE = "forja-primer-arranque"
"""The unit that starts in the first boot only."""


@pytest.fixture(scope="module")
def facts(plan: Any, host: Any) -> dict[str, str]:
    return ask(
        host,
        {
            # SSH answers before the rest has started. systemd 239 can't wait for it by itself.
            "started": "for i in $(seq 180); do"
            " case $(systemctl is-system-running) in running | degraded) break ;; esac; sleep 1; done",
            "issue_net": "cat /etc/issue.net",
            "issue": "cat /etc/issue",
            "motd": "cat /etc/motd",
            "sockets": "ss -H -tuln",
            "stray": "find / /home /var /var/log /var/spool/postfix /etc/postfix -xdev -ignore_readdir_race"
            " \\( -path /proc -o -path /sys -o -path /run \\) -prune -o"
            " \\( -nouser -o -nogroup -o -type f -perm -0002 -o -type d -perm -0002 ! -perm -1000 \\) -print",
            "enabled": "SYSTEMD_OFFLINE=1 systemctl list-unit-files --state=enabled --no-legend --no-pager",
            "also": "grep -hrE '^Also=' /usr/lib/systemd/system /etc/systemd/system",
            "active": "systemctl show -p ActiveState -p ConditionResult "
            + " ".join(f"{plan.platform.service(name)}" for name in plan.services),
            "failed": "systemctl list-units --failed --no-legend --plain --no-pager",
            "target": "systemctl get-default; systemctl is-active graphical.target; true",
            "masked": "for u in ctrl-alt-del.target debug-shell.service kdump.service; do"
            " echo $u $(systemctl is-enabled $u) $(systemctl is-active $u); done",
            "crash": "cat /sys/kernel/kexec_crash_loaded",
            "servers": f"for s in {FOREIGN_SERVERS}; do command -v $s; done; true",
            "compilers": "for s in cc gcc g++ c++ clang make ld as go rustc; do command -v $s; done; true",
            "name": "hostname; getent ahostsv4 $(hostname) | head -n 1",
            "locale": "localectl status; locale -a | grep -i es_ES; readlink -f /etc/localtime;"
            " timedatectl | grep -i 'rtc in local'",
            "journal": "ls -d /var/log/journal/$(cat /etc/machine-id)/system.journal;"
            " journalctl -b -o cat -u systemd-journald | grep -F /var/log/journal",
            "syslog": "logger -p authpriv.notice -t forja-prueba visto; "
            "logger -p user.info -t forja-prueba visto;"
            + wait_for("grep -q 'forja-prueba.*visto' /var/log/messages")
            + "; grep -l 'forja-prueba.*visto' /var/log/secure /var/log/messages;"
            " stat -c '%n %a %U:%G' /var/log/secure /var/log/messages /var/log/cron",
            "logrotate": "logrotate -d /etc/logrotate.conf",
            "logrotate_job": "systemctl is-active logrotate.timer; ls /etc/cron.daily/logrotate",
            "selinux": "getenforce; cat /sys/fs/selinux/enforce; sestatus",
        },
    )


# --- Files ----------------------------------------------------------------------------------------


@pytest.mark.control("RHEL-FILE-03", "RHEL-AUDIT-15", "RHEL-AUDIT-16")
def test_every_declared_file_has_its_owner_and_mode(plan: Any, host: Any, seen: Any) -> None:
    expected = declared(plan)
    quoted = " ".join(f"'{path}'" for path in expected)
    answer = ask(host, {"stat": f"stat -c '%n %a %U:%G' {quoted}", "mounts": "findmnt -rn -o TARGET"})
    found = {path: rest for path, _, rest in (line.partition(" ") for line in answer["stat"].splitlines())}
    # A folder that something else is mounted over shows that one's owner.
    covered = set(answer["mounts"].splitlines()) - {mount.path for mount in plan.profile.mounts}
    wanted = {
        path: f"{int(entry.mode, 8):o} {entry.owner}"
        for path, entry in expected.items()
        if path not in covered
    }
    seen(f"{len(found)} of {len(wanted)} files and folders")
    assert len(wanted) > 30
    assert not unlike(wanted, found)


def declared(plan: Any) -> dict[str, Any]:
    """Return the entries of all overlays by their path here, without those that the site did not bring."""
    entries = {}
    for overlay in plan.overlays:
        for entry in (*overlay.dirs, *overlay.files):
            section, _, key = (entry.site or "").partition(".")
            if entry.site is None or getattr(getattr(plan.site, section), key) is not None:
                entries[plan.platform.path(entry.path)] = entry
    return entries


@pytest.mark.control("RHEL-SELINUX-02")
@pytest.mark.needs("selinux")
def test_every_declared_file_has_its_type(plan: Any, host: Any, seen: Any) -> None:
    expected = declared(plan)
    quoted = " ".join(f"'{path}'" for path in expected)
    answer = ask(host, {"stat": f"stat -c '%n %C' {quoted}", "restorecon": f"restorecon -nv {quoted}"})
    found = {
        path: label.split(":")[2] for path, label in (line.split() for line in answer["stat"].splitlines())
    }
    seen(f"{len(found)} labels; restorecon would change: {answer['restorecon'] or 'nothing'}")
    assert not unlike({path: entry.type for path, entry in expected.items()}, found)
    assert answer["restorecon"] == ""


@pytest.mark.control("RHEL-FILE-04")
def test_no_stray_files(facts: dict[str, str], seen: Any) -> None:
    seen(facts["stray"] or "none")
    assert facts["stray"] == ""


@pytest.mark.control("RHEL-SELINUX-01")
@pytest.mark.needs("selinux")
def test_selinux_is_enforcing(facts: dict[str, str], seen: Any) -> None:
    seen(facts["selinux"])
    assert facts["selinux"].splitlines()[:2] == ["Enforcing", "1"]
    for key, value in (
        ("Loaded policy name", "targeted"),
        ("Current mode", "enforcing"),
        ("Mode from config file", "enforcing"),
    ):
        assert re.search(rf"^{key}:\s+{value}$", facts["selinux"], re.MULTILINE)


# --- Units and packages ---------------------------------------------------------------------------


@pytest.mark.control("CCN681-6.5.b-01")
def test_only_the_declared_ports_listen(plan: Any, facts: dict[str, str], seen: Any) -> None:
    found = set()
    for line in facts["sockets"].splitlines():
        protocol, _, _, _, local, *_ = line.split()
        address, _, port = local.rpartition(":")
        found.add((protocol, "loopback" if is_loopback(address) else "network", int(port)))
    seen(facts["sockets"])
    assert found == {
        (port.protocol, "loopback" if port.reached_from == "loopback" else "network", port.port)
        for port in plan.ports
    }
    assert plan.site.network.ipv6 or "[" not in facts["sockets"], "something listens on IPv6"


def is_loopback(address: str) -> bool:
    bare = address.strip("[]").partition("%")[0]
    return bare != "*" and ipaddress.ip_address(bare).is_loopback


@pytest.mark.control("RHEL-SERVICE-01")
def test_only_declared_units_are_enabled(plan: Any, facts: dict[str, str], seen: Any) -> None:
    named = [plan.platform.service(name) for name in plan.services] + list(plan.platform.own_services)
    declared_units = {name if "." in name else f"{name}.service" for name in named}
    also = {name for line in facts["also"].splitlines() for name in line.removeprefix("Also=").split()}
    found = {line.split()[0] for line in facts["enabled"].splitlines()}
    seen(" ".join(sorted(found)))
    # Also=: a unit may bring others along, such as NetworkManager its dispatcher.
    missing, more = declared_units - found, found - declared_units - set(PLUMBING) - also
    assert (missing, more) == (set(), set()), "declared and not enabled, enabled and not declared"


@pytest.mark.control("RHEL-SERVICE-04", "RHEL-LOG-02", "CCN681-6.5.i-01")
def test_declared_units_run_and_none_failed(plan: Any, facts: dict[str, str], seen: Any) -> None:
    told = [dict(line.split("=", 1) for line in unit.splitlines()) for unit in facts["active"].split("\n\n")]
    units = dict(zip(plan.services, told, strict=True))
    states = {name: unit["ActiveState"] for name, unit in units.items()}
    seen(f"{states}; failed: {facts['failed'] or 'none'}")
    if (units.get(ONCE) or {}).get("ConditionResult") == "no":  # it has run, in an earlier boot
        del states[ONCE]
    assert facts["failed"] == ""
    assert set(states.values()) == {"active"}


@pytest.mark.control("RHEL-SERVICE-02", "RHEL-BOOT-04")
def test_units_that_must_never_start(facts: dict[str, str], seen: Any) -> None:
    seen(f"{facts['masked']}; kdump image loaded: {facts['crash']}")
    assert [line.split()[1:] for line in facts["masked"].splitlines()] == [["masked", "inactive"]] * 3
    assert facts["crash"] == "0"


@pytest.mark.control("RHEL-SERVICE-03")
def test_default_target(facts: dict[str, str], seen: Any) -> None:
    seen(facts["target"])
    assert facts["target"].split() == ["multi-user.target", "inactive"]


@pytest.mark.control("RHEL-PACKAGE-01")
def test_no_foreign_servers(facts: dict[str, str], seen: Any) -> None:
    seen(facts["servers"] or "none")
    assert facts["servers"] == ""


@pytest.mark.control("RHEL-PACKAGE-02")
def test_no_compilers(facts: dict[str, str], seen: Any) -> None:
    seen(facts["compilers"] or "none")
    assert facts["compilers"] == ""


# --- Language, banners, logs ----------------------------------------------------------------


@pytest.mark.control("RHEL-NET-01")
def test_the_server_knows_its_name(plan: Any, facts: dict[str, str], seen: Any) -> None:
    name, address = facts["name"].splitlines()
    seen(f"{name}: {address}")
    assert name == plan.site.host.name
    assert address.split()[0] == str(plan.site.network.address.ip)


@pytest.mark.control("CCN681-5.1-01")
def test_system_speaks_spanish(facts: dict[str, str], seen: Any) -> None:
    seen(facts["locale"])
    assert "LANG=es_ES.UTF-8" in facts["locale"]
    assert re.search(r"^es_ES\.utf8$", facts["locale"], re.MULTILINE | re.IGNORECASE)
    assert re.search(r"(VC Keymap|X11 Layout): es$", facts["locale"], re.MULTILINE)
    assert "/usr/share/zoneinfo/Europe/Madrid" in facts["locale"]
    assert "RTC in local TZ: no" in facts["locale"]


@pytest.mark.control("RHEL-BANNER-01", "RHEL-BANNER-02")
@pytest.mark.parametrize("name", ["issue", "issue_net"])
def test_legal_notice(name: str, plan: Any, facts: dict[str, str], seen: Any) -> None:
    seen(facts[name])
    assert "ACCESO RESTRINGIDO A PERSONAL AUTORIZADO" in facts[name]
    assert "queda registrada" in facts[name]
    assert "\\" not in facts[name], "agetty would expand it"
    assert plan.platform.mark is None or plan.platform.mark.es in facts[name]


@pytest.mark.control("RHEL-BANNER-03")
def test_message_after_login(plan: Any, facts: dict[str, str], seen: Any) -> None:
    seen(facts["motd"])
    assert plan.site.host.name in facts["motd"]
    assert plan.platform.mark is None or plan.platform.mark.es in facts["motd"]


@pytest.mark.control("RHEL-LOG-01")
def test_journal_is_on_the_disk(plan: Any, facts: dict[str, str], seen: Any) -> None:
    size = next(mount.size_mib for mount in plan.profile.mounts if mount.path == "/var/log") // 4
    seen(facts["journal"])
    assert facts["journal"].startswith("/var/log/journal/")
    found = re.search(r"max ([\d.]+)([MG])", facts["journal"])
    assert found, "journald does not say that it writes there"
    assert float(found[1]) * {"M": 1, "G": 1024}[found[2]] == pytest.approx(size, rel=0.1)


@pytest.mark.control("RHEL-LOG-02", "CCN681-6.5.i-01")
def test_rsyslog_writes_what_it_is_told(facts: dict[str, str], seen: Any) -> None:
    lines = facts["syslog"].splitlines()
    seen(facts["syslog"])
    assert lines[:2] == ["/var/log/secure", "/var/log/messages"]
    modes = dict(line.split(maxsplit=1) for line in lines[2:] if "No such file" not in line)
    assert {"/var/log/secure", "/var/log/messages"} <= set(modes)
    assert not unlike(dict.fromkeys(modes, "600 root:root"), modes)


@pytest.mark.control("RHEL-LOG-03")
def test_logs_are_kept_long_enough(plan: Any, facts: dict[str, str], seen: Any) -> None:
    kept: dict[str, int] = {}
    count = 0
    for line in facts["logrotate"].splitlines():
        if found := re.search(r"\((\d+) rotations\)", line):
            count = int(found[1]) * (30 if "monthly" in line else 7 if "weekly" in line else 1)
        elif found := re.search(r"considering log (\S+)", line):
            kept[found[1]] = count
    names = ["secure", "messages", "cron", "boot.log", "sudo.log", "wtmp", "btmp"]
    seen({name: kept.get(f"/var/log/{name}") for name in names} | {"job": facts["logrotate_job"]})
    assert not re.search(r"^error:", facts["logrotate"], re.MULTILINE)
    assert [name for name in names if kept.get(f"/var/log/{name}", 0) < plan.profile.values.log_days] == []
    job = facts["logrotate_job"].splitlines()
    assert job[0] == "active" or job[-1] == "/etc/cron.daily/logrotate", "nothing runs logrotate"
