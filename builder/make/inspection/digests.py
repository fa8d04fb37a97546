"""The SHA-256 of the whole medium, against what its publisher says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from builder.make.inspection.reader import DAMAGED
from builder.tools.errors import BadInput
from builder.tools.files import sha256


def expected_digests(iso: Path, digest: str | None, sums: Path | None) -> dict[str, str]:
    """Return who says it -> SHA-256 that the ISO must have.

    Raises:
        BadInput: what was given is no SHA-256, or the file can't be read or does not name the ISO.
    """
    expected = {}
    if digest is not None:
        if not re.fullmatch(r"[0-9a-fA-F]{64}", digest):
            raise BadInput(f"'{digest}' is no SHA-256: that has 64 hexadecimal digits", hint="check --sha256")
        expected["--sha256"] = digest.lower()
    if sums is not None:
        try:
            named = read_sums(sums.read_text(encoding="utf-8", errors="replace"))
        except OSError as error:
            raise BadInput(f"{sums} can't be read: {error.strerror}", hint="check --sums") from error
        if iso.name not in named:
            raise BadInput(
                f"{sums} does not name {iso.name}; it names {', '.join(sorted(named)) or 'no file'}",
                hint="give the publisher's file, and keep the ISO's own name",
            )
        expected[str(sums)] = named[iso.name]
    return expected


def read_sums(text: str) -> dict[str, str]:
    """Return file name -> SHA-256, from lines `digest  name` (sha256sum) or `SHA256 (name) = digest`."""
    plain = re.findall(r"(?m)^([0-9a-fA-F]{64})\s+\*?(.+?)\s*$", text)
    bsd = re.findall(r"(?m)^SHA256 \((.+)\) = ([0-9a-fA-F]{64})\s*$", text)
    pairs = [*plain, *((digest, name) for name, digest in bsd)]
    return {Path(name).name: digest.lower() for digest, name in pairs}


def check_digest(iso: Path, expected: Mapping[str, str]) -> str:
    """Return the SHA-256 of an ISO, when there is one to compare it with.

    Raises:
        BadInput: it is another.
    """
    found = sha256(iso) if expected else ""
    for who, digest in expected.items():
        if digest != found:
            raise BadInput(f"the SHA-256 of {iso} is {found}, and {who} says {digest}", hint=DAMAGED)
    return found
