"""From the firmware to the first process: command line, initramfs, the boot loader's files, rescue."""

from __future__ import annotations

from typing import Any

import pytest
from facts import ask

WEAKENED = (
    *("selinux=0", "enforcing=0", "audit=0", "nopti", "pti=off", "mitigations=off", "nospectre_v1"),
    *("nospectre_v2", "nosmap", "nosmep", "nokaslr", "mds=off", "l1tf=off", "spec_store_bypass_disable=off"),
    *("init=/bin/sh", "init=/bin/bash", "rd.break", "single", "systemd.debug-shell", "systemd.debug-shell=1"),
)
"""What switches off a defence, or opens a shell."""


@pytest.fixture(scope="module")
def facts(plan: Any, host: Any) -> dict[str, str]:
    grub = plan.platform.path("/boot/grub2")
    return ask(
        host,
        {
            "cmdline": "cat /proc/cmdline",
            "maps": "grep -c vsyscall /proc/self/maps",
            "signed": "cat /sys/module/module/parameters/sig_enforce",
            "loaded": "for m in $(cut -d' ' -f1 /proc/modules | head -n 40); do"
            " cat /sys/module/$m/taint 2> /dev/null; done | tr -d '\\n'; cat /proc/sys/kernel/tainted",
            "poison": 'grep -hE "^CONFIG_PAGE_POISONING=" /boot/config-$(uname -r)',
            "initramfs": f"{plan.platform.tools.list_initramfs}"
            ' "$(ls /boot/initramfs-$(uname -r).img /boot/initrd.img-$(uname -r) 2> /dev/null | head -n 1)"'
            " | grep -oE '(hv_vmbus|hv_storvsc|hv_netvsc|virtio_blk|virtio_scsi|virtio_net)\\.ko' | sort -u",
            "modes": f"stat -c '%n %a %U:%G' {grub} {grub}/grub.cfg {grub}/user.cfg"
            f" $(ls {grub}/grubenv 2> /dev/null)",
            "rescue": "for u in rescue emergency; do systemctl show -p ExecStart --value $u.service; done",
            "forced": "systemctl show-environment | grep SULOGIN;"
            " grep -rsl SYSTEMD_SULOGIN_FORCE /etc/systemd /usr/lib/systemd/system /run/systemd/system; true",
            "root": "passwd -S root; getent shadow root | cut -d: -f2 | cut -c1",
        },
    )


@pytest.mark.control("RHEL-BOOT-03")
def test_initramfs_knows_both_hypervisors(facts: dict[str, str], seen: Any) -> None:
    seen(facts["initramfs"])
    drivers = {"hv_vmbus", "hv_storvsc", "hv_netvsc", "virtio_blk", "virtio_scsi", "virtio_net"}
    assert set(facts["initramfs"].split()) == {f"{name}.ko" for name in drivers}


@pytest.mark.control("RHEL-BOOT-06")
def test_kernel_audits_from_the_start(facts: dict[str, str], seen: Any) -> None:
    seen(facts["cmdline"])
    assert {"audit=1", "audit_backlog_limit=8192"} <= set(facts["cmdline"].split())


@pytest.mark.control("RHEL-BOOT-09")
def test_kernel_has_its_defences(facts: dict[str, str], seen: Any) -> None:
    words = facts["cmdline"].split()
    seen(f"{facts['cmdline']}; vsyscall pages: {facts['maps']}")
    assert "vsyscall=none" in words
    assert facts["maps"] == "0"
    assert not set(WEAKENED) & set(words)


@pytest.mark.control("RHEL-BOOT-11")
@pytest.mark.needs("page-poison")
def test_freed_memory_is_overwritten(facts: dict[str, str], seen: Any) -> None:
    seen(f"{facts['cmdline']}; {facts['poison']}")
    assert "page_poison=1" in facts["cmdline"].split()
    assert facts["poison"] == "CONFIG_PAGE_POISONING=y"


@pytest.mark.control("RHEL-BOOT-10")
def test_only_signed_modules(facts: dict[str, str], seen: Any) -> None:
    tainted = int(facts["loaded"].splitlines()[-1])
    seen(f"sig_enforce: {facts['signed']}; tainted: {tainted}")
    assert facts["signed"] == "Y"
    assert not tainted & (1 << 13), "a module without a signature is loaded"


@pytest.mark.control("RHEL-BOOT-07")
def test_boot_loader_files_are_roots(plan: Any, facts: dict[str, str], seen: Any) -> None:
    grub = plan.platform.path("/boot/grub2")
    found = {line.split()[0]: line.split()[1:] for line in facts["modes"].splitlines()}
    seen(facts["modes"])
    assert {grub, f"{grub}/grub.cfg", f"{grub}/user.cfg"} <= set(found)
    assert {owner for _, owner in found.values()} == {"root:root"}
    assert {name: mode for name, (mode, _) in found.items() if int(mode, 8) & 0o077} == {}


@pytest.mark.control("RHEL-BOOT-08")
def test_rescue_asks_for_a_password_that_nobody_has(facts: dict[str, str], seen: Any) -> None:
    units = facts["rescue"].splitlines()
    seen(f"{facts['rescue']}; root: {facts['root']}")
    assert len(units) == 2
    assert all("sulogin" in unit for unit in units)
    assert facts["forced"] == "", "sulogin would open without a password"
    state, first = facts["root"].splitlines()
    assert state.split()[1] in ("L", "LK")
    assert first in ("!", "*")
