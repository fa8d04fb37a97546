"""Writing artefacts: whole under their final name, or not there at all; and telling what is in them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from builder.tools.errors import HostUnready

MIB = 2**20
CHUNK = 4 * MIB


@contextlib.contextmanager
def finished(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; renamed to it when the block ends well, else removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    partial.unlink(missing_ok=True)
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str, mode: int = 0o644) -> Path:
    """Write a text file atomically and return its path."""
    with finished(path) as partial:
        partial.write_text(text, encoding="utf-8")
        partial.chmod(mode)
    return path


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def fingerprint(path: Path) -> str:
    """Return what tells a large file apart without reading it: name, size and time of change."""
    status = path.stat()
    return f"{path.name}:{status.st_size}:{status.st_mtime_ns}"


@contextlib.contextmanager
def scratch(folder: Path, name: str) -> Iterator[Path]:
    """Give a private folder inside `folder` that is removed at the end, whatever happens."""
    folder.mkdir(parents=True, exist_ok=True)
    path = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=folder))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def require_space(folder: Path, needed: int, *, purpose: str) -> None:
    """Check that `needed` bytes are free where `folder` lies.

    Raises:
        HostUnready: they are not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    if free < needed:
        raise HostUnready(
            f"{folder} has {free // 2**20} MiB free, and to {purpose} takes {needed // 2**20} MiB",
            hint="free some space, or build elsewhere with BUILD=/other/folder",
        )
