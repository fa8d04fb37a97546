"""Archives written by hand, so that the same input gives the same bytes and nobody has to be root."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")


@dataclass(frozen=True)
class Entry:
    """A file (data), a symbolic link (target) or a folder (neither) in an archive."""

    data: bytes | None = None
    target: str = ""
    mode: int = 0o644

    def content(self) -> bytes:
        """Return the bytes of a file; none for the others."""
        return self.data or b""


def read_tar(archive: Path, wanted: Iterable[str], *, top: str = "") -> dict[str, Entry]:
    """Return files and links of a tar archive by their path without a leading ``./``.

    Args:
        archive: the tar.
        wanted: paths; one that ends with ``/`` stands for all below it, "" for everything.
        top: a folder that all paths in the archive begin with ("stage2/"), left out of them.

    Paths of the old top-level folders are given in their merged form (``sbin/x`` as ``usr/sbin/x``).
    """
    paths = tuple(wanted)
    exact = {path for path in paths if not path.endswith("/")}
    below = tuple(path for path in paths if path.endswith("/") or path == "")
    entries: dict[str, Entry] = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            path = merged_path(member.name.removeprefix(top))
            if path not in exact and not (below and path.startswith(below)):
                continue
            if member.issym():
                entries[path] = Entry(target=member.linkname, mode=0o777)
            elif member.islnk():
                entries[path] = entries[merged_path(member.linkname.removeprefix(top))]
            elif member.isfile():
                content = tar.extractfile(member)
                entries[path] = Entry(content.read() if content else b"", mode=member.mode & 0o7777)
    return entries


def list_tar(archive: Path) -> list[str]:
    """Return the paths in a tar archive, merged as `read_tar` gives them."""
    with tarfile.open(archive) as tar:
        return [merged_path(member.name) for member in tar]


def merged_path(path: str) -> str:
    """Return a path of an unpacked Debian package as it is after the /usr merge, without ``./``."""
    path = path.removeprefix("./").lstrip("/")
    return f"usr/{path}" if path.split("/", 1)[0] in MERGED and "/" in path else path


def with_parents(entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """Return the entries sorted, and every parent folder that they need before them."""
    complete = dict(entries)
    for path in entries:
        for parent in PurePosixPath(path).parents:
            if str(parent) != ".":
                complete.setdefault(str(parent), Entry(mode=0o755))
    return dict(sorted(complete.items()))


def write_tar(path: Path, entries: Mapping[str, Entry], *, epoch: int) -> None:
    """Write a tar of entries, all owned by root and dated `epoch` (seconds)."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, entry in with_parents(entries).items():
            info = tarfile.TarInfo(f"./{name}")
            info.mtime, info.mode = epoch, entry.mode
            if entry.target:
                info.type, info.linkname = tarfile.SYMTYPE, entry.target
            elif entry.data is None:
                info.type = tarfile.DIRTYPE
            else:
                info.size = len(entry.data)
            tar.addfile(info, io.BytesIO(entry.data or b""))


def write_initrd(path: Path, entries: Mapping[str, Entry], *, epoch: int) -> None:
    """Write a gzipped cpio archive of the form that the kernel unpacks (newc).

    Source: Documentation/driver-api/early-userspace/buffer-format.rst of the kernel.
    """
    out = bytearray()
    for number, (name, entry) in enumerate(with_parents(entries).items(), 1):
        kind = 0o120000 if entry.target else 0o040000 if entry.data is None else 0o100000
        out += _cpio_member(
            name, entry.target.encode() or entry.data or b"", kind | entry.mode, number, epoch
        )
    out += _cpio_member("TRAILER!!!", b"", 0, 0, 0)
    out += b"\0" * (-len(out) % 512)
    path.write_bytes(gzip.compress(bytes(out), 9, mtime=0))


def _cpio_member(name: str, data: bytes, mode: int, inode: int, mtime: int) -> bytes:
    fields = (inode, mode, 0, 0, 1, mtime, len(data), 0, 0, 0, 0, len(name.encode()) + 1, 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    header += b"\0" * (-len(header) % 4)
    return header + data + b"\0" * (-len(data) % 4)
