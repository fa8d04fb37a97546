"""A QEMU guest: its argument list on this host, and its serial console."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from builder.tools.host import accelerator, find_firmware, find_qemu


class FirmwareKind(StrEnum):
    """What a guest boots with: BIOS (Hyper-V generation 1) or UEFI (generation 2)."""

    BIOS = "bios"
    UEFI = "uefi"


class Bus(StrEnum):
    """What a guest's disk hangs on."""

    VIRTIO = "virtio"
    IDE = "ide"
    SCSI = "scsi"


HYPERV_BUS = {FirmwareKind.BIOS: Bus.IDE, FirmwareKind.UEFI: Bus.SCSI}
"""What Hyper-V boots a machine's disk from: generation 1 from IDE only, generation 2 from SCSI only."""


def attach(disk: Path, bus: Bus) -> list[str]:
    """Return QEMU's words for a throwaway qcow2 disk on a bus."""
    drive = f"file={disk},format=qcow2,cache=unsafe"
    if bus is Bus.SCSI:
        words = ["-device", "virtio-scsi-pci", "-drive", f"{drive},if=none,id=disk"]
        return [*words, "-device", "scsi-hd,drive=disk,bootindex=0"]
    return ["-drive", f"{drive},if={bus}"]


@dataclass(frozen=True)
class Machine:
    """How this host runs a guest."""

    program: Path
    kind: str
    """Machine type, without options."""
    accelerator: str
    machine_options: tuple[str, ...] = ()
    arguments: tuple[tuple[str, ...], ...] = ()
    """Switches and their values, besides disks and network."""

    def argv(self, *, memory_mib: int, cpus: int, more: Sequence[str]) -> list[str]:
        """Return the whole argument list of a guest."""
        return [
            str(self.program),
            "-machine",
            ",".join((self.kind, f"accel={self.accelerator}", *self.machine_options)),
            "-m",
            str(memory_mib),
            "-smp",
            str(cpus),
            *(word for argument in self.arguments for word in argument),
            *more,
        ]


def describe_machine(firmware: FirmwareKind, work: Path, serial: Path) -> Machine:
    """Return how this host runs a guest with a firmware.

    Args:
        firmware: BIOS or UEFI; for UEFI an empty variable store is put into `work`.
        work: a folder that lives as long as the guest.
        serial: the file that the guest's first serial port writes to.

    Raises:
        HostUnready: QEMU or its firmware is not on this host.
    """
    arguments: list[tuple[str, ...]] = [
        ("-cpu", "host" if accelerator() == "kvm" else "max"),
        ("-serial", f"file:{serial}"),
    ]
    options: list[str] = []
    kind = "pc"
    if firmware is FirmwareKind.UEFI:
        found = find_firmware()
        variables = work / "uefi-vars.fd"
        shutil.copyfile(found.vars, variables)
        blocks = (
            f"driver=file,node-name=code-file,filename={found.code},read-only=on",
            "driver=raw,node-name=code,file=code-file,read-only=on",
            f"driver=file,node-name=vars-file,filename={variables}",
            "driver=raw,node-name=vars,file=vars-file",
        )
        arguments += [("-blockdev", block) for block in blocks]
        options += ["pflash0=code", "pflash1=vars"]
        if found.needs_smm:
            kind = "q35"
            options.append("smm=on")
            arguments.append(("-global", "driver=cfi.pflash01,property=secure,value=on"))
    return Machine(find_qemu(), kind, accelerator(), tuple(options), tuple(arguments))


@dataclass
class Console:
    """A guest's serial console, read as it grows."""

    path: Path
    position: int = 0
    rest: str = field(default="", repr=False)

    def lines(self) -> list[str]:
        """Return the whole lines that came since the last call, without control characters."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(self.position)
            data = file.read()
        self.position += len(data)
        whole, newline, rest = (self.rest + data.decode("utf-8", "replace")).rpartition("\n")
        if not newline:
            self.rest = rest
            return []
        self.rest = rest
        return [_printable(line) for line in whole.split("\n")]


def _printable(line: str) -> str:
    return "".join(char for char in line if char.isprintable() or char == "\t").strip()
