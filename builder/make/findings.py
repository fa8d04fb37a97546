"""Findings: what verification saw, test by test, and the verdict on each control that follows from it.

The artefact between verification and report (`findings.json`); neither of them knows the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from builder.ask.control import Control
from builder.ask.reading import Bilingual, Frozen


class Outcome(StrEnum):
    """How one test ended."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_SHOWN = "not-shown"
    """The platform can't show it (SELinux in the laboratory): never a pass."""


class Verdict(StrEnum):
    """What is said of one control."""

    HOLDS = "cumple"
    FAILS = "no cumple"
    NOT_VERIFIED = "no verificado"
    MANUAL = "manual"
    NOT_APPLICABLE = "no aplica"


class Finding(Frozen):
    """One test: the controls that it sees, when it began, how it ended, why, and the values that it read."""

    test: str
    controls: tuple[str, ...]
    when: str
    """When it began: ISO 8601, UTC."""
    outcome: Outcome
    reason: Bilingual | None = None
    """Why it failed or could not be shown."""
    seen: tuple[str, ...] = ()
    seconds: float = 0.0


class Subject(Frozen):
    """What was verified."""

    image: str
    sha256: str
    size: int
    firmware: str
    began: str
    """ISO 8601, UTC."""
    seconds: float
    builder_version: str
    system: str = ""
    """PRETTY_NAME of the booted image."""
    postfix: str = ""
    """Package and version of Postfix as the image's own package manager names it."""
    seeded: str = ""
    """Of a closed image: the server that a seed made of the copy that was looked at."""


class Findings(Frozen):
    """Everything that one verification saw."""

    subject: Subject
    findings: tuple[Finding, ...]

    def of(self, control: str) -> list[Finding]:
        """Return the findings of one control."""
        return [finding for finding in self.findings if control in finding.controls]

    def verdict(self, control: Control) -> Verdict:
        """Judge a control: it holds only if every test of it passed, and there is at least one."""
        if control.status == "not-applicable":
            return Verdict.NOT_APPLICABLE
        if control.status == "manual":
            return Verdict.MANUAL
        outcomes = {finding.outcome for finding in self.of(control.id)}
        if Outcome.FAILED in outcomes:
            return Verdict.FAILS
        return Verdict.HOLDS if outcomes == {Outcome.PASSED} else Verdict.NOT_VERIFIED

    def sums(self, controls: Iterable[Control]) -> dict[Verdict, int]:
        """Return how many controls got each verdict; every verdict is there, with 0 when none did."""
        sums = dict.fromkeys(Verdict, 0)
        for control in controls:
            sums[self.verdict(control)] += 1
        return sums
