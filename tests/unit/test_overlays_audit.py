"""The overlays audit and time, rendered: rules that the kernel takes, and room for what they bring."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from rendered import lines, members, text, with_site

from builder.ask.plan import Plan, make_plan
from builder.make.overlay import Member

ROOT = Path(__file__).parents[2]
CONTROL = {"-D", "-b 8192", "--backlog_wait_time 60000", "-f 1", "--loginuid-immutable", "-e 2"}


@pytest.fixture(scope="module", params=["rhel-8.3", "laboratorio"])
def plan(request: pytest.FixtureRequest) -> Plan:
    return make_plan("clasificado", None, request.param)


@pytest.fixture(scope="module")
def rules(tree: dict[str, Member]) -> list[str]:
    return [
        rule
        for path, member in tree.items()
        if path.startswith("/etc/audit/rules.d/")
        for rule in lines((member.content or b"").decode())
    ]


def test_audit_files_fit_their_partition(plan: Plan, tree: dict[str, Member]) -> None:
    pairs = (line.partition(" = ") for line in lines(text(tree, plan, "/etc/audit/auditd.conf")))
    conf = {name: value for name, _, value in pairs}
    size = next(mount.size_mib for mount in plan.profile.mounts if mount.path == "/var/log/audit")
    kept = int(conf["max_log_file"]) * int(conf["num_logs"])
    assert int(conf["num_logs"]) <= 99, "older auditd takes no more"
    assert kept + int(conf["space_left"]) < size
    assert int(conf["admin_space_left"]) < int(conf["space_left"])


def test_audit_rules_are_well_formed(rules: list[str]) -> None:
    assert [rule for rule in rules if rules.count(rule) > 1] == []
    assert set(rules) >= CONTROL
    watch = re.compile(r"-w (/[\w./-]+) -p [rwxa]+ -k [\w-]+")
    call = re.compile(
        r"-a always,exit( -F arch=b(32|64) -S [a-z0-9_,]+)?( -C [ug]id!=e[ug]id)?"
        r"( -F [a-z]+(=|!=|>=)[\w./-]+)* -F key=[\w-]+"
    )
    wrong = [
        rule
        for rule in rules
        if rule not in CONTROL and not watch.fullmatch(rule) and not call.fullmatch(rule)
    ]
    assert wrong == []
    both = [rule for rule in rules if "arch=b64" in rule]
    assert [rule for rule in both if rule.replace("b64", "b32") not in rules] == []


@pytest.mark.skipif(shutil.which("auditctl") is None, reason="auditctl is not installed")
def test_auditctl_reads_every_rule(rules: list[str]) -> None:
    """In a namespace of its own, where it may change nothing: it complains of the rule, or of its rights."""
    for rule in rules:
        if rule in CONTROL:
            continue
        argv = ["unshare", "--map-root-user", "auditctl", *rule.split()]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        said = done.stdout + done.stderr
        assert re.search(r"audit system is disabled|Operation not permitted|Connection refused", said), (
            f"{rule}: {said}"
        )


@pytest.fixture
def found(tmp_path: Path) -> list[str]:
    """The rules that the installation writes, from a system of three programs."""
    for folder in ("bin", "etc/audit/rules.d", "usr/bin"):
        (tmp_path / folder).mkdir(parents=True)
    for name, mode in (("sudo", 0o4111), ("crontab", 0o2755), ("ls", 0o755)):
        (tmp_path / "usr/bin" / name).write_text("")
        (tmp_path / "usr/bin" / name).chmod(mode)
    script = (ROOT / "overlays/audit/apply.sh").read_text(encoding="utf-8")
    script = script.replace("/etc/audit", f"{tmp_path}/etc/audit").replace("find / ", f"find {tmp_path} ")
    script = script.replace("path=/usr", f"path={tmp_path}/usr")
    for _ in range(2):  # again gives the same
        subprocess.run(["/bin/sh"], input=script, text=True, check=True, env=os.environ)
    written = tmp_path / "etc/audit/rules.d/35-forja-privilegiados.rules"
    assert written.stat().st_mode & 0o777 == 0o640
    return [rule.replace(str(tmp_path), "") for rule in lines(written.read_text())]


def test_programs_with_rights_are_found(found: list[str], rules: list[str]) -> None:
    assert found == [
        f"-a always,exit -F path=/usr/bin/{name} -F perm=x -F auid>=1000 -F auid!=unset -F key=privileged"
        for name in ("crontab", "sudo")
    ]
    assert not set(found) & set(rules), "auditctl stops at a rule that is there already"


def test_no_privileged_program_has_a_rule_of_its_own(rules: list[str]) -> None:
    """What may have setuid or setgid on RHEL 8.3 is left to the installation: a rule twice stops auditctl."""
    setuid = "sudo su passwd chage gpasswd newgrp mount umount crontab pkexec write at chfn chsh ssh-agent"
    named = {match[1] for rule in rules if (match := re.search(r"path=\S*/([\w-]+)", rule))}
    assert not named & {*setuid.split(), "unix_chkpwd", "pam_timestamp_check", "postdrop", "postqueue"}


def test_clock_with_and_without_servers(tmp_path: Path) -> None:
    several = with_site(tmp_path, ('["10.20.53.123"]', '["10.20.53.123", "hora.ejemplo.es"]'))
    asked = lines(text(members(several), several, "/etc/chrony.conf"))
    assert asked[:2] == ["server 10.20.53.123 iburst", "server hora.ejemplo.es iburst"]
    none = with_site(tmp_path, ('servers = ["10.20.53.123"]', "servers = []"))
    rest = lines(text(members(none), none, "/etc/chrony.conf"))
    assert not [line for line in rest if line.startswith(("server", "pool", "refclock"))]
    assert {"port 0", "cmdport 0"} <= set(asked) & set(rest)
