"""Packer's templates, by the real Packer: both sources are valid, and its exit code alone is not believed."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from builder.ask.plan import make_plan
from builder.make.hyperv import write_build_folder
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


def validate(*words: str | Path, templates: Path = TEMPLATES) -> subprocess.CompletedProcess[str]:
    return run_packer_itself("validate", *words, templates)


def run_packer_itself(*words: str | Path) -> subprocess.CompletedProcess[str]:
    argv = [find_packer(), *words]
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/nonexistent", "CHECKPOINT_DISABLE": "1"}
    return subprocess.run(argv, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("firmware", list(FirmwareKind))
def test_both_sources_are_valid(medium: Path, firmware: FirmwareKind) -> None:
    result = validate(f"-var-file={values_for(medium, firmware)}")
    assert result.returncode == 0, result.stdout + result.stderr


TEMPLATE = "MicrosoftUEFICertificateAuthority"


@pytest.fixture
def folder(medium: Path) -> Path:
    """What `forja medium --hyperv` writes for a Windows host."""
    plan = make_plan("clasificado", None, "laboratorio")
    return write_build_folder(plan, medium, medium.parent / "carpeta")


def windows_values(folder: Path, **hyperv: object) -> Path:
    """Write the var-file as Start-ForjaBuild.ps1 does (a unit test holds the two to the same keys)."""
    build = json.loads((folder / "forja.json").read_text())
    medium = folder / build["medium"]
    given = {"generation": 2, "switch": "Forja", "vlan": "", "secure_boot": False, "secure_boot_template": ""}
    values = {
        "name": build["name"],
        "medium": str(medium),
        "medium_sha256": sha256(medium),
        "disk_mib": build["disk_mib"],
        "output": "D:\\Forja\\salida\\packer",
        "memory_mib": 2048,
        "cpus": 2,
        "time_limit": "3h",
        "hyperv": {**given, "work": "D:\\Forja\\salida", **hyperv},
    }
    path = folder.parent / "valores.json"
    path.write_text(json.dumps(values))
    return path


@pytest.mark.parametrize(
    "hyperv",
    [
        {"generation": 1},
        {"generation": 1, "vlan": "20", "switch": "Correo 2"},
        {"generation": 2},
        {"generation": 2, "vlan": "20", "secure_boot": True, "secure_boot_template": TEMPLATE},
    ],
    ids=["generation 1", "generation 1 with a VLAN", "generation 2 on 2012 R2", "generation 2 on 2016"],
)
def test_the_folder_for_windows_is_valid_by_itself(folder: Path, hyperv: dict[str, object]) -> None:
    values = windows_values(folder, **hyperv)
    result = validate("-only=forja.hyperv-iso.image", f"-var-file={values}", templates=folder)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "qemu" not in result.stdout + result.stderr


@pytest.mark.parametrize(
    ("hyperv", "says"),
    [
        ({"generation": 3}, "generation 1 or 2"),
        ({"generation": 1, "secure_boot": True, "secure_boot_template": TEMPLATE}, "of generation 2 only"),
        ({"secure_boot": True, "secure_boot_template": "MicrosoftWindows"}, "for Linux to start"),
        ({"secure_boot": True}, "for Linux to start"),
    ],
)
def test_a_machine_that_would_not_start_is_refused(
    folder: Path, hyperv: dict[str, object], says: str
) -> None:
    result = validate(f"-var-file={windows_values(folder, **hyperv)}", templates=folder)
    assert result.returncode != 0
    assert says in " ".join((result.stdout + result.stderr).split())


def test_the_build_on_windows_waits_as_long_as_the_installation_takes(tmp_path: Path) -> None:
    """The same provisioner with this host's shell and no builder: it is what 1.6.6 waits with."""
    text = (TEMPLATES / "hyperv.pkr.hcl").read_text()
    inner = re.search(r"(?s)  provisioner .*?\n  }\n", text)
    assert inner is not None
    waiting = re.sub(
        r"(?s)execute_command = .*?\n    \]",
        'execute_command = ["/bin/sh", "-c", "sleep 2; echo off"]',
        inner[0],
    )
    for limit, code in (("60s", 0), ("1s", 1)):
        template = tmp_path / f"{limit}.pkr.hcl"
        template.write_text(
            'source "null" "image" {\n  communicator = "none"\n}\n'
            'build {\n  sources = ["source.null.image"]\n'
            + waiting.replace("var.time_limit", f'"{limit}"')
            + "}\n"
        )
        result = run_packer_itself("build", template)
        assert result.returncode == code, result.stdout + result.stderr
        assert (": off" in result.stdout) == (code == 0)


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
