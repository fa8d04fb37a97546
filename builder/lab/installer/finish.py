"""The end: what stays of the installation on the target, and how the machine stops."""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import struct
from pathlib import Path

from .program import SYSROOT, TMP, write_file

POWER_OFF, RESTART, HALT = 0x4321FEDC, 0x01234567, 0xCDEF0123  # reboot(2)
ENDINGS = {"poweroff": POWER_OFF, "shutdown": POWER_OFF, "reboot": RESTART, "halt": HALT}
SG_IO = 0x2285


def keep_records(kickstart: Path, nosave: str) -> None:
    """Leave kickstart and logs on the target where Anaconda leaves them, after the %post scripts.

    Args:
        kickstart: the kickstart that was read.
        nosave: value of ``inst.nosave``: input_ks, output_ks, all_ks, logs, all (commas between).
    """
    omitted = set(nosave.split(","))
    text = kickstart.read_text(encoding="utf-8")
    if not omitted & {"all", "all_ks", "input_ks"}:
        write_file(SYSROOT / "root/original-ks.cfg", text, 0o600)
    if not omitted & {"all", "all_ks", "output_ks"}:
        write_file(SYSROOT / "root/anaconda-ks.cfg", f"# Written by the laboratory installer\n{text}", 0o600)
    if not omitted & {"all", "logs"}:
        folder = SYSROOT / "var/log/anaconda"
        folder.mkdir(mode=0o755, exist_ok=True)
        for log in sorted(TMP.glob("*.log")):
            shutil.copyfile(log, folder / log.name)
            (folder / log.name).chmod(0o600)


def stop(how: int, *, eject: str = "") -> None:
    """Stop the machine; nothing may be left to do.

    Args:
        how: POWER_OFF, RESTART or HALT.
        eject: device whose disc to put out before, "" for none. Our own program lies on that disc, so
            nothing is read after it.
    """
    os.sync()
    call = ctypes.CDLL(None, use_errno=True).reboot
    if eject:
        _eject(eject)
    call(ctypes.c_int(how if how < 0x80000000 else how - 0x100000000))


def _eject(device: str) -> None:
    """Unlock and eject by SCSI commands, which the kernel's own eject refuses while the disc is mounted."""
    try:
        handle = os.open(device, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return
    for command in (bytes([0x1E, 0, 0, 0, 0, 0]), bytes([0x1B, 0, 0, 0, 2, 0])):
        words, sense = ctypes.create_string_buffer(command, 6), ctypes.create_string_buffer(64)
        # struct sg_io_hdr, scsi/sg.h: interface 'S', no data (-1), 10 s
        header = struct.pack(
            "@iiBBHIPPPIIiPBBBBHHiII0P",
            ord("S"), -1, 6, 64, 0, 0, 0, ctypes.addressof(words), ctypes.addressof(sense),
            10000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        )  # fmt: skip
        try:
            fcntl.ioctl(handle, SG_IO, header)
        except OSError:
            return
