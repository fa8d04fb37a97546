"""CCN's requirements for the operating system, each with our answer, as a table, CSV or JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from builder.ask.requirements import Requirement
from builder.make.listing.text import as_csv, columns, word

HEADINGS = ("control", "level", "rule", "asked", "answer", "reason")
ANSWERS = ("answered", "not-applicable")

Sums = Mapping[str, Mapping[str, int]]


def list_requirements(requirements: Sequence[Requirement], sums: Sums, *, form: str, lang: str) -> str:
    """Return requirements and sums as text: `table`, `csv` (without sums) or `json` (both languages)."""
    if form == "json":
        rows = [item.model_dump(mode="json") for item in requirements]
        return json.dumps({"requirements": rows, "sums": sums}, ensure_ascii=False, indent=2)
    if form == "csv":
        return as_csv([[word(name, lang) for name in HEADINGS], *(_row(item, lang) for item in requirements)])
    lines = []
    for item in requirements:
        ccn, level, rule, asked, answer, reason = _row(item, lang)
        lines += [
            f"{ccn}  {level}  {rule}",
            f"    {asked}",
            f"    -> {answer}{f': {reason}' if reason else ''}",
        ]
    head = [word("level", lang), *(word(name, lang) for name in ANSWERS), word("total", lang)]
    rows_of_sums = [
        [word(level, lang), *(str(found.get(name, 0)) for name in ANSWERS), str(sum(found.values()))]
        for level, found in sums.items()
    ]
    return "\n".join([*lines, "", *columns([head, *rows_of_sums])])


def _row(item: Requirement, lang: str) -> list[str]:
    return [
        item.ccn,
        word(item.level, lang),
        item.rule,
        item.asked.in_language(lang),
        " ".join(item.controls) or word("not-applicable", lang),
        item.reason.in_language(lang) if item.reason else "",
    ]
