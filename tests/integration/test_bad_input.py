"""What a person gets wrong: one clear line, a documented exit code, no traceback, nothing left behind."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from builder.ask.site import EXAMPLE

from .conftest import Run, forja

TREEINFO = """\
[header]
type = productmd.treeinfo
version = 1.2

[release]
name = {name}
short = X
version = {version}

[tree]
arch = {arch}
build_timestamp = 1600000000
platforms = {arch}
variants = BaseOS

[variant-BaseOS]
id = BaseOS
name = BaseOS
packages = BaseOS/Packages
repository = BaseOS
type = variant
uid = BaseOS

[general]
arch = {arch}
family = {name}
name = {name} {version}
platforms = {arch}
timestamp = 1600000000
version = {version}
"""


def check_refused(result: Run, code: int, *said: str) -> None:
    assert result.code == code, result.stderr
    assert "Traceback" not in result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert "error: " in last
    for words in said:
        assert words in last


def make_iso(folder: Path, **release: str) -> Path:
    tree = folder / "tree"
    tree.mkdir()
    (tree / ".treeinfo").write_text(TREEINFO.format(**release))
    iso = folder / "dvd.iso"
    subprocess.run(
        ["xorriso", "-outdev", iso, "-volid", "X", "-map", tree, "/"], check=True, capture_output=True
    )
    return iso


def test_an_unknown_profile(tmp_path: Path) -> None:
    check_refused(forja("image", "clasificad", cwd=tmp_path), 2, "no profile 'clasificad'", "clasificado")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_word_and_an_unknown_option(tmp_path: Path) -> None:
    assert forja("imagen", cwd=tmp_path).code == 2
    assert forja("image", "clasificado", "--firmware", "efi", cwd=tmp_path).code == 2


def test_a_site_file_with_an_unknown_key(tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    site.write_text(EXAMPLE.read_text(encoding="utf-8").replace("[time]", "[tiempo]"), encoding="utf-8")
    check_refused(
        forja("image", "clasificado", "--site", site, cwd=tmp_path), 2, str(site), "tiempo: unknown key"
    )


def test_a_certificate_that_is_not_there(tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    text = EXAMPLE.read_text(encoding="utf-8")
    site.write_text(text + '\n[tls]\ncertificate = "relay.pem"\nkey = "relay.key"\n', encoding="utf-8")
    result = forja("overlay", "clasificado", "--site", site, "--output", tmp_path / "o.tar", cwd=tmp_path)
    check_refused(result, 2, "relay", "can't be read")
    assert not (tmp_path / "o.tar").exists()


def test_an_iso_that_is_not_there(tmp_path: Path) -> None:
    result = forja("image", "clasificado", "--iso", tmp_path / "none.iso", cwd=tmp_path)
    check_refused(result, 2, "none.iso", "can't be read")


@pytest.mark.parametrize("content", [b"", b"x" * 100_000])
def test_a_file_that_is_no_iso(tmp_path: Path, content: bytes) -> None:
    iso = tmp_path / "x.iso"
    iso.write_bytes(content)
    check_refused(forja("image", "clasificado", "--iso", iso, cwd=tmp_path), 2, "is not an ISO 9660 image")


def test_a_truncated_iso(tmp_path: Path) -> None:
    iso = make_iso(tmp_path, name="Red Hat Enterprise Linux", version="8.3", arch="x86_64")
    iso.write_bytes(iso.read_bytes()[: 40 * 2048])
    result = forja("image", "clasificado", "--iso", iso, cwd=tmp_path)
    check_refused(result, 2, "is truncated", "SHA-256")


@pytest.mark.parametrize(
    "release",
    [
        {"name": "Fedora", "version": "33", "arch": "x86_64"},
        {"name": "Red Hat Enterprise Linux", "version": "8.4", "arch": "x86_64"},
        {"name": "Red Hat Enterprise Linux", "version": "9.3", "arch": "x86_64"},
        {"name": "Red Hat Enterprise Linux", "version": "8.3", "arch": "aarch64"},
    ],
)
def test_another_product_version_or_architecture(tmp_path: Path, release: dict[str, str]) -> None:
    iso = make_iso(tmp_path, **release)
    result = forja("image", "clasificado", "--iso", iso, cwd=tmp_path)
    check_refused(result, 2, f"{release['name']} {release['version']} {release['arch']}", "8.3 x86_64")


def test_updates_for_the_laboratory(tmp_path: Path) -> None:
    (tmp_path / "x.rpm").write_bytes(b"")
    result = forja("image", "clasificado", "--updates", tmp_path, cwd=tmp_path)
    check_refused(result, 2, "the laboratory can't install", "ISO=")


def test_verify_without_its_plan(tmp_path: Path) -> None:
    image = tmp_path / "x.qcow2"
    image.write_bytes(b"")
    check_refused(forja("verify", image, cwd=tmp_path), 2, "plan.json", "--plan")


def test_no_space_on_the_disk(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=50m", "tmpfs", small], check=True)
    try:
        result = forja("image", "clasificado", "--build", small / "b", "--cache", small / "c", cwd=tmp_path)
        check_refused(result, 4, "MiB free", "BUILD=")
        assert not list(small.rglob("*.iso"))
    finally:
        subprocess.run(["umount", small], check=True)
