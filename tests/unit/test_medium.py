"""What is edited on the medium (menus, .treeinfo), and by which program it is written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.make.medium import Way, choose_way
from builder.make.medium.changes import Changes, Contents, stage_folder
from builder.make.medium.menus import edit_grub, edit_isolinux
from builder.make.medium.mkksiso import find_mkksiso, probe
from builder.make.medium.treeinfo import build_time, renew_checksums
from builder.make.medium.xorriso import quote
from builder.make.resolution import Resolution
from builder.tools.errors import BadInput, HostUnready, StageFailed
from builder.tools.files import sha256
from builder.tools.iso import Original, escape_label

ISOLINUX = """\
default vesamenu.c32
timeout 600

display boot.msg

menu title Red Hat Enterprise Linux 8.3
menu tabmsg Press Tab for full configuration options on menu items.

menu separator # insert an empty line
menu separator # insert an empty line

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
Edit = Callable[[str, str, str], str]
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
    assert "menu autoboot BORRA EL DISCO" in text
    # It lies above RHEL's messages, which have fixed rows, only without the blank lines before it.
    assert text.count("menu separator") == 1
    assert text.isascii()


@pytest.mark.parametrize(("edit", "menu"), [(edit_isolinux, ISOLINUX), (edit_grub, GRUB)])
def test_the_system_on_the_disk_can_be_started_from_both_menus(edit: Edit, menu: str) -> None:
    text = edit(menu, "Instalar", WORDS)
    assert "Arrancar el sistema del disco" in text
    assert text.index("Arrancar el sistema del disco") < text.index("Install Red Hat")


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


def test_a_label_with_blanks_is_written_as_udev_does_and_survives_grub() -> None:
    assert escape_label("RHEL 8.3") == "RHEL\\x208.3"
    words = f"inst.stage2=hd:LABEL={escape_label('RHEL 8.3')}"
    assert r"LABEL=RHEL\\x208.3 " in edit_grub(GRUB, "t", words)
    assert r"LABEL=RHEL\x208.3 " in edit_isolinux(ISOLINUX, "t", words)


TREEINFO = """\
[checksums]
BaseOS/repodata/repomd.xml = sha256:00
images/efiboot.img = sha256:11
images/old.img = md5:22
images/pxeboot/vmlinuz = sha256:33

[general]
images/efiboot.img = sha256:44
timestamp = 1601410486

[tree]
build_timestamp = 1601410486
"""


def test_only_the_checksums_of_new_files_are_renewed(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images/efiboot.img").write_bytes(b"new")
    (tmp_path / "images/old.img").write_bytes(b"new")
    sha, md5 = hashlib.sha256(b"new").hexdigest(), hashlib.md5(b"new").hexdigest()
    wanted = TREEINFO.replace("sha256:11", f"sha256:{sha}").replace("md5:22", f"md5:{md5}")
    assert renew_checksums(TREEINFO, tmp_path) == wanted
    assert renew_checksums("[general]\n", tmp_path) == "[general]\n"


def test_a_medium_says_when_it_was_made() -> None:
    assert build_time(TREEINFO) == 1601410486
    assert build_time("[tree]\n") == 0


def test_any_path_is_one_word_to_xorriso() -> None:
    assert quote("BaseOS/Packages/a b.rpm") == "'/BaseOS/Packages/a b.rpm'"
    assert quote("it's") == "'/it'\"'\"'s'"


COMMON = "[-h] [-a ADD_PATHS] [-c CMDLINE]"
USAGE = {
    "28.14.59": f"{COMMON} [--debug] [-V VOLID] ks input_iso output_iso",
    "34.9.16": f"{COMMON} [--debug] [--no-md5sum] [-V VOLID] ks input_iso output_iso",
    "37.1": f"{COMMON} [--debug] [--no-md5sum] [-V VOLID] ks input_iso output_iso",
    "37.6": f"{COMMON} [-r ARGS] [--debug] [--no-md5sum] [--ks KICKSTART] [-V VOLID] input_iso output_iso",
    "38.4": f"{COMMON} [-r ARGS] [--debug] [--no-md5sum] [--ks KICKSTART] [-V VOLID] [--skip-mkefiboot] "
    "[KICKSTART] input_iso output_iso",
    "40.4": f"{COMMON} [-r ARGS] [--debug] [--no-md5sum] [--ks KICKSTART] [-u IMAGE] [-V VOLID] "
    "[--skip-mkefiboot] [KICKSTART] input_iso output_iso",
    "42.5": f"{COMMON} [-r ARGS] [--debug] [--no-md5sum] [--ks KICKSTART] [-u IMAGE] [-V VOLID] "
    "[-R FROM TO] [--skip-mkefiboot] [KICKSTART] input_iso output_iso",
    "46.0": f"{COMMON} [-r ARGS] [--debug] [--no-md5sum] [--ks KICKSTART] [-u IMAGE] [-V VOLID] "
    "[-R FROM TO] [--skip-mkefiboot] [--tmp TMP] [KICKSTART] input_iso output_iso",
}
"""What the mkksiso of these versions of lorax prints."""
HELP = "usage: mkksiso {}\n\nAdd a kickstart and files to an iso\n\noptions:\n"


def help_of(version: str) -> str:
    return HELP.format(USAGE[version])


@pytest.fixture
def changes(tmp_path: Path) -> Changes:
    tree = tmp_path / "tree"
    (tree / "isolinux").mkdir(parents=True)
    (tree / ".treeinfo").touch()
    return Changes(Original(Path("dvd.iso"), "L", "RHEL", "8.3", "x86_64"), tree, ())


@pytest.mark.parametrize(
    ("version", "options", "kickstart"),
    [
        ("34.9.16", [], True),
        ("37.1", [], True),
        ("37.6", [], False),
        ("38.4", ["--skip-mkefiboot"], False),
        ("40.4", ["--skip-mkefiboot"], False),
        ("42.5", ["--skip-mkefiboot"], False),
        ("46.0", ["--skip-mkefiboot"], False),
    ],
)
def test_each_mkksiso_is_called_as_it_wants_it(
    version: str, options: list[str], kickstart: bool, changes: Changes
) -> None:
    found = probe(Path("mkksiso"), help_of(version))
    assert found.replays
    argv = [str(word) for word in found.argv(changes, Path("new.iso"))]
    at = argv.index("--")
    added = ["--add", f"{changes.tree}/.treeinfo", "--add", f"{changes.tree}/isolinux"]
    assert argv[:at] == ["mkksiso", "--no-md5sum", *options, *added]
    assert argv[at + 1 :] == [*([f"{changes.tree}/.treeinfo"] if kickstart else []), "dvd.iso", "new.iso"]


def fake_path(folder: Path, monkeypatch: pytest.MonkeyPatch, **programs: str) -> None:
    """Make a PATH of programs that print a text, and of nothing else but a shell's."""
    for name, text in programs.items():
        (folder / name).write_text(f"#!/bin/sh\nprintf %s '{text}'\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/nonexistent/sbin")


def test_an_old_mkksiso_is_refused_with_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_path(tmp_path, monkeypatch, mkksiso=help_of("28.14.59"), rpm="lorax-28.14.59-2.el8.x86_64")
    with pytest.raises(HostUnready, match=r"lorax-28\.14\.59-2\.el8\.x86_64.* edits every menu entry itself"):
        find_mkksiso()


def test_the_program_is_the_one_asked_for_or_the_one_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_path(tmp_path, monkeypatch, mkksiso="", xorriso="")
    assert choose_way(None, trim=False) is Way.XORRISO
    assert choose_way(Way.MKKSISO, trim=False) is Way.MKKSISO
    with pytest.raises(BadInput, match="can't leave packages out"):
        choose_way(Way.MKKSISO, trim=True)
    (tmp_path / "xorriso").unlink()
    assert choose_way(None, trim=False) is Way.MKKSISO
    for asked, trim in ((Way.XORRISO, False), (None, True)):
        with pytest.raises(HostUnready, match="xorriso is not on this host"):
            choose_way(asked, trim=trim)
    (tmp_path / "mkksiso").unlink()
    with pytest.raises(HostUnready, match="xorriso is not on this host"):
        choose_way(None, trim=False)


def test_signatures_travel_with_their_sums(tmp_path: Path) -> None:
    names = ("x.ks", "overlay.tar", "packages.json", "main.cvd", "daily.cvd")
    files = {name: tmp_path / name for name in names}
    for name, path in files.items():
        path.write_text(name)
    contents = Contents(
        files["x.ks"],
        files["overlay.tar"],
        files["packages.json"],
        signatures=(files["main.cvd"], files["daily.cvd"]),
    )
    resolution = Resolution.model_construct(packages=())
    stage_folder(tmp_path / "forja", contents, resolution, epoch=0, log=tmp_path / "log")
    sums = (tmp_path / "forja" / "SHA256SUMS").read_text().splitlines()
    assert {line.split()[1] for line in sums} == {
        "x.ks",
        "overlay.tar",
        "packages.json",
        "firmas/main.cvd",
        "firmas/daily.cvd",
    }
    for line in sums:
        digest, name = line.split()
        assert sha256(tmp_path / "forja" / name) == digest
