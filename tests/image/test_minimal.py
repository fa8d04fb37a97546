"""What is not there, and what nobody but root may do."""

from __future__ import annotations

from typing import Any

import pytest
from facts import ask

DESKTOP = "Xorg X gnome-shell gdm sddm lightdm startx dconf-service"
NAMED = (
    "gcc g++ cpp make clang rustc go as ld telnet ypbind tftp ftp in.rshd automount udisksctl"
    " wpa_supplicant iwconfig ModemManager bluetoothd cups-browsed cupsd avahi-daemon rpcbind"
)
PLACES = (
    "/usr /usr/bin /usr/sbin /usr/lib /usr/lib64 /usr/libexec /usr/local/bin /usr/local/sbin /etc"
    " /etc/yum.repos.d /etc/apt /etc/dnf /var/lib/rpm /var/lib/dpkg /var/cache/dnf /var/cache/apt /boot /opt"
)


@pytest.fixture(scope="module")
def facts(host: Any) -> dict[str, str]:
    bus = "busctl --system call org.freedesktop"
    return ask(
        host,
        {
            "named": f"for s in {NAMED} {DESKTOP}; do command -v $s; done;"
            " ls -d /usr/share/xsessions /usr/share/wayland-sessions 2> /dev/null; true",
            "known": "command -v sh",
            "mounts": "findmnt -rn -o TARGET,FSTYPE -t vfat,iso9660,udf,exfat,ntfs,msdos",
            "automounts": "systemctl list-units --type=automount --no-legend --plain --no-pager",
            "udev": "grep -lE 'systemd-mount|/bin/mount' /etc/udev/rules.d/* /usr/lib/udev/rules.d/*"
            " 2> /dev/null; true",
            "writable": f"runuser -u nobody -- sh -c 'for d in {PLACES} /tmp; do"
            " if [ -w $d ]; then echo $d; fi; done'",
            "kits": "command -v pkcon packagekitd snap flatpak; true",
            "start": f"runuser -u nobody -- {bus}.systemd1 /org/freedesktop/systemd1"
            " org.freedesktop.systemd1.Manager StartUnit ss systemd-tmpfiles-clean.service replace;"
            " echo rc=$?",
            "rule": "cat /etc/polkit-1/rules.d/00-forja.rules",
        },
    )


@pytest.mark.control("RHEL-PACKAGE-09", "RHEL-PACKAGE-01", "RHEL-PACKAGE-02")
def test_what_ccn_names_is_not_there(facts: dict[str, str], seen: Any) -> None:
    seen(facts["named"] or "none of them")
    assert facts["known"], "nothing is found at all, so silence proves nothing"
    assert facts["named"] == ""


@pytest.mark.control("RHEL-PACKAGE-09")
@pytest.mark.needs("rpm")
def test_no_excluded_package_is_installed(plan: Any, host: Any, seen: Any) -> None:
    names = next(overlay.excludes for overlay in plan.overlays if overlay.name == "minimal")
    found = ask(host, {"found": f"rpm -qa {' '.join(names)}; rpm -q rpm"})["found"].splitlines()
    seen(f"of {len(names)}: {' '.join(found[:-1]) or 'none'}")
    assert found[-1].startswith("rpm-")
    assert found[:-1] == []


@pytest.mark.control("RHEL-MEDIA-01")
def test_nothing_is_mounted_by_itself(facts: dict[str, str], seen: Any) -> None:
    units = [line.split()[0] for line in facts["automounts"].splitlines()]
    seen(f"mounted: {facts['mounts']}; automounts: {units}; udev rules: {facts['udev'] or 'none'}")
    assert [line.split()[0] for line in facts["mounts"].splitlines()] == ["/boot/efi"]
    # The kernel's table of program formats is no medium.
    assert set(units) <= {"proc-sys-fs-binfmt_misc.automount"}
    assert facts["udev"] == ""


@pytest.mark.control("RHEL-ADMIN-01")
def test_only_root_can_put_programs_where_they_are_found(facts: dict[str, str], seen: Any) -> None:
    seen(f"nobody may write to: {facts['writable']}; what installs for others: {facts['kits'] or 'nothing'}")
    assert facts["writable"].split() == ["/tmp"], "a folder of programs or packages can be written to"
    assert facts["kits"] == ""


@pytest.mark.control("RHEL-ADMIN-02")
def test_the_bus_grants_nothing_to_others(facts: dict[str, str], seen: Any) -> None:
    seen(facts["start"])
    assert facts["start"].splitlines()[-1] != "rc=0"
    assert "denied" in facts["start"].lower() or "authentication required" in facts["start"].lower()
    assert "polkit.Result.NO" in facts["rule"]
