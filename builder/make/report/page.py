"""What stands on the page: sections, rows and sums, from the plan and the findings and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from builder.ask.control import Control
from builder.ask.overlay import Entry
from builder.ask.plan import Plan
from builder.make.findings import Finding, Findings, Outcome, Verdict
from builder.make.report.words import Words
from builder.tools.errors import StageFailed

BASE_SECTION = "600"
NARROW_LINES, NARROW_WIDTH = 9, 26


@dataclass(frozen=True)
class Place:
    """Something that implements a control: a path on the image, and its RHEL path when that differs."""

    path: str
    rhel: str = ""


@dataclass(frozen=True)
class Row:
    """One control: the verdict on it, what was seen, and where it is implemented."""

    control: Control
    overlay: str
    verdict: Verdict
    findings: tuple[Finding, ...]
    places: tuple[Place, ...]

    @property
    def anchor(self) -> str:
        """Return the row's id in the page."""
        return f"c-{self.control.id}"


@dataclass(frozen=True)
class Section:
    """One section of the guide with its controls."""

    number: str
    title: str
    rows: tuple[Row, ...]
    sums: dict[Verdict, int]

    @property
    def anchor(self) -> str:
        """Return the section's id in the page."""
        return "s-" + re.sub(r"[^A-Za-z0-9.]+", "-", self.number)


@dataclass(frozen=True)
class Slice:
    """A part of the ring: `length` controls from the `start`-th on."""

    verdict: Verdict
    start: int
    length: int


def make_sections(plan: Plan, findings: Findings, words: Words) -> list[Section]:
    """Return the sections in the guide's order, the base of the series CCN-STIC-600 last.

    Raises:
        StageFailed: a finding names no control, or one that the plan does not have.
    """
    _check(plan, findings)
    rows = [
        Row(
            control=control,
            overlay=overlay.name,
            verdict=findings.verdict(control),
            findings=tuple(findings.of(control.id)),
            places=_places(plan, control),
        )
        for overlay in (*plan.overlays, *plan.left_out)
        for control in overlay.controls
    ]
    by_number: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: _natural(row.control.id)):
        by_number.setdefault(row.control.section, []).append(row)
    return [
        Section(
            number=number,
            title=words.section(number),
            rows=tuple(by_number[number]),
            sums=findings.sums(row.control for row in by_number[number]),
        )
        for number in sorted(by_number, key=_section_order)
    ]


def make_slices(sums: dict[Verdict, int]) -> list[Slice]:
    """Return the parts of the ring, in the order of the verdicts, without empty ones."""
    slices, start = [], 0
    for verdict, count in sums.items():
        if count:
            slices.append(Slice(verdict, start, count))
        start += count
    return slices


def group_by_reason(rows: Iterable[Row], words: Words) -> dict[str, list[Row]]:
    """Return rows that are not verified under the reasons why, the most frequent first."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        unseen = [finding for finding in row.findings if finding.outcome is Outcome.NOT_SHOWN]
        reasons = {words.said(finding.reason, "no_reason"): None for finding in unseen}
        for reason in reasons or {words.text("no_test"): None}:
            groups.setdefault(reason, []).append(row)
    return dict(sorted(groups.items(), key=lambda group: -len(group[1])))


def is_narrow(value: str) -> bool:
    """Say whether evidence is a long list of short lines, which fits in two columns."""
    lines = value.splitlines()
    return len(lines) > NARROW_LINES and max(map(len, lines)) <= NARROW_WIDTH


def _check(plan: Plan, findings: Findings) -> None:
    known = {control.id for control in plan.controls}
    for finding in findings.findings:
        wrong = [name for name in finding.controls if name not in known]
        if wrong or not finding.controls:
            names = f"the control {wrong[0]}, which no overlay of {plan.name} has" if wrong else "no control"
            raise StageFailed(
                f"could not write the lista de comprobación: the test {finding.test} names {names}",
                hint="correct the marker 'control' of the test, or the overlay's controls.toml",
            )


def _places(plan: Plan, control: Control) -> tuple[Place, ...]:
    places = {}
    for overlay in plan.overlays:
        for entry in (*overlay.files, *overlay.dirs):
            if control.id in entry.controls and _is_there(plan, entry):
                here = plan.platform.path(entry.path)
                places[here] = Place(here, entry.path if here != entry.path else "")
    for where in control.where:
        places.setdefault(where, Place(where))
    return tuple(places.values())


def _is_there(plan: Plan, entry: Entry) -> bool:
    """Say whether a file that the site brings (a certificate) was brought."""
    if entry.site is None:
        return True
    table, key = entry.site.split(".")
    return getattr(getattr(plan.site, table), key) is not None


def _natural(text: str) -> list[tuple[int, int, str]]:
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.findall(r"\d+|\D+", text)]


def _section_order(number: str) -> tuple[bool, list[tuple[int, int, str]]]:
    return (number == BASE_SECTION, _natural(number))
