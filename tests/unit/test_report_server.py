"""The lista de comprobación of a server in use: whose it is, and what its image may stand for."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_sample import sample

from builder.ask.reading import Bilingual
from builder.make import report
from builder.make.findings import SPARED, Finding, Findings, Outcome, Server, Verdict
from builder.make.report.comparison import compare, to_lines
from builder.make.report.listing import make_listing, read_listing
from builder.make.report.words import Words
from builder.make.verification import spare

SERVER = Server(name="relay.ejemplo.es", machine="ab" * 32, host_key="ssh-ed25519 SHA256:Zm9yamE")


def spared(finding: Finding, why: Bilingual) -> Finding:
    """Return a test as it ends on a server in use, which is spared it."""
    return finding.model_copy(update={"outcome": Outcome.NOT_SHOWN, "reason": why, "seen": ()})


@pytest.fixture
def image() -> Findings:
    return sample()[1]


@pytest.fixture
def acting(image: Findings) -> str:
    """A control that holds on the image, by one test."""
    plan = sample()[0]
    return next(
        control.id
        for control in plan.controls
        if image.verdict(control) is Verdict.HOLDS and len(image.of(control.id)) == 1
    )


@pytest.fixture(params=SPARED, ids=["acts", "first boot"])
def server(image: Findings, acting: str, request: pytest.FixtureRequest) -> Findings:
    """The same seen on a server, which is spared the test of that control."""
    subject = image.subject.model_copy(update={"image": "", "sha256": "", "size": 0, "server": SERVER})
    findings = [spared(item, request.param) if acting in item.controls else item for item in image.findings]
    return Findings(subject=subject, findings=tuple(findings))


def test_the_page_says_whose_it_is(server: Findings, tmp_path: Path) -> None:
    plan = sample()[0]
    paths = report.write_reports(plan, server, None, tmp_path, langs=["es", "en"])
    page, english = (path.read_text() for path in paths[:2])
    for text in (page, english):
        assert SERVER.name in text
        assert text.count(SERVER.host_key) == 2  # identity and signatures
        assert SERVER.machine in text
    assert "Servidor en uso verificado" in page
    assert "Imagen verificada" not in page
    why = next(item.reason for item in server.findings if item.reason in SPARED)
    assert why.es in page
    assert why.en in english
    for path in paths[2:]:
        assert path.name.endswith(".csv") or SERVER.name in path.read_text()
    listing = read_listing(tmp_path)
    assert (listing.identity.server, listing.identity.machine) == (SERVER.name, SERVER.machine)
    assert listing.identity.host_key == SERVER.host_key


def test_an_images_page_is_as_before(image: Findings, tmp_path: Path) -> None:
    page = report.write_report(sample()[0], image, None, tmp_path).read_text()
    assert "Imagen verificada" in page
    assert "Servidor en uso" not in page


def test_the_image_stands_for_what_acts_and_says_so(server: Findings, image: Findings, acting: str) -> None:
    plan = sample()[0]
    control = next(control for control in plan.controls if control.id == acting)
    assert server.verdict(control) is Verdict.NOT_VERIFIED
    whole = Findings(subject=server.subject, findings=spare(server.findings, image))
    assert whole.verdict(control) is Verdict.HOLDS
    seen = whole.of(acting)[0].seen
    assert image.subject.sha256 in seen[0]
    assert "no este servidor" in seen[0]
    others = [item for item in whole.findings if acting not in item.controls]
    assert others == [item for item in server.findings if acting not in item.controls]


def test_what_fails_on_the_image_stands_for_nothing(server: Findings, image: Findings, acting: str) -> None:
    broken = [
        item.model_copy(update={"outcome": Outcome.FAILED}) if acting in item.controls else item
        for item in image.findings
    ]
    image = image.model_copy(update={"findings": tuple(broken)})
    assert spare(server.findings, image) == server.findings


def test_what_is_spared_is_no_drift(server: Findings, image: Findings, acting: str) -> None:
    plan = sample()[0]
    old, new = make_listing(plan, image), make_listing(plan, server)
    comparison = compare(old, new)
    assert [item.id for item in comparison.changed] == [acting]
    assert comparison.worse == ()
    assert comparison.identity["server"] == ("", SERVER.name)
    said = "\n".join(to_lines(comparison, Words("es")))
    assert SERVER.host_key in said
    # Not seen for any other reason, it is worse.
    elsewhere = [
        item.model_copy(update={"reason": None}) if acting in item.controls else item
        for item in server.findings
    ]
    worse = compare(old, make_listing(plan, server.model_copy(update={"findings": tuple(elsewhere)})))
    assert [item.id for item in worse.worse] == [acting]
