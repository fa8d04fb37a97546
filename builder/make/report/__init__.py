"""The lista de comprobación: one page that an accreditor reads, prints and signs; the same for programs."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from builder.ask.plan import Plan
from builder.make.findings import Findings, Outcome, Verdict
from builder.make.report.junit import to_junit
from builder.make.report.listing import NAME, Listing, make_listing, to_json
from builder.make.report.packages import take_inventory
from builder.make.report.page import BASE_SECTION, group_by_reason, is_narrow, make_sections, make_slices
from builder.make.report.table import to_csv
from builder.make.report.words import Words, css_string, read_moment, visible
from builder.make.report.xccdf import to_xccdf
from builder.make.resolution import Resolution
from builder.tools.files import write_text

__all__ = ["FILES", "report_name", "write_report", "write_reports"]

FOLDER = Path(__file__).parent
FORMS: dict[str, Callable[[Listing], str]] = {
    "csv": to_csv,
    "json": to_json,
    "junit.xml": to_junit,
    "xccdf.xml": to_xccdf,
}
"""How a file of each kind is written, by the end of its name."""
FILES = (f"{NAME}.html", f"{NAME}.en.html", *(f"{NAME}.{end}" for end in FORMS))
"""The names of all files, the page in Spanish first."""


def report_name(lang: str = "es") -> str:
    """Return the file name of the report in a language."""
    return f"{NAME}.html" if lang == "es" else f"{NAME}.{lang}.html"


def write_reports(
    plan: Plan, findings: Findings, resolution: Resolution | None, folder: Path, *, langs: Iterable[str]
) -> list[Path]:
    """Write the lista de comprobación into a folder: the page in each language, and the forms for programs.

    Returns:
        The paths, the pages first.

    Raises:
        As for `write_report`.
    """
    listing = make_listing(plan, findings)
    pages = [write_report(plan, findings, resolution, folder, lang=lang) for lang in langs]
    return pages + [write_text(folder / f"{NAME}.{end}", write(listing)) for end, write in FORMS.items()]


def write_report(
    plan: Plan, findings: Findings, resolution: Resolution | None, folder: Path, *, lang: str = "es"
) -> Path:
    """Write the page of the lista de comprobación; the same input gives the same bytes.

    Args:
        plan: what was asked for, with its controls.
        findings: what verification saw; untrusted text.
        resolution: the packages it was installed with; None if their list is not at hand.
        folder: where it goes; made when it is not there.
        lang: "es" or "en".

    Returns:
        The path of the HTML file, self-contained and without script. It is whole or not there.

    Raises:
        BadInput: the language is another.
        StageFailed: a finding names no control, or one that the plan does not have.
    """
    return write_text(folder / report_name(lang), render_report(plan, findings, resolution, lang))


def render_report(plan: Plan, findings: Findings, resolution: Resolution | None, lang: str) -> str:
    """Return the page as text; arguments and errors as for `write_report`."""
    words = Words(lang)
    sections = make_sections(plan, findings, words)
    rows = [row for section in sections for row in section.rows]
    style = _render_style(plan, findings, words)
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            plan=plan,
            subject=findings.subject,
            findings=findings,
            sections=sections,
            rows=rows,
            inventory=take_inventory(resolution) if resolution else None,
            sums=findings.sums(plan.controls),
            slices=make_slices(findings.sums(plan.controls)),
            unverified=group_by_reason((row for row in rows if row.verdict is Verdict.NOT_VERIFIED), words),
            moment=read_moment,
            is_narrow=is_narrow,
            base_section=BASE_SECTION,
            words=words,
            t=words.text,
            Verdict=Verdict,
            Outcome=Outcome,
            style=Markup(style),  # noqa: S704 - ours, and what comes from outside went through css_string
            style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        )
    )


def _render_style(plan: Plan, findings: Findings, words: Words) -> str:
    """Return the style sheet with what every printed page says in its margins."""
    mark = plan.platform.mark
    subject = findings.subject
    key = subject.server.host_key if subject.server else f"SHA-256 {subject.sha256[:16]}…"
    image = f"{subject.title} · {key}"
    page, of = f"{words.text('page')} ", f" {words.text('page_of')} "
    margins = [
        f"@top-center {{ content: {css_string(mark.in_language(words.lang) if mark else '')} }}",
        f"@bottom-left {{ content: {css_string(image)} }}",
        f"@bottom-right {{ content: {css_string(page)} counter(page) {css_string(of)} counter(pages) }}",
    ]
    sheet = (FOLDER / "style.css").read_text(encoding="utf-8")
    return "\n".join(["", sheet, "@page {", *margins, "}", ""])


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
