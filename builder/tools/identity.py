"""Which product a medium is of: its `.treeinfo`, and the package that says so on the system installed.

`.treeinfo` alone does not tell: that of CentOS Linux 8.2 says version 8 and that of AlmaLinux 9.1 says 9; Red
Hat's has the minor version (8.0.0). So the release package that lies on the medium is looked for as well.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterable
from dataclasses import dataclass

PRODUCTS = {
    "AlmaLinux": ("almalinux-release",),
    "CentOS Linux": ("centos-linux-release", "centos-release"),
    "CentOS Stream": ("centos-stream-release",),
    "Oracle Linux": ("oraclelinux-release",),
    "Oracle Linux Server": ("oraclelinux-release",),
    "Red Hat Enterprise Linux": ("redhat-release",),
    "Rocky Linux": ("rocky-release",),
}
"""Name in `.treeinfo` -> its release package. (Oracle's has a redhat-release besides its own.)"""


@dataclass(frozen=True)
class Repository:
    """A repository on an installation ISO: the id of its variant, and its folder."""

    id: str
    path: str


@dataclass(frozen=True)
class TreeInfo:
    """What a `.treeinfo` says (productmd's format 1, and the older one that lorax writes on a boot ISO)."""

    name: str
    version: str
    arch: str
    repositories: tuple[Repository, ...]
    checksums: dict[str, tuple[str, str]]
    """Path -> (algorithm, hexadecimal digest)."""
    images: tuple[str, ...]
    """Paths of the kernel, initrd, EFI boot image and installer of this architecture."""


def parse_treeinfo(text: str) -> TreeInfo:
    """Return what the text of a `.treeinfo` says.

    Not read by productmd, which refuses those of other media: CentOS Stream 8 has version `8-stream`, and a
    boot ISO has no variants. Just those are given by mistake, and a person must be told which it was.

    Raises:
        ValueError: it says no product, version or architecture, or is no such file.
    """
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[method-assign, assignment]
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise ValueError("it is no INI file") from error
    name = parser.get("release", "name", fallback="") or parser.get("general", "family", fallback="")
    version = parser.get("release", "version", fallback="") or parser.get("general", "version", fallback="")
    arch = parser.get("tree", "arch", fallback="") or parser.get("general", "arch", fallback="")
    if not name or not version or not arch:
        raise ValueError("it says no product, version or architecture")
    repositories = {}
    for section in parser.sections():
        path = parser.get(section, "repository", fallback="")
        if section.startswith("variant-") and path:
            uid = parser.get(section, "uid", fallback="") or section.removeprefix("variant-")
            repositories[uid] = Repository(uid, path)
    checksums = dict(parser.items("checksums")) if parser.has_section("checksums") else {}
    parts = [parser[part] for part in (f"images-{arch}", "stage2") if part in parser]
    images = [path for part in parts for path in part.values()]
    return TreeInfo(
        name,
        version,
        arch,
        repositories=tuple(repositories[uid] for uid in sorted(repositories)),
        checksums={
            path: (kind.strip(), digest.strip().lower())
            for path, (kind, _, digest) in ((path, value.partition(":")) for path, value in checksums.items())
        },
        images=tuple(dict.fromkeys(images)),
    )


def find_release_packages(files: Iterable[str]) -> dict[str, str]:
    """Return release package -> version, of those whose RPMs are among the files of a medium."""
    names = "|".join(re.escape(name) for packages in PRODUCTS.values() for name in packages)
    pattern = re.compile(rf"(?:^|/)({names})-(\d[^-/]*)-[^-/]+\.rpm$")
    return {match[1]: match[2] for path in files if (match := pattern.search(path))}


def settle_version(tree: TreeInfo, found: dict[str, str]) -> str:
    """Return the version of a medium, with its minor number when anything on the medium says it.

    Args:
        found: the release packages on the medium (`find_release_packages`).

    Raises:
        ValueError: the release package is of another product or version than `.treeinfo`.
    """
    if not re.fullmatch(r"\d+(\.\d+)*", tree.version):
        return tree.version
    own = [(name, found[name]) for name in PRODUCTS.get(tree.name, ()) if name in found]
    if not own:
        if found and tree.name in PRODUCTS:
            raise ValueError(f"its release package is {' and '.join(map('-'.join, sorted(found.items())))}")
        return tree.version
    package, version = own[0]
    length = min(2, tree.version.count(".") + 1)
    if tree.version.split(".")[:length] != version.split(".")[:length]:
        raise ValueError(f"its release package is {package}-{version}")
    return tree.version if length == 2 else version
