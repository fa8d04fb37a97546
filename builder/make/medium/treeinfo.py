"""`.treeinfo`: its checksums follow the files that we change; nothing else of it is touched."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from builder.tools.files import CHUNK

NAME = ".treeinfo"


def build_time(text: str) -> int:
    """Return when the medium was made, seconds since 1970, or 0 when it does not say."""
    found = re.search(r"(?m)^(?:build_timestamp|timestamp)\s*=\s*(\d+)", text)
    return int(found[1]) if found else 0


def renew_checksums(text: str, tree: Path) -> str:
    """Return the text with the checksums of those of its files that are in `tree`.

    Args:
        text: an INI file whose section [checksums] has lines `path = algorithm:hexadecimal digest`.
        tree: a folder laid out as the medium, with the files that are new.
    """

    def renew(match: re.Match[str]) -> str:
        file = tree / match["path"].strip()
        if not file.is_file():
            return match[0]
        return f"{match['path']}{match['equals']}{match['kind']}:{digest(file, match['kind'])}"

    head, section, rest = text.partition("[checksums]")
    body, bracket, tail = rest.partition("\n[")
    line = r"(?m)^(?P<path>[^=\n]+?)(?P<equals>\s*=\s*)(?P<kind>\w+):[0-9a-fA-F]+"
    return head + section + re.sub(line, renew, body) + bracket + tail


def digest(path: Path, kind: str) -> str:
    """Return a file's digest by an algorithm's name, such as sha256."""
    with path.open("rb") as file:
        total = hashlib.new(kind, usedforsecurity=False)
        while chunk := file.read(CHUNK):
            total.update(chunk)
        return total.hexdigest()
