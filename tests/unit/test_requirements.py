"""CCN's requirements: each is answered by controls that the profiles of its level have, or says why not."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from builder.ask.catalogue import read_catalogue
from builder.ask.profile import profile_names
from builder.ask.requirements import FILE, LOWEST, Requirement, read_requirements, sums
from builder.make.listing import list_requirements
from builder.tools.errors import BadInput


@cache
def table() -> tuple[Requirement, ...]:
    return read_requirements()


@cache
def holders() -> dict[str, tuple[str, ...]]:
    return {entry.control.id: entry.profiles for entry in read_catalogue()}


def test_all_of_them_are_there_once() -> None:
    pairs = Counter((item.ccn, item.rule) for item in table())
    assert len(table()) == len(pairs) == 178
    levels = {(item.ccn, item.level) for item in table()}
    assert Counter(level for _, level in levels) == {"basic": 34, "intermediate": 19, "advanced": 9}


def test_every_control_that_answers_exists() -> None:
    """`pending`, for what is not built yet, is no control."""
    named = [(item.ccn, item.rule, name) for item in table() for name in item.controls]
    assert [each for each in named if each[2] not in holders()] == []


def lacking(item: Requirement) -> list[str]:
    """Return the profiles from its level up that lack a control that answers it."""
    names = profile_names()
    from_here_up = names[names.index(LOWEST[item.level]) :]
    return [
        name
        for name in from_here_up
        if any(name not in holders().get(control, ()) for control in item.controls)
    ]


def test_the_profiles_of_its_level_hold_it_or_it_says_why_not() -> None:
    wrong = [(item.ccn, item.rule, lacking(item)) for item in table() if lacking(item)]
    explained = {(item.ccn, item.rule) for item in table() if item.reason}
    assert [each for each in wrong if each[:2] not in explained] == []
    optional = table()[0].model_copy(update={"controls": ("CCN681-6.5-49",), "level": "basic"})
    assert lacking(optional) == ["clasificado"]


def test_a_wrong_row_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = FILE.read_text(encoding="utf-8").splitlines()
    copy = tmp_path / "table.tsv"
    monkeypatch.setattr("builder.ask.requirements.FILE", copy)
    for broken, said in (
        (lines[1].replace("\tbasic\t", "\tbasico\t"), "line 2: level: Input should be 'basic'"),
        ("\t".join([*lines[1].split("\t")[:5], "n/a", "", ""]), "line 2: .*n/a needs a reason"),
        ("a\tb", "line 2: a column is missing"),
    ):
        copy.write_text("\n".join([lines[0], broken]) + "\n", encoding="utf-8")
        with pytest.raises(BadInput, match=said):
            read_requirements()
    copy.unlink()
    with pytest.raises(BadInput, match="can't be read"):
        read_requirements()


def test_forms() -> None:
    total = sums(table())
    assert sum(sum(found.values()) for found in total.values()) == 178
    shown = list_requirements(table(), total, form="table", lang="es")
    assert "audit: -w /etc/shadow -p wa\n    -> RHEL-AUDIT-03\n" in shown
    assert "\nnivel " in shown
    assert len(list_requirements(table(), total, form="csv", lang="en").splitlines()) == 179
    read = json.loads(list_requirements(table(), total, form="json", lang="es"))
    assert len(read["requirements"]) == 178
