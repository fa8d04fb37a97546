"""What changes on the medium: a folder laid out as it, with what is new or other, and the paths that go."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from builder.ask.plan import Plan
from builder.make.layout import FOLDER, boot_arguments
from builder.make.medium import menus
from builder.make.medium.repository import stage_updates
from builder.make.medium.treeinfo import NAME as TREEINFO
from builder.make.medium.treeinfo import build_time, renew_checksums
from builder.make.medium.trim import trim_medium
from builder.make.resolution import Resolution
from builder.tools.files import sha256
from builder.tools.iso import Original, escape_label, extract, list_files
from builder.tools.process import run

EFI_IMAGE = "images/efiboot.img"
FAT_BEGINS = 315532800
"""1980-01-01, the first date that a FAT file system can hold."""


@dataclass(frozen=True)
class Contents:
    """What goes into a medium: the artefacts of the stages before it."""

    kickstart: Path
    overlay: Path
    packages: Path
    """packages.json: the resolution."""
    updates: Path | None = None
    """The folder that the resolution's updates are in."""
    signatures: tuple[Path, ...] = ()
    """Databases of virus signatures, checked."""


@dataclass(frozen=True)
class Changes:
    """An original and what becomes of it."""

    original: Original
    tree: Path
    """A folder laid out as the medium, with the files that are new or other."""
    losing: tuple[str, ...]
    """Paths that the medium loses, files and folders; before the tree's files are put in."""

    @property
    def tops(self) -> list[str]:
        """What is at the top of the tree, as paths on the medium."""
        return sorted(f"/{path.name}" for path in self.tree.iterdir())


def prepare_changes(
    plan: Plan, original: Original, contents: Contents, tree: Path, *, trim: bool, log: Path
) -> tuple[Changes, int]:
    """Lay out what changes on a medium; return it with the time that everything gets, seconds.

    That time is SOURCE_DATE_EPOCH, or else when the original was made: the same inputs give the same bytes.

    Raises:
        BadInput: the resolution is not of this medium, or of other updates.
        StageFailed: a boot menu is not what we know, or a program failed.
    """
    resolution = Resolution.model_validate_json(contents.packages.read_text(encoding="utf-8"))
    treeinfo = extract(original.path, tree, TREEINFO)
    text = treeinfo.read_text(encoding="utf-8")
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH", build_time(text)))
    losing = trim_medium(original, resolution, tree, epoch=epoch, log=log) if trim else []
    stage_folder(tree / FOLDER, contents, resolution, epoch=epoch, log=log)
    edit_menus(plan, original, contents.kickstart.name, tree, epoch=epoch, log=log)
    treeinfo.write_text(renew_checksums(text, tree), encoding="utf-8")
    for path in (tree, *tree.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (epoch, epoch))
    return Changes(original, tree, tuple(losing)), epoch


def stage_folder(folder: Path, contents: Contents, resolution: Resolution, *, epoch: int, log: Path) -> None:
    """Lay out our own folder: kickstart, overlay, packages, signatures, their sums, and the updates."""
    folder.mkdir(parents=True)
    names = {
        contents.kickstart.name: contents.kickstart,
        "overlay.tar": contents.overlay,
        "packages.json": contents.packages,
        **{f"firmas/{path.name}": path for path in contents.signatures},
    }
    for name, path in names.items():
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(path, folder / name)
    sums = "".join(f"{sha256(folder / name)}  {name}\n" for name in names)
    (folder / "SHA256SUMS").write_text(sums)
    if contents.updates is not None:
        stage_updates(contents.updates, resolution.updates, folder / "updates", epoch=epoch, log=log)


def edit_menus(plan: Plan, original: Original, kickstart: str, tree: Path, *, epoch: int, log: Path) -> None:
    """Put the edited menus into the tree: isolinux's, GRUB's, and GRUB's inside the EFI boot image."""
    where = f"hd:LABEL={escape_label(original.volume_id)}"
    arguments = f"inst.stage2={where} inst.ks={where}:/{FOLDER}/{kickstart} {boot_arguments(plan)}"
    title = menus.title_of(plan.profile.name)
    grubs = [menus.GRUB]
    if menus.GRUB_COPY in list_files(original.path):
        grubs.append(menus.GRUB_COPY)
    for name in (menus.ISOLINUX, *grubs):
        path = extract(original.path, tree, name)
        how = menus.edit_isolinux if name == menus.ISOLINUX else menus.edit_grub
        path.write_text(how(path.read_text(encoding="utf-8"), title, arguments), encoding="utf-8")
    image = extract(original.path, tree, EFI_IMAGE)
    for name in grubs:
        replace_in_efi_image(image, tree / name, name, epoch=epoch, log=log)


def replace_in_efi_image(image: Path, file: Path, name: str, *, epoch: int, log: Path) -> None:
    """Put an edited menu into the EFI boot image, which firmware reads it from when booting from a DVD."""
    time = max(epoch, FAT_BEGINS)
    os.utime(file, (time, time))
    run(
        ["mcopy", "-o", "-m", "-i", image, file, f"::/{name}"],
        doing="edit the menu inside the EFI boot image",
        log=log,
        env={"MTOOLS_SKIP_CHECK": "1", "SOURCE_DATE_EPOCH": str(time)},
    )
