"""Where the kickstart is: the kernel argument ``inst.ks``, as dracut and Anaconda read it."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from .program import InstallError, run

REPO = Path("/run/install/repo")
COPY = Path("/run/install/ks.cfg")
HELD = Path("/run/install/kickstart")

KNOWN_ARGUMENTS = ("stage2", "ks", "text", "cmdline", "repo", "nosave", "gpt", "graphical", "noverifyssl")
"""Arguments ``inst.<word>`` that are understood, or make no difference here."""


@dataclass(frozen=True)
class KickstartSource:
    """A parsed ``inst.ks``: a device (path or ``TAG=value``), or none for the medium itself."""

    device: str
    path: str


def argument(cmdline: str, name: str) -> str:
    """Return the value of a kernel argument; the last one counts, "" when there is none."""
    values = re.findall(rf"(?:^|\s){re.escape(name)}=(\S*)", cmdline)
    return str(values[-1]) if values else ""


def unknown_arguments(cmdline: str) -> list[str]:
    """Return the installer's arguments (inst.*, rd.live.*) that mean nothing here."""
    words = [word.partition("=")[0] for word in cmdline.split()]
    known = [f"inst.{word}" for word in KNOWN_ARGUMENTS]
    return [word for word in words if word.startswith(("inst.", "rd.live.")) and word not in known]


def parse_source(value: str) -> KickstartSource:
    r"""Parse the value of ``inst.ks``.

    Args:
        value: ``hd:<device>:<path>`` (device ``LABEL=x``, ``UUID=x``, ``/dev/sdb`` or ``sdb``, with
            ``\x20`` for a space), ``cdrom[:<path>]`` or ``file:<path>``.

    Raises:
        InstallError: any other form, such as http: there is no network in this installer.
    """
    kind, _, rest = value.partition(":")
    if kind == "hd":
        device, _, path = rest.partition(":")
        device = re.sub(r"\\x([0-9a-fA-F]{2})", lambda match: chr(int(match[1], 16)), device)
        if not device:
            raise InstallError(f"inst.ks={value} names no device")
        if not re.match(r"(LABEL|UUID)=", device):
            device = f"/dev/{device.removeprefix('/dev/')}"
        return KickstartSource(device, path or "/ks.cfg")
    if kind == "cdrom":
        return KickstartSource("", rest or "/ks.cfg")
    if kind == "file":
        return KickstartSource("/", rest)
    raise InstallError(f"inst.ks={value}: the laboratory reads hd:, cdrom: and file: only")


def fetch_kickstart(source: KickstartSource) -> Path:
    """Copy the kickstart to /run/install/ks.cfg and return its path.

    Raises:
        InstallError: no such device, or no such file on it.
    """
    base, mounted = REPO, False
    if source.device == "/":
        base = Path("/")
    elif source.device:
        device = _find_device(source.device)
        if device != device_of(REPO):
            HELD.mkdir(exist_ok=True)
            run(["mount", "-o", "ro", device, HELD], doing=f"mount {device}, where inst.ks points")
            base, mounted = HELD, True
    try:
        file = base / source.path.lstrip("/")
        if not file.is_file():
            raise InstallError(f"inst.ks: there is no {source.path} on {source.device or 'the medium'}")
        shutil.copyfile(file, COPY)
        COPY.chmod(0o600)
    finally:
        if mounted:
            run(["umount", HELD], doing="release the device of the kickstart")
    return COPY


def _find_device(device: str) -> str:
    if device.startswith("/dev/"):
        if not Path(device).exists():
            raise InstallError(f"inst.ks: this machine has no {device}")
        return str(Path(device).resolve())
    found = run(["blkid", "-t", device, "-o", "device"], doing=f"find {device}", accept=(0, 2)).split()
    if not found:
        raise InstallError(f"inst.ks: no device has {device}")
    # The whole medium and its first partition share a label when it lies on a USB stick.
    return device_of(REPO) if device_of(REPO) in found else found[0]


def device_of(mountpoint: Path) -> str:
    """Return the device that is mounted at a place, or ""."""
    for line in Path("/proc/mounts").read_text().splitlines():
        device, point = line.split()[:2]
        if point == str(mountpoint):
            return str(Path(device).resolve())
    return ""
