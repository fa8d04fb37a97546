"""Postfix as it is set up and runs (CCN-STIC-681, 4 to 6.5.2); what its clients see: test_postfix_*.py."""

from __future__ import annotations

import csv
import re
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from smtp import ARRIVE, Facts, await_line, await_queued, held, look, read_main_cf, secure, send, talk

from builder.ask.plan import Plan
from builder.ask.reading import REPOSITORY

if TYPE_CHECKING:
    from conftest import Guest

Seen = Callable[[object], None]

JAIL = "/var/spool/postfix"
JAILED = {
    "postscreen", "smtpd", "dnsblog", "tlsproxy", "smtp", "lmtp", "pickup", "cleanup", "qmgr", "tlsmgr",
    "trivial-rewrite", "bounce", "verify", "flush", "showq", "error", "discard", "anvil", "scache",
}  # fmt: skip
FREE = {"local", "virtual", "proxymap"}


def free(plan: Plan) -> set[str]:
    """Return the daemons that can't be jailed; spawn(8) runs a program that is none of Postfix's."""
    return FREE | ({"spawn"} if plan.has("spf") else set())


@pytest.fixture(scope="module")
def facts(plan: Plan, host: Any) -> Facts:
    """What one look at the machine tells."""
    daemons = plan.platform.path("/usr/libexec/postfix")
    units = " ".join(plan.platform.service(unit) for unit in ("postfix", "saslauthd"))
    libraries = (
        f"for lib in {JAIL}/lib64/*; do LD_PRELOAD=$lib /bin/true;"
        " own=$(find -H /lib64 /lib/x86_64-linux-gnu -name ${lib##*/} 2>/dev/null | head -n 1);"
        ' cmp "$lib" "$own"; done'
    )
    queue = "active bounce corrupt defer deferred flush hold incoming maildrop pid private public saved trace"
    return look(
        host,
        {
            "services": "postconf -M 2>/dev/null",
            "options": "postconf -P 2>/dev/null",
            "said": "{ postconf -n; postconf -M; postconf -P; } 2>&1 >/dev/null",
            # Without a terminal it tells syslog only.
            "check": "script -qec 'postfix check' /dev/null | tr -d '\\r'",
            "modes": "stat -c '%a %U:%G %n' /etc/postfix /etc/postfix/main.cf /etc/postfix/master.cf",
            "writable": "find /etc/postfix \\( ! -user root -o -perm /022 \\) ! -type l",
            "queue": f"cd {JAIL}; stat -c '%a %U:%G %n' . {queue} /var/lib/postfix",
            "setgid": f"find /usr/sbin/post* {daemons} -perm /6000 -printf '%m %u:%g %p\\n'",
            "listening": "ss -Hlntu | awk '{print $1, $5}'",
            "jail": f"cd {JAIL}; find etc lib64 run -mindepth 1 -printf '%y %m %u:%g %P\\n'",
            "folders": f"ls {JAIL}",
            "differ": f"cd {JAIL}/etc; for file in *; do cmp $file /etc/$file; done",
            "mount": f"findmnt -rno TARGET,OPTIONS {JAIL}/lib64",
            "libraries": libraries,
            "noexec": f"cd {JAIL}/pid; cp ../lib64/libnss_files.so.2 try.so;"
            " LD_PRELOAD=$PWD/try.so /bin/true; rm try.so",
            "mta": "readlink -f /usr/sbin/sendmail;"
            " ls /usr/sbin/exim* /usr/sbin/sendmail.sendmail /usr/bin/esmtp 2>/dev/null",
            "units": f"systemctl is-enabled {units}; systemctl is-active {units}",
            "aliases": "for name in postmaster root abuse hostmaster mailer-daemon; do"
            " echo $name $(postalias -q $name hash:/etc/aliases); done;"
            " [ ! /etc/aliases -nt /etc/aliases.db ] || echo aliases.db is older",
            "versionlock": "grep -v '^#' /etc/dnf/plugins/versionlock.list",
            "logs": "stat -c '%a %U:%G %n' /var/log/maillog /var/log/maillog.err",
            "rotation": "logrotate -d /etc/logrotate.conf",
        },
    )


@pytest.fixture(scope="module")
def main_cf(host: Any) -> dict[str, str]:
    return read_main_cf(host)


@pytest.mark.control("CCN681-4-01")
def test_lock_names_the_version(facts: Facts, seen: Seen) -> None:
    seen(facts["versionlock"])
    assert facts["versionlock"] == ["postfix-2:3.3.1-12.el8_3.1.*"]


@pytest.mark.control("CCN681-6.3-01")
def test_postfix_is_the_only_mta(plan: Plan, facts: Facts, seen: Seen) -> None:
    seen(facts["mta"])
    assert facts["mta"] == [plan.platform.path("/usr/sbin/sendmail.postfix")]


@pytest.mark.control("CCN681-6.3.4-01")
def test_services_are_the_needed_ones(plan: Plan, facts: Facts, seen: Seen) -> None:
    commands = {line.split()[7] for line in facts["services"]}
    network = {
        tuple(line.split()[i] for i in (0, 1, 7)) for line in facts["services"] if line.split()[1] != "unix"
    }
    seen(sorted(commands))
    assert commands == JAILED | free(plan)
    assert network == {
        ("smtp", "inet", "postscreen"),
        ("smtpd", "pass", "smtpd"),
        ("submission", "inet", "smtpd"),
    } | ({("127.0.0.1:10025", "inet", "smtpd")} if plan.has("amavis") else set())


@pytest.mark.control("CCN681-6.3.5-01")
def test_setgid_programs(facts: Facts, seen: Seen) -> None:
    seen(facts["setgid"])
    wanted = [f"root:postdrop /usr/sbin/{name}" for name in ("postdrop", "postqueue")]
    assert sorted(line.split(" ", 1)[1] for line in facts["setgid"]) == wanted
    assert {line.split()[0] for line in facts["setgid"]} <= {"2755", "2555"}


@pytest.mark.control("CCN681-6.3.5-02")
def test_others_can_neither_submit_nor_see_the_queue(host: Any, seen: Seen) -> None:
    tries = (
        "postqueue -p",
        "postqueue -f",
        "sendmail -t </dev/null",
        "printf 'To: root\\n\\n' | sendmail -t",
    )
    for command in (tries[0], tries[1], tries[3]):
        done = host.run(f"cd /; runuser -u nobody -- sh -c {command!r}".replace("\\\\n", "\\n"))
        seen(f"{command}: {done.rc} {done.stderr.strip()}")
        assert done.rc != 0
        assert "not allowed" in done.stderr


@pytest.mark.control("CCN681-6.4-01")
def test_configuration_belongs_to_root(facts: Facts, seen: Seen) -> None:
    seen(facts["modes"])
    assert facts["modes"] == [
        "755 root:root /etc/postfix",
        "644 root:root /etc/postfix/main.cf",
        "644 root:root /etc/postfix/master.cf",
    ]
    assert facts["writable"] == []


@pytest.mark.control("CCN681-6.4-02")
def test_every_parameter_exists_in_3_3_1(facts: Facts, main_cf: dict[str, str], seen: Seen) -> None:
    table = REPOSITORY / "overlays" / "postfix" / "parameters-3.3.1.tsv"
    with table.open() as file:
        known = {row["parameter"] for row in csv.DictReader(file, delimiter="\t")}
    options = {re.split(r"[/=\s]+", line)[2] for line in facts["options"]}
    seen(f"{len(main_cf)} + {len(options)} parameters; postconf says: {facts['said']}")
    # A time limit of a service that spawn(8) runs is named after it, and in no table.
    spawned = {f"{line.split()[0]}_time_limit" for line in facts["services"] if line.split()[7] == "spawn"}
    assert (set(main_cf) | options) - known - spawned == set()
    assert len(main_cf) > 100
    assert facts["said"] == []


@pytest.mark.control("CCN681-6.4-03")
def test_postfix_check_is_silent(facts: Facts, seen: Seen) -> None:
    complaints = [line for line in facts["check"] if re.search(r"warning:|error:|fatal:|panic:", line)]
    seen(complaints or "no complaint")
    assert complaints == []


@pytest.mark.control("CCN681-6.4-04")
def test_queue_has_its_owners(facts: Facts, seen: Seen) -> None:
    seen(facts["queue"])
    modes = {line.split()[2]: " ".join(line.split()[:2]) for line in facts["queue"]}
    assert len(modes) == 16
    for name, mode in modes.items():
        if name in {".", "pid"}:
            assert mode == "755 root:root", name
        elif name == "maildrop":
            assert mode in {"730 postfix:postdrop", "1730 postfix:postdrop"}
        elif name == "public":
            assert mode in {"710 postfix:postdrop", "2710 postfix:postdrop"}
        else:
            assert re.fullmatch(r"700 postfix:(root|postfix)", mode), name


@pytest.mark.control("CCN681-6.4.1-01")
def test_name_of_the_server(plan: Plan, host: Any, main_cf: dict[str, str], seen: Seen) -> None:
    name = host.check_output("hostname -f || hostname")
    seen(f"{name}; {main_cf['myhostname']}; {main_cf['mydomain']}")
    assert main_cf["myhostname"] == plan.site.host.name == name
    assert main_cf["mydomain"] == plan.site.mail.domain


@pytest.mark.control("CCN681-6.4.2-01")
def test_delivery_goes_where_the_site_says(plan: Plan, main_cf: dict[str, str], seen: Seen) -> None:
    seen(main_cf["relayhost"] or "(direct)")
    assert main_cf["relayhost"] == (plan.site.mail.relayhost or "")


@pytest.mark.control("CCN681-6.4.4-01")
def test_aliases_end_at_the_administrator(
    plan: Plan, host: Any, guest: Guest, facts: Facts, seen: Seen
) -> None:
    admin = plan.site.admin.user
    assert facts["aliases"] == [
        f"postmaster {admin}", "root postmaster", "abuse postmaster", "hostmaster postmaster",
        "mailer-daemon postmaster",
    ]  # fmt: skip
    token = uuid.uuid4().hex
    with secure(guest, 25, "relay") as smtp:
        code, text = send(smtp, f"Subject: {token}\n\nprueba", to=f"postmaster@{plan.site.host.name}")
    assert code == 250, text
    found = await_line(host, f"grep -l {token} /var/mail/{admin}", ARRIVE)
    seen(f"{facts['aliases']}; delivered to {found}")
    assert found == f"/var/mail/{admin}"


@pytest.mark.control("CCN681-6.4.4-02")
def test_notices_go_to_postmaster(main_cf: dict[str, str], seen: Seen) -> None:
    names = (
        "notify_classes",
        "error_notice_recipient",
        "bounce_notice_recipient",
        "2bounce_notice_recipient",
    )
    seen([f"{name} = {main_cf[name]}" for name in names])
    assert [main_cf[name] for name in names] == [
        "resource, software",
        "postmaster",
        "postmaster",
        "postmaster",
    ]


@pytest.mark.control("CCN681-6.5-21")
def test_services_run_and_start_by_themselves(facts: Facts, seen: Seen) -> None:
    seen(facts["units"])
    assert facts["units"] == ["enabled", "enabled", "active", "active"]


@pytest.mark.control("CCN681-6.5-22")
def test_master_runs_in_systemds_sandbox(host: Any, seen: Seen) -> None:
    script = (
        "pid=$(head -n 1 /var/spool/postfix/pid/master.pid); pid=$(echo $pid); grep CapBnd /proc/$pid/status;"
        " awk '{print $5, $6}' /proc/$pid/mountinfo"
    )
    capabilities, *mounts = host.check_output(script).splitlines()
    bounding = int(capabilities.split()[1], 16)
    options = dict(line.split() for line in mounts)
    seen(f"{capabilities}; " + "; ".join(f"{path} {options.get(path)}" for path in ("/usr", "/etc", "/home")))
    for name, bit in {
        "net_admin": 12,
        "net_raw": 13,
        "sys_module": 16,
        "sys_ptrace": 19,
        "sys_admin": 21,
    }.items():
        assert not bounding >> bit & 1, name
    for path in ("/usr", "/etc", "/home", "/root", "/proc/sys"):
        assert "ro" in options[path].split(","), path


@pytest.mark.control("CCN681-6.5.5-20")
def test_nothing_else_listens(plan: Plan, facts: Facts, seen: Seen) -> None:
    listening = {(line.split()[0], int(line.rpartition(":")[2])) for line in facts["listening"]}
    seen(facts["listening"])
    assert listening == {(port.protocol, port.port) for port in plan.ports}


@pytest.fixture(scope="module")
def relayed(guest: Guest) -> str:
    """Send a message through the relay; return its identifier."""
    token = uuid.uuid4().hex
    with secure(guest, 25, "relay") as smtp:
        code, text = send(smtp, f"Subject: prueba\nMessage-ID: <{token}@ejemplo.org>\n\nprueba")
    assert code == 250, text
    return token


@pytest.mark.control("CCN681-6.5-29")
def test_accepted_message_is_in_the_queue(host: Any, guest: Guest, seen: Seen) -> None:
    token = uuid.uuid4().hex
    with held(host):
        with secure(guest, 25, "relay") as smtp:
            code, text = send(smtp, f"Subject: {token}\n\nprueba")
        found = await_queued(host, token)
    seen(f"{code} {text}; {found.splitlines()[:1]}")
    assert code == 250
    assert f"Subject: {token}" in found


@pytest.mark.control("CCN681-6.5.1-01", "CCN681-6.5.1-04")
def test_logs_arrive_once(host: Any, seen: Seen) -> None:
    normal, error = uuid.uuid4().hex, uuid.uuid4().hex
    last = uuid.uuid4().hex
    host.check_output(
        f"logger -p mail.info -t postfix/prueba {normal}; logger -p mail.err -t postfix/prueba {error};"
        f" sleep 1; logger -p mail.info -t postfix/prueba {last}"
    )
    # rsyslog writes a batch of lines file by file: once a later one is there, those are wherever they go.
    await_line(host, f"grep {last} /var/log/maillog")
    exclude = "--exclude=secure --exclude=sudo.log"  # where sudo records the commands of this very test
    count = f"grep -rIc --exclude-dir=journal --exclude-dir=audit {exclude} {{}} /var/log | grep -v ':0$'"
    places = [set(host.run(count.format(token)).stdout.split()) for token in (normal, error)]
    seen(places)
    assert places == [{"/var/log/maillog:1"}, {"/var/log/maillog.err:1", "/var/log/maillog:1"}]


@pytest.mark.control("CCN681-6.5.1-02")
def test_logs_are_roots_alone(facts: Facts, seen: Seen) -> None:
    seen(facts["logs"])
    assert facts["logs"] == ["600 root:root /var/log/maillog", "600 root:root /var/log/maillog.err"]


@pytest.mark.control("CCN681-6.5.1-03")
def test_logs_rotate(plan: Plan, facts: Facts, seen: Seen) -> None:
    rotation = facts["rotation"]
    ours = [line for line in rotation if line.startswith("rotating pattern: /var/log/maillog ")]
    seen(ours)
    assert len(ours) == 1
    assert "after 1 days" in ours[0]
    assert f"({plan.profile.values.log_days} rotations)" in ours[0]
    assert [line for line in rotation if line.startswith("error:")] == []


@pytest.mark.control("CCN681-6.5.2-01")
def test_network_daemons_run_in_the_jail(
    plan: Plan, host: Any, guest: Guest, relayed: str, facts: Facts, seen: Seen
) -> None:
    flags = {(line.split()[7], line.split()[4]) for line in facts["services"]}
    assert flags == {(name, "y") for name in JAILED} | {(name, "n") for name in free(plan)}
    folder = plan.platform.path("/usr/libexec/postfix")
    with talk(guest, 25, "relay"):
        said = host.check_output(
            "for process in /proc/[0-9]*; do exe=$(readlink $process/exe) || continue; case $exe in"
            f" {folder}/*) root=$(readlink $process/root) && user=$(stat -c %U $process)"
            " && echo $exe $root $user;; esac; done; :"  # not what ends meanwhile
        )
    running = {(exe.rpartition("/")[2], root, user) for exe, root, user in map(str.split, said.splitlines())}
    seen(sorted(running))
    names = {name for name, _, _ in running}
    assert {"smtpd", "postscreen", "cleanup", "qmgr", "pickup"} <= names
    assert {(name, root, user) for name, root, user in running if name in JAILED} == {
        (name, JAIL, "postfix") for name in names & JAILED
    }
    assert names - JAILED <= free(plan) | {"master"}


@pytest.mark.control("CCN681-6.5.2-02", "CCN681-6.2-02")
def test_jail_holds_just_what_is_needed(facts: Facts, seen: Seen) -> None:
    seen(facts["folders"] + facts["jail"] + facts["differ"])
    etc = {line.split()[3] for line in facts["jail"] if line.startswith("f 644 root:root ")}
    assert {"hosts", "localtime", "nsswitch.conf", "resolv.conf", "services"} <= etc
    assert facts["differ"] == []
    assert not set(facts["folders"]) & {"bin", "dev", "lib", "proc", "sbin", "usr", "tmp"}


@pytest.mark.control("CCN681-6.5.2-02")
def test_jail_follows_the_system(host: Any, seen: Seen) -> None:
    host.check_output("echo '# forja: prueba' >> /etc/hosts")
    try:
        found = await_line(host, f"grep -x '# forja: prueba' {JAIL}/etc/hosts")
        await_line(host, "systemctl is-active forja-jaula.service | grep -x inactive")
    finally:
        host.check_output("sed -i '/^# forja: prueba$/d' /etc/hosts")
    gone = await_line(host, f"grep -qx '# forja: prueba' {JAIL}/etc/hosts || echo gone")
    seen(f"{found}: {gone}")
    assert (found, gone) == ("# forja: prueba", "gone")


@pytest.mark.control("CCN681-6.5.2-03")
def test_name_service_libraries_load_in_the_jail(facts: Facts, seen: Seen) -> None:
    target, options = facts["mount"][0].split()
    seen(f"{facts['mount']}; {facts['libraries']}; {facts['noexec']}")
    assert target == f"{JAIL}/lib64"
    assert {"ro", "nosuid", "nodev"} <= set(options.split(","))
    assert "noexec" not in options.split(",")
    libraries = [line.split()[3] for line in facts["jail"] if line.split()[0] == "f" and ".so." in line]
    assert {"libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2"} == set(libraries)
    assert facts["libraries"] == []  # they load, and equal the system's
    assert len(facts["noexec"]) == 1  # from the queue itself the same file does not
    assert "cannot be preloaded" in facts["noexec"][0]
