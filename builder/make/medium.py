"""The medium: the installation ISO with kickstart, overlay and updates inside, which installs by itself.

xorriso replays the original boot set-up (El Torito for BIOS and UEFI, isohybrid), so only what changes is
written: the boot menus, the copy of GRUB's menu inside the EFI boot image, and our own folder.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from builder.ask.plan import Plan
from builder.tools.errors import StageFailed
from builder.tools.files import finished, scratch, sha256
from builder.tools.iso import Original, escape_label, extract
from builder.tools.process import run

FOLDER = "forja"
ISOLINUX = "isolinux/isolinux.cfg"
GRUB = "EFI/BOOT/grub.cfg"
EFI_IMAGE = "images/efiboot.img"
MENU_SECONDS = 10
FAT_BEGINS = 315532800
"""1980-01-01, the first date that a FAT file system can hold."""
BOOT_ARGUMENTS = "inst.nosave=all net.ifnames=0 biosdevname=0"
"""inst.nosave: Anaconda leaves no kickstart (which holds hashes) and no logs in the image."""


def make_medium(
    plan: Plan,
    original: Original,
    kickstart: Path,
    overlay: Path,
    updates: Path | None,
    path: Path,
    *,
    log: Path,
) -> Path:
    """Write the medium to `path`.

    Args:
        original: the installation ISO; its volume id is kept, so that inst.stage2 still finds its image.
        kickstart, overlay: the artefacts to put inside.
        updates: a folder of RPMs that becomes a repository on the medium, or None.
        path: the ISO to write.
        log: where the programs' output goes.

    Raises:
        StageFailed: a boot menu is not what we know, or a program failed.
    """
    with finished(path) as partial, scratch(path.parent, "medium") as work:
        stage_folder(work / FOLDER, kickstart, overlay, updates, log)
        label = original.volume_id
        for name in (ISOLINUX, GRUB, EFI_IMAGE):
            extract(original.path, work, name)
        where = f"hd:LABEL={escape_label(label)}"
        arguments = f"inst.stage2={where} inst.ks={where}:/{FOLDER}/{kickstart.name} {BOOT_ARGUMENTS}"
        title = f"Instalar {plan.profile.name} (BORRA EL DISCO)"
        edit(work / ISOLINUX, edit_isolinux, title, arguments)
        edit(work / GRUB, edit_grub, title, arguments)
        replace_in_efi_image(work / EFI_IMAGE, work / GRUB, log)
        replay(original.path, partial, label, work, log)
        run(["implantisomd5", "--force", partial], doing="implant the media check", log=log)
    return path


def stage_folder(folder: Path, kickstart: Path, overlay: Path, updates: Path | None, log: Path) -> None:
    """Lay out our own folder on the medium: kickstart, overlay archive, their sums, and the updates."""
    folder.mkdir(parents=True)
    shutil.copyfile(kickstart, folder / kickstart.name)
    shutil.copyfile(overlay, folder / "overlay.tar")
    sums = "".join(f"{sha256(folder / name)}  {name}\n" for name in (kickstart.name, "overlay.tar"))
    (folder / "SHA256SUMS").write_text(sums)
    if updates is not None:
        shutil.copytree(updates, folder / "updates")
        run(
            ["createrepo_c", "--quiet", "--simple-md-filenames", folder / "updates"],
            doing="make a repository of the updates",
            log=log,
        )


def edit(path: Path, how: Callable[[str, str, str], str], title: str, arguments: str) -> None:
    """Edit a boot menu in place, by one of the two functions below."""
    path.write_text(how(path.read_text(encoding="utf-8"), title, arguments), encoding="utf-8")


def entries(title: str, arguments: str) -> list[tuple[str, str]]:
    """Return the two menu entries, title and arguments: installer on the serial port, or on the screen."""
    return [
        (title, f"{arguments} console=tty0 console=ttyS0,115200"),
        (f"{title} - por pantalla", f"{arguments} console=ttyS0,115200 console=tty0"),
    ]


def edit_isolinux(text: str, title: str, arguments: str) -> str:
    """Return isolinux.cfg with our entries first, the first one default after MENU_SECONDS.

    Raises:
        StageFailed: it has no `timeout` or no `label` to edit.
    """
    ours = "".join(
        f"label forja{number}\n  menu label ^{number} {name}\n{default}"
        f"  kernel vmlinuz\n  append initrd=initrd.img {words}\n\n"
        for number, default, (name, words) in zip(
            (1, 2), ("  menu default\n", ""), entries(title, arguments), strict=True
        )
    )
    text = re.sub(r"(?m)^\s*menu default\s*\n", "", text)
    text, timeouts = re.subn(r"(?m)^timeout\s+\d+", f"timeout {MENU_SECONDS * 10}", text)
    text, labels = re.subn(r"(?m)^label\s", lambda match: ours + match[0], text, count=1)
    if not timeouts or not labels:
        raise StageFailed(f"{ISOLINUX} on the medium is not the menu we know: no 'timeout' or no 'label'")
    return text


def edit_grub(text: str, title: str, arguments: str) -> str:
    """Return grub.cfg with our entries first, the first one default after MENU_SECONDS.

    The commands that load kernel and initrd (`linuxefi` on RHEL 8) are those of the medium's own first entry.

    Raises:
        StageFailed: it has no menu entry with a kernel and an initrd, or no `set timeout`.
    """
    entry = re.search(r"(?ms)^menuentry .*?\{\s*\n(.*?)^\}", text)
    kernel = entry and re.search(r"(?m)^\s*(linux\w*)\s+(\S+)", entry[1])
    initrd = entry and re.search(r"(?m)^\s*(initrd\w*)\s+(\S+)", entry[1])
    text, timeouts = re.subn(r"(?m)^set timeout=\S+", f"set timeout={MENU_SECONDS}", text)
    if entry is None or not kernel or not initrd or not timeouts:
        raise StageFailed(f"{GRUB} on the medium is not the menu we know: no entry with kernel and initrd")
    text = re.sub(r"(?m)^set default=.*\n", "", text)
    ours = "".join(
        f"menuentry '{name}' {{\n\t{kernel[1]} {kernel[2]} {words}\n\t{initrd[1]} {initrd[2]}\n}}\n"
        for name, words in entries(title, arguments)
    )
    return 'set default="0"\n' + re.sub(r"(?m)^menuentry ", lambda match: ours + match[0], text, count=1)


def replace_in_efi_image(image: Path, grub: Path, log: Path) -> None:
    """Put the edited menu into the EFI boot image, which firmware reads it from when booting from a DVD."""
    epoch = str(max(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), FAT_BEGINS))
    os.utime(grub, (int(epoch), int(epoch)))
    run(
        ["mcopy", "-o", "-m", "-i", image, grub, f"::/{GRUB}"],
        doing="edit the menu inside the EFI boot image",
        log=log,
        env={"MTOOLS_SKIP_CHECK": "1", "SOURCE_DATE_EPOCH": epoch},
    )


def replay(original: Path, target: Path, label: str, work: Path, log: Path) -> None:
    """Copy an ISO with its boot set-up, with the files of `work` in the place of its own or beside them."""
    maps = [
        word
        for name in (ISOLINUX, GRUB, EFI_IMAGE, FOLDER)
        for word in ("-map", str(work / name), f"/{name}")
    ]
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "0")
    run(
        [
            "xorriso",
            "-indev",
            original,
            "-outdev",
            target,
            "-boot_image",
            "any",
            "replay",
            "-volid",
            label,
            "-joliet",
            "on",
            "-compliance",
            "joliet_long_names",
            *maps,
            "-chown_r",
            "0",
            f"/{FOLDER}",
            "--",
            # All of it, for the folders that files are put into take the time of that.
            *("-alter_date_r", "b", f"={epoch}", "/", "--"),
            *("-alter_date_r", "c", f"={epoch}", "/", "--"),
            "-volume_date",
            "all_file_dates",
            f"={epoch}",
            "-padding",
            "0",
            "-commit_eject",
            "none",
        ],
        doing="write the medium",
        log=log,
        env={"SOURCE_DATE_EPOCH": epoch},
    )
