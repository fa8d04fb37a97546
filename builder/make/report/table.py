"""The listing as CSV: one row a control, for a spreadsheet."""

from __future__ import annotations

import csv
import io

from builder.make.report.listing import Line, Listing
from builder.make.report.words import visible

HEADER = (
    *("section", "id", "title_es", "title_en", "verdict", "reason_es", "reason_en", "evidence"),
    *("when", "tests", "overlay", "where"),
)
FORMULA = ("=", "+", "-", "@")


def to_csv(listing: Listing) -> str:
    """Return the listing as CSV (RFC 4180); several values in one cell stand on lines of their own."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(HEADER)
    writer.writerows([_cell(value) for value in _row(line)] for line in listing.controls)
    return text.getvalue()


def _row(line: Line) -> tuple[str, ...]:
    return (
        line.section,
        line.id,
        line.title.es,
        line.title.en,
        line.verdict,
        "\n".join(reason.es for reason in line.whys),
        "\n".join(reason.en for reason in line.whys),
        "\n".join(line.evidence),
        min((test.when for test in line.tests), default=""),
        "\n".join(test.test for test in line.tests),
        line.overlay,
        "\n".join(line.where),
    )


def _cell(value: str) -> str:
    """Return a text that a spreadsheet shows and does not execute: evidence comes from the machine judged."""
    shown = str(visible(value))
    return f"'{shown}" if shown.startswith(FORMULA) else shown
