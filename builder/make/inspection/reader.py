"""Single files of an ISO, read in place."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from builder.tools.errors import BadInput
from builder.tools.files import CHUNK

Files = Mapping[str, tuple[int, int]]
"""Path -> (offset, size) of the files in an ISO, bytes."""
DAMAGED = "the DVD is damaged or was changed: download it again, and compare its SHA-256 with the publisher's"


class Reader:
    """Reads single files of an ISO in place.

    Raises:
        BadInput: by its methods, when the ISO lacks the file.
    """

    def __init__(self, iso: Path, files: Files) -> None:
        self.iso, self.files = iso, files
        self._file = iso.open("rb")

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def chunks(self, path: str) -> Iterator[bytes]:
        """Give the bytes of a file, in pieces."""
        if path not in self.files:
            raise BadInput(f"{self.iso} lacks {path}", hint=DAMAGED)
        offset, left = self.files[path]
        self._file.seek(offset)
        while left > 0:
            chunk = self._file.read(min(CHUNK, left))
            if not chunk:
                raise BadInput(f"{self.iso} is truncated: it ends inside {path}", hint=DAMAGED)
            left -= len(chunk)
            yield chunk

    def text(self, path: str) -> str:
        """Return a small text file."""
        return b"".join(self.chunks(path)).decode("utf-8", "replace")

    def digest(self, path: str, kind: str) -> str:
        """Return a file's digest by an algorithm's name."""
        total = hashlib.new(kind, usedforsecurity=False)
        for chunk in self.chunks(path):
            total.update(chunk)
        return total.hexdigest()

    def check(self, path: str, kind: str, digest: str, says: str) -> str:
        """Compare a file with a checksum, and return its path.

        Raises:
            BadInput: it is another file than `says` says.
        """
        try:
            found = self.digest(path, "sha1" if kind == "sha" else kind)
        except ValueError as error:
            raise BadInput(f"{says} on {self.iso} has a checksum of unknown kind '{kind}'") from error
        if found != digest.lower():
            raise BadInput(
                f"{path} on {self.iso} is not what {says} says: its {kind} is {found}, not {digest}",
                hint=DAMAGED,
            )
        return path
