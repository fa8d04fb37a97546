"""Findings: what verification saw, test by test, and the verdict on each control that follows from it.

The artefact between verification and report (`findings.json`); neither of them knows the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from builder.ask.control import Control
from builder.ask.reading import Bilingual, Frozen

ACTS = Bilingual(
    es="Actúa sobre el servidor: sólo se hace en una copia desechable de la imagen.",
    en="It acts on the server: done in a throwaway copy of the image only.",
)
FIRST_BOOT = Bilingual(
    es="Sólo se ve en el primer arranque de una copia de la imagen: este servidor ya está en uso.",
    en="Seen in the first boot of a copy of the image only: this server is in use already.",
)
SPARED = (ACTS, FIRST_BOOT)
"""Why a test is not shown on a server in use."""


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


class Server(Frozen):
    """A server in use, as it says itself who it is."""

    name: str
    """Its host name."""
    machine: str
    """SHA-256 of its /etc/machine-id."""
    host_key: str
    """The key by which SSH knew it: algorithm and fingerprint."""


class Subject(Frozen):
    """What was verified: an image, or a server in use."""

    image: str
    """File name; of a server, that of the image whose verification was given too, or empty."""
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
    server: Server | None = None
    """The server that was looked at, where it was no image."""

    @property
    def title(self) -> str:
        """What it is called on paper."""
        return self.server.name if self.server else self.image


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
