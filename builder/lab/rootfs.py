"""The Debian root file system that the laboratory installs, and boots its installer from.

Made once by mmdebstrap into three archives: ``root.tar`` (the payload), ``stage2.tar`` (what only the
installer needs) and ``boot.tar`` (isolinux).
"""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from builder.lab.content import Content
from builder.tools.apt import debian_sources, proxy_options
from builder.tools.process import require_program, run

SUITE = "bookworm"
RECIPE = Path(__file__).parent / "recipe"
MMDEBSTRAP_SECONDS = 3600

BASE_PACKAGES = [
    "linux-image-cloud-amd64",
    "initramfs-tools",
    "kmod",
    "systemd",
    "systemd-sysv",
    "udev",
    "dbus",
    "iproute2",
    "login",
    "passwd",
    "lvm2",
    "xfsprogs",
    "e2fsprogs",
    "dosfstools",
    "grub2-common",
    "grub-pc-bin",
    "grub-efi-amd64-bin",
    "grub-efi-amd64-signed",
    "shim-signed",
    "efibootmgr",
    "locales",
    "kbd",
    "console-setup",
    "tzdata",
    "apt",
    "libnss-myhostname",
]
"""Installed whatever the kickstart asks: what Anaconda itself adds to a package selection (kernel,
boot loaders, tools of the file systems used) and what @core would bring."""

LEFT_OUT = (
    *(f"path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "info", "locale", "lintian", "bug")),
    "path-include=/usr/share/doc/*/copyright",
    "path-include=/usr/share/locale/locale.alias",
    "path-include=/usr/share/locale/es/*",
)
"""Documentation and other languages: a third of the payload, unpacked under emulation each time."""

STAGE2_PACKAGES = ["python3", "squashfs-tools", "fdisk", "gdisk", "parted", "busybox-static"]
BOOT_PACKAGES = ["isolinux", "syslinux-common"]


@dataclass(frozen=True)
class Rootfs:
    """The archives of one root file system."""

    folder: Path

    @property
    def root(self) -> Path:
        """Return the payload."""
        return self.folder / "root.tar"

    @property
    def stage2(self) -> Path:
        """Return what the live installer has on top of it."""
        return self.folder / "stage2.tar"

    @property
    def boot(self) -> Path:
        """Return the BIOS boot loader of the medium."""
        return self.folder / "boot.tar"


def rootfs_key(content: Content) -> str:
    """Return the hash of what a root file system depends on (not the state of the Debian archive)."""
    digest = hashlib.sha256()
    for part in (SUITE, content.name, *BASE_PACKAGES, "/", *STAGE2_PACKAGES, "/", *BOOT_PACKAGES, "/"):
        digest.update(f"{part}\n".encode())
    for package in content.debian_packages():
        digest.update(f"{package}\n".encode())
    for source in (Path(__file__), *sorted(RECIPE.iterdir())):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def make_rootfs(content: Content, *, cache: Path, log: Path, epoch: int) -> Rootfs:
    """Return the root file system for a content, made when the cache has none.

    Args:
        cache: folder that keeps it, under ``rootfs-<key>/``.
        log: where mmdebstrap's output goes.
        epoch: SOURCE_DATE_EPOCH, seconds: the latest time that any file in it has.

    Raises:
        HostUnready: mmdebstrap is not on this host.
        StageFailed: mmdebstrap failed (no network, an unknown package).
    """
    made = Rootfs(cache / f"rootfs-{rootfs_key(content)}")
    if made.folder.is_dir():
        os.utime(made.folder)
        return made
    require_program("mmdebstrap", purpose="makes the laboratory's Debian", package="mmdebstrap")
    partial = cache / f"{made.folder.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        sources = partial / "sources.list"
        sources.write_text("".join(f"{line}\n" for line in debian_sources(SUITE)), encoding="utf-8")
        run(
            mmdebstrap_argv(content, partial, sources),
            doing="make the laboratory's Debian root file system",
            log=log,
            env={"SOURCE_DATE_EPOCH": str(epoch)},
            timeout=MMDEBSTRAP_SECONDS,
        )
        partial.rename(made.folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return made


def mmdebstrap_argv(content: Content, folder: Path, sources: Path) -> list[str | Path]:
    """Return mmdebstrap's command line; its archives go to `folder`."""
    packages = ",".join(sorted({*BASE_PACKAGES, *content.debian_packages()}))
    customize = " ".join(
        (
            f"sh '{RECIPE / 'customize.sh'}' \"$1\"",
            f"'{content.name}' '{' '.join(STAGE2_PACKAGES)}' '{' '.join(BOOT_PACKAGES)}'",
        )
    )
    return [
        "mmdebstrap",
        "--variant=minbase",
        f"--include={packages}",
        *(f"--dpkgopt={option}" for option in LEFT_OUT),
        *proxy_options(),
        f"--essential-hook=copy-in '{RECIPE / 'preseed'}' /tmp",
        '--essential-hook=chroot "$1" debconf-set-selections /tmp/preseed && rm "$1/tmp/preseed"',
        f"--customize-hook={customize}",
        f"--customize-hook=tar-out /beside/stage2 '{folder / 'stage2.tar'}'",
        f"--customize-hook=tar-out /beside/boot '{folder / 'boot.tar'}'",
        '--customize-hook=rm -rf "$1/beside"',
        SUITE,
        folder / "root.tar",
        sources,
    ]
