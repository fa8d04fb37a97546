"""The RPMs that stand for Debian packages, as a spec file, with versions compared by RPM itself."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from builder.lab.installer.dpkg import Installed, Relation, parse_relations, rpm_version
from builder.lab.repositories import comps_xml
from builder.lab.rpms import capability, compare_versions, requirement, spec_lines, version_pairs


def _package(installed: dict[str, Installed], name: str, folder: Path) -> list[str]:
    """Return the lines of a package's section in the spec."""
    text = "\n".join(spec_lines(installed, compare_versions(version_pairs(installed), folder)))
    section = re.search(rf"(?ms)^%package -n {name}$.*?^%files -n {name}$", text)
    assert section is not None
    return section[0].splitlines()


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("adduser", "adduser"),
        ("libc6 (>= 2.36)", "libc6 >= 0:2.36-0"),
        ("e2fsprogs (<< 1.45.3-1~)", "e2fsprogs < 0:1.45.3-1~"),
        ("x (>> 1:3-1-2)", "x > 1:3_1-2"),
        ("debconf (>= 0.5) | debconf-2.0", "(debconf >= 0:0.5-0 or debconf-2.0)"),
    ],
)
def test_dependencies(field: str, words: str) -> None:
    assert requirement(parse_relations(field, "|")) == words


def test_a_package_is_what_dpkg_says_and_says_what_it_is(
    installed: dict[str, Installed], tmp_path: Path
) -> None:
    lines = _package(installed, "postfix", tmp_path)
    assert {"Version: 3.7.11", "Release: 0+deb12u1", "Requires: libc6 >= 0:2.36-0"} <= set(lines)
    assert "Requires: (default-mta or mail-helper)" in lines
    assert not [line for line in lines if line.startswith(("Epoch", "BuildArch", "#"))]
    assert any(line.startswith("Summary: LABORATORIO, no es RHEL") for line in lines)
    assert "BuildArch: noarch" in _package(installed, "adduser", tmp_path)
    assert "Provides: mail-helper = 0:1-0" in _package(installed, "mailer", tmp_path)


def test_a_version_that_rpm_orders_otherwise_is_left_out_with_its_reason(
    installed: dict[str, Installed], tmp_path: Path
) -> None:
    # To dpkg "+" is more than any letter; RPM only looks at what is between such signs.
    installed["libevent"] = dataclasses.replace(installed["libevent"], version="2.1+a")
    need = (Relation("libevent", ">=", "2.1b"),)
    installed["tmux"] = dataclasses.replace(installed["tmux"], needs=(need,))
    lines = _package(installed, "tmux", tmp_path)
    assert "Requires: libevent" in lines
    assert any(line.startswith("# ") and capability(need[0]) in line for line in lines)


def test_versions_in_rpms_order(tmp_path: Path) -> None:
    pairs = [("1.0", "1.0~rc1"), ("1:1", "2"), ("2.36-9", "2.36"), ("2.36", "2.36"), ("1.2", "1.10")]
    names = [(str(rpm_version(one)), str(rpm_version(two))) for one, two in pairs]
    assert list(compare_versions(names, tmp_path).values()) == [1, 1, 1, 0, -1]


def test_comps_name_what_a_minimal_installation_is() -> None:
    text = comps_xml({"b", "a"}).decode()
    assert re.findall(r'<packagereq type="mandatory">(\w+)<', text) == ["a", "b"]
    assert "<id>minimal-environment</id>" in text
    assert "<groupid>core</groupid>" in text
