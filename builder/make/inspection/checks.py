"""What the medium says of its own files, held against them."""

from __future__ import annotations

import re
import struct
import zlib
from xml.etree import ElementTree

from builder.make.inspection.reader import DAMAGED, Reader
from builder.tools.eltorito import BootImage, holds_boot_table, read_boot_images
from builder.tools.errors import BadInput
from builder.tools.identity import Repository, TreeInfo

FIRMWARES = ("BIOS", "UEFI")
KERNELS = {"isolinux/vmlinuz": "images/pxeboot/vmlinuz", "isolinux/initrd.img": "images/pxeboot/initrd.img"}
"""What BIOS boots -> the same file where `.treeinfo` has its checksum (lorax links them)."""
NOT_ON_A_DVD = {"images/boot.iso"}
"""What `.treeinfo` may name although only the tree that the DVD was made of has it."""
REPOMD = "{http://linux.duke.edu/metadata/repo}"
BEGINNING = 64 * 1024


def find_repository(reader: Reader, tree: TreeInfo, name: str) -> Repository:
    """Return a repository that the medium must have.

    Raises:
        BadInput: it has none of that name.
    """
    for repository in tree.repositories:
        if repository.id == name:
            return repository
    rpms = any(path.endswith(".rpm") for path in reader.files)
    kind = "" if rpms else ": without packages it is a boot ISO, which installs by network"
    found = ", ".join(one.id for one in tree.repositories) or "none"
    raise BadInput(
        f"{reader.iso} has no repository {name} (repositories: {found}){kind}",
        hint="give the binary DVD, not the boot ISO",
    )


def check_images(reader: Reader, tree: TreeInfo) -> list[str]:
    """Compare what the installer is started from with the checksums in `.treeinfo`; return what was compared.

    Raises:
        BadInput: an image is missing, has no checksum, or is another.
    """
    for path in tree.images:
        if path not in tree.checksums and path not in NOT_ON_A_DVD:
            raise BadInput(f"the .treeinfo of {reader.iso} has no checksum of {path}", hint=DAMAGED)
    checked = [
        reader.check(path, kind, digest, ".treeinfo")
        for path, (kind, digest) in sorted(tree.checksums.items())
        if path in reader.files or path not in NOT_ON_A_DVD
    ]
    for path, same in KERNELS.items():
        if path in reader.files and same in tree.checksums:
            checked.append(reader.check(path, *tree.checksums[same], f".treeinfo (of {same})"))
    return checked


def check_repository(reader: Reader, repository: Repository) -> tuple[int, list[str]]:
    """Compare a repository's metadata with its index, and count its packages.

    Returns:
        How many packages its metadata lists, and the files that were compared.

    Raises:
        BadInput: metadata is missing or another, or the medium holds fewer packages than are listed.
    """
    base = "" if repository.path in (".", "") else f"{repository.path.strip('/')}/"
    index = f"{base}repodata/repomd.xml"
    try:
        root = ElementTree.fromstring(reader.text(index))  # noqa: S314 - expat bounds entities
    except ElementTree.ParseError as error:
        message = f"{index} on {reader.iso} is no index of a repository: {error}"
        raise BadInput(message, hint=DAMAGED) from error
    checked, packages = [], None
    for data in root.iter(f"{REPOMD}data"):
        location, checksum = data.find(f"{REPOMD}location"), data.find(f"{REPOMD}checksum")
        if location is None or checksum is None:
            continue
        path = base + location.get("href", "")
        checked.append(reader.check(path, checksum.get("type", "sha256"), checksum.text or "", index))
        if data.get("type") == "primary":
            packages = count_packages(reader, path)
    if packages is None:
        raise BadInput(f"{index} on {reader.iso} lists no packages", hint=DAMAGED)
    there = sum(path.startswith(base) and path.endswith(".rpm") for path in reader.files)
    if there < packages:
        raise BadInput(
            f"{repository.id} on {reader.iso} lists {packages} packages and holds {there}", hint=DAMAGED
        )
    return packages, checked


def count_packages(reader: Reader, path: str) -> int | None:
    """Return how many packages a repository's `primary.xml.gz` says that it lists, or None."""
    head = next(reader.chunks(path), b"")[:BEGINNING]
    if path.endswith(".gz"):
        try:
            head = zlib.decompressobj(wbits=31).decompress(head, BEGINNING)
        except zlib.error:
            return None
    found = re.search(rb'<metadata[^>]*\spackages="(\d+)"', head)
    return int(found[1]) if found else None


def check_boot_images(reader: Reader) -> tuple[BootImage, ...]:
    """Return the images that firmware boots from the medium.

    Raises:
        BadInput: there is none for BIOS or for UEFI, or the one for BIOS is damaged.
    """
    images = read_boot_images(reader.iso, reader.files)
    found = ", ".join(dict.fromkeys(image.firmware for image in images)) or "none"
    for firmware in FIRMWARES:
        if firmware not in {image.firmware for image in images}:
            raise BadInput(
                f"{reader.iso} has no boot image for {firmware} (boot images: {found})",
                hint="give the DVD's .iso file as it was downloaded",
            )
    for image in images:
        if image.firmware != "BIOS" or not image.path:
            continue
        try:
            holds = holds_boot_table(b"".join(reader.chunks(image.path)), image.offset)
        except struct.error:
            holds = False
        if holds is False:
            raise BadInput(
                f"{image.path} on {reader.iso} is not what its own boot information table says", hint=DAMAGED
            )
    return images
