"""The laboratory DVD: an ISO laid out like RHEL 8.3's that installs Debian by a RHEL kickstart."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from builder.lab import boot
from builder.lab.archive import read_tar
from builder.lab.content import Content
from builder.lab.repositories import make_repositories
from builder.lab.rootfs import BASE_PACKAGES, Rootfs, make_rootfs, rootfs_key
from builder.lab.stage2 import make_initrd, make_product, read_kernel, source_digest
from builder.tools.console import step
from builder.tools.process import run

EPOCH = 1604361600  # 2020-11-03, when RHEL 8.3 came out: the date of everything that has none of its own
KEPT = 3  # media and root file systems that stay in the cache
ESP_KIB = 10240
TOOL_SECONDS = 900


def make_dvd(content: Content, *, cache: Path, log: Path) -> Path:
    """Return the laboratory DVD for a content; nothing is made when the cache has it.

    Args:
        content: names, label, packages and services.
        cache: folder for the media and root file systems, keyed by all that goes into them.
        log: where the output of the programs goes.

    Raises:
        HostUnready: a program is missing: mmdebstrap, mksquashfs, mkfs.vfat, mcopy, xorriso, rpmbuild, gpg
            or createrepo_c.
        StageFailed: one of them failed.
    """
    iso = cache / f"forja-laboratorio-{dvd_key(content)}.iso"
    cache.mkdir(parents=True, exist_ok=True)
    with _lock(cache):
        if iso.is_file():
            os.utime(iso)
            return iso
        epoch = int(os.environ.get("SOURCE_DATE_EPOCH", EPOCH))
        with step("Making the laboratory's Debian"):
            rootfs = make_rootfs(content, cache=cache, log=log, epoch=epoch)
        work = cache / f"{iso.stem}.partial"
        shutil.rmtree(work, ignore_errors=True)
        try:
            with step("Making the laboratory medium"):
                tree = work / "tree"
                make_tree(content, rootfs, tree, log=log, epoch=epoch)
                partial = work / iso.name
                write_iso(content, tree, _hybrid_mbr(rootfs, work), partial, log=log, epoch=epoch)
            partial.rename(iso)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        _prune(cache)
    return iso


def dvd_key(content: Content) -> str:
    """Return the hash of everything that goes into a DVD."""
    digest = hashlib.sha256(rootfs_key(content).encode())
    digest.update(content.to_json().encode())
    digest.update(source_digest().encode())
    return digest.hexdigest()[:16]


def make_tree(content: Content, rootfs: Rootfs, tree: Path, *, log: Path, epoch: int) -> None:
    """Lay out the folder that becomes the ISO."""
    for folder in ("isolinux", "EFI/BOOT", "EFI/debian", "images/pxeboot"):
        (tree / folder).mkdir(parents=True)
    loaders = read_tar(rootfs.boot, (*boot.ISOLINUX_FILES.values(),), top="boot/")
    for name, source in boot.ISOLINUX_FILES.items():
        (tree / "isolinux" / name).write_bytes(loaders[source].content())
    signed = read_tar(rootfs.root, boot.EFI_FILES.values())
    for name, source in boot.EFI_FILES.items():
        (tree / "EFI/BOOT" / name).write_bytes(signed[source].content())

    release, kernel = read_kernel(rootfs)
    (tree / "images/pxeboot/vmlinuz").write_bytes(kernel)
    make_initrd(tree / "images/pxeboot/initrd.img", rootfs, release, epoch=epoch)
    for name in ("vmlinuz", "initrd.img"):
        # RHEL has them twice, too: isolinux reads its own folder.
        shutil.copy(tree / "images/pxeboot" / name, tree / "isolinux" / name)

    texts = {
        "isolinux/isolinux.cfg": boot.ISOLINUX_CFG,
        "isolinux/grub.conf": boot.GRUB_LEGACY_CONF,
        "EFI/BOOT/grub.cfg": boot.GRUB_CFG,
    }
    for name, template in texts.items():
        (tree / name).write_text(boot.fill_text(template, content), encoding="utf-8")
    (tree / "isolinux/boot.msg").write_text(f"\n{content.name} {content.version} (no es RHEL)\n\n")
    (tree / "EFI/debian/grub.cfg").write_text(boot.GRUB_STUB)
    make_esp(tree / "images/efiboot.img", tree / "EFI", content, log=log, epoch=epoch)

    product = tree.parent / "product.tar"
    make_product(product, rootfs, epoch=epoch)
    pack_squashfs(rootfs.root, tree / "images/install.img", log=log, epoch=epoch)
    pack_squashfs(product, tree / "images/product.img", log=log, epoch=epoch)
    mapping = {**json.loads(content.to_json()), "base": sorted(BASE_PACKAGES)}
    make_repositories(content, rootfs, tree, log=log, epoch=epoch)
    text = json.dumps(mapping, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    (tree / "BaseOS/laboratorio.json").write_text(text, encoding="utf-8")
    boot.write_release_files(tree, content, epoch=epoch)


def make_esp(image: Path, efi: Path, content: Content, *, log: Path, epoch: int) -> None:
    """Write the FAT image that UEFI firmware boots, with its own copy of the EFI folder."""
    env = {"SOURCE_DATE_EPOCH": str(epoch), "MTOOLS_SKIP_CHECK": "1"}
    serial = hashlib.sha256(content.volume_id.encode()).hexdigest()[:8]
    argv = ["mkfs.vfat", "-C", "-n", "ANACONDA", "-i", serial, "--invariant", str(image), str(ESP_KIB)]
    run(argv, doing="make the medium's EFI image", log=log, env=env, timeout=TOOL_SECONDS)
    for path in efi.rglob("*"):
        os.utime(path, (epoch, epoch))
    os.utime(efi, (epoch, epoch))
    argv = ["mcopy", "-s", "-m", "-i", str(image), str(efi), "::/"]
    run(argv, doing="fill the medium's EFI image", log=log, env=env, timeout=TOOL_SECONDS)


def pack_squashfs(archive: Path, image: Path, *, log: Path, epoch: int) -> None:
    """Write a squashfs of a tar archive; nobody has to be root for it."""
    argv = ["mksquashfs", "-", str(image), "-tar", "-root-mode", "0755", "-no-progress", "-exit-on-error"]
    argv += ["-comp", "zstd", "-Xcompression-level", "6"]
    # A shell only to open the archive as its standard input: it is too big to hand over as bytes.
    argv = ["sh", "-c", 'exec "$@" <"$0"', str(archive), *argv]
    env = {"SOURCE_DATE_EPOCH": str(epoch)}
    run(argv, doing=f"pack {image.name}", log=log, env=env, timeout=TOOL_SECONDS)


def write_iso(content: Content, tree: Path, mbr: Path, iso: Path, *, log: Path, epoch: int) -> None:
    """Write the ISO: El Torito for BIOS and UEFI, and bootable from a USB stick under both."""
    for path in (*tree.rglob("*"), tree):
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (epoch, epoch))
    argv: list[str | Path] = [
        *("xorriso", "-as", "mkisofs", "-o", iso, "-V", content.volume_id, "-r", "-J", "-joliet-long"),
        *("-isohybrid-mbr", mbr, "-b", "isolinux/isolinux.bin", "-c", "isolinux/boot.cat"),
        *("-no-emul-boot", "-boot-load-size", "4", "-boot-info-table"),
        *("-eltorito-alt-boot", "-e", "images/efiboot.img", "-no-emul-boot", "-isohybrid-gpt-basdat"),
        tree,
    ]
    env = {"SOURCE_DATE_EPOCH": str(epoch)}
    run(argv, doing="write the laboratory's ISO", log=log, env=env, timeout=TOOL_SECONDS)


def _hybrid_mbr(rootfs: Rootfs, work: Path) -> Path:
    path = work / "isohdpfx.bin"
    path.write_bytes(read_tar(rootfs.boot, [boot.HYBRID_MBR], top="boot/")[boot.HYBRID_MBR].content())
    return path


@contextmanager
def _lock(cache: Path) -> Iterator[None]:
    with (cache / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _prune(cache: Path) -> None:
    for pattern in ("forja-laboratorio-*.iso", "rootfs-*"):
        found = sorted(cache.glob(pattern), key=lambda path: path.stat().st_mtime, reverse=True)
        for old in found[KEPT:]:
            shutil.rmtree(old) if old.is_dir() else old.unlink()
