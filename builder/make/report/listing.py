"""The listing: everything that the lista de comprobación says, as data, in both languages.

Programs read it as JSON, and the other forms for programs are written from it. It holds all that a
comparison needs: no plan and no findings of the same version of Forja have to lie beside it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict

from builder.ask.plan import Plan
from builder.ask.reading import Bilingual, Frozen
from builder.make.findings import Findings, Outcome, Verdict
from builder.make.report.page import Row, Section, make_sections
from builder.make.report.words import Words
from builder.tools.errors import BadInput

NAME = "lista-de-comprobacion"
"""How the names of all files of the report begin."""


class Read(Frozen):
    """A record that is read back: a later version of Forja may say more in it."""

    model_config = ConfigDict(extra="ignore")


class Identity(Read):
    """What was verified."""

    image: str
    sha256: str
    size: int
    profile: str
    annex: str
    platform: str
    mark: Bilingual | None
    """What the image is not, where it is no RHEL."""
    system: str
    postfix: str
    host: str
    firmware: str
    began: str
    """ISO 8601, UTC."""
    seconds: float
    builder: str
    server: str = ""
    """Host name of the server in use that was looked at, if it was no image."""
    machine: str = ""
    """SHA-256 of its /etc/machine-id."""
    host_key: str = ""
    """The key by which SSH knew it."""

    @property
    def title(self) -> str:
        """What it is called on paper."""
        return self.server or self.image


class Test(Read):
    """One test of a control: when it began, how it ended, why, and the values that it read."""

    test: str
    when: str
    outcome: Outcome
    seconds: float
    reason: Bilingual | None
    seen: tuple[str, ...]


class Line(Read):
    """One control: what is asked, the verdict, why, the tests that saw it, and where it is implemented."""

    id: str
    section: str
    title: Bilingual
    verdict: Verdict
    reason: Bilingual | None
    """Why it is manual or does not apply."""
    tests: tuple[Test, ...]
    overlay: str
    where: tuple[str, ...]

    @property
    def evidence(self) -> tuple[str, ...]:
        """The values read on the machine, by all tests."""
        return tuple(value for test in self.tests for value in test.seen)

    @property
    def whys(self) -> tuple[Bilingual, ...]:
        """Why it does not hold, was not seen, is manual or does not apply; each reason once."""
        reasons = [self.reason, *(test.reason for test in self.tests)]
        return tuple({reason.es: reason for reason in reasons if reason}.values())


class Part(Read):
    """A section of the guide."""

    number: str
    title: Bilingual


class Listing(Read):
    """Everything that the lista de comprobación says."""

    format: Literal[1] = 1
    identity: Identity
    sums: dict[Verdict, int]
    sections: tuple[Part, ...]
    controls: tuple[Line, ...]

    def of(self, section: Part) -> list[Line]:
        """Return the controls of a section."""
        return [line for line in self.controls if line.section == section.number]


def make_listing(plan: Plan, findings: Findings) -> Listing:
    """Return what the lista de comprobación says, its sections and controls in the page's order.

    Raises:
        StageFailed: a finding names no control, or one that the plan does not have.
    """
    sections = make_sections(plan, findings, Words("es"))
    subject = findings.subject
    return Listing(
        identity=Identity(
            image=subject.image,
            sha256=subject.sha256,
            size=subject.size,
            profile=plan.profile.name,
            annex=plan.profile.annex,
            platform=plan.platform.title,
            mark=plan.platform.mark,
            system=subject.system,
            postfix=subject.postfix,
            host=plan.site.host.name,
            firmware=subject.firmware,
            began=subject.began,
            seconds=subject.seconds,
            builder=subject.builder_version,
            server=subject.server.name if subject.server else "",
            machine=subject.server.machine if subject.server else "",
            host_key=subject.server.host_key if subject.server else "",
        ),
        sums=findings.sums(plan.controls),
        sections=tuple(_part(section) for section in sections),
        controls=tuple(_line(row) for row in _rows(sections)),
    )


def read_listing(path: Path) -> Listing:
    """Return the listing of an image, from its folder or from the JSON form of the report itself.

    Raises:
        BadInput: it is not there, or is no such file.
    """
    file = path / f"{NAME}.json" if path.is_dir() else path
    try:
        return Listing.model_validate_json(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(
            f"{file} can't be read: {error.strerror}",
            hint="`forja report FOLDER` writes it into an image's folder",
        ) from error
    except ValueError as error:
        raise BadInput(
            f"{file} is no {NAME}.json of Forja", hint="give an image's folder, or that file"
        ) from error


def to_json(listing: Listing) -> str:
    """Return the listing as JSON."""
    return listing.model_dump_json(indent=1) + "\n"


def _rows(sections: Iterable[Section]) -> Iterable[Row]:
    return (row for section in sections for row in section.rows)


def _part(section: Section) -> Part:
    title = Bilingual(es=section.title, en=Words("en").section(section.number))
    return Part(number=section.number, title=title)


def _line(row: Row) -> Line:
    control = row.control
    return Line(
        id=control.id,
        section=control.section,
        title=control.title,
        verdict=row.verdict,
        reason=control.reason if row.verdict in (Verdict.MANUAL, Verdict.NOT_APPLICABLE) else None,
        tests=tuple(Test(**finding.model_dump(exclude={"controls"})) for finding in row.findings),
        overlay=row.overlay,
        where=tuple(place.path for place in row.places),
    )
