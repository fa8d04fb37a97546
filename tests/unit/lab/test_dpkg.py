"""Debian's packages under the names and versions by which RPM knows them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from builder.ask.platform import read_platform
from builder.lab.installer.dpkg import Installed, Relation, parse_relations, rpm_version


@pytest.mark.parametrize(
    ("debian", "rpm"),
    [
        ("3.7.11-0+deb12u1", (0, "3.7.11", "0+deb12u1")),
        ("3.134", (0, "3.134", "0")),
        ("1:1.2.13.dfsg-1", (1, "1.2.13.dfsg", "1")),
        ("3.1-20221030-2", (0, "3.1_20221030", "2")),
        ("1.51~1+deb12u1+16.1-2~deb12u1", (0, "1.51~1+deb12u1+16.1", "2~deb12u1")),
        ("0~20171227-0.3+deb12u1", (0, "0~20171227", "0.3+deb12u1")),
    ],
)
def test_versions(debian: str, rpm: tuple[int, str, str]) -> None:
    assert rpm_version(debian) == rpm


def test_relations() -> None:
    assert parse_relations("python3:any (>= 3.5~), a|b (<<1:2), c [amd64]", ",") == (
        Relation("python3", ">=", "3.5~"),
        Relation("a|b", "<<", "1:2"),
        Relation("c"),
    )
    assert parse_relations("debconf (>= 0.5) | debconf-2.0", "|") == (
        Relation("debconf", ">=", "0.5"),
        Relation("debconf-2.0"),
    )
    assert parse_relations("", ",") == ()


def test_the_status_file(installed: dict[str, Installed]) -> None:
    assert sorted(installed) == ["adduser", "libc6", "libevent", "mailer", "postfix", "tmux"]
    postfix = installed["postfix"]
    assert postfix.nevra == "postfix-0:3.7.11-0+deb12u1.x86_64"
    assert installed["adduser"].nevra == "adduser-0:3.134-0.noarch"
    assert postfix.needs == (
        (Relation("libc6", ">=", "2.36"),),
        (Relation("default-mta"), Relation("mail-helper")),
        (Relation("adduser"),),
    )
    assert installed["mailer"].provides == (Relation("mail-helper", "=", "1"), Relation("other"))
    assert [name for name in installed if installed[name].essential] == ["libc6"]


def test_the_installed_system_lists_its_packages_by_the_same_rules(
    status: str, installed: dict[str, Installed], tmp_path: Path
) -> None:
    (tmp_path / "status").write_text(
        status.replace("Version: 2.1\n", "Version: 1:3.1-2022-2\n"), encoding="utf-8"
    )
    (tmp_path / "info").mkdir()
    listed = subprocess.run(
        ["sh", "-c", read_platform("laboratorio").tools.list_packages],
        env={"PATH": os.environ["PATH"], "DPKG_ADMINDIR": str(tmp_path)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    expected = {package.nevra for package in installed.values() if package.name != "libevent"}
    assert len(listed) == len(installed)
    assert set(listed) == expected | {"libevent-1:3.1_2022-2.x86_64"}
