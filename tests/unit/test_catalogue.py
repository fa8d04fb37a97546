"""The catalogue holds together: each control is implemented and seen, or says why not."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from builder.ask.catalogue import Entry, of_profile, read_catalogue, sums
from builder.ask.marks import TESTS, read_marks
from builder.ask.overlay import Overlay, overlay_names, read_overlay
from builder.ask.profile import profile_names
from builder.ask.reading import REPOSITORY
from builder.cli import main
from builder.make.listing import list_controls, readme_sums
from builder.tools.errors import BadInput, ExitCode, StageFailed


@cache
def marks() -> dict[str, tuple[str, ...]]:
    return read_marks()


@cache
def catalogue() -> tuple[Entry, ...]:
    return read_catalogue(marks())


@cache
def overlays() -> tuple[Overlay, ...]:
    return tuple(map(read_overlay, overlay_names()))


def gaps(entry: Entry) -> list[str]:
    """Return what a control lacks for an auditor to believe it."""
    control = entry.control
    if control.status != "implemented":
        return [] if control.reason else ["reason"]
    return [what for what, there in (("where", entry.where), ("test", entry.tests)) if not there]


def test_every_control_is_implemented_and_seen_or_says_why_not() -> None:
    found = {entry.control.id: lacks for entry in catalogue() if (lacks := gaps(entry))}
    assert found == {}


def test_a_gap_would_be_seen() -> None:
    done = next(entry for entry in catalogue() if entry.control.status == "implemented")
    assert gaps(done.model_copy(update={"tests": ()})) == ["test"]
    assert gaps(done.model_copy(update={"where": ()})) == ["where"]
    by_hand = next(entry for entry in catalogue() if entry.control.status == "manual")
    bare = by_hand.control.model_copy(update={"reason": None})
    assert gaps(by_hand.model_copy(update={"control": bare})) == ["reason"]


def test_no_test_is_without_a_control() -> None:
    """`read_marks` refuses a test that names none; what they name is in the catalogue."""
    assert set(marks()) - {entry.control.id for entry in catalogue()} == set()


def test_a_test_without_a_control_is_refused(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text((TESTS / "conftest.py").read_text(encoding="utf-8"))
    (tmp_path / "shell.py").write_text((TESTS / "shell.py").read_text(encoding="utf-8"))
    (tmp_path / "test_none.py").write_text("def test_none(): pass\n")
    with pytest.raises(StageFailed, match="test sees which control"):
        read_marks(tmp_path)


def test_marks_of_parameters_are_found() -> None:
    assert [name.partition("::")[2] for name in marks()["RHEL-SUDO-02"]] == ["test_sudo_settings_in_force"]
    assert any(name.startswith("mail/") for names in marks().values() for name in names)


def test_no_control_is_there_twice() -> None:
    twice = [name for name, n in Counter(entry.control.id for entry in catalogue()).items() if n > 1]
    assert twice == []


@pytest.mark.parametrize("name", overlay_names())
def test_no_file_is_without_a_control(name: str) -> None:
    """`apply.sh` is a file of it too."""
    overlay = read_overlay(name)
    known = {control.id for each in overlays() for control in each.controls}
    for entry in (*overlay.files, *overlay.dirs):
        assert set(entry.controls) <= known, entry.path
    hooks = {place for entry in catalogue() for place in entry.where}
    assert overlay.hook is None or f"overlays/{name}/apply.sh" in hooks


def test_what_a_control_names_exists() -> None:
    """A file of the repository, a path of an overlay, or a package of one with what it is asked for."""
    known = {entry.path for overlay in overlays() for entry in (*overlay.files, *overlay.dirs)}
    known |= {
        re.sub(r"-\d[^-]*-[^-]+$", "", package) for overlay in overlays() for package in overlay.packages
    }
    wrong = [
        f"{entry.control.id}: {place}"
        for entry in catalogue()
        for place in entry.where
        if not known & {place, place.partition(":")[0]} and not (REPOSITORY / place).exists()
    ]
    assert wrong == []


def test_every_section_of_the_guide_has_its_controls_in_order() -> None:
    """4 to 6.5.9; 5.2 and 6.1 only describe, the guide itself and what a message is."""
    asked = [
        "4",
        "5",
        "5.1",
        "6.2",
        "6.3",
        "6.3.1",
        "6.3.2",
        "6.3.3",
        "6.3.4",
        "6.3.5",
        "6.4",
        "6.4.1",
        "6.4.2",
    ]
    asked += ["6.4.3", "6.4.4", "6.5", *(f"6.5.{n}" for n in range(1, 10)), "600"]
    assert list(dict.fromkeys(entry.control.section for entry in catalogue())) == asked


def test_every_control_is_in_a_profile() -> None:
    assert [entry.control.id for entry in catalogue() if not entry.profiles] == []


@pytest.mark.parametrize("profile", profile_names())
def test_sums_are_of_what_the_profile_has(profile: str) -> None:
    of_it = of_profile(catalogue(), profile)
    assert sum(sums(catalogue())[profile].values()) == len(of_it) > 200
    with pytest.raises(BadInput, match="no profile 'clasificad'"):
        of_profile(catalogue(), "clasificad")


def test_readme_has_the_sums() -> None:
    table = readme_sums(sums(catalogue()))
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert table in text, f"README needs:\n{table}"


def test_forms() -> None:
    total = sums(catalogue())
    shown = list_controls(catalogue(), total, form="table", lang="es")
    assert f"    pruebas: {marks()['RHEL-SSHD-01'][0]}" in shown
    for lang, status in (("es", "no aplica"), ("en", "not applicable")):
        rows = list(csv.DictReader(io.StringIO(list_controls(catalogue(), total, form="csv", lang=lang))))
        assert len(rows) == len(catalogue())
        assert status in {row["estado" if lang == "es" else "status"] for row in rows}
    read = json.loads(list_controls(catalogue(), total, form="json", lang="es"))
    assert [item["id"] for item in read["controls"]] == [entry.control.id for entry in catalogue()]
    assert read["sums"] == {name: dict(found) for name, found in total.items()}


def test_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["controls", "ens-alta", "--format", "csv"]) == ExitCode.OK
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["id"] for row in rows] == [entry.control.id for entry in of_profile(catalogue(), "ens-alta")]
    assert main(["controls", "--ccn", "--lang", "en"]) == ExitCode.OK
    assert "\nlevel " in capsys.readouterr().out
