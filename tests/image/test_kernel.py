"""The kernel as it runs: its settings, wherever they come from, and what it refuses to load."""

from __future__ import annotations

import re
from typing import Any

import pytest
from facts import ask, unlike

EVERYWHERE = ("all", "default", "eth0")
SYSCTL = {
    "RHEL-SYSCTL-01": {
        "net.ipv4.ip_forward": "0",
        "net.ipv6.conf.all.forwarding": "0",
        **{
            f"net.ipv4.conf.{which}.{key}": "0"
            for which in EVERYWHERE
            for key in ("send_redirects", "accept_redirects", "secure_redirects")
        },
        **{f"net.ipv6.conf.{which}.accept_redirects": "0" for which in EVERYWHERE},
    },
    "RHEL-SYSCTL-02": {
        f"net.{family}.conf.{which}.accept_source_route": "0"
        for family in ("ipv4", "ipv6")
        for which in EVERYWHERE
    },
    "RHEL-SYSCTL-03": {
        f"net.ipv4.conf.{which}.{key}": "1" for which in EVERYWHERE for key in ("rp_filter", "log_martians")
    },
    "RHEL-SYSCTL-04": {
        "net.ipv4.tcp_syncookies": "1",
        "net.ipv4.tcp_rfc1337": "1",
        "net.ipv4.icmp_echo_ignore_broadcasts": "1",
        "net.ipv4.icmp_ignore_bogus_error_responses": "1",
    },
    "RHEL-SYSCTL-06": {
        "kernel.kptr_restrict": "2",
        "kernel.dmesg_restrict": "1",
        "kernel.perf_event_paranoid": "2",
        "kernel.yama.ptrace_scope": "2",
    },
    "RHEL-SYSCTL-07": {"fs.suid_dumpable": "0", "kernel.core_pattern": "|/bin/false"},
    "RHEL-SYSCTL-08": {"kernel.randomize_va_space": "2", "vm.mmap_min_addr": "65536"},
    "RHEL-SYSCTL-09": {
        "kernel.unprivileged_bpf_disabled": "1",
        "net.core.bpf_jit_harden": "2",
        "user.max_user_namespaces": "0",
        "kernel.kexec_load_disabled": "1",
        "kernel.sysrq": "0",
    },
    "RHEL-SYSCTL-10": {"fs.protected_hardlinks": "1", "fs.protected_symlinks": "1"},
}
IPV6 = {
    **{f"net.ipv6.conf.{which}.disable_ipv6": "1" for which in (*EVERYWHERE, "lo")},
    **{f"net.ipv6.conf.{which}.accept_ra": "0" for which in EVERYWHERE},
}
SINCE_4_19 = {"fs.protected_fifos": "2", "fs.protected_regular": "2"}

MODULES = {
    "RHEL-MODULE-01": ("cramfs", "freevxfs", "jffs2", "hfs", "hfsplus", "squashfs", "udf"),
    "RHEL-MODULE-02": (
        *("dccp", "sctp", "rds", "tipc", "can", "atm", "ax25", "netrom", "rose", "x25"),
        *("l2tp_core", "vsock"),
    ),
    "RHEL-MODULE-03": ("usb-storage", "uas", "firewire-core", "thunderbolt", "floppy"),
    "RHEL-MODULE-04": ("nfs", "nfsd", "nfsv3", "nfsv4", "lockd", "cifs", "ceph", "gfs2", "fuse"),
    "RHEL-MODULE-05": ("bluetooth", "cfg80211", "mac80211"),
}
ALIASES = ("fs-nfsd", "fs-nfs4", "fs-udf", "fs-squashfs", "net-pf-2-proto-132", "net-pf-40", "bt-proto-0")
"""What the kernel itself asks for, when somebody mounts one of these or opens such a socket."""

FOLDERS = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d")


def by_control(table: dict[str, Any]) -> list[Any]:
    return [pytest.param(value, id=name, marks=pytest.mark.control(name)) for name, value in table.items()]


@pytest.fixture(scope="module")
def facts(host: Any) -> dict[str, str]:
    names = " ".join(name for table in (*SYSCTL.values(), IPV6, SINCE_4_19) for name in table)
    modules = " ".join(name for group in MODULES.values() for name in group)
    return ask(
        host,
        {
            "sysctl": f"sysctl -e {names}",
            "missing": f"ls /proc/sys/{' /proc/sys/'.join(name.replace('.', '/') for name in SINCE_4_19)}",
            "files": f"grep -sE '^[^#;]*=' $(ls {' '.join(f'{folder}/*.conf' for folder in FOLDERS)}"
            " 2> /dev/null) /etc/sysctl.conf",
            "modules": f"for m in {modules}; do echo $m: $(modprobe -n -v $m); done",
            # For good: what "install" says does not hold for a module with a softdep, such as nfsd.
            "tried": f"for m in {modules} {' '.join(ALIASES)};"
            " do modprobe -q $m && echo $m: loaded; done; true",
            "loaded": "cut -d' ' -f1 /proc/modules",
            "radio": "for s in bluetoothd wpa_supplicant iwd iw iwconfig; do command -v $s; done;"
            " ls -d /sys/class/net/*/wireless /sys/class/bluetooth/* /sys/class/rfkill/* 2> /dev/null; true",
            "limits": "systemctl show -p DefaultLimitCORE; systemctl show -p LimitCORE rsyslog; ulimit -Hc;"
            " for p in $(pidof rsyslogd); do grep 'core file' /proc/$p/limits; done",
            "dumps": "ls /var/lib/systemd/coredump 2> /dev/null; true",
        },
    )


@pytest.fixture(scope="module")
def sysctl(facts: dict[str, str]) -> dict[str, str]:
    return dict(line.split(" = ", 1) for line in facts["sysctl"].splitlines() if " = " in line)


@pytest.mark.parametrize("expected", by_control(SYSCTL))
def test_kernel_settings_in_force(expected: dict[str, str], sysctl: dict[str, str], seen: Any) -> None:
    seen("; ".join(f"{name} = {sysctl.get(name, 'missing')}" for name in expected))
    assert not unlike(expected, sysctl)


@pytest.mark.control("RHEL-SYSCTL-05")
def test_ipv6_is_as_the_site_has_it(plan: Any, sysctl: dict[str, str], seen: Any) -> None:
    off = "0" if plan.site.network.ipv6 else "1"
    expected = {name: off if name.endswith("disable_ipv6") else value for name, value in IPV6.items()}
    seen("; ".join(f"{name} = {sysctl.get(name, 'missing')}" for name in expected))
    assert not unlike(expected, sysctl)


@pytest.mark.control("RHEL-SYSCTL-10")
def test_pipes_and_files_of_others(facts: dict[str, str], sysctl: dict[str, str], seen: Any) -> None:
    if facts["missing"].count("No such file") == len(SINCE_4_19):
        pytest.skip("El núcleo no tiene fs.protected_fifos ni fs.protected_regular.")
    seen("; ".join(f"{name} = {sysctl.get(name, 'missing')}" for name in SINCE_4_19))
    assert not unlike(SINCE_4_19, sysctl)


@pytest.mark.control("RHEL-SYSCTL-11")
def test_no_other_file_has_the_last_word(facts: dict[str, str], seen: Any) -> None:
    """As systemd-sysctl reads them: by file name, and of files with one name the first folder's only."""
    last: dict[str, tuple[str, str]] = {}
    texts: dict[str, dict[str, list[str]]] = {}
    for line in facts["files"].splitlines():
        path, _, text = line.partition(":")
        folder, _, name = path.rpartition("/")
        texts.setdefault(name, {}).setdefault(folder, []).append(text)
    ours = "zz-forja.conf"
    assert ours in texts
    for name in sorted(texts.keys() - {"sysctl.conf"}):
        folder = next(folder for folder in FOLDERS if folder in texts[name])
        for text in texts[name][folder]:
            key, _, value = text.partition("=")
            last[key.strip().lstrip("-").replace("/", ".")] = (name, value.strip())
    # procps reads this one after all others.
    after = texts.get("sysctl.conf", {})
    seen(f"files: {sorted(texts)}; {sum(name == ours for name, _ in last.values())} settings are from {ours}")
    mine = {text.partition("=")[0].strip() for lines in texts[ours].values() for text in lines}
    assert len(mine) > 50
    assert [f"{key}: {last[key]}" for key in sorted(mine) if last[key][0] != ours] == []
    assert not after


@pytest.mark.control("RHEL-SYSCTL-07")
def test_services_dump_no_core(facts: dict[str, str], seen: Any) -> None:
    seen(f"{facts['limits']}; dumps: {facts['dumps'] or 'none'}")
    lines = facts["limits"].splitlines()
    assert lines[:2] == ["DefaultLimitCORE=0", "LimitCORE=0"]
    assert re.search(r"Max core file size\s+0\s+0\b", facts["limits"])
    assert facts["dumps"] == ""


@pytest.mark.parametrize("modules", by_control(MODULES))
def test_modules_can_not_be_loaded(modules: tuple[str, ...], facts: dict[str, str], seen: Any) -> None:
    found = dict(line.split(":", 1) for line in facts["modules"].splitlines())
    loaded = set(facts["loaded"].splitlines())
    tried = {line.partition(":")[0] for line in facts["tried"].splitlines()}
    seen("; ".join(f"{name}:{found.get(name)}" for name in modules))
    assert [name for name in modules if "install /bin/false" not in found.get(name, "")] == []
    assert not {name.replace("-", "_") for name in modules} & loaded
    assert not set(modules) & tried


@pytest.mark.control("RHEL-MODULE-02", "RHEL-MODULE-04")
def test_aliases_lead_to_nothing(facts: dict[str, str], seen: Any) -> None:
    tried = {line.partition(":")[0] for line in facts["tried"].splitlines()}
    refused = {name.replace("-", "_") for group in MODULES.values() for name in group}
    seen(f"tried: {', '.join(ALIASES)}; loaded: {sorted(tried & set(ALIASES)) or 'none'}")
    assert not refused & set(facts["loaded"].splitlines())


@pytest.mark.control("RHEL-MODULE-05")
def test_no_radio(facts: dict[str, str], seen: Any) -> None:
    seen(facts["radio"] or "no program, no interface")
    assert facts["radio"] == ""
