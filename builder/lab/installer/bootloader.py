"""The boot loader, for the firmware that started the installer, as Anaconda does it.

Under BIOS: GRUB's core in the biosboot partition. Under UEFI: the signed files that are on the ESP
already, a grub.cfg beside them that goes on to /boot, and an entry in the firmware's boot list. The other
firmware is the kickstart's own concern.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

from . import storage
from .program import SYSROOT, InstallError, run, write_file

LABEL = "debian"
LOADER = r"\EFI\debian\shimx64.efi"
HASH = re.compile(r"grub\.pbkdf2\.sha512\.[0-9]+\.[0-9A-F]+\.[0-9A-F]+", re.IGNORECASE)


def started_by_efi() -> bool:
    """Say whether UEFI firmware started this machine."""
    return Path("/sys/firmware/efi").is_dir()


def check_bootloader(data: Any) -> None:
    """Refuse a boot loader password in clear.

    Raises:
        InstallError: the password is not a grub.pbkdf2 hash.
    """
    boot = data.bootloader
    if boot.password and not (boot.isCrypted and HASH.fullmatch(boot.password)):
        raise InstallError(
            f"bootloader (line {boot.lineno}): --password must be --iscrypted and grub.pbkdf2.sha512"
        )


def kernel_arguments(
    filesystems: list[storage.Filesystem], plan: storage.Plan, append: str, cmdline: str
) -> str:
    """Return the installed system's kernel arguments.

    Args:
        filesystems: the target's file systems.
        plan: its storage.
        append: ``bootloader --append``.
        cmdline: the installer's own kernel arguments; a serial console among them goes on to the target.
    """
    root = next(fs for fs in filesystems if fs.mountpoint == "/")
    words = [f"root={root.spec}", "ro"]
    for group in plan.groups:
        words += [f"rd.lvm.lv={group.name}/{req.name}" for req in group.requests if req.key in ("/", "swap")]
    words += [f"resume={fs.spec}" for fs in filesystems if fs.fstype == "swap"][:1]
    words += append.split()
    console = [word for word in cmdline.split() if word.startswith("console=")]
    if console and console[-1].startswith("console=ttyS") and console[-1] not in words:
        words.append(console[-1])
    return " ".join(words)


def grub_config(boot_uuid: str, prefix: str, release: str, arguments: str, timeout: int, serial: str) -> str:
    """Return grub.cfg, of the form that grub-mkconfig with RHEL's 01_users would give.

    Args:
        boot_uuid: UUID of the file system that holds the kernel.
        prefix: path of /boot on it ("" or "/boot").
        release: the kernel's.
        arguments: the kernel's arguments.
        timeout: seconds.
        serial: ``ttyS<n>,<speed>`` or "" for no serial console.
    """
    terminal = ""
    if serial:
        unit, _, speed = serial.removeprefix("ttyS").partition(",")
        rate = re.match(r"\d+", speed)
        terminal = (
            f"serial --unit={unit} --speed={rate[0] if rate else 9600}\n"
            "terminal_input serial console\nterminal_output serial console\n"
        )
    return f"""\
if [ -s $prefix/grubenv ]; then
  load_env
fi
set default="0"
insmod part_gpt
insmod xfs
insmod ext2
search --no-floppy --fs-uuid --set=root {boot_uuid}
{terminal}set timeout_style=menu
set timeout={timeout}
if [ -f ${{prefix}}/user.cfg ]; then
  source ${{prefix}}/user.cfg
  if [ -n "${{GRUB2_PASSWORD}}" ]; then
    set superusers="root"
    export superusers
    password_pbkdf2 root ${{GRUB2_PASSWORD}}
  fi
fi
menuentry 'Forja laboratorio (no es RHEL), {release}' --unrestricted --class gnu-linux --class os {{
  insmod gzio
  linux {prefix}/vmlinuz-{release} {arguments}
  initrd {prefix}/initrd.img-{release}
}}
"""


def configure_bootloader(
    data: Any, plan: storage.Plan, filesystems: list[storage.Filesystem], cmdline: str, *, efi: bool
) -> None:
    """Write GRUB's configuration and make the machine start it."""
    boot = data.bootloader
    boot_fs = next((fs for fs in filesystems if fs.mountpoint == "/boot"), None)
    holder = boot_fs or next(fs for fs in filesystems if fs.mountpoint == "/")
    identity = run(["blkid", "-s", "UUID", "-o", "value", holder.device], doing="find /boot").strip()
    prefix = "" if boot_fs else "/boot"
    arguments = kernel_arguments(filesystems, plan, boot.appendLine or "", cmdline)
    timeout = 5 if boot.timeout is None else int(boot.timeout)
    kernels = sorted((SYSROOT / "boot").glob("vmlinuz-*"))
    if not kernels:
        raise InstallError("the target has no kernel")
    serial = arguments.split()[-1].removeprefix("console=") if "console=ttyS" in arguments.split()[-1] else ""

    grub = SYSROOT / "boot/grub"
    release = kernels[-1].name.removeprefix("vmlinuz-")
    text = grub_config(identity, prefix, release, arguments, timeout, serial)
    write_file(grub / "grub.cfg", text, 0o600)
    if boot.password:
        write_file(grub / "user.cfg", f"GRUB2_PASSWORD={boot.password}\n", 0o600)
    defaults = {
        "GRUB_TIMEOUT": str(timeout),
        "GRUB_DISTRIBUTOR": "Forja laboratorio (no es RHEL)",
        "GRUB_DEFAULT": "0",
        "GRUB_CMDLINE_LINUX_DEFAULT": "",
        "GRUB_CMDLINE_LINUX": " ".join(word for word in arguments.split() if not word.startswith("root=")),
        "GRUB_DISABLE_RECOVERY": "true",
        "GRUB_DISABLE_OS_PROBER": "true",
    }
    if serial:
        defaults["GRUB_TERMINAL"] = "serial console"
    lines = "".join(f"{name}={shlex.quote(value)}\n" for name, value in defaults.items())
    write_file(SYSROOT / "etc/default/grub", lines)

    disk = storage.disk_name(boot.bootDrive) if boot.bootDrive else ""
    if efi:
        _install_efi(plan, identity, prefix)
    else:
        place = next(p for p in plan.places if p.request.fstype == "biosboot" and p.disk == (disk or p.disk))
        run(
            ["grub-install", "--target=i386-pc", "--no-floppy", f"/dev/{place.disk}"],
            doing="install the boot loader",
            chroot=True,
        )


def efi_stub(identity: str, prefix: str) -> str:
    """Return the grub.cfg of the ESP: it finds the real one on /boot."""
    return f"search.fs_uuid {identity} root\nset prefix=($root)'{prefix}/grub'\nconfigfile $prefix/grub.cfg\n"


def _install_efi(plan: storage.Plan, identity: str, prefix: str) -> None:
    write_file(SYSROOT / "boot/efi/EFI/debian/grub.cfg", efi_stub(identity, prefix), 0o700)
    place = next(place for place in plan.places if place.request.key == "/boot/efi")
    entries = run(["efibootmgr"], doing="read the firmware's boot list")
    for number in re.findall(rf"^Boot([0-9A-F]{{4}})\*? {LABEL}(?:\s|$)", entries, re.MULTILINE):
        run(
            ["efibootmgr", "--quiet", "--bootnum", number, "--delete-bootnum"],
            doing="take out an old boot entry",
        )
    argv = ["efibootmgr", "--quiet", "--create", "--disk", f"/dev/{place.disk}", "--part", str(place.number)]
    run([*argv, "--label", LABEL, "--loader", LOADER], doing="add an entry to the firmware's boot list")
