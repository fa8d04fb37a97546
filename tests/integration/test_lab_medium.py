"""The laboratory DVD is laid out as RHEL's, boots, and refuses what it can't honour.

An installation that succeeds is the build of an image itself; here is what must not succeed.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from builder.make.medium.menus import edit_isolinux
from builder.pipeline import Request, find_laboratory_dvd
from builder.tools.iso import extract, inspect_medium
from builder.tools.machine import Console, FirmwareKind, describe_machine
from builder.tools.process import run, start

REPOSITORY = Path(__file__).resolve().parents[2]
BOOT_SECONDS = 600  # 40 s on an idle host without KVM; never a measure of speed

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


@pytest.fixture(scope="module")
def dvd() -> Path:
    """Return the laboratory DVD that builds use, made when the cache has none."""
    return find_laboratory_dvd(Request(profile="clasificado", cache=REPOSITORY / ".cache"))


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
            "/AppStream/laboratorio.json",
        ),
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


@pytest.mark.slow
def test_a_kickstart_that_can_not_be_honoured_ends_in_one_error_and_an_untouched_disk(
    dvd: Path, tmp_path: Path
) -> None:
    medium = _with_boot_arguments(
        dvd, tmp_path, "inst.ks=hd:LABEL=KICKSTART:/refused.cfg console=ttyS0,115200"
    )
    folder = tmp_path / "ks"
    folder.mkdir()
    (folder / "refused.cfg").write_text(REFUSED, encoding="utf-8")
    disc, disk = tmp_path / "ks.iso", tmp_path / "disk.qcow2"
    run(
        ["xorriso", "-as", "mkisofs", "-o", disc, "-V", "KICKSTART", "-r", folder],
        doing="make the second disc",
    )
    run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "8G"], doing="make a disk")
    empty = run(["qemu-img", "map", "--output=json", disk], doing="look at the disk").stdout

    lines = _boot(medium, disc, disk, tmp_path)

    errors = [line for line in lines if line.startswith("laboratorio: ERROR")]
    assert errors == [
        "laboratorio: ERROR: the laboratory does not honour 'autopart' (/run/install/ks.cfg line 9)"
    ], lines
    assert "FORJA pre" in lines
    assert not any("instalación terminada" in line for line in lines)
    assert any("instala Debian, NO Red Hat" in line for line in lines)
    assert run(["qemu-img", "map", "--output=json", disk], doing="look at the disk").stdout == empty


def _with_boot_arguments(dvd: Path, folder: Path, words: str) -> Path:
    """Return a copy of the DVD whose BIOS menu starts the installer at once with more arguments."""
    menu = extract(dvd, folder, "isolinux/isolinux.cfg")
    stage2 = f"inst.stage2=hd:LABEL={inspect_medium(dvd).volume_id}"
    text = edit_isolinux(menu.read_text(), "prueba", f"{stage2} {words}")
    menu.write_text(re.sub(r"(?m)^timeout .*", "timeout 10", text).replace(" console=tty0", ""))
    target = folder / "medium.iso"
    argv = ["xorriso", "-indev", dvd, "-outdev", target, "-boot_image", "any", "replay"]
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
