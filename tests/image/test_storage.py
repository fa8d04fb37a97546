"""Where the image keeps things, and how that is mounted: as the booted guest has it, not as fstab hopes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from facts import ask

BIOS_BOOT = "21686148-6449-6e6f-744e-656564454649"
ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"


@pytest.fixture(scope="module")
def facts(host: Any) -> dict[str, str]:
    return ask(
        host,
        {
            "mounts": "findmnt -J -l -o TARGET,SOURCE,FSTYPE,OPTIONS",
            "fstab": "cat /etc/fstab",
            "blocks": "lsblk -J -b -p -o NAME,PKNAME,TYPE,FSTYPE,PARTTYPE,SIZE",
            "swaps": "swapon --show=NAME,SIZE --noheadings --bytes",
            "table": "blkid -p -o value -s PTTYPE"
            ' "$(lsblk -n -p -o PKNAME "$(findmnt -n -o SOURCE --mountpoint /boot)" | head -n 1)"',
            "devices": "stat -c '%d %n' / /etc/postfix /var/spool/postfix",
            "noexec": "for d in /tmp /var/tmp /dev/shm /home; do cp /bin/true $d/.forja-prueba;"
            " $d/.forja-prueba && echo $d runs programs; rm -f $d/.forja-prueba; done",
        },
    )


@pytest.fixture(scope="module")
def mounts(facts: dict[str, str]) -> dict[str, dict[str, str]]:
    """Mount points in force; of several on one place, the last is what programs see."""
    return {entry["target"]: entry for entry in json.loads(facts["mounts"])["filesystems"]}


@pytest.fixture(scope="module")
def blocks(facts: dict[str, str]) -> list[dict[str, Any]]:
    """All block devices, flat, parents before children."""
    flat: list[dict[str, Any]] = []
    todo = list(json.loads(facts["blocks"])["blockdevices"])
    while todo:
        block = todo.pop(0)
        flat.append(block)
        todo += block.get("children", [])
    return flat


def mapper(mount: Any) -> str:
    """Device of a logical volume: hyphens in names are doubled there."""
    return f"/dev/mapper/sistema-{mount.volume.replace('-', '--')}"


def wanted_options(mount: Any) -> set[str]:
    """Options as the kernel shows them: vfat splits umask in two."""
    options = set(mount.options)
    if "umask=0077" in options:
        options = options - {"umask=0077"} | {"fmask=0077", "dmask=0077"}
    return options


@pytest.mark.control("RHEL-STORAGE-01")
def test_mount_points_are_separate(plan: Any, mounts: dict[str, dict[str, str]], seen: Any) -> None:
    wanted = [mount.path for mount in plan.profile.mounts if mount.fstype in ("xfs", "efi")]
    missing = [path for path in wanted if path not in mounts]
    sources = [mounts[path]["source"] for path in wanted if path in mounts]
    seen("; ".join(f"{path}: {mounts[path]['source']}" for path in wanted if path in mounts))
    assert not missing
    assert len(set(sources)) == len(wanted), "two mount points share a device"
    assert {"/boot", "/home", "/tmp", "/var", "/var/tmp", "/var/log", "/var/log/audit"} <= set(wanted)


@pytest.mark.control("RHEL-STORAGE-02")
def test_mount_options_in_force(
    plan: Any, mounts: dict[str, dict[str, str]], facts: dict[str, str], seen: Any
) -> None:
    fstab = {
        fields[1]: set(fields[3].split(","))
        for fields in (line.split() for line in facts["fstab"].splitlines())
        if len(fields) >= 4 and not fields[0].startswith("#")
    }
    wrong = []
    for mount in plan.profile.mounts:
        if mount.fstype not in ("xfs", "efi", "tmpfs"):
            continue
        live = set(mounts.get(mount.path, {"options": ""})["options"].split(","))
        if missing := wanted_options(mount) - live:
            wrong.append(f"{mount.path} lacks {sorted(missing)}")
        if missing := set(mount.options) - fstab.get(mount.path, set()):
            wrong.append(f"/etc/fstab: {mount.path} lacks {sorted(missing)}")
    seen("; ".join(f"{m.path}: {mounts[m.path]['options']}" for m in plan.profile.mounts if m.path in mounts))
    assert not wrong


@pytest.mark.control("RHEL-STORAGE-02")
def test_programs_do_not_run_where_users_write(facts: dict[str, str], seen: Any) -> None:
    seen(facts["noexec"])
    assert "runs programs" not in facts["noexec"]
    for folder in ("/tmp", "/var/tmp", "/dev/shm", "/home"):
        assert f"{folder}/.forja-prueba: Permission denied" in facts["noexec"]


@pytest.mark.control("RHEL-STORAGE-03")
def test_volumes_are_lvm_and_xfs(
    plan: Any, mounts: dict[str, dict[str, str]], blocks: list[dict[str, Any]], seen: Any
) -> None:
    kinds = {block["name"]: (block["type"], block["fstype"]) for block in blocks}
    wanted = {
        mount.path: mapper(mount) for mount in plan.profile.mounts if mount.lvm and mount.fstype == "xfs"
    }
    found = {path: mounts[path]["source"] for path in wanted if path in mounts}
    seen("; ".join(f"{path}: {device} {kinds.get(device)}" for path, device in found.items()))
    assert found == wanted
    assert {kinds.get(device) for device in wanted.values()} == {("lvm", "xfs")}
    assert mounts["/boot"]["fstype"] == "xfs"


@pytest.mark.control("RHEL-STORAGE-04")
def test_swap_is_in_use(plan: Any, facts: dict[str, str], blocks: list[dict[str, Any]], seen: Any) -> None:
    wanted = [mount for mount in plan.profile.mounts if mount.fstype == "swap"]
    swaps = [line.split() for line in facts["swaps"].splitlines()]
    seen(facts["swaps"])
    assert wanted, "the profile has no swap"
    assert len(swaps) == len(wanted)
    assert {block["type"] for block in blocks if block["fstype"] == "swap"} == {"lvm"}
    assert sum(int(size) for _, size in swaps) >= sum(mount.size_mib for mount in wanted) * 2**20 * 0.95


@pytest.mark.control("RHEL-STORAGE-05", "RHEL-BOOT-02")
def test_disk_boots_on_both_firmwares(facts: dict[str, str], blocks: list[dict[str, Any]], seen: Any) -> None:
    kinds = {
        (block["parttype"] or "").lower(): block["fstype"] for block in blocks if block["type"] == "part"
    }
    seen(f"{facts['table']}: {kinds}")
    assert facts["table"] == "gpt"
    assert BIOS_BOOT in kinds
    assert kinds.get(ESP) == "vfat"


@pytest.mark.control("RHEL-STORAGE-06")
def test_shared_memory(mounts: dict[str, dict[str, str]], seen: Any) -> None:
    seen(mounts["/dev/shm"]["options"])
    assert mounts["/dev/shm"]["fstype"] == "tmpfs"
    assert {"nodev", "nosuid", "noexec"} <= set(mounts["/dev/shm"]["options"].split(","))


@pytest.mark.control("CCN681-5-01")
def test_service_lies_apart_from_the_system(facts: dict[str, str], seen: Any) -> None:
    devices = dict(reversed(line.split(maxsplit=1)) for line in facts["devices"].splitlines())
    seen(facts["devices"])
    assert set(devices) == {"/", "/etc/postfix", "/var/spool/postfix"}
    assert len(set(devices.values())) == 3, (
        "the service's files share a file system with the operating system"
    )
