"""The storage that a kickstart comes to, on paper."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.lab.installer import storage
from builder.lab.installer.kickstart import Kickstart, read_kickstart
from builder.lab.installer.program import InstallError
from builder.lab.installer.storage import Filesystem, Plan

LAYOUT = """\
ignoredisk --only-use=vda
zerombr
clearpart --all --initlabel --disklabel=gpt --drives=vda
part biosboot --fstype=biosboot --size=1
part /boot/efi --fstype=efi --size=200 --fsoptions=nodev
part /boot --fstype=xfs --size=1024 --fsoptions=nodev,nosuid,noexec
part pv.01 --size=1 --grow
volgroup rhel pv.01
logvol / --fstype=xfs --vgname=rhel --name=root --size=4096 --grow
logvol /var/log --fstype=xfs --vgname=rhel --name=var_log --size=512 --fsoptions=nodev,nosuid,noexec
logvol swap --vgname=rhel --name=swap --size=512
poweroff
"""


def _plan(folder: Path, text: str, *, efi: bool = False, disks: dict[str, int] | None = None) -> Plan:
    return storage.plan_storage(_read(folder, text), disks or {"vda": 20480}, efi=efi)


def _read(folder: Path, text: str) -> Kickstart:
    path = folder / "ks.cfg"
    path.write_text(text, encoding="utf-8")
    return read_kickstart(path)


@pytest.mark.parametrize("efi", [False, True])
def test_one_layout_serves_both_firmwares(tmp_path: Path, efi: bool) -> None:
    plan = _plan(tmp_path, LAYOUT, efi=efi)
    assert plan.disks == ("vda",)
    assert [(place.request.key, place.number) for place in plan.places] == [
        ("biosboot", 1),
        ("/boot/efi", 2),
        ("/boot", 3),
        ("pv.01", 4),
    ]
    assert [request.name for request in plan.groups[0].requests] == ["root", "var_log", "swap"]


def test_partition_types_are_the_ones_firmware_looks_for(tmp_path: Path) -> None:
    lines = storage.sfdisk_script(_plan(tmp_path, LAYOUT).places).splitlines()
    assert lines[0] == "label: gpt"
    assert lines[1] == "start=1MiB, size=1MiB, type=21686148-6449-6E6F-744E-656564454649"
    assert "type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B" in lines[2]
    assert lines[4].endswith("type=E6D6D379-F507-44C2-A23C-238F2A3DF928")


@pytest.mark.parametrize(
    ("old", "new", "efi", "said"),
    [
        ("part biosboot --fstype=biosboot --size=1\n", "", False, "takes part biosboot"),
        ("part /boot/efi --fstype=efi --size=200 --fsoptions=nodev\n", "", True, "takes part /boot/efi"),
        (" --disklabel=gpt", "", False, "GPT only"),
        ("--vgname=rhel --name=swap", "--vgname=other --name=swap", False, "volume group 'other'"),
        ("volgroup rhel pv.01", "volgroup rhel pv.02", False, "names pv.02"),
        ("--only-use=vda", "--only-use=sdb", False, "ignoredisk names sdb"),
        ("logvol / ", "logvol /var/log ", False, "asked for twice: /var/log"),
        ("logvol / ", "logvol /srv ", False, "no root file system"),
        ("--size=1024", "--size=102400", False, "more than disk vda has"),
        ("--size=4096", "--size=40960", False, "more than volume group rhel has"),
        ("--fstype=efi ", "--fstype=vfat ", False, "needs --fstype=efi"),
        ("clearpart --all --initlabel --disklabel=gpt --drives=vda\n", "", False, "needs clearpart"),
        ("zerombr\nclearpart --all --initlabel", "clearpart --all", False, "Anaconda would stop"),
    ],
)
def test_what_anaconda_would_stop_at_stops_here(
    tmp_path: Path, old: str, new: str, efi: bool, said: str
) -> None:
    assert old in LAYOUT
    with pytest.raises(InstallError, match=said):
        _plan(tmp_path, LAYOUT.replace(old, new), efi=efi)


def test_a_part_without_a_disk_is_refused_when_there_are_two(tmp_path: Path) -> None:
    text = LAYOUT.replace("ignoredisk --only-use=vda\n", "")
    with pytest.raises(InstallError, match="names no disk"):
        _plan(tmp_path, text, disks={"vda": 20480, "vdb": 20480})


def test_fstab_is_anacondas() -> None:
    efi = storage.EFI_OPTIONS
    text = storage.fstab(
        [
            Filesystem("/", "xfs", "/dev/mapper/rhel-root", "/dev/mapper/rhel-root", "defaults"),
            Filesystem("/boot/efi", "vfat", "/dev/vda2", "UUID=1CE9-96A0", efi),
            Filesystem("/var/log", "xfs", "/dev/x", "/dev/mapper/rhel-var_log", "nodev,nosuid,noexec"),
            Filesystem("swap", "swap", "/dev/y", "/dev/mapper/rhel-swap", "defaults"),
        ]
    )
    fields = [line.split() for line in text.splitlines() if not line.startswith("#")]
    assert fields == [
        ["/dev/mapper/rhel-root", "/", "xfs", "defaults", "0", "0"],
        ["UUID=1CE9-96A0", "/boot/efi", "vfat", "defaults,uid=0,gid=0,umask=077,shortname=winnt", "0", "2"],
        ["/dev/mapper/rhel-var_log", "/var/log", "xfs", "nodev,nosuid,noexec", "0", "0"],
        ["/dev/mapper/rhel-swap", "swap", "swap", "defaults", "0", "0"],
    ]


def test_device_names() -> None:
    assert storage.partition_device("sda", 2) == "/dev/sda2"
    assert storage.partition_device("nvme0n1", 2) == "/dev/nvme0n1p2"
    assert storage.mapper_device("rhel-x", "var-log") == "/dev/mapper/rhel--x-var--log"
