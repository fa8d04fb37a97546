"""Nothing of a kickstart is skipped in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.lab.installer.check import check_commands, options_of
from builder.lab.installer.kickstart import Kickstart, read_kickstart, read_pre_scripts
from builder.lab.installer.program import InstallError

NOT_SHOWN = {"selinux": "no hay política", "%addon com_redhat_kdump": "no hay kdump"}


def _read(folder: Path, text: str) -> Kickstart:
    path = folder / "ks.cfg"
    path.write_text(text, encoding="utf-8")
    return read_kickstart(path)


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("autopart", "'autopart'"),
        ("authselect select sssd", "'authselect'"),
        ("raid / --level=1 --device=md0 raid.01 raid.02", "'raid'"),
        ("bootloader --location=none", "'bootloader --location=none'"),
        ("bootloader --location=mbr --extlinux", "'bootloader --extlinux'"),
        ("logvol / --vgname=rhel --name=root --size=1 --encrypted --passphrase=x", "'logvol --encrypted'"),
        ("part / --size=1 --fstype=ext3", "'part --fstype=ext3'"),
        ("clearpart --all --disklabel=msdos", "'clearpart --disklabel=msdos'"),
        ("network --bootproto=dhcp --device=ens3 --bondslaves=a,b", "'network --bondslaves'"),
        ("rootpw --plaintext x", "'rootpw --plaintext'"),
        ("url --url=http://example.es/", "'url --url=http://example.es/'"),
        ("%addon org_fedora_oscap\n%end", "'%addon'"),
        ("%anaconda\n%end", "'%anaconda'"),
    ],
)
def test_what_is_not_honoured_is_refused_by_name_and_line(tmp_path: Path, line: str, named: str) -> None:
    kickstart = _read(tmp_path, f"# first line\n{line}\npoweroff\n")
    with pytest.raises(InstallError) as caught:
        check_commands(kickstart.lines, NOT_SHOWN)
    assert f"{named} ({tmp_path / 'ks.cfg'} line 2)" in str(caught.value)


def test_all_problems_are_named_at_once(tmp_path: Path) -> None:
    kickstart = _read(tmp_path, "autopart\nbootloader --location=none\npoweroff\n")
    with pytest.raises(InstallError, match=r"'autopart' .*line 1.*'bootloader --location=none' .*line 2"):
        check_commands(kickstart.lines, {})


def test_what_the_medium_does_not_show_is_named_with_its_reason(tmp_path: Path) -> None:
    text = "selinux --enforcing\n%addon com_redhat_kdump --disable\n%end\nnetwork --activate\npoweroff\n"
    notes = check_commands(_read(tmp_path, text).lines, NOT_SHOWN)
    assert [note.what for note in notes] == [
        "selinux --enforcing",
        "%addon com_redhat_kdump --disable",
        "network --activate",
    ]
    assert notes[0].reason == "no hay política"


def test_selinux_without_a_reason_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InstallError, match="'selinux'"):
        check_commands(_read(tmp_path, "selinux --enforcing\npoweroff\n").lines, {})


def test_a_kickstart_that_would_wait_for_a_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InstallError, match="wait for a key"):
        check_commands(_read(tmp_path, "zerombr\n").lines, {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("install\n", "line 1: .*deprecated"),
        ("\nauthconfig --enableshadow\n", "line 2: .*deprecated"),
        ("\n\nbogus\n", "line 3: .*bogus"),
        ("%post\necho\n", "%post"),
        ("%include /nonexistent/part.ks\n", "nonexistent"),
    ],
)
def test_bad_syntax_and_deprecated_words_are_errors_with_their_line(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(InstallError, match=said):
        _read(tmp_path, text)


def test_the_first_pass_reads_only_pre_scripts(tmp_path: Path) -> None:
    path = tmp_path / "ks.cfg"
    path.write_text("bogus\n%include /nonexistent\n%pre --erroronfail\ntrue\n%end\n%post\nfalse\n%end\n")
    scripts = read_pre_scripts(path)
    assert [(script.script, script.errorOnFail, script.lineno) for script in scripts] == [("true\n", True, 3)]
    assert scripts[0].file == str(path)


def test_lines_of_an_included_file_name_that_file(tmp_path: Path) -> None:
    (tmp_path / "part.ks").write_text("\nautopart\n")
    kickstart = _read(tmp_path, f"%include {tmp_path / 'part.ks'}\npoweroff\n")
    with pytest.raises(InstallError, match=r"'autopart' \(.*part\.ks line 2\)"):
        check_commands(kickstart.lines, {})


def test_options_are_found_with_either_form_of_value() -> None:
    words = ("/home", "--size", "10", "--fsoptions=nodev,nosuid", "--grow", "--name=a=b")
    assert options_of(words) == [("size", "10"), ("fsoptions", "nodev,nosuid"), ("grow", ""), ("name", "a=b")]
