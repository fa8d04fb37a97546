"""RHEL package names on a Debian payload."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from builder.lab.installer.dpkg import Installed
from builder.lab.installer.kickstart import read_kickstart
from builder.lab.installer.packages import Selection, resolve_name, select_packages, superfluous
from builder.lab.installer.program import InstallError

MAPPING = {
    "@^minimal-environment": ("adduser",),
    "postfix": ("postfix",),
    "postfix-pcre": ("postfix",),
    "tmux": ("tmux",),
    "selinux-policy": (),
    "absent": ("not-there",),
    "adduser": ("adduser",),
}


Payload = dict[str, Installed]
Select = Callable[..., Selection]


@pytest.fixture
def select(tmp_path: Path, installed: Payload) -> Select:
    """Return what translates lines of %packages."""

    def select_lines(lines: str, options: str = "") -> Selection:
        path = tmp_path / "ks.cfg"
        path.write_text(f"%packages {options}\n{lines}\n%end\n", encoding="utf-8")
        return select_packages(read_kickstart(path).data.packages, MAPPING, {"kdump": "no hay"}, installed)

    return select_lines


def test_dependencies_with_alternatives_and_provides_are_kept_and_the_rest_goes(
    select: Select, installed: Payload
) -> None:
    selection = select("@^minimal-environment\npostfix")
    assert superfluous(installed, selection, ["libc6"]) == ["libevent", "tmux"]


def test_nothing_goes_when_everything_is_asked_for(select: Select, installed: Payload) -> None:
    selection = select("@^minimal-environment\npostfix\ntmux")
    assert superfluous(installed, selection, []) == []


def test_a_pinned_version_is_found_by_its_name_and_said_not_to_be_shown(select: Select) -> None:
    selection = select("postfix-3.3.1-12.el8_3.1")
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
def test_what_the_medium_lacks_is_an_error(select: Select, name: str) -> None:
    with pytest.raises(InstallError, match=f"has no {name.replace('^', '.')}"):
        select(name)


def test_what_the_medium_lacks_is_named_with_ignoremissing(select: Select) -> None:
    selection = select("nonesuch", "--ignoremissing")
    assert [note.what for note in selection.notes] == ["%packages nonesuch"]


def test_packages_that_nothing_stands_for_are_named(select: Select) -> None:
    selection = select("selinux-policy\nkdump")
    assert {note.what: note.reason for note in selection.notes} == {
        "%packages selinux-policy": "nada en Debian lo representa",
        "%packages kdump": "no hay",
    }


def test_excluding_what_another_package_needs_is_an_error(select: Select, installed: Payload) -> None:
    selection = select("postfix\n-adduser")
    with pytest.raises(InstallError, match="adduser, which postfix needs"):
        superfluous(installed, selection, [])


def test_an_excluded_group_is_only_not_asked_for(select: Select, installed: Payload) -> None:
    selection = select("postfix\n-@^minimal-environment")
    assert "adduser" not in superfluous(installed, selection, [])


def test_an_excluded_package_goes(select: Select, installed: Payload) -> None:
    selection = select("postfix\n-tmux")
    assert "tmux" in superfluous(installed, selection, [])
