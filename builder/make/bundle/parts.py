"""The archive, written once from end to end: into one file or into parts of a size, each with its SHA-256."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from builder.tools.errors import BadInput
from builder.tools.files import MIB

MOST_PARTS = 999


@dataclass(frozen=True)
class Item:
    """A file of the archive.

    Args:
        path: its path there, below the top folder.
        source: where its bytes are: a file, or part of one from `offset`, `length` bytes long.
        member: what git's archive says of it (mode, the target of a link); None: an ordinary file.
    """

    path: str
    source: Path
    offset: int = 0
    length: int | None = None
    member: tarfile.TarInfo | None = None

    @property
    def size(self) -> int:
        """Its bytes."""
        return self.source.stat().st_size if self.length is None else self.length


class Parts(io.RawIOBase):
    """A file to write to that goes on in another part when one is full; `sums` has name -> SHA-256."""

    def __init__(self, folder: Path, name: str, split: int | None) -> None:
        """Begin in a new `folder` the file `name`, or `name`.001 and so on of at most `split` bytes."""
        super().__init__()
        folder.mkdir(parents=True)
        self.sums: dict[str, str] = {}
        self._folder, self._name, self._split = folder, name, split
        self._file: IO[bytes] | None = None
        self._digest = hashlib.sha256()
        self._left = 0

    def writable(self) -> bool:
        """Say that this can be written to."""
        return True

    def write(self, data: object) -> int:
        """Write bytes, the rest of them into the next part.

        Raises:
            BadInput: there would be a thousand parts.
        """
        view = memoryview(cast(bytes, data))
        while view:
            if self._file is None or (self._split and not self._left):
                self._next()
            size = min(len(view), self._left) if self._split else len(view)
            cast("IO[bytes]", self._file).write(view[:size])
            self._digest.update(view[:size])
            self._left -= size
            view = view[size:]
        return len(memoryview(cast(bytes, data)))

    def close(self) -> None:
        """Finish the last part."""
        if self._file is not None:
            self._file.close()
            self.sums[Path(self._file.name).name] = self._digest.hexdigest()
            self._file = None
        super().close()

    def _next(self) -> None:
        if self._file is not None:
            self._file.close()
            self.sums[Path(self._file.name).name] = self._digest.hexdigest()
        if len(self.sums) == MOST_PARTS:
            raise BadInput(f"the bundle would be more than {MOST_PARTS} parts", hint="make them larger")
        number = f".{len(self.sums) + 1:03}" if self._split else ""
        self._file = (self._folder / f"{self._name}{number}").open("wb")
        self._digest = hashlib.sha256()
        self._left = self._split or 0


def write_tar(parts: Parts, items: Sequence[Item], *, top: str, epoch: int) -> None:
    """Write the items below a top folder, sorted, all of root's by number and dated `epoch` (seconds)."""
    with parts, tarfile.open(mode="w|", fileobj=parts, format=tarfile.GNU_FORMAT, bufsize=MIB) as tar:
        for item, info in _with_folders(items, top):
            info.mtime = epoch
            if item is None or not info.isreg():
                tar.addfile(info)
                continue
            info.size = item.size
            with item.source.open("rb") as file:
                file.seek(item.offset)
                tar.addfile(info, file)


def _with_folders(items: Sequence[Item], top: str) -> Iterator[tuple[Item | None, tarfile.TarInfo]]:
    """Give each item with its header, and before it those of the folders that are new."""
    seen: set[str] = set()
    for item in sorted(items, key=lambda item: item.path.split("/")):
        path = f"{top}/{item.path}"
        for end in (number for number, letter in enumerate(path) if letter == "/"):
            if path[:end] not in seen:
                seen.add(path[:end])
                folder = tarfile.TarInfo(path[:end])
                folder.type, folder.mode = tarfile.DIRTYPE, 0o755
                yield None, folder
        info = tarfile.TarInfo(path)
        info.mode = 0o644
        if item.member is not None:
            info.type, info.linkname = item.member.type, item.member.linkname
            info.mode = item.member.mode
        yield item, info
