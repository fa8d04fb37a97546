"""The doctor, on this host as it is and with programs taken away from its PATH."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder import doctor
from builder.tools import host
from builder.tools.errors import HostUnready
from builder.tools.process import environment

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = REPOSITORY / "builder" / "host" / "system-packages.tsv"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with links to this host's own programs that is all of PATH."""
    folder = tmp_path / "sbin"  # the name keeps the system's sbin folders from being added
    folder.mkdir()
    for place in reversed(environment()["PATH"].split(":")):
        for path in Path(place).glob("*") if place else ():
            link = folder / path.name
            link.unlink(missing_ok=True)
            link.symlink_to(path)
    monkeypatch.setenv("PATH", str(folder))
    host.kvm_trouble.cache_clear()
    yield folder
    host.kvm_trouble.cache_clear()


def examine(tmp_path: Path) -> dict[str, doctor.Fact]:
    return {fact.name: fact for fact in doctor.examine_host(tmp_path / "build", tmp_path / "cache")}


def test_a_host_that_was_set_up_is_ready(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.run_doctor(tmp_path / "build", tmp_path / "cache") == 0
    assert "an image from a RHEL DVD: possible here" in capsys.readouterr().out


def test_a_bare_host_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "sbin"))
    assert doctor.run_doctor(tmp_path, tmp_path) == 4
    shown = capsys.readouterr().out
    assert (
        "an image from a RHEL DVD: NOT possible here, for want of: QEMU, qemu-img, Packer, xorriso" in shown
    )
    missing = [fact for fact in examine(tmp_path).values() if fact.state == "missing"]
    assert len(missing) == shown.count("\nmissing") + shown.count("\nno lab") >= 11
    for fact in missing:
        assert "apt" in fact.remedy, fact
        assert fact.needed_for == "laboratory" or re.search("dnf|RHEL", fact.remedy), fact


def test_one_missing_program_is_the_only_thing_named(programs: Path, tmp_path: Path) -> None:
    (programs / "mcopy").unlink()
    missing = doctor.lacking(examine(tmp_path).values(), "image")
    assert [fact.name for fact in missing] == ["mcopy"]


def test_the_laboratory_alone_may_be_impossible(programs: Path, tmp_path: Path) -> None:
    (programs / "mmdebstrap").unlink(missing_ok=True)
    facts = examine(tmp_path)
    assert facts["mmdebstrap"].state == "missing"
    assert doctor.lacking(facts.values(), "image") == []
    shown = doctor.show(list(facts.values()))
    assert "an image from a RHEL DVD: possible here" in shown
    assert re.search(r"the laboratory: NOT possible here, for want of: .*mmdebstrap", shown)


def test_cracklibs_packer_is_passed_over_and_never_run(programs: Path, tmp_path: Path) -> None:
    genuine = (programs / "packer").resolve()
    impostor = programs / "cracklib-packer"
    impostor.write_text(f"#!/bin/sh\necho ran >'{tmp_path}/ran'\n")
    impostor.chmod(0o755)
    (programs / "packer").unlink()
    (programs / "packer").symlink_to("cracklib-packer")
    with pytest.raises(HostUnready, match="Packer"):
        host.find_packer()
    os.environ["PATH"] += f":{genuine.parent}"
    assert host.find_packer().resolve() == genuine
    assert host.packer_version() >= doctor.OLDEST_PACKER
    assert not (tmp_path / "ran").exists()


def test_a_plugin_is_known_by_its_whole_name() -> None:
    folder = "/root/.config/packer/plugins/github.com/hashicorp"
    path = f"{folder}/qemu/packer-plugin-qemu_v1.1.0_x5.0_linux_amd64"
    assert doctor.judge_plugin("qemu", [path]) == doctor.Fact("Packer's plugin qemu", path)
    lacking = doctor.judge_plugin(
        "hyperv", [path, f"{folder}/x/packer-plugin-hypervisor_v1.0.0_x5.0_linux_amd64"]
    )
    assert lacking.state == "missing"
    assert "packer plugins install github.com/hashicorp/hyperv" in lacking.remedy
    assert "offline" in lacking.remedy


def test_kvm_that_is_absent_closed_or_no_kvm_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "KVM", tmp_path / "kvm")
    assert "there is no" in host.kvm_trouble.__wrapped__()
    (tmp_path / "kvm").touch()
    assert "gives no machine" in host.kvm_trouble.__wrapped__()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        closed = Path(folder) / "kvm"
        closed.touch(0o000)
        monkeypatch.setattr(host, "KVM", closed)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            assert "is not open to this user" in host.kvm_trouble.__wrapped__()
        finally:
            os.seteuid(user)


def test_kvm_is_used_only_if_qemu_starts_with_it() -> None:
    if host.accelerator() == "kvm":
        assert host._trial_trouble() == ""
    else:
        assert host.kvm_trouble()


def test_space_and_memory_are_read_where_they_are(tmp_path: Path) -> None:
    status = os.statvfs(tmp_path)
    free = host.free_bytes(tmp_path / "not" / "there" / "yet")
    assert abs(free - status.f_bavail * status.f_frsize) < 2**30
    total = int(re.findall(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())[0])
    assert 0 < host.memory_mib() <= total // 1024


def test_it_runs_before_anything_is_set_up() -> None:
    """Without site-packages: the doctor must be there when the virtual environment is not."""
    argv = [sys.executable, "-S", "-m", "builder.doctor"]
    done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 4)
    assert "an image from a RHEL DVD:" in done.stdout


def rows() -> list[list[str]]:
    return [line.split("\t") for line in PACKAGES.read_text().splitlines() if not line.startswith("#")]


def test_the_list_of_packages_is_well_formed() -> None:
    for row in rows():
        assert len(row) == 5, row
        assert row[0] in ("image", "lab", "test")
        assert re.fullmatch(r"-|[a-z0-9][a-z0-9.+-]+", row[2])
        assert re.fullmatch(r"-|[A-Za-z0-9][A-Za-z0-9._+-]+", row[3])
        assert row[4] == row[4].strip() != ""


def test_set_up_installs_what_the_doctor_looks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "sbin"))
    monkeypatch.setattr(host, "SYSTEM_PYTHONS", ())
    host.find_system_python.cache_clear()
    remedies = " ".join(fact.remedy for fact in examine(tmp_path).values())
    asked = {row[2] for row in rows() if row[0] in ("image", "lab")} - {
        "-",
        "uidmap",
        "python3",
        "python3-venv",
    }
    installed = {"ovmf", "qemu-system-x86"} if host.QEMU_OUTSIDE_PATH.exists() else {"ovmf"}
    for package in asked - installed:
        assert re.search(rf"(?<![\w-]){package}(?![\w-])", remedies), package
