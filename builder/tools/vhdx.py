"""VHDX files held to Microsoft's specification of them, [MS-VHDX]: what qemu-img leaves open, and a check.

A reader of our own, so that not only qemu-img says of qemu-img's files that they are good. It is stricter
than the format: it takes a new dynamic disk only, closed well, none of whose structures has two readings.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from uuid import UUID

from builder.tools.errors import StageFailed
from builder.tools.files import MIB

KIB = 2**10
HEADERS = (64 * KIB, 128 * KIB)
HEADER_SIZE = 4 * KIB
REGION_TABLES = (192 * KIB, 256 * KIB)
TABLE_SIZE = 64 * KIB
"""Of a region table, and of the metadata table."""
BAT = UUID("2dc27766-f623-4200-9d64-115e9bfd4a08")
METADATA = UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e")

FILE_PARAMETERS = UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b")
VIRTUAL_DISK_SIZE = UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8")
VIRTUAL_DISK_ID = UUID("beca12ab-b2e6-4523-93ef-c309e000c746")
LOGICAL_SECTOR_SIZE = UUID("8141bf1d-a96f-4709-ba47-f233a8faab5f")
PHYSICAL_SECTOR_SIZE = UUID("cda348c7-445d-4471-9cc9-e9885251c556")
REQUIRED, VIRTUAL_DISK = 4, 2
ITEMS = {
    FILE_PARAMETERS: (8, REQUIRED),
    VIRTUAL_DISK_SIZE: (8, REQUIRED | VIRTUAL_DISK),
    VIRTUAL_DISK_ID: (16, REQUIRED | VIRTUAL_DISK),
    LOGICAL_SECTOR_SIZE: (4, REQUIRED | VIRTUAL_DISK),
    PHYSICAL_SECTOR_SIZE: (4, REQUIRED | VIRTUAL_DISK),
}
"""The metadata of a disk without a parent: length in bytes, and flags (section 2.6.2)."""

LOGICAL_SECTOR, PHYSICAL_SECTOR = 512, 4096
"""What New-VHD gives a disk: a host whose disks have sectors of 4 KiB is never asked to write less."""
CHUNK_SECTORS = 2**23
"""Sectors that one block of the sector bitmap covers (section 2.5)."""
BLOCK_ZERO, BLOCK_FULLY_PRESENT = 2, 6


def set_what_qemu_leaves(path: Path) -> None:
    """Mark both regions as required (section 2.2.3.2), and set sectors of 4 KiB, as New-VHD does.

    qemu-img (7.2) writes 0 where the specification says that both regions are required, and physical sectors
    of 512 bytes.
    """
    with path.open("r+b", buffering=0) as file:
        for start in REGION_TABLES:
            table = bytearray(_read(path, start, TABLE_SIZE))
            for number in range(struct.unpack_from("<I", table, 8)[0]):
                struct.pack_into("<I", table, 16 + 32 * number + 28, 1)
            struct.pack_into("<I", table, 4, _checksum(table))
            file.seek(start)
            file.write(table)
        region = _regions(path)[METADATA][0]
        at, _ = _items(path, region)[PHYSICAL_SECTOR_SIZE]
        file.seek(region + at)
        file.write(struct.pack("<I", PHYSICAL_SECTOR))


def check_vhdx(path: Path, *, size: int, block: int) -> None:
    """Check every structure of a dynamic VHDX.

    Args:
        size: bytes that the disk must have.
        block: bytes of a block of it.

    Raises:
        StageFailed: it is not as the specification and Hyper-V want it; the message says what is wrong.
    """
    end, rest = divmod(path.stat().st_size, MIB)
    _demand(rest == 0 and end > 0, f"{path.stat().st_size} bytes are no whole MiB")
    _demand(_read(path, 0, 8) == b"vhdxfile", "it does not begin with 'vhdxfile'")
    log, regions, taken = _check_headers(path), _regions(path), {0}
    for start, length in (log, *regions.values()):
        _demand(start % MIB == length % MIB == 0 and length > 0, "the log or a region is on no whole MiB")
        units = set(range(start // MIB, (start + length) // MIB))
        _demand(not units & taken and max(units) < end, "the log or a region lies on another, or outside")
        taken |= units
    _check_metadata(path, regions[METADATA][0], size, block)
    _check_blocks(path, regions[BAT], size, block, taken, end)


def _check_headers(path: Path) -> tuple[int, int]:
    """Check both headers (section 2.2.2), and return where the log lies."""
    numbers, logs = set(), set()
    for number, start in enumerate(HEADERS, 1):
        data = _read(path, start, HEADER_SIZE)
        fields = struct.unpack_from("<4sIQ16s16s16sHHIQ", data)
        signature, checksum, sequence, _, _, log_guid, log_version, version, log_length, log_start = fields
        _demand(signature == b"head" and checksum == _checksum(data), f"header {number} is damaged")
        _demand((log_version, version) == (0, 1), f"header {number} is of version {version}")
        _demand(not any(log_guid), f"header {number} says that the log has to be replayed")
        numbers.add(sequence)
        logs.add((log_start, log_length))
    _demand(len(numbers) == 2 and len(logs) == 1, "the two headers don't belong together")
    return logs.pop()


def _regions(path: Path) -> Mapping[UUID, tuple[int, int]]:
    """Check both region tables (section 2.2.3), and return where each region lies: start and length."""
    first, second = (_read(path, start, TABLE_SIZE) for start in REGION_TABLES)
    signature, checksum, count, _ = struct.unpack_from("<4sIII", first)
    _demand(
        first == second and signature == b"regi" and checksum == _checksum(first), "a region table is damaged"
    )
    regions = {}
    for number in range(min(count, 2047)):
        guid, start, length, required = struct.unpack_from("<16sQII", first, 16 + 32 * number)
        regions[UUID(bytes_le=guid)] = (start, length)
        _demand(required == 1, "a region is not marked as required")
    _demand(count == 2 and set(regions) == {BAT, METADATA}, "its regions are not BAT and metadata")
    return regions


def _items(path: Path, region: int) -> Mapping[UUID, tuple[int, bytes]]:
    """Check the metadata table (section 2.6.1), and return each item's place in the region and its value."""
    table = _read(path, region, TABLE_SIZE)
    signature, _, count = struct.unpack_from("<8sHH", table)
    _demand(signature == b"metadata" and count == len(ITEMS), "the metadata table is damaged")
    items = {}
    for number in range(count):
        guid, at, length, flags, _ = struct.unpack_from("<16sIIII", table, 32 + 32 * number)
        item = UUID(bytes_le=guid)
        _demand(ITEMS.get(item) == (length, flags), f"the metadata item {item} is none of a plain disk")
        _demand(TABLE_SIZE <= at <= MIB - length, f"the metadata item {item} lies outside its region")
        items[item] = (at, _read(path, region + at, length))
    _demand(set(items) == set(ITEMS), "a metadata item is there twice")
    return items


def _check_metadata(path: Path, region: int, size: int, block: int) -> None:
    values = {item: value for item, (_, value) in _items(path, region).items()}
    wanted = {
        # No blocks kept allocated (that would be a fixed disk), no parent.
        FILE_PARAMETERS: ("block size or flags", struct.pack("<II", block, 0)),
        VIRTUAL_DISK_SIZE: ("size", struct.pack("<Q", size)),
        LOGICAL_SECTOR_SIZE: ("logical sector size", struct.pack("<I", LOGICAL_SECTOR)),
        PHYSICAL_SECTOR_SIZE: ("physical sector size", struct.pack("<I", PHYSICAL_SECTOR)),
    }
    for item, (what, value) in wanted.items():
        _demand(values[item] == value, f"its {what} is not as asked: {values[item].hex()}")
    _demand(size % MIB == 0, f"a disk of {size} bytes is no whole MiB")
    _demand(any(values[VIRTUAL_DISK_ID]), "the disk has no identity (page 83)")


def _check_blocks(
    path: Path, region: tuple[int, int], size: int, block: int, taken: set[int], end: int
) -> None:
    """Check the block allocation table (section 2.5): the blocks fill the file's end, each for one place."""
    start, length = region
    ratio = CHUNK_SECTORS * LOGICAL_SECTOR // block
    blocks = -(-size // block)
    count = blocks + (blocks - 1) // ratio
    _demand(8 * count <= length, "the block allocation table is too small for the disk")
    entries = struct.unpack(f"<{length // 8}Q", _read(path, start, length))
    bitmaps = set(range(ratio, count, ratio + 1))
    units: list[int] = []
    for number, entry in enumerate(entries):
        # State in 3 bits, 17 reserved, and the place in MiB (section 2.5.1).
        state, at = entry & 0xFFFFF, entry >> 20
        if number >= count or number in bitmaps:
            _demand(entry == 0, f"entry {number} of the block allocation table stands for nothing")
        elif state == BLOCK_FULLY_PRESENT:
            units += range(at, at + block // MIB)
        else:
            _demand(entry == BLOCK_ZERO, f"entry {number} of the block allocation table is {entry:#x}")
    _demand(
        sorted(units) == list(range(end - len(units), end)) and not taken & set(units),
        "the blocks overlap, or lie outside the file, or some belong to nothing",
    )


def _read(path: Path, start: int, length: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        data = file.read(length)
    _demand(len(data) == length, f"it ends before byte {start + length}")
    return data


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise StageFailed(f"the VHDX is not as Hyper-V wants it: {otherwise}")


@cache
def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)  # noqa: PLW2901 - the register itself
        table.append(value)
    return tuple(table)


def crc32c(data: bytes) -> int:
    """Return the CRC-32C (Castagnoli) of data: RFC 3720, appendix B.4. zlib has only the other polynomial."""
    table, register = _crc_table(), 0xFFFFFFFF
    for byte in data:
        register = table[(register ^ byte) & 0xFF] ^ register >> 8
    return register ^ 0xFFFFFFFF


def _checksum(structure: bytes | bytearray) -> int:
    """Return the checksum of a header or region table: over all of it, its own field (at 4) as zeros."""
    return crc32c(bytes(structure[:4]) + bytes(4) + bytes(structure[8:]))
