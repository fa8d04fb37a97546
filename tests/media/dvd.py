"""ISOs laid out as the RHEL 8.3 DVD is, and cheap variants of them that are broken on purpose."""

from __future__ import annotations

import os
import random
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from productmd.discinfo import DiscInfo
from productmd.treeinfo import TreeInfo, Variant

from builder.lab import boot as menus
from builder.lab.content import Content

from .keys import Key
from .programs import EPOCH, run
from .repositories import make_repository

SECTOR = 2048
NAME, VERSION, LABEL = "Red Hat Enterprise Linux", "8.3.0", "RHEL-8-3-0-BaseOS-x86_64"
KEY_FILE = "RPM-GPG-KEY-redhat-release"
IMAGES = ("images/efiboot.img", "images/install.img", "images/pxeboot/initrd.img", "images/pxeboot/vmlinuz")
ESP_KIB = 2048
MBR_BYTES = 432
MBR = Path("/usr/lib/ISOLINUX/isohdpfx.bin")


@dataclass(frozen=True)
class Repository:
    """What goes into a repository on the DVD."""

    rpms: Iterable[Path]
    comps: str | None = None
    modules: str | None = None


def make_dvd_like(
    folder: Path,
    repositories: Mapping[str, Repository],
    *,
    key: Key,
    name: str = NAME,
    short: str = "RHEL",
    version: str = VERSION,
    arch: str = "x86_64",
    label: str = LABEL,
    boot: Path | None = None,
    media_check: bool = True,
) -> Path:
    """Return an ISO laid out as the RHEL 8.3 DVD: `folder`/dvd.iso, of `folder`/tree, which stays.

    Args:
        repositories: "BaseOS" and "AppStream" and what is in them; the files are linked, not copied.
        key: whose public part lies on the DVD as Red Hat's release key does.
        boot: an ISO that boots (the laboratory's); its loaders, kernel and installer are taken. When None
            they are small files of no use.
    """
    tree = folder / "tree"
    tree.mkdir(parents=True)
    for repository, content in repositories.items():
        packages = tree / repository / "Packages"
        packages.mkdir(parents=True)
        for path in content.rpms:
            os.link(path, packages / path.name)
        make_repository(tree / repository, comps=content.comps, modules=content.modules)
    put_boot_files(tree, boot, name=name, version=version, label=label)
    for file in (KEY_FILE, "RPM-GPG-KEY-redhat-beta"):
        shutil.copyfile(key.public, tree / file)
    (tree / "EULA").write_text("Nothing of Red Hat's is on this test medium.\n")
    write_release_files(tree, name=name, short=short, version=version, arch=arch, variants=repositories)
    return write_dvd(tree, folder / "dvd.iso", label=label, mbr=boot, media_check=media_check)


def put_boot_files(tree: Path, boot: Path | None, *, name: str, version: str, label: str) -> None:
    """Lay out isolinux/, EFI/ and images/, with RHEL's menus."""
    if boot is None:
        put_dummies(tree)
    else:
        argv: list[str | Path] = ["xorriso", "-osirrox", "on", "-indev", boot]
        for part in ("isolinux", "EFI", "images"):
            argv += ["-extract", f"/{part}", tree / part]
        run(*argv)
        run("chmod", "-R", "u+w", tree / "isolinux", tree / "EFI", tree / "images")
    content = Content(name, version, label, packages={})
    for path, template in (
        ("isolinux/isolinux.cfg", menus.ISOLINUX_CFG),
        ("isolinux/grub.conf", menus.GRUB_LEGACY_CONF),
        ("EFI/BOOT/grub.cfg", menus.GRUB_CFG),
        ("media.repo", menus.MEDIA_REPO),
    ):
        (tree / path).write_text(menus.fill_text(template, content), encoding="utf-8")
    image = tree / "images/efiboot.img"
    if boot is None:
        run("mkfs.vfat", "-C", "-n", "ANACONDA", "--invariant", image, str(ESP_KIB))
        mcopy: list[str | Path] = ["-s", tree / "EFI", "::/"]
    else:
        mcopy = ["-o", tree / "EFI/BOOT/grub.cfg", "::/EFI/BOOT/grub.cfg"]
    run("mcopy", "-i", image, *mcopy, MTOOLS_SKIP_CHECK="1")


def put_dummies(tree: Path) -> None:
    """Lay out the boot files of a DVD that need not boot."""
    chance = random.Random(83)
    for path, kib in {
        "isolinux/isolinux.bin": 24,
        "isolinux/vesamenu.c32": 4,
        "isolinux/boot.msg": 1,
        "EFI/BOOT/BOOTX64.EFI": 64,
        "EFI/BOOT/grubx64.efi": 64,
        "images/pxeboot/vmlinuz": 64,
        "images/pxeboot/initrd.img": 128,
        "images/install.img": 1024,
    }.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(chance.randbytes(kib * 1024))
    for path in ("vmlinuz", "initrd.img"):
        shutil.copyfile(tree / "images/pxeboot" / path, tree / "isolinux" / path)


def write_release_files(
    tree: Path,
    *,
    name: str = NAME,
    short: str = "RHEL",
    version: str = VERSION,
    arch: str = "x86_64",
    variants: Iterable[str] = ("BaseOS", "AppStream"),
    checksums: bool = True,
) -> None:
    """Write .discinfo and .treeinfo (with the checksums of what lies in the tree now), as pungi does."""
    disc = DiscInfo()
    disc.timestamp, disc.description = float(EPOCH), f"{name} {version}"
    disc.arch, disc.disc_numbers = arch, ["ALL"]
    disc.dump(str(tree / ".discinfo"))

    info = TreeInfo()
    info.release.name, info.release.short, info.release.version = name, short, version
    info.tree.arch, info.tree.build_timestamp = arch, EPOCH
    info.tree.platforms = {arch, "xen"}
    repomds = []
    for uid in variants:
        variant = Variant(info)
        variant.id = variant.uid = variant.name = uid
        variant.type = "variant"
        variant.paths.repository, variant.paths.packages = uid, f"{uid}/Packages"
        info.variants.add(variant)
        repomds.append(f"{uid}/repodata/repomd.xml")
    pxe = {"kernel": "images/pxeboot/vmlinuz", "initrd": "images/pxeboot/initrd.img"}
    info.images.images = {arch: {**pxe, "efiboot.img": "images/efiboot.img"}, "xen": pxe}
    info.stage2.mainimage = "images/install.img"
    info.media.discnum = info.media.totaldiscs = 1
    for path in (*IMAGES, *repomds) if checksums else ():
        if (tree / path).is_file():
            info.checksums.add(path, "sha256", root_dir=str(tree))
    (tree / ".treeinfo").unlink(missing_ok=True)
    info.dump(str(tree / ".treeinfo"), main_variant=min(variants))


def write_dvd(
    tree: Path, iso: Path, *, label: str = LABEL, mbr: Path | None = None, media_check: bool = True
) -> Path:
    """Write an ISO of a tree: El Torito for BIOS and UEFI, bootable from USB too, media check implanted.

    Args:
        mbr: an ISO whose master boot record is taken.
    """
    argv: list[str | Path] = ["xorriso", "-as", "mkisofs", "-o", iso, "-V", label, "-r", "-J", "-joliet-long"]
    code = iso.with_suffix(".mbr")
    if mbr or MBR.is_file():
        code.write_bytes((mbr or MBR).open("rb").read(MBR_BYTES))
        argv += ["-isohybrid-mbr", code]
    argv += ["-b", "isolinux/isolinux.bin", "-c", "isolinux/boot.cat", "-no-emul-boot"]
    argv += ["-boot-load-size", "4", "-boot-info-table", "-eltorito-alt-boot"]
    argv += ["-e", "images/efiboot.img", "-no-emul-boot"]
    argv += ["-isohybrid-gpt-basdat", tree] if code.exists() else [tree]
    iso.unlink(missing_ok=True)
    run(*argv)
    code.unlink(missing_ok=True)
    if media_check:
        run("implantisomd5", "--force", "--supported-iso", iso)
    return iso


def copy_tree(tree: Path, target: Path) -> Path:
    """Return a copy of a DVD's tree, made of links: replace its files (`put`), don't write into them."""
    run("cp", "-al", tree, target)
    return target


def put(tree: Path, path: str, content: bytes | str | None) -> Path:
    """Replace a file of a copied tree, or remove it (None)."""
    target = tree / path
    target.unlink(missing_ok=True)
    if content is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
    return target


def alter_iso(iso: Path, target: Path, files: Mapping[str, bytes | str | None]) -> Path:
    """Return a copy of an ISO in which files or folders are replaced, added, or removed (None)."""
    argv: list[str | Path] = ["xorriso", "-indev", iso, "-outdev", target, "-boot_image", "any", "replay"]
    staged = target.with_suffix(".files")
    for path, content in files.items():
        if content is None:
            argv += ["-rm_r", f"/{path}", "--"]
        else:
            argv += ["-map", put(staged, path, content), f"/{path}"]
    target.unlink(missing_ok=True)
    run(*argv, "-commit")
    shutil.rmtree(staged, ignore_errors=True)
    return target


def tamper_iso(iso: Path, target: Path, path: str, *, offset: int = 100) -> Path:
    """Return a copy of an ISO in which one byte of a file is another: nothing else is, not even the time."""
    shutil.copyfile(iso, target)
    with target.open("r+b") as file:
        place = find_file(iso, path) + offset
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 0x01]))
    return target


def find_file(iso: Path, path: str) -> int:
    """Return where in an ISO a file begins, in bytes."""
    report = run("xorriso", "-indev", iso, "-find", f"/{path}", "-exec", "report_lba")
    place = re.search(r"File data lba:\s*\d+\s*,\s*(\d+)\s*,", report)
    if place is None:
        raise FileNotFoundError(f"{iso} has no {path}")
    return int(place[1]) * SECTOR
