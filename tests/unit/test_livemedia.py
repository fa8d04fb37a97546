"""The second way from medium to image: how livemedia-creator is asked, and what is refused before it runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pykickstart.constants import KS_SHUTDOWN
from pykickstart.parser import KickstartParser
from pykickstart.version import RHEL8, makeVersion

from builder.ask.plan import make_plan
from builder.make.image import Resources
from builder.make.image import livemedia as module
from builder.make.image.livemedia import find_livemedia, last_error, livemedia_argv, probe, write_answers
from builder.tools.errors import HostUnready
from builder.tools.iso import Original
from builder.tools.machine import FirmwareKind

RHEL_8 = (
    "--make-disk --iso --ks --no-virt --location --logfile --tmp --resultdir --nomacboot --image-name "
    "--image-type --ram --vcpus --kernel-args --ovmf-path --virt-uefi --no-kvm --timeout"
)
"""Of the options of lorax 28.14.55 (RHEL 8.3) and 34.9.27 (RHEL 9), those that are about a disk."""
RHEL_10 = f"{RHEL_8} --cpu --firmware"
LABEL = "RHEL-8-3-0-BaseOS-x86_64"


def argv_of(
    options: str, firmware: FirmwareKind, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """Return the options and values that the program would get."""
    original = Original(folder / "m.iso", LABEL, "Red Hat Enterprise Linux", "8.3.0", "x86_64")
    monkeypatch.setattr(module, "inspect_medium", lambda _: original)
    plan = make_plan("clasificado", None, "rhel-8.3")
    found = probe(Path("livemedia-creator"), options, "livemedia-creator 28.14.55-1")
    assert found.version == "28.14.55"
    argv = livemedia_argv(
        found,
        plan,
        folder / "m.iso",
        folder,
        folder / "ks",
        folder / "medium",
        firmware=firmware,
        logs=folder,
        resources=Resources(memory_mib=2048, cpus=2, hours=3),
    )
    words = [str(word) for word in argv]
    return {word: after for word, after in zip(words, [*words[1:], ""], strict=True) if word[:2] == "--"}


def test_it_boots_the_medium_by_the_kickstart_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = argv_of(RHEL_8, FirmwareKind.BIOS, tmp_path, monkeypatch)
    where = f"hd:LABEL={LABEL}:/forja/clasificado.ks"
    assert words["--kernel-args"] == (
        f"ks={where} inst.ks={where} inst.nosave=all net.ifnames=0 biosdevname=0"
    )
    assert words["--iso"] == str(tmp_path / "m.iso")
    assert words["--image-type"] == "qcow2"
    assert words["--image-name"] == "clasificado-rhel-8.3.qcow2"
    assert words["--timeout"] == "180"  # minutes
    assert "--no-virt" not in words
    assert "--virt-uefi" not in words
    assert "--virt-uefi" in argv_of(RHEL_8, FirmwareKind.UEFI, tmp_path, monkeypatch)


def test_without_kvm_it_is_told_so_and_given_a_processor_that_can_be_emulated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "accelerator", lambda: "tcg")
    old = argv_of(RHEL_8, FirmwareKind.BIOS, tmp_path, monkeypatch)
    new = argv_of(RHEL_10, FirmwareKind.BIOS, tmp_path, monkeypatch)
    assert "--no-kvm" in old
    assert "--cpu" not in old
    assert new["--cpu"] == "max"
    monkeypatch.setattr(module, "accelerator", lambda: "kvm")
    assert "--no-kvm" not in argv_of(RHEL_8, FirmwareKind.BIOS, tmp_path, monkeypatch)


def test_the_kickstart_that_it_reads_gives_the_disk_its_size_and_passes_its_checks(tmp_path: Path) -> None:
    parser = KickstartParser(makeVersion(RHEL8), errorsAreFatal=True)
    parser.readKickstart(str(write_answers(tmp_path / "ks", 40960)))
    handler = parser.handler
    assert 2 + sum(part.size for part in handler.partition.partitions) == 40960  # as it reckons
    assert handler.reboot.action == KS_SHUTDOWN
    assert handler.displaymode.displayMode is None
    assert not handler.repo.seen


def put(folder: Path, monkeypatch: pytest.MonkeyPatch, options: str) -> None:
    """Make a PATH on which livemedia-creator is all there is, and prints these options."""
    program = folder / "livemedia-creator"
    program.write_text(f"#!/bin/sh\nprintf %s '{options}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/nonexistent/sbin")


def test_it_is_refused_where_it_is_not_or_can_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/nonexistent/sbin")
    with pytest.raises(HostUnready, match="livemedia-creator is not on this host"):
        find_livemedia()
    old = "livemedia-creator 19.7.43-1 --make-disk --image-type --location --kernel-args"
    put(tmp_path, monkeypatch, old)
    with pytest.raises(HostUnready, match=r"\(19\.7\.43\) has no --virt-uefi, --timeout"):
        find_livemedia()
    put(tmp_path, monkeypatch, f"livemedia-creator 28.14.55-1 {RHEL_8}")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(HostUnready, match="as root only"):
        find_livemedia()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(module, "accelerator", lambda: "tcg")
    monkeypatch.setattr(module, "kvm_trouble", lambda: "there is no /dev/kvm")
    assert find_livemedia().version == "28.14.55"
    put(tmp_path, monkeypatch, f"livemedia-creator 34.9.27-1 {RHEL_8}")
    with pytest.raises(HostUnready, match=r"\(34\.9\.27\) .* KVM only, and there is no /dev/kvm"):
        find_livemedia()
    put(tmp_path, monkeypatch, f"livemedia-creator 40.5.19-1 {RHEL_10}")
    assert find_livemedia().version == "40.5.19"


def test_what_qemu_said_is_the_reason(tmp_path: Path) -> None:
    log, stamp = tmp_path / "livemedia.log", "2026-11-24 22:28:22,934 ERROR"
    log.write_text(
        f"{stamp} pylorax: Running qemu failed:\n"
        f"{stamp} pylorax: output: qemu-system-x86_64: CPU model 'host' requires KVM or HVF\n\n"
        f"{stamp} livemedia-creator: Image creation failed: QEMUInstall failed\n"
    )
    assert last_error(log) == "qemu-system-x86_64: CPU model 'host' requires KVM or HVF"
    log.write_text(f"{stamp} livemedia-creator: qemu-kvm needs to be installed.\n")
    assert last_error(log) == "qemu-kvm needs to be installed."
    log.unlink()
    assert last_error(log) == "it gave no reason"
