"""The listing as XCCDF 1.2 (NIST IR 7275 rev. 4): a benchmark with its result, as OpenSCAP's tools read it.

What XCCDF calls a pass is a control that holds; what was not seen, and what is left to people, is
`notchecked`, which no score counts. In Spanish only: `oscap` shows the texts of all languages one after
the other.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import timedelta

from builder.make.findings import Verdict
from builder.make.report.listing import Line, Listing, Part
from builder.make.report.words import Words, read_moment, visible, xml_document

GUIDE = "CCN-STIC-681"
PLATFORM = "cpe:2.3:o:redhat:enterprise_linux:8.3:*:*:*:*:*:*:*"
"""What the guide is for; the image's own system is among the facts of the result."""
CHECKER = "https://testinfra.readthedocs.io/"
CONTROL = "urn:forja:control"
SCORING = "urn:xccdf:scoring:flat"
NAMESPACES = {
    "xmlns": "http://checklists.nist.gov/xccdf/1.2",
    "xmlns:dc": "http://purl.org/dc/elements/1.1/",
    "xml:lang": "es",
}
RESULTS = {
    Verdict.HOLDS: "pass",
    Verdict.FAILS: "fail",
    Verdict.NOT_VERIFIED: "notchecked",
    Verdict.MANUAL: "notchecked",
    Verdict.NOT_APPLICABLE: "notapplicable",
}
SEVERITIES = {Verdict.FAILS: "error", Verdict.NOT_VERIFIED: "warning"}
"""How loudly a reason is said; "info" otherwise."""


def to_xccdf(listing: Listing) -> str:
    """Return the listing as XCCDF."""
    identity, words = listing.identity, Words("es")
    root = ET.Element("Benchmark", NAMESPACES, id=_id("benchmark", GUIDE), resolved="1")
    _add(root, "status", "draft", date=f"{read_moment(identity.began):%Y-%m-%d}")
    _add(root, "title", words.text("subtitle"))
    _add(root, "description", words.text("title"))
    if identity.mark:
        _add(root, "notice", identity.mark.es, id="notice")
    _add(root, "platform", idref=PLATFORM)
    _add(root, "version", identity.builder)
    metadata = _add(root, "metadata")
    _add(metadata, "dc:publisher", f"Forja {identity.builder}")
    _add(metadata, "dc:source", GUIDE)
    _add(root, "model", system=SCORING)
    profile = _add(root, "Profile", id=_id("profile", identity.profile))
    _add(profile, "title", identity.profile)
    for line in listing.controls:
        _add(profile, "select", idref=_rule(line), selected="true")
    for section in listing.sections:
        _add_group(root, section, listing.of(section), words)
    _add_result(root, listing, words)
    return xml_document(root)


def _add_group(root: ET.Element, section: Part, lines: list[Line], words: Words) -> None:
    group = _add(root, "Group", id=_id("group", section.number))
    _add(group, "title", f"{section.number} {section.title.es}".strip())
    for line in lines:
        rule = _add(group, "Rule", id=_rule(line), severity="unknown", weight="1.0")
        _add(rule, "title", line.title.es)
        if line.where:
            _add(rule, "description", f"{words.text('column_where')}: {', '.join(line.where)}")
        _add(rule, "reference", f"{GUIDE} {line.section}")
        _add(rule, "ident", line.id, system=CONTROL)
        _add_check(rule, line)


def _add_result(root: ET.Element, listing: Listing, words: Words) -> None:
    identity = listing.identity
    began = read_moment(identity.began)
    ended = began + timedelta(seconds=identity.seconds)
    result = _add(
        root,
        "TestResult",
        id=_id("testresult", identity.title),
        start_time=began.isoformat(timespec="seconds"),
        end_time=ended.isoformat(timespec="seconds"),
        test_system=f"cpe:/a:forja:forja:{identity.builder}",
        version=identity.builder,
    )
    _add(result, "benchmark", href=f"#{_id('benchmark', GUIDE)}", id=_id("benchmark", GUIDE))
    _add(result, "title", identity.title)
    _add(result, "profile", idref=_id("profile", identity.profile))
    _add(result, "target", identity.server or identity.host)
    facts = _add(result, "target-facts")
    of_server = ("server", "machine", "host_key") if identity.server else ()
    for name in ("image", "sha256", "platform", "system", "postfix", "firmware", "builder", *of_server):
        _add(facts, "fact", getattr(identity, name), name=f"urn:forja:fact:{name}", type="string")
    for line in listing.controls:
        _add_rule_result(result, line, words)
    holds, fails = listing.sums[Verdict.HOLDS], listing.sums[Verdict.FAILS]
    _add(result, "score", str(holds), system=SCORING, maximum=str(holds + fails))


def _add_rule_result(result: ET.Element, line: Line, words: Words) -> None:
    seen = _add(result, "rule-result", idref=_rule(line), severity="unknown", weight="1.0")
    if line.tests:
        seen.set("time", min(test.when for test in line.tests))
    _add(seen, "result", RESULTS[line.verdict])
    _add(seen, "ident", line.id, system=CONTROL)
    for severity, text in _messages(line, words):
        _add(seen, "message", text, severity=severity)
    _add_check(seen, line)


def _messages(line: Line, words: Words) -> Iterator[tuple[str, str]]:
    """Give what is said of a control: why, then each value read, then each test with its time."""
    for why in line.whys:
        yield SEVERITIES.get(line.verdict, "info"), f"{words.verdict(line.verdict)}: {why.es}"
    for value in line.evidence:
        yield "info", value
    for test in line.tests:
        ended = f"{words.text('test')} {words.outcome(test.outcome)}"
        yield "info", f"{ended}, {words.time(read_moment(test.when))}: {test.test}"


def _add_check(parent: ET.Element, line: Line) -> None:
    """Say that the tests of this project that name the control see it."""
    if line.tests:
        check = _add(parent, "check", system=CHECKER)
        _add(check, "check-content-ref", href="tests/image", name=line.id)


def _add(parent: ET.Element, tag: str, text: str = "", /, **attributes: str) -> ET.Element:
    """Add an element; `_` in an attribute's name stands for `-`."""
    names = {name.replace("_", "-"): visible(value) for name, value in attributes.items()}
    child = ET.SubElement(parent, tag, names)
    child.text = visible(text) or None
    return child


def _rule(line: Line) -> str:
    return _id("rule", line.id)


def _id(kind: str, name: str) -> str:
    """Return an identifier of the form that XCCDF 1.2 demands, with only what an NCName may hold."""
    return f"xccdf_forja_{kind}_{re.sub(r'[^A-Za-z0-9._-]', '-', name)}"
