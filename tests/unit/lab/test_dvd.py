"""What of the medium can be seen without making one."""

from __future__ import annotations

import dataclasses
import subprocess
import tarfile
from pathlib import Path

import pytest

from builder.lab import boot
from builder.lab.archive import Entry, merged_path, read_tar, write_initrd, write_tar
from builder.lab.content import Content
from builder.lab.dvd import dvd_key
from builder.lab.rootfs import rootfs_key
from builder.lab.stage2 import module_order
from builder.tools.apt import debian_sources
from builder.tools.errors import BadInput

CONTENT = Content(
    name="Forja laboratorio",
    version="8.3",
    volume_id="FORJA-LABORATORIO-8-3-x86_64",
    packages={"postfix": ("postfix",)},
    services={"sshd": "ssh"},
)


@pytest.mark.parametrize(
    "change", [{"volume_id": "A B"}, {"volume_id": "x" * 33}, {"name": "a'b"}, {"version": "x"}]
)
def test_names_that_no_menu_could_carry_are_refused(change: dict[str, str]) -> None:
    with pytest.raises(BadInput):
        dataclasses.replace(CONTENT, **change)


def test_the_keys_follow_what_goes_in() -> None:
    other_label = dataclasses.replace(CONTENT, volume_id="OTHER")
    other_package = dataclasses.replace(CONTENT, packages={"postfix": ("postfix", "postfix-pcre")})
    assert rootfs_key(other_label) == rootfs_key(CONTENT) != rootfs_key(other_package)
    assert len({dvd_key(CONTENT), dvd_key(other_label), dvd_key(other_package)}) == 3
    assert dvd_key(CONTENT) == dvd_key(dataclasses.replace(CONTENT))


def test_menus_have_the_shape_of_rhels() -> None:
    stage2 = "inst.stage2=hd:LABEL=FORJA-LABORATORIO-8-3-x86_64"
    isolinux = boot.fill_text(boot.ISOLINUX_CFG, CONTENT)
    assert f"  append initrd=initrd.img {stage2} quiet\n" in isolinux
    assert "label check\n" in isolinux
    assert "timeout 600\n" in isolinux
    grub = boot.fill_text(boot.GRUB_CFG, CONTENT)
    assert (
        f"\tlinuxefi /images/pxeboot/vmlinuz {stage2} quiet\n\tinitrdefi /images/pxeboot/initrd.img\n" in grub
    )
    assert "search --no-floppy --set=root -l 'FORJA-LABORATORIO-8-3-x86_64'\n" in grub
    assert grub.count("{") == grub.count("}")
    for text in (isolinux, grub, boot.fill_text(boot.GRUB_LEGACY_CONF, CONTENT)):
        assert "Red Hat" not in text


def test_modules_are_loaded_after_what_they_need() -> None:
    text = (
        "kernel/a/sr-mod.ko: kernel/b/cdrom.ko kernel/c/core.ko\n"
        "kernel/b/cdrom.ko: kernel/c/core.ko\nkernel/c/core.ko:\n"
    )
    assert module_order(text, ("sr_mod", "absent", "cdrom")) == [
        "kernel/c/core.ko",
        "kernel/b/cdrom.ko",
        "kernel/a/sr-mod.ko",
    ]


def test_archives_are_the_same_bytes_each_time_and_readable(tmp_path: Path) -> None:
    entries = {
        "usr/bin/x": Entry(b"#!\n", mode=0o755),
        "usr/bin/y": Entry(target="x"),
        "usr/z": Entry(b"data"),
    }
    for name, write in (("a.tar", write_tar), ("a.img", write_initrd)):
        one, two = tmp_path / f"1{name}", tmp_path / f"2{name}"
        write(one, entries, epoch=1604361600)
        write(two, dict(reversed(entries.items())), epoch=1604361600)
        assert one.read_bytes() == two.read_bytes()
    assert read_tar(tmp_path / "1a.tar", [""]) == {**entries, "usr/bin/y": Entry(target="x", mode=0o777)}
    with tarfile.open(tmp_path / "1a.tar") as tar:
        assert {(member.uid, member.gid, member.mtime) for member in tar} == {(0, 0, 1604361600)}
    unzipped = subprocess.run(["gzip", "-dc", tmp_path / "1a.img"], check=True, capture_output=True).stdout
    listed = subprocess.run(["cpio", "-t", "--quiet"], input=unzipped, check=True, capture_output=True).stdout
    assert listed.decode().split() == ["usr", "usr/bin", "usr/bin/x", "usr/bin/y", "usr/z"]


def test_paths_are_given_as_they_are_after_the_usr_merge() -> None:
    assert merged_path("./sbin/sfdisk") == "usr/sbin/sfdisk"
    assert merged_path("./usr/sbin/x") == "usr/sbin/x"
    assert merged_path("./lib/modules/a") == "usr/lib/modules/a"
    assert merged_path("./etc/x") == "etc/x"


def test_only_debians_own_mirrors_of_this_host_are_used(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text("# deb http://no/debian bookworm main\n")
    (tmp_path / "sources.list.d/other.list").write_text(
        "deb [arch=amd64 signed-by=/x.gpg] https://download.docker.example/linux/debian bookworm stable\n"
        "deb https://nodes.example/node_20.x nodistro main\n"
    )
    assert debian_sources("bookworm", tmp_path)[0].endswith("http://deb.debian.org/debian bookworm main")
    (tmp_path / "sources.list.d/debian.sources").write_text(
        "Types: deb deb-src\n# a comment\nURIs: http://mirror.example/debian\n"
        "Suites: bookworm bookworm-updates\n"
        "Components: main contrib\n\nTypes: deb\nURIs: http://off.example/debian\nSuites: bookworm\n"
        "Components: main\nEnabled: no\n"
    )
    assert [line.split()[-3:] for line in debian_sources("bookworm", tmp_path)] == [
        ["http://mirror.example/debian", "bookworm", "main"],
        ["http://mirror.example/debian", "bookworm-updates", "main"],
    ]
