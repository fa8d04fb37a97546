"""What the kernel records: the rules that it has loaded, and an event that really arrives."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
from facts import ask, wait_for

PERM_MOD = ("chmod", "fchmod", "fchmodat", "chown", "fchown", "fchownat", "lchown")
XATTR = ("setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr")
OPENING = ("creat", "open", "openat", "open_by_handle_at", "truncate", "ftruncate")
DELETING = ("unlink", "unlinkat", "rename", "renameat")

WATCHES = {
    "RHEL-AUDIT-03": {
        f"/etc/{name}": "audit_rules_usergroup_modification"
        for name in ("passwd", "shadow", "group", "gshadow", "security/opasswd")
    },
    "RHEL-AUDIT-04": {
        "/var/run/utmp": "session",
        "/var/log/wtmp": "session",
        "/var/log/btmp": "session",
        "/var/log/lastlog": "logins",
        "/var/log/faillock": "logins",
    },
    "RHEL-AUDIT-05": {
        "/etc/sudoers": "actions",
        "/etc/sudoers.d": "actions",
        "/var/log/sudo.log": "maintenance",
    },
    "RHEL-AUDIT-09": {"/etc/localtime": "time-change", "/etc/chrony.conf": "time-change"},
    "RHEL-AUDIT-10": {"/etc/modprobe.d": "modules", "/boot/grub2": "boot"},
    "RHEL-AUDIT-11": {
        **{f"/etc/cron.{name}": "tasks" for name in ("allow", "d", "hourly", "daily", "weekly", "monthly")},
        "/etc/crontab": "tasks",
        "/var/spool/cron": "tasks",
        "/etc/systemd": "tasks",
    },
    "RHEL-AUDIT-12": {
        "/etc/audit": "auditconfig",
        "/etc/rsyslog.conf": "auditconfig",
        "/etc/rsyslog.d": "auditconfig",
        "/etc/pam.d": "pam",
        "/etc/selinux": "MAC-policy",
        "/etc/ssh/sshd_config": "sshd",
        "/etc/firewalld": "firewall",
        "/etc/hosts": "system-locale",
        "/etc/sysconfig/network-scripts": "system-locale",
    },
    "RHEL-AUDIT-13": {
        "/etc/postfix": "forja-correo",
        "/etc/aliases": "forja-correo",
        "/etc/sasl2": "forja-correo",
    },
}

PERSON = frozenset({"auid>=1000", "auid!=-1"})
SYSCALLS = {
    "RHEL-AUDIT-06": [("perm_mod", PERM_MOD + XATTR, PERSON), ("perm_mod", XATTR, {"auid=0"})],
    "RHEL-AUDIT-07": [
        ("access", OPENING, PERSON | {"exit=-EACCES"}),
        ("access", OPENING, PERSON | {"exit=-EPERM"}),
    ],
    "RHEL-AUDIT-08": [
        ("delete", DELETING, PERSON),
        ("export", ("mount", "umount2", "swapon", "swapoff"), PERSON),
    ],
    "RHEL-AUDIT-09": [("time-change", ("adjtimex", "settimeofday", "clock_settime"), {"auid!=-1"})],
    "RHEL-AUDIT-10": [("modules", ("init_module", "finit_module", "delete_module"), set())],
    "RHEL-AUDIT-12": [("system-locale", ("sethostname", "setdomainname"), set())],
    "RHEL-AUDIT-18": [
        ("execpriv", ("execve",), {"euid=0", "uid!=euid"}),
        ("execpriv", ("execve",), {"egid=0", "gid!=egid"}),
    ],
}
LEAST_A_DAY = 10
"""MiB of records that a busy day of a relay may bring, at least: what is done by people, not the mail."""

ADMINISTRATION = {
    *(f"/usr/sbin/{name}" for name in ("useradd", "userdel", "usermod", "groupadd", "groupdel", "groupmod")),
    *("/usr/sbin/chpasswd", "/usr/sbin/visudo", "/usr/sbin/auditctl", "/usr/bin/kmod"),
}


def by_control(table: dict[str, Any]) -> list[Any]:
    return [pytest.param(value, id=name, marks=pytest.mark.control(name)) for name, value in table.items()]


@pytest.fixture(scope="module")
def facts(host: Any) -> dict[str, str]:
    return ask(
        host,
        {
            "status": "auditctl -s",
            "rules": "auditctl -l",
            "change": "auditctl -w /forja-prueba -p w -k forja-prueba; auditctl -l | grep -c forja-prueba",
            "files": "augenrules --check; grep -hcE '^-[aw] ' /etc/audit/audit.rules",
            "service": "systemctl is-active auditd; systemctl is-enabled auditd",
            "privileged": "find / -xdev -ignore_readdir_race -type f -perm /6000",
            "logins": "for p in $(pidof sshd | cut -d' ' -f1) self; do cat /proc/$p/loginuid; echo; done;"
            " (echo 4294967295 > /proc/self/loginuid) 2>&1; cat /proc/self/loginuid",
            "conf": "grep -E '^[a-z]' /etc/audit/auditd.conf",
            "plugins": "grep -H '^active' /etc/audit/plugins.d/*.conf; true",
            "space": "df --output=size -B M /var/log/audit | tail -n 1",
            "modes": "stat -c '%n %a %U:%G' /etc/audit/auditd.conf /etc/audit/audit.rules"
            " /etc/audit/rules.d/*.rules /var/log/audit /var/log/audit/audit.log",
            # Removed again; the record of it stays.
            "event": "touch /etc/postfix/.forja-prueba; rm /etc/postfix/.forja-prueba;"
            + wait_for("grep -q 'name=.*[.]forja-prueba' /var/log/audit/audit.log")
            + "; ausearch --input-logs -k forja-correo --start boot -r | grep -c forja-prueba",
        },
    )


@pytest.fixture(scope="module")
def rules(facts: dict[str, str]) -> list[dict[str, Any]]:
    """Loaded rules: watches as path and permissions, others as system calls and fields; each with its key."""
    found = []
    for line in facts["rules"].splitlines():
        words = line.split()
        options = list(itertools.pairwise(words))
        fields = {value for option, value in options if option in ("-F", "-C")}
        key = next((value for option, value in options if option == "-k"), "")
        key = next((value.removeprefix("key=") for value in fields if value.startswith("key=")), key)
        found.append(
            {
                "watch": next((value for option, value in options if option == "-w"), None),
                "perm": next((value for option, value in options if option == "-p"), None),
                "calls": {call for option, value in options if option == "-S" for call in value.split(",")},
                "fields": {
                    value.replace("auid!=unset", "auid!=-1")
                    for value in fields
                    if not value.startswith("key=")
                },
                "key": key,
            }
        )
    return found


@pytest.mark.control("RHEL-AUDIT-01", "CCN681-6.5.i-01")
def test_auditing_is_on(facts: dict[str, str], seen: Any) -> None:
    status = dict(line.split(maxsplit=1) for line in facts["status"].splitlines() if " " in line)
    seen(facts["status"])
    assert facts["service"].split() == ["active", "enabled"]
    assert status["enabled"] in ("1", "2")
    assert int(status["pid"]) > 0
    assert status["failure"] == "1"
    assert int(status["backlog_limit"]) >= 8192


@pytest.mark.control("RHEL-AUDIT-14")
def test_rules_are_locked_until_the_next_boot(facts: dict[str, str], seen: Any) -> None:
    seen(f"{facts['status'].splitlines()[0]}; {facts['change']}")
    assert "enabled 2" in facts["status"].splitlines()
    assert facts["change"].splitlines()[-1] == "0", "a rule was added all the same"


@pytest.mark.control("RHEL-AUDIT-01")
def test_every_rule_of_the_files_is_loaded(facts: dict[str, str], seen: Any) -> None:
    written = int(facts["files"].splitlines()[-1])
    loaded = len(facts["rules"].splitlines())
    seen(f"{loaded} rules loaded of {written}; {facts['files'].splitlines()[0]}")
    assert "No change" in facts["files"]
    assert loaded == written
    assert loaded > 80


@pytest.mark.parametrize("watches", by_control(WATCHES))
def test_files_are_watched(
    watches: dict[str, str], plan: Any, rules: list[dict[str, Any]], seen: Any
) -> None:
    found = {rule["watch"]: (rule["perm"], rule["key"]) for rule in rules if rule["watch"]}
    wanted = {plan.platform.path(path): ("wa", key) for path, key in watches.items()}
    seen("; ".join(f"{path}: {found.get(path)}" for path in wanted))
    assert {path: found.get(path) for path in wanted} == wanted


@pytest.mark.parametrize("expected", by_control(SYSCALLS))
def test_system_calls_are_recorded(expected: list[Any], rules: list[dict[str, Any]], seen: Any) -> None:
    missing = []
    for key, calls, fields in expected:
        for arch in ("b32", "b64"):
            matching = [
                rule for rule in rules if rule["key"] == key and rule["fields"] == fields | {f"arch={arch}"}
            ]
            covered = {call for rule in matching for call in rule["calls"]}
            seen(f"{key} {arch} {sorted(fields)}: {sorted(covered)}")
            missing += [f"{key} {arch} {sorted(fields)}: {call}" for call in calls if call not in covered]
    assert not missing


def programs(rules: list[dict[str, Any]]) -> set[str]:
    """Return the programs of which every run by a person is recorded."""
    return {
        field.removeprefix("path=")
        for rule in rules
        if rule["key"] == "privileged" and PERSON | {"perm=x"} <= rule["fields"]
        for field in rule["fields"]
        if field.startswith("path=")
    }


@pytest.mark.control("RHEL-AUDIT-05")
def test_programs_of_administration_are_recorded(rules: list[dict[str, Any]], seen: Any) -> None:
    found = programs(rules)
    seen(sorted(found & ADMINISTRATION))
    assert found >= ADMINISTRATION


@pytest.mark.control("RHEL-AUDIT-17")
def test_every_privileged_program_is_recorded(
    facts: dict[str, str], rules: list[dict[str, Any]], seen: Any
) -> None:
    there = set(facts["privileged"].splitlines())
    seen(f"{len(there)} with setuid or setgid: {sorted(there)}")
    assert {"/usr/bin/sudo", "/usr/bin/su", "/usr/bin/passwd", "/usr/bin/mount"} <= there
    assert sorted(there - programs(rules)) == []


@pytest.mark.control("RHEL-AUDIT-19")
def test_the_identity_of_a_login_can_not_be_changed(facts: dict[str, str], seen: Any) -> None:
    status = dict(line.split(maxsplit=1) for line in facts["status"].splitlines() if " " in line)
    seen(f"loginuid_immutable {status.get('loginuid_immutable')}; {facts['logins']}")
    assert status["loginuid_immutable"] == "1 locked"
    own = facts["logins"].splitlines()[1]
    assert int(own) >= 1000, "the session of the test has no identity"
    assert re.search(r"Operation not permitted|I/O error", facts["logins"])  # bash, dash: the write failed
    assert facts["logins"].splitlines()[-1] == own


@pytest.mark.control("RHEL-AUDIT-12")
def test_readers_of_the_records_are_recorded(rules: list[dict[str, Any]], seen: Any) -> None:
    found = [rule for rule in rules if rule["key"] == "access-audit-trail"]
    seen(found)
    assert len(found) == 1
    assert PERSON | {"dir=/var/log/audit", "perm=r"} <= found[0]["fields"]


@pytest.mark.control("RHEL-AUDIT-13")
def test_a_change_of_postfix_is_recorded(facts: dict[str, str], seen: Any) -> None:
    seen(f"records of a file made and removed under /etc/postfix: {facts['event']}")
    assert int(facts["event"].splitlines()[-1]) >= 1


@pytest.mark.control("RHEL-AUDIT-02")
def test_records_rotate_within_their_partition(plan: Any, facts: dict[str, str], seen: Any) -> None:
    conf = {name: value for name, _, value in (line.partition(" = ") for line in facts["conf"].splitlines())}
    partition = int(re.sub(r"\D", "", facts["space"]))
    kept = int(conf["num_logs"]) * int(conf["max_log_file"])
    days = plan.profile.values.log_days
    seen(
        f"{conf['num_logs']} files of {conf['max_log_file']} MiB in {partition} MiB:"
        f" {kept / days:.0f} MiB a day for {days} days; {facts['conf']}"
    )
    assert conf["max_log_file_action"] == "ROTATE"
    assert kept / days >= LEAST_A_DAY
    assert conf["local_events"] == conf["write_logs"] == "yes"
    assert partition * 0.5 < kept < partition - int(conf["space_left"])


@pytest.mark.control("RHEL-AUDIT-20")
def test_it_is_told_when_room_runs_out(plan: Any, facts: dict[str, str], seen: Any) -> None:
    conf = {name: value for name, _, value in (line.partition(" = ") for line in facts["conf"].splitlines())}
    names = ("space_left", "space_left_action", "admin_space_left", "admin_space_left_action")
    seen("; ".join(f"{name} = {conf[name]}" for name in (*names, "disk_full_action", "action_mail_acct")))
    assert conf["space_left_action"] == ("EMAIL" if plan.has("postfix") else "SYSLOG")
    assert conf["action_mail_acct"] == "root"
    assert conf["admin_space_left_action"] in ("SUSPEND", "HALT")
    assert conf["disk_full_action"] in ("SUSPEND", "HALT")
    assert 0 < int(conf["admin_space_left"]) < int(conf["space_left"])


@pytest.mark.control("RHEL-AUDIT-21")
def test_no_plugin_hands_the_records_on(facts: dict[str, str], seen: Any) -> None:
    states = [line.partition("=")[2].strip() for line in facts["plugins"].splitlines()]
    seen(facts["plugins"] or "no plugin")
    assert set(states) <= {"no"}


@pytest.mark.control("RHEL-AUDIT-15", "RHEL-AUDIT-16")
def test_configuration_and_records_are_roots(facts: dict[str, str], seen: Any) -> None:
    found = {line.split()[0]: line.split()[1:] for line in facts["modes"].splitlines()}
    seen(facts["modes"])
    assert {owner for _, owner in found.values()} == {"root:root"}
    assert found.pop("/var/log/audit")[0] == "700"
    assert found.pop("/var/log/audit/audit.log")[0] == "600"
    assert len(found) >= 4
    assert all(int(mode, 8) & ~0o640 == 0 for mode, _ in found.values())
