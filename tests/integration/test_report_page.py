"""The lista de comprobación in a real browser: on a phone, on a desk and on A4 paper."""

from __future__ import annotations

import json
import os
import re
import runpy
import struct
from html import escape, unescape
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from builder.make.report import report_name, write_report
from builder.tools.process import find_program, run

SAMPLE = runpy.run_path(str(Path(__file__).parents[1] / "unit" / "report_sample.py"))
A4 = (595, 842)
"""Points: 210 by 297 mm."""

MEASURE = """<script>
const wide = document.documentElement.clientWidth;
const over = [...document.body.querySelectorAll("*")].filter(e => {
  if (e.closest(".skip, .hidden, .defs, .label, thead, svg")) return false;
  const {left, right, width} = e.getBoundingClientRect();
  const cut = e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display != "inline";
  return width > 0 && (right > wide + 0.5 || left < -0.5 || cut);
}).map(e => e.outerHTML.slice(0, 120));
const box = e => e.getBoundingClientRect();
const cards = [...document.querySelectorAll(".controls tbody tr")]
  .map(r => box(r.children[3]).top - box(r.children[0]).bottom >= -1);
const texts = [...document.querySelectorAll("code, p, td, dd")];
const told = parent.document.createElement("output");
told.textContent = JSON.stringify({
  wide, over, scroll: document.documentElement.scrollWidth,
  rows: cards.length, cards: cards.filter(Boolean).length,
  fonts: Math.min(...texts.map(e => parseFloat(getComputedStyle(e).fontSize))),
});
parent.document.body.append(told);
</script>"""


AXE = """<script>{axe}</script><script>
const standards = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"];
axe.run(document, {{runOnly: standards, resultTypes: ["violations", "incomplete"]}}).then(found => {{
  const told = document.createElement("output");
  const names = list => list.map(rule => [rule.id, rule.nodes.map(node => node.html.slice(0, 200))]);
  told.textContent = JSON.stringify({{
    wrong: names(found.violations), unsure: names(found.incomplete),
    passed: found.passes.map(rule => rule.id),
  }});
  document.body.append(told);
}});
</script>"""


def _need(program: str, package: str) -> None:
    if find_program(program) is None:
        message = f"{program} is not on this host; install the package {package}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)


def _browse(tmp_path: Path, page: Path, *options: str) -> str:
    argv = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    argv += ["--no-first-run", "--hide-scrollbars", "--virtual-time-budget=5000"]
    argv += [f"--user-data-dir={tmp_path / 'browser'}", *options, page.as_uri()]
    return run(argv, doing="open the report", log=tmp_path / "browser.log", timeout=120).stdout


@pytest.fixture(autouse=True)
def _browser_is_there() -> None:
    _need("chromium", "chromium")


@pytest.fixture(params=["es", "en"])
def page(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_report(*SAMPLE["sample"](), tmp_path, lang=request.param)


def without_policy(page: Path) -> str:
    """Return the page without its own policy, which rightly lets no script run."""
    text, times = re.subn(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text("utf-8"))
    assert times == 1
    return text


def measure(tmp_path: Path, page: Path, *widths: int) -> list[dict[str, Any]]:
    """Lay the page out in frames of some widths and return what a script in each measured.

    In frames, since not every build of Chromium makes a window that narrow.
    """
    framed = escape(without_policy(page).replace("</body>", MEASURE + "</body>"))
    frames = [f'<iframe style="width:{width}px;border:0" srcdoc="{framed}"></iframe>' for width in widths]
    paper = tmp_path / "frames.html"
    paper.write_text(f'<!DOCTYPE html><meta charset="utf-8"><body>{"".join(frames)}', encoding="utf-8")
    dom = _browse(tmp_path, paper, "--window-size=1600,900", "--dump-dom")
    measured = [json.loads(unescape(text)) for text in re.findall(r"<output>(.*?)</output>", dom, re.DOTALL)]
    measured.sort(key=lambda one: widths.index(one["wide"]))
    assert [one["wide"] for one in measured] == list(widths)
    return measured


def test_nothing_overflows(tmp_path: Path, page: Path) -> None:
    for measured in measure(tmp_path, page, 320, 360, 768, 800, 1280):
        assert measured["over"] == [], measured["wide"]
        assert measured["scroll"] <= measured["wide"]
        assert measured["fonts"] >= 11
        assert measured["rows"] == len(SAMPLE["sample"]()[0].controls)
        assert measured["cards"] == (measured["rows"] if measured["wide"] <= 768 else 0)


def test_hundreds_of_controls_fit_a_phone(tmp_path: Path) -> None:
    plan, findings, _ = SAMPLE["sample"]()
    overlays = []
    for overlay in plan.overlays:
        more = [
            control.model_copy(update={"id": f"{control.id}-{n}" if n else control.id})
            for control in overlay.controls
            for n in range(30)
        ]
        overlays.append(overlay.model_copy(update={"controls": tuple(more)}))
    whole = plan.model_copy(update={"overlays": tuple(overlays)})
    page = write_report(whole, findings, None, tmp_path)
    for measured in measure(tmp_path, page, 320, 360):
        assert measured["rows"] == 30 * len(plan.controls)
        assert measured["over"] == [], measured["wide"]


def test_the_measure_sees_an_overflow(tmp_path: Path, page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("</main>", '<pre style="width:500px">x</pre></main>'), encoding="utf-8")
    narrow, wide = measure(tmp_path, page, 360, 1280)
    assert narrow["over"]
    assert not wide["over"]


def look_with_axe(tmp_path: Path, page: Path) -> dict[str, Any]:
    """Return what axe-core finds on the page, all of it unfolded, at the width of a desk."""
    script = files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    opened = tmp_path / "axe.html"
    text = without_policy(page).replace("<details>", "<details open>")
    opened.write_text(text.replace("</body>", AXE.format(axe=script) + "</body>"), encoding="utf-8")
    dom = _browse(tmp_path, opened, "--window-size=1280,900", "--dump-dom")
    (told,) = re.findall(r"<output>(.*?)</output>", dom, re.DOTALL)
    found: dict[str, Any] = json.loads(unescape(told))
    return found


def test_axe_finds_no_barrier(tmp_path: Path, page: Path) -> None:
    """WCAG 2.1 at level AA: contrast, names, headings, landmarks, tables, language."""
    found = look_with_axe(tmp_path, page)
    assert found["wrong"] == []
    unsure = [html for _, nodes in found["unsure"] for html in nodes]
    assert [html for html in unsure if not html.startswith("<text ")] == [], (
        "what lies under letters of a picture"
    )
    assert {"color-contrast", "heading-order", "td-headers-attr", "skip-link"} <= set(found["passed"])


def test_axe_sees_a_barrier(tmp_path: Path, page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    broken = re.sub(r'<html lang="\w+">', "<html>", text).replace("--quiet: #4d5866", "--quiet: #b0b8c0")
    page.write_text(broken.replace("</main>", "<h6>x</h6><button></button></main>"), encoding="utf-8")
    wrong = {rule for rule, _ in look_with_axe(tmp_path, page)["wrong"]}
    assert {"html-has-lang", "color-contrast", "heading-order", "button-name"} <= wrong


def test_the_page_renders_with_its_own_policy(tmp_path: Path, page: Path) -> None:
    """The style's hash in the policy is right: with a wrong one the page would be bare."""
    shot = tmp_path / "shot.png"
    _browse(tmp_path, page, "--window-size=1280,1000", f"--screenshot={shot}")
    styled = shot.read_bytes()
    assert struct.unpack(">II", styled[16:24]) == (1280, 1000)
    page.write_text(page.read_text(encoding="utf-8").replace("'sha256-", "'sha256-x"), encoding="utf-8")
    _browse(tmp_path, page, "--window-size=1280,1000", f"--screenshot={shot}")
    assert shot.read_bytes() != styled
    text = re.sub(r"<style>.*?</style>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    page.write_text(text, encoding="utf-8")
    bare = tmp_path / "bare.png"
    _browse(tmp_path, page, "--window-size=1280,1000", f"--screenshot={bare}")
    assert bare.read_bytes() == shot.read_bytes(), "a wrong hash must mean no style at all"


def test_it_asks_the_network_for_nothing(tmp_path: Path, page: Path) -> None:
    assert _asked_for(tmp_path, page) == set()
    text = re.sub(r"<meta http-equiv[^>]*>", "", page.read_text(encoding="utf-8"))
    leak = "http://127.0.0.1:9999/leak.png"
    page.write_text(text.replace("</main>", f'<img alt="" src="{leak}"></main>'), encoding="utf-8")
    assert _asked_for(tmp_path, page) == {leak}, "the net log must show what is asked for"


def _asked_for(tmp_path: Path, page: Path) -> set[str]:
    """Return the addresses that the page asked for, by the net log; not the browser's own."""
    log = tmp_path / "net.json"
    _browse(tmp_path, page, f"--log-net-log={log}", f"--screenshot={tmp_path / 'shot.png'}")
    asked = set(re.findall(r'"url":"(https?://[^"]*)"', log.read_text(encoding="utf-8", errors="replace")))
    return {url for url in asked if not re.match(r"https?://[^/]*\.(google|googleapis|gvt1)\.com[/:]", url)}


@pytest.fixture
def paper(tmp_path: Path, page: Path) -> list[str]:
    """The text of each printed page."""
    return printed(tmp_path, page)


def printed(tmp_path: Path, page: Path) -> list[str]:
    """Print a page, see that the paper is A4, and return the text of each sheet."""
    _need("pdftotext", "poppler-utils")
    pdf = tmp_path / "page.pdf"
    _browse(tmp_path, page, "--no-pdf-header-footer", f"--print-to-pdf={pdf}")
    boxes = re.findall(rb"/MediaBox\s*\[\s*0 0 ([\d.]+) ([\d.]+)\s*\]", pdf.read_bytes())
    sizes = {(round(float(width)), round(float(height))) for width, height in boxes}
    assert sizes
    for width, height in sizes:
        assert abs(width - A4[0]) <= 2
        assert abs(height - A4[1]) <= 2
    text = run(["pdftotext", "-layout", pdf, "-"], doing="read the printed pages").stdout
    return text.rstrip("\f").split("\f")


def test_paper_is_whole(paper: list[str], page: Path) -> None:
    plan, findings, _ = SAMPLE["sample"]()
    english = page.name == report_name("en")
    count, heading = len(paper), "Evidence read" if english else "Evidencia leída"
    assert count > 3
    for number, text in enumerate(paper, 1):
        footer = f"Page {number} of {count}" if english else f"Página {number} de {count}"
        assert footer in text
        assert findings.subject.sha256[:16] in text
        assert "LABORATORIO" in text
    listed = paper[_first(paper, heading) :]
    for control in plan.controls:
        pages = [text for text in listed if re.search(rf"^ *{re.escape(control.id)}\b", text, re.MULTILINE)]
        assert len(pages) == 1, f"{control.id} is on {len(pages)} pages"
        assert heading in pages[0], f"{control.id} stands on a page without the table's header"
        tests = [finding.test.rpartition("::")[2] for finding in findings.of(control.id)]
        squeezed = re.sub(r"\s+", "", pages[0])
        missing = [name for name in tests if name[:12] not in squeezed]
        assert not missing, f"the row of {control.id} is cut"


def test_a_row_taller_than_a_page_breaks_between_tests(tmp_path: Path) -> None:
    """What one test saw stays whole, with the control's id above it."""
    plan, findings, _ = SAMPLE["sample"]()
    name = "CCN681-6.4.1-01"
    (first,) = findings.of(name)
    seen = "\n".join(f"valor {line:02} de una evidencia que ocupa su propia línea" for line in range(20))
    tall = [
        first.model_copy(update={"test": f"test_tall.py::test_{n:02}", "seen": (f"{n:02} {seen}",)})
        for n in range(12)
    ]
    others = [finding for finding in findings.findings if finding is not first]
    paper = printed(
        tmp_path,
        write_report(plan, findings.model_copy(update={"findings": (*others, *tall)}), None, tmp_path),
    )
    for n in range(12):
        (sheet,) = [text for text in paper if f"test_tall.py::test_{n:02}" in text]
        assert f"{n:02} valor 00" in sheet
        assert "Evidencia leída" in sheet
        before = sheet.partition(f"{n:02} valor 00")[0]
        assert name in before.rpartition("test_tall.py")[2]
    assert sum("test_tall.py" in text for text in paper) > 1


def test_no_heading_is_left_alone_at_the_foot(paper: list[str], page: Path) -> None:
    heading = "Evidence read" if page.name == report_name("en") else "Evidencia leída"
    for text in paper:
        after = text.rpartition(heading)[2] if heading in text else "CCN681-"
        assert re.search(r"(CCN681|RHEL)-", after), text[-600:]


def _first(paper: list[str], heading: str) -> int:
    return next(number for number, text in enumerate(paper) if heading in text)
