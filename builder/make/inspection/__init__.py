"""Inspecting the original medium: what is on it, and whether it is what it says.

Only what is needed is read: `.treeinfo`, the boot catalog, the metadata of the repositories, and the images
whose checksums `.treeinfo` has (some 700 MiB of the RHEL DVD's 9 GiB). All is read only for a SHA-256.
"""

from __future__ import annotations

from pathlib import Path

from builder.make.inspection.checks import check_boot_images, check_images, check_repository, find_repository
from builder.make.inspection.digests import check_digest, expected_digests
from builder.make.inspection.medium import Contents, Inspection, read_media_check
from builder.make.inspection.reader import Reader
from builder.make.inspection.words import to_json, to_lines
from builder.tools.identity import parse_treeinfo
from builder.tools.iso import Original, list_files, read_descriptor

__all__ = ["Inspection", "check_medium", "to_json", "to_lines"]

NEEDED = ("BaseOS", "AppStream")


def check_medium(original: Original, *, digest: str | None = None, sums: Path | None = None) -> Inspection:
    """Look into a medium whose product is known (`inspect_medium`), and check what it says of itself.

    Args:
        digest: SHA-256 that the whole must have, hexadecimal; it takes reading all of it.
        sums: file with such digests by name (`SHA256SUMS`, `CHECKSUM`).

    Raises:
        BadInput: a repository, a boot image or a package is missing, a checksum does not hold, or the digest
            is another; the message says what was found.
    """
    iso = original.path
    expected = expected_digests(iso, digest, sums)
    files = list_files(iso)
    descriptor = read_descriptor(iso)
    with Reader(iso, files) as reader:
        tree = parse_treeinfo(reader.text(".treeinfo"))
        repositories = tuple(find_repository(reader, tree, name) for name in NEEDED)
        others = tuple(one for one in tree.repositories if one.id not in NEEDED)
        checked = check_images(reader, tree)
        contents = []
        for repository in (*repositories, *others):
            packages, metadata = check_repository(reader, repository)
            contents.append(Contents(repository.id, repository.path, packages))
            checked += metadata
        boot = check_boot_images(reader)
        description = reader.text(".discinfo").splitlines()[1:2] if ".discinfo" in files else []
    return Inspection(
        original=original,
        description="".join(description),
        size=iso.stat().st_size,
        repositories=tuple(contents),
        boot=boot,
        media_check=read_media_check(descriptor),
        checked=tuple(dict.fromkeys(checked)),
        sha256=check_digest(iso, expected),
    )
