"""A small ISO 9660 image of a few files in one folder, the same bytes for the same files.

Of our own, because a fleet wants hundreds in a second: xorriso takes a tenth of a second to start, and
pycdlib puts the time of day into the image. No more of ECMA-119 than that: interchange level 1, no Rock
Ridge, no Joliet; every system reads it, and tests read it back with xorriso and with the kernel.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping

SECTOR = 2048
EPOCH = bytes((70, 1, 1, 0, 0, 0, 0))
"""1 January 1970 as a folder's record writes it (9.1.5): nothing here tells when it was made."""
LONG_EPOCH = b"1970010100000000\x00"
NEVER = b"0" * 16 + b"\x00"
NAME = re.compile(r"[A-Z0-9_]{1,8}\.[A-Z0-9_]{1,3}")
FIRST = 20
"""The root folder's sector: 16 and 17 are descriptors, 18 and 19 path tables."""


def small_iso(label: str, files: Mapping[str, bytes]) -> bytes:
    """Return an ISO 9660 image with `files` (upper-case 8.3 name -> content) in its root folder.

    Linux shows the names in lower case. `label` is of A-Z, 0-9 and `_`, 32 at most.

    Raises:
        ValueError: a name or the label is none of ISO 9660.
    """
    if not re.fullmatch(r"[A-Z0-9_]{1,32}", label) or not all(map(NAME.fullmatch, files)):
        raise ValueError("not a name of ISO 9660, level 1")
    names = sorted(files)
    records = [(f"{name};1".encode(), len(files[name])) for name in names]
    folder_size = _folder_sectors([len(name) for name, _ in records]) * SECTOR
    at = FIRST + folder_size // SECTOR
    folder = _Folder()
    folder.add(_record(b"\x00", FIRST, folder_size, is_folder=True))
    folder.add(_record(b"\x01", FIRST, folder_size, is_folder=True))
    data = []
    for (identifier, size), name in zip(records, names, strict=True):
        folder.add(_record(identifier, at, size))
        data.append(_padded(files[name]))
        at += len(data[-1]) // SECTOR
    path_table = struct.pack("<BBIH", 1, 0, FIRST, 1) + b"\x00\x00"
    path_table_m = struct.pack(">BBIH", 1, 0, FIRST, 1) + b"\x00\x00"
    return b"".join(
        (
            bytes(16 * SECTOR),
            _descriptor(label, at, len(path_table), folder_size),
            _padded(b"\xffCD001\x01"),
            _padded(path_table),
            _padded(path_table_m),
            folder.whole(folder_size),
            *data,
        )
    )


class _Folder:
    """The records of a folder: none goes over the end of a sector (6.8.1.1)."""

    def __init__(self) -> None:
        self.content = b""

    def add(self, record: bytes) -> None:
        left = SECTOR - len(self.content) % SECTOR
        self.content += (bytes(left) if len(record) > left else b"") + record

    def whole(self, size: int) -> bytes:
        return self.content.ljust(size, b"\x00")


def _folder_sectors(lengths: list[int]) -> int:
    folder = _Folder()
    for length in (1, 1, *lengths):
        folder.add(bytes(_record_size(length)))
    return -(-len(folder.content) // SECTOR)


def _record_size(name: int) -> int:
    return 33 + name + (name + 1) % 2


def _record(identifier: bytes, sector: int, size: int, *, is_folder: bool = False) -> bytes:
    """Return a directory record (9.1)."""
    record = struct.pack("<BB", _record_size(len(identifier)), 0) + _both32(sector) + _both32(size) + EPOCH
    record += struct.pack("<BBB", 2 if is_folder else 0, 0, 0) + _both16(1)
    record += struct.pack("<B", len(identifier)) + identifier
    return record.ljust(_record_size(len(identifier)), b"\x00")


def _descriptor(label: str, sectors: int, path_table: int, folder_size: int) -> bytes:
    """Return the primary volume descriptor (8.4)."""
    text = b"\x01CD001\x01\x00" + b" " * 32 + label.encode().ljust(32) + bytes(8) + _both32(sectors)
    text += bytes(32) + _both16(1) + _both16(1) + _both16(SECTOR) + _both32(path_table)
    text += struct.pack("<II", 18, 0) + struct.pack(">II", 19, 0)
    text += _record(b"\x00", FIRST, folder_size, is_folder=True)
    text += b" " * 128 * 4 + b" " * 37 * 3 + LONG_EPOCH * 2 + NEVER * 2 + b"\x01\x00"
    return _padded(text)


def _both16(value: int) -> bytes:
    return struct.pack("<H", value) + struct.pack(">H", value)


def _both32(value: int) -> bytes:
    return struct.pack("<I", value) + struct.pack(">I", value)


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % SECTOR)
