"""`forja report --compare`: what became of each control, and when that ends with an error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from report_sample import sample

from builder.cli import main
from builder.make.findings import Verdict
from builder.make.report.comparison import GROUPS, compare, to_lines
from builder.make.report.listing import Line, Listing, make_listing, read_listing, to_json
from builder.make.report.words import Words
from builder.tools.errors import BadInput, ExitCode

HELD, FAILED, UNSEEN = "CCN681-6.4.1-01", "RHEL-SYSCTL-01", "RHEL-SELINUX-01"


@pytest.fixture
def old() -> Listing:
    return make_listing(*sample()[:2])


def change(listing: Listing, id: str, **update: object) -> Listing:
    """Return a listing with one control another; without it when nothing is given."""
    lines: list[Line] = []
    for line in listing.controls:
        if line.id != id:
            lines.append(line)
        elif update:
            lines.append(line.model_copy(update=update))
    return listing.model_copy(update={"controls": tuple(lines)})


def groups(old: Listing, new: Listing) -> dict[str, list[str]]:
    comparison = compare(old, new)
    found = {group: [item.id for item in getattr(comparison, group)] for group in GROUPS}
    assert sum(map(len, found.values())) + comparison.unchanged == len(
        {line.id for listing in (old, new) for line in listing.controls}
    )
    return {group: ids for group, ids in found.items() if ids}


def test_an_image_is_the_same_as_itself(old: Listing) -> None:
    assert groups(old, old) == {}
    assert compare(old, old).identity == {}


@pytest.mark.parametrize(
    ("id", "verdict", "group"),
    [
        (HELD, Verdict.FAILS, "worse"),
        (HELD, Verdict.NOT_VERIFIED, "worse"),
        (HELD, Verdict.MANUAL, "worse"),
        (HELD, Verdict.NOT_APPLICABLE, "worse"),
        (UNSEEN, Verdict.FAILS, "worse"),
        (UNSEEN, Verdict.HOLDS, "better"),
        (FAILED, Verdict.HOLDS, "better"),
        (FAILED, Verdict.NOT_VERIFIED, "changed"),
        (UNSEEN, Verdict.MANUAL, "changed"),
    ],
)
def test_another_verdict(old: Listing, id: str, verdict: Verdict, group: str) -> None:
    assert groups(old, change(old, id, verdict=verdict)) == {group: [id]}


def test_controls_that_come_and_go(old: Listing) -> None:
    assert groups(old, change(old, HELD)) == {"worse": [HELD]}, "it held, and nobody asks any longer"
    assert groups(old, change(old, FAILED)) == {"gone": [FAILED]}
    assert groups(change(old, HELD), old) == {"appeared": [HELD]}
    assert groups(change(old, FAILED), old) == {"worse": [FAILED]}, "a new one that fails is worse"


def test_other_values_are_shown_line_by_line_without_their_order(old: Listing) -> None:
    line = next(line for line in old.controls if line.id == HELD)
    (test,) = line.tests
    before = change(old, HELD, tests=(test.model_copy(update={"seen": ("a = 1\nb = 2", "c = 3")}),))
    after = change(old, HELD, tests=(test.model_copy(update={"seen": ("c = 3", "b = 9\na = 1")}),))
    assert groups(before, after) == {"evidence": [HELD]}
    (difference,) = compare(before, after).evidence
    assert difference.no_longer_read == ("b = 2",)
    assert difference.newly_read == ("b = 9",)
    turned = change(old, HELD, tests=(test.model_copy(update={"seen": ("c = 3", "b = 2\na = 1")}),))
    assert groups(before, turned) == {}
    again = test.model_copy(update={"when": "2027-01-01T00:00:00Z", "seconds": 9.0})
    assert groups(old, change(old, HELD, tests=(again,))) == {}, "when it was read is no evidence"


def test_what_the_images_are(old: Listing) -> None:
    other = old.identity.model_copy(
        update={"sha256": "a" * 64, "began": "2027-01-01T00:00:00Z", "seconds": 1.0}
    )
    assert compare(old, old.model_copy(update={"identity": other})).identity == {
        "sha256": (old.identity.sha256, "a" * 64)
    }


@pytest.mark.parametrize("lang", ["es", "en"])
def test_lines_for_people(old: Listing, lang: str) -> None:
    words = Words(lang)
    line = next(line for line in old.controls if line.id == HELD)
    hostile = line.tests[0].model_copy(update={"seen": ("\x1b[31mred\u202e",)})
    new = change(change(old, HELD, verdict=Verdict.FAILS, tests=(hostile,)), FAILED)
    text = "\n".join(to_lines(compare(old, new), words))
    assert f"{HELD}  {words.verdict(Verdict.HOLDS)} -> {words.verdict(Verdict.FAILS)}" in text
    assert line.title.in_language(lang) in text
    assert f"- {line.evidence[0]}" in text
    assert "+ \\x1b[31mred\\u202e" in text
    assert f"{FAILED}  {words.verdict(Verdict.FAILS)} -> {words.text('compare_none')}" in text
    assert text.endswith(f"{len(old.controls) - 2} {words.text('compare_unchanged')}")


def write(folder: Path, listing: Listing) -> Path:
    folder.mkdir()
    (folder / "lista-de-comprobacion.json").write_text(to_json(listing), encoding="utf-8")
    return folder


def test_the_command_ends_with_3_when_something_got_worse(
    old: Listing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = write(tmp_path / "before", old)
    after = write(tmp_path / "after", change(old, HELD, verdict=Verdict.FAILS))
    assert main(["report", "--compare", str(before), str(after)]) == ExitCode.CONTROL_FAILED
    told = capsys.readouterr()
    assert f"{HELD}  cumple -> no cumple" in told.out
    assert HELD in told.err
    assert main(["report", "--compare", str(after), str(before)]) == ExitCode.OK
    file = before / "lista-de-comprobacion.json"
    capsys.readouterr()
    arguments = ["report", "--format", "json", "--compare", str(file), str(after)]
    assert main(arguments) == ExitCode.CONTROL_FAILED
    told_as_json = json.loads(capsys.readouterr().out)
    assert [(item["id"], item["old"], item["new"]) for item in told_as_json["worse"]] == [
        (HELD, "cumple", "no cumple")
    ]


def test_what_cant_be_compared_is_said(
    old: Listing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path / "before", old)
    with pytest.raises(BadInput, match="forja report FOLDER"):
        read_listing(tmp_path)
    (folder / "lista-de-comprobacion.json").write_text("{}")
    with pytest.raises(BadInput, match="is no lista-de-comprobacion"):
        read_listing(folder)
    for words in (["report"], ["report", str(folder), "--compare", str(folder), str(folder)]):
        assert main(words) == ExitCode.BAD_INPUT
        assert "not both" in capsys.readouterr().err
