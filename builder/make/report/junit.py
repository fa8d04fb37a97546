"""The listing as JUnit: one test case a control, for a build server. What does not hold is a failure.

What was not seen is skipped, never passed; `verification.xml` has the same test by test.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

from builder.make.findings import Verdict
from builder.make.report.listing import Line, Listing
from builder.make.report.words import visible, xml_document


def to_junit(listing: Listing) -> str:
    """Return the listing as JUnit, a suite for each section of the guide."""
    root = ET.Element("testsuites", name=listing.identity.title)
    for section in listing.sections:
        lines = listing.of(section)
        suite = ET.SubElement(
            root,
            "testsuite",
            name=f"{section.number} {section.title.es}".strip(),
            tests=str(len(lines)),
            failures=str(sum(line.verdict is Verdict.FAILS for line in lines)),
            errors="0",
            skipped=str(sum(line.verdict not in (Verdict.FAILS, Verdict.HOLDS) for line in lines)),
            timestamp=listing.identity.began,
            hostname=listing.identity.server or listing.identity.host,
            time=_seconds(*lines),
        )
        for line in lines:
            _add_case(suite, line)
    return xml_document(root)


def _add_case(suite: ET.Element, line: Line) -> None:
    case = ET.SubElement(suite, "testcase", classname=line.section, name=f"{line.id} {line.title.es}")
    case.set("time", _seconds(line))
    properties = ET.SubElement(case, "properties")
    told = [("control", line.id), ("verdict", line.verdict), *(("seen", value) for value in line.evidence)]
    told += [(key, value) for test in line.tests for key, value in (("test", test.test), ("when", test.when))]
    for name, value in told:
        ET.SubElement(properties, "property", name=name, value=visible(value))
    message = visible("; ".join(reason.es for reason in line.whys))
    if line.verdict is Verdict.FAILS:
        ET.SubElement(case, "failure", message=message, type=line.verdict)
    elif line.verdict is not Verdict.HOLDS:
        ET.SubElement(case, "skipped", message=f"{line.verdict}: {message}" if message else line.verdict)


def _seconds(*lines: Line) -> str:
    return f"{sum(test.seconds for line in lines for test in line.tests):.2f}"
