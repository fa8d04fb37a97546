"""Disks: which ones, their partitions, volume groups and file systems, as the kickstart asks."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pykickstart.constants import CLEARPART_TYPE_ALL

from . import layout
from .kickstart import Kickstart
from .program import SYSROOT, InstallError, run

BLOCK = Path("/sys/class/block")
GUID = {
    "biosboot": "21686148-6449-6E6F-744E-656564454649",
    "efi": "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
    "lvmpv": "E6D6D379-F507-44C2-A23C-238F2A3DF928",
    "swap": "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F",
}
LINUX_GUID = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
EFI_OPTIONS = "defaults,uid=0,gid=0,umask=077,shortname=winnt"
"""What Anaconda mounts the ESP with whatever the kickstart says (blivet, formats/fs.py: EFIFS)."""


@dataclass(frozen=True)
class Filesystem:
    """A file system or swap space that the installed system mounts."""

    mountpoint: str
    fstype: str
    device: str
    spec: str
    options: str


@dataclass(frozen=True)
class Plan:
    """The whole storage of the target, still on paper."""

    disks: tuple[str, ...]
    places: tuple[layout.Place, ...]
    groups: tuple[layout.Group, ...]

    def place(self, key: str) -> layout.Place | None:
        """Return the partition with a key (mount point, ``pv.<n>``), or None."""
        return next((place for place in self.places if place.request.key == key), None)


def usable_disks() -> dict[str, int]:
    """Return the disks that can be installed on: name -> size in MiB."""
    found = {}
    for device in sorted(BLOCK.iterdir()):
        name = device.name
        if (
            (device / "partition").exists()
            or not (device / "device").exists()
            or name.startswith(("sr", "fd"))
        ):
            continue
        sectors = int((device / "size").read_text())
        holds_medium = any(line.split()[0].startswith(f"/dev/{name}") for line in _mounts())
        if sectors and (device / "ro").read_text().strip() == "0" and not holds_medium:
            found[name] = sectors // 2048
    return found


def disk_name(word: str) -> str:
    """Return the kernel's name for a disk of the kickstart (``sda``, ``disk/by-path/...``)."""
    return (Path("/dev") / word.removeprefix("/dev/")).resolve().name


def plan_storage(kickstart: Kickstart, sizes: dict[str, int], *, efi: bool) -> Plan:
    """Work out the storage that a kickstart asks for.

    Args:
        kickstart: the kickstart.
        sizes: disks to choose from, with their sizes in MiB.
        efi: whether the machine was started by UEFI firmware.

    Raises:
        InstallError: something that Anaconda would stop at, or that this installer can't do.
    """
    data = kickstart.data
    disks = _chosen_disks(data, sizes)
    _check_clearing(kickstart, disks, efi=efi)
    requests = [_partition_request(kickstart, part) for part in data.partition.partitions]
    places: list[layout.Place] = []
    by_disk: dict[str, list[layout.Request]] = {}
    for request in requests:
        disk = request.disk
        if not disk and len(disks) > 1:
            raise InstallError(
                f"part {request.key} names no disk (--ondisk), and there are {', '.join(disks)}"
            )
        disk = disk or disks[0]
        if disk not in disks:
            raise InstallError(f"part {request.key} is on {disk}, which is not among {', '.join(disks)}")
        by_disk.setdefault(disk, []).append(request)
    for disk, wanted in by_disk.items():
        places += layout.place_partitions(wanted, disk, sizes[disk])
    groups = tuple(_volume_group(kickstart, group, places) for group in data.volgroup.vgList)
    plan = Plan(tuple(by_disk), tuple(places), groups)
    _check_plan(kickstart, plan, efi=efi)
    return plan


def _chosen_disks(data: Any, sizes: dict[str, int]) -> list[str]:
    only = [disk_name(word) for word in data.ignoredisk.onlyuse]
    ignored = [disk_name(word) for word in data.ignoredisk.ignoredisk]
    missing = [name for name in only if name not in sizes]
    if missing:
        raise InstallError(
            f"ignoredisk names {', '.join(missing)}; this machine has {', '.join(sizes) or 'no disk'}"
        )
    disks = only or [name for name in sizes if name not in ignored]
    if not disks:
        raise InstallError("there is no disk to install on")
    return disks


def _check_clearing(kickstart: Kickstart, disks: list[str], *, efi: bool) -> None:
    clear = kickstart.data.clearpart
    if not kickstart.seen("clearpart"):
        raise InstallError("the laboratory installs on whole disks: the kickstart needs clearpart")
    cleared = [disk_name(word) for word in clear.drives] or disks
    for disk in disks:
        wiped = disk in cleared and clear.type == CLEARPART_TYPE_ALL
        if not wiped and any((BLOCK / disk).glob(f"{disk}*")):
            raise InstallError(f"disk {disk} has partitions, and clearpart --all does not clear it")
    if not clear.initAll and not kickstart.seen("zerombr"):
        raise InstallError("neither clearpart --initlabel nor zerombr: Anaconda would stop at an empty disk")
    if not efi and clear.disklabel != "gpt":
        raise InstallError("the laboratory makes GPT only: under BIOS it takes clearpart --disklabel=gpt")


def _partition_request(kickstart: Kickstart, part: Any) -> layout.Request:
    key = part.mountpoint
    default = {"swap": "swap", "biosboot": "biosboot"}.get(key, "lvmpv" if key.startswith("pv.") else "xfs")
    fstype = part.fstype or default
    where = kickstart.line("part", part).where
    if key.startswith("raid.") or (key.startswith("/") is False and default == "xfs"):
        raise InstallError(f"part '{key}' ({where}): not a mount point, swap, biosboot or pv.<n>")
    if key == "/boot/efi" and fstype != "efi":
        raise InstallError(f"part /boot/efi ({where}) needs --fstype=efi")
    if not part.size:
        raise InstallError(f"part {key} ({where}) has no --size")
    return layout.Request(
        key=key,
        fstype=fstype,
        size=part.size,
        grow=part.grow,
        limit=part.maxSizeMB,
        disk=disk_name(part.disk) if part.disk else "",
        options=part.fsopts,
        label=part.label,
        mkfs_options=part.mkfsopts,
    )


def _volume_group(kickstart: Kickstart, group: Any, places: Iterable[layout.Place]) -> layout.Group:
    known = {place.request.key for place in places}
    unknown = [name for name in group.physvols if name not in known]
    where = kickstart.line("volgroup", group).where
    if unknown:
        raise InstallError(
            f"volgroup {group.vgname} ({where}) names {', '.join(unknown)}, which no part makes"
        )
    requests = []
    for volume in kickstart.data.logvol.lvList:
        if volume.vgname != group.vgname:
            continue
        line = kickstart.line("logvol", volume).where
        if not volume.name or not (volume.size or volume.percent):
            raise InstallError(f"logvol {volume.mountpoint} ({line}) needs --name and --size or --percent")
        requests.append(
            layout.Request(
                key=volume.mountpoint,
                fstype=volume.fstype or ("swap" if volume.mountpoint == "swap" else "xfs"),
                size=volume.size or 0,
                grow=volume.grow,
                limit=volume.maxSizeMB or 0,
                options=volume.fsopts,
                label=volume.label,
                mkfs_options=volume.mkfsopts,
                name=volume.name,
                percent=volume.percent or 0,
            )
        )
    return layout.Group(
        name=group.vgname,
        volumes=tuple(group.physvols),
        requests=tuple(requests),
        extent=int(group.pesize or 4096),
        reserved=int(group.reserved_space or 0),
        reserved_percent=int(group.reserved_percent or 0),
    )


def _check_plan(kickstart: Kickstart, plan: Plan, *, efi: bool) -> None:
    groups = {group.name for group in plan.groups}
    for volume in kickstart.data.logvol.lvList:
        if volume.vgname not in groups:
            raise InstallError(
                f"logvol {volume.mountpoint} names volume group '{volume.vgname}', which is not made"
            )
    keys = [place.request.key for place in plan.places]
    keys += [request.key for group in plan.groups for request in group.requests]
    twice = {key for key in keys if key.startswith("/") and keys.count(key) > 1}
    if twice:
        raise InstallError(f"asked for twice: {', '.join(sorted(twice))}")
    if "/" not in keys:
        raise InstallError("the kickstart asks for no root file system")
    if efi and "/boot/efi" not in keys:
        raise InstallError("this machine was started by UEFI firmware: it takes part /boot/efi --fstype=efi")
    if not efi and "biosboot" not in keys:
        raise InstallError("this machine was started by BIOS firmware: a GPT disk takes part biosboot")
    for group in plan.groups:
        sizes = [place.size for place in plan.places if place.request.key in group.volumes]
        layout.volume_extents(group, sizes)


def partition_device(disk: str, number: int) -> str:
    """Return the device of a partition (sda1, nvme0n1p1)."""
    return f"/dev/{disk}{'p' if disk[-1].isdigit() else ''}{number}"


def mapper_device(group: str, volume: str) -> str:
    """Return the device-mapper path of a logical volume: hyphens in names are doubled (lvm(8))."""
    return f"/dev/mapper/{group.replace('-', '--')}-{volume.replace('-', '--')}"


def sfdisk_script(places: Iterable[layout.Place]) -> str:
    """Return what sfdisk(8) reads to make these partitions on a GPT disk."""
    lines = ["label: gpt"]
    for place in places:
        guid = GUID.get(place.request.fstype, LINUX_GUID)
        name = f', name="{EFI_NAME}"' if place.request.fstype == "efi" else ""
        lines.append(f"start={place.start}MiB, size={place.size}MiB, type={guid}{name}")
    return "\n".join(lines) + "\n"


EFI_NAME = "EFI System Partition"


def make_storage(plan: Plan) -> list[Filesystem]:
    """Wipe the disks and make everything on them; return what is to be mounted, in mount order."""
    run(["vgchange", "-an", "--yes"], doing="stop the volume groups that were on the disks")
    for disk in plan.disks:
        devices = sorted(str(Path("/dev") / path.name) for path in (BLOCK / disk).glob(f"{disk}*"))
        run(["wipefs", "--all", "--force", *devices, f"/dev/{disk}"], doing=f"wipe disk {disk}")
        places = [place for place in plan.places if place.disk == disk]
        argv = ["sfdisk", "--wipe=always", "--wipe-partitions=always", f"/dev/{disk}"]
        run(argv, doing=f"partition disk {disk}", given=sfdisk_script(places))
    run(["udevadm", "settle", "--timeout=60"], doing="wait for the partitions")

    made = []
    for place in plan.places:
        device = partition_device(place.disk, place.number)
        if place.request.fstype not in ("lvmpv", "biosboot"):
            made.append(_make_filesystem(place.request, device, ""))
    for group in plan.groups:
        volumes = [found for name in group.volumes if (found := plan.place(name))]
        devices = [partition_device(place.disk, place.number) for place in volumes]
        run(["pvcreate", "--yes", "--force", *devices], doing=f"make the physical volumes of {group.name}")
        argv = ["vgcreate", "--yes", "--physicalextentsize", f"{group.extent}k", group.name, *devices]
        run(argv, doing=f"make volume group {group.name}")
        extents = layout.volume_extents(group, [place.size for place in volumes])
        for request, count in zip(group.requests, extents, strict=True):
            argv = [
                "lvcreate",
                "--yes",
                "-Wn",
                "-Zn",
                "--extents",
                str(count),
                "--name",
                request.name,
                group.name,
            ]
            run(argv, doing=f"make logical volume {group.name}/{request.name}")
            made.append(_make_filesystem(request, mapper_device(group.name, request.name), "mapper"))
    return sorted(
        made, key=lambda fs: (fs.fstype == "swap", fs.mountpoint.rstrip("/").count("/"), fs.mountpoint)
    )


def _make_filesystem(request: layout.Request, device: str, kind: str) -> Filesystem:
    """Make a file system; fstab names logical volumes by path and partitions by UUID, as Anaconda's does."""
    identity = str(uuid.uuid4())
    label = ["-L", request.label] if request.label else []
    extra = request.mkfs_options.split()
    options = request.options or "defaults"
    match request.fstype:
        case "efi" | "vfat":
            identity = identity[:8].upper()
            argv = ["mkfs.vfat", "-F", "32" if request.size >= 64 else "16", "-i", identity]
            argv += ["-n", request.label] if request.label else []
            identity = f"{identity[:4]}-{identity[4:]}"
            options = EFI_OPTIONS if request.fstype == "efi" else options
        case "swap":
            argv = ["mkswap", "-U", identity, *label]
        case "ext4":
            argv = ["mkfs.ext4", "-q", "-F", "-U", identity, *label]
        case _:
            # RHEL 8.3's mkfs.xfs makes file systems from 16 MiB on; later ones want a flag below 300 MiB.
            small = ["--unsupported"] if request.size < 304 else []
            argv = ["mkfs.xfs", "-q", "-f", "-K", "-m", f"uuid={identity}", *small, *label]
    run([*argv, *extra, device], doing=f"make the file system of {request.key}")
    fstype = "vfat" if request.fstype == "efi" else request.fstype
    spec = device if kind == "mapper" else f"UUID={identity}"
    return Filesystem(request.key, fstype, device, spec, options)


def mount_storage(filesystems: Iterable[Filesystem]) -> None:
    """Mount the target with the kickstart's options, as Anaconda does, and the installer's own below it."""
    for fs in filesystems:
        if fs.fstype != "swap":
            target = SYSROOT / fs.mountpoint.lstrip("/")
            target.mkdir(parents=True, exist_ok=True)
            argv = ["mount", "-t", fs.fstype, "-o", fs.options, fs.device, str(target)]
            run(argv, doing=f"mount {fs.mountpoint}")


def mount_api() -> None:
    """Mount /dev, /proc, /sys and /run below the target; /run without what is mounted in it, as Anaconda."""
    for name in ("dev", "dev/pts", "proc", "sys", "run", "sys/firmware/efi/efivars"):
        if (Path("/") / name).is_dir() and any(line.split()[1] == f"/{name}" for line in _mounts()):
            (SYSROOT / name).mkdir(parents=True, exist_ok=True)
            run(["mount", "--bind", f"/{name}", SYSROOT / name], doing=f"mount /{name} in the target")


def unmount_all(plan: Plan | None) -> None:
    """Unmount the target, stop its volume groups and flush everything to the disks."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            inside = str((process / "root").readlink()).startswith(str(SYSROOT))
        except OSError:
            continue
        if inside:
            run(["kill", "-9", process.name], doing="end what a script left running", accept=(0, 1))
    points = [line.split()[1] for line in _mounts()]
    for point in reversed([p for p in points if p == str(SYSROOT) or p.startswith(f"{SYSROOT}/")]):
        run(["umount", point], doing=f"unmount {point}")
    if plan is not None:
        for group in plan.groups:
            run(["vgchange", "-an", group.name], doing=f"stop volume group {group.name}")
    run(["sync"], doing="write everything to the disks")


def fstab(filesystems: Iterable[Filesystem]) -> str:
    """Return the /etc/fstab of the target."""
    lines = [
        "#\n# /etc/fstab\n# Created by the laboratory installer, in the form that anaconda gives it\n#\n",
    ]
    for fs in filesystems:
        checked = 0 if fs.fstype in ("xfs", "swap") else 1 if fs.mountpoint == "/" else 2
        dump = 1 if fs.fstype == "ext4" else 0
        options = fs.options
        lines.append(f"{fs.spec:<41} {fs.mountpoint:<23} {fs.fstype:<7} {options:<15} {dump} {checked}\n")
    return "".join(lines)


def _mounts() -> list[str]:
    return Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
