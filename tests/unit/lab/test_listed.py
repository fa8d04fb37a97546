"""The list on the medium decides what is installed, and must agree with kickstart and payload."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from builder.lab.installer.dpkg import Installed
from builder.lab.installer.listed import read_list, unlisted
from builder.lab.installer.packages import Selection
from builder.lab.installer.program import InstallError

Payload = dict[str, Installed]


def _listed(installed: Payload, *names: str) -> dict[str, str]:
    return {name: installed[name].nevra for name in names}


def _selection(*wanted: str, unwanted: tuple[str, ...] = ()) -> Selection:
    return Selection(frozenset(wanted), frozenset(unwanted), ())


def test_what_is_not_listed_goes_and_nothing_else(installed: Payload) -> None:
    listed = _listed(installed, "postfix", "adduser", "mailer", "libc6", "libevent")
    assert unlisted(installed, listed, _selection("postfix"), []) == ["tmux"]
    assert unlisted(installed, _listed(installed, *installed), _selection("postfix"), []) == []


@pytest.mark.parametrize(
    ("names", "more", "selection", "base", "message"),
    [
        (
            "libc6",
            {"emacs": "emacs-1:28-1.x86_64"},
            _selection(),
            [],
            "the medium has no emacs-1:28-1.x86_64",
        ),
        (
            "libc6",
            {"adduser": "adduser-0:3.135-0.noarch"},
            _selection(),
            [],
            r"another version of adduser-0:3.135-0.noarch \(adduser-0:3.134-0.noarch\)",
        ),
        ("libc6 mailer", {}, _selection(unwanted=("mailer",)), [], "%packages excludes mailer"),
        ("libc6", {}, _selection("mailer"), [], "%packages asks for what is not in it: mailer"),
        ("mailer", {}, _selection(), [], "every installation needs what is not in it: libc6"),
        ("libc6", {}, _selection(), ["adduser"], "every installation needs what is not in it: adduser"),
        (
            "libc6 postfix adduser",
            {},
            _selection(),
            [],
            "its own packages need: postfix needs default-mta or mail-helper",
        ),
    ],
)
def test_a_list_that_does_not_fit_ends_in_a_clear_message(
    installed: Payload, names: str, more: dict[str, str], selection: Selection, base: list[str], message: str
) -> None:
    listed = _listed(installed, *names.split()) | more
    with pytest.raises(InstallError, match=message) as raised:
        unlisted(installed, listed, selection, base)
    assert str(raised.value).startswith("/forja/packages.json: ")
    assert ";" not in str(raised.value)


def test_the_file(tmp_path: Path) -> None:
    path = tmp_path / "packages.json"
    assert read_list(path) is None
    item = {"name": "zlib1g", "epoch": 1, "version": "1.2.13.dfsg", "release": "1", "arch": "x86_64", "x": 2}
    path.write_text(json.dumps({"packages": [item]}), encoding="utf-8")
    assert read_list(path) == {"zlib1g": "zlib1g-1:1.2.13.dfsg-1.x86_64"}
    for wrong in ("{", "[]", '{"packages": [{"name": "x"}]}', '{"packages": []}'):
        path.write_text(wrong, encoding="utf-8")
        with pytest.raises(InstallError, match=r"packages\.json"):
            read_list(path)
    path.write_text(json.dumps({"packages": [item, item]}), encoding="utf-8")
    with pytest.raises(InstallError, match="twice"):
        read_list(path)
