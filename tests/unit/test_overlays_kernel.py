"""The overlays kernel, boot and crypto, rendered: what the kernel is told, and in which order."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from rendered import lines, members, text, with_site

from builder.ask.plan import Plan, make_plan
from builder.make.kickstart import KERNEL_ARGUMENTS
from builder.make.overlay import Member

SYSCTL = "/etc/sysctl.d/zz-forja.conf"
CCN = {
    **{
        f"net.ipv4.conf.{which}.{key}": "0"
        for which in ("all", "default")
        for key in ("send_redirects", "accept_redirects", "secure_redirects", "accept_source_route")
    },
    **{
        f"net.ipv4.conf.{which}.{key}": "1"
        for which in ("all", "default")
        for key in ("log_martians", "rp_filter")
    },
    **{
        f"net.ipv6.conf.{which}.{key}": "0"
        for which in ("all", "default")
        for key in ("accept_source_route", "accept_redirects", "accept_ra")
    },
    "net.ipv4.icmp_ignore_bogus_error_responses": "1",
    "net.ipv4.icmp_echo_ignore_broadcasts": "1",
    "net.ipv4.tcp_syncookies": "1",
    "net.ipv4.ip_forward": "0",
    "fs.suid_dumpable": "0",
}
"""The kernel settings of CCN's series for RHEL."""

OTHERS = ("99-sysctl.conf", "99-protect-links.conf", "99-zzz.conf", "50-default.conf")
"""Files of RHEL and Debian, and the worst that a package would think of."""


@pytest.fixture(scope="module", params=["rhel-8.3", "laboratorio"])
def plan(request: pytest.FixtureRequest) -> Plan:
    return make_plan("clasificado", None, request.param)


def settings(content: str) -> dict[str, str]:
    pairs = [line.split(" = ", 1) for line in lines(content)]
    assert len({key for key, _ in pairs}) == len(pairs), "a setting is there twice"
    return dict(pairs)


def test_what_ccn_asks_of_the_kernel_is_set(plan: Plan, tree: dict[str, Member]) -> None:
    assert len(CCN) == 23
    assert settings(text(tree, plan, SYSCTL)).items() >= CCN.items()


def test_our_settings_come_last(tree: dict[str, Member]) -> None:
    names = [path.rsplit("/", 1)[1] for path in tree if "/sysctl.d/" in path]
    assert max([*names, *OTHERS]) == SYSCTL.rsplit("/", 1)[1]


def test_the_interface_itself_is_named(plan: Plan, tree: dict[str, Member]) -> None:
    """It is there, with the kernel's defaults, before sysctl sets those for interfaces to come."""
    found = settings(text(tree, plan, SYSCTL))
    for family in ("ipv4", "ipv6"):
        keys = {name.split(".")[-1] for name in found if name.startswith(f"net.{family}.conf.default.")}
        for key in keys - {"disable_ipv6"}:  # "all" reaches every interface
            assert found[f"net.{family}.conf.eth0.{key}"] == found[f"net.{family}.conf.default.{key}"]
    assert "net.ifnames=0" in KERNEL_ARGUMENTS.split()


def test_ipv6_is_the_sites_and_all_agree(tmp_path: Path) -> None:
    without = make_plan("clasificado", None, "rhel-8.3")
    having = with_site(tmp_path, ('dns = ["10.20.53.53"]', 'dns = ["10.20.53.53"]\nipv6 = true'))
    for plan, off, protocols in ((without, "1", "ipv4"), (having, "0", "all")):
        tree = members(plan)
        found = settings(text(tree, plan, SYSCTL))
        assert {found[f"net.ipv6.conf.{which}.disable_ipv6"] for which in ("all", "default", "lo")} == {off}
        assert {found[f"net.ipv6.conf.{which}.accept_ra"] for which in ("all", "default", "eth0")} == {"0"}
        assert f"inet_protocols = {protocols}\n" in text(tree, plan, "/etc/postfix/main.cf")
        zone = text(tree, plan, "/etc/firewalld/zones/drop.xml")
        assert ("neighbour-solicitation" in zone) == plan.site.network.ipv6
        assert ("::1 localhost" in text(tree, plan, "/etc/hosts")) == plan.site.network.ipv6


def test_refused_modules_are_refused_twice(plan: Plan, tree: dict[str, Member]) -> None:
    rules = lines(text(tree, plan, "/etc/modprobe.d/zz-forja.conf"))
    refused = [rule.split()[1] for rule in rules if rule.endswith(" /bin/false")]
    assert refused == [rule.split()[1] for rule in rules if rule.startswith("blacklist ")]
    assert len(rules) == 2 * len(refused)
    assert {"squashfs", "udf", "usb-storage"} <= set(refused), "of CCN's series"
    needed = {"vfat", "fat", "isofs", "loop", "xfs", "dm_mod", "hv_vmbus", "virtio_net", "af_packet", "ipv6"}
    assert not needed & set(refused)


@pytest.mark.skipif(shutil.which("modprobe") is None, reason="modprobe is not installed")
def test_modprobe_reads_what_is_refused(plan: Plan, tree: dict[str, Member], tmp_path: Path) -> None:
    (tmp_path / "zz-forja.conf").write_text(text(tree, plan, "/etc/modprobe.d/zz-forja.conf"))
    argv = ["modprobe", "-c", "-C", str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert "install usb_storage /bin/false" in done.stdout


def test_kernel_is_booted_with_its_defences() -> None:
    words = KERNEL_ARGUMENTS.split()
    assert {
        "audit=1",
        "audit_backlog_limit=8192",
        "page_poison=1",
        "vsyscall=none",
        "module.sig_enforce=1",
    } <= set(words)
    assert not [word for word in words if re.search(r"=off$|^no(pti|smap|smep|kaslr)", word)]


def test_no_service_may_dump_its_memory(plan: Plan, tree: dict[str, Member]) -> None:
    managers = [path for path in tree if path.startswith("/etc/systemd/system.conf.d/")]
    said = [line for path in managers for line in lines(text(tree, plan, path))]
    assert {"DefaultLimitCORE=0", "DumpCore=no", "CtrlAltDelBurstAction=none"} <= set(said)
    assert all(line.count("=") == 1 or line == "[Manager]" for line in said)
