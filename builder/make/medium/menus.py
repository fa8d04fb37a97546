"""The boot menus: RHEL 8.3's own, as lorax wrote them, with entries of ours in front.

The first entry starts by itself, for nobody may be there; its title says what it does to the disk, and any
key stops the countdown of both menus. The last of ours starts the system that is on the disk: it is for the
person who finds the medium still in the machine. All of it is ASCII: isolinux shows bytes as code page 437.
"""

from __future__ import annotations

import re

from builder.tools.errors import StageFailed

ISOLINUX = "isolinux/isolinux.cfg"
GRUB = "EFI/BOOT/grub.cfg"
GRUB_COPY = "EFI/BOOT/BOOT.conf"
"""The same menu again, where the medium has 32-bit UEFI programs too, as RHEL 8.3's."""
MENU_SECONDS = 10
LOCAL_TITLE = "Arrancar el sistema del disco (no instala nada)"
HELP = """\
\tSe pierde todo lo que hay en el disco de esta maquina.
\tAl terminar se apaga: retire entonces este medio.
"""
REINSTALL = "forja.reinstalar"
"""Read by kickstarts/scripts/choose-disk.sh."""
SERIAL, SCREEN = "console=ttyS0,115200", "console=tty0"


def title_of(profile: str) -> str:
    """Return the title of the entry that starts by itself."""
    return f"Instalar {profile} (BORRA EL DISCO)"


def entries(title: str, arguments: str) -> list[tuple[str, str]]:
    """Return our two entries, title and arguments: the installer on the serial port, or on the screen.

    Both consoles get the kernel's messages; the last one named is the installer's. Only the second, which a
    person has to choose, installs over a server that is there already.
    """
    return [
        (title, f"{arguments} {SCREEN} {SERIAL}"),
        (f"{title} - reinstala, por pantalla", f"{arguments} {REINSTALL} {SERIAL} {SCREEN}"),
    ]


def edit_isolinux(text: str, title: str, arguments: str) -> str:
    """Return isolinux.cfg with our entries first, the first one default after MENU_SECONDS.

    Kernel and initrd are those of the medium's own first entry.

    Raises:
        StageFailed: it has no entry with a kernel and an initrd, or no `timeout` to edit.
    """
    entry = re.search(r"(?ms)^label\s.*?(?=^label\s|\Z)", text)
    kernel = entry and re.search(r"(?m)^\s*kernel\s+(\S+)", entry[0])
    initrd = entry and re.search(r"(?m)^\s*append\b.*?\binitrd=(\S+)", entry[0])
    text, timeouts = re.subn(r"(?m)^timeout\s+\d+", f"timeout {MENU_SECONDS * 10}", text)
    if entry is None or not kernel or not initrd or not timeouts:
        raise StageFailed(
            f"{ISOLINUX} on the medium is not the menu we know: no entry with kernel and initrd"
        )
    text = re.sub(r"(?m)^\s*menu (?:default|autoboot\b.*)\n", "", text)
    ours = "menu autoboot BORRA EL DISCO e instala en # segundo{,s}; cualquier tecla lo detiene\n\n"
    for number, (name, words) in enumerate(entries(title, arguments), start=1):
        default = "  menu default\n" if number == 1 else ""
        ours += (
            f"label forja{number}\n  menu label ^{number} {name}\n{default}"
            f"  text help\n{HELP}  endtext\n"
            f"  kernel {kernel[1]}\n  append initrd={initrd[1]} {words}\n\n"
        )
    ours += f"label forja0\n  menu label ^0 {LOCAL_TITLE}\n  localboot 0xffff\n\nmenu separator\n\n"
    # In the place of the blank lines above the first entry, or else the last would lie below the messages.
    first = r"(?m)^(?:menu separator.*\n\s*)*label\s"
    return re.sub(first, lambda match: ours + match[0].splitlines()[-1], text, count=1)


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
    # GRUB takes a backslash (\x20 of a label with blanks) for its own.
    words_of = [(name, words.replace("\\", "\\\\")) for name, words in entries(title, arguments)]
    ours = "".join(
        f"menuentry '{name}' {{\n\t{kernel[1]} {kernel[2]} {words}\n\t{initrd[1]} {initrd[2]}\n}}\n"
        for name, words in words_of
    )
    # "exit 1", for firmware goes on to its next boot option only after one that failed (UEFI 2.8, 3.1.1).
    ours += f"menuentry '{LOCAL_TITLE}' {{\n\texit 1\n}}\n"
    return 'set default="0"\n' + re.sub(r"(?m)^menuentry ", lambda match: ours + match[0], text, count=1)
