"""The lista de comprobación for programs: CSV, JSON, JUnit and XCCDF say what the page says."""

from __future__ import annotations

import csv
import io
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from report_sample import sample

from builder.cli import main
from builder.make.findings import Finding, Findings, Outcome, Verdict
from builder.make.report import FILES, write_reports
from builder.make.report.junit import to_junit
from builder.make.report.listing import Listing, make_listing, to_json
from builder.make.report.table import HEADER, to_csv
from builder.make.report.words import visible
from builder.make.report.xccdf import RESULTS, to_xccdf
from builder.tools.errors import ExitCode, StageFailed

XCCDF = {"": "http://checklists.nist.gov/xccdf/1.2"}


@pytest.fixture(params=["laboratorio", "rhel-8.3"])
def listing(request: pytest.FixtureRequest) -> Listing:
    return make_listing(*sample(request.param)[:2])


def verdicts() -> dict[str, Verdict]:
    plan, findings, _ = sample()
    return {control.id: findings.verdict(control) for control in plan.controls}


def test_all_files_are_written_and_the_same_each_time(tmp_path: Path) -> None:
    paths = write_reports(*sample(), tmp_path / "1", langs=["es", "en"])
    assert [path.name for path in paths] == list(FILES)
    assert sorted(path.name for path in (tmp_path / "1").iterdir()) == sorted(FILES)
    for path in write_reports(*sample(), tmp_path / "2", langs=["es", "en"]):
        assert path.read_bytes() == (tmp_path / "1" / path.name).read_bytes()


def test_a_finding_of_no_known_control_leaves_nothing(tmp_path: Path) -> None:
    plan, findings, _ = sample()
    stray = Finding(test="x", controls=("NO-SUCH",), when=findings.subject.began, outcome=Outcome.PASSED)
    wrong = Findings(subject=findings.subject, findings=(*findings.findings, stray))
    with pytest.raises(StageFailed, match="NO-SUCH"):
        write_reports(plan, wrong, None, tmp_path, langs=["es"])
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_them_again_and_says_what_it_lacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, findings, resolution = sample()
    made = {"plan": plan, "findings": findings, "packages": resolution}
    for name, record in made.items():
        (tmp_path / f"{name}.json").write_text(record.model_dump_json(), encoding="utf-8")
    assert main(["report", str(tmp_path), "--lang", "en"]) == ExitCode.OK
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / name) for name in FILES[1:]]
    for text in ("{}", None):
        (tmp_path / "findings.json").write_text(text) if text else (tmp_path / "findings.json").unlink()
        assert main(["report", str(tmp_path)]) == ExitCode.BAD_INPUT
        assert "findings.json is no list of findings of this version" in capsys.readouterr().err


def test_json_is_whole_and_read_back(listing: Listing) -> None:
    plan, findings, _ = sample()
    text = to_json(listing)
    assert Listing.model_validate_json(text) == listing
    assert {line.id: line.verdict for line in listing.controls} == verdicts()
    assert listing.sums == findings.sums(plan.controls)
    assert [part.number for part in listing.sections] == list(
        dict.fromkeys(line.section for line in listing.controls)
    )
    for line in listing.controls:
        assert [test.test for test in line.tests] == [finding.test for finding in findings.of(line.id)]
        assert [test.when for test in line.tests] == [finding.when for finding in findings.of(line.id)]
    assert listing.identity.sha256 == findings.subject.sha256
    assert listing.identity.host == plan.site.host.name


def test_json_of_a_later_version_can_be_read(listing: Listing) -> None:
    text = to_json(listing).replace('{\n "format": 1,', '{\n "format": 1, "news": [],')
    assert "news" in text
    assert Listing.model_validate_json(text) == listing


def test_csv_has_a_row_a_control_with_what_was_seen(listing: Listing) -> None:
    header, *rows = csv.reader(io.StringIO(to_csv(listing), newline=""))
    assert tuple(header) == HEADER
    table = {row[1]: dict(zip(header, row, strict=True)) for row in rows}
    assert len(table) == len(rows)
    assert {id: cells["verdict"] for id, cells in table.items()} == verdicts()
    for line in listing.controls:
        cells = table[line.id]
        assert cells["evidence"].removeprefix("'") == visible("\n".join(line.evidence))
        assert cells["title_en"] == line.title.en
        assert cells["when"] == min((test.when for test in line.tests), default="")
        assert [why.es for why in line.whys] == [text for text in cells["reason_es"].split("\n") if text]


def test_no_cell_of_the_csv_is_a_formula(listing: Listing) -> None:
    evil = listing.controls[0].tests[0].model_copy(update={"seen": ('=cmd|"/c calc"!A1',)})
    line = listing.controls[0].model_copy(update={"tests": (evil,)})
    text = to_csv(listing.model_copy(update={"controls": (line, *listing.controls[1:])}))
    cells = [cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row]
    assert '\'=cmd|"/c calc"!A1' in cells
    assert "'-rw-r--r-- root root /etc/postfix/main.cf\n-rw-r--r-- root root /etc/postfix/master.cf" in cells
    assert [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))] == []


def test_junit_fails_what_fails_and_passes_nothing_unseen(listing: Listing) -> None:
    root = ET.fromstring(to_junit(listing))
    found = {}
    for suite in root.iter("testsuite"):
        cases = suite.findall("testcase")
        assert int(suite.get("tests", "")) == len(cases)
        assert int(suite.get("failures", "")) == len(suite.findall("testcase/failure"))
        assert int(suite.get("skipped", "")) == len(suite.findall("testcase/skipped"))
        for case in cases:
            ends = [child.tag for child in case if child.tag != "properties"]
            found[case.get("name", "").split()[0]] = ends
            assert case.get("classname") == suite.get("name", "").split()[0]
    expected = {Verdict.HOLDS: [], Verdict.FAILS: ["failure"]}
    assert found == {id: expected.get(verdict, ["skipped"]) for id, verdict in verdicts().items()}
    seen = {node.get("value") for node in root.iter("property") if node.get("name") == "seen"}
    assert {visible(value) for line in listing.controls for value in line.evidence} == seen


def test_xccdf_has_a_rule_and_a_result_for_each_control(listing: Listing) -> None:
    root = ET.fromstring(to_xccdf(listing))
    rules = {node.get("id") for node in root.findall("Group/Rule", XCCDF)}
    found = {node.get("idref"): node for node in root.findall("TestResult/rule-result", XCCDF)}
    selected = {node.get("idref") for node in root.findall("Profile/select", XCCDF)}
    assert rules == set(found) == selected
    for line in listing.controls:
        node = found[f"xccdf_forja_rule_{line.id}"]
        assert node.findtext("result", namespaces=XCCDF) == RESULTS[line.verdict]
        said = [message.text or "" for message in node.findall("message", XCCDF)]
        assert all(visible(value) in said for value in line.evidence)
        assert all(any(why.es in text for text in said) for why in line.whys)
        assert all(any(test.test in text for text in said) for test in line.tests)
    facts = {node.get("name"): node.text for node in root.findall(".//fact", XCCDF)}
    assert facts["urn:forja:fact:sha256"] == listing.identity.sha256
    notice = root.findtext("notice", namespaces=XCCDF)
    assert notice == (listing.identity.mark.es if listing.identity.mark else None)


@pytest.mark.parametrize("write", [to_junit, to_xccdf])
def test_what_xml_cant_hold_is_written_out(listing: Listing, write: object) -> None:
    assert callable(write)
    line = listing.controls[0]
    bad = line.tests[0].model_copy(update={"seen": ("a\x00b\x1b\ufffec\ud83d\ude00]]><x>&amp;",)})
    changed = line.model_copy(update={"tests": (bad,)})
    text = write(listing.model_copy(update={"controls": (changed, *listing.controls[1:])}))
    said = "".join(node.get("value", "") + (node.text or "") for node in ET.fromstring(text).iter())
    assert r"a\x00b\x1b\ufffec\ud83d\ude00]]><x>&amp;" in said
