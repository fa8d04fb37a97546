"""`forja resolve` on a DVD like RHEL 8.3's and on what a person brings: the set, and what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.conftest import REPOSITORY, Run, forja
from tests.media.dvd import (
    NAME,
    VERSION,
    alter_iso,
    copy_tree,
    tamper_iso,
    write_dvd,
    write_release_files,
)
from tests.media.keys import make_key
from tests.media.repositories import make_repository, updateinfo_xml
from tests.media.rhel83 import EPEL, Kit, advisories, make_variant, update_of
from tests.media.rpms import Rpm, build_rpms, sign_rpms

PINNED = "postfix-3.3.1-12.el8_3.1.x86_64.rpm"
LIBICU = "libicu-60.3-2.el8_1.x86_64.rpm"
Resolve = Callable[..., Run]


def site_text(kit: Kit, packages: str = '["*"]', file: str = "", fingerprint: str = "") -> str:
    """The example site, with the key of the kit as the organisation's own."""
    return (
        (REPOSITORY / "kickstarts/sites/ejemplo.toml").read_text()
        + f'\n[[packages.own_keys]]\nfile = "{file or kit.key.public}"\n'
        + f'fingerprint = "{fingerprint or kit.key.fingerprint}"\npackages = {packages}\n'
    )


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def resolve(kit: Kit, cache: Path, tmp_path: Path) -> Resolve:
    """Run `forja resolve` on the kit's DVD and updates, or on others."""

    def run(
        *words: str | Path, iso: Path = kit.dvd, updates: Path | None = kit.erratum, site: str = ""
    ) -> Run:
        (tmp_path / "site.toml").write_text(site or site_text(kit))
        brought = ["--updates", updates] if updates else []
        folders = ["--build", tmp_path / "build", "--cache", cache, "--site", tmp_path / "site.toml"]
        return forja("resolve", "clasificado", "--iso", iso, *brought, *folders, *words)

    return run


@pytest.fixture
def brought(kit: Kit, tmp_path: Path) -> Path:
    """The least that has to be brought: the erratum, what it needs, and what is of EPEL."""
    folder = tmp_path / "updates"
    folder.mkdir()
    for name in (PINNED, LIBICU, *(rpm.filename for rpm in EPEL)):
        shutil.copy(kit.erratum / name, folder)
    return folder


def made(tmp_path: Path, name: str = "packages.json") -> Path:
    return tmp_path / "build" / "clasificado-rhel-8.3" / name


def names_of(path: Path) -> dict[str, dict[str, object]]:
    return {package["name"]: package for package in json.loads(path.read_text())["packages"]}


def refused(run: Run, *texts: str) -> None:
    """The run ended with 2 and one line that holds these texts, and left no list of packages."""
    assert run.code == 2, run.stderr
    error = [line for line in run.stderr.splitlines() if line.startswith("error: ")]
    assert len(error) == 1, run.stderr
    assert "Traceback" not in run.stderr
    for text in texts:
        assert text in error[0]
    assert run.stdout == ""


def test_the_set_is_what_the_installer_will_choose(resolve: Resolve, tmp_path: Path, kit: Kit) -> None:
    run = resolve()
    assert run.code == 0, run.stderr
    found = names_of(made(tmp_path))
    postfix = found["postfix"]
    assert (postfix["epoch"], postfix["version"], postfix["release"]) == (2, "3.3.1", "12.el8_3.1")
    assert postfix["repository"] == "actualizaciones"
    assert postfix["reason"] == "asked for by overlay postfix"
    assert found["libicu"]["reason"] == "needed by postfix-2:3.3.1-12.el8_3.1.x86_64"
    assert found["bash"]["reason"] == "group core"
    # What was brought besides: newer ones of what the set holds, and nothing else.
    assert (found["sudo"]["release"], found["tzdata"]["version"]) == ("6.el8_3.1", "2021a")
    assert "podman" not in found
    # Excluded by an overlay, weak, of a module stream that is not the default, for another architecture.
    assert not {"plymouth", "kexec-tools", "NetworkManager-team", "NetworkManager-tui"} & set(found)
    assert {package["arch"] for package in found.values()} == {"x86_64", "noarch"}
    assert all(package["signer"] == kit.key.fingerprint for package in found.values())
    lines = run.stdout.splitlines()
    assert sum("BaseOS" in line for line in lines) > 250
    assert any(line.startswith("held: PRUEBA-2021:0218 security") for line in lines)
    assert any(
        line.startswith("left out: PRUEBA-2021:9001 security")
        and "postfix is pinned to 3.3.1-12.el8_3.1" in line
        for line in lines
    )
    assert any(line.startswith("not concerned: PRUEBA-2021:9002") for line in lines)
    assert "organisation's own key" in run.stderr


def test_real_dnf_installs_that_very_set(resolve: Resolve, tmp_path: Path, kit: Kit) -> None:
    """An installation by dnf itself, of the words of the kickstart, into an empty root."""
    assert resolve().code == 0
    plan = json.loads(made(tmp_path, "plan.json").read_text())
    root = tmp_path / "root"
    overlays = plan["overlays"]
    words = sorted({word for overlay in overlays for word in overlay["packages"]})
    excludes = sorted({word for overlay in overlays for word in overlay["excludes"]})
    argv = ["dnf", "-y", "-q", "--installroot", str(root), "--releasever=8", "--forcearch=x86_64"]
    argv += ["--setopt=reposdir=/dev/null", "--setopt=install_weak_deps=False", "--setopt=varsdir=/dev/null"]
    argv += ["--setopt=module_platform_id=platform:el8", "--setopt=tsflags=noscripts", "--nogpgcheck"]
    argv += [f"--setopt=cachedir={tmp_path}/dnf", "--setopt=plugins=0", f"--exclude={','.join(excludes)}"]
    for name, folder in (("B", kit.tree / "BaseOS"), ("A", kit.tree / "AppStream"), ("U", kit.erratum)):
        argv += [f"--repofrompath={name},file://{folder}"]
    argv += ["install", "@core", "@minimal-environment", *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    form = "%{NAME}-%{EPOCHNUM}:%{VERSION}-%{RELEASE}.%{ARCH}\n"
    query = subprocess.run(
        ["rpm", "--root", root, "-qa", "--qf", form], capture_output=True, text=True, check=True
    )
    resolved = made(tmp_path, "packages.lock").read_text().splitlines()
    assert sorted(query.stdout.split()) == sorted(line.split()[0] for line in resolved)


def test_the_same_input_gives_the_same_bytes(resolve: Resolve, tmp_path: Path) -> None:
    texts = []
    for _ in range(2):
        shutil.rmtree(tmp_path / "build", ignore_errors=True)
        assert resolve().code == 0
        texts.append((made(tmp_path).read_bytes(), made(tmp_path, "packages.lock").read_bytes()))
    assert texts[0] == texts[1]


def test_a_lock_is_held(resolve: Resolve, tmp_path: Path, brought: Path) -> None:
    assert resolve(updates=brought).code == 0
    lock = shutil.copy(made(tmp_path, "packages.lock"), tmp_path / "approved.lock")
    assert resolve("--locked", lock, updates=brought).code == 0
    run = resolve("--locked", lock)
    refused_by_lock = "-sudo-0:1.8.29-6.el8.x86_64 ", "+sudo-0:1.8.29-6.el8_3.1.x86_64 "
    assert run.code == 2
    assert all(
        any(line.strip().startswith(text) for line in run.stderr.splitlines()) for text in refused_by_lock
    )
    refused(run, "approved.lock", "differ, shown above")
    refused(resolve("--locked", tmp_path / "none.lock"), "none.lock can't be read")


def test_the_pin_says_what_there_is_and_what_to_bring(resolve: Resolve, kit: Kit, brought: Path) -> None:
    refused(
        resolve(updates=None),
        "the pinned package postfix-3.3.1-12.el8_3.1 is neither on the DVD nor in UPDATES",
        "there is 2:3.3.1-12.el8 (BaseOS of the DVD)",
        f"bring {PINNED}",
    )
    (brought / PINNED).unlink()
    shutil.copy(kit.erratum / "postfix-3.5.8-1.el8.x86_64.rpm", brought)
    refused(resolve(updates=brought), "2:3.3.1-12.el8 (BaseOS of the DVD), 2:3.5.8-1.el8 (in UPDATES)")


def test_what_a_package_needs_is_asked_for(resolve: Resolve, brought: Path) -> None:
    (brought / LIBICU).unlink()
    refused(
        resolve(updates=brought),
        "postfix-2:3.3.1-12.el8_3.1.x86_64 needs libicui18n.so.60()(64bit), which no repository has",
        "dnf provides 'libicui18n.so.60()(64bit)'",
    )


def test_the_advisories_of_several_mirrors(resolve: Resolve, kit: Kit, tmp_path: Path) -> None:
    """As `dnf reposync --download-metadata` leaves them: a folder a repository, each with its metadata."""
    for name, known in (("baseos", advisories()[:3]), ("appstream", advisories()[3:])):
        mirror = tmp_path / "updates" / name
        mirror.mkdir(parents=True)
        packages = [rpm for advisory in known for rpm in advisory.packages]
        for file in {rpm.filename for rpm in (*packages, *EPEL)}:
            shutil.copy(kit.erratum / file, mirror)
        make_repository(mirror, updateinfo=updateinfo_xml(known))
    run = resolve(updates=tmp_path / "updates")
    assert run.code == 0, run.stderr
    states = {line.split(":")[0] for line in run.stdout.splitlines() if " PRUEBA-" in line}
    said = {advisory.id for advisory in advisories() if f" {advisory.id} " in run.stdout}
    assert said == {advisory.id for advisory in advisories()}
    assert states == {"held", "left out", "not concerned"}


def test_an_unsigned_package_is_refused(resolve: Resolve, brought: Path) -> None:
    build_rpms([update_of("sudo", "1.8.29", "7.el8")], brought, key=None)
    refused(resolve(updates=brought), "sudo-1.8.29-7.el8.x86_64.rpm is not signed")


def test_a_package_signed_by_somebody_else_is_refused(
    resolve: Resolve, brought: Path, tmp_path: Path
) -> None:
    stranger = make_key(tmp_path / "stranger", "Desconocido")
    sign_rpms([brought / LIBICU], stranger)
    key_id = stranger.fingerprint[-16:].lower()
    refused(resolve(updates=brought), f"{LIBICU} is signed with the key {key_id}, which is not believed")
    # That its key lies beside it changes nothing.
    shutil.copy(stranger.public, brought / "RPM-GPG-KEY-redhat-release")
    refused(resolve(updates=brought), f"{LIBICU} is signed with the key {key_id}, which is not believed")


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("payload", lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:], "its payload is damaged"),
        ("cut", lambda data: data[:3000], "is damaged or is no RPM"),
        ("header", lambda data: data.replace(b"60.3", b"60.4"), "is damaged or is no RPM"),
        ("text", lambda _: b"<html>404 Not Found</html>", "is damaged or is no RPM"),
        ("empty", lambda _: b"", "is damaged or is no RPM"),
    ],
)
def test_a_damaged_package_is_refused(
    resolve: Resolve, brought: Path, name: str, change: Callable[[bytes], bytes], said: str
) -> None:
    data = (brought / LIBICU).read_bytes()
    (brought / LIBICU).unlink()
    (brought / LIBICU).write_bytes(change(data))
    refused(resolve(updates=brought), f"{LIBICU} {said}" if said.startswith("is") else said, LIBICU)


def test_a_package_for_another_machine_is_refused(resolve: Resolve, kit: Kit, brought: Path) -> None:
    build_rpms([Rpm("forja-extra", "1", "1", arch="aarch64")], brought, key=kit.key)
    refused(resolve(updates=brought), "forja-extra-1-1.aarch64.rpm is for aarch64, not for x86_64")


def test_an_own_key_signs_only_what_it_may(resolve: Resolve, kit: Kit) -> None:
    refused(
        resolve(site=site_text(kit, packages='["forja-*"]')),
        f"{EPEL[0].filename} is signed by Clave de pruebas",
        "which may not sign it",
    )


@pytest.mark.parametrize(
    ("file", "fingerprint", "said"),
    [
        ("no-such.asc", "", "no-such.asc does not exist; correct packages.own_keys.file"),
        ("", "0" * 40, "not the key 0000000000000000000000000000000000000000 of packages.own_keys"),
        ("site.toml", "", "site.toml is no OpenPGP public key"),
        ("", "abc", "packages.own_keys.0.fingerprint"),
    ],
)
def test_a_wrong_own_key_is_refused(
    resolve: Resolve, kit: Kit, file: str, fingerprint: str, said: str
) -> None:
    refused(resolve(site=site_text(kit, file=file, fingerprint=fingerprint)), said)


def test_a_vendor_s_key_is_known_by_its_fingerprint(resolve: Resolve, kit: Kit) -> None:
    site = site_text(kit) + f'\n[packages]\nkeys = ["{kit.key.public}"]\n'
    refused(resolve(site=site), "holds no key of a vendor that Forja knows by fingerprint")


def test_updates_that_are_none(resolve: Resolve, tmp_path: Path) -> None:
    refused(resolve(updates=tmp_path / "nowhere"), "nowhere")
    (tmp_path / "nothing").mkdir()
    refused(resolve(updates=tmp_path / "nothing"), "holds no .rpm file")


def test_packages_that_conflict(resolve: Resolve, kit: Kit, brought: Path) -> None:
    build_rpms([update_of("sudo", "1.8.30", "1.el8", conflicts=["firewalld"])], brought, key=kit.key)
    run = resolve(updates=brought)
    # libsolv may take the DVD's sudo instead: then nothing is wrong. A pinned one leaves it no choice.
    assert run.code == 0
    (brought / PINNED).unlink()
    build_rpms([update_of("postfix", "3.3.1", "12.el8_3.1", conflicts=["firewalld"])], brought, key=kit.key)
    refused(
        resolve(updates=brought),
        "postfix-2:3.3.1-12.el8_3.1.x86_64 conflicts with firewalld-0.8.2-2.el8.noarch",
    )


def test_a_package_that_needs_what_is_excluded(resolve: Resolve, kit: Kit, brought: Path) -> None:
    (brought / PINNED).unlink()
    build_rpms([update_of("postfix", "3.3.1", "12.el8_3.1", requires=["plymouth"])], brought, key=kit.key)
    refused(resolve(updates=brought), "plymouth", "is excluded by the profile's overlays")


def test_a_dvd_that_lacks_a_package(resolve: Resolve, kit: Kit, tmp_path: Path) -> None:
    iso = make_variant(kit, tmp_path / "lacking", without=["firewalld"])
    refused(resolve(iso=iso), "neither the DVD nor UPDATES has firewalld")


CHOSEN = "BaseOS/Packages/sudo-1.8.29-6.el8.x86_64.rpm"


def test_a_package_on_the_dvd_that_was_changed(
    resolve: Resolve, kit: Kit, brought: Path, tmp_path: Path
) -> None:
    size = (kit.tree / CHOSEN).stat().st_size
    iso = tamper_iso(kit.dvd, tmp_path / "tampered.iso", CHOSEN, offset=size - 30)
    refused(resolve(iso=iso, updates=brought), f"{CHOSEN} is damaged")


def test_a_package_on_the_dvd_that_was_exchanged(
    resolve: Resolve, kit: Kit, brought: Path, tmp_path: Path
) -> None:
    """Well signed, but another one than the repository's metadata says."""
    iso = alter_iso(kit.dvd, tmp_path / "exchanged.iso", {CHOSEN: (kit.erratum / LIBICU).read_bytes()})
    refused(resolve(iso=iso, updates=brought), f"{CHOSEN} is not the package that the repository")


def test_a_package_on_the_dvd_that_is_gone(resolve: Resolve, kit: Kit, brought: Path, tmp_path: Path) -> None:
    iso = alter_iso(kit.dvd, tmp_path / "gone.iso", {CHOSEN: None})
    refused(resolve(iso=iso, updates=brought), "gone.iso lists 478 packages and holds 477")


def test_a_dvd_without_the_minimal_environment(resolve: Resolve, kit: Kit, tmp_path: Path) -> None:
    tree = copy_tree(kit.tree, tmp_path / "tree")
    shutil.rmtree(tree / "BaseOS" / "repodata")
    make_repository(tree / "BaseOS")
    write_release_files(
        tree, name=NAME, short="RHEL", version=VERSION, arch="x86_64", variants=("BaseOS", "AppStream")
    )
    iso = write_dvd(tree, tmp_path / "bare.iso")
    refused(resolve(iso=iso), "no group or environment @core, @minimal-environment")
