"""The overlay aide, rendered: what it watches, and that AIDE reads it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from rendered import lines, text

from builder.ask.plan import Plan, make_plan
from builder.make.overlay import Member

ROOT = Path(__file__).parents[2]
AIDE_0_16 = {
    "p",
    "ftype",
    "i",
    "l",
    "n",
    "u",
    "g",
    "s",
    "b",
    "m",
    "a",
    "c",
    "S",
    "acl",
    "selinux",
    "xattrs",
    "md5",
    "sha1",
    "sha256",
    "sha512",
    "rmd160",
    "tiger",
}
"""Attributes of aide.conf(5) in RHEL 8.3's build."""


@pytest.fixture(scope="module", params=["rhel-8.3", "laboratorio"])
def plan(request: pytest.FixtureRequest) -> Plan:
    return make_plan("clasificado", None, request.param)


def watched(rules: list[str], path: str) -> str | None:
    """Return the group that a path is watched with, as AIDE decides: exceptions, then the longer rule."""
    names = [rule.removeprefix("!") for rule in rules if rule.startswith("!")]
    if any(re.match(name, path) for name in names):
        return None
    found = [rule.split() for rule in rules if rule.startswith("/") and re.match(rule.split()[0], path)]
    return max(found, key=lambda rule: len(rule[0]))[1] if found else None


def test_what_is_watched_and_what_is_not(plan: Plan, tree: dict[str, Member]) -> None:
    rules = lines(text(tree, plan, "/etc/aide.conf"))
    whole = (
        *("/boot/vmlinuz-4.18.0-240.el8.x86_64", "/boot/efi/EFI/redhat/grub.cfg", "/boot/grub2/user.cfg"),
        *("/etc/passwd", "/etc/postfix/main.cf", "/etc/ssh/ssh_host_ed25519_key", "/etc/pam.d/sshd"),
        *("/usr/bin/sudo", "/usr/sbin/postfix", "/usr/libexec/forja/integridad", "/usr/lib64/libc-2.28.so"),
        *("/usr/lib/modules/4.18.0-240.el8.x86_64/kernel/fs/xfs/xfs.ko.xz", "/usr/local/bin/x"),
        *("/etc/shadow.d", "/usr/lib/forja/primer-arranque.d/90-integridad"),
    )
    assert {path: watched(rules, path) for path in whole} == dict.fromkeys(whole, "FIJO")
    assert watched(rules, "/etc/shadow") == watched(rules, "/etc/passwd-") == "PERMISOS"
    for path in (
        *("/boot/grub2/grubenv", "/etc/resolv.conf", "/etc/adjtime", "/etc/.updated", "/usr/lib/firmware/x"),
        *("/usr/lib/python3.6/site-packages/__pycache__/x.pyc", "/var/log/messages", "/home/x"),
    ):
        assert watched(rules, path) is None, path


def test_attributes_are_aide_0_16s(plan: Plan, tree: dict[str, Member]) -> None:
    rules = lines(text(tree, plan, "/etc/aide.conf"))
    groups = [rule.split(" = ")[1].split("+") for rule in rules if " = " in rule]
    assert len(groups) == 2
    assert set().union(*groups) <= AIDE_0_16
    assert {"sha512", "p", "u", "g", "selinux"} <= set(groups[0])
    options = {rule.split("=")[0] for rule in rules if re.match(r"[a-z_]+=", rule)}
    assert options == {"database", "database_out", "gzip_dbout", "report_url"}


@pytest.mark.skipif(shutil.which("aide") is None, reason="aide is not installed")
def test_aide_reads_its_configuration(plan: Plan, tree: dict[str, Member], tmp_path: Path) -> None:
    (tmp_path / "aide.conf").write_text(text(tree, plan, "/etc/aide.conf"))
    argv = ["aide", f"--config={tmp_path}/aide.conf", "--config-check"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_data_base_is_the_last_that_is_made() -> None:
    seal = (ROOT / "kickstarts/scripts/seal.sh").read_text(encoding="utf-8")
    after = seal[seal.index("integridad inicial") :]
    assert not re.search(r"^\s*(rm|chmod|chown|find|: >|cp|mv|sed)\b", after, re.MULTILINE)


def test_what_the_first_boot_makes_is_taken_over_last(tree: dict[str, Member]) -> None:
    steps = sorted(path for path in tree if path.startswith("/usr/lib/forja/primer-arranque.d/"))
    assert len(steps) >= 4
    assert steps[-1].endswith("/90-integridad")
