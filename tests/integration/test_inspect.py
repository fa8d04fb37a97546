"""`forja inspect`: what a medium is, and each bad one refused with its own message."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.media import dvd as media
from tests.media.rhel83 import Kit

from .conftest import Run, forja

RELEASE = "BaseOS/Packages/redhat-release-8.3-1.0.el8.x86_64.rpm"


def inspect(iso: Path, *words: str | Path) -> Run:
    return forja("inspect", iso, *words)


def check_refused(result: Run, *said: str) -> None:
    assert result.code == 2, result.stdout + result.stderr
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    for words in said:
        assert words in lines[0]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def alter(kit: Kit, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that makes a copy of the DVD with other files, and another `.treeinfo`."""

    def make(
        files: dict[str, bytes | str | None] | None = None, treeinfo: tuple[tuple[str, str], ...] = ()
    ) -> Path:
        text = (kit.tree / ".treeinfo").read_text()
        for old, new in treeinfo:
            assert old in text
            text = text.replace(old, new)
        return media.alter_iso(kit.dvd, tmp_path / "other.iso", {".treeinfo": text, **(files or {})})

    return make


# What is accepted


def test_a_dvd(dvd: Path) -> None:
    result = inspect(dvd)
    assert result.code == 0, result.stderr
    assert result.stderr == ""
    facts = {line[:17].strip(): line[17:].strip() for line in result.stdout.splitlines()}
    assert facts["product"] == "Red Hat Enterprise Linux 8.3.0 x86_64"
    assert facts["platform"] == "rhel-8.3"
    assert facts["volume id"] == "RHEL-8-3-0-BaseOS-x86_64"
    assert facts["variant BaseOS"] == "478 packages in BaseOS"
    assert facts["boots BIOS"] == "isolinux/isolinux.bin"
    assert facts["boots UEFI"] == "images/efiboot.img"
    assert facts["media check"].startswith("implanted (a supported release)")
    assert facts["SHA-256"] == "not asked for"


def test_a_dvd_as_json(kit: Kit) -> None:
    whole = json.loads(inspect(kit.dvd, "--json").stdout)
    assert (whole["name"], whole["version"], whole["arch"]) == ("Red Hat Enterprise Linux", "8.3.0", "x86_64")
    assert whole["size"] == kit.dvd.stat().st_size
    assert whole["media_check"]["md5"] in kit.dvd.read_bytes()[16 * 2048 : 17 * 2048].decode(
        "ascii", "ignore"
    )
    assert {one["id"]: one["packages"] for one in whole["repositories"]} == {
        name: len(list((kit.tree / name / "Packages").iterdir())) for name in ("BaseOS", "AppStream")
    }
    for image in whole["boot"]:
        assert (
            kit.dvd.read_bytes()[image["offset"] + 64 :][:512]
            == ((kit.tree / image["path"]).read_bytes()[64:][:512])
        )
    assert {"images/install.img", "isolinux/initrd.img", "BaseOS/repodata/repomd.xml"} <= set(
        whole["checked"]
    )
    assert any("primary.xml" in path for path in whole["checked"])
    assert whole["sha256"] == ""


def test_a_dvd_with_one_more_file(alter: Callable[..., Path]) -> None:
    """The way in which the bad media below are made is not what they are refused for."""
    result = inspect(alter({"hola": "x"}))
    assert result.code == 0, result.stderr
    assert "none is implanted" in result.stdout


@pytest.mark.parametrize(
    ("name", "version", "package"),
    [
        ("CentOS Linux", "8", "centos-linux-release-8.3-1.2011.el8.noarch"),
        ("AlmaLinux", "8.3", "almalinux-release-8.3-1.el8.x86_64"),
        ("Oracle Linux", "8.3.0", "oraclelinux-release-8.3-1.0.4.el8.x86_64"),
    ],
)
def test_a_rebuild(alter: Callable[..., Path], name: str, version: str, package: str) -> None:
    """CentOS Linux's .treeinfo says just 8 (8.2's does): the release package tells the rest."""
    iso = alter(
        {RELEASE: None, f"BaseOS/Packages/{package}.rpm": b""},
        (("Red Hat Enterprise Linux", name), ("version = 8.3.0", f"version = {version}")),
    )
    result = inspect(iso, "--json")
    assert result.code == 0, result.stderr
    whole = json.loads(result.stdout)
    assert whole["name"] == name
    assert whole["version"].startswith("8.3")


# No ISO, or less than one


def test_no_file(tmp_path: Path) -> None:
    check_refused(inspect(tmp_path / "none.iso"), "none.iso can't be read: No such file")


def test_a_file_that_is_no_iso(kit: Kit) -> None:
    check_refused(
        inspect(kit.rpms.parent / "updates/repodata/repomd.xml"), "is not an ISO 9660 image", "bytes"
    )
    check_refused(
        inspect(kit.tree / "images/install.img"), "install.img is not an ISO 9660 image; give the DVD's"
    )


@pytest.mark.parametrize(
    ("keep", "said"), [(0, "it has 0 bytes"), (20_000, "it has 20000 bytes"), (34_000, "it has 34000 bytes")]
)
def test_a_dvd_cut_off_in_its_header(dvd: Path, tmp_path: Path, keep: int, said: str) -> None:
    iso = tmp_path / "cut.iso"
    iso.write_bytes(dvd.read_bytes()[:keep])
    check_refused(inspect(iso), "is not an ISO 9660 image", said)


@pytest.mark.parametrize("lost", [2048, 5_000_000])
def test_a_truncated_dvd(dvd: Path, tmp_path: Path, lost: int) -> None:
    iso = tmp_path / "cut.iso"
    iso.write_bytes(dvd.read_bytes()[:-lost])
    size = dvd.stat().st_size
    check_refused(inspect(iso), f"is truncated: it has {size - lost} bytes and says that it holds {size}")


def test_a_dvd_with_zeros_for_folders(dvd: Path, tmp_path: Path) -> None:
    """A copy whose beginning was lost: header and size are right, and there is nothing to find."""
    iso = tmp_path / "zeros.iso"
    data = bytearray(dvd.read_bytes())
    data[20 * 2048 : 130 * 2048] = bytes(110 * 2048)
    iso.write_bytes(data)
    check_refused(inspect(iso), "zeros.iso", "no installation medium")


# Another medium


def test_an_iso_of_anything_else(alter: Callable[..., Path], kit: Kit, tmp_path: Path) -> None:
    iso = media.alter_iso(kit.dvd, tmp_path / "data.iso", {".treeinfo": None})
    check_refused(inspect(iso), "data.iso has no .treeinfo: it is no installation medium")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nothing like it\n", "it is no INI file"),
        ("[general]\nfamily = Red Hat Enterprise Linux\n", "no product, version or architecture"),
    ],
)
def test_a_treeinfo_that_says_nothing(kit: Kit, tmp_path: Path, text: str, said: str) -> None:
    iso = media.alter_iso(kit.dvd, tmp_path / "x.iso", {".treeinfo": text})
    check_refused(inspect(iso), "it has no valid .treeinfo", said)


BOOT_TREEINFO = """\
[general]
arch = x86_64
family = Red Hat Enterprise Linux
name = Red Hat Enterprise Linux-8.3
packagedir =
timestamp = 1601510400
version = 8.3

[images-x86_64]
initrd = images/pxeboot/initrd.img
kernel = images/pxeboot/vmlinuz

[stage2]
mainimage = images/install.img
"""


def test_the_boot_iso(kit: Kit, tmp_path: Path) -> None:
    files: dict[str, bytes | str | None] = {".treeinfo": BOOT_TREEINFO, "BaseOS": None, "AppStream": None}
    iso = media.alter_iso(kit.dvd, tmp_path / "boot.iso", files)
    check_refused(
        inspect(iso), "has no repository BaseOS (repositories: none)", "it is a boot ISO", "binary DVD"
    )


def test_a_dvd_without_appstream(alter: Callable[..., Path]) -> None:
    iso = alter({"AppStream": None}, (("repository = AppStream", "repository ="),))
    check_refused(inspect(iso), "has no repository AppStream (repositories: BaseOS)")


@pytest.mark.parametrize(
    ("changes", "package", "found"),
    [
        ((("8.3.0", "8.4.0"),), "redhat-release-8.4-0.6.el8", "Red Hat Enterprise Linux 8.4.0 x86_64"),
        ((("8.3.0", "9.0.0"),), "redhat-release-9.0-2.17.el9", "Red Hat Enterprise Linux 9.0.0 x86_64"),
        ((("x86_64", "aarch64"),), "redhat-release-8.3-1.0.el8", "Red Hat Enterprise Linux 8.3.0 aarch64"),
        (
            (("Red Hat Enterprise Linux", "Fedora"), ("8.3.0", "33")),
            "fedora-release-33-1",
            "Fedora 33 x86_64",
        ),
        (
            (("Red Hat Enterprise Linux", "CentOS Stream"), ("8.3.0", "8-stream")),
            "centos-stream-release-8.4-1.el8",
            "CentOS Stream 8-stream x86_64",
        ),
        (
            (("Red Hat Enterprise Linux", "CentOS Stream"), ("8.3.0", "8.3")),
            "centos-stream-release-8.3-1.el8",
            "CentOS Stream 8.3 x86_64",
        ),
        (
            (("Red Hat Enterprise Linux", "CentOS Linux"), ("8.3.0", "8")),
            "centos-linux-release-8.4-1.2105.el8",
            "CentOS Linux 8.4 x86_64",
        ),
        ((("Red Hat Enterprise Linux", "AlmaLinux"), ("8.3.0", "8")), "x-1-1", "AlmaLinux 8 x86_64"),
    ],
)
def test_another_product_version_or_architecture(
    alter: Callable[..., Path], changes: tuple[tuple[str, str], ...], package: str, found: str
) -> None:
    iso = alter({RELEASE: None, f"BaseOS/Packages/{package}.x86_64.rpm": b""}, changes)
    check_refused(inspect(iso), f"is '{found}', which Forja can't build from", "8.3 x86_64")


@pytest.mark.parametrize(
    ("changes", "package"),
    [
        ((("8.3.0", "8.3.0"),), "redhat-release-8.4-0.6.el8"),
        ((("Red Hat Enterprise Linux", "CentOS Linux"), ("8.3.0", "8")), "centos-stream-release-8.3-1.el8"),
        ((("8.3.0", "8.3"),), "almalinux-release-8.3-1.el8"),
    ],
)
def test_a_medium_that_contradicts_itself(
    alter: Callable[..., Path], changes: tuple[tuple[str, str], ...], package: str
) -> None:
    iso = alter({RELEASE: None, f"BaseOS/Packages/{package}.x86_64.rpm": b""}, changes)
    named = package.rsplit("-", 1)[0]
    check_refused(inspect(iso), "contradicts itself: its .treeinfo says", f"its release package is {named}")


# The right medium, damaged


@pytest.mark.parametrize(
    "path",
    [
        "images/efiboot.img",
        "images/install.img",
        "images/pxeboot/vmlinuz",
        "images/pxeboot/initrd.img",
        "BaseOS/repodata/repomd.xml",
        "AppStream/repodata/repomd.xml",
    ],
)
def test_a_byte_that_treeinfo_sees(dvd: Path, tmp_path: Path, path: str) -> None:
    iso = media.tamper_iso(dvd, tmp_path / "x.iso", path)
    check_refused(inspect(iso), f"{path} on", "is not what .treeinfo says: its sha256 is", "was changed")


def test_the_kernel_that_bios_boots(alter: Callable[..., Path]) -> None:
    iso = alter({"isolinux/initrd.img": b"x" * 1000})
    check_refused(
        inspect(iso), "isolinux/initrd.img on", "is not what .treeinfo (of images/pxeboot/initrd.img) says"
    )


@pytest.mark.parametrize("kind", ["primary", "filelists", "modules", "comps"])
def test_a_byte_that_the_repository_sees(kit: Kit, tmp_path: Path, kind: str) -> None:
    path = next(path for path in sorted((kit.tree / "AppStream/repodata").iterdir()) if kind in path.name)
    iso = media.tamper_iso(kit.dvd, tmp_path / "x.iso", f"AppStream/repodata/{path.name}")
    check_refused(inspect(iso), path.name, "is not what AppStream/repodata/repomd.xml says")


def test_a_byte_of_the_boot_loader(dvd: Path, tmp_path: Path) -> None:
    iso = media.tamper_iso(dvd, tmp_path / "x.iso", "isolinux/isolinux.bin", offset=5000)
    check_refused(inspect(iso), "isolinux/isolinux.bin on", "its own boot information table")


def test_an_installer_that_is_not_there(alter: Callable[..., Path]) -> None:
    check_refused(inspect(alter({"images/install.img": None})), "lacks images/install.img")


def test_an_image_without_a_checksum(alter: Callable[..., Path], kit: Kit) -> None:
    line = next(
        line for line in (kit.tree / ".treeinfo").read_text().splitlines() if "vmlinuz = sha256" in line
    )
    check_refused(inspect(alter(treeinfo=((line + "\n", ""),))), "has no checksum of images/pxeboot/vmlinuz")


def test_a_repository_without_an_index(alter: Callable[..., Path], kit: Kit) -> None:
    lines = (kit.tree / ".treeinfo").read_text().splitlines()
    line = next(line for line in lines if line.startswith("AppStream/repodata"))
    iso = alter({"AppStream/repodata": None}, ((line + "\n", ""),))
    check_refused(inspect(iso), "lacks AppStream/repodata/repomd.xml")
    iso = alter({"AppStream/repodata/repomd.xml": "<html>404"}, ((line + "\n", ""),))
    check_refused(inspect(iso), "AppStream/repodata/repomd.xml on", "is no index of a repository")


def test_a_package_that_is_not_there(alter: Callable[..., Path]) -> None:
    iso = alter({"BaseOS/Packages/chrony-3.5-1.el8.x86_64.rpm": None})
    check_refused(inspect(iso), "BaseOS on", "lists 478 packages and holds 477")


def test_a_dvd_that_only_bios_boots(kit: Kit, tmp_path: Path) -> None:
    argv = ["xorriso", "-as", "mkisofs", "-o", tmp_path / "bios.iso", "-r", "-b", "isolinux/isolinux.bin"]
    media.run(*argv, "-c", "isolinux/boot.cat", "-no-emul-boot", "-boot-load-size", "4", kit.tree)
    check_refused(inspect(tmp_path / "bios.iso"), "has no boot image for UEFI (boot images: BIOS)")


def test_a_dvd_that_nothing_boots(kit: Kit, tmp_path: Path) -> None:
    media.run("xorriso", "-as", "mkisofs", "-o", tmp_path / "files.iso", "-r", kit.tree)
    check_refused(inspect(tmp_path / "files.iso"), "has no boot image for BIOS (boot images: none)")


# The digest of the whole


def test_the_digest_that_was_given(dvd: Path, tmp_path: Path) -> None:
    digest = sha256(dvd)
    result = inspect(dvd, "--sha256", digest.upper())
    assert result.code == 0, result.stderr
    assert f"{digest}, as given" in result.stdout
    sums = tmp_path / "SHA256SUMS"
    for text in (
        f"{'0' * 64}  otro.iso\n{digest}  {dvd.name}\n",
        f"{digest} *{dvd.name}\n",
        f"-----BEGIN PGP SIGNED MESSAGE-----\n\n# {dvd.name}: 1 bytes\nSHA256 ({dvd.name}) = {digest}\n",
    ):
        sums.write_text(text)
        assert inspect(dvd, "--sums", sums).code == 0


def test_another_digest(dvd: Path, tmp_path: Path) -> None:
    """A byte that nothing else on the medium sees: of a package."""
    iso = media.tamper_iso(dvd, tmp_path / dvd.name, "BaseOS/Packages/bash-4.4.19-12.el8.x86_64.rpm")
    assert inspect(iso).code == 0
    digest = sha256(dvd)
    check_refused(inspect(iso, "--sha256", digest), f"is {sha256(iso)}, and --sha256 says {digest}")
    sums = tmp_path / "SHA256SUMS"
    sums.write_text(f"{digest}  {dvd.name}\n")
    check_refused(inspect(iso, "--sums", sums), f"is {sha256(iso)}, and {sums} says {digest}")
    check_refused(inspect(iso, "--sums", sums, "--sha256", sha256(iso)), f"{sums} says {digest}")


def test_sums_of_other_files(dvd: Path, tmp_path: Path) -> None:
    sums = tmp_path / "SHA256SUMS"
    sums.write_text(f"{sha256(dvd)}  rhel-8.3-x86_64-boot.iso\n")
    check_refused(
        inspect(dvd, "--sums", sums), f"does not name {dvd.name}; it names rhel-8.3-x86_64-boot.iso"
    )
    sums.write_text("404 not found\n")
    check_refused(inspect(dvd, "--sums", sums), "it names no file")


def test_what_is_no_digest(dvd: Path, tmp_path: Path) -> None:
    check_refused(inspect(dvd, "--sha256", "abc"), "'abc' is no SHA-256: that has 64 hexadecimal digits")
    check_refused(inspect(dvd, "--sha256", ""), "'' is no SHA-256")
    check_refused(inspect(dvd, "--sums", tmp_path / "none"), "none can't be read")
