"""Reading an installation ISO: what it says of itself, and single files out of it."""

from __future__ import annotations

import functools
import os
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from builder.tools.errors import BadInput, StageFailed
from builder.tools.files import scratch
from builder.tools.identity import Repository, find_release_packages, parse_treeinfo, settle_version
from builder.tools.process import run

SECTOR = 2048


@dataclass(frozen=True)
class Original:
    """What an installation ISO says of itself."""

    path: Path
    volume_id: str
    name: str
    version: str
    arch: str
    repositories: tuple[Repository, ...] = ()


def inspect_medium(iso: Path) -> Original:
    """Return what an installation ISO says of itself: volume id, `.treeinfo`, release package.

    Raises:
        BadInput: it is missing, is no ISO, is shorter than it says, is no installation medium, or is of one
            product by its `.treeinfo` and of another by its release package.
    """
    descriptor = read_descriptor(iso)
    with scratch(Path(os.environ.get("TMPDIR", "/tmp")), "forja-inspect") as folder:  # noqa: S108
        text = extract(iso, folder, ".treeinfo").read_text(encoding="utf-8", errors="replace")
    try:
        tree = parse_treeinfo(text)
    except ValueError as error:
        raise BadInput(
            f"{iso} is no installation medium: it has no valid .treeinfo ({error})",
            hint="give the DVD's .iso file",
        ) from error
    try:
        version = settle_version(tree, find_release_packages(list_files(iso)))
    except ValueError as error:
        raise BadInput(
            f"{iso} contradicts itself: its .treeinfo says {tree.name} {tree.version}, but {error}",
            hint="give the DVD's .iso file as it was downloaded",
        ) from error
    return Original(
        path=iso,
        volume_id=descriptor[40:72].decode("ascii", "replace").rstrip(),
        name=tree.name,
        version=version,
        arch=tree.arch,
        repositories=tree.repositories,
    )


def read_descriptor(iso: Path) -> bytes:
    """Return the primary volume descriptor of an ISO (ECMA-119, 8.4), whole.

    Raises:
        BadInput: it is missing, is no ISO, or is shorter than it says.
    """
    try:
        size = iso.stat().st_size
        with iso.open("rb") as file:
            file.seek(16 * SECTOR)
            descriptor = file.read(SECTOR)
    except OSError as error:
        raise BadInput(f"the ISO {iso} can't be read: {error.strerror}", hint="check ISO=") from error
    if len(descriptor) < SECTOR:
        raise BadInput(
            f"{iso} is not an ISO 9660 image: it has {size} bytes, and its header would end at {17 * SECTOR}",
            hint="download or copy it again",
        )
    if descriptor[:6] != b"\x01CD001":
        raise BadInput(
            f"{iso} is not an ISO 9660 image", hint="give the DVD's .iso file as it was downloaded"
        )
    blocks = struct.unpack_from("<I", descriptor, 80)[0]
    if size < blocks * SECTOR:
        raise BadInput(
            f"{iso} is truncated: it has {size} bytes and says that it holds {blocks * SECTOR}",
            hint="download or copy it again, and compare its SHA-256 with the publisher's",
        )
    return descriptor


def extract(iso: Path, folder: Path, name: str) -> Path:
    """Take one file out of an ISO, to where it lies below `folder` as it does in the ISO.

    Raises:
        BadInput: the ISO has no such file.
    """
    return extract_folder(iso, name, folder / name)


def extract_folder(iso: Path, name: str, target: Path) -> Path:
    """Take a folder with all that is in it (or a file) out of an ISO, and return where it is now.

    Raises:
        BadInput: the ISO has no such folder.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    run(
        ["xorriso", "-osirrox", "on", "-indev", iso, "-extract", f"/{name}", target],
        doing=f"read {name} from {iso}",
        accept=(0, 5, 32),
    )
    if not target.exists():
        raise BadInput(f"{iso} has no {name}: it is no installation medium", hint="give the DVD's .iso file")
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return target


@functools.cache
def list_files(iso: Path) -> Mapping[str, tuple[int, int]]:
    """Return where each file of an ISO lies in it: path -> (offset, size), in bytes.

    Asked by every stage, and the same as long as we run.

    Raises:
        BadInput: its folders can't be read.
    """
    find = ["-find", "/", "-type", "f", "-exec", "report_lba", "--"]
    try:
        listing = run(["xorriso", "-indev", iso, *find], doing=f"list the files of {iso}").stdout
    except StageFailed as error:
        raise BadInput(f"{iso} is damaged: {error.message}", hint="download or copy it again") from error
    found = re.findall(r"(?m)^File data lba:\s*\d+ ,\s*(\d+) ,\s*\d+ ,\s*(\d+) , '/(.*)'$", listing)
    return {path: (int(block) * SECTOR, int(size)) for block, size, path in found}


def escape_label(label: str) -> str:
    """Return a volume id as udev and dracut write it in hd:LABEL=, with blanks as \\x20."""
    return label.replace(" ", "\\x20")
