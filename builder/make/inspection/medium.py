"""What a medium is, as it was found."""

from __future__ import annotations

import re
from dataclasses import dataclass

from builder.tools.eltorito import BootImage
from builder.tools.iso import Original

APPLICATION_USE = slice(883, 883 + 512)
"""Where an ISO's volume descriptor holds what nobody else uses (ECMA-119, 8.4.32)."""


@dataclass(frozen=True)
class MediaCheck:
    """The media check that implantisomd5 left in the ISO, for the installer's menu entry."""

    md5: str
    supported: bool
    """Whether its maker declares the medium a release that it supports."""


@dataclass(frozen=True)
class Contents:
    """A repository on the medium."""

    id: str
    path: str
    packages: int


@dataclass(frozen=True)
class Inspection:
    """What a medium is."""

    original: Original
    description: str
    """What `.discinfo` calls it."""
    size: int
    """Bytes."""
    repositories: tuple[Contents, ...]
    boot: tuple[BootImage, ...]
    media_check: MediaCheck | None
    checked: tuple[str, ...]
    """Files that were compared with a checksum on the medium, and hold."""
    sha256: str = ""
    """Digest of the whole, when it was compared with one that was given."""


def read_media_check(descriptor: bytes) -> MediaCheck | None:
    """Return the media check in a volume descriptor (isomd5sum's libimplantisomd5), or None."""
    text = descriptor[APPLICATION_USE].decode("ascii", "replace")
    found = re.search(r"ISO MD5SUM = ([0-9a-f]{32})", text)
    return MediaCheck(found[1], "RHLISOSTATUS=1" in text) if found else None
