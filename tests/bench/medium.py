"""The bench's DVD: laid out as RHEL 8.3's, of 8 GiB and more, with 8,000 packages."""

from __future__ import annotations

import hashlib
import random
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.media.dvd import KEY_FILE, LABEL, NAME, VERSION, put_boot_files, write_dvd, write_release_files
from tests.media.keys import Key, read_key
from tests.media.programs import EPOCH, run
from tests.media.repositories import Stream, modules_yaml
from tests.media.rhel83 import comps, streams
from tests.media.rpms import Rpm, build_rpms

from .metadata import write_metadata
from .packages import MODULAR, STREAM_SIZE, Padding, pad, real_packages

MIB = 2**20
NOISE = 16 * MIB
IMAGES = {"images/install.img": 650, "images/pxeboot/initrd.img": 70, "images/pxeboot/vmlinuz": 9}
"""MiB of the large images of RHEL 8.3's DVD, about."""


def make_big_dvd(folder: Path, key: Key, count: int, size: int) -> Path:
    """Return the ISO, in a folder that it is alone in.

    Args:
        count: how many packages it has.
        size: bytes of packages and images together.
    """
    tree = folder / "tree"
    real = real_packages(key.public.read_text())
    made = build_rpms([rpm for rpms in real.values() for rpm in rpms], folder / "rpms", key=key)
    tree.mkdir()
    put_boot_files(tree, None, name=NAME, version=VERSION, label=LABEL)
    put_images(tree)
    rest = size - sum(path.stat().st_size for path in (*made.values(), *tree.rglob("*")) if path.is_file())
    names = {rpm.name: rpm for rpms in real.values() for rpm in rpms}
    padding = pad(count - len(made), rest, names)
    # BaseOS has a quarter of RHEL's packages.
    border = max(0, count // 4 - len(real["BaseOS"]))
    shares = {"BaseOS": padding[:border], "AppStream": padding[border:]}
    for name, rpms in real.items():
        packages = tree / name / "Packages"
        packages.mkdir(parents=True)
        for rpm in rpms:
            made[rpm.nevra].rename(packages / rpm.filename)
        make_repository(tree / name, rpms, shares[name], folder / f"padding-{name}")
    shutil.copyfile(key.public, tree / KEY_FILE)
    write_release_files(tree)
    iso = write_dvd(tree, folder / "dvd.iso")
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
    return iso


def put_images(tree: Path) -> None:
    """Lay out kernel and installer of noise, as large as RHEL 8.3's: they are read to compare checksums."""
    chance = random.Random(4)
    noise = chance.randbytes(NOISE)
    for path, size in IMAGES.items():
        write_noise(tree / path, noise, size * MIB, chance)
    for name in ("vmlinuz", "initrd.img"):
        shutil.copyfile(tree / "images/pxeboot" / name, tree / "isolinux" / name)


def make_repository(folder: Path, real: Iterable[Rpm], padding: Iterable[Padding], work: Path) -> None:
    """Make the metadata of a repository whose real packages are in place, and the files of the others."""
    chance = random.Random(3)
    noise = chance.randbytes(NOISE)
    described = [
        (one.rpm, one.size, write_noise(folder / "Packages" / one.rpm.filename, noise, one.size, chance))
        for one in padding
    ]
    write_metadata(work, described, location="Packages")
    listing, groups = work / "packages.list", work / "comps.xml"
    files = [rpm.filename for rpm in (*real, *(rpm for rpm, _, _ in described))]
    listing.write_text("".join(f"Packages/{name}\n" for name in files), encoding="utf-8")
    groups.write_text(comps()[folder.name], encoding="utf-8")
    run(
        *("createrepo_c", "--quiet", "--no-database", "--update", "--skip-stat", "--update-md-path", work),
        *("--pkglist", listing, "--groupfile", groups, "--revision", str(EPOCH)),
        *("--set-timestamp-to-revision", folder),
    )
    if folder.name == "AppStream":
        modules = work / "modules.yaml"
        modules.write_text(modules_yaml([*streams(), *make_streams(padding)]), encoding="utf-8")
        run("modifyrepo_c", "--mdtype", "modules", modules, folder / "repodata")


def write_noise(path: Path, noise: bytes, size: int, chance: random.Random) -> str:
    """Write a file that no program can compress, and return its SHA-256."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        while size > 0:
            start = chance.randrange(len(noise))
            part = noise[start : start + size]
            file.write(part)
            digest.update(part)
            size -= len(part)
    return digest.hexdigest()


def make_streams(padding: Iterable[Padding]) -> list[Stream]:
    """Return module streams that hold a share of the packages; every other one is a default."""
    members = [one.rpm.nevra for one in padding]
    members = members[: int(len(members) * MODULAR)]
    return [
        Stream(f"modulo{number // 2}", str(number % 2), members[start : start + STREAM_SIZE], number % 2 == 0)
        for number, start in enumerate(range(0, len(members), STREAM_SIZE))
    ]


if __name__ == "__main__":
    make_big_dvd(Path(sys.argv[1]), read_key(Path(sys.argv[2])), int(sys.argv[3]), int(sys.argv[4]))
