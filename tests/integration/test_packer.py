"""Packer's templates, by the real Packer: both sources are valid, and its exit code alone is not believed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from builder.ask.plan import make_plan
from builder.make.image import TEMPLATES, Resources
from builder.make.image.packer import run_packer, write_values
from builder.tools.errors import StageFailed
from builder.tools.files import sha256
from builder.tools.host import find_packer
from builder.tools.machine import FirmwareKind


@pytest.fixture
def medium(tmp_path: Path) -> Path:
    path = tmp_path / "medium.iso"
    path.write_bytes(b"\0" * 2048 * 64)
    return path


def values_for(medium: Path, firmware: FirmwareKind = FirmwareKind.BIOS) -> Path:
    plan = make_plan("clasificado", None, "laboratorio")
    folder = medium.parent
    return write_values(
        plan, medium, folder, folder / "output", folder / "serial", firmware, Resources(memory_mib=256)
    )


def validate(*words: str | Path) -> subprocess.CompletedProcess[str]:
    argv = [find_packer(), "validate", *words, TEMPLATES]
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/nonexistent", "CHECKPOINT_DISABLE": "1"}
    return subprocess.run(argv, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("firmware", list(FirmwareKind))
def test_both_sources_are_valid(medium: Path, firmware: FirmwareKind) -> None:
    result = validate(f"-var-file={values_for(medium, firmware)}")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("generation", [1, 2])
def test_hyper_v_is_valid_in_both_generations(medium: Path, generation: int) -> None:
    rest = 'switch="Forja",vlan="12",secure_boot=false,secure_boot_template=""'
    hyperv = f"hyperv={{generation={generation},{rest}}}"
    result = validate("-only=forja.hyperv-iso.image", f"-var-file={values_for(medium)}", "-var", hyperv)
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_wrong_checksum_is_refused_by_the_template(medium: Path) -> None:
    values = values_for(medium)
    values.write_text(values.read_text().replace(sha256(medium), "abc"))
    result = validate(f"-var-file={values}")
    assert result.returncode != 0
    assert "64 hexadecimal digits" in result.stdout + result.stderr


def test_a_source_that_matches_nothing_is_no_success(medium: Path, tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match="before the installation was complete"):
        run_packer(values_for(medium), tmp_path / "serial", tmp_path / "packer.log", only="forja.qemu.none")


def test_a_medium_that_does_not_boot_is_seen_on_the_console(medium: Path, tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match="said nothing on its console for 15 s"):
        run_packer(values_for(medium), tmp_path / "serial", tmp_path / "packer.log", silence=15.0)
