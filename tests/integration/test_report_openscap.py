"""The lista de comprobación as XCCDF, read by OpenSCAP's own tools."""

from __future__ import annotations

import os
import re
import runpy
from html import unescape
from pathlib import Path

import pytest

from builder.make.report import write_reports
from builder.make.report.xccdf import RESULTS
from builder.tools.errors import StageFailed
from builder.tools.process import find_program, run

SAMPLE = runpy.run_path(str(Path(__file__).parents[1] / "unit" / "report_sample.py"))


@pytest.fixture(autouse=True)
def _oscap_is_there() -> None:
    if find_program("oscap") is None:
        message = "oscap is not on this host; install the package openscap-scanner"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture(params=["laboratorio", "rhel-8.3"])
def xccdf(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_reports(*SAMPLE["sample"](request.param), tmp_path, langs=["es"])[-1]


def oscap(*words: str | Path) -> str:
    return run(["oscap", *words], doing="read the report with OpenSCAP").stdout


def test_it_is_valid_and_a_wrong_one_is_not(xccdf: Path) -> None:
    oscap("xccdf", "validate", xccdf)
    text = xccdf.read_text(encoding="utf-8")
    xccdf.write_text(text.replace("<result>pass<", "<result>cumple<", 1), encoding="utf-8")
    with pytest.raises(StageFailed, match="cumple"):
        oscap("xccdf", "validate", xccdf)


def test_it_is_known_as_a_benchmark_with_its_result(xccdf: Path) -> None:
    told = oscap("info", xccdf)
    assert "Checklist version: 1.2" in told
    assert "xccdf_forja_profile_clasificado" in told
    assert "xccdf_forja_testresult_clasificado-laboratorio.qcow2" in told
    assert "Evaluation started: 2026-11-24T17:58:18+00:00" in told


def test_openscaps_report_says_of_each_control_what_ours_says(xccdf: Path) -> None:
    plan, findings, _ = SAMPLE["sample"]()
    page = oscap("xccdf", "generate", "report", xccdf)
    shown = dict(
        re.findall(r"rule-detail-id-xccdf_forja_rule_([^\s\"]+)\".*?rule-result-(\w+)", page, re.DOTALL)
    )
    assert shown == {control.id: RESULTS[findings.verdict(control)] for control in plan.controls}
    assert set(shown.values()) == set(RESULTS.values())
    text = unescape(page)
    for control in plan.controls:
        assert control.title.es in text
    assert "net.ipv4.conf.all.accept_redirects" in text
    assert "<script>alert('x')" not in page, "hostile evidence is text"
