"""The whole road: a laboratory image built, verified and reported, and what is told of it."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import pyvhdi

from builder.make.findings import Findings, Outcome, Verdict
from builder.make.manifest import SUMS
from builder.tools.files import MIB, sha256
from builder.tools.vhdx import check_vhdx

from .conftest import BUILD, CACHE, Golden, forja

pytestmark = pytest.mark.slow


def test_everything_is_there_under_its_name(golden: Golden) -> None:
    folder = golden.room.folder
    for name in (
        "plan.json",
        "clasificado.ks",
        "clasificado-laboratorio.overlay.tar",
        "clasificado-laboratorio.iso",
        "clasificado-laboratorio.qcow2",
        "clasificado-laboratorio.vhdx",
        "clasificado-laboratorio.libvirt.xml",
        "findings.json",
        "verification.xml",
        "lista-de-comprobacion.html",
        "lista-de-comprobacion.en.html",
        "lista-de-comprobacion.csv",
        "lista-de-comprobacion.json",
        "lista-de-comprobacion.junit.xml",
        "lista-de-comprobacion.xccdf.xml",
        "manifest.json",
        "SHA256SUMS",
        "logs/console-install.log",
        "logs/console-verification-bios.log",
        "logs/packer.log",
        "logs/medium.log",
        "logs/verification.log",
    ):
        assert (folder / name).stat().st_size > 0, name
        if "/" not in name:
            assert str(folder / name) in golden.run.stdout
    assert not [path for path in folder.iterdir() if path.name.endswith(".part")]
    assert folder.stat().st_mode & 0o077 == 0  # plan and kickstart hold password hashes


def test_the_sums_are_right(golden: Golden) -> None:
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", SUMS],
        cwd=golden.room.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
    assert "clasificado-laboratorio.qcow2: OK" in checked.stdout
    assert "clasificado-laboratorio.libvirt.xml: OK" in checked.stdout
    assert "manifest.json: OK" in checked.stdout


def test_both_disks_hold_the_same(golden: Golden, tmp_path: Path) -> None:
    room, size = golden.room, golden.plan.profile.disk_gib * 2**30
    argv = ["qemu-img", "compare", "-f", "qcow2", "-F", "vhdx", room.path("image"), room.path("vhdx")]
    subprocess.run(argv, check=True, capture_output=True)
    check_vhdx(room.path("vhdx"), size=size, block=MIB)
    # And the partition table and what follows it by another reader of VHDX.
    argv = ["qemu-img", "dd", "-f", "qcow2", "-O", "raw", "bs=1M", "count=8", f"if={room.path('image')}"]
    subprocess.run([*argv, f"of={tmp_path / 'raw'}"], check=True)
    disk = pyvhdi.file()
    disk.open(str(room.path("vhdx")))
    assert disk.get_media_size() == size
    assert disk.read_buffer_at_offset(8 * MIB, 0) == (tmp_path / "raw").read_bytes()
    disk.close()


def test_it_is_never_taken_for_rhel(golden: Golden) -> None:
    mark = golden.plan.platform.mark
    assert mark
    assert mark.es in golden.run.stdout
    manifest = json.loads(golden.room.path("manifest").read_text())
    assert manifest["laboratorio"] == mark.es
    assert "laboratorio" in manifest["image"]
    assert mark.es in (golden.room.folder / "lista-de-comprobacion.html").read_text()
    assert "laboratorio" in manifest["verification"]["system"].lower()


def test_no_control_fails_and_none_passes_unseen(golden: Golden) -> None:
    findings = Findings.model_validate_json(golden.room.path("verification").read_text())
    sums = findings.sums(golden.plan.controls)
    assert sums[Verdict.FAILS] == 0
    assert sums[Verdict.HOLDS] > 100
    assert sums[Verdict.NOT_VERIFIED] > 0
    for control in golden.plan.controls:
        if findings.verdict(control) is Verdict.HOLDS:
            assert all(finding.seen for finding in findings.of(control.id)), control.id
    manifest = json.loads(golden.room.path("manifest").read_text())
    assert manifest["controls"]["sums"]["cumple"] == sums[Verdict.HOLDS]
    assert (
        manifest["verification"]["sha256"] == manifest["artefacts"]["clasificado-laboratorio.qcow2"]["sha256"]
    )
    assert (
        f"{sums[Verdict.HOLDS]} hold, 0 fail, {sums[Verdict.NOT_VERIFIED]} not verified" in golden.run.stdout
    )


def test_what_the_laboratory_cant_show_is_not_verified(golden: Golden) -> None:
    findings = Findings.model_validate_json(golden.room.path("verification").read_text())
    verdicts = {control.id: findings.verdict(control) for control in golden.plan.controls}
    for control in ("RHEL-SELINUX-01", "CCN681-4-01"):
        assert verdicts[control] is Verdict.NOT_VERIFIED
        reasons = [item.reason for item in findings.of(control) if item.outcome is Outcome.NOT_SHOWN]
        assert all(reason and "RHEL" in reason.es for reason in reasons)


def test_junit_names_the_controls(golden: Golden) -> None:
    root = ET.parse(golden.room.folder / "verification.xml").getroot()
    named = {node.get("value") for node in root.iter("property") if node.get("name") == "control"}
    assert "CCN681-6.4.3-02" in named


def test_no_credential_and_no_key_of_the_build_is_anywhere(golden: Golden) -> None:
    text = (golden.room.folder / "clasificado.ks").read_text()
    assert "--plaintext" not in text
    site = golden.plan.site
    secrets = ["PRIVATE KEY", *(person.password_hash for person in (site.admin, *site.roles, site.boot))]
    told = [golden.room.path("verification"), *golden.room.folder.glob("lista-de-comprobacion*")]
    for path in (*golden.room.logs.glob("*.log"), golden.room.folder / "verification.xml", *told):
        said = path.read_text(errors="replace")
        # A plain `in`, so that a failure does not print the whole log.
        assert not any(secret in said for secret in secrets), path.name
    with tarfile.open(golden.room.path("overlay")) as archive:
        assert not [member.name for member in archive if "ssh_host" in member.name]


def test_a_second_run_repeats_nothing(golden: Golden) -> None:
    before = {path: path.stat().st_mtime_ns for path in golden.room.folder.glob("clasificado-*.*")}
    began = time.monotonic()
    again = forja("image", "clasificado", "--build", BUILD, "--cache", CACHE, "--lang", "en")
    assert again.code == 0
    assert again.stderr.count("unchanged") == 5, again.stderr
    assert time.monotonic() - began < 120  # a build takes several minutes
    after = {path: path.stat().st_mtime_ns for path in golden.room.folder.glob("clasificado-*.*")}
    for name in ("iso", "qcow2", "vhdx"):
        path = golden.room.folder / f"clasificado-laboratorio.{name}"
        assert before[path] == after[path]


def test_the_vhdx_boots_and_holds_as_generation_2(golden: Golden) -> None:
    """UEFI, and the disk on SCSI; generation 1, BIOS and IDE: test_breaks."""
    image, folder = golden.room.path("vhdx"), BUILD / "uefi"
    looked_at = ("RHEL-BOOT-02", "RHEL-STORAGE-02", "RHEL-SERVICE-04", "CCN681-6.5.4-03")
    words = [word for control in looked_at for word in ("--control", control)]
    run = forja("verify", image, "--firmware", "uefi", "--output", folder, *words)
    assert run.code == 0, run.stderr[-3000:]
    findings = Findings.model_validate_json((folder / "findings.json").read_text())
    assert (findings.subject.image, findings.subject.firmware) == (image.name, "uefi")
    said = (folder / "logs" / "console-verification-uefi.log").read_text(errors="replace")
    assert re.search(r"scsi \d:0:0:0: Direct-Access +QEMU +QEMU HARDDISK", said)
    assert "EFI v2" in said
    verdicts = {control.id: findings.verdict(control) for control in golden.plan.controls}
    assert {verdicts[control] for control in looked_at} == {Verdict.HOLDS}
    assert verdicts["RHEL-SSHD-01"] is Verdict.NOT_VERIFIED  # what was not looked at is never a pass
    assert (folder / "lista-de-comprobacion.html").stat().st_size > 0
    assert forja("verify", image, "--control", "NO-SUCH").code == 2


def test_the_same_inputs_give_the_same_medium(golden: Golden, tmp_path: Path) -> None:
    run = forja("medium", "clasificado", "--build", tmp_path, "--cache", CACHE)
    assert run.code == 0, run.stderr
    assert sha256(Path(run.stdout.strip())) == sha256(golden.room.path("medium"))
