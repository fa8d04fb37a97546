"""The throwaway copy: an overlay of the image that gets a one-time key; the image itself is never written.

The copy is opened by the medium that the image was installed from, whose installer runs a kickstart with
nothing but a %pre: it knows the image's volumes and file systems on any host, needs no privilege and no
kernel of the host's, and nothing of it is in the image.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from builder.ask.plan import Plan
from builder.tools.cell import Cell
from builder.tools.errors import StageFailed
from builder.tools.iso import escape_label, extract, inspect_medium
from builder.tools.machine import Bus, Console, FirmwareKind, attach, describe_machine
from builder.tools.process import run, start

VOLUME = "FORJA_LLAVE"
MARK = "forja-verificacion"
"""Tag of the one key, and name of the one sudo rule, that only the throwaway copy has."""
DONE = "FORJA llave puesta"
PATIENCE_SECONDS = 600.0


@dataclass(frozen=True)
class Throwaway:
    """A copy that can be logged in to with a key that exists for this run only."""

    disk: Path
    key: Path
    hyperv: bool = False
    """Whether it is a copy of a VHDX, whose disk hangs where Hyper-V has it."""
    seed: Path | None = None
    """A CD in its drive, which a closed image takes its key from as well."""


def make_throwaway(
    plan: Plan, image: Path, medium: Path, work: Path, cell: Cell, *, log: Path, more: str = ""
) -> Throwaway:
    """Make a throwaway copy of an image in the folder `work`, with a new key in it.

    Args:
        more: shell lines that change the copy further, for tests: its root file system is $root.

    Raises:
        StageFailed: the copy could not be opened, or the key not be put in.
    """
    key, hyperv = work / "key", image.suffix.lower() == ".vhdx"
    disk = copy_lightly(image, "vhdx" if hyperv else "qcow2", work, log=log)
    run(
        ["ssh-keygen", "-q", "-t", "ecdsa", "-b", "384", "-N", "", "-C", MARK, "-f", key],
        doing="make a one-time key",
    )
    kickstart = work / "llave.ks"
    kickstart.write_text(key_kickstart(plan, key.with_suffix(".pub").read_text().strip(), more))
    iso = work / "llave.iso"
    run(
        ["xorriso", "-outdev", iso, "-volid", VOLUME, "-joliet", "on", "-map", kickstart, "/llave.ks"],
        doing="pack the key",
        log=log,
    )
    open_with_medium(disk, medium, iso, work, cell, log)
    return Throwaway(disk, key, hyperv)


def copy_lightly(image: Path, kind: str, work: Path, *, log: Path | None = None) -> Path:
    """Return a disk in the folder `work` that holds what is written to it, and reads the rest from an image.

    Args:
        kind: the image's format, which nobody guesses.
    """
    disk = work / "throwaway.qcow2"
    run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-F", kind, "-b", image.resolve(), disk],
        doing="make a throwaway copy of the image",
        log=log,
    )
    return disk


def key_kickstart(plan: Plan, public_key: str, more: str = "") -> str:
    """Return the kickstart whose %pre puts the administrator's key into the copy and ends the machine."""
    user = plan.site.admin.user
    volumes = {mount.path: mount.volume for mount in plan.profile.mounts}
    return f"""\
%pre --interpreter=/bin/bash --erroronfail
set -Eeuo pipefail
trap 'echo "FORJA ERROR: llave: $BASH_COMMAND" > /dev/console' ERR
vgchange --activate y sistema
root=/tmp/imagen
mkdir -p $root
mount /dev/sistema/{volumes["/"]} $root
mount /dev/sistema/{volumes["/home"]} $root/home
home=$root/home/{user}
owner=$(awk -F: '$1 == "{user}" {{print $3 ":" $4}}' $root/etc/passwd)
# A closed image has nobody's keys until a seed brings them, and this one.
if [ -d $home/.ssh ]; then
    echo '{public_key}' >> $home/.ssh/authorized_keys
    chown "$owner" $home/.ssh/authorized_keys
fi
# A copy of an existing rule file keeps its SELinux label.
cp --archive $root/etc/sudoers $root/etc/sudoers.d/zz-{MARK}
echo '{user} ALL=(ALL) NOPASSWD: ALL' > $root/etc/sudoers.d/zz-{MARK}
{more}
umount $root/home $root
vgchange --activate n sistema
sync
echo '{DONE}' > /dev/console
sleep 1
echo o > /proc/sysrq-trigger
sleep 60
%end
"""


def open_with_medium(disk: Path, medium: Path, key_iso: Path, work: Path, cell: Cell, log: Path) -> None:
    """Boot the medium's own kernel with the key's kickstart, and wait until it has done its work."""
    label = escape_label(inspect_medium(medium).volume_id)
    kernel = extract(medium, work, "images/pxeboot/vmlinuz")
    initrd = extract(medium, work, "images/pxeboot/initrd.img")
    serial = work / "console-key.log"
    machine = describe_machine(FirmwareKind.BIOS, work, serial)
    words = (
        f"inst.stage2=hd:LABEL={label} inst.ks=hd:LABEL={VOLUME}:/llave.ks inst.nosave=all "
        "console=tty0 console=ttyS0,115200"
    )
    more = [
        *("-kernel", str(kernel), "-initrd", str(initrd), "-append", words),
        *attach(disk, Bus.VIRTIO),
        *("-drive", f"file={medium},format=raw,media=cdrom,readonly=on"),
        *("-drive", f"file={key_iso},format=raw,media=cdrom,readonly=on"),
        *("-display", "none", "-no-reboot", "-nodefaults", "-vga", "none", "-net", "none"),
    ]
    argv = cell.inside(machine.argv(memory_mib=2048, cpus=2, more=more))
    console = Console(serial)
    seen: list[str] = []
    with start(argv, doing="open the throwaway copy", log=log, stdout_to_log=True, grace=0.0) as guest:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not any(DONE in line for line in seen):
            ended = not guest.running()
            new = console.lines()
            seen += new
            if any("ERROR" in line or "Kernel panic" in line for line in new) or (
                (ended or time.monotonic() > deadline) and not any(DONE in line for line in new)
            ):
                raise StageFailed(
                    f"the throwaway copy could not be opened: {' / '.join(seen[-3:]) or 'no output'}",
                    hint=f"the medium's installer said why in {log}",
                )
            time.sleep(0.3)
        while guest.running() and time.monotonic() < deadline:
            time.sleep(0.1)
