"""The bundle for a host without a network: one archive, and beside it what opens and checks it.

The folder that is written holds the archive (whole, or in parts that fit the media), `SHA256SUMS` of all
that lies there, its signature with the public key, and `abrir.sh`. The archive holds the repository as it is
at HEAD, and in ``.bundle``: Debian packages, Python packages, the laboratory's DVD, the repository's history.

The same commit, archive of Debian and key give the same bytes, but for the signature: that has its date.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder import __version__
from builder.make.bundle.commit import Commit, read_commit
from builder.make.bundle.debian import fetch_debian
from builder.make.bundle.parts import Item, Parts, write_tar
from builder.make.bundle.wheels import fetch_python
from builder.tools.console import say, step, warn
from builder.tools.errors import BadInput, HostUnready
from builder.tools.files import MIB, require_space, scratch, sha256, write_text
from builder.tools.memory import hold
from builder.tools.openpgp import export_key, read_fingerprint, sign

OPENER = Path(__file__).parent / "abrir.sh"
SUMS, SIGNATURE, KEYRING, CONTENTS = "SHA256SUMS", "SHA256SUMS.asc", "clave.gpg", "contents.tsv"
NEEDS = ("image", "lab", "test")
"""What the host without a network will be set up for: the words of builder/host/set-up.sh."""
INSIDE = ".bundle"
UNSIGNED = "unsigned"
FAT32_LIMIT = 2**32 - 1
TARGET_PYTHON = (3, 11)
"""Debian 12's: the laboratory's DVD holds what this Python has compiled, and its name depends on that."""


@dataclass(frozen=True)
class Wish:
    """How the person wants the bundle.

    Args:
        needs: of `NEEDS`, what the host without a network is for.
        output: folder that the bundle's own folder is made in.
        cache: folder of what was fetched before.
        split: size of a part in bytes; None: one file.
        key: fingerprint of the key that signs; None: nobody does, and every name says so.
        gpg_home: GnuPG's folder with that key; None: the person's own.
    """

    needs: tuple[str, ...]
    output: Path
    cache: Path
    split: int | None = None
    key: str | None = None
    gpg_home: Path | None = None


def check_wish(wish: Wish, repository: Path) -> Commit:
    """Find what would stop the bundle before the first minute is spent on it; return the commit at HEAD.

    Raises:
        BadInput: the repository has changes that no commit has, or there is no such key.
        HostUnready: this host's Python is not the one that the laboratory's DVD has to be made with.
    """
    commit = read_commit(repository)
    if wish.key is not None:
        with scratch(wish.output, "key") as folder:
            export_key(read_fingerprint(wish.key), folder / KEYRING, wish.gpg_home)
    if "lab" in wish.needs and sys.version_info[:2] != TARGET_PYTHON:
        found, wanted = (".".join(map(str, version)) for version in (sys.version_info[:2], TARGET_PYTHON))
        raise HostUnready(
            f"the laboratory DVD of Python {found} is not the one that Debian 12, with {wanted}, looks for",
            hint="make the bundle on Debian 12, or leave the laboratory out (NEEDS=image)",
        )
    return commit


def make_bundle(wish: Wish, commit: Commit, dvd: Path | None) -> Path:
    """Write the bundle, and return its folder.

    Args:
        wish: how the person wants it; `check_wish` has looked at it.
        commit: the commit that it is of.
        dvd: the laboratory's DVD; None: the bundle has none.

    Raises:
        HostUnready: a program (git, apt-get) is missing, or room on the disk, or another run is at it.
        StageFailed: one of them failed.
    """
    name = f"forja-{__version__}-{commit.short}{'' if wish.key else '-' + UNSIGNED}"
    folder = wish.output.resolve() / name
    cache = wish.cache.resolve() / "bundle"
    log = wish.cache.resolve() / "bundle.log"
    log.unlink(missing_ok=True)
    with hold(cache), scratch(wish.output.resolve(), "bundle") as work:
        with step("Python packages"):
            python = fetch_python(commit.repository, cache, log=log)
        with step("Debian packages"):
            debian = fetch_debian(commit.repository, wish.needs, cache, log=log)
        with step("Repository"):
            tree = commit.read_tree(work / "tree.tar", log=log)
            history = commit.read_history(work / "forja.bundle", log=log)
        brought = [
            *(Item(f"{INSIDE}/wheels/{path.name}", path) for path in python),
            *(Item(f"{INSIDE}/debian/{path}", source) for path, source in debian.items()),
            *([Item(f"{INSIDE}/{history.name}", history)] if history else []),
            *([Item(f"{INSIDE}/lab/{dvd.name}", dvd)] if dvd else []),
        ]
        contents = write_text(work / CONTENTS, "".join(_contents(brought)))
        items = [*tree, *brought, Item(f"{INSIDE}/{CONTENTS}", contents)]
        require_space(wish.output, sum(item.size for item in items) + 10 * MIB, purpose="write the bundle")
        with step("Archive"):
            epoch = int(os.environ.get("SOURCE_DATE_EPOCH", commit.time))
            parts = Parts(work / "made", f"{name}.tar", wish.split)
            write_tar(parts, items, top=name, epoch=epoch)
            _finish(work / "made", parts.sums, wish)
        shutil.rmtree(folder, ignore_errors=True)
        (work / "made").rename(folder)
    _tell(folder, parts, wish)
    return folder


def parse_size(text: str) -> int:
    """Return the bytes of a size as a person writes it: 4400M, 4G (powers of 1024).

    Raises:
        BadInput: it is none, or under 1 MiB.
    """
    digits, unit = (text[:-1], text[-1:].upper()) if text[-1:].upper() in ("M", "G") else ("", "")
    if not digits.isdecimal() or int(digits) < 1:
        raise BadInput(f"'{text}' is not the size of a part", hint="write it in MiB or GiB: 4400M, 4G")
    return int(digits) * (MIB if unit == "M" else 1024 * MIB)


def _finish(folder: Path, sums: dict[str, str], wish: Wish) -> None:
    """Put beside the archive what opens and checks it."""
    shutil.copyfile(OPENER, folder / OPENER.name)
    fingerprint = None if wish.key is None else read_fingerprint(wish.key)
    if fingerprint is not None:
        export_key(fingerprint, folder / KEYRING, wish.gpg_home)
    beside = {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.name not in sums}
    lines = [f"{digest}  {name}\n" for name, digest in {**beside, **sums}.items()]
    write_text(folder / SUMS, "".join(lines))
    if fingerprint is not None:
        sign(folder / SUMS, folder / SIGNATURE, fingerprint, wish.gpg_home, what="the bundle")


def _contents(brought: Sequence[Item]) -> Iterator[str]:
    """Give the lines of the list of all that is not the repository's: SHA-256, bytes, path."""
    yield "#sha256\tbytes\tpath\n"
    for item in sorted(brought, key=lambda item: item.path):
        yield f"{sha256(item.source)}\t{item.size}\t{item.path}\n"


def _tell(folder: Path, parts: Parts, wish: Wish) -> None:
    sizes = [(folder / name).stat().st_size for name in parts.sums]
    say(f"{len(sizes)} file(s), {sum(sizes) / MIB:.0f} MiB")
    if max(sizes) > FAT32_LIMIT:
        warn(
            "a file of 4 GiB or more does not go onto a USB stick with FAT32; SPLIT=4000M makes parts that do"
        )
    if wish.key is None:
        warn(
            "NOBODY HAS SIGNED this bundle: who opens it can't know whom it is from. KEY=FINGERPRINT signs it"
        )
