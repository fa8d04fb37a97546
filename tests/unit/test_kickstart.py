"""The kickstart is exactly valid for RHEL 8, and says what the plan says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pykickstart.constants import KS_SCRIPT_ONERROR
from pykickstart.parser import KickstartParser
from pykickstart.version import makeVersion

from builder.ask.plan import Plan, make_plan
from builder.ask.profile import profile_names
from builder.make.kickstart import check_kickstart, render_kickstart, render_storage, write_kickstart


@pytest.fixture(scope="module", params=profile_names())
def plan(request: pytest.FixtureRequest) -> Plan:
    return make_plan(request.param, None, "rhel-8.3")


@pytest.fixture(scope="module")
def storage(plan: Plan) -> str:
    return render_storage(plan)


@pytest.fixture(scope="module")
def text(plan: Plan, storage: str) -> str:
    return render_kickstart(plan, storage)


def parse(text: str, storage: str) -> KickstartParser:
    filled = storage.replace("@DISK@", "sda").replace("@SOURCE@", "cdrom")
    parser = KickstartParser(makeVersion("RHEL8"))
    parser.readKickstartFromString(text.replace("%include /tmp/forja-storage.ks\n", filled))
    return parser


@pytest.mark.parametrize("profile", profile_names())
def test_it_is_valid_for_both_platforms(profile: str) -> None:
    for platform in ("rhel-8.3", "laboratorio"):
        plan = make_plan(profile, None, platform)
        storage = render_storage(plan)
        assert check_kickstart(render_kickstart(plan, storage), storage) == []


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("autopart --type=lvm --nonsense", "unrecognized arguments"),
        ("install", "deprecated"),
        ("authconfig --enableshadow", "deprecated"),
        ("nonsense", "Unknown command"),
    ],
)
def test_what_rhel_8_does_not_take_is_refused(text: str, storage: str, line: str, why: str) -> None:
    problems = check_kickstart(text.replace("skipx\n", f"skipx\n{line}\n"), storage)
    assert problems
    assert re.search(why, problems[0]), problems


def test_an_error_in_the_included_storage_is_seen(text: str, storage: str) -> None:
    assert check_kickstart(text, storage.replace("--vgname=sistema", "--group=sistema", 1))


def test_every_mount_point_has_its_strictest_options(plan: Plan, text: str, storage: str) -> None:
    handler = parse(text, storage).handler
    volumes = {data.mountpoint: data for data in handler.logvol.lvList}
    partitions = {data.mountpoint: data for data in handler.partition.partitions}
    for path in (
        "/home",
        "/tmp",
        "/var/tmp",
        "/var/log",
        "/var/log/audit",
        "/var/spool/postfix",
        "/etc/postfix",
    ):
        assert volumes[path].fstype == "xfs"
        assert set(volumes[path].fsopts.split(",")) == {"defaults", "nodev", "nosuid", "noexec"}
    assert set(volumes["/var"].fsopts.split(",")) == {"defaults", "nodev", "nosuid"}
    assert set(partitions["/boot"].fsopts.split(",")) == {"defaults", "nodev", "nosuid", "noexec"}
    assert {"/", "swap"} <= volumes.keys()
    assert {"biosboot", "/boot/efi", "pv.01"} <= partitions.keys()
    assert handler.clearpart.disklabel == "gpt"


def test_nobody_gets_in_by_a_password_in_the_text(plan: Plan, text: str, storage: str) -> None:
    handler = parse(text, storage).handler
    assert handler.rootpw.lock
    assert not handler.rootpw.password
    users = {user.name: user for user in handler.user.userList}
    assert {name: user.groups for name, user in users.items()} == {
        "administrador": ["wheel"],
        "operador": [],
        "auditora": [],
    }
    assert all(user.isCrypted and user.password.startswith("$6$") for user in users.values())
    assert handler.bootloader.isCrypted
    assert handler.bootloader.password.startswith("grub.pbkdf2.sha512.")
    assert "--plaintext" not in text


def test_the_packages_are_pinned_and_none_is_skipped(text: str, storage: str) -> None:
    packages = parse(text, storage).handler.packages
    assert packages.environment == "minimal-environment"
    assert "postfix-3.3.1-12.el8_3.1" in packages.packageList
    assert packages.handleMissing == 0  # KS_MISSING_PROMPT, which ends a command-line installation
    assert not packages.groupList


def test_what_was_brought_is_a_repository_on_the_medium() -> None:
    for updates, urls in ((True, ["file:///run/install/repo/forja/updates"]), (False, [])):
        plan = make_plan("clasificado", None, "rhel-8.3", updates=updates)
        handler = parse(render_kickstart(plan, render_storage(plan)), render_storage(plan)).handler
        assert [repo.baseurl for repo in handler.repo.repoList] == urls


def test_every_script_ends_the_installation_when_it_fails(text: str, storage: str) -> None:
    scripts = parse(text, storage).handler.scripts
    assert len(scripts) >= 6
    for script in scripts:
        if script.type != KS_SCRIPT_ONERROR:  # %onerror runs when something has failed already
            assert script.errorOnFail
            assert script.logfile
            assert "set -Eeuo pipefail" in script.script


def test_language_clock_and_services(text: str, storage: str) -> None:
    handler = parse(text, storage).handler
    assert handler.lang.lang == "es_ES.UTF-8"
    assert (handler.keyboard.vc_keymap, handler.keyboard.x_layouts) == ("es", ["es"])
    assert (handler.timezone.timezone, handler.timezone.isUtc) == ("Europe/Madrid", True)
    assert handler.selinux.selinux == 1
    assert handler.firewall.enabled
    assert "kdump" in handler.services.disabled
    assert "%addon com_redhat_kdump --disable" in text


def test_the_same_plan_gives_the_same_bytes(plan: Plan, tmp_path: Path) -> None:
    one = write_kickstart(plan, tmp_path / "one.ks").read_bytes()
    assert one == write_kickstart(plan, tmp_path / "two.ks").read_bytes()
    assert (tmp_path / "one.ks").stat().st_mode & 0o777 == 0o600
