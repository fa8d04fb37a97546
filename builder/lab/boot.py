"""Boot menus and release files of the medium, in the shape of RHEL 8.3's own.

The texts follow the DVD's files (made by lorax from ``share/templates.d/99-generic/config_files/x86``),
so that a program that edits RHEL's edits these alike.
"""

from __future__ import annotations

from pathlib import Path

from productmd.discinfo import DiscInfo
from productmd.treeinfo import TreeInfo, Variant

from builder.lab.content import Content

SHIM = "usr/lib/shim/shimx64.efi.signed"
MOKMANAGER = "usr/lib/shim/mmx64.efi.signed"
GRUB = "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"
EFI_FILES = {"BOOTX64.EFI": SHIM, "grubx64.efi": GRUB, "mmx64.efi": MOKMANAGER}
ISOLINUX_FILES = {
    "isolinux.bin": "usr/lib/ISOLINUX/isolinux.bin",
    **{
        f"{name}.c32": f"usr/lib/syslinux/modules/bios/{name}.c32"
        for name in ("ldlinux", "libcom32", "libutil", "vesamenu")
    },
}
HYBRID_MBR = "usr/lib/ISOLINUX/isohdpfx.bin"

GRUB_STUB = "configfile $cmdpath/grub.cfg\n"
"""What Debian's signed GRUB reads, since the prefix built into it is /EFI/debian: it goes on to the
grub.cfg beside the program that was started, as RHEL's does by itself."""

ISOLINUX_CFG = """\
default vesamenu.c32
timeout 600

display boot.msg

# Clear the screen when exiting the menu, instead of leaving the menu displayed.
# For vesamenu, this means the graphical background is still displayed without
# the menu itself for as long as the screen remains in graphics mode.
menu clear
menu title {product}
menu vshift 8
menu rows 18
menu margin 8
#menu hidden
menu helpmsgrow 15
menu tabmsgrow 13

menu color border * #00000000 #00000000 none
menu color sel 0 #ffffffff #00000000 none
menu color title 0 #ff7ba3d0 #00000000 none
menu color tabmsg 0 #ff3a6496 #00000000 none
menu color unsel 0 #84b8ffff #00000000 none
menu color hotsel 0 #84b8ffff #00000000 none
menu color hotkey 0 #ffffffff #00000000 none
menu color help 0 #ffffffff #00000000 none
menu color scrollbar 0 #ffffffff #ff355594 none
menu color timeout 0 #ffffffff #00000000 none
menu color timeout_msg 0 #ffffffff #00000000 none
menu color cmdmark 0 #84b8ffff #00000000 none
menu color cmdline 0 #ffffffff #00000000 none

menu tabmsg Press Tab for full configuration options on menu items.

menu separator # insert an empty line
menu separator # insert an empty line

label linux
  menu label ^Install {product}
  kernel vmlinuz
  append initrd=initrd.img inst.stage2=hd:LABEL={label} quiet

label check
  menu label Test this ^media & install {product}
  menu default
  kernel vmlinuz
  append initrd=initrd.img inst.stage2=hd:LABEL={label} rd.live.check quiet

menu separator # insert an empty line

# utilities submenu
menu begin ^Troubleshooting
  menu title Troubleshooting

label vesa
  menu indent count 5
  menu label Install {product} in ^basic graphics mode
  text help
\tTry this option out if you're having trouble installing
\t{product}.
  endtext
  kernel vmlinuz
  append initrd=initrd.img inst.stage2=hd:LABEL={label} nomodeset quiet

label rescue
  menu indent count 5
  menu label ^Rescue a {name} system
  text help
\tIf the system will not boot, this lets you access files
\tand edit config files to try to get it booting again.
  endtext
  kernel vmlinuz
  append initrd=initrd.img inst.stage2=hd:LABEL={label} inst.rescue quiet

menu separator # insert an empty line

label local
  menu label Boot from ^local drive
  localboot 0xffff

menu separator # insert an empty line
menu separator # insert an empty line

label returntomain
  menu label Return to ^main menu
  menu exit

menu end
"""

# ruff: noqa: E501 - a menu of RHEL's, as it is
GRUB_CFG = """\
set default="1"

function load_video {{
  insmod efi_gop
  insmod efi_uga
  insmod video_bochs
  insmod video_cirrus
  insmod all_video
}}

load_video
set gfxpayload=keep
insmod gzio
insmod part_gpt
insmod ext2

set timeout=60
### END /etc/grub.d/00_header ###

search --no-floppy --set=root -l '{label}'

### BEGIN /etc/grub.d/10_linux ###
menuentry 'Install {product}' --class fedora --class gnu-linux --class gnu --class os {{
\tlinuxefi /images/pxeboot/vmlinuz inst.stage2=hd:LABEL={label} quiet
\tinitrdefi /images/pxeboot/initrd.img
}}
menuentry 'Test this media & install {product}' --class fedora --class gnu-linux --class gnu --class os {{
\tlinuxefi /images/pxeboot/vmlinuz inst.stage2=hd:LABEL={label} rd.live.check quiet
\tinitrdefi /images/pxeboot/initrd.img
}}
submenu 'Troubleshooting -->' {{
\tmenuentry 'Install {product} in basic graphics mode' --class fedora --class gnu-linux --class gnu --class os {{
\t\tlinuxefi /images/pxeboot/vmlinuz inst.stage2=hd:LABEL={label} nomodeset quiet
\t\tinitrdefi /images/pxeboot/initrd.img
\t}}
\tmenuentry 'Rescue a {name} system' --class fedora --class gnu-linux --class gnu --class os {{
\t\tlinuxefi /images/pxeboot/vmlinuz inst.stage2=hd:LABEL={label} inst.rescue quiet
\t\tinitrdefi /images/pxeboot/initrd.img
\t}}
}}
"""

GRUB_LEGACY_CONF = """\
#debug --graphics
default=1
splashimage=/EFI/BOOT/splash.xpm.gz
timeout 60
hiddenmenu
title Install {product}
\tfindiso
\tkernel /images/pxeboot/vmlinuz inst.stage2=hd:LABEL={label} quiet
\tinitrd /images/pxeboot/initrd.img
title Test this media & install {product}
\tfindiso
\tkernel /images/pxeboot/vmlinuz inst.stage2=hd:LABEL={label} rd.live.check quiet
\tinitrd /images/pxeboot/initrd.img
"""

MEDIA_REPO = """\
[InstallMedia]
name={product}
mediaid=None
metadata_expire=-1
gpgcheck=0
cost=500
"""


def fill_text(template: str, content: Content) -> str:
    """Return a boot menu or ``media.repo`` for a content."""
    product = f"{content.name} {content.version}"
    return template.format(product=product, name=content.name, label=content.volume_id)


def write_release_files(tree: Path, content: Content, *, epoch: int) -> None:
    """Write ``.discinfo``, ``.treeinfo`` (with the checksums of the images there) and ``media.repo``.

    Args:
        tree: the folder that becomes the ISO, complete but for these.
        epoch: time stamp of the tree, seconds.
    """
    disc = DiscInfo()
    disc.timestamp = float(epoch)
    disc.description = f"{content.name} {content.version}"
    disc.arch = "x86_64"
    disc.disc_numbers = ["ALL"]
    disc.dump(str(tree / ".discinfo"))

    info = TreeInfo()
    info.release.name, info.release.short = content.name, "Forja-laboratorio"
    info.release.version = content.version
    info.tree.arch, info.tree.build_timestamp = "x86_64", epoch
    info.tree.platforms = {"x86_64", "xen"}
    for uid in ("BaseOS", "AppStream"):
        variant = Variant(info)
        variant.id = variant.uid = variant.name = uid
        variant.type = "variant"
        variant.paths.repository = uid
        variant.paths.packages = f"{uid}/Packages"
        info.variants.add(variant)
    pxe = {"kernel": "images/pxeboot/vmlinuz", "initrd": "images/pxeboot/initrd.img"}
    info.images.images = {"x86_64": {**pxe, "efiboot.img": "images/efiboot.img"}, "xen": pxe}
    info.media.discnum = info.media.totaldiscs = 1
    info.stage2.mainimage = "images/install.img"
    for image in ("images/efiboot.img", "images/install.img", "images/product.img", *pxe.values()):
        info.checksums.add(image, "sha256", root_dir=str(tree))
    info.dump(str(tree / ".treeinfo"))
    (tree / "media.repo").write_text(fill_text(MEDIA_REPO, content), encoding="utf-8")
