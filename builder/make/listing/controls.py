"""The catalogue of controls as a table, CSV or JSON, with its sums."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from builder.ask.catalogue import Entry
from builder.make.listing.text import as_csv, columns, word

STATUSES = ("implemented", "manual", "not-applicable")
HEADINGS = ("id", "section", "status", "profiles", "title", "reason", "overlay", "where", "tests")

Sums = Mapping[str, Mapping[str, int]]


def list_controls(entries: Sequence[Entry], sums: Sums, *, form: str, lang: str) -> str:
    """Return controls and sums as text: `table`, `csv` (without sums) or `json` (both languages)."""
    if form == "json":
        return _json(entries, sums)
    if form == "csv":
        return as_csv([[word(name, lang) for name in HEADINGS], *(_row(entry, lang) for entry in entries)])
    lines = []
    for entry in entries:
        control = entry.control
        status = word(control.status, lang)
        profiles = word("all", lang) if len(entry.profiles) == len(sums) else ", ".join(entry.profiles)
        lines.append(f"{control.id}  {control.title.in_language(lang)}")
        lines.append(f"    {control.section} | {status} | {word('profiles', lang)}: {profiles or '-'}")
        if control.reason:
            lines.append(f"    {word('reason', lang)}: {control.reason.in_language(lang)}")
        for key, names in (("where", entry.where), ("tests", entry.tests)):
            if names:
                lines.append(f"    {word(key, lang)}: {', '.join(names)}")
    return "\n".join([*lines, "", *_sums(sums, lang)])


def readme_sums(sums: Sums) -> str:
    """Return the sums as README shows them."""
    rows = [("profile", *(word(status, "en") for status in STATUSES), "total"), ("---",) * 5]
    rows += [
        (name, *(str(found.get(status, 0)) for status in STATUSES), str(sum(found.values())))
        for name, found in sums.items()
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _sums(sums: Sums, lang: str) -> list[str]:
    head = [word("profile", lang), *(word(status, lang) for status in STATUSES), word("total", lang)]
    rows = [
        [name, *(str(found.get(status, 0)) for status in STATUSES), str(sum(found.values()))]
        for name, found in sums.items()
    ]
    return columns([head, *rows])


def _row(entry: Entry, lang: str) -> list[str]:
    control = entry.control
    return [
        control.id,
        control.section,
        word(control.status, lang),
        " ".join(entry.profiles),
        control.title.in_language(lang),
        control.reason.in_language(lang) if control.reason else "",
        entry.overlay,
        "; ".join(entry.where),
        "; ".join(entry.tests),
    ]


def _json(entries: Sequence[Entry], sums: Sums) -> str:
    controls = [
        {
            **entry.control.model_dump(mode="json", exclude={"where"}),
            **entry.model_dump(mode="json", exclude={"control"}),
        }
        for entry in entries
    ]
    return json.dumps({"controls": controls, "sums": sums}, ensure_ascii=False, indent=2)
