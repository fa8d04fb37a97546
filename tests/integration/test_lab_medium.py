"""The laboratory DVD is laid out as RHEL's, boots, installs the list it is given, and refuses what it can't.

An installation that succeeds with a profile is the build of an image itself.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from builder.ask.plan import Plan, make_plan
from builder.lab.installer.dpkg import STATUS, Installed, parse_status
from builder.lab.installer.kickstart import read_kickstart
from builder.lab.installer.listed import LIST, unlisted
from builder.lab.installer.packages import close_over, select_packages
from builder.make.kickstart import render_kickstart
from builder.make.medium.menus import edit_isolinux
from builder.make.packages import resolve_packages
from builder.make.resolution import Resolution
from builder.request import Request, find_laboratory_dvd
from builder.tools.iso import extract, extract_folder, inspect_medium
from builder.tools.machine import Console, FirmwareKind, describe_machine
from builder.tools.process import run, start
from tests.integration.conftest import CACHE

BOOT_SECONDS = (
    1200  # 40 s on an idle host without KVM, four minutes with an installation; no measure of speed
)
REPOSITORIES = ("BaseOS", "AppStream")
KEY = "RPM-GPG-KEY-laboratorio"

REFUSED = """\
text
%pre --erroronfail
echo FORJA pre >/dev/console
echo zerombr >/tmp/storage.ks
%end
%include /tmp/storage.ks
lang es_ES.UTF-8
selinux --enforcing
autopart --type=lvm
%packages
@^minimal-environment
%end
poweroff
"""


LISTED = """\
text
lang es_ES.UTF-8
keyboard --vckeymap=es --xlayouts=es
timezone Europe/Madrid --isUtc --nontp
rootpw --lock
zerombr
clearpart --all --drives=vda --initlabel --disklabel=gpt
part biosboot --fstype=biosboot --size=1 --ondisk=vda
part / --fstype=xfs --size=3072 --grow --ondisk=vda
bootloader --location=mbr --boot-drive=vda
%packages --excludeWeakdeps
@^minimal-environment
@PACKAGES@
%end
%post --erroronfail
{
@COMMAND@
} | sed 's/^/FORJA installed /' >/dev/console
%end
poweroff
"""


@pytest.fixture(scope="module")
def dvd() -> Path:
    """Return the laboratory DVD that builds use, made when the cache has none."""
    return find_laboratory_dvd(Request(profile="clasificado", cache=CACHE))


def test_the_dvd_says_what_it_is_and_has_the_layout_of_rhels(dvd: Path) -> None:
    original = inspect_medium(dvd)
    assert (original.name, original.version, original.arch) == ("Forja laboratorio", "8.3", "x86_64")
    assert original.volume_id == "FORJA-LABORATORIO-8-3-x86_64"
    listed = run(
        ["xorriso", "-indev", dvd, "-find", "/", "-type", "f", "-exec", "echo"], doing="list the DVD"
    )
    files = set(re.findall(r"'?(/[^'\n]+)'?", listed.stdout))
    assert files >= {
        *(
            "/.discinfo",
            "/.treeinfo",
            "/media.repo",
            "/BaseOS/laboratorio.json",
            f"/{KEY}",
        ),
        *(f"/{repository}/repodata/repomd.xml" for repository in REPOSITORIES),
        *(
            f"/isolinux/{name}"
            for name in ("isolinux.bin", "isolinux.cfg", "grub.conf", "vmlinuz", "initrd.img")
        ),
        *(f"/EFI/BOOT/{name}" for name in ("BOOTX64.EFI", "grubx64.efi", "mmx64.efi", "grub.cfg")),
        *(f"/images/{name}" for name in ("efiboot.img", "install.img", "product.img")),
        *(f"/images/pxeboot/{name}" for name in ("vmlinuz", "initrd.img")),
    }
    boot = run(
        ["xorriso", "-indev", dvd, "-report_el_torito", "plain"], doing="read the boot catalogue"
    ).stdout
    assert re.search(r"boot img :\s+1\s+BIOS", boot)
    assert re.search(r"boot img :\s+2\s+UEFI", boot)


def test_the_efi_image_has_the_same_menu_as_the_dvd(dvd: Path, tmp_path: Path) -> None:
    menu = extract(dvd, tmp_path, "EFI/BOOT/grub.cfg").read_text()
    image = extract(dvd, tmp_path, "images/efiboot.img")
    inside = run(["mtype", "-i", image, "::/EFI/BOOT/grub.cfg"], doing="read the menu inside the EFI image")
    assert inside.stdout == menu
    assert "inst.stage2=hd:LABEL=FORJA-LABORATORIO-8-3-x86_64 quiet" in menu


@pytest.fixture(scope="module")
def taken_out(dvd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the DVD's repositories and their key."""
    folder = tmp_path_factory.mktemp("dvd")
    for name in (*REPOSITORIES, KEY):
        extract_folder(dvd, name, folder / name)
    return folder


@pytest.fixture(scope="module")
def installed(dvd: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Installed]:
    """Return the Debian packages of the DVD's payload."""
    payload = extract(dvd, tmp_path_factory.mktemp("payload"), "images/install.img")
    text = run(["unsquashfs", "-cat", payload, STATUS], doing="read the payload's packages").stdout
    return parse_status(text)


def test_each_debian_package_of_the_payload_has_an_rpm_that_dnf_finds(
    taken_out: Path, installed: dict[str, Installed], tmp_path: Path
) -> None:
    argv = ["dnf", "--quiet", "--noplugins", "--releasever=8", "--setopt=reposdir=/nowhere"]
    argv += [f"--setopt=cachedir={tmp_path}", f"--installroot={tmp_path}"]
    argv += [f"--repofrompath={name},{(taken_out / name).as_uri()}" for name in REPOSITORIES]
    form = "%{name}-%{epoch}:%{version}-%{release}.%{arch}"
    found = run([*argv, "repoquery", "--qf", form], doing="list the repositories").stdout.split()
    assert sorted(found) == sorted(package.nevra for package in installed.values())
    assert len(found) > 200
    small = run([*argv, "--repo=BaseOS", "repoquery", "--qf", "%{name}"], doing="list BaseOS").stdout.split()
    assert {"systemd", "linux-image-cloud-amd64"} <= set(small)
    assert "postfix" not in small


def test_the_rpms_are_signed_with_the_key_on_the_dvd(taken_out: Path, tmp_path: Path) -> None:
    rpms = sorted(taken_out.glob("*/Packages/*.rpm"))
    keys = ["rpmkeys", "--dbpath", tmp_path]
    unknown = run([*keys, "--checksig", *rpms], doing="check without the key", accept=range(256)).stdout
    run([*keys, "--import", taken_out / KEY], doing="import the key")
    known = run([*keys, "--checksig", *rpms], doing="check the signatures").stdout.splitlines()
    assert unknown.count("SIGNATURES NOT OK") == len(rpms)
    assert (
        len(known) == len([line for line in known if line.endswith(": digests signatures OK")]) == len(rpms)
    )


def test_the_solved_set_of_the_profile_fits_its_kickstart_and_the_payload(
    dvd: Path, taken_out: Path, installed: dict[str, Installed], tmp_path: Path
) -> None:
    plan = make_plan("clasificado", None, "laboratorio")
    kickstart = tmp_path / "clasificado.ks"
    kickstart.write_text(render_kickstart(plan, ""), encoding="utf-8")
    lines = re.sub(r"(?m)^%include .*\n", "", kickstart.read_text())
    kickstart.write_text(lines, encoding="utf-8")
    medium = json.loads((taken_out / "BaseOS/laboratorio.json").read_text())
    selection = select_packages(
        read_kickstart(kickstart).data.packages, medium["packages"], medium["not_shown"], installed
    )
    resolution = _resolve(plan, dvd, tmp_path)
    listed = {package.name: package.nevra for package in resolution.packages}
    unlisted(installed, listed, selection, medium["base"])  # raises when they don't agree
    assert {"postfix", "firewalld", "apt"} <= set(listed)


@pytest.mark.slow
def test_what_is_installed_is_the_list_on_the_medium_and_not_what_the_installer_would_choose(
    dvd: Path, installed: dict[str, Installed], tmp_path: Path
) -> None:
    plan = make_plan("clasificado", None, "laboratorio")
    # logrotate asks for a cron or for systemd: dnf is content with systemd, which is there anyway.
    names = tuple(name for name in plan.packages if name != "cronie")
    overlay = plan.overlays[0].model_copy(update={"packages": names, "excludes": ()})
    resolution = _resolve(plan.model_copy(update={"overlays": (overlay,)}), dvd, tmp_path)
    listed = {package.name for package in resolution.packages}
    assert "cron" not in listed
    assert "cron" in close_over(installed, dict.fromkeys(listed, "the list"))

    packages = tmp_path / "packages.json"
    packages.write_text(resolution.model_dump_json(), encoding="utf-8")
    command = plan.platform.tools.list_packages
    kickstart = LISTED.replace("@PACKAGES@", "\n".join(names)).replace("@COMMAND@", command)
    lines = _install(dvd, kickstart, tmp_path, {str(LIST): packages})

    assert "laboratorio: instalación terminada" in lines, lines[-30:]
    found = [line.split()[-1] for line in lines if line.startswith("FORJA installed ")]
    assert sorted(found) == sorted(package.nevra for package in resolution.packages)
    count = f"{len(listed)} packages, as /forja/packages.json lists them"
    assert len([line for line in lines if count in line]) == 1


@pytest.mark.slow
def test_a_kickstart_that_can_not_be_honoured_ends_in_one_error_and_an_untouched_disk(
    dvd: Path, tmp_path: Path
) -> None:
    lines = _install(dvd, REFUSED, tmp_path)

    errors = [line for line in lines if line.startswith("laboratorio: ERROR")]
    assert errors == [
        "laboratorio: ERROR: the laboratory does not honour 'autopart' (/run/install/ks.cfg line 9)"
    ], lines
    assert "FORJA pre" in lines
    assert not any("instalación terminada" in line for line in lines)
    assert any("instala Debian, NO Red Hat" in line for line in lines)
    disk = tmp_path / "disk.qcow2"
    map_disk = ["qemu-img", "map", "--output=json"]
    empty = tmp_path / "empty.qcow2"
    _make_disk(empty)
    assert (
        run([*map_disk, disk], doing="look at the disk").stdout
        == run([*map_disk, empty], doing="look at an empty disk").stdout
    )


def _resolve(plan: Plan, dvd: Path, folder: Path) -> Resolution:
    return resolve_packages(
        plan, inspect_medium(dvd), None, cache=folder / "cache", log=folder / "packages.log"
    )


def _install(dvd: Path, kickstart: str, folder: Path, more: Mapping[str, Path] | None = None) -> list[str]:
    """Install by a kickstart on a second disc; return what the serial console said.

    Args:
        folder: where the machine is put together; its disk stays there, as disk.qcow2.
        more: files that the DVD gets besides: path on it -> file.
    """
    words = "inst.ks=hd:LABEL=KICKSTART:/ks.cfg console=ttyS0,115200"
    medium = _with_boot_arguments(dvd, folder, words, more or {})
    (folder / "ks").mkdir()
    (folder / "ks/ks.cfg").write_text(kickstart, encoding="utf-8")
    disc, disk = folder / "ks.iso", folder / "disk.qcow2"
    argv = ["xorriso", "-as", "mkisofs", "-o", disc, "-V", "KICKSTART", "-r", folder / "ks"]
    run(argv, doing="make the second disc")
    _make_disk(disk)
    return _boot(medium, disc, disk, folder)


def _make_disk(path: Path) -> None:
    run(["qemu-img", "create", "-q", "-f", "qcow2", path, "8G"], doing="make a disk")


def _with_boot_arguments(dvd: Path, folder: Path, words: str, more: Mapping[str, Path]) -> Path:
    """Return a copy of the DVD with more files, whose BIOS menu starts the installer at once."""
    menu = extract(dvd, folder, "isolinux/isolinux.cfg")
    stage2 = f"inst.stage2=hd:LABEL={inspect_medium(dvd).volume_id}"
    text = edit_isolinux(menu.read_text(), "prueba", f"{stage2} {words}")
    menu.write_text(re.sub(r"(?m)^timeout .*", "timeout 10", text).replace(" console=tty0", ""))
    target = folder / "medium.iso"
    argv = ["xorriso", "-indev", dvd, "-outdev", target, "-boot_image", "any", "replay"]
    argv += [word for path, file in more.items() for word in ("-map", file, f"/{path}")]
    run([*argv, "-map", menu, "/isolinux/isolinux.cfg"], doing="put arguments into the boot menu")
    return target


def _boot(medium: Path, disc: Path, disk: Path, folder: Path) -> list[str]:
    """Boot under BIOS until the machine powers itself off; return the lines of its serial console."""
    serial = folder / "serial.log"
    more = [
        *("-display", "none", "-no-reboot", "-nic", "none", "-boot", "d"),
        *("-drive", f"file={disk},if=virtio,format=qcow2,cache=unsafe"),
        *("-drive", f"file={medium},if=ide,index=0,media=cdrom,format=raw,readonly=on"),
        *("-drive", f"file={disc},if=ide,index=1,media=cdrom,format=raw,readonly=on"),
    ]
    argv = describe_machine(FirmwareKind.BIOS, folder, serial).argv(memory_mib=1536, cpus=2, more=more)
    with start(argv, doing="boot the laboratory DVD") as machine:
        deadline = time.monotonic() + BOOT_SECONDS
        while machine.running() and time.monotonic() < deadline:
            time.sleep(0.5)
        assert not machine.running(), f"still running after {BOOT_SECONDS} s:\n{serial.read_text()[-2000:]}"
        assert machine.popen.returncode == 0
    return Console(serial).lines()
