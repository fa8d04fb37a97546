"""The boot catalog of an ISO (El Torito Bootable CD-ROM Format 1.0; UEFI Specification 2.8, 13.3.2.1)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

SECTOR = 2048
SYSTEM_ID = b"EL TORITO SPECIFICATION"
PLATFORMS = {0x00: "BIOS", 0xEF: "UEFI"}
BOOTABLE = 0x88
HEADERS, LAST_HEADER = (0x90, 0x91), 0x91
ENTRY = 32
TABLE = slice(8, 24)


@dataclass(frozen=True)
class BootImage:
    """What firmware starts from an ISO."""

    firmware: str
    """BIOS or UEFI."""
    offset: int
    """Where it begins in the ISO, bytes."""
    path: str = ""
    """Its file, when it is one."""


def read_boot_images(iso: Path, files: Mapping[str, tuple[int, int]]) -> tuple[BootImage, ...]:
    """Return the bootable images in an ISO's boot catalog, in its order; none when it has no catalog.

    Args:
        files: path -> (offset, size) of the files in the ISO.
    """
    paths = {offset: path for path, (offset, _) in sorted(files.items(), reverse=True)}
    with iso.open("rb") as file:
        file.seek(17 * SECTOR)
        record = file.read(SECTOR)
        if record[:6] != b"\x00CD001" or record[7 : 7 + len(SYSTEM_ID)] != SYSTEM_ID:
            return ()
        file.seek(struct.unpack_from("<I", record, 71)[0] * SECTOR)
        catalog = file.read(SECTOR)
    return tuple(
        BootImage(PLATFORMS.get(platform, f"{platform:#04x}"), offset, paths.get(offset, ""))
        for platform, offset in read_entries(catalog)
    )


def read_entries(catalog: bytes) -> Iterator[tuple[int, int]]:
    """Give (platform id, offset) of the bootable entries of a boot catalog."""
    platform, header, last = catalog[1], 0x01, False
    for place in range(0, len(catalog) - ENTRY + 1, ENTRY):
        entry = catalog[place : place + ENTRY]
        if place == 0 and entry[0] != header:
            return
        if entry[0] in HEADERS and not last:
            platform, last = entry[1], entry[0] == LAST_HEADER
        elif entry[0] == BOOTABLE:
            yield platform, struct.unpack_from("<I", entry, 8)[0] * SECTOR


def holds_boot_table(image: bytes, offset: int) -> bool | None:
    """Say whether a BIOS boot image is what its own boot information table says; None when it has none.

    The table (mkisofs(8), -boot-info-table) holds, from byte 8: the block of the volume descriptor (16), the
    image's block, its length, and the sum of its 32-bit words from byte 64 on.
    """
    descriptor, block, length, checksum = struct.unpack("<4I", image[TABLE])
    if descriptor != 16 or block * SECTOR != offset:
        return None
    body = image[64:] + bytes(-len(image) % 4)
    total = sum(struct.unpack(f"<{len(body) // 4}I", body)) & 0xFFFFFFFF
    return bool(length == len(image) and total == checksum)
