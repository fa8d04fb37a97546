"""What the build host offers: QEMU, its firmware and its accelerator, Packer, memory and disk.

Everything is found by trying it, not by the name of the distribution. A thing that is not there
is `HostUnready` with its remedy; `builder.doctor` shows the same facts all at once.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from builder.tools.errors import ForjaError, HostUnready
from builder.tools.process import environment, run

KVM = Path("/dev/kvm")
KVM_CREATE_VM = 0xAE01
"""linux/kvm.h: _IO(0xAE, 0x01)."""

QEMU_NAMES = ("qemu-system-x86_64", "qemu-kvm")
QEMU_OUTSIDE_PATH = Path("/usr/libexec/qemu-kvm")
"""Where RHEL's package qemu-kvm puts its only emulator."""


SYSTEM_PYTHONS = ("/usr/libexec/platform-python", "/usr/bin/python3")
"""Python of the system, with dnf's and rpm's modules: RHEL 8's own is not the one on PATH."""


# Importing dnf would take five times as long as to see that it is there.
LOOK = "import sys; from importlib.util import find_spec; sys.exit(not all(map(find_spec, sys.argv[1:])))"


@dataclass(frozen=True)
class Firmware:
    """UEFI firmware for a guest: read-only code and the variable store that each guest gets a copy of."""

    code: Path
    vars: Path
    needs_smm: bool = False
    """Starts only on q35 with `smm=on` and `cfi.pflash01.secure=on`, as all that RHEL ships."""


FIRMWARE = (
    # Debian and Ubuntu (ovmf): 4 MiB builds first, the 2 MiB ones are gone from Debian 13.
    Firmware(Path("/usr/share/OVMF/OVMF_CODE_4M.fd"), Path("/usr/share/OVMF/OVMF_VARS_4M.fd")),
    Firmware(Path("/usr/share/OVMF/OVMF_CODE.fd"), Path("/usr/share/OVMF/OVMF_VARS.fd")),
    # RHEL 8 and 9, Fedora (edk2-ovmf): RHEL has no build without Secure Boot.
    Firmware(Path("/usr/share/edk2/ovmf/OVMF_CODE.fd"), Path("/usr/share/edk2/ovmf/OVMF_VARS.fd")),
    Firmware(
        Path("/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd"),
        Path("/usr/share/edk2/ovmf/OVMF_VARS.fd"),
        needs_smm=True,
    ),
)


def find_qemu() -> Path:
    """Return the emulator of x86-64 machines.

    Raises:
        HostUnready: there is none.
    """
    for name in QEMU_NAMES:
        found = shutil.which(name, path=environment()["PATH"])
        if found:
            return Path(found)
    if os.access(QEMU_OUTSIDE_PATH, os.X_OK):
        return QEMU_OUTSIDE_PATH
    raise HostUnready(
        "QEMU (qemu-system-x86_64, or qemu-kvm in /usr/libexec) is not on this host",
        hint="run 'make setup', or install qemu-system-x86 (apt) or qemu-kvm (dnf)",
    )


def find_firmware() -> Firmware:
    """Return the UEFI firmware for guests, the plainest that this host has.

    Raises:
        HostUnready: there is none.
    """
    for firmware in FIRMWARE:
        if firmware.code.is_file() and firmware.vars.is_file():
            return firmware
    raise HostUnready(
        "UEFI firmware for guests (OVMF) is not on this host",
        hint="run 'make setup', or install ovmf (apt) or edk2-ovmf (dnf)",
    )


def accelerator() -> Literal["kvm", "tcg"]:
    """Return "kvm" if QEMU can use it here for an unmodified guest, "tcg" (slow, in software) if not."""
    return "tcg" if kvm_trouble() else "kvm"


@cache
def kvm_trouble() -> str:
    """Say why KVM can't be used, or return "" if it can.

    A device file is not enough: it may be closed to this user, have no processor behind it, or
    (pagetable-based virtual machines, `kvm_pvm`) run only kernels that were made for it, while an
    unmodified one hangs without a word.
    """
    try:
        device = os.open(KVM, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            return f"{KVM} is not open to this user"
        if error.errno == errno.ENOENT:
            return f"there is no {KVM}"
        return f"{KVM} can't be opened: {error.strerror}"
    try:
        os.close(fcntl.ioctl(device, KVM_CREATE_VM, 0))
    except OSError as error:
        return f"{KVM} gives no machine: {error.strerror}"
    finally:
        os.close(device)
    if not re.search(r"^flags\s*:.*\b(?:vmx|svm)\b", Path("/proc/cpuinfo").read_text(), re.MULTILINE):
        return (
            f"{KVM} is there, but the processor shows neither vmx nor svm: it would run special kernels only"
        )
    return _trial_trouble()


def _trial_trouble() -> str:
    """Start a machine with KVM and the host's processor, stopped, and end it: does QEMU take it?"""
    try:
        machine = ["-machine", "q35,accel=kvm", "-cpu", "host", "-nodefaults", "-display", "none"]
        run(
            [find_qemu(), *machine, "-S", "-monitor", "stdio"],
            doing="start a machine with KVM",
            stdin=b"quit\n",
            timeout=20,
        )
    except ForjaError as error:
        return error.message
    return ""


def memory_mib() -> int:
    """Return the memory in MiB that guests can have now without swapping (MemAvailable, proc(5))."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    if not found:
        raise HostUnready("/proc/meminfo does not say MemAvailable", hint="is /proc mounted?")
    return int(found.group(1)) // 1024


def free_bytes(path: Path) -> int:
    """Return the bytes free for this user where `path` lies or would lie."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def find_packer() -> Path:
    """Return HashiCorp's Packer.

    Where cracklib is installed (every RHEL), a `packer` of its own lies in an sbin folder: it packs
    word lists, reads standard input and writes files into the working folder. It is passed over.

    Raises:
        HostUnready: there is none.
    """
    for folder in environment()["PATH"].split(":"):
        path = Path(folder or ".") / "packer"
        if os.access(path, os.X_OK) and path.is_file() and "cracklib" not in path.resolve().name:
            return path
    raise HostUnready(
        "HashiCorp's Packer is not on this host",
        hint="install packer (apt), or put its single binary into /usr/local/bin; RHEL has no package of it",
    )


def packer_version() -> tuple[int, int, int]:
    """Return Packer's version.

    Raises:
        HostUnready: there is no Packer, or it does not say its version.
    """
    said = run(
        [find_packer(), "version"], doing="ask Packer its version", env=PACKER_QUIET, timeout=60
    ).stdout
    found = re.search(r"Packer v?(\d+)\.(\d+)\.(\d+)", said)
    if not found:
        raise HostUnready(
            f"{find_packer()} is not HashiCorp's Packer", hint="put Packer's folder first on PATH"
        )
    return int(found.group(1)), int(found.group(2)), int(found.group(3))


PACKER_QUIET = {"CHECKPOINT_DISABLE": "1"}
"""Keeps Packer from asking its maker's server for news: a build host may have no network."""


def packer_plugins() -> list[str]:
    """Return the paths of the plugins that a Packer of 1.7 or later has; an older one has them built in.

    Raises:
        StageFailed: it can't say.
    """
    said = run(
        [find_packer(), "plugins", "installed"], doing="list Packer's plugins", env=PACKER_QUIET, timeout=60
    )
    return [line.strip() for line in said.stdout.splitlines() if "packer-plugin-" in line]


@cache
def find_system_python() -> Path:
    """Return the system's Python that has dnf and rpm, the modules that no virtual environment can hold.

    Raises:
        HostUnready: none has.
    """
    for path in SYSTEM_PYTHONS:
        if Path(path).exists():
            tried = run(
                [path, "-I", "-c", LOOK, "dnf", "hawkey", "rpm"],
                doing="look for dnf",
                accept=range(256),
            )
            if tried.returncode == 0:
                return Path(path)
    raise HostUnready(
        "no Python of this host has dnf and rpm, which solve and check the packages",
        hint="apt install python3-dnf python3-rpm, or dnf install python3-dnf python3-rpm",
    )
