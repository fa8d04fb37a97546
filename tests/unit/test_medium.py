"""The boot menus: RHEL 8.3's own, edited as text, by a pair of what goes in and what comes out."""

from __future__ import annotations

import pytest

from builder.make.medium.menus import edit_grub, edit_isolinux
from builder.tools.errors import StageFailed
from builder.tools.iso import escape_label

ISOLINUX = """\
default vesamenu.c32
timeout 600

display boot.msg

menu title Red Hat Enterprise Linux 8.3
menu tabmsg Press Tab for full configuration options on menu items.

label linux
  menu label ^Install Red Hat Enterprise Linux 8.3
  kernel vmlinuz
  append initrd=initrd.img inst.stage2=hd:LABEL=RHEL-8-3-0-BaseOS-x86_64 quiet

label check
  menu label Test this ^media & install Red Hat Enterprise Linux 8.3
  menu default
  kernel vmlinuz
  append initrd=initrd.img inst.stage2=hd:LABEL=RHEL-8-3-0-BaseOS-x86_64 rd.live.check quiet
"""

GRUB = """\
set default="1"

function load_video {
  insmod efi_gop
}

load_video
set timeout=60
### BEGIN /etc/grub.d/00_header ###
search --no-floppy --set=root -l 'RHEL-8-3-0-BaseOS-x86_64'

### BEGIN /etc/grub.d/10_linux ###
menuentry 'Install Red Hat Enterprise Linux 8.3' --class fedora --class gnu-linux --class gnu --class os {
\tlinuxefi /images/pxeboot/vmlinuz inst.stage2=hd:LABEL=RHEL-8-3-0-BaseOS-x86_64 quiet
\tinitrdefi /images/pxeboot/initrd.img
}
submenu 'Troubleshooting -->' {
\tmenuentry 'Rescue a Red Hat Enterprise Linux system' --class fedora {
\t\tlinuxefi /images/pxeboot/vmlinuz inst.stage2=hd:LABEL=RHEL-8-3-0-BaseOS-x86_64 inst.rescue quiet
\t\tinitrdefi /images/pxeboot/initrd.img
\t}
}
"""
WORDS = "inst.stage2=hd:LABEL=X inst.ks=hd:LABEL=X:/forja/clasificado.ks"


def test_isolinux_starts_ours_by_itself() -> None:
    text = edit_isolinux(ISOLINUX, "Instalar clasificado (BORRA EL DISCO)", WORDS)
    assert text.count("menu default") == 1
    first, second = text.index("label forja1"), text.index("label forja2")
    assert first < text.index("menu default") < second < text.index("label linux")
    assert "timeout 100\n" in text
    assert f"append initrd=initrd.img {WORDS} console=tty0 console=ttyS0,115200\n" in text
    assert "BORRA EL DISCO" in text
    assert "rd.live.check quiet" in text  # the medium's own entries stay


def test_grub_starts_ours_by_itself_with_the_mediums_own_commands() -> None:
    text = edit_grub(GRUB, "Instalar clasificado (BORRA EL DISCO)", WORDS)
    assert text.startswith('set default="0"\n')
    assert text.count("set default") == 1
    assert "set timeout=10\n" in text
    assert f"\tlinuxefi /images/pxeboot/vmlinuz {WORDS} console=tty0 console=ttyS0,115200\n" in text
    assert text.index("BORRA EL DISCO") < text.index("Install Red Hat")
    assert text.count("initrdefi /images/pxeboot/initrd.img") == 4


@pytest.mark.parametrize("text", ["", "timeout 600\n", GRUB.replace("linuxefi", "chainloader")])
def test_an_unknown_menu_is_refused(text: str) -> None:
    with pytest.raises(StageFailed, match="not the menu we know"):
        edit_isolinux(text, "t", WORDS)
    with pytest.raises(StageFailed, match="not the menu we know"):
        edit_grub(text, "t", WORDS)


def test_a_label_with_blanks_is_written_as_udev_does() -> None:
    assert escape_label("RHEL 8.3") == "RHEL\\x208.3"
