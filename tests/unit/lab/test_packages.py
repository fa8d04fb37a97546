"""RHEL package names on a Debian payload."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.lab.installer.kickstart import read_kickstart
from builder.lab.installer.packages import (
    Selection,
    parse_status,
    resolve_name,
    select_packages,
    superfluous,
)
from builder.lab.installer.program import InstallError

STATUS = """\
Package: postfix
Status: install ok installed
Version: 3.7.11-0+deb12u1
Depends: libc6 (>= 2.36), default-mta | mail-helper,
 adduser

Package: adduser
Status: install ok installed
Version: 3.134

Package: mailer
Status: install ok installed
Provides: mail-helper (= 1), other
Version: 1

Package: libc6
Essential: yes
Status: install ok installed
Version: 2.36

Package: tmux
Status: install ok installed
Version: 3.3a
Depends: libevent (>= 2)

Package: libevent
Status: install ok installed
Version: 2.1

Package: gone
Status: deinstall ok config-files
Version: 9
"""
MAPPING = {
    "@^minimal-environment": ("adduser",),
    "postfix": ("postfix",),
    "postfix-pcre": ("postfix",),
    "tmux": ("tmux",),
    "selinux-policy": (),
    "absent": ("not-there",),
    "adduser": ("adduser",),
}


def _select(folder: Path, lines: str, options: str = "") -> Selection:
    path = folder / "ks.cfg"
    path.write_text(f"%packages {options}\n{lines}\n%end\n", encoding="utf-8")
    data = read_kickstart(path).data.packages
    return select_packages(data, MAPPING, {"kdump": "no hay"}, parse_status(STATUS))


def test_dependencies_with_alternatives_and_provides_are_kept_and_the_rest_goes(tmp_path: Path) -> None:
    selection = _select(tmp_path, "@^minimal-environment\npostfix")
    assert superfluous(parse_status(STATUS), selection, ["libc6"]) == ["libevent", "tmux"]


def test_nothing_goes_when_everything_is_asked_for(tmp_path: Path) -> None:
    selection = _select(tmp_path, "@^minimal-environment\npostfix\ntmux")
    assert superfluous(parse_status(STATUS), selection, []) == []


def test_a_pinned_version_is_found_by_its_name_and_said_not_to_be_shown(tmp_path: Path) -> None:
    selection = _select(tmp_path, "postfix-3.3.1-12.el8_3.1")
    assert selection.wanted == {"postfix"}
    note = selection.notes[0]
    assert note.what == "%packages postfix-3.3.1-12.el8_3.1"
    assert "postfix 3.7.11-0+deb12u1" in note.reason


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ("postfix", ("postfix", "")),
        ("postfix-pcre", ("postfix-pcre", "")),
        ("postfix-2:3.3.1-12.el8", ("postfix", "2:3.3.1-12.el8")),
        ("postfix-pcre-3.3.1", ("postfix-pcre", "3.3.1")),
        ("postfix-perl-scripts", None),
        ("postfi", None),
    ],
)
def test_names(spec: str, found: tuple[str, str] | None) -> None:
    assert resolve_name(spec, MAPPING) == found


@pytest.mark.parametrize("name", ["nonesuch", "absent", "@nonesuch", "@^server"])
def test_what_the_medium_lacks_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(InstallError, match=f"has no {name.replace('^', '.')}"):
        _select(tmp_path, name)


def test_what_the_medium_lacks_is_named_with_ignoremissing(tmp_path: Path) -> None:
    selection = _select(tmp_path, "nonesuch", "--ignoremissing")
    assert [note.what for note in selection.notes] == ["%packages nonesuch"]


def test_packages_that_nothing_stands_for_are_named(tmp_path: Path) -> None:
    selection = _select(tmp_path, "selinux-policy\nkdump")
    assert {note.what: note.reason for note in selection.notes} == {
        "%packages selinux-policy": "nada en Debian lo representa",
        "%packages kdump": "no hay",
    }


def test_excluding_what_another_package_needs_is_an_error(tmp_path: Path) -> None:
    selection = _select(tmp_path, "postfix\n-adduser")
    with pytest.raises(InstallError, match="adduser, which postfix needs"):
        superfluous(parse_status(STATUS), selection, [])


def test_an_excluded_group_is_only_not_asked_for(tmp_path: Path) -> None:
    selection = _select(tmp_path, "postfix\n-@^minimal-environment")
    assert "adduser" not in superfluous(parse_status(STATUS), selection, [])


def test_an_excluded_package_goes(tmp_path: Path) -> None:
    selection = _select(tmp_path, "postfix\n-tmux")
    assert "tmux" in superfluous(parse_status(STATUS), selection, [])
