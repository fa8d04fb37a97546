"""The image: the medium runs in a machine without a network until it has installed itself.

Packer runs that machine, or livemedia-creator on a RHEL host. Neither's exit code is trusted alone: the disk
must be there and new, whole by qemu-img's check, and the guest itself must have said that it was sealed.
"""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path

from builder.ask.plan import Plan
from builder.make.image.livemedia import install_by_livemedia
from builder.make.image.packer import TEMPLATES, install_by_packer
from builder.make.image.resources import Resources
from builder.tools.files import MIB, finished, scratch
from builder.tools.machine import FirmwareKind
from builder.tools.process import run
from builder.tools.vhdx import check_vhdx, set_what_qemu_leaves

__all__ = ["TEMPLATES", "Resources", "Way", "build_image", "convert_to_vhdx"]


class Way(StrEnum):
    """A program that runs the machine that installs."""

    PACKER = "packer"
    LIVEMEDIA = "livemedia-creator"


def build_image(
    plan: Plan,
    medium: Path,
    path: Path,
    *,
    firmware: FirmwareKind,
    logs: Path,
    resources: Resources,
    way: Way = Way.PACKER,
) -> Path:
    """Build the qcow2 of a plan from its medium.

    Args:
        path: where the image is put, once it is whole.
        logs: folder for the logs of the program and of the machine's console.
        way: the program that runs the machine.

    Raises:
        HostUnready: that program is not on this host, or can't run here.
        StageFailed: the installation failed, did not end, or left no image; the message says why.
    """
    logs.mkdir(parents=True, exist_ok=True)
    install = install_by_packer if way is Way.PACKER else install_by_livemedia
    with scratch(path.parent, "image") as work:
        built = install(plan, medium, work, firmware=firmware, logs=logs, resources=resources)
        run(["qemu-img", "check", built], doing="check the image", log=logs / "image.log")
        built.replace(path)
    return path


def convert_to_vhdx(image: Path, path: Path, *, log: Path) -> Path:
    """Write the same disk as a dynamic VHDX for Hyper-V, and check its structure and its content.

    Blocks of 1 MiB, as Microsoft advises for Linux guests: their file systems write a little everywhere, and
    each first write takes a block (of 16 MiB if qemu-img chose for a disk of this size, 32 if New-VHD did).

    Raises:
        StageFailed: qemu-img failed, the VHDX is not as Hyper-V wants it, or the two differ.
    """
    asked = run(["qemu-img", "info", "--output=json", image], doing="ask for the size of the image")
    with finished(path) as partial:
        run(
            [
                *("qemu-img", "convert", "-f", "qcow2", "-O", "vhdx"),
                *("-o", f"subformat=dynamic,block_size={MIB}", image, partial),
            ],
            doing="convert the image to VHDX",
            log=log,
        )
        set_what_qemu_leaves(partial)
        check_vhdx(partial, size=json.loads(asked.stdout)["virtual-size"], block=MIB)
        run(
            ["qemu-img", "compare", "-f", "qcow2", "-F", "vhdx", image, partial],
            doing="compare both",
            log=log,
        )
    return path
