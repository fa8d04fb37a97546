"""The overlay `updates` under real dnf: which repositories it sees, and which packages it believes."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder.ask.plan import make_plan
from builder.ask.site import EXAMPLE
from builder.make.overlay import collect_members
from tests.media.keys import make_key
from tests.media.rpms import Rpm, build_rpms

PREFIXES = ("/etc/dnf/", "/etc/forja/", "/etc/pki/rpm-gpg/")


@dataclass(frozen=True)
class System:
    """An empty installation root with the overlay's files in it, and packages beside it."""

    root: Path
    packages: dict[str, Path]

    def dnf(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = ["dnf", "-y", f"--installroot={self.root}", "--releasever=8", "--noplugins", *words]
        return subprocess.run(
            argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=300
        )

    def has(self, name: str) -> bool:
        argv = ["rpm", "--root", self.root, "-q", name]
        return subprocess.run(argv, capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> System:
    work = tmp_path_factory.mktemp("updates")
    key, foreign = make_key(work / "key", "Organizacion"), make_key(work / "foreign", "Otra clave")
    packages = {}
    for name, signer in (("propio", key), ("local", key), ("ajeno", foreign), ("sinfirma", None)):
        folder = work / ("repository" if name == "propio" else "loose")
        (packages[name],) = build_rpms([Rpm(name, "1", "1", arch="noarch")], folder, key=signer).values()
    subprocess.run(["createrepo_c", "--quiet", work / "repository"], check=True)
    site = work / "site.toml"
    (work / "keys.asc").write_bytes(key.public.read_bytes())
    site.write_text(
        EXAMPLE.read_text(encoding="utf-8")
        + '\n[updates]\nkeys = "keys.asc"\n'
        + f'[[updates.repositories]]\nid = "organizacion"\nbaseurl = "file://{work}/repository"\n',
        encoding="utf-8",
    )
    root = work / "root"
    for member in collect_members(make_plan("clasificado", site, "rhel-8.3")):
        if member.path.startswith(PREFIXES) and member.content is not None:
            path = root / member.path.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(member.content)
    (root / "etc/yum.repos.d").mkdir()
    (root / "etc/yum.repos.d/ajeno.repo").write_text("[ajeno]\nname=ajeno\nbaseurl=file:///nada\nenabled=1\n")
    # As apply.sh does: dnf would look for gpgkey= on this host.
    known = root / "etc/pki/rpm-gpg/RPM-GPG-KEY-forja"
    subprocess.run(["rpm", "--root", root, "--import", known], check=True)
    return System(root, packages)


def test_only_the_sites_repository_is_seen(system: System) -> None:
    listed = [line.split()[0] for line in system.dnf("-q", "repolist", "--all").stdout.splitlines()[1:]]
    assert listed == ["organizacion"]


def test_what_the_organisation_signed_is_installed(system: System) -> None:
    for asked in ("propio", str(system.packages["local"])):
        done = system.dnf("install", asked)
        assert done.returncode == 0, done.stdout
    assert system.has("propio")
    assert system.has("local")


@pytest.mark.parametrize("name", ["sinfirma", "ajeno"])
def test_other_packages_are_refused_as_files_too(system: System, name: str) -> None:
    done = system.dnf("install", str(system.packages[name]))
    assert done.returncode != 0
    assert not system.has(name)
    assert "sign" in done.stdout.lower() or "public key" in done.stdout.lower(), done.stdout
